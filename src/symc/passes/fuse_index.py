"""Where a value is read in a group's frame: sparse affine indices over axes with identities.

A group of fused nodes shares a *frame*: iteration axes, each with a number.  An `Index` gives, per
axis of a value, an affine expression over frame axes.  Unlike an IndexMap it does not depend on the
rank or order of the frame, which change while groups grow.

Invariants: terms are sorted by axis; no factor is 0; axes of static size 1 never occur in a term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from symc.ir.affine import Affine, IndexMap
from symc.ir.dims import Size
from symc.ir.types import TensorType

Term = tuple[int, Size]
Coordinate = tuple[Size, tuple[Term, ...]]
Index = tuple[Coordinate, ...]

ZERO: Coordinate = (0, ())
NO_AXES: Final[frozenset[int]] = frozenset()


def coordinate(axis: int) -> Coordinate:
    """The coordinate that is the index of `axis`."""
    return (0, ((axis, 1),))


def axes_of(index: Index) -> frozenset[int]:
    """The frame axes that `index` depends on."""
    if not index:
        return NO_AXES
    return frozenset(axis for _, terms in index for axis, _ in terms)


def _sum(offset: Size, parts: Iterable[tuple[Size, Coordinate]]) -> Coordinate:
    factors: dict[int, Size] = {}
    for scale, (start, terms) in parts:
        offset = offset + scale * start
        for axis, factor in terms:
            factors[axis] = factors.get(axis, 0) + scale * factor
    return offset, tuple(sorted((axis, f) for axis, f in factors.items() if f != 0))


def compose(map: IndexMap, index: Index) -> Index:
    """The index of a view's operand where its result is read at `index`."""
    return tuple(
        _sum(affine.offset, [(f, index[i]) for i, f in enumerate(affine.factors) if f != 0])
        for affine in map.indices
    )


def shifted(index: Index, starts: Sequence[Size], steps: Sequence[Size]) -> Index:
    """Each coordinate c replaced by `start + step * c`."""
    rows = zip(index, starts, steps, strict=True)
    return tuple(_sum(start, [(step, part)]) for part, start, step in rows)


def renamed(index: Index, find: Callable[[int], int]) -> Index:
    """The index with every axis replaced by `find(axis)`."""
    if not index or all(find(axis) == axis for _, terms in index for axis, _ in terms):
        return index
    moved = ((offset, [(find(a), f) for a, f in terms]) for offset, terms in index)
    return tuple(_sum(offset, [(f, coordinate(a)) for a, f in terms]) for offset, terms in moved)


def selection(index: Index, type: TensorType) -> tuple[int, ...] | None:
    """The distinct frame axes that enumerate a value of `type`, in its order, or None.

    Axes of static size 1 are left out; every element is met exactly once per point of the others.
    """
    if not index:
        return ()
    found: list[int] = []
    for (offset, terms), size in zip(index, type.shape, strict=True):
        if size == 1 and (offset, terms) == ZERO:
            continue
        if offset != 0 or len(terms) != 1 or terms[0][1] != 1:
            return None
        found.append(terms[0][0])
    return tuple(found) if len(set(found)) == len(found) else None


def to_map(index: Index, point: Sequence[int]) -> IndexMap:
    """The index as a map from an iteration space whose axes are `point`."""
    place = {axis: i for i, axis in enumerate(point)}
    rows = []
    for offset, terms in index:
        factors: list[Size] = [0] * len(point)
        for axis, factor in terms:
            factors[place[axis]] = factor
        rows.append(Affine(tuple(factors), offset))
    return IndexMap(len(point), tuple(rows))


def strides(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Row-major strides in elements."""
    found: list[Size] = []
    total: Size = 1
    for size in reversed(shape):
        found.append(total)
        total = total * size
    return tuple(reversed(found))


def keeps_order(map: IndexMap | None, source: TensorType, result: TensorType) -> bool:
    """Whether a view's elements are its operand's, in the same row-major order.

    Views without a map (a flattening reshape) always are.
    """
    if map is None:
        return True
    if map.valid or source.elements != result.elements:
        return False
    factors: list[Size] = [0] * result.rank
    for step, affine in zip(strides(source.shape), map.indices, strict=True):
        if affine.offset != 0:
            return False
        for axis, factor in enumerate(affine.factors):
            factors[axis] = factors[axis] + step * factor
    wanted = strides(result.shape)
    return all(
        size == 1 or have == want
        for size, have, want in zip(result.shape, factors, wanted, strict=True)
    )
