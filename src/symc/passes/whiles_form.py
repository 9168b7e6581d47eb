"""A while loop taken apart: what the passes on while loops change, and how a node is made again.

before: a while node and its operands.  after: rows of (param, operand) over one set of params,
which condition and body share, from which `made` builds a node over copies of both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field

from symc.ir.binding import bound_counts, mentioned_by, only_symbol
from symc.ir.build import placed_at
from symc.ir.core import Constraint, Function, Node, Value, nodes_behind
from symc.ir.dims import Dim, Size, Symbol, symbols
from symc.ir.ops.loop_groups import Operands, make_while, while_groups
from symc.ir.ops.record import Kind
from symc.ir.rewriter import remake, spliced
from symc.ir.specialise import cloned
from symc.records import dataclass


@dataclass(slots=True, eq=False)
class Carry:
    """One carry: its param, the first value, what a step makes of it, and the last value."""

    param: Value
    start: Value
    after: Value
    result: Value | None


@dataclass(slots=True, eq=False)
class Row:
    """One y: its value in the step, and the stacked values."""

    value: Value
    result: Value | None


@dataclass(slots=True, eq=False)
class While:
    """A while loop as rows; `result` is None where nobody reads it.

    number: the param for the number of the step, if a step reads it.  also: a result -> another
    whose value it has.  counts: the value of each dim that a node of the body binds.
    """

    node: Node
    most: Size | None
    rows: Dim | None
    number: Value | None
    going: Value
    count: Value | None
    consts: dict[Value, Value] = field(default_factory=dict)  # param -> operand
    xs: dict[Value, Value] = field(default_factory=dict)
    carries: list[Carry] = field(default_factory=list)
    ys: list[Row] = field(default_factory=list)
    also: dict[Value, Value] = field(default_factory=dict)
    counts: dict[Symbol, Value] = field(default_factory=dict)

    @property
    def wanted(self) -> list[Value]:
        """What a step computes: carries, then ys."""
        return [*(c.after for c in self.carries), *(y.value for y in self.ys)]

    @property
    def params(self) -> list[Value]:
        """All params of the body, the number last."""
        number = [] if self.number is None else [self.number]
        return [*self.consts, *(carry.param for carry in self.carries), *self.xs, *number]

    def nodes(self) -> list[Node]:
        """The nodes of condition and body, in order."""
        return self._behind([self.going, *self.wanted])

    def _behind(self, values: Sequence[Value]) -> list[Node]:
        """The nodes that values of a step need."""
        return nodes_behind(values, self.params, self.counts)

    def _needed(self, values: Sequence[Value]) -> set[Value]:
        """The params that values of a step need."""
        read = [x for node in self._behind(values) for x in node.operands]
        return {x for x in (*values, *read) if x.node is None}

    def prune(self, read: Sequence[bool], dims: Collection[Symbol]) -> bool:
        """Drop what nobody reads; `read` per result, `dims`: those that somebody mentions."""
        before = self._extent()
        results = [*(c.result for c in self.carries), *(y.result for y in self.ys)]
        kept = {result for result, mark in zip(results, read, strict=False) if mark}
        parts: list[Carry | Row] = [*self.carries, *self.ys]
        for part in parts:
            part.result = part.result if part.result in kept else None
        mentioned = self.rows is not None and only_symbol(self.rows) in dims
        if self.count is not None and not read[-1] and not mentioned:
            self.count = None
        self.ys = [row for row in self.ys if row.result is not None]
        if not self.ys and self.count is None:
            self.rows = None
        live = self._live()
        self.carries = [carry for carry in self.carries if carry.param in live]
        self._settle_constants()
        self._drop_unread()
        return before != self._extent()

    def _extent(self) -> tuple[object, ...]:
        groups = (self.consts, self.xs, self.carries, self.ys)
        return (*(len(group) for group in groups), self.rows, self.number)

    def _drop_unread(self) -> None:
        needed = self._needed([self.going, *self.wanted])
        self.consts = {p: x for p, x in self.consts.items() if p in needed}
        self.xs = {p: x for p, x in self.xs.items() if p in needed}
        self.number = self.number if self.number in needed else None

    def _live(self) -> set[Value]:
        """Params of carries that a result or the condition depends on."""
        of_param = {carry.param: carry for carry in self.carries}
        found = {carry.param for carry in self.carries if carry.result is not None}
        todo = [self.going, *(row.value for row in self.ys), *(of_param[p].after for p in found)]
        while todo:
            needed = self._needed(todo)
            gained = [p for p in of_param if p in needed and p not in found]
            found.update(gained)
            todo = [of_param[p].after for p in gained]
        return found

    def _settle_constants(self) -> None:
        """A carry that no step changes is a constant, and its last value is its first."""
        kept = []
        for carry in self.carries:
            if carry.after is carry.param:
                self.consts[carry.param] = carry.start
                if carry.result is not None:
                    self.also[carry.result] = carry.start
            else:
                kept.append(carry)
        self.carries = kept

    def lift(self) -> bool:
        """Make what a step computes from constants only a constant."""
        outer: dict[Value, Value] = dict(self.consts)
        inside = set(self.params)
        for node in self.nodes():
            if not node.operands or node.op.effects or node.op.kind is Kind.CONTROL:
                continue
            if all(x in outer or _bare(x) for x in node.operands) and not mentioned_by(node):
                copies = [outer[x] if x in outer else _outside(x) for x in node.operands]
                lifted = remake(node, copies, ())
                outer.update(zip(node.results, lifted.results, strict=True))
        read = self._read_by_others(outer)
        gained = [x for x in read if x not in inside and x.node is not None and not _view(x.node)]
        for value in gained:
            self.consts[value] = outer[value]
        if gained:
            self._enclose()
        return bool(gained)

    def _read_by_others(self, outer: Collection[Value]) -> list[Value]:
        """Values that can be outside and are read by what cannot."""
        found = dict.fromkeys(x for x in [self.going, *self.wanted] if x in outer)
        for node in self.nodes():
            if not all(result in outer for result in node.results):
                found.update(dict.fromkeys(x for x in node.operands if x in outer))
        return list(found)

    def _enclose(self) -> None:
        """Params of their own for constants that are results of nodes."""
        params = {p: (Value(p.type) if p.node is not None else p) for p in self.params}
        results = [self.going, *self.wanted]
        nodes = self._behind(results)
        values = dict(params)
        for node in nodes:
            again = remake(node, [values.get(x, x) for x in node.operands], node.regions)
            values.update(zip(node.results, again.results, strict=True))
        self.consts = {params[p]: x for p, x in self.consts.items()}
        self.going = values.get(self.going, self.going)
        for carry in self.carries:
            carry.after = values.get(carry.after, carry.after)
        for row in self.ys:
            row.value = values.get(row.value, row.value)
        self.counts = {dim: values.get(count, count) for dim, count in self.counts.items()}
        self._drop_unread()


def _view(node: Node) -> bool:
    return node.op.kind in (Kind.VIEW, Kind.SOURCE)


def _bare(value: Value) -> bool:
    """Whether a value is a constant or a ramp."""
    node = value.node
    return node is not None and not node.operands and not node.regions and not mentioned_by(node)


def _outside(value: Value) -> Value:
    """A constant of a step as one of the function around the loop."""
    assert value.node is not None
    node = value.node
    copy = Node(
        node.op, (), node.attrs, tuple(r.type for r in node.results), locations=node.locations
    )
    return copy.results[value.index]


def taken_apart(node: Node, operands: Sequence[Value]) -> While:
    """The loop `node` over `operands`; condition and body over one set of params."""
    parts = while_groups(node)
    condition, body = node.regions
    copy = cloned(body)
    params, found = copy.params, copy.results
    consts, carries, xs = parts.split(params)
    (going,) = spliced(condition, [*consts, *carries])
    given = parts.split(operands)
    count = parts.carries
    number = params[len(operands) :]
    rows = zip(carries, given[1], found[:count], node.results[:count], strict=True)
    ys = zip(found[count:], node.results[count:-1], strict=True) if parts.rows is not None else ()
    return While(
        node,
        parts.most,
        parts.rows,
        number[0] if number else None,
        going,
        node.results[-1] if parts.rows is not None else None,
        dict(zip(consts, given[0], strict=True)),
        dict(zip(xs, given[2], strict=True)),
        [Carry(*row) for row in rows],
        [Row(*row) for row in ys],
        counts=bound_counts(copy.nodes),
    )


def made(loop: While) -> dict[Value, Value]:
    """A node of the loop: old result -> new result, where somebody reads it."""
    name, test = loop.node.regions[1].name, loop.node.regions[0].name
    carries = [carry.param for carry in loop.carries]
    body = _region(name, loop.params, loop.wanted, loop.counts)
    condition = _region(test, [*loop.consts, *carries], [loop.going], loop.counts)
    operands = Operands(
        list(loop.consts.values()),
        [carry.start for carry in loop.carries],
        list(loop.xs.values()),
    )
    with placed_at(loop.node.locations):
        node = make_while(loop.node.op, (condition, body), operands, loop.most, loop.rows)
    rows = [*(c.result for c in loop.carries), *(y.result for y in loop.ys)]
    found = {old: new for old, new in zip(rows, node.results, strict=False) if old is not None}
    if loop.count is not None:
        found[loop.count] = node.results[-1]
    return found | {old: found.get(new, new) for old, new in loop.also.items()}


def _region(
    name: str,
    params: Sequence[Value],
    results: Sequence[Value],
    counts: Mapping[Symbol, Value],
) -> Function:
    nodes = nodes_behind(results, params, counts)
    return cloned(Function(name, tuple(params), tuple(nodes), tuple(results)))


class Rebuilt:
    """A function in the making, node by node: what replaces what."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._values: dict[Value, Value] = {}
        self._nodes: dict[Node, None] = {}
        self._params = set(function.params)

    def of(self, value: Value) -> Value:
        """What stands for `value` now."""
        return self._values.get(value, value)

    def keep(self, node: Node) -> None:
        """The node over current operands."""
        again = remake(node, [self.of(x) for x in node.operands], node.regions)
        self._place(again.results)
        if again is not node:
            self._values.update(zip(node.results, again.results, strict=True))

    def put(self, values: dict[Value, Value]) -> None:
        """Values in place of others; the nodes behind them are placed here."""
        self._place(values.values())
        self._values.update(values)

    def _place(self, values: Iterable[Value]) -> None:
        """Nodes that are not there yet, operands first."""
        todo = [(value.node, False) for value in values if value not in self._params]
        while todo:
            node, ready = todo.pop()
            if node is None or node in self._nodes:
                continue
            if ready:
                self._nodes[node] = None
                continue
            todo.append((node, True))
            todo.extend((x.node, False) for x in node.operands if x not in self._params)

    def function(self) -> Function:
        """The new function; the old one when nothing was put in place of anything."""
        old = self._function
        if not self._values:
            return old
        results = tuple(self.of(result) for result in old.results)
        return Function(old.name, old.params, tuple(self._nodes), results, old.constraints)


def read_of(function: Function) -> set[Value]:
    """Values that some node reads, or that are results."""
    return {x for node in function.nodes for x in node.operands} | set(function.results)


def counted(function: Function) -> set[Symbol]:
    """Computed dims that some node, result or constraint mentions."""
    found = {symbol for node in function.nodes for symbol in mentioned_by(node)}
    found |= {s for result in function.results for s in result.type.symbols()}
    return found | {s for c in function.constraints for s in _in_constraint(c)}


def _in_constraint(constraint: Constraint) -> set[Symbol]:
    return set(symbols(constraint.left) | symbols(constraint.right))
