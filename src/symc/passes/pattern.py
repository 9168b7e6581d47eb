"""Rewrite rules as rows: a left-hand pattern, a right-hand builder, a licence.

A rule with no licence keeps every bit.  Patterns are small trees over op records; a constant in a
pattern also matches one that was broadcast, cast or written as an array, since those are explicit
in the IR.  Rules are indexed by the op at their root, so a sweep is linear in the nodes.

A rule set with `through` looks through what only moves elements (views, gathers) or rounds them
(casts between floats), anywhere below the root: an elementwise op commutes with those.  `Match`
then hands out each hole with what lies between it and the root applied to it, or builds the
right-hand side below what all of them share; rows need not know.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Attr, Node, Value
from symc.ir.ops.record import Kind, Op
from symc.ir.term import Term
from symc.ir.types import Literal, TensorType
from symc.passes.draw import Draw
from symc.passes.uniform import NOTHING, Opaque, constant_is, scalar_constant, transparent
from symc.records import dataclass

NO_OPS: Final[frozenset[Op]] = frozenset()
NO_NUMBERS: Final[frozenset[float]] = frozenset()
# Nodes that are looked through, the one nearest to the root first.
Path = tuple[Node, ...]
# Longer chains of views are not looked through: so the search is linear in the nodes.
_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Hole:
    """Matches any value; the same name twice must match the same value."""

    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """Matches a constant with every element equal to `value`, sign of zero included."""

    value: float


@dataclass(frozen=True, slots=True)
class Apply:
    """Matches the result of `op` on operands that match `operands`.

    `attrs` must hold of the node.  `name`: the node and its place are kept in the match.
    """

    op: Op
    operands: tuple[Pattern, ...]
    attrs: Callable[[Node], bool] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """Matches what one of `options` matches: ways of writing one thing."""

    options: tuple[Pattern, ...]


Pattern = Hole | Const | Apply | Either


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hole or a named node was found: the value, and the nodes between it and the root.

    `inside`: below a node that is not elementwise; then `path` begins under that node.
    """

    value: Value
    path: Path = ()
    inside: bool = False


Places = dict[str, Place]


class Match:
    """A successful match: the root node, the values of holes, and the type to build with.

    `type` is the type that the right-hand side must have: that of the root, or, where everything
    that was matched lies behind the same views, the type below those.
    """

    __slots__ = ("_opaque", "_shared", "node", "places", "type")

    def __init__(self, node: Node, places: Places, opaque: Opaque = NOTHING) -> None:
        self.node = node
        self._opaque = opaque
        self.places = places
        self._shared = _shared(node, places)
        under = self._shared[-1].operands[0].type if self._shared else node.results[0].type
        self.type: TensorType = under

    def __getitem__(self, name: str) -> Term:
        """The hole as the right-hand side may use it: in the shape and dtype of `type`.

        Below a node that is not elementwise: as that node's operand has them.
        """
        return self.moved(name, Term(self.places[name].value))

    @property
    def root(self) -> Value:
        return self.node.results[0]

    @property
    def holes(self) -> dict[str, Value]:
        """The values that were found, as they are in the graph."""
        return {name: place.value for name, place in self.places.items()}

    def behind(self, value: Value) -> Node | None:
        """The node that made `value`; None for an input, which may have been made elsewhere."""
        return None if value in self._opaque else value.node

    def named(self, name: str) -> Node:
        """The node that a named `Apply` matched."""
        node = self.places[name].value.node
        assert node is not None
        return node

    def moved(self, name: str, term: Term) -> Term:
        """`term`, of the shape of what `name` matched, under the views between that and `type`."""
        place = self.places[name]
        rest = place.path if place.inside else place.path[len(self._shared) :]
        return self._under(rest, term)

    def finished(self, made: Term) -> Term:
        """What stands for the root, from what the right-hand side made."""
        return self._under(self._shared, made)

    def _under(self, path: Path, term: Term) -> Term:
        """`term` under the nodes of a path; of several roundings only the last is done."""
        for step in reversed(path):
            if step.op is not ops.CAST:
                operands = (term, *map(Term, step.operands[1:]))
                term = self.make(step.op, *operands, **step.attrs)
        if path and term.dtype != (dtype := path[0].results[0].type.dtype):
            term = self.make(ops.CAST, term, dtype=dtype)
        return term

    def make(self, op: Op, *operands: Term, **attrs: Attr) -> Term:
        """`op` applied at the location of the matched node."""
        values = tuple(operand.value for operand in operands)
        return Term(apply(op, values, attrs, locations=self.node.locations).results[0])

    def constant(self, value: float, like: Term | None = None) -> Term:
        """`value` in the dtype and shape of `type`, or of a term."""
        type = self.type if like is None else like.type
        scalar = self.make(ops.CONSTANT, value=Literal(np.array(value, type.dtype)))
        if not type.shape:
            return scalar
        return self.make(ops.BROADCAST, scalar, shape=type.shape, axes=())


