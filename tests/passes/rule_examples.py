"""Instances and near misses of the rows of rule tables, made from their patterns.

An instance is a function whose one result the row should rewrite: the pattern with inputs for its
holes, of drawn dtypes and shapes, with views that have drawn attributes.  A near miss is one step
away: another constant, another op, two values for one, operands the other way round.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from symc import passes
from symc.ir import ops
from symc.ir.core import Attrs, Function, Value, reachable
from symc.ir.dims import Size, size_product, symbol
from symc.ir.errors import SymcError
from symc.ir.ops import OPS
from symc.ir.ops.record import Kind, Op
from symc.ir.term import Term, apply_op
from symc.ir.types import BOOL, DTYPE_NAMES, F32, F64, I32, I64, TensorType
from symc.passes.draw import Draw
from symc.passes.pattern import Apply, Const, Either, Hole, Pattern, Rule, RuleSet, Sample

Shape = tuple[Size, ...]
DTYPES = (F64, F32, I32, I64, BOOL)
# The sizes of the dims that draws name.
DIMS = {"m": 3, "n": 4, "k": 2}
# Near misses tried with one seed; a pattern with many spellings has many more.
MOST_STEPS = 12


def rule_sets() -> dict[str, RuleSet]:
    """Every rule set of every module of the room, by module: none can be forgotten."""
    found: dict[str, RuleSet] = {}
    seen: set[int] = set()
    for module in pkgutil.iter_modules(passes.__path__):
        loaded = importlib.import_module(f"{passes.__name__}.{module.name}")
        for name, value in vars(loaded).items():
            if isinstance(value, RuleSet) and id(value) not in seen:
                seen.add(id(value))
                found[f"{module.name}.{name}"] = value
    return found


@dataclass(frozen=True, slots=True)
class Instance:
    """A function made for a row, and how: `what` says which step away it is."""

    function: Function
    what: str


class UnsuitedError(Exception):
    """What was drawn does not fit together; draw again."""


def function_of(root: Term, draw: Draw) -> Function:
    """The function that computes `root` from the inputs drawn for it, and inputs that bind dims."""
    nodes, free = reachable([root.value])
    used = set(free)
    dims = [Value(TensorType(BOOL, (symbol(name),)), name=name) for name in DIMS]
    params = (*(x for x in draw.inputs if x in used), *dims)
    return Function("instance", params, tuple(nodes), (root.value,))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be grown: a type, and the holes that stand elsewhere in the pattern."""

    shape: Shape
    dtype: np.dtype
    outside: frozenset[str]


_GROWN = frozenset({Kind.ELEMENTWISE, Kind.VIEW, Kind.REDUCE})


