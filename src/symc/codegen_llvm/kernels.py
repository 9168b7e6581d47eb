"""From a nest of MapStages to kernels and their launches.

before: one nest.
after: functions in a module, and what the runtime needs to call them.  A nest is one kernel where
it can be; a long reduction with few results becomes two (partial frames, then their combination),
and stages that share no outer axis become one each.

Invariants: launches depend on the nest and the target only; temporaries are numbered after the
nest's operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from symc.codegen_llvm.abi import BEGIN, END, KernelEmitter
from symc.codegen_llvm.columns import Panel, emit_columns
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, split
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.contract.spec import VectorTarget
from symc.codegen_llvm.loops import decomposed
from symc.codegen_llvm.rows import RowReduction, emit_rows
from symc.codegen_llvm.schedule import CHUNK, Schedule, scheduled
from symc.codegen_llvm.scratch import Scratch
from symc.codegen_llvm.sizes import ceil_div
from symc.codegen_llvm.space import Access, linear
from symc.codegen_llvm.stage import KernelParts, passes
from symc.codegen_llvm.text import Module, Reg, i64
from symc.ir.dims import Size, minimum, size_product
from symc.ir.launch import Launch
from symc.ir.nest import MapStage, Nest, Operand
from symc.ir.types import TensorType
from symc.records import dataclass

FEW = 16  # results of a long reduction up to which it is cut into chunks
LONG = 2 * CHUNK  # elements of such a reduction
BLOCK_COST = 16 * 20  # of entering a block


@dataclass(slots=True)
class NestKernels:
    """The kernels of one nest under construction; `name` begins their symbols."""

    module: Module
    nest: Nest
    name: str
    target: VectorTarget
    outline: frozenset[str]
    launches: list[Launch] = field(default_factory=list)
    temporaries: list[Size] = field(default_factory=list)
    spilled: dict[int, int] = field(default_factory=dict)  # operand -> the temporary it lies in
    declared: int = 0  # operands of the nest as it came

    def open(self) -> Kernel:
        """A new kernel."""
        return Kernel(self, f"{self.name}.{len(self.launches)}" if self.launches else self.name)

    def __post_init__(self) -> None:
        self.declared = len(self.nest.operands)

    def temporary(self, size: Size) -> int:
        """The operand number of a new temporary of `size` bytes."""
        self.temporaries.append(size)
        return self.declared + len(self.temporaries) - 1

    def spill(self) -> None:
        """Make scratch a temporary, since the stages that share it become kernels of their own.

        Only where there are no outer axes, so that scratch is not one place per outer point.
        """
        if self.nest.outer:
            return
        operands = list(self.nest.operands)
        for number, operand in enumerate(operands):
            if operand.role == "scratch":
                self.spilled[number] = self.temporary(operand.type.bytes)
                operands[number] = replace(operand, role="inout")
        self.nest = replace(self.nest, operands=tuple(operands))

    def copy_of(self, type: TensorType) -> int:
        """A new operand of the nest, in a temporary."""
        number = len(self.nest.operands)
        self.spilled[number] = self.temporary(type.bytes)
        operands = (*self.nest.operands, Operand(f"copy{number}", type, "inout"))
        self.nest = replace(self.nest, operands=operands)
        return number


class Kernel:
    """One kernel under construction: its buffers, scratch and launch."""

    def __init__(self, owner: NestKernels, symbol: str) -> None:
        self.owner = owner
        self.symbol = symbol
        self.k = KernelEmitter(owner.module, owner.nest.symbols)
        self.scratch = Scratch(self.k)
        self.buffers: list[int] = []
        self.local: dict[int, Reg] = {}
        self.local_bytes: dict[int, int] = {}

    def buffer(self, operand: int) -> Reg:
        """The address of an operand of the nest."""
        return self.place(self.owner.spilled.get(operand, operand))

    def place(self, number: int) -> Reg:
        """The address of a buffer by its number in the launch."""
        if number not in self.buffers:
            self.buffers.append(number)
        return self.k.buffer(self.buffers.index(number))

    def base(self, access: Access, columns: int, low: Extent) -> Reg:
        """Where element 0 of the access's operand lies.

        Scratch has `columns` of each element, the first for index `low` of the last outer axis.
        """
        operand = access.operand
        declared = self.owner.nest.operands[operand]
        if declared.role != "scratch":
            return self.buffer(operand)
        if operand not in self.local:
            self.local[operand] = self.scratch.take(declared.type.bytes * columns)
        return offset(self.k, self.local[operand], mul(self.k, low, -access.dtype.itemsize))

    def parts(self, columns: int = 1, low: Extent = 0) -> KernelParts:
        """What its stages share."""
        return KernelParts(
            self.k,
            self.scratch,
            lambda access: self.base(access, columns, low),
            self.owner.outline,
        )

    def close(self, blocks: Size, cost: Size) -> None:
        """End the function and add its launch."""
        owner, traps = self.owner, self.k.traps
        announced = sum(len(launch.temporaries) for launch in owner.launches)
        self.k.finish(self.symbol)
        owner.launches.append(
            Launch(
                self.symbol,
                tuple(self.buffers),
                owner.nest.symbols,
                blocks,
                cost,
                self.scratch.bytes,
                tuple(owner.temporaries[announced:]),
                traps,
            )
        )


def map_kernels(owner: NestKernels, stages: Sequence[MapStage]) -> None:
    """Write the kernels of a nest's MapStages."""
    if not stages:
        return
    if len(stages) > 1 and not owner.nest.outer and not _small(stages):
        owner.spill()
        for stage in stages:
            _kernels(owner, [stage])
        return
    _kernels(owner, stages)


