"""How a space becomes loops: which axis the vectors run along, how wide, and the parallel blocks.

before: a `Space`.
after: a `Schedule`.  By *columns*: vectors run along the last outer axis, all other axes are loops
around them (elementwise work; reductions over leading axes).  By *rows*: vectors run along the last
inner axis of each stage, one outer point after the other (softmax, sums over trailing axes).

Invariants: the choice depends on the nest alone; blocks depend on sizes alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.codegen_llvm.contract.spec import VectorTarget
from symc.codegen_llvm.costs import instructions
from symc.codegen_llvm.sizes import ceil_div
from symc.codegen_llvm.space import Access, Space, Work, is_scratch, merged, reordered, side_by_side
from symc.ir.dims import Size, size_product
from symc.ir.nest import Operand
from symc.ir.ops.reduce import BLOCK, LANES
from symc.records import dataclass

RUN = 4096  # elements of one parallel block of elementwise work
PANEL_BYTES = 1024  # of one lane's row of running values, where columns are reduced
CHUNK = 16 * BLOCK  # elements of one parallel block of a long reduction
DEAR = (16, 400)  # instructions of a body whose chain of dependent steps is worth interleaving
FEW_REGISTERS = 16  # of such a CPU one vector at a time leaves the arithmetic units waiting


@dataclass(frozen=True, slots=True)
class Schedule:
    """`columns` or rows; `width` lanes; `chunk` elements of the last outer axis per block.

    `unit`: lanes of one instruction, `width` or fewer.
    """

    space: Space
    columns: bool
    width: int
    chunk: int
    unit: int

    @property
    def chunks(self) -> Size:
        """Blocks along the last outer axis."""
        return ceil_div(self.space.sizes[-1], self.chunk) if self.columns else 1

    @property
    def blocks(self) -> Size:
        """Parallel blocks of the kernel."""
        sizes = self.space.sizes
        return size_product(sizes[:-1]) * self.chunks if self.columns else size_product(sizes)


def scheduled(space: Space, operands: Sequence[Operand], target: VectorTarget) -> Schedule:
    """Choose between columns and rows, and the width."""
    axis, by_columns = _best_column(space, operands)
    by_rows = sum(
        _contiguity(work, len(work.sizes) - 1, operands)
        for work in space.works
        if len(work.sizes) > space.outer
    )
    plain = all(len(work.sizes) == space.outer for work in space.works)
    serial = any(work.serial for work in space.works)  # rows would go lane by lane
    columns = space.outer > 0 and (plain or serial or by_columns > by_rows)
    if columns:
        order = [a for a in range(space.outer) if a != axis] + [axis]
        space = merged(reordered(space, order))
    width = _width(space, target)
    wide = min(width * _interleaved(space, target), LANES)
    if not columns:
        return Schedule(space, columns, wide if _whole(space, wide) else width, 1, width)
    unit, width = (shrunk(lanes, space.sizes[-1]) for lanes in (width, wide))
    chunk = _chunk(space, width)
    local = {i for i, operand in enumerate(operands) if operand.role == "scratch"}
    return Schedule(side_by_side(space, local, chunk), columns, width, chunk, unit)


def shrunk(width: int, size: Size) -> int:
    """No wider than a static size needs."""
    while isinstance(size, int) and width > 1 and width // 2 >= size:
        width //= 2
    return width


def _best_column(space: Space, operands: Sequence[Operand]) -> tuple[int, int]:
    """The outer axis along which most accesses are contiguous, and its score."""
    scores = [
        (sum(_contiguity(work, axis, operands) for work in space.works), axis)
        for axis in range(space.outer)
    ]
    score, axis = max(scores, default=(0, 0))
    return axis, score


def _contiguity(work: Work, axis: int, operands: Sequence[Operand]) -> int:
    accesses: list[tuple[Access, int]] = [(load, 1) for load in work.loads]
    accesses += [(write.access, 2) for write in work.writes]
    return sum(
        weight * _step(access, axis)
        for access, weight in accesses
        if not is_scratch(operands, access)
    )


def _step(access: Access, axis: int) -> int:
    """1 where neighbours along the axis are neighbours in memory, 0 where they are one element."""
    if any(term.index.at.factors[axis] != 0 for term in access.indirect):
        return -1
    factor = access.at.factors[axis]
    return 1 if factor == 1 else 0 if factor == 0 else -1


def _width(space: Space, target: VectorTarget) -> int:
    """Lanes: of 4-byte elements where there are any, else of 8-byte ones, else of bytes."""
    dtypes: set[np.dtype] = set()
    for work in space.works:
        dtypes |= {access.dtype for access in work.accesses()}
        dtypes |= {node.results[0].type.dtype for node in work.body.nodes}
    sizes = {dtype.itemsize for dtype in dtypes}
    smallest = min(sizes - {1}, default=1)
    return min(target.bits // 8 // smallest, LANES)


def _interleaved(space: Space, target: VectorTarget) -> int:
    """Vectors at once: more than one for a body of many dependent steps.

    The steps of several do not wait for each other, and share constants.  With many registers
    they are as long as the units are wide, and nothing waits.
    """
    if target.registers > FEW_REGISTERS:
        return 1
    dear = max((instructions(work.body.nodes) for work in space.works), default=0)
    if not DEAR[0] <= dear <= DEAR[1]:
        return 1
    return 2


def _whole(space: Space, width: int) -> bool:
    """Whether all rows are whole vectors: a tail costs more than interleaving gains."""
    lengths = [work.sizes[-1] for work in space.works if len(work.sizes) > space.outer]
    return all(isinstance(length, int) and length % width == 0 for length in lengths)


def _chunk(space: Space, width: int) -> int:
    carried = 0
    for work in space.works:
        running = 0
        for write in work.writes:
            if write.reducer is not None and write.reduced:
                dtype = work.body.results[write.result].type.dtype
                running += sum(t.itemsize for t in write.reducer.carried(dtype))
        carried = max(carried, running)
    if not carried and all(len(work.sizes) == space.outer for work in space.works):
        return RUN
    chunk = max(width, PANEL_BYTES // max(carried, 4) // width * width)
    size = space.sizes[-1]
    return min(chunk, -(-size // width) * width) if isinstance(size, int) and size else chunk
