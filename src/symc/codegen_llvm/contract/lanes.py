"""Vectors of one dtype: loads and stores with an optional mask, fma, sums across lanes, transposes.

before: an `Emitter` knows only text.
after: `Lanes` names the few vector operations that contractions are made of.

Invariants: a masked-off lane is neither read nor written; `fma` is exact-fused for floats and
wraps for integers; no operation here becomes a library call on a CPU with fma.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.codegen_llvm.contract.size import offset
from symc.codegen_llvm.contract.spec import BYTES, Dtype, Size
from symc.codegen_llvm.text import Emitter, Reg
from symc.records import dataclass

CACHE_LINE = 64
_SUFFIX: dict[str, str] = {"float": "f32", "double": "f64", "i32": "i32", "i64": "i64"}


@dataclass(frozen=True, slots=True)
class Tail:
    """The last vector of a row: only its first `count` lanes are inside.

    `mask` is `<W x i1>`; where the CPU has no mask registers it is made anew in each block
    (`bound` is then `<W x i32>`, the count in every lane).  With `last` given, the count is the
    width or `last`.
    """

    count: Size
    mask: Reg | None = None
    bound: Reg | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Lanes:
    """Vectors of `width` lanes of `dtype`, written through `e`."""

    e: Emitter
    dtype: Dtype
    width: int
    mask_registers: bool

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return BYTES[self.dtype]

    @property
    def type(self) -> str:
        """The vector type."""
        return f"<{self.width} x {self.dtype}>"

    @property
    def suffix(self) -> str:
        """The vector type as it appears in intrinsic names."""
        return f"v{self.width}{_SUFFIX[self.dtype]}"

    @property
    def floating(self) -> bool:
        """Whether the elements are floating point."""
        return self.dtype in ("float", "double")

    def zero(self) -> Reg:
        """A vector of zeros."""
        return Reg("zeroinitializer", self.type)

    def splat(self, scalar: Reg) -> Reg:
        """The scalar in every lane."""
        return splat(self.e, scalar, self.width)

    def load(self, pointer: Reg, mask: Reg | None = None) -> Reg:
        """Load a vector; lanes outside the mask are zero and not read."""
        if mask is None:
            text = f"load {self.type}, ptr {pointer.name}, align {self.size}"
            return self.e.emit(self.type, text)
        name = self.e.module.declare(
            f"llvm.masked.load.{self.suffix}.p0",
            f"{self.type} {{}}(ptr, i32, <{self.width} x i1>, {self.type})",
        )
        arguments = f"{pointer}, i32 {self.size}, {mask}, {self.zero()}"
        return self.e.emit(self.type, f"call {self.type} {name}({arguments})")

    def store(self, value: Reg, pointer: Reg, mask: Reg | None = None) -> None:
        """Store a vector; lanes outside the mask are not written."""
        if mask is None:
            self.e.line(f"store {value}, ptr {pointer.name}, align {self.size}")
            return
        name = self.e.module.declare(
            f"llvm.masked.store.{self.suffix}.p0",
            f"void {{}}({self.type}, ptr, i32, <{self.width} x i1>)",
        )
        self.e.line(f"call void {name}({value}, {pointer}, i32 {self.size}, {mask})")

    def store_tail(self, value: Reg, pointer: Reg, mask: Reg | None, count: Size | None) -> None:
        """Store the first `count` lanes: in pieces where static, by the mask otherwise."""
        if mask is None or not isinstance(count, int) or self.mask_registers:
            self.store(value, pointer, mask)
            return
        done = 0
        for piece in (16, 8, 4, 2, 1):
            if count - done >= piece:
                part = self._part(value, done, piece)
                at = offset(self.e, pointer, done * self.size)
                self.e.line(f"store {part}, ptr {at.name}, align {self.size}")
                done += piece

    def _part(self, value: Reg, start: int, length: int) -> Reg:
        picks = ", ".join(f"i32 {start + i}" for i in range(length))
        return self.e.emit(
            f"<{length} x {self.dtype}>",
            f"shufflevector {value}, {self.type} poison, <{length} x i32> <{picks}>",
        )

    def prefetch(self, pointer: Reg, vectors: int) -> None:
        """Ask for the cache lines of `vectors` vectors; the address need not be valid."""
        name = self.e.module.declare("llvm.prefetch.p0", "void {}(ptr, i32, i32, i32)")
        for line in range(0, vectors * self.width * self.size, CACHE_LINE):
            at = offset(self.e, pointer, line)
            self.e.line(f"call void {name}({at}, i32 0, i32 3, i32 1)")

    def multiply(self, a: Reg, b: Reg) -> Reg:
        """a * b."""
        verb = "fmul" if self.floating else "mul"
        return self.e.emit(a.type, f"{verb} {a}, {b.name}")

    def plus(self, a: Reg, b: Reg) -> Reg:
        """a + b."""
        verb = "fadd" if self.floating else "add"
        return self.e.emit(a.type, f"{verb} {a}, {b.name}")

    def fma(self, a: Reg, b: Reg, c: Reg) -> Reg:
        """a * b + c: rounded once for floats, wrapping for integers."""
        if not self.floating:
            return self.plus(self.multiply(a, b), c)
        suffix = self.suffix if a.type == self.type else _SUFFIX[self.dtype]
        name = self.e.module.declare(
            f"llvm.fma.{suffix}", f"{a.type} {{}}({a.type}, {a.type}, {a.type})"
        )
        return self.e.emit(a.type, f"call {a.type} {name}({a}, {b}, {c})")

    def tail(self, count: Size) -> Tail:
        """The tail with `count` lanes inside (a value >= width means all)."""
        if isinstance(count, int):
            bits = ", ".join(f"i1 {int(i < count)}" for i in range(self.width))
            return Tail(count, Reg(f"<{bits}>", f"<{self.width} x i1>"))
        short = self.e.emit("i32", f"trunc {count} to i32")
        bound = splat(self.e, short, self.width)
        tail = Tail(count, None, bound)
        return Tail(count, self.mask_of(tail), bound) if self.mask_registers else tail

    def mask_of(self, tail: Tail | None) -> Reg | None:
        """The mask of a tail, for use in the open block."""
        if tail is None or tail.mask is not None or tail.bound is None:
            return None if tail is None else tail.mask
        iota = ", ".join(f"i32 {i}" for i in range(self.width))
        return self.e.emit(f"<{self.width} x i1>", f"icmp sgt {tail.bound}, <{iota}>")

    def joined(self, a: Reg, b: Reg) -> Reg:
        """Two vectors as one of twice the lanes."""
        return self.shuffle(a, b, range(2 * self.width))

    def shuffle(self, a: Reg, b: Reg, picks: Sequence[int]) -> Reg:
        """Lanes of a and b (numbered on from a) in a new order."""
        order = ", ".join(f"i32 {p}" for p in picks)
        type = f"<{len(picks)} x {self.dtype}>"
        return self.e.emit(type, f"shufflevector {a}, {b}, <{len(picks)} x i32> <{order}>")


def splat(e: Emitter, scalar: Reg, width: int) -> Reg:
    """The scalar in every one of `width` lanes."""
    type = f"<{width} x {scalar.type}>"
    one = e.emit(type, f"insertelement {type} poison, {scalar}, i64 0")
    zeros = f"<{width} x i32> zeroinitializer"
    return e.emit(type, f"shufflevector {one}, {type} poison, {zeros}")