def _small(stages: Sequence[MapStage]) -> bool:
    """Whether all stages together are too little work to be spread over threads."""
    sizes = [size_product(stage.inner) for stage in stages]
    return all(isinstance(size, int) and size <= CHUNK for size in sizes)


def _kernels(owner: NestKernels, stages: Sequence[MapStage]) -> None:
    space = linear(owner.nest, stages)
    plan = scheduled(space, owner.nest.operands, owner.target)
    if plan.columns:
        _by_columns(owner, plan)
    elif _is_long(plan):
        _partial(owner, plan)
        _combining(owner, plan)
    else:
        _by_rows(owner, plan)


def _by_columns(owner: NestKernels, plan: Schedule) -> None:
    kernel = owner.open()
    k, space = kernel.k, plan.space
    works = space.works
    flat = space.outer == 1 and len(works) == 1 and len(works[0].sizes) == 1
    extent = k.size(space.sizes[-1])
    if flat:
        low = mul(k, BEGIN, plan.chunk)
        bounds = (low, least(k, mul(k, END, plan.chunk), extent))
        if isinstance(plan.chunks, int) and plan.chunks <= 1:
            bounds = (0, extent)
        panel = Panel(bounds, 1, plan.width, plan.chunk)
        cost = emit_columns(kernel.parts(), works[0], panel, {})
        kernel.close(plan.blocks, _cost(cost, plan))
        return
    cost = 0
    with k.loop(BEGIN, END, i64(1)) as block:
        chunks = k.size(plan.chunks)
        point, part = split(k, block.index, chunks)
        prefix = decomposed(k, point, [k.size(size) for size in space.sizes[:-1]])
        low = mul(k, part, plan.chunk)
        high = extent if chunks == 1 else least(k, add(k, low, plan.chunk), extent)
        panel = Panel((low, high), space.outer, plan.width, plan.chunk)
        parts = kernel.parts(plan.chunk, low)
        for work in works:
            cost += emit_columns(parts, work, panel, dict(enumerate(prefix)))
    kernel.close(plan.blocks, _cost(cost, plan))


def _by_rows(owner: NestKernels, plan: Schedule) -> None:
    kernel = owner.open()
    k, space = kernel.k, plan.space
    sizes = [k.size(size) for size in space.sizes]
    cost = 0
    with k.loop(BEGIN, END, i64(1)) as block:
        point = dict(enumerate(decomposed(k, block.index, sizes)))
        parts = kernel.parts()
        for work in space.works:
            cost += emit_rows(parts, work, point, plan.width)
    kernel.close(plan.blocks, _cost(cost, plan))


