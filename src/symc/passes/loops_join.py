"""Contractions of a step joined and split, so that a step has few and the loop keeps the least.

before: a loop taken apart.  after:
- `join`: products of one value of the step with several constants of the loop (`h @ W_i`, the gates
  of an LSTM) are one product with those side by side, and its result in slices; the constants are
  put together once, before the loop.
- `split`: a product of what stands side by side (`concat(x_t, h) @ W`) is a sum of two, where one
  part needs no carry and the other does: the first leaves the loop.

Bits: `join` keeps the terms of each sum; `split` takes a sum of products in another order.  Both
are what `order="any"` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from symc.ir import moves, ops, term
from symc.ir.build import placed_at
from symc.ir.core import Node, Value, nodes_so_far
from symc.ir.ops import attributes
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind
from symc.ir.rewriter import merged_locations, remake
from symc.ir.term import Term
from symc.passes.loops_form import Loop
from symc.passes.nominal import nominal
from symc.passes.pieces import joined

# Bytes of constants that are put together, per step: a step that reads them all takes as long as
# copying twenty times less.
COPIED: Final = 32 << 10

# The values in place of a node's results, given what is read in place of others; None: a copy.
_Visit = Callable[[Node, Mapping[Value, Value]], Mapping[Value, Value] | None]


def _rebuilt(loop: Loop, nodes: Iterable[Node], visit: _Visit) -> None:
    """The body with what `visit` makes of its nodes."""
    current: dict[Value, Value] = {}
    for node in nodes:
        made = visit(node, current)
        if made is None:
            copy = remake(node, [current.get(x, x) for x in node.operands], node.regions)
            made = dict(zip(node.results, copy.results, strict=True)) if copy is not node else {}
        current.update(made)
    for carry in loop.carries:
        carry.after = current.get(carry.after, carry.after)
    for row in loop.ys:
        row.value = current.get(row.value, row.value)


def _axes(node: Node) -> DotAxes:
    left, right = node.operands
    return dot_axes(left.type.rank, right.type.rank, node.attrs)


def _side_by_side(parts: Sequence[Value], axis: int) -> Term:
    """Values along an axis: a view where they are pieces of one array."""
    if len(parts) == 1:
        return Term(parts[0])
    return joined(parts, axis) or term.concat([Term(part) for part in parts], axis)


# Several as one.
def join(loop: Loop) -> bool:
    """Make one contraction of several; whether there were any."""
    fixed = _fixed(loop)
    group_of: dict[Node, _Group] = {}
    for group in _groups(loop, fixed):
        if group.copied <= COPIED * nominal(loop.length):
            group_of.update(dict.fromkeys(group.members, group))
    if not group_of:
        return False

    def visit(node: Node, current: Mapping[Value, Value]) -> Mapping[Value, Value] | None:
        group = group_of.get(node)
        if group is None:
            return None
        return group.built(loop, current) if node is group.members[0] else {}

    # Constants first: a member is made where the first one of its group stands.
    nodes = loop.nodes()
    ahead = [node for node in nodes if node in fixed]
    _rebuilt(loop, [*ahead, *(node for node in nodes if node not in fixed)], visit)
    return True


def _fixed(loop: Loop) -> set[Node]:
    """Nodes that compute the same at every step."""
    values = set(loop.consts)
    found = set()
    for node in loop.nodes():
        if node.op.kind is not Kind.CONTROL and all(x in values for x in node.operands):
            values.update(node.results)
            found.add(node)
    return found


class _Group:
    """Contractions of one value with constants; operand `side` is the constant."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.members: list[Node] = []

    @property
    def parts(self) -> list[Value]:
        """The constants."""
        return [node.operands[self.side] for node in self.members]

    @property
    def along(self) -> int:
        """The axis along which they stand side by side."""
        axes = _axes(self.members[0])
        return (axes.lhs_free, axes.rhs_free)[self.side][0]

    @property
    def copied(self) -> int:
        """Bytes of constants that are copied, before the loop."""
        if joined(self.parts, self.along) is not None:
            return 0
        return sum(nominal(part.type.bytes) for part in self.parts)

    def built(self, loop: Loop, current: Mapping[Value, Value]) -> Mapping[Value, Value]:
        """One contraction; its slices in place of the results of the members."""
        first, side = self.members[0], self.side
        axes, along = _axes(first), self.along
        place = len(axes.lhs_batch) + (len(axes.lhs_free) if side == 1 else 0)
        parts = [current.get(part, part) for part in self.parts]
        shared = first.operands[1 - side]
        since = nodes_so_far()
        with placed_at(merged_locations(*(node.locations for node in self.members))):
            pair = [Term(current.get(shared, shared))] * 2
            pair[side] = _side_by_side(parts, along)
            whole = term.apply_op(ops.DOT, pair, first.attrs)
            found, start = {}, 0
            for node, part in zip(self.members, parts, strict=True):
                size = part.type.shape[along]
                assert isinstance(size, int)
                found[node.results[0]] = whole.narrow(place, start, size).value
                start += size
        loop.moved(moves.JOINED, first.results[0]).became(whole.value, since, 0)
        return found


