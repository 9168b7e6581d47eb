"""Stages by columns: vectors run along the last outer axis, everything else loops around them.

What it is: elementwise loops, and reductions whose running values stand in memory, LANES for each
column of a panel.  Rows of the panel are walked in order, so that memory is read as it lies.

Invariants: the panel is at most `columns` wide, a multiple of the vector; columns beyond its end
hold arbitrary numbers and are never stored to operands.
"""

from __future__ import annotations

from collections.abc import Mapping

from symc.codegen_llvm.contract.size import add, as_reg, ceil_div, least, sub
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.loops import attempted, decomposed, each_vector, loop_over
from symc.codegen_llvm.memory import Position
from symc.codegen_llvm.space import Work
from symc.codegen_llvm.stage import KernelParts, Pass, StagePass, passes
from symc.codegen_llvm.text import Reg
from symc.codegen_llvm.tree import FrameLayout, Frames, levels_of
from symc.ir.dims import Size, prove_le, size_product
from symc.ir.ops.reduce import BLOCK, LANES
from symc.ir.types import BOOL

Bounds = tuple[Extent, Extent]


class Panel:
    """The columns [low, high) of the last outer axis, at most `columns` many, by `width`."""

    def __init__(self, bounds: Bounds, outer: int, width: int, columns: int) -> None:
        self.bounds = bounds
        self.outer = outer
        self.width = width
        self.columns = columns

    @property
    def several(self) -> bool:
        """Whether there may be more than one vector."""
        low, high = self.bounds
        return not (isinstance(low, int) and isinstance(high, int) and high - low <= self.width)


def emit_columns(parts: KernelParts, work: Work, panel: Panel, prefix: Mapping[int, Extent]) -> int:
    """Write all passes of `work` over a panel; returns instructions per vector, as a cost."""
    total = 0
    for chosen in passes(work):
        if chosen.reduced:
            stage = _reduction(parts, work, chosen, panel, prefix)
        else:
            stage = _elementwise(parts, work, chosen, panel, prefix)
        total += stage.cost
    return total


def _elementwise(
    parts: KernelParts, work: Work, chosen: Pass, panel: Panel, prefix: Mapping[int, Extent]
) -> StagePass:
    first, vector = tuple(range(panel.outer - 1)), panel.outer - 1
    inner = tuple(range(panel.outer, len(work.sizes)))
    levels = [first, *((axis,) for axis in inner), (vector,)]
    stage = StagePass(parts, work, chosen, levels, panel.width)
    stage.body.enter(0, prefix)
    with stage.loops(inner, 1):
        if stage.defers and panel.several:
            attempted(parts.k, panel.bounds, panel.width, stage.attempt, stage.direct)
        else:
            each_vector(parts.k, panel.bounds, panel.width, stage.cost, stage.direct)
    return stage


def _reduction(
    parts: KernelParts, work: Work, chosen: Pass, panel: Panel, prefix: Mapping[int, Extent]
) -> StagePass:
    first, vector = tuple(range(panel.outer - 1)), panel.outer - 1
    free = tuple(a for a in range(panel.outer, len(work.sizes)) if a not in chosen.reduced)
    levels = [first, *((axis,) for axis in free), chosen.reduced, (vector,)]
    stage = StagePass(parts, work, chosen, levels, panel.width)
    count = size_product(tuple(work.sizes[axis] for axis in chosen.reduced))
    layout = FrameLayout(stage.memory, stage.reductions, panel.columns)
    frames = Frames(stage.memory, layout, parts.scratch, levels_of(count))
    stage.body.enter(0, prefix)
    with stage.loops(free, 1):
        _ColumnReduction(stage, frames, panel, count).emit()
    return stage


class _ColumnReduction:
    """The rows of one panel, reduced."""

    def __init__(self, stage: StagePass, frames: Frames, panel: Panel, count: Size) -> None:
        self.stage = stage
        self.frames = frames
        self.panel = panel
        self.count = count
        self.k = stage.k
        self.single = isinstance(count, int) and count <= LANES

    def emit(self) -> None:
        count = self.k.size(self.count)
        if count == 0:
            self.frames.clear()
        elif isinstance(count, int) and count <= BLOCK:
            self._block(0, count)
        else:
            self._blocks(count)
        self.frames.halve(least(self.k, count, LANES))
        self._finish(count)

    def _blocks(self, count: Extent) -> None:
        k = self.k
        blocks = ceil_div(k, count, BLOCK)
        several = k.emit("i1", f"icmp sgt {as_reg(blocks)}, 1")
        with k.loop(Reg("0", "i64"), as_reg(blocks), Reg("1", "i64")) as loop:
            k.poll()
            start = k.emit("i64", f"mul {loop.index}, {BLOCK}")
            end = least(k, add(k, start, BLOCK), count)
            self._block(start, end)
            with k.when(several):
                self.frames.clear(self._present(start, end), LANES)
                self.frames.push(loop.index)
        with k.when(k.emit("i1", f"icmp ne {as_reg(blocks)}, 1")):
            self.frames.collect(blocks)

    def _present(self, start: Extent, end: Extent) -> Extent:
        """Lanes that the rows [start, end) of one block reach."""
        return least(self.k, sub(self.k, end, start), LANES)

    def _block(self, start: Extent, end: Extent) -> None:
        if not self.single:
            self.frames.clear(0, self._present(start, end))
        sizes = [self.stage.work.sizes[axis] for axis in self.stage.chosen.reduced]
        extents = [self.k.size(size) for size in sizes]
        level = len(self.stage.levels) - 2
        with loop_over(self.k, start, end) as row:
            indices = decomposed(self.k, row, extents)
            self.stage.body.enter(level, dict(zip(self.stage.chosen.reduced, indices, strict=True)))
            lane = sub(self.k, row, start)
            if not self.single:
                lane = self.k.emit("i64", f"and {as_reg(lane)}, {LANES - 1}")
            self._row(row, lane)

    def _row(self, row: Extent, lane: Extent) -> None:
        k, panel = self.k, self.panel
        if isinstance(lane, int):
            begin: Extent = lane * panel.columns
        else:
            begin = k.emit("i64", f"mul {lane}, {panel.columns}")
        memory, low = self.stage.memory, panel.bounds[0]
        index = memory.splat_extent(row if self.stage.needs_index else 0)

        def step(position: Position) -> None:
            started = self.stage.started(self.stage.elements(position), index)
            at = add(k, begin, sub(k, position.index, low))
            for number, carried in enumerate(started):
                value = carried
                if not self.single:
                    before = self.frames.load(number, at)
                    reduction = self.stage.reductions[number]
                    value = reduction.combined(memory.builder, before, carried)
                self.frames.store(number, at, value)

        each_vector(k, panel.bounds, panel.width, self.stage.cost, step)

    def _finish(self, count: Extent) -> None:
        k, memory, low = self.k, self.stage.memory, self.panel.bounds[0]
        empty = None
        if not prove_le(1, self.count):
            flag = k.emit("i1", f"icmp eq {as_reg(count)}, 0")
            empty = memory.builder.wrap(memory.splat(flag), BOOL)

        def finish(position: Position) -> None:
            values = []
            for number, reduction in enumerate(self.stage.reductions):
                at = sub(k, position.index, low)
                carried = self.frames.load(number, at)
                result = reduction.finished(memory.builder, carried, empty)
                values.append((reduction.number, result))
            self.stage.body.store(position, values)

        each_vector(k, self.panel.bounds, self.panel.width, 2, finish)
