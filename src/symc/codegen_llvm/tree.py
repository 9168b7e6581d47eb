"""The fixed tree of reductions (`ir/ops/reduce.py`), over frames of running values in memory.

What it is: a *frame* holds LANES running values for each of `columns` results: for every reduction
and carried lane an array [LANES][columns].  Blocks of BLOCK elements end in a frame; frames combine
pairwise as a binary counter does: after block b, as many levels fold as b has trailing ones.

Invariants: a running value that no element reached is the reducer's identity; the left operand of
every combination is earlier in row-major order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import as_reg, offset
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder
from symc.codegen_llvm.memory import VectorMemory
from symc.codegen_llvm.scratch import Scratch
from symc.codegen_llvm.space import Write
from symc.codegen_llvm.text import Reg, i64
from symc.ir.dims import Size
from symc.ir.ops.record import Reducer
from symc.ir.ops.reduce import BLOCK, LANES

Carried = tuple[Lanes, ...]
MANY_LEVELS = 32  # folds of blocks when the number of elements is unknown: 2^44 elements


@dataclass(frozen=True, slots=True)
class Reduction:
    """One write that reduces results of `dtype`."""

    number: int  # among the writes of its stage's body
    write: Write
    dtype: np.dtype

    @property
    def reducer(self) -> Reducer:
        """How it combines."""
        assert self.write.reducer is not None
        return self.write.reducer

    @property
    def carried(self) -> tuple[np.dtype, ...]:
        """Dtypes of a running value."""
        return self.reducer.carried(self.dtype)

    def identity(self, builder: LlvmBuilder) -> Carried:
        """The running value of no elements."""
        values = zip(self.reducer.identity(self.dtype), self.carried, strict=True)
        return tuple(builder.const(value, dtype) for value, dtype in values)

    def started(self, builder: LlvmBuilder, value: Lanes, index: Lanes) -> Carried:
        """The running value of one element."""
        return tuple(self.reducer.start(builder, value, index))

    def combined(self, builder: LlvmBuilder, left: Carried, right: Carried) -> Carried:
        """Two running values as one."""
        return tuple(self.reducer.combine(builder, left, right))

    def finished(self, builder: LlvmBuilder, carried: Carried, empty: Lanes | None) -> Lanes:
        """The result; `empty` is set where there was no element at all."""
        result: Lanes = self.reducer.finish(builder, carried)
        if empty is None or result.dtype.kind != "f":
            return result
        positive = builder.add(result, builder.const(0, result.dtype))
        return builder.select(empty, positive, result)


def levels_of(count: Size) -> int:
    """How many levels of frames the blocks of `count` elements need; 0 for one block."""
    if not isinstance(count, int):
        return MANY_LEVELS
    blocks = -(-count // BLOCK)
    return blocks.bit_length() if blocks > 1 else 0


class Frames:
    """The current frame and the levels below it, in scratch memory."""

    def __init__(
        self,
        memory: VectorMemory,
        reductions: Sequence[Reduction],
        columns: int,
        scratch: Scratch,
        levels: int,
    ) -> None:
        self.memory = memory
        self.k: KernelEmitter = memory.k
        self.reductions = tuple(reductions)
        self.columns = columns
        self.offsets: dict[tuple[int, int], int] = {}
        total = 0
        for i, reduction in enumerate(self.reductions):
            for j, dtype in enumerate(reduction.carried):
                self.offsets[i, j] = total
                total += -(-LANES * columns * dtype.itemsize // 64) * 64
        self.bytes = total
        self.levels = levels
        self.current = scratch.take(total)
        self.stack = scratch.take(total * levels) if levels else self.current

    # One vector of one frame.

    def _at(self, frame: Reg, key: tuple[int, int], element: Extent) -> Reg:
        dtype = self.reductions[key[0]].carried[key[1]]
        base = offset(self.k, frame, self.offsets[key])
        if isinstance(element, int):
            return offset(self.k, base, element * dtype.itemsize)
        step = self.k.emit("i64", f"mul {element}, {dtype.itemsize}")
        return offset(self.k, base, step)

    def load(self, frame: Reg, number: int, element: Extent) -> Carried:
        """The running values of `width` neighbours from `element` on."""
        found = []
        for j, dtype in enumerate(self.reductions[number].carried):
            memory = self.memory.load(self._at(frame, (number, j), element), dtype)
            found.append(self.memory.lanes(memory, dtype))
        return tuple(found)

    def store(self, frame: Reg, number: int, element: Extent, carried: Carried) -> None:
        """Write the running values of `width` neighbours."""
        for j, value in enumerate(carried):
            register = self.memory.builder.to_memory(value)
            at = self._at(frame, (number, j), element)
            self.k.line(f"store {register}, {at}, align {value.dtype.itemsize}")

    # Whole frames.

    def _elements(self, low: Extent, high: Extent) -> Iterator[Reg]:
        with self.k.loop(as_reg(low), as_reg(high), i64(self.memory.width)) as loop:
            yield loop.index

    def clear(self, low: Extent = 0, high: Extent = LANES) -> None:
        """Set lanes [low, high) of the current frame to the identity."""
        columns = self.columns
        begin = low * columns if isinstance(low, int) else self._times(low, columns)
        end = high * columns if isinstance(high, int) else self._times(high, columns)
        for element in self._elements(begin, end):
            for number, reduction in enumerate(self.reductions):
                identity = reduction.identity(self.memory.builder)
                self.store(self.current, number, element, identity)

    def _times(self, value: Reg, factor: int) -> Extent:
        return self.k.emit("i64", f"mul {value}, {factor}") if factor != 1 else value

    def copy(self, target: Reg, source: Reg) -> None:
        """Copy a frame."""
        with self.k.loop(i64(0), i64(self.bytes), i64(64)) as loop:
            origin = offset(self.k, source, loop.index)
            goal = offset(self.k, target, loop.index)
            value = self.k.emit("<16 x i32>", f"load <16 x i32>, {origin}, align 4")
            self.k.line(f"store {value}, {goal}, align 4")

    def fold(self, left: Reg) -> None:
        """current = left combined with current."""
        for element in self._elements(0, LANES * self.columns):
            self._combine(left, element, self.current, element)

    def _combine(self, left: Reg, first: Extent, right: Reg, second: Extent) -> None:
        """Combine vectors of two frames into `first` of the current frame."""
        builder = self.memory.builder
        for number, reduction in enumerate(self.reductions):
            earlier = self.load(left, number, first)
            later = self.load(right, number, second)
            value = reduction.combined(builder, earlier, later)
            self.store(self.current, number, first, value)

    def level(self, number: Reg) -> Reg:
        """The frame of a level."""
        return offset(self.k, self.stack, self.k.emit("i64", f"mul {number}, {self.bytes}"))

    def push(self, block: Reg) -> None:
        """Block number `block` has ended in the current frame: fold what is complete."""
        k = self.k
        flipped = k.emit("i64", f"xor {block}, -1")
        name = k.module.declare("llvm.cttz.i64", "i64 {}(i64, i1)")
        ones = k.emit("i64", f"call i64 {name}({flipped}, i1 true)")
        with k.loop(i64(0), ones, i64(1)) as loop:
            self.fold(self.level(loop.index))
        self.copy(self.level(ones), self.current)

    def collect(self, blocks: Extent) -> None:
        """current = all `blocks` pushed frames combined."""
        k = self.k
        self.clear()
        with k.loop(i64(0), i64(self.levels), i64(1)) as loop:
            bit = k.emit("i64", f"lshr i64 {as_reg(blocks).name}, {loop.index.name}")
            odd = k.emit("i1", f"trunc {bit} to i1")
            with k.when(odd):
                self.fold(self.level(loop.index))

    # The last steps: halving.

    def halve_rows(self, lanes: Extent) -> None:
        """Combine lanes [0, lanes) of each column into lane 0, in memory."""
        k = self.k
        half, left = LANES // 2, lanes
        while half >= 1:
            if isinstance(left, int):
                count: Extent = max(0, min(half, left - half))
                left = min(left, half)
            else:
                more = k.emit("i64", f"sub {left}, {half}")
                name = k.module.declare("llvm.smax.i64", "i64 {}(i64, i64)")
                some = k.emit("i64", f"call i64 {name}({more}, i64 0)")
                count = self._least(some, half)
                left = self._least(left, half)
            if count != 0:
                self._halve(count, half)
            half //= 2

    def _least(self, value: Reg, bound: int) -> Reg:
        name = self.k.module.declare("llvm.smin.i64", "i64 {}(i64, i64)")
        return self.k.emit("i64", f"call i64 {name}({value}, i64 {bound})")

    def _halve(self, count: Extent, half: int) -> None:
        end = count * self.columns if isinstance(count, int) else self._times(count, self.columns)
        for element in self._elements(0, end):
            later = self.k.emit("i64", f"add {element}, {half * self.columns}")
            self._combine(self.current, element, self.current, later)


def halved(
    memory: VectorMemory, reduction: Reduction, parts: Sequence[Carried], count: Size
) -> Carried:
    """Combine LANES running values, `width` in each part, into scalars; absent parts are identity.

    `count`: elements in all; lanes beyond it hold the identity and are left out.
    """
    builder, width = memory.builder, memory.width
    rest = list(parts)
    half = LANES // width // 2
    while half >= 1:
        low, high = rest[:half], rest[half:]
        pairs = [
            reduction.combined(builder, left, high[i]) if i < len(high) else left
            for i, left in enumerate(low)
        ]
        rest, half = pairs, half // 2
    (whole,) = rest
    half = width // 2
    while half >= 1:
        if not isinstance(count, int) or count > half:
            moved = tuple(_upper(memory, lanes, half) for lanes in whole)
            whole = reduction.combined(builder, whole, moved)
        half //= 2
    return tuple(_first(memory, lanes) for lanes in whole)


def _upper(memory: VectorMemory, lanes: Lanes, half: int) -> Lanes:
    """Lane j of the result is lane j + half; the others repeat."""
    register = memory.builder.reg(lanes)
    picks = ", ".join(f"i32 {(i + half) % memory.width}" for i in range(memory.width))
    moved = memory.k.emit(
        register.type,
        f"shufflevector {register}, {register.type} poison, <{memory.width} x i32> <{picks}>",
    )
    return memory.builder.wrap(moved, lanes.dtype)


def _first(memory: VectorMemory, lanes: Lanes) -> Lanes:
    if memory.width == 1:
        return lanes
    register = memory.builder.reg(lanes)
    element = register.type.rpartition(" ")[2].rstrip(">")
    return Lanes(memory.k.emit(element, f"extractelement {register}, i64 0").name, lanes.dtype)
