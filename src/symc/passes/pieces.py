"""Arrays put together of pieces of one array: `concat` of slices as a slice.

before: values and the axis along which they are to stand.  after: a view of what they are pieces
of, or None.  Bits: unchanged.

A piece is a slice, or a slice of one element along an axis that is then dropped (`x[t]`); places
must be one step apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.dims import Size
from symc.ir.ops.attributes import integers, sizes
from symc.ir.term import Term
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class _Run:
    """Slices of `source` that differ only in where they begin along `axis`, `step` apart."""

    source: Value
    first: Node
    axis: int
    step: int


def joined(parts: Sequence[Value], axis: int) -> Term | None:
    """The values side by side along `axis`, as a view of the one array that they are read from."""
    if len(parts) < 2:
        return None
    direct = [_slice(part) for part in parts]
    if all(node is not None for node in direct):
        run = _run([node for node in direct if node is not None])
        if run is not None and run.axis == axis and _touching(run, direct):
            return _whole(run, sum((part.type.shape[axis] for part in parts), start=0))
    inner = [_slice(_below(part)) for part in parts]
    if any(node is None for node in inner) or len({part.type for part in parts}) > 1:
        return None
    run = _run([node for node in inner if node is not None])
    if run is None or run.first.results[0].type.shape[run.axis] != 1:
        return None
    return _stacked(run, len(parts), parts[0].type.shape, axis)


def _slice(value: Value) -> Node | None:
    return value.node if value.node is not None and value.node.op is ops.SLICE else None


def _below(value: Value) -> Value:
    """What is read through views that add or drop axes of size 1."""
    wide = [size for size in value.type.shape if size != 1]
    while value.node is not None and value.node.op in (ops.RESHAPE, ops.BROADCAST):
        (operand,) = value.node.operands
        if [size for size in operand.type.shape if size != 1] != wide:
            break
        value = operand
    return value


def _run(slices: Sequence[Node]) -> _Run | None:
    """The slices as one run; None when they are of different arrays, or not evenly apart."""
    first, second = slices[0], slices[1]
    source = first.operands[0]
    begins = [sizes(node.attrs, "starts") for node in slices]
    moved = [
        i for i, pair in enumerate(zip(begins[0], begins[1], strict=True)) if pair[0] != pair[1]
    ]
    steps = integers(first.attrs, "steps")
    if second.operands[0] is not source or len(moved) != 1:
        return None
    (axis,) = moved
    for node in slices:
        same = node.operands[0] is source and integers(node.attrs, "steps") == steps
        if not same or len(node.results[0].type.shape) != source.type.rank:
            return None
    step = begins[1][axis] - begins[0][axis]
    if not isinstance(step, int) or step == 0:
        return _Run(source, first, axis, 0) if _alike(slices, begins, axis) else None
    if not _alike(slices, begins, axis):
        return None
    even = all(now[axis] - then[axis] == step for then, now in pairwise(begins))
    return _Run(source, first, axis, step if even else 0)


def _alike(slices: Sequence[Node], begins: Sequence[Sequence[Size]], axis: int) -> bool:
    """Whether slices have the same places and sizes along all axes but one."""

    def rest(values: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(value for i, value in enumerate(values) if i != axis)

    places = {rest(begin) for begin in begins}
    return len(places) == len({rest(node.results[0].type.shape) for node in slices}) == 1


def _touching(run: _Run, slices: Sequence[Node | None]) -> bool:
    """Whether each slice begins where the one before it ends."""
    stride = integers(run.first.attrs, "steps")[run.axis]
    place = sizes(run.first.attrs, "starts")[run.axis]
    for node in slices:
        assert node is not None
        if sizes(node.attrs, "starts")[run.axis] != place:
            return False
        place = place + node.results[0].type.shape[run.axis] * stride
    return True


def _whole(run: _Run, size: Size) -> Term:
    """One slice of all that the run reads."""
    starts, steps = sizes(run.first.attrs, "starts"), integers(run.first.attrs, "steps")
    shape = list(run.first.results[0].type.shape)
    shape[run.axis] = size
    return _cut(run.source, starts, shape, steps)


def _cut(
    source: Value, starts: Sequence[Size], shape: Sequence[Size], steps: Sequence[int]
) -> Term:
    if tuple(shape) == source.type.shape and set(steps) <= {1}:
        return Term(source)
    return Term(source).slice(starts, shape, steps)


def _stacked(run: _Run, count: int, shape: Sequence[Size], axis: int) -> Term | None:
    """Elements along the axis of the run, moved to stand before the axis of the pieces."""
    if run.step == 0:
        return None
    starts, steps = sizes(run.first.attrs, "starts"), list(integers(run.first.attrs, "steps"))
    taken = list(run.first.results[0].type.shape)
    taken[run.axis], steps[run.axis] = count, run.step
    whole = _cut(run.source, starts, taken, steps)
    wide = [i for i, size in enumerate(taken) if size != 1 and i != run.axis]
    before = sum(size != 1 for size in shape[:axis])
    units = [i for i in range(len(taken)) if i not in wide and i != run.axis]
    order = [*units, *wide[:before], run.axis, *wide[before:]]
    result = list(shape)
    result[axis] = result[axis] * count
    return whole.permute(order).reshape(result)
