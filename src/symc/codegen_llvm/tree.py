"""The fixed tree of reductions (`ir/ops/reduce.py`), over frames of running values in memory.

What it is: a *frame* holds LANES running values for each of `columns` results: for every reduction
and carried lane an array [LANES][columns].  Blocks of BLOCK elements end in a frame; frames combine
pairwise as a binary counter does: after block b, as many levels fold as b has trailing ones.

Invariants: a running value that no element reached is the reducer's identity; the left operand of
every combination is earlier in row-major order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder, memory_type
from symc.codegen_llvm.memory import VectorMemory
from symc.codegen_llvm.scratch import Scratch
from symc.codegen_llvm.space import Write
from symc.codegen_llvm.text import FRAME, Reg, i64
from symc.ir.dims import Size
from symc.ir.ops.record import Reducer
from symc.ir.ops.reduce import BLOCK, LANES
from symc.records import dataclass

Carried = tuple[Lanes, ...]
MANY_LEVELS = 24  # folds of blocks when the number of elements is unknown: 2^36 elements


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


Build = Callable[["FrameLayout", Reg, Reg, Reg], None]


class FrameLayout:
    """Where the running values of a frame lie, and whole-frame operations on addresses."""

    def __init__(self, memory: VectorMemory, reductions: Sequence[Reduction], columns: int) -> None:
        self.memory = memory
        self.k: KernelEmitter = memory.k
        self.reductions = tuple(reductions)
        self.columns = columns
        self.offsets: dict[tuple[int, int], int] = {}
        self.bytes = 0
        for i, reduction in enumerate(self.reductions):
            for j, dtype in enumerate(reduction.carried):
                self.offsets[i, j] = self.bytes
                self.bytes += -(-LANES * columns * dtype.itemsize // 64) * 64

    def _at(self, frame: Reg, key: tuple[int, int], element: Extent) -> Reg:
        dtype = self.reductions[key[0]].carried[key[1]]
        base = offset(self.k, frame, self.offsets[key])
        if isinstance(element, int):
            return offset(self.k, base, element * dtype.itemsize)
        return self.k.emit("ptr", f"getelementptr {memory_type(dtype)}, {base}, {element}")

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

    @contextmanager
    def elements(self, low: Extent, high: Extent) -> Iterator[Reg]:
        """A loop over the vectors of lanes [low, high) of all columns."""
        start, stop = (as_reg(mul(self.k, end, self.columns)) for end in (low, high))
        with self.k.loop(start, stop, i64(self.memory.width)) as loop:
            yield loop.index

    def clear(self, frame: Reg, low: Extent, high: Extent) -> None:
        """Set lanes [low, high) to the identity."""
        with self.elements(low, high) as element:
            for number, reduction in enumerate(self.reductions):
                identity = reduction.identity(self.memory.builder)
                self.store(frame, number, element, identity)

    def copy(self, target: Reg, source: Reg) -> None:
        """Copy a frame."""
        with self.k.loop(i64(0), i64(self.bytes), i64(32)) as loop:
            origin = offset(self.k, source, loop.index)
            goal = offset(self.k, target, loop.index)
            value = self.k.emit("<8 x i32>", f"load <8 x i32>, {origin}, align 4")
            self.k.line(f"store {value}, {goal}, align 4")

    def combine(self, target: Reg, left: tuple[Reg, Reg], right: tuple[Reg, Reg]) -> None:
        """One vector of two frames, (frame, element) each, to the earlier's element of `target`."""
        for number, reduction in enumerate(self.reductions):
            earlier, later = (
                self.load(left[0], number, left[1]),
                self.load(right[0], number, right[1]),
            )
            value = reduction.combined(self.memory.builder, earlier, later)
            self.store(target, number, left[1], value)