class Growing:
    """Builds an instance of a pattern from the root down, so that shapes and dtypes fit."""

    def __init__(self, draw: Draw, through: bool) -> None:
        self.draw = draw
        self.through = through
        self.holes: dict[str, Term] = {}

    def root(self, pattern: Apply) -> Term:
        rank = self.draw.integer(0, 3)
        return self.grow(pattern, self.draw.shape(rank), self.draw.dtype, frozenset())

    def grow(
        self, pattern: Pattern, shape: Shape, dtype: np.dtype, outside: frozenset[str]
    ) -> Term:
        """A term of this shape and dtype that matches `pattern`; `outside` are holes elsewhere."""
        match pattern:
            case Hole(name):
                made = self.holes.get(name) or self.draw.input(shape, dtype)
                if made.shape != shape or made.dtype != dtype:
                    raise UnsuitedError
                self.holes[name] = made
                return made
            case Const(value):
                return self._constant(value, shape, dtype)
            case Either(options):
                return self.grow(self.draw.choose(options), shape, dtype, outside)
            case Apply(op, _) if op.arity == 0 or op.kind not in _GROWN:
                raise UnsuitedError
            case Apply(op, operands) if op.kind is Kind.ELEMENTWISE:
                return self._elementwise(op, operands, Wanted(shape, dtype, outside))
            case Apply(op, operands):
                under, attrs = self._under(op, shape)
                made = self._checked(op, [self.grow(operands[0], under, dtype, outside)], attrs)
                if made.shape != shape or made.dtype != dtype:
                    raise UnsuitedError
                return made

    def _constant(self, value: float, shape: Shape, dtype: np.dtype) -> Term:
        if dtype.kind != "f" and (value != int(value) or (dtype == BOOL and value not in (0, 1))):
            raise UnsuitedError
        like = self.draw.input(shape, dtype)
        return self.draw.constant(value if dtype.kind == "f" else int(value), like)

    def _elementwise(self, op: Op, operands: Sequence[Pattern], wanted: Wanted) -> Term:
        attrs: Attrs = {"dtype": wanted.dtype} if op is ops.CAST else {}
        made = []
        for number, (pattern, dtype) in enumerate(
            zip(operands, self._operand_dtypes(op, wanted.dtype), strict=False)
        ):
            beside = (*operands[:number], *operands[number + 1 :])
            outside = wanted.outside.union(*map(names, beside))
            alone = outside.isdisjoint(names(pattern))
            veiled = self.through and alone and isinstance(pattern, Apply | Either)
            grow = self._veiled if veiled and self.draw.flip() else self.grow
            made.append(grow(pattern, wanted.shape, dtype, outside))
        result = self._checked(op, made, attrs)
        if result.dtype != wanted.dtype:
            raise UnsuitedError
        return result

    def _operand_dtypes(self, op: Op, dtype: np.dtype) -> list[np.dtype]:
        if op is ops.WHERE:
            return [BOOL, dtype, dtype]
        if op is ops.CAST or (dtype == BOOL and op not in _LOGICAL):
            return [self.draw.choose(DTYPES)] * 2
        return [dtype] * 3

    def _veiled(
        self, pattern: Pattern, shape: Shape, dtype: np.dtype, outside: frozenset[str]
    ) -> Term:
        """The pattern under a view, or rounded from or to another float."""
        if self.draw.flip() and dtype.kind == "f":
            other = F32 if dtype == F64 else F64
            return self.grow(pattern, shape, other, outside).cast(dtype)
        op = self.draw.choose((ops.RESHAPE, ops.PERMUTE, ops.BROADCAST))
        under, attrs = self._under(op, shape)
        return self._checked(op, [self.grow(pattern, under, dtype, outside)], attrs)

    def _checked(self, op: Op, operands: Sequence[Term], attrs: Attrs) -> Term:
        try:
            return apply_op(op, operands, attrs)
        except SymcError:
            raise UnsuitedError from None

    def _under(self, op: Op, shape: Shape) -> tuple[Shape, Attrs]:
        """A shape from which `op`, a view or reduction, makes `shape`; its attributes."""
        draw, rank = self.draw, len(shape)
        if op is ops.RESHAPE:
            folded = (size_product(shape[:2]), *shape[2:]) if rank >= 2 else (*shape, 1)
            return draw.choose((folded, (1, *shape), shape)), {"shape": shape}
        if op is ops.PERMUTE:
            axes = draw.permutation(rank)
            under = tuple(shape[axes.index(axis)] for axis in range(rank))
            return under, {"axes": axes}
        if op is ops.BROADCAST:
            kept = tuple(axis for axis in range(rank) if draw.integer(0, 2))
            return tuple(shape[axis] for axis in kept), {"shape": shape, "axes": kept}
        if op is ops.SLICE:
            return self._under_slice(shape)
        if op.kind is Kind.REDUCE:
            count = draw.integer(1, 2)
            axes = tuple(sorted(draw.permutation(rank + count)[:count]))
            rest = iter(shape)
            wide = [draw.size() if axis in axes else next(rest) for axis in range(rank + count)]
            return tuple(wide), {"axes": axes}
        raise UnsuitedError

    def _under_slice(self, shape: Shape) -> tuple[Shape, Attrs]:
        under, starts, steps = [], [], []
        for size in shape:
            if not isinstance(size, int) or self.draw.flip():
                under.append(size)
                starts.append(0)
                steps.append(1)
                continue
            step = self.draw.choose((1, 2, -1, -2))
            extra = self.draw.integer(0, 2)
            under.append((size - 1) * abs(step) + 1 + extra)
            starts.append((size - 1) * -step if step < 0 else extra)
            steps.append(step)
        attrs = {"starts": tuple(starts), "sizes": shape, "steps": tuple(steps)}
        return tuple(under), attrs


_LOGICAL = frozenset({ops.NOT, ops.AND, ops.OR, ops.XOR, ops.WHERE, ops.STOP_GRADIENT})


def names(pattern: Pattern) -> Iterator[str]:
    """The holes of a pattern, each as often as it stands there."""
    match pattern:
        case Hole(name):
            yield name
        case Either(options):
            for option in options:
                yield from names(option)
        case Apply(_, operands):
            for operand in operands:
                yield from names(operand)
        case Const():
            pass


# --- instances -----------------------------------------------------------------------------------


def instances(rule: Rule, through: bool, tries: int) -> Iterator[Instance]:
    """What the pattern of the row matches, whether or not the guard agrees; or its examples."""
    for seed in range(tries):
        draw = Draw(seed, DTYPES[seed % len(DTYPES)])
        found = _sample(rule.examples, draw) if rule.examples else _grown(rule.left, draw, through)
        if found is not None:
            yield Instance(found, f"seed {seed}")


def _sample(samples: Sequence[Sample], draw: Draw) -> Function | None:
    if draw.dtype.kind != "f":
        draw.dtype = F64 if draw.flip() else F32
    return function_of(draw.choose(samples)(draw), draw)


def _grown(pattern: Apply, draw: Draw, through: bool) -> Function | None:
    try:
        return function_of(Growing(draw, through).root(pattern), draw)
    except UnsuitedError:
        return None


