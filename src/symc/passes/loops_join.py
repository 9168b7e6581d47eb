"""Contractions of a step joined and split, so that a step has few and the loop keeps the least.

before: a loop taken apart.  after:
- `join`: products of one value of the step with several constants of the loop (`h @ W_i`, the gates
  of an LSTM) are one product with those side by side, and its result in slices; the constants are
  put together once, before the loop.
- `unjoin`: the opposite, before loops are merged.
- `split`: a product of what stands side by side (`concat(x_t, h) @ W`) is a sum of two, where one
  part needs no carry and the other does: the first leaves the loop.

Bits: `join` keeps the terms of each sum; `split` takes a sum of products in another order.  Both
are what `order="any"` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from symc.ir import moves, ops, term
from symc.ir.build import apply, placed_at
from symc.ir.core import Node, Value, nodes_so_far
from symc.ir.dims import Size
from symc.ir.ops import attributes
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind
from symc.ir.rewriter import merged_locations, remake
from symc.ir.term import Term
from symc.passes.loops_form import Loop
from symc.passes.loops_guard import may_keep
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
    loop.counts = {dim: current.get(count, count) for dim, count in loop.counts.items()}


def _names(loop: Loop) -> Mapping[Value, str]:
    """What params are called, as in reports of the loop as it is now."""
    carries = {carry.param: f"carry {i}" for i, carry in enumerate(loop.carries)}
    return carries | {param: f"xs {i}" for i, param in enumerate(loop.xs)}


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
    groups = [group for group in _groups(loop) if group.pays(loop)]
    if not groups:
        return False
    group_of = {node: group for group in groups for node in group.members}

    def visit(node: Node, current: Mapping[Value, Value]) -> Mapping[Value, Value] | None:
        group = group_of.get(node)
        if group is None:
            return None
        return group.built(loop, current) if node is group.members[0] else {}

    # Constants first: a member is made where the first one of its group stands.
    nodes, fixed = loop.nodes(), _fixed(loop)
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


def _groups(loop: Loop) -> list[_Group]:
    """Contractions that can be one: of one value, that changes from step to step."""
    fixed = _fixed(loop)
    found: dict[object, list[Node]] = {}
    sides: dict[object, int] = {}
    for node in loop.nodes():
        if node.op is not ops.DOT or node in fixed:
            continue
        marks = [x in loop.consts or x.node in fixed for x in node.operands]
        if any(marks):
            side = marks.index(True)
            key = _key(node, side)
            if key is not None:
                found.setdefault(key, []).append(node)
                sides[key] = side
    several = [key for key, members in found.items() if len(members) > 1]
    return [_Group(loop, found[key], sides[key]) for key in several]


def _key(node: Node, side: int) -> object | None:
    """Equal for contractions that can be joined along the first free axis of operand `side`."""
    axes = _axes(node)
    free = (axes.lhs_free, axes.rhs_free)[side]
    shape = node.operands[side].type.shape
    if not free or not isinstance(shape[free[0]], int):
        return None
    rest = tuple(size for axis, size in enumerate(shape) if axis != free[0])
    return (node.operands[1 - side], side, axes, node.attrs["order"], rest)


def _steps(node: Node) -> tuple[int, ...]:
    return attributes.integers(node.attrs, "steps")


def _starts(node: Node) -> tuple[Size, ...]:
    return attributes.sizes(node.attrs, "starts")


class _Group:
    """Contractions of one value with constants; operand `side` is the constant.

    parts: the constants along axis `along`, each once; `inside`: those of each member.  A constant
    that was put together before is the parts that it was put together of, so that loops which are
    merged later do nothing twice.
    """

    def __init__(self, loop: Loop, members: Sequence[Node], side: int) -> None:
        self.side = side
        axes = _axes(members[0])
        self.along = (axes.lhs_free, axes.rhs_free)[side][0]
        self.place = len(axes.lhs_batch) + (len(axes.lhs_free) if side == 1 else 0)
        self.members = list(members)
        atoms = {node: _atoms(loop, node.operands[side], self.along) for node in members}
        # The longest first: what others share with it lies together.
        order = sorted(members, key=lambda node: -len(atoms[node]))
        self.parts = list(dict.fromkeys(x for node in order for x in atoms[node]))
        self.inside = atoms

    def pays(self, loop: Loop) -> bool:
        """Whether few bytes of constants are copied, before the loop."""
        if any(self.inside[node] == self.parts for node in self.members):
            return True  # one of them computes what the others do
        if joined(self.parts, self.along) is not None:
            return True
        if not may_keep(loop, sum((part.type.bytes for part in self.parts), start=0)):
            return False
        copied = sum(nominal(part.type.bytes) for part in self.parts)
        return copied <= COPIED * nominal(loop.length)

    def built(self, loop: Loop, current: Mapping[Value, Value]) -> Mapping[Value, Value]:
        """One contraction; slices of it in place of the results of the members."""
        since = nodes_so_far()
        with placed_at(merged_locations(*(node.locations for node in self.members))):
            whole = self._whole(current)
            starts: dict[Value, int] = {}
            end = 0
            for part in self.parts:
                starts[part] = end
                end += self._size(part)
            found = {}
            for node in self.members:
                found[node.results[0]] = self._piece(whole, self.inside[node], starts)
        move = loop.moved(moves.JOINED, self.members[0].results[0])
        move.became(whole.value, since, 0)
        move.names = _names(loop)
        return found

    def _size(self, part: Value) -> int:
        size = part.type.shape[self.along]
        assert isinstance(size, int)
        return size

    def _whole(self, current: Mapping[Value, Value]) -> Term:
        """The one contraction."""
        first = self.members[0]
        same = (node for node in self.members if self.inside[node] == self.parts)
        member = next(same, None)
        if member is None:
            other = _side_by_side([current.get(x, x) for x in self.parts], self.along)
        else:
            other = Term(current.get(member.operands[self.side], member.operands[self.side]))
        shared = first.operands[1 - self.side]
        pair = [Term(current.get(shared, shared))] * 2
        pair[self.side] = other
        return term.apply_op(ops.DOT, pair, first.attrs)

    def atom(self, reader: Node) -> Value | None:
        """The part that a slice of the result shows, if it is all of one."""
        if reader.op is not ops.SLICE or any(integer != 1 for integer in _steps(reader)):
            return None
        starts, sizes = _starts(reader), reader.results[0].type.shape
        whole = reader.operands[0].type.shape
        rest = [i for i in range(len(whole)) if i != self.place]
        if any(starts[i] != 0 or sizes[i] != whole[i] for i in rest):
            return None
        start = 0
        for part in self.parts:
            if (starts[self.place], sizes[self.place]) == (start, self._size(part)):
                return part
            start += self._size(part)
        return None

    def alone(self, part: Value, current: Mapping[Value, Value]) -> Value:
        """The contraction with one part."""
        (member,) = self.members
        shared = member.operands[1 - self.side]
        pair = [current.get(shared, shared)] * 2
        pair[self.side] = part
        return apply(ops.DOT, pair, member.attrs, locations=member.locations).results[0]

    def _piece(self, whole: Term, own: Sequence[Value], starts: Mapping[Value, int]) -> Value:
        """The result of one member: a slice, or slices side by side."""
        pieces: list[tuple[int, int]] = []
        for part in own:
            start, end = starts[part], starts[part] + self._size(part)
            if pieces and pieces[-1][1] == start:
                pieces[-1] = (pieces[-1][0], end)
            else:
                pieces.append((start, end))
        made = [whole.narrow(self.place, start, end - start) for start, end in pieces]
        return (made[0] if len(made) == 1 else term.concat(made, self.place)).value


def _atoms(loop: Loop, value: Value, axis: int) -> list[Value]:
    """What a constant was put together of along an axis, as constants of the loop; else itself."""
    whole = loop.consts.get(value, value)
    source = whole.node
    if whole in loop.given or source is None or source.op is not ops.CONCAT:
        return [value]
    if attributes.integer(source.attrs, "axis") != axis:
        return [value]
    if value not in loop.consts:
        return list(source.operands)
    param_of = {operand: param for param, operand in loop.consts.items()}
    found = []
    for operand in source.operands:
        if not isinstance(operand.type.shape[axis], int):
            return [value]
        if operand not in param_of:
            param_of[operand] = Value(operand.type, name=operand.name)
            loop.consts[param_of[operand]] = operand
        found.append(param_of[operand])
    return found


def unjoin(loop: Loop) -> None:
    """Take contractions apart that were joined, so that equal ones in two loops look equal."""
    readers: dict[Value, list[Node]] = {}
    nodes, fixed, wanted = loop.nodes(), _fixed(loop), set(loop.wanted)
    for node in nodes:
        for x in node.operands:
            readers.setdefault(x, []).append(node)
    groups: dict[Value, _Group] = {}
    for node in nodes:
        side = _joined_side(node, loop) if node not in fixed else None
        if side is not None and node.results[0] not in wanted:
            group = _Group(loop, [node], side)
            if all(group.atom(reader) is not None for reader in readers[node.results[0]]):
                groups[node.results[0]] = group
    if not groups:
        return
    made: dict[tuple[Node, Value], Value] = {}

    def visit(node: Node, current: Mapping[Value, Value]) -> Mapping[Value, Value] | None:
        group = groups.get(node.operands[0]) if node.operands else None
        if group is None or node.op is not ops.SLICE:
            return None
        atom = group.atom(node)
        assert atom is not None
        key = group.members[0], atom
        if key not in made:
            made[key] = group.alone(atom, current)
        return {node.results[0]: made[key]}

    _rebuilt(loop, nodes, visit)


def _joined_side(node: Node, loop: Loop) -> int | None:
    """The operand of a contraction that is a constant put together along its first free axis."""
    if node.op is not ops.DOT:
        return None
    axes = _axes(node)
    for side, free in enumerate((axes.lhs_free, axes.rhs_free)):
        constant = node.operands[side]
        if constant in loop.consts and free and len(_atoms(loop, constant, free[0])) > 1:
            return side
    return None


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
        move = loop.moved(moves.SPLIT, node.results[0])
        move.became(total, since, 0)
        move.names = _names(loop)
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
