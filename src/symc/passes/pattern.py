"""Rewrite rules as rows: a left-hand pattern, a right-hand builder, a licence.

A rule with no licence keeps every bit.  Patterns are small trees over op records; a constant in a
pattern also matches one that was broadcast, since broadcasts are explicit in the IR.  Rules are
indexed by the op at their root, so a sweep is linear in the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Attr, Node, Value
from symc.ir.ops.record import Kind, Op
from symc.ir.term import Term
from symc.ir.types import Literal
from symc.passes.draw import Draw

Opaque = frozenset[Value]
NOTHING: Final[Opaque] = frozenset()


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
    """Matches the result of `op` on operands that match `operands`."""

    op: Op
    operands: tuple[Pattern, ...]
    attrs: Callable[[Node], bool] | None = None


Pattern = Hole | Const | Apply


@dataclass(frozen=True, slots=True)
class Match:
    """A successful match: the root node, the values of holes, and the types to build with."""

    node: Node
    holes: dict[str, Value]

    def __getitem__(self, name: str) -> Term:
        return Term(self.holes[name])

    @property
    def root(self) -> Value:
        return self.node.results[0]

    def make(self, op: Op, *operands: Term, **attrs: Attr) -> Term:
        """`op` applied at the location of the matched node."""
        values = tuple(operand.value for operand in operands)
        return Term(apply(op, values, attrs, locations=self.node.locations).results[0])

    def constant(self, value: float) -> Term:
        """`value` in the dtype and shape of the root."""
        literal = Literal(np.array(value, self.root.type.dtype))
        scalar = self.make(ops.CONSTANT, value=literal)
        shape = self.root.type.shape
        return self.make(ops.BROADCAST, scalar, shape=shape, axes=()) if shape else scalar


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
    ops: frozenset[Op]
    constants: frozenset[float]
    twice: bool


def _row(rule: Rule) -> _Row:
    operands = rule.left.operands
    below = frozenset(pattern.op for pattern in operands if isinstance(pattern, Apply))
    constants = frozenset(pattern.value for pattern in operands if isinstance(pattern, Const))
    holes = [pattern.name for pattern in operands if isinstance(pattern, Hole)]
    return _Row(rule, below, constants, len(set(holes)) < len(holes))


@dataclass(slots=True)
class RuleSet:
    """Rules indexed by root op; most are turned down by a look at the ops below a node."""

    rules: tuple[Rule, ...]
    _by_op: dict[Op, list[_Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rule in self.rules:
            self._by_op.setdefault(rule.left.op, []).append(_row(rule))

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
        below = {operand.node.op for operand in operands if operand.node is not None}
        numbers = _numbers(operands, opaque)
        twice = len(operands) > 1 and len(set(operands)) < len(operands)
        for row in rows:
            rule = row.rule
            if not (row.ops <= below and row.constants <= numbers and row.twice <= twice):
                continue
            if rule.licence not in {None, "meaning"} and rule.licence not in licences:
                continue
            for holes in match(rule.left, node.results[0], opaque):
                found = Match(node, holes)
                if rule.guard is None or rule.guard(found):
                    return rule, found
        return None


def _numbers(operands: Iterable[Value], opaque: Opaque) -> set[object]:
    """The constants among `operands`."""
    found: set[object] = set()
    for operand in operands:
        scalar = scalar_constant(operand, opaque)
        if scalar is not None:
            found.add(scalar.item())
    return found


def match(pattern: Pattern, value: Value, opaque: Opaque = NOTHING) -> Iterator[dict[str, Value]]:
    """All ways in which `value` matches `pattern`; commutative operands are tried both ways."""
    yield from _match([(pattern, value)], {}, opaque)


def _match(
    todo: list[tuple[Pattern, Value]], holes: dict[str, Value], opaque: Opaque
) -> Iterator[dict[str, Value]]:
    if not todo:
        yield holes
        return
    (pattern, value), rest = todo[0], todo[1:]
    match pattern:
        case Hole(name):
            if holes.get(name, value) is value:
                yield from _match(rest, {**holes, name: value}, opaque)
        case Const(wanted):
            if constant_is(value, wanted, opaque):
                yield from _match(rest, holes, opaque)
        case Apply(op, operands, attrs):
            node = None if value in opaque else value.node
            if node is None or node.op is not op or (attrs is not None and not attrs(node)):
                return
            for order in _orders(op, node.operands):
                yield from _match([*zip(operands, order, strict=True), *rest], holes, opaque)


def _orders(op: Op, operands: tuple[Value, ...]) -> Iterable[tuple[Value, ...]]:
    if op.commutative and len(operands) == 2 and operands[0] is not operands[1]:
        return (operands, operands[::-1])
    return (operands,)


def scalar_constant(value: Value, opaque: Opaque = NOTHING) -> np.ndarray | None:
    """The 0-d constant that every element of `value` equals, or None; looks through views."""
    while value.node is not None and value.node.op.kind is Kind.VIEW and value not in opaque:
        value = value.node.operands[0]
    if value.node is None or value.node.op is not ops.CONSTANT or value in opaque:
        return None
    literal = value.node.attrs["value"]
    assert isinstance(literal, Literal)
    array = literal.array
    if array.size == 0:
        return None
    first = array.reshape(-1)[:1]
    same = array.tobytes() == first.tobytes() * array.size
    return first.reshape(()) if same else None


def constant_is(value: Value, wanted: float, opaque: Opaque = NOTHING) -> bool:
    """Whether every element of `value` is the constant `wanted`, sign of zero included."""
    found = scalar_constant(value, opaque)
    if found is None or found.dtype.kind not in "fiub":
        return False
    number = found.item()
    same_sign = found.dtype.kind != "f" or np.signbit(number) == np.signbit(float(wanted))
    return bool(number == wanted and same_sign)
