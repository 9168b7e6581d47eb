"""Reads go to where the value was put.

before: any tensor function.  after: a slice that lies inside one part of a concatenation reads that
part, a slice of what was just written reads what was written, and one beside it reads what was
there before.  A concatenation of neighbouring pieces of one array is a view of it; empty parts are
left out.  Bits: unchanged.

The derivatives of `concat`, `stack` and in-place writes are full of such slices; without them the
assembled array need not exist.  Sizes may be symbolic: what cannot be proved stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, prove_equal, prove_le
from symc.ir.ops.attributes import integer, integers, sizes
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes.pieces import joined
from symc.passes.sweep import Sweep

Span = tuple[Size, Size]  # positions of an axis from the first on, up to before the second


def run(function: Function, options: Options) -> Function:
    """Redirect slices until nothing changes; operands come first, so one sweep is enough."""
    return Sweep(function).run(_visit)


def _visit(node: Node) -> Sequence[Value] | None:
    """What a slice reads, followed through as many writes as can be."""
    if node.op is ops.CONCAT:
        return _put_together(node)
    made: Value | None = None
    current: Node | None = node
    while current is not None and current.op is ops.SLICE:
        source = current.operands[0].node
        found = _redirected(current, source) if source is not None else None
        if found is None:
            break
        made, current = found, found.node
    return None if made is None else (made,)


def _put_together(node: Node) -> Sequence[Value] | None:
    """A concatenation without empty parts; a view, when the parts are pieces of one array."""
    axis = integer(node.attrs, "axis")
    parts = [part for part in node.operands if part.type.shape[axis] != 0]
    if len(parts) == 1 and parts[0].type == node.results[0].type:
        return parts
    whole = joined(parts, axis)
    if whole is not None:
        return (whole.value,)
    if not parts or len(parts) == len(node.operands):
        return None
    return apply(ops.CONCAT, parts, node.attrs, locations=node.locations).results


def _redirected(read: Node, source: Node) -> Value | None:
    if source.op is ops.CONCAT:
        return _of_concat(read, source)
    return _of_write(read, source) if source.op is ops.SET_SLICE else None


def _of_concat(read: Node, source: Node) -> Value | None:
    axis = integer(source.attrs, "axis")
    span = _spans(read, read.results[0].type.shape)[axis]
    if span is None:
        return None
    begin: Size = 0
    for part in source.operands:
        end = begin + part.type.shape[axis]
        if prove_le(begin, span[0]) and prove_le(span[1], end):
            starts = list(sizes(read.attrs, "starts"))
            starts[axis] = starts[axis] - begin
            return _slice(part, read, tuple(starts))
        begin = end
    return None


def _of_write(read: Node, source: Node) -> Value | None:
    old, new = source.operands
    if _same_place(read, source, new):
        return new
    shape = read.results[0].type.shape
    pairs = zip(_spans(read, shape), _spans(source, new.type.shape), strict=True)
    if any(_apart(left, right) for left, right in pairs):
        return _slice(old, read, sizes(read.attrs, "starts"))
    return None


def _same_place(read: Node, source: Node, new: Value) -> bool:
    starts = zip(sizes(read.attrs, "starts"), sizes(source.attrs, "starts"), strict=True)
    return (
        read.results[0].type == new.type
        and integers(read.attrs, "steps") == integers(source.attrs, "steps")
        and all(prove_equal(left, right) is True for left, right in starts)
    )


def _apart(left: Span | None, right: Span | None) -> bool:
    if left is None or right is None:
        return False
    return prove_le(left[1], right[0]) or prove_le(right[1], left[0])


def _spans(node: Node, shape: Sequence[Size]) -> list[Span | None]:
    """Per axis the positions that a slice of `shape` touches; None where it may touch none."""
    starts, steps = sizes(node.attrs, "starts"), integers(node.attrs, "steps")
    return [
        _span(start, size, step) for start, size, step in zip(starts, shape, steps, strict=True)
    ]


def _span(start: Size, size: Size, step: int) -> Span | None:
    if step == 1:
        return start, start + size
    if not prove_le(1, size):
        return None
    last = start + (size - 1) * step
    return (start, last + 1) if step > 0 else (last, start + 1)


def _slice(value: Value, read: Node, starts: tuple[Size, ...]) -> Value:
    """The slice `read` of `value`, from other positions on; `value` itself when that is all."""
    whole = all(start == 0 for start in starts) and set(integers(read.attrs, "steps")) <= {1}
    if whole and read.results[0].type == value.type:
        return value
    steps = integers(read.attrs, "steps")
    return Term(value).slice(starts, sizes(read.attrs, "sizes"), steps).value
