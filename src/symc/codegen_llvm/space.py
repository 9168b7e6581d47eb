"""Iteration spaces in linear form: a nest's stages as loops over axes and positions in memory.

Before: a `Nest`, whose index maps give one index per operand axis.
After: a `Space`, whose accesses give the element's position in the buffer as one affine expression
of the loop axes; guards and indirections are kept beside it.  Axes of size 1 are gone and axes that
every access walks as one are merged, so that row-major elementwise work is one flat loop.

Invariants: `sizes` of a Work are the outer sizes followed by its own; merging keeps the row-major
order of the reduced axes and of the iteration space.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Function
from symc.ir.dims import Size, size_product
from symc.ir.nest import Gather, Load, MapStage, Nest, Operand, Store
from symc.ir.ops.record import Reducer
from symc.records import dataclass

Form = Callable[[Affine], Affine]


@dataclass(frozen=True, slots=True)
class Guard:
    """The access is inside its operand only where `0 <= at < size`."""

    at: Affine
    size: Size


@dataclass(frozen=True, slots=True)
class Indirect:
    """`stride * index` is added to the position; `index` is read, of an axis with `size` elements.

    `number`: which indirection of the nest this is, for the status record.  `point`: the row-major
    position in the iteration space of the index operand's reader.
    """

    index: Access
    stride: Size
    size: Size
    mode: str
    number: int
    point: Affine


@dataclass(frozen=True, slots=True)
class Access:
    """Element `at` of operand `operand`, plus what its indirections add."""

    operand: int
    dtype: np.dtype
    at: Affine
    guards: tuple[Guard, ...] = ()
    indirect: tuple[Indirect, ...] = ()
    fill: float | int | bool = 0

    def each(self) -> Iterator[Access]:
        """The accesses that this one needs, innermost first, then itself."""
        for term in self.indirect:
            yield from term.index.each()
        yield self

    def map(self, form: Form) -> Access:
        """The access with every affine expression replaced by `form` of it."""
        guards = tuple([Guard(form(g.at), g.size) for g in self.guards])
        indirect = tuple(
            [replace(t, index=t.index.map(form), point=form(t.point)) for t in self.indirect]
        )
        return Access(self.operand, self.dtype, form(self.at), guards, indirect, self.fill)

    def forms(self) -> Iterator[Affine]:
        """Every affine expression of the access."""
        for access in self.each():
            yield access.at
            yield from (guard.at for guard in access.guards)
            yield from (term.point for term in access.indirect if term.mode == "raise")


@dataclass(frozen=True, slots=True)
class Write:
    """Where result number `result` of the body goes; `reduced` are axes of the Work."""

    access: Access
    result: int
    reducer: Reducer | None = None
    reduced: tuple[int, ...] = ()
    combine: str | None = None

    @property
    def serial(self) -> bool:
        """Whether several points may write one element, so that their order matters."""
        return bool(self.access.indirect) or self.combine is not None


@dataclass(frozen=True, slots=True)
class Work:
    """One MapStage in linear form."""

    sizes: tuple[Size, ...]
    loads: tuple[Access, ...]
    indices: tuple[Affine, ...]
    body: Function
    writes: tuple[Write, ...]
    given: int = 0  # leading params of the body that are neither loaded nor indices

    def map(self, form: Form) -> Work:
        """The same work with every affine expression replaced."""
        return replace(
            self,
            loads=tuple(load.map(form) for load in self.loads),
            indices=tuple(form(index) for index in self.indices),
            writes=tuple(replace(w, access=w.access.map(form)) for w in self.writes),
        )

    def forms(self) -> Iterator[Affine]:
        """Every affine expression of the work."""
        for access in self.accesses():
            yield from access.forms()
        yield from self.indices

    def accesses(self) -> Iterator[Access]:
        """Loads and stores, without the accesses of their indices."""
        yield from self.loads
        yield from (write.access for write in self.writes)

    @property
    def reduced(self) -> frozenset[int]:
        """All axes that some write reduces."""
        return frozenset(axis for write in self.writes for axis in write.reduced)

    @property
    def serial(self) -> bool:
        """Whether the iteration order matters."""
        return any(write.serial for write in self.writes)


@dataclass(frozen=True, slots=True)
class Space:
    """A nest of MapStages: `outer` counts the shared parallel axes."""

    outer: int
    works: tuple[Work, ...]

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The outer sizes."""
        return self.works[0].sizes[: self.outer]

    def map(self, change: Callable[[Work], Work]) -> Space:
        """The space with each work changed."""
        return replace(self, works=tuple(change(work) for work in self.works))


def linear(nest: Nest, stages: Sequence[MapStage]) -> Space:
    """The given stages of `nest` in linear form, simplified."""
    reader = Reader(nest)
    space = Space(len(nest.outer), tuple(reader.work(stage) for stage in stages))
    return merged(_widened(_without_units(space), nest))


