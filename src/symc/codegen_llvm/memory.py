"""Vectors in memory: contiguous, masked, strided and lane by lane.

What it is: the few ways in which `width` lanes of a dtype are read and written.  A `Position` says
where along the vector axis a vector stands and how many of its lanes are inside.

Invariants: a lane outside is neither read nor written; masks are made in the block that uses them
(a CPU without mask registers keeps none across blocks); the values of lanes outside are arbitrary
but never poison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import as_reg, least, mul, offset
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder, memory_type
from symc.codegen_llvm.text import Reg, i64
from symc.records import dataclass

Type = np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Position:
    """`index` of the first lane along the vector axis; `inside` lanes count (None: all).

    `full`: where it is known only at run time whether all lanes are inside, that condition; `rest`
    is then the number of lanes inside a partial vector, if known.
    """

    index: Extent
    inside: Extent | None = None
    full: Reg | None = None
    rest: int | None = None

    @property
    def partial(self) -> Extent | None:
        """Lanes inside where the vector is not full."""
        return self.inside if self.rest is None else self.rest


class VectorMemory:
    """Loads and stores of `width` lanes, written through `k`."""

    def __init__(
        self, k: KernelEmitter, width: int, *, outline: frozenset[str] = frozenset()
    ) -> None:
        self.k = k
        self.width = width
        self.builder = LlvmBuilder(k, width, outline=outline)
        self._dummy: Reg | None = None

    # Pieces.

    def splat(self, scalar: Reg) -> Reg:
        """A scalar register in every lane."""
        if self.width == 1:
            return scalar
        type = f"<{self.width} x {scalar.type}>"
        one = self.k.emit(type, f"insertelement {type} poison, {scalar}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.k.emit(type, f"shufflevector {one}, {type} poison, {zeros}")

    def splat_extent(self, value: Extent) -> Reg:
        """An i64 in every lane."""
        if isinstance(value, int):
            return Reg(self.builder.const(value, np.dtype(np.int64)).name, self._type("i64"))
        return self.splat(value)

    def iota(self, type: str = "i64") -> Reg:
        """0, 1, 2, ... as a constant."""
        if self.width == 1:
            return Reg("0", type)
        body = ", ".join(f"{type} {i}" for i in range(self.width))
        return Reg(f"<{body}>", self._type(type))

    def mask(self, inside: Extent) -> Reg:
        """The first `inside` lanes, as i1, in the open block."""
        if isinstance(inside, int):
            text = ", ".join(f"i1 {int(i < inside)}" for i in range(self.width))
            return Reg(f"<{text}>", self._type("i1"))
        short = self.k.emit("i32", f"trunc {inside} to i32")
        bound = self.splat(short)
        return self.k.emit(self._type("i1"), f"icmp sgt {bound}, {self.iota('i32').name}")

    def both(self, left: Reg | None, right: Reg | None) -> Reg | None:
        """The conjunction of two conditions of one type; None is true."""
        if left is None or right is None:
            return right if left is None else left
        return self.k.emit(left.type, f"and {left}, {right.name}")

    def clamped_iota(self, inside: Extent | None) -> Reg:
        """Lane numbers as i64, those outside replaced by the last one inside."""
        if inside is None or self.width == 1:
            return self.iota()
        if isinstance(inside, int):
            body = ", ".join(f"i64 {min(i, inside - 1)}" for i in range(self.width))
            return Reg(f"<{body}>", self._type("i64"))
        last = self.splat(self.k.emit("i64", f"sub nsw {inside}, 1"))
        test = self.k.emit(self._type("i1"), f"icmp slt {self.iota()}, {last.name}")
        return self.k.emit(last.type, f"select {test}, {self.iota()}, {last}")

    def nowhere(self) -> Reg:
        """An address that may be read where the true one must not be."""
        if self._dummy is None:
            self._dummy = self.k.slot("i64")
            self.k.entry.append(f"  store i64 0, ptr {self._dummy.name}")
        return self._dummy

    def _type(self, element: str) -> str:
        return element if self.width == 1 else f"<{self.width} x {element}>"

    # Reading.

    def read_scalar(self, pointer: Reg, dtype: Type, valid: Reg | None) -> Reg:
        """One element as a scalar register of `memory_type(dtype)`."""
        if valid is not None:
            other = self.nowhere()
            pointer = self.k.emit("ptr", f"select {valid}, {pointer}, {other}")
        type = memory_type(dtype)
        return self.k.emit(type, f"load {type}, ptr {pointer.name}, align {dtype.itemsize}")

    def lanes(self, memory: Reg, dtype: Type) -> Lanes:
        """A register of memory lanes as a value of the builder."""
        return self.builder.from_memory(memory, dtype)

    def load(self, pointer: Reg, dtype: Type) -> Reg:
        """`width` elements from `pointer` on."""
        type = self.builder.memory_type(dtype)
        return self.k.emit(type, f"load {type}, ptr {pointer.name}, align {dtype.itemsize}")

    def load_masked(self, pointer: Reg, dtype: Type, mask: Reg) -> Reg:
        """Elements from `pointer` on where the mask is set, 0 elsewhere; at least 4 bytes each."""
        type = self.builder.memory_type(dtype)
        name = self.k.module.declare(
            f"llvm.masked.load.{self.suffix(dtype)}.p0",
            f"{type} {{}}(ptr, i32, {mask.type}, {type})",
        )
        arguments = f"{pointer}, i32 {dtype.itemsize}, {mask}, {type} zeroinitializer"
        return self.k.emit(type, f"call {type} {name}({arguments})")

    def load_run(self, pointer: Reg, dtype: Type, stride: Extent, inside: Extent | None) -> Reg:
        """Elements `stride` apart; lanes outside repeat an element inside, or are 0."""
        if self.width == 1:
            return self.load(pointer, dtype)
        if stride == 1 and inside is None:
            return self.load(pointer, dtype)
        if stride == 1 and inside is not None and dtype.itemsize >= 4:
            return self.load_masked(pointer, dtype, self.mask(inside))
        if inside is None and stride == -1:
            return self._reversed(self.load(self._back(pointer, dtype), dtype))
        if inside is None:
            return self._load_steps(pointer, dtype, stride)
        steps = self.clamped_iota(inside)
        if stride != 1:
            by = self.splat_extent(stride)
            steps = self.k.emit(steps.type, f"mul {steps}, {by.name}")
        return self.gather(pointer, steps, dtype, None)

    def _back(self, pointer: Reg, dtype: Type) -> Reg:
        """The address of the last of `width` elements that go backwards from `pointer`."""
        return offset(self.k, pointer, -(self.width - 1) * dtype.itemsize)

    def _reversed(self, memory: Reg) -> Reg:
        picks = ", ".join(f"i32 {i}" for i in reversed(range(self.width)))
        order = f"<{self.width} x i32> <{picks}>"
        return self.k.emit(memory.type, f"shufflevector {memory}, {memory.type} poison, {order}")

    def _load_steps(self, pointer: Reg, dtype: Type, stride: Extent) -> Reg:
        step = mul(self.k, stride, dtype.itemsize)
        at, pointers = pointer, []
        for lane in range(self.width):
            if isinstance(step, int):
                at = offset(self.k, pointer, lane * step)
            elif lane:
                at = offset(self.k, at, step)
            pointers.append(at)
        return self._assembled(pointers, dtype)

    def _assembled(self, pointers: list[Reg], dtype: Type) -> Reg:
        element, type = memory_type(dtype), self.builder.memory_type(dtype)
        whole = Reg("poison", type)
        for lane, at in enumerate(pointers):
            one = self.k.emit(element, f"load {element}, {at}, align {dtype.itemsize}")
            whole = self.k.emit(type, f"insertelement {whole}, {one}, i64 {lane}")
        return whole

    def gather(self, pointer: Reg, steps: Reg, dtype: Type, valid: Reg | None) -> Reg:
        """Elements `pointer[steps]`, lane by lane; where not `valid`, 0 and nothing is read."""
        element = memory_type(dtype)
        pointers = self._type("ptr")
        at = self.k.emit(pointers, f"getelementptr {element}, {pointer}, {steps}")
        if valid is not None:
            other = self.splat(self.nowhere())
            at = self.k.emit(pointers, f"select {valid}, {at}, {other}")
        if self.width == 1:
            return self.load(at, dtype)
        each = [
            self.k.emit("ptr", f"extractelement {at}, i64 {lane}") for lane in range(self.width)
        ]
        return self._assembled(each, dtype)

    # Writing.

    def store_run(self, pointer: Reg, value: Lanes, stride: Extent, inside: Extent | None) -> None:
        """Write lanes `stride` elements apart."""
        memory = self.builder.to_memory(value)
        dtype = value.dtype
        if self.width == 1 or (stride == 1 and inside is None):
            self.k.line(f"store {memory}, ptr {pointer.name}, align {dtype.itemsize}")
        elif stride == 1 and isinstance(inside, int):
            self._store_pieces(pointer, memory, dtype, inside)
        elif stride == 1 and isinstance(inside, Reg) and dtype.itemsize >= 4:
            self._store_masked(pointer, memory, dtype, self.mask(inside))
        elif stride == -1 and inside is None:
            back = self._back(pointer, dtype)
            self.k.line(f"store {self._reversed(memory)}, {back}, align {dtype.itemsize}")
        elif inside is None:
            step = mul(self.k, stride, dtype.itemsize)
            for lane in range(self.width):
                element = memory_type(dtype)
                part = self.k.emit(element, f"extractelement {memory}, i64 {lane}")
                self._store_step(pointer, mul(self.k, step, lane), part)
        else:
            step = mul(self.k, stride, dtype.itemsize)
            self.each_lane(
                (memory,),
                inside,
                lambda lane, parts: self._store_step(pointer, mul(self.k, lane, step), parts[0]),
            )

    def _store_step(self, pointer: Reg, step: Extent, part: Reg) -> None:
        self.k.line(f"store {part}, ptr {offset(self.k, pointer, step).name}, align 1")

    def _store_pieces(self, pointer: Reg, memory: Reg, dtype: Type, inside: int) -> None:
        """The first lanes in powers of two: a load soon after need not wait, as for a mask."""
        done, piece = 0, self.width
        while piece:
            if inside - done >= piece:
                picks = ", ".join(f"i32 {done + i}" for i in range(piece))
                type = f"<{piece} x {memory_type(dtype)}>"
                order = f"<{piece} x i32> <{picks}>"
                rhs = f"shufflevector {memory}, {memory.type} poison, {order}"
                part = self.k.emit(type, rhs)
                at = offset(self.k, pointer, done * dtype.itemsize)
                self.k.line(f"store {part}, {at}, align {dtype.itemsize}")
                done += piece
            piece //= 2

    def _store_masked(self, pointer: Reg, memory: Reg, dtype: Type, mask: Reg) -> None:
        name = self.k.module.declare(
            f"llvm.masked.store.{self.suffix(dtype)}.p0",
            f"void {{}}({memory.type}, ptr, i32, {mask.type})",
        )
        self.k.line(f"call void {name}({memory}, {pointer}, i32 {dtype.itemsize}, {mask})")

    def each_lane(
        self,
        registers: tuple[Reg, ...],
        inside: Extent | None,
        write: Callable[[Reg, tuple[Reg, ...]], None],
    ) -> None:
        """Call `write(lane number, one lane of each register)` in a loop over the lanes inside."""
        places = [self.k.slot(register.type) for register in registers]
        for place, register in zip(places, registers, strict=True):
            self.k.line(f"store {register}, {place}")
        count = self.width if inside is None else least(self.k, inside, self.width)
        with self.k.loop(i64(0), as_reg(count), i64(1)) as lane:
            parts = []
            for place, register in zip(places, registers, strict=True):
                element = register.type.rpartition(" ")[2].rstrip(">")
                at = self.k.emit("ptr", f"getelementptr {element}, {place}, {lane.index}")
                parts.append(self.k.emit(element, f"load {element}, {at}"))
            write(lane.index, tuple(parts))

    def suffix(self, dtype: Type) -> str:
        """The vector type of memory lanes as it appears in intrinsic names."""
        letter = "f" if dtype.kind == "f" else "i"
        return f"v{self.width}{letter}{8 * dtype.itemsize}"