class Frames:
    """The current frame and the levels below it, in scratch memory.

    Whole-frame operations are internal functions of the module: they run once per BLOCK elements,
    and kernels that reduce alike share them.
    """

    def __init__(
        self, memory: VectorMemory, layout: FrameLayout, scratch: Scratch, levels: int
    ) -> None:
        self.memory = memory
        self.k: KernelEmitter = memory.k
        self.layout = layout
        self.bytes = layout.bytes
        self.levels = levels
        self.current = scratch.take(layout.bytes)
        self.stack = scratch.take(layout.bytes * levels) if levels else self.current

    def load(self, number: int, element: Extent) -> Carried:
        """Running values of the current frame."""
        return self.layout.load(self.current, number, element)

    def store(self, number: int, element: Extent, carried: Carried) -> None:
        """Write running values of the current frame."""
        self.layout.store(self.current, number, element, carried)

    def copy(self, target: Reg, source: Reg) -> None:
        """Copy a frame."""
        self.layout.copy(target, source)

    def clear(self, low: Extent = 0, high: Extent = LANES) -> None:
        """Set lanes [low, high) of the current frame to the identity."""
        name = self._function("clear", _clear)
        self.k.line(f"call void {name}({self.current}, {as_reg(low)}, {as_reg(high)})")

    def push(self, block: Reg) -> None:
        """Block number `block` has ended in the current frame: fold what is complete."""
        name = self._function("push", _push)
        self.k.line(f"call void {name}({self.current}, {self.stack}, {block})")

    def collect(self, blocks: Extent) -> None:
        """current = all `blocks` pushed frames combined."""
        self.clear()
        name = self._function("collect", _collect)
        self.k.line(f"call void {name}({self.current}, {self.stack}, {as_reg(blocks)})")

    def halve(self, lanes: Extent) -> None:
        """Combine lanes [0, lanes) of each column into lane 0, in memory."""
        name = self._function("halve", _halve)
        self.k.line(f"call void {name}({self.current}, ptr null, {as_reg(lanes)})")

    def _function(self, verb: str, build: Build) -> str:
        """An internal function `(ptr current, ptr or i64 other, i64 count)` over these frames."""
        second = "i64" if verb == "clear" else "ptr"
        k = KernelEmitter(self.k.module, ())
        memory = VectorMemory(k, self.memory.width)
        layout = FrameLayout(memory, self.layout.reductions, self.layout.columns)
        build(layout, Reg("%frame", "ptr"), Reg("%other", second), Reg("%count", "i64"))
        head = f"void @symc.outlined(ptr %frame, {second} %other, i64 %count)"
        text = "\n".join(
            [f"define internal {head} {FRAME} {{", "entry:", *k.lines, "  ret void", "}"]
        )
        name = f"symc.{verb}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return k.module.internal(name, lambda: text.replace("@symc.outlined(", f"@{name}("))


def _clear(layout: FrameLayout, frame: Reg, low: Reg, high: Reg) -> None:
    layout.clear(frame, low, high)


def _fold(layout: FrameLayout, frame: Reg, left: Reg) -> None:
    """frame = left combined with frame."""
    with layout.elements(0, LANES) as element:
        layout.combine(frame, (left, element), (frame, element))


def _level(layout: FrameLayout, stack: Reg, number: Reg) -> Reg:
    return offset(layout.k, stack, mul(layout.k, number, layout.bytes))


def _push(layout: FrameLayout, frame: Reg, stack: Reg, block: Reg) -> None:
    k = layout.k
    flipped = k.emit("i64", f"xor {block}, -1")
    name = k.module.declare("llvm.cttz.i64", "i64 {}(i64, i1)")
    ones = k.emit("i64", f"call i64 {name}({flipped}, i1 true)")
    with k.loop(i64(0), ones, i64(1)) as loop:
        _fold(layout, frame, _level(layout, stack, loop.index))
    layout.copy(_level(layout, stack, ones), frame)


def _collect(layout: FrameLayout, frame: Reg, stack: Reg, blocks: Reg) -> None:
    k = layout.k
    zeros = k.module.declare("llvm.ctlz.i64", "i64 {}(i64, i1)")
    unused = k.emit("i64", f"call i64 {zeros}({blocks}, i1 false)")
    levels = k.emit("i64", f"sub i64 64, {unused.name}")
    with k.loop(i64(0), levels, i64(1)) as loop:
        bit = k.emit("i64", f"lshr {blocks}, {loop.index.name}")
        with k.when(k.emit("i1", f"trunc {bit} to i1")):
            _fold(layout, frame, _level(layout, stack, loop.index))


def _halve(layout: FrameLayout, frame: Reg, _: Reg, lanes: Reg) -> None:
    k = layout.k
    most = LANES.bit_length() - 1
    with k.loop(i64(0), i64(most), i64(1)) as loop:
        half = k.emit("i64", f"lshr i64 {LANES // 2}, {loop.index.name}")
        before = k.emit("i64", f"shl {half}, 1")
        left = least(k, lanes, before)
        count = sub(k, left, half)
        with layout.elements(0, as_reg(count)) as element:
            later = add(k, element, mul(k, half, layout.columns))
            layout.combine(frame, (frame, element), (frame, as_reg(later)))


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
