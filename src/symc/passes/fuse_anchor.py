"""Nodes around which kernels form: reductions, contractions, scatters, assembled arrays.

before: a node all of whose users are settled.  after: it belongs to a group of its users (reduction
into later stages of the same rows; contraction under its epilogue), or to one of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.dims import Size
from symc.ir.ops import attributes
from symc.passes.fuse_cost import LIMIT
from symc.passes.fuse_group import Apart, Group, Reduction, Shape, Store, current, reaches
from symc.passes.fuse_index import (
    ZERO,
    Index,
    axes_of,
    coordinate,
    selection,
    shifted,
)
from symc.passes.fuse_merge import merged
from symc.passes.fuse_partition import Partition, Use
from symc.passes.fuse_wait import read

PIECES = 16  # pieces of one shape that one kernel writes


# Reductions.
def join_rows(p: Partition, node: Node) -> None:
    """Put a reduction into a group that uses its result row by row, or into its own."""
    value = node.results[0]
    inline, buffered = p.split(value)
    inline = merged(p, value, inline)
    for group in sorted(inline, key=lambda g: g.lo):
        others = [use for g, uses in inline.items() if g is not group for use in uses]
        others += buffered
        if _reduces(p, node, group, inline[group], others):
            index = inline[group][0].index
            assert index is not None
            _add_reduction(p, node, group, index)
            if others:
                p.store(value, group, inline[group], others)
            return
    readers = [*buffered, *(use for uses in inline.values() for use in uses)]
    if readers:
        _own_reduction(p, node, readers)


def _own_reduction(p: Partition, node: Node, readers: Sequence[Use]) -> None:
    value = node.results[0]
    index, axes = p.frame(value.type.shape)
    group = p.new_group(Shape.ROW, axes, node)
    group.outer = frozenset(axes)
    group.add_store(Store(value, index, value, index), p.number[node])
    p.precede(group, readers)
    _add_reduction(p, node, group, index)


def _reduces(
    p: Partition, node: Node, group: Group, uses: Sequence[Use], others: Sequence[Use]
) -> bool:
    """Whether a group that uses the result of a reduction can compute it in an earlier stage."""
    value, index = node.results[0], uses[0].index
    if index is None or any(use.index != index for use in uses):
        return p.refuse(value, group, Apart.PLACES)
    if group.cost + 4 > LIMIT:
        return p.refuse(value, group, Apart.CODE)
    if selection(index, value.type) is None:
        return p.refuse(value, group, Apart.PART)
    shape = node.operands[0].type.shape
    gained = [shape[axis] for axis in reduced_axes(node)]
    have = {p.axes.sizes[axis] for axis in p.live(group) - axes_of(index)}
    if not p.rows_fit(group, axes_of(index), [size for size in gained if size not in have]):
        return p.refuse(value, group, Apart.ROWS)
    if others and p.whole(index, value.type) is None:
        return p.refuse(value, group, Apart.PART)
    if others and not _may_store_rows(group, others):
        return p.refuse(value, group, Apart.ORDER)
    p.make_rows(group, axes_of(index))
    return True


def _may_store_rows(group: Group, others: Sequence[Use]) -> bool:
    readers = [use.group for use in others if use.group is not None]
    if any(current(reader) is group for reader in readers):
        return False
    return not reaches(readers, [group])


def reduced_axes(node: Node) -> tuple[int, ...]:
    """The operand's axes that a reduction removes."""
    return attributes.integers(node.attrs, "axes")


def _add_reduction(p: Partition, node: Node, group: Group, index: Index) -> None:
    """Make `node` a member whose result is read at `index`."""
    operand = node.operands[0]
    reduced = reduced_axes(node)
    outer = p.outer(group) or frozenset()
    free = [axis for axis in sorted(p.live(group) - outer) if axis not in axes_of(index)]
    rest = iter(index)
    place: list[tuple[Size, tuple[tuple[int, Size], ...]]] = []
    chosen: list[int] = []
    for axis, size in enumerate(operand.type.shape):
        if axis not in reduced:
            place.append(next(rest))
            continue
        chosen.append(_inner_axis(p, group, free, size))
        place.append(ZERO if size == 1 else coordinate(chosen[-1]))
    where = tuple(place)
    group.members.add(node)
    group.cost += 4
    group.note(p.number[node])
    group.reductions[node] = Reduction(node, index, where, tuple(chosen))
    p.use(operand, Use(group, where, axes_of(where)))


