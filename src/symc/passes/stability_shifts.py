"""Shifts: what is taken off exponents so that the largest is 0; made here, and known when seen.

A shift is finite, and a constant to derivatives: what is computed does not depend on it.
"""

from __future__ import annotations

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.ops.attributes import integers
from symc.ir.ops.record import Kind
from symc.ir.term import Term
from symc.passes.pattern import Match
from symc.passes.uniform import transparent

_AXES = "axes"


def summed_axes(node: Node) -> tuple[int, ...]:
    """The axes of a reduction."""
    return integers(node.attrs, _AXES)


def spread(m: Match, x: Term, like: Term, axes: tuple[int, ...]) -> Term:
    """`x`, which lacks `axes`, repeated along them."""
    kept = tuple(axis for axis in range(like.rank) if axis not in axes)
    if not axes:
        return x
    return m.make(ops.BROADCAST, x, shape=like.shape, axes=kept)


def largest_along(m: Match, x: Term, axes: tuple[int, ...]) -> Term:
    """The largest of `x` along `axes`, 0 where that is not finite; a constant to derivatives."""
    return as_shift(m, m.make(ops.MAX, x, axes=axes))


def as_shift(m: Match, largest: Term) -> Term:
    """What is taken off: `largest`, 0 where that is not finite; a constant to derivatives."""
    largest = m.make(ops.STOP_GRADIENT, largest)
    finite = m.make(ops.ISFINITE, largest)
    return m.make(ops.WHERE, finite, largest, m.constant(0.0, largest))


def _source(m: Match, value: Value) -> Value:
    """What a shift repeats: behind views, casts, and what keeps it finite and constant."""
    while (node := m.behind(value)) is not None:
        if transparent(node):
            value = node.operands[0]
        elif node.op is ops.WHERE and _guards_finite(node):
            value = node.operands[1]
        else:
            break
    return value


def _plain(m: Match, value: Value) -> Value:
    """What a value rounds: behind casts between floats and what stops derivatives."""
    while (node := m.behind(value)) is not None and node.op in {ops.STOP_GRADIENT, ops.CAST}:
        if not transparent(node):
            break
        value = node.operands[0]
    return value


def _guards_finite(node: Node) -> bool:
    test = node.operands[0].node
    return test is not None and test.op is ops.ISFINITE and test.operands[0] is node.operands[1]


def is_shift(m: Match, value: Value) -> bool:
    """Whether a value repeats a largest element."""
    node = m.behind(_source(m, value))
    return node is not None and node.op is ops.MAX


def is_shifted(m: Match, value: Value, axes: tuple[int, ...]) -> bool:
    """Whether `value` is some y less the largest of that y along `axes`."""
    node = m.behind(value)
    if node is None or node.op is not ops.SUB:
        return False
    largest = m.behind(_source(m, node.operands[1]))
    if largest is None or largest.op is not ops.MAX or summed_axes(largest) != axes:
        return False
    if _plain(m, largest.operands[0]) is not _plain(m, node.operands[0]):
        return False
    return _spreads_over(node.operands[1], largest.results[0], axes)


def _spreads_over(value: Value, reduced: Value, axes: tuple[int, ...]) -> bool:
    """Whether `value` repeats `reduced` along the axes that it lacks, each element in its place."""
    places: list[int | None] = list(range(value.type.rank))
    while value is not reduced:
        node = value.node
        if node is None:
            return False
        if node.op is ops.BROADCAST:
            places = [places[axis] for axis in integers(node.attrs, _AXES)]
        elif node.op is ops.RESHAPE:
            moved = _unit_places(node, places)
            if moved is None:
                return False
            places = moved
        elif node.op.kind is not Kind.ELEMENTWISE:
            return False
        value = node.operands[1 if node.op is ops.WHERE else 0]
    kept = [axis for axis in range(value.type.rank + len(axes)) if axis not in axes]
    found = zip(places, kept, value.type.shape, strict=True)
    return all(place == axis or (place is None and size == 1) for place, axis, size in found)


def _unit_places(node: Node, places: list[int | None]) -> list[int | None] | None:
    """Places of the operand's axes when a reshape only adds or drops axes of size 1."""
    result, operand = node.results[0].type.shape, node.operands[0].type.shape
    wide = [place for size, place in zip(result, places, strict=True) if size != 1]
    if [size for size in result if size != 1] != [size for size in operand if size != 1]:
        return None
    left = iter(wide)
    return [None if size == 1 else next(left) for size in operand]


def is_less_shift(m: Match, value: Value) -> bool:
    """Whether `value` is something less what `as_shift` made."""
    node = m.behind(value)
    if node is None or node.op is not ops.SUB:
        return False
    shift = m.behind(node.operands[1])
    return shift is not None and shift.op is ops.WHERE and _guards_finite(shift)
