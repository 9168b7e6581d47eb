"""ContractStages: how a contraction of many axes becomes matrices, and its epilogue per vector.

before: a nest with one ContractStage.
after: a kernel that calls the contraction generator; copies of operands before it where one pair of
strides cannot describe them.

Axes that all accesses walk as one are merged.  What remains of the rows beyond one axis is given to
the generator as one where the left operand allows it (the epilogue takes the index apart again),
else as batch axes, like what remains of the columns.  Left and right are exchanged where the
results then lie along vectors.

Invariants: exchanging sides and moving axes to the batch depend on the nest alone, so the bits do
too; the epilogue runs once for each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from symc.codegen_llvm.abi import BEGIN, END
from symc.codegen_llvm.body import Loops, StageBody
from symc.codegen_llvm.contract import (
    ALL,
    Contraction,
    Finish,
    Hooks,
    TileRow,
    blocking,
    emit_contraction,
)
from symc.codegen_llvm.contract import Operand as Matrix
from symc.codegen_llvm.contract.size import as_reg, least, mul, offset
from symc.codegen_llvm.contract.spec import Dtype
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.costs import instructions
from symc.codegen_llvm.kernels import BLOCK_COST, Kernel, NestKernels, map_kernels
from symc.codegen_llvm.lanes import element_type
from symc.codegen_llvm.loops import decomposed
from symc.codegen_llvm.memory import Position
from symc.codegen_llvm.sizes import ceil_div
from symc.codegen_llvm.space import Access, Reader, Work, as_one, merge, picked
from symc.codegen_llvm.text import Emitter, Reg
from symc.ir.affine import Affine, IndexMap, identity
from symc.ir.core import Function, Value
from symc.ir.dims import Size, size_product
from symc.ir.nest import ContractStage, Load, MapStage, Store
from symc.ir.types import TensorType

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


def contract_kernels(owner: NestKernels, stage: ContractStage) -> None:
    """Write the kernels of one contraction."""
    shape = _shape(owner, stage)
    operands = shape.work.loads[:2]
    if len(shape.axes("k")) > 1 or any(a.guards or a.indirect for a in operands):
        stage = _copied(owner, stage)
        shape = _shape(owner, stage)
    _Contract(owner, _oriented(_batched(shape)), stage).emit()


# From the stage to a shape.


def _shape(owner: NestKernels, stage: ContractStage) -> Shape:
    sizes = (*stage.batch, *stage.m, *stage.n, *stage.k)
    counts = {"b": stage.batch, "m": stage.m, "n": stage.n, "k": stage.k}
    tags = "".join(tag * len(axes) for tag, axes in counts.items())
    reader = Reader(owner.nest)
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


def _batched(shape: Shape) -> Shape:
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


def _oriented(shape: Shape) -> Shape:
    """Left and right exchanged where the results then lie along the columns."""
    rows, columns = shape.axes("m"), shape.axes("n")
    if len(rows) != 1:
        return shape
    along = [write.access.at.factors for write in shape.work.writes]
    down = sum(factors[rows[0]] == 1 for factors in along)
    across = sum(factors[columns[0]] == 1 for factors in along) if columns else -1
    if down <= across:
        return shape
    exchanged = shape.tags.translate(str.maketrans("mn", "nm"))
    left, right, *rest = shape.work.loads
    work = replace(shape.work, loads=(right, left, *rest))
    order = sorted(range(len(exchanged)), key=lambda axis: "bmnk".index(exchanged[axis]))
    return _kept(Shape(work, exchanged), order)


# Operands that no strides describe.


def _copied(owner: NestKernels, stage: ContractStage) -> ContractStage:
    """The stage with both operands copied to contiguous temporaries."""
    left = _copy(owner, stage.lhs, (*stage.batch, *stage.m, *stage.k))
    right = _copy(owner, stage.rhs, (*stage.batch, *stage.k, *stage.n))
    return replace(stage, lhs=left, rhs=right)


def _copy(owner: NestKernels, load: Load, sizes: tuple[Size, ...]) -> Load:
    dtype = owner.nest.operands[load.operand].type.dtype
    number = owner.copy_of(TensorType(dtype, sizes))
    value = Value(TensorType(dtype))
    body = Function("copy", (value,), (), (value,))
    everywhere: IndexMap = identity(len(sizes))
    stage = MapStage((), (load,), (), body, (Store(number, everywhere),))
    nest = owner.nest
    owner.nest = replace(nest, outer=sizes)
    map_kernels(owner, [stage])
    owner.nest = nest
    return Load(number, everywhere)


# The kernel.


class _Contract:
    """One contraction in matrix form, while its kernel is written."""

    def __init__(self, owner: NestKernels, shape: Shape, stage: ContractStage) -> None:
        self.owner = owner
        self.shape = shape
        self.dtype = stage.dtype
        self.order = stage.order
        self.kernel: Kernel = owner.open()
        self.k = self.kernel.k
        self.batch = shape.axes("b")
        self.rows = shape.axes("m")
        self.columns = shape.axes("n")

    def emit(self) -> None:
        """Write the kernel and its launch."""
        contraction = self._contraction()
        cut = blocking(contraction, self.owner.target)
        scratch = self.kernel.scratch.take(cut.scratch_bytes)
        body = self._epilogue()
        cost = instructions(body.vector_nodes) + 2 * len(body.accesses)
        hooks = Hooks(self._finish(body), cost)
        emit_contraction(self.k, contraction, (BEGIN, END), hooks, self.owner.target, scratch)
        m, n = self.shape.size(self.rows), self.shape.size(self.columns)
        depth = self.shape.size(self.shape.axes("k"))
        panels = 1 if cut.columns == ALL else ceil_div(n, cut.columns)
        blocks = self.shape.size(self.batch) * panels * ceil_div(m, cut.rows)
        width: Size = n if cut.columns == ALL else cut.columns
        terms = depth * (self.dtype.itemsize // 4) + cost
        self.kernel.close(blocks, width * terms * max(1, cut.rows // 2) + BLOCK_COST)

    def _contraction(self) -> Contraction:
        k, shape = self.k, self.shape
        depth = shape.axes("k")
        m, n = k.size(shape.size(self.rows)), k.size(shape.size(self.columns))
        terms = k.size(shape.size(depth))
        order: Literal["any", "chain"] = "chain" if self.order == "chain" else "any"
        left = self._matrix(LEFT, self.rows, depth)
        right = self._matrix(RIGHT, depth, self.columns)
        if not self.columns:
            right = replace(right, col=terms)
        batch = tuple(k.size(shape.work.sizes[axis]) for axis in self.batch)
        return Contraction(_named(self.dtype), m, n, terms, left, right, order, batch)

    def _matrix(self, side: int, rows: Sequence[int], columns: Sequence[int]) -> Matrix:
        k, access = self.k, self.shape.work.loads[side]
        start = mul(k, k.size(access.at.offset), access.dtype.itemsize)
        base = offset(k, self.kernel.buffer(access.operand), start)
        steps = [k.size(self.shape.step(side, axes)) for axes in (rows, columns)]
        batch = tuple(k.size(access.at.factors[axis]) for axis in self.batch)
        return Matrix(base, steps[0], steps[1] if columns else 1, batch)

    def _epilogue(self) -> StageBody:
        """The body over batch, rows and columns; an axis of one column is added where none is."""
        work = self.shape.work
        work = replace(work, loads=work.loads[2:])
        kept = [*self.batch, *self.rows, *self.columns]
        work = picked(work, kept)
        if not self.columns:
            work = replace(
                work.map(lambda form: Affine((*form.factors, 1), form.offset)),
                sizes=(*work.sizes, 1),
            )
        outer = tuple(range(len(self.batch) + len(self.rows)))
        parts = self.kernel.parts()
        memory = parts.memory(self.owner.target.lanes(_named(self.dtype)))
        loops = Loops((outer, (len(outer),)))
        return StageBody(memory, work, loops, parts.base, work.writes)

    def _finish(self, body: StageBody) -> Finish:
        sizes = [self.k.size(self.shape.work.sizes[axis]) for axis in self.rows]
        width = body.memory.width

        def finish(e: Emitter, row: TileRow) -> None:
            assert e is self.k
            indices: list[Extent] = [*row.batch, *decomposed(self.k, row.row, sizes)]
            body.enter(0, dict(enumerate(indices)))
            inside = row.count if row.mask is not None else None
            if isinstance(inside, Reg):
                inside = as_reg(least(self.k, inside, width))
            position = Position(row.col, inside)
            acc = body.memory.builder.wrap(row.value, self.dtype)
            body.store(position, list(enumerate(body.vector(position, acc))))

        return finish


def _named(dtype: np.dtype) -> Dtype:
    name = element_type(dtype)
    for known in get_args(Dtype):
        if known == name:
            return known  # type: ignore[no-any-return]
    raise AssertionError(f"no contraction of {dtype}")