def _inner_axis(p: Partition, group: Group, free: list[int], size: Size) -> int:
    """An inner axis of the given size: one that the group has, or a new one."""
    for axis in free:
        if p.axes.sizes[axis] == size:
            free.remove(axis)
            return axis
    axis = p.axes.new(size)
    group.axes.append(axis)
    return axis


# Contractions.
def contract(p: Partition, node: Node) -> None:
    """Put a contraction under the elementwise work on its result, or into its own group."""
    value = node.results[0]
    inline, buffered = p.split(value)
    inline = merged(p, value, inline)
    for group in sorted(inline, key=lambda g: g.lo):
        uses = inline[group]
        others = [use for g, other in inline.items() if g is not group for use in other]
        others += buffered
        index = uses[0].index
        if group.shape is not Shape.MAP or group.ramps or index is None:
            p.refuse(value, group, Apart.CONTRACT)
            continue
        if not _one_place(p, group, uses, value):
            p.refuse(value, group, Apart.PLACES)
            continue
        if others and not p.may_store(value, group, uses, others):
            continue
        if others:
            p.store(value, group, uses, others)
        _place_contract(p, node, group, index)
        return
    readers = [*buffered, *(use for uses in inline.values() for use in uses)]
    if readers:
        index, axes = p.frame(value.type.shape)
        group = p.new_group(Shape.MAP, axes, node)
        group.add_store(Store(value, index, value, index), p.number[node])
        p.precede(group, readers)
        _place_contract(p, node, group, index)


def _one_place(p: Partition, group: Group, uses: Sequence[Use], value: Value) -> bool:
    index = uses[0].index
    if index is None or any(use.index != index for use in uses):
        return False
    chosen = selection(index, value.type)
    return chosen is not None and frozenset(chosen) == p.live(group)


def _place_contract(p: Partition, node: Node, group: Group, index: Index) -> None:
    group.shape = Shape.CONTRACT
    group.contract = (node, index)
    group.members.add(node)
    group.note(p.number[node])
    for operand in node.operands:
        read(p, operand, group)


# Writes into part of a buffer.
def _readers(p: Partition, value: Value) -> list[Use]:
    inline, buffered = p.split(value)
    return [*buffered, *(use for uses in inline.values() for use in uses)]


def place_scatter(p: Partition, node: Node) -> None:
    """A group over the updates of a scatter, which writes into (a copy of) its first operand."""
    readers = _readers(p, node.results[0])
    if readers:
        _, indices, updates = node.operands
        index, axes = p.frame(updates.type.shape)
        _fixed(p, node, axes, Store(updates, index, node.results[0], index), readers)
        read(p, indices, p.groups[-1])


def _fixed(p: Partition, node: Node, axes: list[int], store: Store, readers: Sequence[Use]) -> None:
    group = p.new_group(Shape.FIXED, axes, node)
    group.effect = node
    group.add_store(store, p.number[node])
    p.precede(group, readers)
    p.use(store.value, Use(group, store.index, axes_of(store.index)))
    p.use(node.operands[0], Use(group))


def place_pieces(p: Partition, node: Node) -> None:
    """Pieces of a concatenation go to their places, a slice update into (a copy of) its array."""
    readers = _readers(p, node.results[0])
    if not readers:
        return
    if node.op is ops.SET_SLICE:
        starts = attributes.sizes(node.attrs, "starts")
        steps = attributes.sizes(node.attrs, "steps")
        updates = node.operands[1]
        index, axes = p.frame(updates.type.shape)
        place = shifted(index, starts, steps)
        _fixed(p, node, axes, Store(updates, index, node.results[0], place), readers)
        return
    _concat(p, node, readers)


def _concat(p: Partition, node: Node, readers: Sequence[Use]) -> None:
    along = attributes.integer(node.attrs, "axis")
    start: Size = 0
    group: Group | None = None
    before: tuple[Size, ...] = ()
    index: Index = ()
    pieces = [piece for piece in node.operands if piece.type.shape[along] != 0]
    for piece in pieces or node.operands[:1]:
        shape = piece.type.shape
        if group is None or shape != before or len(group.stores) >= PIECES:
            index, axes = p.frame(shape)
            group = p.new_group(Shape.MAP, axes, node)
            p.precede(group, readers)
        before = shape
        starts = [start if axis == along else 0 for axis in range(len(shape))]
        place = shifted(index, starts, [1] * len(shape))
        group.add_store(Store(piece, index, node.results[0], place), p.number[node])
        p.use(piece, Use(group, index, axes_of(index)))
        start = start + shape[along]