def _shared(node: Node, places: Places) -> Path:
    """What lies between the root and everything that was matched, as far as it may move out.

    An elementwise op moves below views and below a cast to fewer bits (it is then computed in
    more); a cast to more bits stays on the operands; so do selections of elements at the end.
    """
    paths = [place.path for place in places.values() if not place.inside]
    if not any(paths) or node.op.kind is not Kind.ELEMENTWISE:
        return ()
    if any(operand.type.dtype != node.results[0].type.dtype for operand in node.operands):
        return ()
    length = 0
    for steps in zip(*paths, strict=False):
        if any(step is not steps[0] for step in steps) or _widens(steps[0]):
            break
        length += 1
    while length and _selects(paths[0][length - 1]):
        length -= 1
    return paths[0][:length]


def _widens(node: Node) -> bool:
    return node.results[0].type.dtype.itemsize > node.operands[0].type.dtype.itemsize


def _selects(node: Node) -> bool:
    return node.op is ops.SLICE or node.op.kind is Kind.GATHER


Build = Callable[[Match], Term]
Guard = Callable[[Match], bool]
# A graph on inputs that are drawn: the term that it returns is the root of the instance.
Sample = Callable[[Draw], Term]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a rule table.

    `licence`: None when the rewrite keeps every bit; a licence of `Options`; or "meaning" for rows
    of the stability table, which define what the program means.

    The generator of tests makes instances of `left`, and near misses one step away from it, by
    itself.  A row adds what it cannot know: `examples` build graphs that the row rewrites, instead
    of those made from the pattern (for rows whose views or guards leave few); `near` build graphs
    that resemble them and must be left alone, at least one for each condition of the guard.
    """

    name: str
    left: Apply
    right: Build
    licence: str | None = None
    guard: Guard | None = None
    examples: tuple[Sample, ...] = ()
    near: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A rule and what must lie directly below its root: ops, constants, one value twice."""

    rule: Rule
    ops: tuple[frozenset[Op], ...]
    constants: frozenset[float]
    twice: bool

    def may_stand_over(self, below: frozenset[Op], numbers: frozenset[float], twice: bool) -> bool:
        """Whether the root may be over these ops and numbers, with one operand twice or not."""
        if self.twice > twice or not self.constants <= numbers:
            return False
        return not any(heads.isdisjoint(below) for heads in self.ops)


def _row(rule: Rule, through: bool) -> _Row:
    operands = rule.left.operands
    below = tuple(heads for pattern in operands if (heads := _heads(pattern)))
    constants = frozenset(pattern.value for pattern in operands if isinstance(pattern, Const))
    holes = [pattern.name for pattern in operands if isinstance(pattern, Hole)]
    return _Row(rule, below, constants, not through and len(set(holes)) < len(holes))


def _heads(pattern: Pattern) -> frozenset[Op]:
    """The ops of which one must be at the root of what matches; empty when anything may be."""
    if isinstance(pattern, Apply):
        return frozenset({pattern.op})
    if isinstance(pattern, Either):
        heads = [_heads(option) for option in pattern.options]
        return frozenset().union(*heads) if all(heads) else frozenset()
    return frozenset()


def _depth(pattern: Pattern) -> int:
    """How many nodes, one below the other, a pattern looks at."""
    if isinstance(pattern, Apply):
        return 1 + max(map(_depth, pattern.operands), default=0)
    return max(map(_depth, pattern.options), default=0) if isinstance(pattern, Either) else 0


class _Rows:
    """The rows with one root op, and those of them that what lies below a node leaves."""

    def __init__(self, rows: list[_Row]) -> None:
        self.rows = rows
        self.heads = frozenset(op for row in rows for heads in row.ops for op in heads)
        self.numbers = frozenset(number for row in rows for number in row.constants)
        self._left: dict[tuple[frozenset[Op], frozenset[float], bool], tuple[Rule, ...]] = {}

    def left(
        self, below: frozenset[Op], numbers: frozenset[float], twice: bool
    ) -> tuple[Rule, ...]:
        """The rules, in order, whose root may be over these ops and numbers."""
        key = below, numbers, twice
        found = self._left.get(key)
        if found is None:
            found = tuple(row.rule for row in self.rows if row.may_stand_over(*key))
            self._left[key] = found
        return found


