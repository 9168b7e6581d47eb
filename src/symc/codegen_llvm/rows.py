"""Stages by rows: one outer point after the other, vectors along the last inner axis.

What it is: elementwise rows, and reductions over a row.  Where the reduced axes are one in memory
the row is walked directly; else its elements are first written, block by block, to a row of their
own (`_Packed`), and reduced from there.  Running values stay in registers where the body is short.

Invariants: the order is that of `tree`; a long reduction may be cut at multiples of BLOCK
(`reduce_range`), each cut leaving its frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import add, as_reg, ceil_div, least, sub
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder
from symc.codegen_llvm.loops import CHEAP, decomposed, each_vector
from symc.codegen_llvm.memory import Position
from symc.codegen_llvm.schedule import shrunk
from symc.codegen_llvm.space import Work
from symc.codegen_llvm.stage import KernelParts, Pass, StagePass, passes
from symc.codegen_llvm.text import Reg, i64
from symc.codegen_llvm.tree import Carried, FrameLayout, Frames, Reduction, halved, levels_of
from symc.ir.dims import prove_le, size_product
from symc.ir.ops.reduce import BLOCK, LANES
from symc.ir.types import BOOL, I64

Element = Callable[[Position], list[Carried]]
FEW = 4  # vectors of running values that keep the arithmetic busy
REGISTERS = 16  # vectors of running values that may stay in registers
UNROLLED = 400  # instructions of a short row that are written without a loop


def emit_rows(parts: KernelParts, work: Work, outer: Mapping[int, Extent], width: int) -> int:
    """Write all passes of `work` at one outer point; returns instructions per vector, as a cost."""
    total = 0
    for chosen in passes(work):
        if chosen.reduced:
            row = RowReduction(parts, work, chosen, len(outer), width)
            row.at_point(outer)
            stage = row.stage
        else:
            stage = _elementwise(parts, work, chosen, outer, width)
        total += stage.cost
    return total


def _elementwise(
    parts: KernelParts, work: Work, chosen: Pass, outer: Mapping[int, Extent], width: int
) -> StagePass:
    first, inner = tuple(range(len(outer))), tuple(range(len(outer), len(work.sizes)))
    vector = inner[-1:]
    width = shrunk(width, work.sizes[vector[0]]) if vector else 1
    levels = [first, *((axis,) for axis in inner[:-1]), vector]
    stage = StagePass(parts, work, chosen, levels, width)
    stage.body.enter(0, outer)
    with stage.loops(inner[:-1], 1):
        end = parts.k.size(work.sizes[vector[0]]) if vector else 1
        each_vector(parts.k, (0, end), width, stage.cost, stage.direct)
    return stage


class RowReduction:
    """One pass over a work that reduces at least one axis, at one outer point."""

    def __init__(
        self, parts: KernelParts, work: Work, chosen: Pass, outer: int, width: int
    ) -> None:
        self.k = parts.k
        self.work = work
        reduced = chosen.reduced
        inner = range(outer, len(work.sizes))
        self.free = tuple(axis for axis in inner if axis not in reduced)
        levels: list[tuple[int, ...]] = [tuple(range(outer)), *((axis,) for axis in self.free)]
        if len(reduced) > 1:
            levels.append(reduced[:-1])
        levels.append(reduced[-1:])
        self.count = size_product(tuple(work.sizes[axis] for axis in reduced))
        self.width = shrunk(width, self.count)
        narrow = shrunk(width, work.sizes[reduced[-1]])
        packed = len(reduced) > 1
        self.stage = StagePass(parts, work, chosen, levels, narrow if packed else self.width)
        self.memory = parts.memory(self.width)
        self.parts = parts
        self.reductions = self.stage.reductions
        layout = FrameLayout(self.memory, self.reductions, 1)
        self.frames = Frames(self.memory, layout, parts.scratch, levels_of(self.count))
        self.packed = _Packed(self) if packed else None
        # In any order fewer running values do, where no frame is ever folded.
        exact = all(reduction.reducer.exact for reduction in self.reductions)
        few = exact and not self.frames.levels and isinstance(self.count, int)
        self.lanes = min(LANES, FEW * self.width) if few else LANES

    def at_point(self, outer: Mapping[int, Extent]) -> None:
        """The whole row at one outer point, results stored."""
        self.stage.body.enter(0, outer)
        with self.stage.loops(self.free, 1):
            if self._short():
                self._finish(self._in_registers())
                return
            self.reduce_range(0, self.k.size(self.count))
            self.finish()

    def finish(self) -> None:
        """Combine the lanes of the current frame and store the results."""
        vectors = self.lanes // self.width
        if isinstance(self.count, int):
            vectors = max(1, min(vectors, -(-self.count // self.width)))
        self._finish(
            [
                [self.frames.load(number, vector * self.width) for vector in range(vectors)]
                for number in range(len(self.reductions))
            ]
        )

    # Elements.

    def _started(self, position: Position) -> list[Carried]:
        values = self.stage.elements(position)
        return self.stage.started(values, self.index_lanes(position.index))

    def index_lanes(self, first: Extent) -> Reg:
        """Row-major positions of a vector's lanes along the reduced axes."""
        if not self.stage.needs_index:
            return self.memory.iota()
        start = self.memory.splat_extent(first)
        return self.k.emit(start.type, f"add {start}, {self.memory.iota().name}")

    # Rows of at most LANES elements.

    def _short(self) -> bool:
        if self.packed is not None or not isinstance(self.count, int):
            return False
        vectors = -(-self.count // self.width)
        written = vectors * self.stage.cost
        affordable = vectors <= 2 or written <= (UNROLLED if vectors <= 4 else 3 * CHEAP)
        return 0 < self.count <= LANES and affordable

    def _in_registers(self) -> list[list[Carried]]:
        assert isinstance(self.count, int)
        parts: list[list[Carried]] = [[] for _ in self.reductions]
        for index in range(0, self.count, self.width):
            left = self.count - index
            position = Position(index, left if left < self.width else None)
            for number, carried in enumerate(self._started(position)):
                identity = self.reductions[number].identity(self.memory.builder)
                parts[number].append(self._masked(position, carried, identity))
        return parts

    def _masked(self, position: Position, inside: Carried, outside: Carried) -> Carried:
        if position.inside is None:
            return inside
        builder = self.memory.builder
        mask = builder.wrap(self.memory.mask(position.inside), BOOL)
        pairs = zip(inside, outside, strict=True)
        return tuple(builder.select(mask, x, y) for x, y in pairs)

    # Longer rows.

    def reduce_range(self, low: Extent, high: Extent) -> None:
        """Elements [low, high), low a multiple of BLOCK, into the current frame."""
        k = self.k
        if isinstance(low, int) and isinstance(high, int) and high - low <= BLOCK:
            self._block(low, high)
            return
        blocks = ceil_div(k, sub(k, high, low), BLOCK)
        several = k.emit("i1", f"icmp sgt {as_reg(blocks)}, 1")
        with k.loop(i64(0), as_reg(blocks), i64(1)) as loop:
            k.poll()
            step = k.emit("i64", f"mul {loop.index}, {BLOCK}")
            start = add(k, low, step)
            self._block(start, least(k, add(k, start, BLOCK), high))
            with k.when(several):
                self.frames.push(loop.index)
        with k.when(k.emit("i1", f"icmp ne {as_reg(blocks)}, 1")):
            self.frames.collect(blocks)

    def _block(self, start: Extent, end: Extent) -> None:
        if self.packed is not None:
            self.packed.fill(start, end)
            self._walk(0, sub(self.k, end, start), 2, self.packed.element(start))
        else:
            self._walk(start, end, self.stage.cost, self._started)

    def _walk(self, start: Extent, end: Extent, cost: int, element: Element) -> None:
        """Elements [start, end) of one block into the current frame."""
        vectors = self.lanes // self.width
        registers = sum(len(r.carried) for r in self.reductions) * vectors
        simple = self.width > 1 and not self.stage.needs_index
        if not simple or registers > REGISTERS or cost * vectors > 4 * CHEAP:
            self.frames.clear()
            self._into_frame((start, end), start, cost, element)
            return
        groups = self._whole_groups(start, end)
        self._through_registers(start, groups, element)
        if not (isinstance(groups, int) and groups == end):
            self._into_frame((groups, end), groups, cost, element)

    def _whole_groups(self, start: Extent, end: Extent) -> Extent:
        """Where the last whole group of LANES elements ends."""
        count = sub(self.k, end, start)
        if isinstance(count, int) and isinstance(start, int):
            return start + count // self.lanes * self.lanes
        rest = self.k.emit("i64", f"and {as_reg(count)}, {self.lanes - 1}")
        return sub(self.k, end, rest)

    def _through_registers(self, start: Extent, end: Extent, element: Element) -> None:
        builder, vectors = self.memory.builder, self.lanes // self.width
        identities = [reduction.identity(builder)[0] for reduction in self.reductions]
        first = [builder.reg(x) for x in identities for _ in range(vectors)]
        with self.k.loop(as_reg(start), as_reg(end), i64(self.lanes), first) as loop:
            following = list(loop.carried)
            for vector in range(vectors):
                position = Position(add(self.k, loop.index, vector * self.width))
                for number, carried in enumerate(element(position)):
                    place = number * vectors + vector
                    dtype = identities[number].dtype
                    before = builder.wrap(loop.carried[place], dtype)
                    (after,) = self.reductions[number].combined(builder, (before,), carried)
                    following[place] = builder.reg(after)
            loop.carry(*following)
        for place, register in enumerate(loop.carried):
            number, vector = divmod(place, vectors)
            value = builder.wrap(register, identities[number].dtype)
            self.frames.store(number, vector * self.width, (value,))

    def _into_frame(
        self, bounds: tuple[Extent, Extent], origin: Extent, cost: int, element: Element
    ) -> None:
        """Elements of `bounds` onto the current frame; the first of a group is at `origin`."""

        def step(position: Position) -> None:
            started = element(position)
            lane = sub(self.k, position.index, origin)
            if isinstance(lane, Reg):
                lane = self.k.emit("i64", f"and {lane}, {self.lanes - 1}")
            else:
                lane %= self.lanes
            for number, carried in enumerate(started):
                before = self.frames.load(number, lane)
                after = self.reductions[number].combined(self.memory.builder, before, carried)
                after = self._masked(position, after, before)
                self.frames.store(number, lane, after)

        each_vector(self.k, bounds, self.width, cost, step)

    # Results.

    def _finish(self, parts: Sequence[Sequence[Carried]]) -> None:
        builder = LlvmBuilder(self.k, 1)
        empty = None
        if not prove_le(1, self.count):
            count = as_reg(self.k.size(self.count))
            empty = builder.wrap(self.k.emit("i1", f"icmp eq {count}, 0"), BOOL)
        for reduction, vectors in zip(self.reductions, parts, strict=True):
            whole = halved(self.memory, reduction, vectors, self.count)
            self._store(reduction, reduction.finished(builder, whole, empty), builder)

    def _store(self, reduction: Reduction, result: Lanes, builder: LlvmBuilder) -> None:
        access = reduction.write.access
        pointer = self.stage.body.pointers[access]
        self.k.line(f"store {builder.to_memory(result)}, {pointer}, align {access.dtype.itemsize}")


class _Packed:
    """Elements of one block of a row whose reduced axes are not one in memory."""

    def __init__(self, row: RowReduction) -> None:
        self.row = row
        self.k = row.k
        scratch = row.parts.scratch
        self.places = [
            scratch.take((BLOCK + LANES) * reduction.dtype.itemsize) for reduction in row.reductions
        ]

    def fill(self, start: Extent, end: Extent) -> None:
        """Evaluate elements [start, end) into the packed rows."""
        k, stage = self.k, self.row.stage
        reduced = stage.chosen.reduced
        sizes = [k.size(self.row.work.sizes[axis]) for axis in reduced]
        length = sizes[-1]
        safe = _maximum(k, length, 1)
        first = k.emit("i64", f"udiv {as_reg(start)}, {as_reg(safe).name}")
        reach = k.emit("i64", f"add {as_reg(end)}, {as_reg(sub(k, safe, 1)).name}")
        stop = k.emit("i64", f"udiv {reach}, {as_reg(safe).name}")
        level = len(stage.levels) - 2
        with k.loop(first, stop, i64(1)) as loop:
            outer = decomposed(k, loop.index, sizes[:-1])
            stage.body.enter(level, dict(zip(reduced[:-1], outer, strict=True)))
            origin = k.emit("i64", f"mul {loop.index}, {as_reg(length).name}")
            low = _maximum(k, sub(k, start, origin), 0)
            high = least(k, sub(k, end, origin), length)
            shift = sub(k, origin, start)
            each_vector(
                k,
                (low, high),
                stage.memory.width,
                stage.cost,
                lambda position: self._put(position, shift),
            )

    def _put(self, position: Position, shift: Extent) -> None:
        stage = self.row.stage
        values = stage.elements(position)
        at = add(self.k, position.index, shift)
        for place, value in zip(self.places, values, strict=True):
            step = self.k.emit("i64", f"mul {as_reg(at)}, {value.dtype.itemsize}")
            pointer = self.k.emit("ptr", f"getelementptr i8, {place}, {step}")
            self._store(position, pointer, value)

    def _store(self, position: Position, pointer: Reg, value: Lanes) -> None:
        memory = self.row.stage.memory
        if position.full is None:
            memory.store_run(pointer, value, 1, position.inside)
            return

        def arm(inside: Extent | None) -> list[Reg]:
            memory.store_run(pointer, value, 1, inside)
            return []

        self.k.either(position.full, lambda: arm(None), lambda: arm(position.partial))

    def element(self, start: Extent) -> Element:
        """Started running values from the packed rows; positions count from `start`."""
        memory, stage = self.row.memory, self.row.stage

        def visit(position: Position) -> list[Carried]:
            values = []
            for place, reduction in zip(self.places, self.row.reductions, strict=True):
                size = reduction.dtype.itemsize
                step = self.k.emit("i64", f"mul {as_reg(position.index)}, {size}")
                pointer = self.k.emit("ptr", f"getelementptr i8, {place}, {step}")
                loaded = memory.load(pointer, reduction.dtype)
                values.append(memory.lanes(loaded, reduction.dtype))
            index = self.row.index_lanes(add(self.k, start, position.index))
            builder, lanes = memory.builder, memory.builder.wrap(index, I64)
            pairs = zip(stage.reductions, values, strict=True)
            return [reduction.started(builder, value, lanes) for reduction, value in pairs]

        return visit


def _maximum(k: KernelEmitter, left: Extent, right: int) -> Extent:
    if isinstance(left, int):
        return max(left, right)
    name = k.module.declare("llvm.smax.i64", "i64 {}(i64, i64)")
    return k.emit("i64", f"call i64 {name}({left}, i64 {right})")