def _groups(loop: Loop, fixed: set[Node]) -> list[_Group]:
    """Contractions that can be one: of one value, that changes from step to step."""
    found: dict[object, _Group] = {}
    for node in loop.nodes():
        if node.op is not ops.DOT or node in fixed:
            continue
        marks = [x in loop.consts or x.node in fixed for x in node.operands]
        if any(marks):
            side = marks.index(True)
            key = _key(node, side)
            if key is not None:
                found.setdefault(key, _Group(side)).members.append(node)
    return [group for group in found.values() if len(group.members) > 1]


def _key(node: Node, side: int) -> object | None:
    """Equal for contractions that can be joined along the first free axis of operand `side`."""
    axes = _axes(node)
    free = (axes.lhs_free, axes.rhs_free)[side]
    shape = node.operands[side].type.shape
    if not free or not isinstance(shape[free[0]], int):
        return None
    rest = tuple(size for axis, size in enumerate(shape) if axis != free[0])
    return (node.operands[1 - side], side, axes, node.attrs["order"], rest)


# One as two.
def split(loop: Loop) -> bool:
    """Take products of sequences out of products with what stands beside them."""
    behind = {carry.param for carry in loop.carries}
    for node in loop.nodes():
        if any(x in behind for x in node.operands):
            behind.update(node.results)
    pieces = {node: _Pieces.of(node, behind) for node in loop.nodes() if node.op is ops.DOT}
    if not any(pieces.values()):
        return False

    def visit(node: Node, current: Mapping[Value, Value]) -> Mapping[Value, Value] | None:
        parts = pieces.get(node)
        return None if parts is None else {node.results[0]: parts.built(loop, node, current)}

    _rebuilt(loop, loop.nodes(), visit)
    return True


class _Pieces:
    """What stands side by side in operand `side` of a contraction, along contracted axis `number`.

    early: those that need no carry, with where they begin; late: the others.
    """

    def __init__(self, side: int, number: int) -> None:
        self.side = side
        self.number = number
        self.early: list[tuple[Value, int]] = []
        self.late: list[tuple[Value, int]] = []

    @staticmethod
    def of(node: Node, behind: set[Value]) -> _Pieces | None:
        """The pieces of a contraction, if some of them but not all need a carry."""
        if node.attrs["order"] != "any":
            return None
        for side, operand in enumerate(node.operands):
            source = operand.node
            if source is None or source.op is not ops.CONCAT or node.operands[1 - side] in behind:
                continue
            axes = _axes(node)
            contract = (axes.lhs_contract, axes.rhs_contract)[side]
            axis = attributes.integer(source.attrs, "axis")
            sizes = [x.type.shape[axis] for x in source.operands]
            if axis not in contract or not all(isinstance(size, int) for size in sizes):
                continue
            found, start = _Pieces(side, contract.index(axis)), 0
            for x, size in zip(source.operands, sizes, strict=True):
                (found.late if x in behind else found.early).append((x, start))
                assert isinstance(size, int)
                start += size
            if found.early and found.late:
                return found
        return None

    def built(self, loop: Loop, node: Node, current: Mapping[Value, Value]) -> Value:
        """The sum of the two products."""
        since = nodes_so_far()
        with placed_at(node.locations):
            early, late = (self._product(node, part, current) for part in (self.early, self.late))
            total = (early + late).value
        loop.moved(moves.SPLIT, node.results[0]).became(total, since, 0)
        return total

    def _product(
        self, node: Node, part: Sequence[tuple[Value, int]], current: Mapping[Value, Value]
    ) -> Term:
        """The product of some of the pieces with the rows of the other operand that they meet."""
        axes = _axes(node)
        contracts = (axes.lhs_contract, axes.rhs_contract)
        ours = contracts[self.side][self.number]
        theirs = contracts[1 - self.side][self.number]
        other = node.operands[1 - self.side]
        whole = Term(current.get(other, other))
        rows = [whole.narrow(theirs, start, x.type.shape[ours]).value for x, start in part]
        pair = [Term(whole.value)] * 2
        pair[self.side] = _side_by_side([current.get(x, x) for x, _ in part], ours)
        pair[1 - self.side] = _side_by_side(rows, theirs)
        return term.apply_op(ops.DOT, pair, node.attrs)
