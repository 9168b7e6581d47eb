"""A contraction of many axes as one of matrices: which axis is batch, row, column or term.

before: a ContractStage.
after: a `Shape`: one Work over all axes, each tagged b, m, n or k.

Axes that all accesses walk as one are merged.  What remains of the rows beyond one axis is given to
the generator as one where the left operand allows it (the epilogue takes the index apart again),
else as batch axes, like what remains of the columns.  Left and right are exchanged where the
results then lie along vectors.

Invariants: exchanging sides and moving axes to the batch depend on the nest alone, so the bits do
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symc.codegen_llvm.space import Access, Reader, Work, as_one, merge, picked
from symc.ir.affine import Affine
from symc.ir.dims import Size, size_product
from symc.ir.nest import ContractStage, Nest
from symc.records import dataclass

LEFT, RIGHT = 0, 1  # the first two loads of the work that describes a contraction


@dataclass(frozen=True, slots=True)
class Shape:
    """A contraction as one Work over all its axes; `tags` says what each axis is: b, m, n or k.

    The work's first two loads are the operands; `given` of its body is the accumulator.
    """

    work: Work
    tags: str

    def axes(self, tag: str) -> list[int]:
        """The axes of one kind."""
        return [axis for axis, other in enumerate(self.tags) if other == tag]

    def size(self, axes: Sequence[int]) -> Size:
        """The number of points along `axes`."""
        return size_product(tuple(self.work.sizes[axis] for axis in axes))

    def step(self, side: int, axes: Sequence[int]) -> Size:
        """The stride of an operand along the last of `axes`; 0 where there are none."""
        return self.work.loads[side].at.factors[axes[-1]] if axes else 0


def shape_of(nest: Nest, stage: ContractStage) -> Shape:
    """The shape of a stage: axes of size 1 left out, and walked as one where all accesses do."""
    sizes = (*stage.batch, *stage.m, *stage.n, *stage.k)
    counts = {"b": stage.batch, "m": stage.m, "n": stage.n, "k": stage.k}
    tags = "".join(tag * len(axes) for tag, axes in counts.items())
    reader = Reader(nest)
    rank = len(sizes) - len(stage.k)
    sides = [
        _spread(reader.load(load, _sizes_of(sizes, tags, kinds)), tags, kinds)
        for load, kinds in ((stage.lhs, "bmk"), (stage.rhs, "bkn"))
    ]
    loads = [_spread(reader.load(load, sizes[:rank]), tags, "bmn") for load in stage.loads]
    writes = tuple(
        replace(write, access=_spread(write.access, tags, "bmn"))
        for write in (
            reader.write(store, number, sizes[:rank], 0)
            for number, store in enumerate(stage.stores)
        )
    )
    work = Work(sizes, (*sides, *loads), (), stage.body, writes, given=1)
    return _merged(_without_units(Shape(work, tags)))


def _sizes_of(sizes: Sequence[Size], tags: str, kinds: str) -> tuple[Size, ...]:
    """Sizes of the axes of these kinds, kind by kind."""
    return tuple(
        size for kind in kinds for size, tag in zip(sizes, tags, strict=True) if tag == kind
    )


def _spread(access: Access, tags: str, kinds: str) -> Access:
    """An access over the axes of `kinds`, kind by kind, as one over all axes."""
    order = [axis for kind in kinds for axis, tag in enumerate(tags) if tag == kind]

    def form(affine: Affine) -> Affine:
        factors: list[Size] = [0] * len(tags)
        for axis, factor in zip(order, affine.factors, strict=True):
            factors[axis] = factor
        return Affine(tuple(factors), affine.offset)

    return access.map(form)


def _without_units(shape: Shape) -> Shape:
    kept = [axis for axis, size in enumerate(shape.work.sizes) if size != 1]
    return _kept(shape, kept)


def _kept(shape: Shape, axes: Sequence[int]) -> Shape:
    return Shape(picked(shape.work, axes), "".join(shape.tags[axis] for axis in axes))


def _merged(shape: Shape) -> Shape:
    for axis in range(len(shape.tags) - 2, -1, -1):
        same = shape.tags[axis] == shape.tags[axis + 1]
        if same and as_one(shape.work, axis):
            tags = shape.tags[:axis] + shape.tags[axis + 1 :]
            shape = Shape(merge(shape.work, axis), tags)
    return shape


def batched(shape: Shape) -> Shape:
    """Columns beyond one axis, and rows that the left operand cannot walk as one, in the batch."""
    rows, columns = shape.axes("m"), shape.axes("n")
    together = rows[-1:]
    for axis in reversed(rows[:-1]):
        left = shape.work.loads[LEFT].at.factors
        inner = together[0]
        if left[axis] != left[inner] * shape.work.sizes[inner]:
            break
        together.insert(0, axis)
    moved = [axis for axis in rows if axis not in together] + columns[:-1]
    tags = "".join("b" if axis in moved else tag for axis, tag in enumerate(shape.tags))
    order = sorted(range(len(tags)), key=lambda axis: "bmnk".index(tags[axis]))
    return _kept(Shape(shape.work, tags), order)


def oriented(shape: Shape) -> Shape:
    """Left and right exchanged where the results then lie along the columns."""
    rows, columns = shape.axes("m"), shape.axes("n")
    if len(rows) != 1:
        return shape
    along = [write.access.at.factors for write in shape.work.writes]
    down = sum(factors[rows[0]] == 1 for factors in along)
    across = sum(factors[columns[0]] == 1 for factors in along) if columns else -1
    if down <= across:
        return shape
    return exchanged(shape)


def exchanged(shape: Shape) -> Shape:
    """Left and right, rows and columns exchanged."""
    tags = shape.tags.translate(str.maketrans("mn", "nm"))
    left, right, *rest = shape.work.loads
    work = replace(shape.work, loads=(right, left, *rest))
    order = sorted(range(len(tags)), key=lambda axis: "bmnk".index(tags[axis]))
    return _kept(Shape(work, tags), order)
