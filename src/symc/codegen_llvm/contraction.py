"""ContractStages: how a contraction of many axes becomes matrices, and its epilogue per vector.

before: a nest with one ContractStage.
after: a kernel that calls the contraction generator; copies of operands before it where one pair of
strides cannot describe them.

Invariant: the epilogue runs once for each element of the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from symc.codegen_llvm.abi import BEGIN, END
from symc.codegen_llvm.body import Loops, StageBody
from symc.codegen_llvm.contract import (
    ALL,
    Contraction,
    Hooks,
    TileRow,
    blocking,
    emit_contraction,
)
from symc.codegen_llvm.contract import Operand as Matrix
from symc.codegen_llvm.contract.size import as_reg, least, mul, offset
from symc.codegen_llvm.contract.spec import Dtype
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.contract_shape import LEFT, RIGHT, Shape, batched, oriented, shape_of
from symc.codegen_llvm.costs import instructions
from symc.codegen_llvm.kernels import BLOCK_COST, Kernel, NestKernels, map_kernels
from symc.codegen_llvm.lanes import Lanes, element_type
from symc.codegen_llvm.loops import decomposed
from symc.codegen_llvm.memory import Position
from symc.codegen_llvm.schedule import DEAR, FEW_REGISTERS
from symc.codegen_llvm.sizes import ceil_div
from symc.codegen_llvm.space import Access, picked
from symc.codegen_llvm.text import Emitter, Reg
from symc.ir.affine import Affine, IndexMap, identity
from symc.ir.core import Function, Value
from symc.ir.dims import Size
from symc.ir.nest import ContractStage, Load, MapStage, Store
from symc.ir.types import TensorType


def contract_kernels(owner: NestKernels, stage: ContractStage) -> None:
    """Write the kernels of one contraction."""
    shape = shape_of(owner.nest, stage)
    operands = shape.work.loads[:2]
    if len(shape.axes("k")) > 1 or any(a.guards or a.indirect for a in operands):
        stage = _copied(owner, stage)
        shape = shape_of(owner.nest, stage)
    ContractKernel(owner, oriented(batched(shape)), stage).emit()


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


class Epilogue:
    """The body of a contraction over batch, rows and columns, run on finished runs of columns.

    An axis of one column is added where there is none.  `vectors`: how many of the target make up
    a run.
    """

    def __init__(self, kernel: Kernel, shape: Shape, dtype: np.dtype, vectors: int = 1) -> None:
        self.k = kernel.k
        self.dtype = dtype
        batch, rows, columns = (shape.axes(tag) for tag in "bmn")
        work = replace(shape.work, loads=shape.work.loads[2:])
        work = picked(work, [*batch, *rows, *columns])
        work = replace(work, sizes=(*work.sizes[:-1], 1)) if columns else work  # never empty here
        if not columns:
            work = replace(
                work.map(lambda form: Affine((*form.factors, 1), form.offset)),
                sizes=(*work.sizes, 1),
            )
        outer = tuple(range(len(batch) + len(rows)))
        parts = kernel.parts()
        self.memory = parts.memory(vectors * kernel.owner.target.lanes(generator_type(dtype)))
        loops = Loops((outer, (len(outer),)))
        self.body = StageBody(self.memory, work, loops, parts.base, work.writes)
        self.rows = [self.k.size(shape.work.sizes[axis]) for axis in rows]
        self.cost = instructions(self.body.vector_nodes) + 2 * len(self.body.accesses)

    def finish(self, e: Emitter, row: TileRow) -> None:
        """Evaluate and store one run."""
        self.run(e, row, {})

    def run(self, e: Emitter, row: TileRow, known: Mapping[Access, Lanes]) -> None:
        """Evaluate and store one run; the lanes of `known` accesses are not loaded again."""
        assert e is self.k
        batch = [_known(index) for index in row.batch]
        indices = [*batch, *decomposed(self.k, _known(row.row), self.rows)]
        self.body.enter(0, dict(enumerate(indices)))
        inside = row.count if row.mask is not None else None
        if isinstance(inside, Reg):
            inside = as_reg(least(self.k, inside, self.memory.width))
        position = Position(_known(row.col), inside)
        acc = self.memory.builder.wrap(row.value, self.dtype)
        values = self.body.vector(position, acc, known=known)
        self.body.store(position, list(enumerate(values)))


def _known(index: Reg) -> Extent:
    """A constant as an int, so that nothing is emitted for it."""
    return int(index.name) if index.name.isdigit() else index


class ContractKernel:
    """One contraction in matrix form, while its kernel is written."""

    def __init__(self, owner: NestKernels, shape: Shape, stage: ContractStage) -> None:
        self.owner = owner
        self.shape = shape
        self.dtype = stage.dtype
        self.order = order_of(stage)
        self.kernel: Kernel = owner.open()
        self.k = self.kernel.k

    def emit(self) -> None:
        """Write the kernel and its launch."""
        shape, target = self.shape, self.owner.target
        contraction = self._contraction()
        cut = blocking(contraction, target)
        scratch = self.kernel.scratch.take(cut.scratch_bytes)
        epilogue = Epilogue(self.kernel, shape, self.dtype)
        pair = None
        if target.registers <= FEW_REGISTERS and DEAR[0] <= epilogue.cost <= DEAR[1]:
            pair = Epilogue(self.kernel, shape, self.dtype, 2).finish
        hooks = Hooks(epilogue.finish, epilogue.cost, pair)
        emit_contraction(self.k, contraction, (BEGIN, END), hooks, target, scratch)
        batch, m, n, depth = (shape.size(shape.axes(tag)) for tag in "bmnk")
        panels = 1 if cut.columns == ALL else ceil_div(n, cut.columns)
        width: Size = n if cut.columns == ALL else cut.columns
        terms = depth * (self.dtype.itemsize // 4) + epilogue.cost
        cost = width * terms * max(1, cut.rows // 2) + BLOCK_COST
        self.kernel.close(batch * panels * ceil_div(m, cut.rows), cost)

    def _contraction(self) -> Contraction:
        k, shape = self.k, self.shape
        rows, columns, depth = (shape.axes(tag) for tag in "mnk")
        m, n, terms = (k.size(shape.size(axes)) for axes in (rows, columns, depth))
        left = matrix(self.kernel, shape, LEFT, rows, depth)
        right = matrix(self.kernel, shape, RIGHT, depth, columns)
        if not columns:
            right = replace(right, col=terms)
        batch = tuple(k.size(shape.work.sizes[axis]) for axis in shape.axes("b"))
        dtype = generator_type(self.dtype)
        return Contraction(dtype, m, n, terms, left, right, self.order, batch)


def matrix(
    kernel: Kernel, shape: Shape, side: int, rows: Sequence[int], columns: Sequence[int]
) -> Matrix:
    """An operand of a contraction as the generator sees it."""
    k, access = kernel.k, shape.work.loads[side]
    start = mul(k, k.size(access.at.offset), access.dtype.itemsize)
    base = offset(k, kernel.buffer(access.operand), start)
    steps = [k.size(shape.step(side, axes)) for axes in (rows, columns)]
    batch = tuple(k.size(access.at.factors[axis]) for axis in shape.axes("b"))
    return Matrix(base, steps[0], steps[1] if columns else 1, batch)


def order_of(stage: ContractStage) -> Literal["any", "chain"]:
    """The order of a stage's sums."""
    return "chain" if stage.order == "chain" else "any"


def generator_type(dtype: np.dtype) -> Dtype:
    """The generator's name of an element type."""
    name = element_type(dtype)
    for known in get_args(Dtype):
        if known == name:
            return known  # type: ignore[no-any-return]
    raise AssertionError(f"no contraction of {dtype}")
