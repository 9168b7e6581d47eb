"""Merging groups that share a producer, so that it is computed once and stored nowhere.

before: groups that use one value inline.  after: as few of them as frames, code size and the order
of the program allow.

Invariant: groups merge only when no path leads from either to the other; axes are identified only
between two groups, never two axes of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir.core import Value
from symc.passes.fuse_cost import LIMIT
from symc.passes.fuse_group import MAX_STORES, Apart, Group, Shape, absorb, current, reaches
from symc.passes.fuse_index import Index, axes_of, selection
from symc.passes.fuse_partition import Partition, Use

Side = tuple[Group, Index]

MANY = 16  # users of one value beyond which only neighbours are tried


def merged(p: Partition, value: Value, inline: dict[Group, list[Use]]) -> dict[Group, list[Use]]:
    """The inline uses of `value` after merging the groups that use it."""
    if len(inline) < 2:
        return inline
    uses = dict(inline)
    kept: list[Group] = []
    for group in sorted(inline, key=lambda group: group.lo):
        near = max(len(kept) - MANY, 0)
        for place in range(near, len(kept)):
            other = kept[place]
            if not _merge(p, value, (other, uses[other]), (group, uses[group])):
                continue
            both = [p.renewed(use) for use in (*uses.pop(other), *uses.pop(group))]
            uses[current(group)] = both
            if group.heir is None:
                del kept[place]
                kept.append(group)
            break
        else:
            kept.append(group)
    return inline if len(uses) == len(inline) else p.split(value)[0]


def _merge(
    p: Partition, value: Value, first: tuple[Group, list[Use]], second: tuple[Group, list[Use]]
) -> bool:
    """Make one group of two that use `value`; False when they must stay apart."""
    (a, uses_a), (b, uses_b) = first, second
    place_a, place_b = _place(value, uses_a), _place(value, uses_b)
    if place_a is None or place_b is None:
        return p.refuse(value, b, Apart.PLACES)
    (i, axes_a), (j, axes_b) = place_a, place_b
    if [p.axes.sizes[x] for x in axes_a] != [p.axes.sizes[y] for y in axes_b]:
        return p.refuse(value, b, Apart.PART)  # they read different parts
    if not _fit(p, value, (a, i), (b, j)):
        return False
    if reaches([a], [b]) or reaches([b], [a]):
        return p.refuse(value, b, Apart.ORDER)
    unite(p, a, b, list(zip(axes_b, axes_a, strict=True)))
    return True


def _place(value: Value, uses: Sequence[Use]) -> tuple[Index, tuple[int, ...]] | None:
    """The one index at which a group uses the value, and the axes that it enumerates it by."""
    index = uses[0].index
    if index is None or (len(uses) > 1 and any(use.index != index for use in uses)):
        return None
    axes = selection(index, value.type)
    return None if axes is None else (index, axes)


def _fit(
    p: Partition, value: Value, first: tuple[Group, Index], second: tuple[Group, Index]
) -> bool:
    """Whether two frames agree where the value is read, as maps or as rows."""
    (a, i), (b, j) = first, second
    if a.late > b.hi or b.late > a.hi:
        return False
    if a.cost + b.cost > LIMIT:
        return p.refuse(value, b, Apart.CODE)
    if len(a.stores) + len(b.stores) > MAX_STORES:
        return p.refuse(value, b, Apart.STORES)
    if Shape.FIXED in (a.shape, b.shape):
        return p.refuse(value, b, Apart.EFFECT)
    if (a.contract and b.contract) or ((a.contract or b.contract) and (a.ramps or b.ramps)):
        return p.refuse(value, b, Apart.CONTRACT)
    whole = axes_of(i) == p.live(a), axes_of(j) == p.live(b)
    if Shape.ROW not in (a.shape, b.shape):
        met = all(whole) or _as_rows(p, value, first, second)
        return met or p.refuse(value, b, Apart.SPACE)
    if Shape.CONTRACT in (a.shape, b.shape):
        return p.refuse(value, b, Apart.CONTRACT)
    return _rows_meet(p, first, second) or p.refuse(value, b, Apart.ROWS)


def _as_rows(p: Partition, value: Value, first: Side, second: Side) -> bool:
    """Two maps that share one value per row."""
    sides = (first, second)
    if not p.is_row_level(value) or any(g.shape is not Shape.MAP for g, _ in sides):
        return False
    if not all(p.rows_fit(group, axes_of(index)) for group, index in sides):
        return False
    for group, index in sides:
        p.make_rows(group, axes_of(index))
    return True


def _rows_meet(p: Partition, first: Side, second: Side) -> bool:
    """Whether the parallel axes of both are the same axes of the value."""
    (a, i), (b, j) = first, second
    if a.shape is not Shape.ROW:
        (a, i), (b, j) = (b, j), (a, i)
    outer = p.outer(a)
    assert outer is not None
    if not outer <= axes_of(i):
        return False
    theirs = frozenset(
        y for x, y in zip(_axes(i), _axes(j), strict=True) if x in outer and y is not None
    )
    if len(theirs) != len(outer) or not p.rows_fit(b, theirs):
        return False
    if b.shape is Shape.MAP:
        p.make_rows(b, theirs)
    return True


def _axes(index: Index) -> list[int | None]:
    return [terms[0][0] if terms else None for _, terms in index]


def unite(p: Partition, a: Group, b: Group, pairs: Sequence[tuple[int, int]]) -> Group:
    """One group of two: `pairs` of axes become one, and so do inner axes of equal size."""
    if len(b.members) > len(a.members):
        a, b, pairs = b, a, [(y, x) for x, y in pairs]
    taken = {x for x, _ in pairs}, {y for _, y in pairs}
    free = [axis for axis in sorted(p.live(a)) if axis not in taken[1]]
    for axis in sorted(p.live(b) - taken[0]):
        match = next((x for x in free if p.axes.sizes[x] == p.axes.sizes[axis]), None)
        if match is not None:
            free.remove(match)
            pairs = [*pairs, (axis, match)]
    for axis, into in pairs:
        p.axes.join(axis, into)
    a.axes = sorted(p.live(a) | {p.axes.find(axis) for axis in b.axes})
    if a.outer is not None:
        a.outer = p.outer(a)
    if Shape.ROW in (a.shape, b.shape):
        a.shape = Shape.ROW
        a.outer = p.outer(a) if a.outer is not None else p.outer(b)
    if b.shape is Shape.CONTRACT:
        a.shape = Shape.CONTRACT
    absorb(a, b)
    return a