class Reader:
    """Turns index maps into positions; numbers the indirections of the nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.indirections = 0

    def work(self, stage: MapStage) -> Work:
        sizes = (*self.nest.outer, *stage.inner)
        first = len(self.nest.outer)
        units = [Affine(tuple(int(i == axis) for i in range(len(sizes)))) for axis in stage.indices]
        return Work(
            sizes,
            tuple(self.load(load, sizes) for load in stage.loads),
            tuple(units),
            stage.body,
            tuple(self.write(s, i, sizes, first) for i, s in enumerate(stage.stores)),
        )

    def load(self, load: Load, sizes: tuple[Size, ...]) -> Access:
        return self.access(load.operand, load.map, load.gathers, sizes, load.fill)

    def write(self, store: Store, result: int, sizes: tuple[Size, ...], first: int) -> Write:
        access = self.access(store.operand, store.map, store.gathers, sizes)
        reduced = tuple(first + axis for axis in store.reduced)
        return Write(access, result, store.reducer, reduced, store.combine)

    def access(
        self,
        operand: int,
        map: IndexMap,
        gathers: tuple[Gather, ...],
        sizes: tuple[Size, ...],
        fill: float | bool = 0,
    ) -> Access:
        type = self.nest.operands[operand].type
        strides = row_major(type.shape)
        gathered = {gather.axis for gather in gathers}
        at = Affine((0,) * map.rank)
        guards = []
        for axis, (index, stride) in enumerate(zip(map.indices, strides, strict=True)):
            if axis in gathered:
                continue
            at = plus(at, index, stride)
            if axis in map.valid:
                guards.append(Guard(index, type.shape[axis]))
        indirect = tuple(
            self.indirect(gather, strides[gather.axis], type.shape[gather.axis], sizes)
            for gather in gathers
        )
        return Access(operand, type.dtype, at, tuple(guards), indirect, fill)

    def indirect(
        self, gather: Gather, stride: Size, size: Size, sizes: tuple[Size, ...]
    ) -> Indirect:
        number = self.indirections
        self.indirections += 1
        index = self.access(gather.operand, gather.map, (), sizes)
        return Indirect(index, stride, size, gather.mode, number, Affine(row_major(sizes)))


def row_major(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Strides in elements of a contiguous array."""
    return tuple(size_product(tuple(shape[axis + 1 :])) for axis in range(len(shape)))


def plus(left: Affine, right: Affine, scale: Size = 1) -> Affine:
    """left + scale * right."""
    factors = tuple(a + scale * b for a, b in zip(left.factors, right.factors, strict=True))
    return Affine(factors, left.offset + scale * right.offset)


def picked(work: Work, axes: Sequence[int]) -> Work:
    """The work over `axes` only, in that order; the others have size 1 or are merged away."""
    number = {axis: i for i, axis in enumerate(axes)}
    moved = work.map(lambda form: Affine(tuple(form.factors[a] for a in axes), form.offset))
    writes = tuple(
        replace(w, reduced=tuple(number[a] for a in w.reduced if a in number)) for w in moved.writes
    )
    return replace(moved, sizes=tuple(work.sizes[a] for a in axes), writes=writes)


def _without_units(space: Space) -> Space:
    kept = [a for a in range(space.outer) if space.sizes[a] != 1]

    def change(work: Work) -> Work:
        inner = [a for a in range(space.outer, len(work.sizes)) if work.sizes[a] != 1]
        return picked(work, [*kept, *inner])

    return Space(len(kept), space.map(change).works)


def _widened(space: Space, nest: Nest) -> Space:
    """Makes inner axes that nothing reduces parallel, where there is one stage and any order."""
    if len(space.works) > 1 or any(operand.role == "scratch" for operand in nest.operands):
        return space
    work = space.works[0]
    if work.serial:
        return space
    free = [a for a in range(space.outer, len(work.sizes)) if a not in work.reduced]
    rest = [a for a in range(space.outer, len(work.sizes)) if a in work.reduced]
    order = [*range(space.outer), *free, *rest]
    return Space(space.outer + len(free), (picked(work, order),))


def merged(space: Space) -> Space:
    """The space with neighbouring axes merged wherever every access walks them as one."""
    outer = space.outer
    axis = outer - 2
    while axis >= 0:
        if all(as_one(work, axis) for work in space.works):
            space = Space(space.outer - 1, tuple(merge(work, axis) for work in space.works))
        axis -= 1
    return space.map(lambda work: _merge_inner(work, space.outer))


def _merge_inner(work: Work, first: int) -> Work:
    axis = len(work.sizes) - 2
    while axis >= first:
        if as_one(work, axis):
            work = merge(work, axis)
        axis -= 1
    return work


def as_one(work: Work, axis: int) -> bool:
    """Whether axes `axis` and `axis + 1` are always walked as one."""
    size = work.sizes[axis + 1]
    if any((axis in w.reduced) != (axis + 1 in w.reduced) for w in work.writes):
        return False
    return all(form.factors[axis] == form.factors[axis + 1] * size for form in work.forms())


def merge(work: Work, axis: int) -> Work:
    """Axes `axis` and `axis + 1` as one."""
    size = work.sizes[axis] * work.sizes[axis + 1]
    kept = [a for a in range(len(work.sizes)) if a != axis]
    out = picked(work, kept)
    return replace(out, sizes=(*out.sizes[:axis], size, *out.sizes[axis + 1 :]))


def reordered(space: Space, outer: Sequence[int]) -> Space:
    """The space with its outer axes in the order `outer`."""
    return space.map(lambda work: picked(work, [*outer, *range(space.outer, len(work.sizes))]))


def side_by_side(space: Space, operands: Collection[int], columns: int) -> Space:
    """The space with `columns` copies of each element of `operands`, one per last outer index."""
    axis = space.outer - 1

    def spread(form: Affine) -> Affine:
        factors = [factor * columns for factor in form.factors]
        factors[axis] = 1
        return Affine(tuple(factors), form.offset * columns)

    def change(access: Access) -> Access:
        return replace(access, at=spread(access.at)) if access.operand in operands else access

    return space.map(
        lambda work: replace(
            work,
            loads=tuple(change(load) for load in work.loads),
            writes=tuple(replace(w, access=change(w.access)) for w in work.writes),
        )
    )


def is_scratch(operands: Sequence[Operand], access: Access) -> bool:
    """Whether the access is to row-local memory."""
    return operands[access.operand].role == "scratch"