# Long reductions: chunks of blocks leave their frames, a second kernel combines them.


def _is_long(plan: Schedule) -> bool:
    space = plan.space
    work = space.works[0]
    if len(space.works) > 1 or work.serial or len(passes(work)) > 1 or not work.reduced:
        return False
    inner = range(space.outer, len(work.sizes))
    if set(inner) != set(work.reduced):
        return False
    results = size_product(space.sizes)
    count = size_product(work.sizes[space.outer :])
    few = isinstance(results, int) and results <= FEW
    return few and not (isinstance(count, int) and count < LONG)


def _row(kernel: Kernel, plan: Schedule) -> RowReduction:
    work = plan.space.works[0]
    (chosen,) = passes(work)
    return RowReduction(kernel.parts(), work, chosen, plan.space.outer, plan.width)


def _partial(owner: NestKernels, plan: Schedule) -> None:
    kernel = owner.open()
    k, space = kernel.k, plan.space
    row = _row(kernel, plan)
    chunks = ceil_div(row.count, CHUNK)
    blocks = size_product(space.sizes) * chunks
    frames = kernel.place(owner.temporary(blocks * row.frames.bytes))
    with k.loop(BEGIN, END, i64(1)) as block:
        point, chunk = split(k, block.index, k.size(chunks))
        indices = decomposed(k, point, [k.size(size) for size in space.sizes])
        row.stage.body.enter(0, dict(enumerate(indices)))
        low = as_reg(mul(k, chunk, CHUNK))
        row.reduce_range(low, least(k, add(k, low, CHUNK), k.size(row.count)))
        row.frames.copy(_frame(k, frames, block.index, row), row.frames.current)
    each = max(1, row.stage.cost * 16 // (6 * plan.width)) + 1
    kernel.close(blocks, CHUNK * each + BLOCK_COST)


def _combining(owner: NestKernels, plan: Schedule) -> None:
    kernel = owner.open()
    k, space = kernel.k, plan.space
    number = owner.declared + len(owner.temporaries) - 1
    row = _row(kernel, plan)
    row.stage.body.only_stores()
    frames = kernel.place(number)
    chunks = k.size(ceil_div(row.count, CHUNK))
    with k.loop(BEGIN, END, i64(1)) as point:
        indices = decomposed(k, point.index, [k.size(size) for size in space.sizes])
        row.stage.body.enter(0, dict(enumerate(indices)))
        first = mul(k, point.index, chunks)
        with k.loop(i64(0), as_reg(chunks), i64(1)) as part:
            source = _frame(k, frames, as_reg(add(k, first, part.index)), row)
            row.frames.copy(row.frames.current, source)
            row.frames.push(part.index)
        row.frames.collect(chunks)
        row.finish()
    cost = ceil_div(row.count, CHUNK) * 16 * 40 + BLOCK_COST
    kernel.close(size_product(space.sizes), cost)


def _frame(k: KernelEmitter, frames: Reg, number: Reg, row: RowReduction) -> Reg:
    return offset(k, frames, mul(k, number, row.frames.bytes))


def _cost(instructions: int, plan: Schedule) -> Size:
    """Nanoseconds of one block times 16: two instructions per cycle at 3 GHz, 64 GB/s."""
    outer, works = plan.space.outer, plan.space.works
    traffic = sum(a.dtype.itemsize for work in works for a in work.accesses()) // 4
    sizes = [size_product(work.sizes[outer:]) for work in works]
    elements: Size = max((size for size in sizes if isinstance(size, int)), default=0)
    for size in sizes:
        elements = elements if isinstance(size, int) else elements + size
    each = max(1, instructions * 16 // (6 * plan.unit)) + traffic
    columns = minimum(plan.chunk, plan.space.sizes[-1]) if plan.columns else 1
    return elements * columns * each + BLOCK_COST