class RuleSet:
    """Rules indexed by root op; most are turned down by a look at the ops below a node.

    `through`: patterns look through views, gathers and casts between floats.  `depth`: the most
    nodes, one below the other and views aside, that a pattern looks at.
    """

    def __init__(self, rules: tuple[Rule, ...], through: bool = False) -> None:
        self.rules = rules
        self.through = through
        self.depth = max((_depth(rule.left) for rule in rules), default=0)
        by_op: dict[Op, list[_Row]] = {}
        for rule in rules:
            by_op.setdefault(rule.left.op, []).append(_row(rule, through))
        self._by_op = {op: _Rows(rows) for op, rows in by_op.items()}

    def first(
        self, node: Node, licences: frozenset[str], opaque: Opaque = NOTHING
    ) -> tuple[Rule, Match] | None:
        """The first rule that applies at `node`, with its match.

        No pattern looks behind `opaque`, the params of the function: they may have been made by
        nodes that are not part of it.
        """
        rows = self._by_op.get(node.op)
        if rows is None:
            return None
        operands = node.operands
        below = rows.heads.intersection(self._ops_below(operands, opaque)) if rows.heads else NO_OPS
        numbers = _numbers(operands, rows.numbers, opaque) if rows.numbers else NO_NUMBERS
        twice = len(operands) > 1 and len(set(operands)) < len(operands)
        for rule in rows.left(below, numbers, twice):
            found = self._applies(rule, node, licences, opaque)
            if found is not None:
                return rule, found
        return None

    def _applies(
        self, rule: Rule, node: Node, licences: frozenset[str], opaque: Opaque
    ) -> Match | None:
        if rule.licence not in {None, "meaning"} and rule.licence not in licences:
            return None
        search = Search(opaque, self.through)
        for places in search.all(rule.left, node.results[0]):
            found = Match(node, places, opaque)
            if rule.guard is None or rule.guard(found):
                return found
        return None

    def _ops_below(self, operands: Iterable[Value], opaque: Opaque) -> set[Op]:
        if not self.through:
            return {operand.node.op for operand in operands if operand.node is not None}
        found = set()
        for operand in operands:
            node = operand.node
            if node is None:
                continue
            found.add(node.op)
            for _ in range(_LONGEST):
                if node is None or operand in opaque or not transparent(node):
                    break
                operand = node.operands[0]
                node = operand.node
                if node is not None:
                    found.add(node.op)
        return found


def _numbers(
    operands: Iterable[Value], wanted: frozenset[float], opaque: Opaque
) -> frozenset[float]:
    """Those of the wanted constants that are among `operands`."""
    found = []
    for operand in operands:
        scalar = scalar_constant(operand, opaque)
        if scalar is not None and (number := scalar.item()) in wanted:
            found.append(number)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Goal:
    """A value that must match a pattern, and how it was reached."""

    pattern: Pattern
    place: Place


@dataclass(frozen=True, slots=True)
class Search:
    """How patterns are looked for: behind which values not, and through views or not."""

    opaque: Opaque = NOTHING
    through: bool = False

    def all(self, pattern: Pattern, value: Value) -> Iterator[Places]:
        """All ways in which `value` matches; commutative operands are tried both ways."""
        yield from self._match((_Goal(pattern, Place(value)),), {})

    def _match(self, goals: tuple[_Goal, ...], places: Places) -> Iterator[Places]:
        if not goals:
            yield places
            return
        goal, rest = goals[0], goals[1:]
        place = goal.place
        match goal.pattern:
            case Hole(name):
                before = places.get(name)
                if before is None:
                    yield from self._match(rest, {**places, name: place})
                elif self._same(before, place):
                    yield from self._match(rest, places)
            case Const(wanted):
                if constant_is(place.value, wanted, self.opaque):
                    yield from self._match(rest, places)
            case Either(options):
                for option in options:
                    yield from self._match((_Goal(option, place), *rest), places)
            case Apply():
                yield from self._apply(goal.pattern, place, rest, places)

    def _apply(
        self, pattern: Apply, place: Place, rest: tuple[_Goal, ...], places: Places
    ) -> Iterator[Places]:
        node = None if place.value in self.opaque else place.value.node
        if node is None:
            return
        if node.op is pattern.op and (pattern.attrs is None or pattern.attrs(node)):
            kept = places if pattern.name is None else {**places, pattern.name: place}
            for order in _orders(node):
                below = [
                    _Goal(part, _operand_place(node, place, operand))
                    for part, operand in zip(pattern.operands, order, strict=True)
                ]
                yield from self._match((*below, *rest), kept)
        elif self.through and transparent(node) and len(place.path) < _LONGEST:
            path = (*place.path, node)
            deeper = Place(node.operands[0], path, place.inside)
            yield from self._apply(pattern, deeper, rest, places)

    def _same(self, left: Place, right: Place) -> bool:
        if left.value is right.value and left.path == right.path:
            return True
        return self.through and self._key(left) == self._key(right)

    def _key(self, place: Place) -> Hashable:
        """Equal for values that are equal because the same views of the same value."""
        path = list(place.path)
        value = place.value
        while len(path) < _LONGEST and value.node is not None and value not in self.opaque:
            if not transparent(value.node):
                break
            path.append(value.node)
            value = value.node.operands[0]
        steps = tuple(
            (step.op, step.operands[1:], tuple(sorted(step.attrs.items(), key=_name)))
            for step in path
        )
        return value, steps


def _name(item: tuple[str, Attr]) -> str:
    return item[0]


def _operand_place(node: Node, place: Place, operand: Value) -> Place:
    if node.op.kind is Kind.ELEMENTWISE:
        return Place(operand, place.path, place.inside)
    return Place(operand, (), True)


def _orders(node: Node) -> Iterable[tuple[Value, ...]]:
    operands = node.operands
    if node.op.commutative and len(operands) == 2 and operands[0] is not operands[1]:
        return (operands, operands[::-1])
    return (operands,)
