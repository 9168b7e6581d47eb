"""A scan taken apart: what loop passes change, and how a node is made of it again.

before: a scan node and its operands.  after: rows of (param, operand), from which `made` builds a
node over a copy of the body.  Params and nodes of the body are those of the region; nothing here
changes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from symc.ir.binding import bound_counts, mentioned_by
from symc.ir.build import placed_at
from symc.ir.core import Function, Node, Value, nodes_behind
from symc.ir.dims import Size, Symbol
from symc.ir.moves import Move, place
from symc.ir.ops.loop_groups import Operands, groups, make_scan
from symc.ir.specialise import cloned
from symc.records import dataclass


@dataclass(slots=True)
class Carry:
    """One carry: its param, the first value, what a step makes of it, and the last value."""

    param: Value
    start: Value
    after: Value
    result: Value | None


@dataclass(slots=True)
class Row:
    """One y: its value in the step, and the stacked values."""

    value: Value
    result: Value | None


@dataclass(slots=True)
class Loop:
    """A scan as rows; `result` is None where nobody reads it.

    also: a result -> another whose value it has.  moves: what was done to the loop so far.
    counts: the value of each dim that a node of the body binds.  limit: the most bytes of an array
    that is kept because work moves; None: as many as it is worth.  given: params of the function
    around the loop: nothing is seen behind them.
    """

    node: Node
    length: Size
    reverse: bool
    number: Value
    consts: dict[Value, Value] = field(default_factory=dict)  # param -> operand
    xs: dict[Value, Value] = field(default_factory=dict)
    carries: list[Carry] = field(default_factory=list)
    ys: list[Row] = field(default_factory=list)
    also: dict[Value, Value] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    counts: dict[Symbol, Value] = field(default_factory=dict)
    limit: int | None = None
    given: frozenset[Value] = frozenset()

    @property
    def wanted(self) -> list[Value]:
        """What a step computes: carries, then ys."""
        return [*(c.after for c in self.carries), *(y.value for y in self.ys)]

    @property
    def params(self) -> list[Value]:
        """All params, the number last."""
        carried = [carry.param for carry in self.carries]
        return [*self.consts, *carried, *self.xs, self.number]

    def nodes(self) -> list[Node]:
        """The nodes of the body, in order."""
        return nodes_behind(self.wanted, self.params, self.counts)

    def sized(self) -> set[Node]:
        """The nodes whose values have sizes that only a step knows: they stay in it."""
        if not self.counts:
            return set()
        own = self.counts.keys()
        return {node for node in self.nodes() if not own.isdisjoint(_symbols(node))}

    def needed(self, values: Iterable[Value]) -> set[Value]:
        """The params that values of the body depend on."""
        wanted = list(values)
        nodes = nodes_behind(wanted, self.params, self.counts)
        return {x for x in (*wanted, *(x for n in nodes for x in n.operands)) if x.node is None}

    def moved(self, kind: str, value: Value | None = None, stops: Iterable[Value] = ()) -> Move:
        """Record what is done to the loop; who does it says what was made, once it is there."""
        move = Move(kind, place(self.node), self.reverse, value, tuple(stops))
        self.moves.append(move)
        return move


def _symbols(node: Node) -> set[Symbol]:
    """The computed dims that a node or its operands mention."""
    found = {symbol for x in node.operands for symbol in x.type.symbols()}
    return found | mentioned_by(node)


def taken_apart(node: Node, operands: Sequence[Value], read: Iterable[Value]) -> Loop:
    """The scan `node` over `operands`; `read`: which of its results somebody reads."""
    parts = groups(node)
    (body,) = node.regions
    consts, carries, xs = parts.split(body.params)
    given = parts.split(operands)
    used = set(read)
    results = [result if result in used else None for result in node.results]
    count = parts.carries
    return Loop(
        node,
        parts.length,
        parts.reverse,
        body.params[-1],
        dict(zip(consts, given[0], strict=True)),
        dict(zip(xs, given[2], strict=True)),
        [
            Carry(*row)
            for row in zip(carries, given[1], body.results[:count], results[:count], strict=True)
        ],
        [Row(*row) for row in zip(body.results[count:], results[count:], strict=True)],
        counts=bound_counts(body.nodes),
    )


def made(loop: Loop) -> dict[Value, Value]:
    """A node of the loop: old result -> new result, where somebody reads it.

    A loop without carries and ys is no node at all.
    """
    if not loop.carries and not loop.ys:
        return {}
    name = loop.node.regions[0].name
    body = cloned(Function(name, tuple(loop.params), tuple(loop.nodes()), tuple(loop.wanted)))
    operands = Operands(
        list(loop.consts.values()),
        [carry.start for carry in loop.carries],
        list(loop.xs.values()),
    )
    with placed_at(loop.node.locations):
        node = make_scan(loop.node.op, body, operands, loop.length, loop.reverse)
    rows = [*(c.result for c in loop.carries), *(y.result for y in loop.ys)]
    pairs = zip(rows, node.results, strict=True)
    return {old: new for old, new in pairs if old is not None}


def pruned(loop: Loop) -> bool:
    """Drop what nobody reads: ys, carries that only feed themselves, operands.  True: changed."""
    before = (len(loop.ys), len(loop.carries), len(loop.consts), len(loop.xs))
    loop.ys = [row for row in loop.ys if row.result is not None]
    live = _live(loop)
    loop.carries = [carry for carry in loop.carries if carry.param in live]
    _settle_constant(loop)
    needed = loop.needed(loop.wanted)
    loop.consts = {p: x for p, x in loop.consts.items() if p in needed}
    loop.xs = {p: x for p, x in loop.xs.items() if p in needed}
    return before != (len(loop.ys), len(loop.carries), len(loop.consts), len(loop.xs))


def _live(loop: Loop) -> set[Value]:
    """Params of carries that a result depends on."""
    of_param = {carry.param: carry for carry in loop.carries}
    found = {carry.param for carry in loop.carries if carry.result is not None}
    todo = [*(row.value for row in loop.ys), *(of_param[p].after for p in found)]
    while todo:
        needed = loop.needed(todo)
        gained = [p for p in of_param if p in needed and p not in found]
        found.update(gained)
        todo = [of_param[p].after for p in gained]
    return found


def _settle_constant(loop: Loop) -> None:
    """A carry that no step changes, and whose last value nobody reads, is a constant."""
    kept = []
    for carry in loop.carries:
        if carry.after is carry.param and carry.result is None:
            loop.consts[carry.param] = carry.start
        else:
            kept.append(carry)
    loop.carries = kept