# --- near misses ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A pattern one step away, and whether it may be another spelling of the same thing."""

    pattern: Apply
    what: str
    spelling: bool = False


def near_misses(
    rule: Rule, through: bool, tries: int, dtypes: Sequence[np.dtype] = DTYPES
) -> Iterator[tuple[Instance, bool]]:
    """What the row must leave alone; True with those that may be another spelling."""
    for seed in range(tries):
        dtype = dtypes[seed % len(dtypes)]
        for number, sample in enumerate(rule.near):
            draw = Draw(seed, dtype)
            found = _sample((sample,), draw)
            if found is not None:
                yield Instance(found, f"near {number}, seed {seed}"), False
        steps = list(changes(rule.left, Draw(seed)))
        for number in np.random.default_rng(seed).permutation(len(steps))[:MOST_STEPS]:
            change = steps[number]
            found = _grown(change.pattern, Draw(seed, dtype), through)
            if found is not None:
                yield Instance(found, f"{change.what}, seed {seed}"), change.spelling


def changes(pattern: Apply, draw: Draw) -> Iterator[Change]:
    """Every pattern one step away from `pattern`, with drawn replacements."""
    for changed, what, spelling in _changes(pattern, draw, False):
        if isinstance(changed, Apply) and shape_of(changed) != shape_of(pattern):
            yield Change(changed, what, spelling)
    yield from _two_values(pattern)


def _changes(pattern: Pattern, draw: Draw, inside: bool) -> Iterator[tuple[Pattern, str, bool]]:
    match pattern:
        case Const(value):
            for other in (draw.number(value), 0.0 if value else 1.0):
                yield Const(other), f"{other} for {value}", inside
        case Either(options):
            for option in options:
                yield from _changes(option, draw, True)
        case Apply(op, operands):
            yield from _other_ops(pattern, draw, inside)
            if len(operands) == 2 and not op.commutative:
                turned = replace(pattern, operands=operands[::-1])
                yield turned, f"{op.name} the other way round", inside
            for number, operand in enumerate(operands):
                for changed, what, spelling in _changes(operand, draw, inside):
                    parts = (*operands[:number], changed, *operands[number + 1 :])
                    yield replace(pattern, operands=parts), what, spelling
        case Hole():
            pass


def _other_ops(pattern: Apply, draw: Draw, inside: bool) -> Iterator[tuple[Pattern, str, bool]]:
    """Another op of the same kind and arity that takes the same operands."""
    op = pattern.op
    same = _alike(op)
    for number in draw.random.permutation(len(same))[:3]:
        other = same[int(number)]
        yield replace(pattern, op=other), f"{other.name} for {op.name}", inside


def _alike(op: Op) -> list[Op]:
    return [
        other
        for other in OPS.values()
        if other is not op
        and other is not ops.CAST
        and op is not ops.CAST
        and other.kind is op.kind
        and other.kind in _GROWN
        and other.arity == op.arity
        and set(op.samples.dtypes) & set(other.samples.dtypes)
    ]


def _two_values(pattern: Apply) -> Iterator[Change]:
    """Each hole that stands twice, with another value in one of its places."""
    for name, count in Counter(names(pattern)).items():
        for place in range(count if count > 1 else 0):
            changed, _ = _renamed(pattern, name, place)
            assert isinstance(changed, Apply)
            if len(set(names(changed))) > len(set(names(pattern))):
                yield Change(changed, f"{name} is two values")


def _renamed(pattern: Pattern, name: str, place: int) -> tuple[Pattern, int]:
    """The pattern with the hole at one place renamed; how many such holes came before."""
    match pattern:
        case Hole(own):
            hit = own == name
            return (Hole("another") if hit and place == 0 else pattern), place - hit
        case Either(options):
            made = []
            for option in options:
                changed, place_after = _renamed(option, name, place)
                made.append(changed)
            return Either(tuple(made)), place_after
        case Apply(_, operands):
            parts = []
            for operand in operands:
                changed, place = _renamed(operand, name, place)
                parts.append(changed)
            return replace(pattern, operands=tuple(parts)), place
        case Const():
            return pattern, place


def shape_of(pattern: Pattern) -> tuple[object, ...]:
    """The pattern with holes numbered as they come: equal when it is the same but for names."""
    order = {name: number for number, name in enumerate(dict.fromkeys(names(pattern)))}
    return _numbered(pattern, order)


def _numbered(pattern: Pattern, order: dict[str, int]) -> tuple[object, ...]:
    match pattern:
        case Hole(name):
            return ("hole", order[name])
        case Const(value):
            return ("const", value, bool(np.signbit(value)))
        case Either(options):
            return ("either", *(_numbered(option, order) for option in options))
        case Apply(op, operands):
            return (op, *(_numbered(operand, order) for operand in operands))


def every_dtype_is_drawn() -> bool:
    """Whether the dtypes of the IR are those that instances are drawn from."""
    return set(DTYPE_NAMES.values()) == set(DTYPES)
