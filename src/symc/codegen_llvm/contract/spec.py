"""What a contraction is, for the code generator: sizes, operands, hooks, and the vector target.

before: the nest generator knows pointers, strides and an epilogue.
after: one `Contraction` with `Hooks` says all that `emit_contraction` needs.

Invariants: strides count elements, sizes and strides are ints (static) or i64 registers (known at
run time); a register given here is defined before `emit_contraction` is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from symc.codegen_llvm.text import Emitter, Reg
from symc.records import dataclass

Size: TypeAlias = int | Reg
Dtype: TypeAlias = Literal["float", "double", "i32", "i64"]

BYTES: dict[str, int] = {"float": 4, "double": 8, "i32": 4, "i64": 8}


@dataclass(frozen=True, slots=True)
class VectorTarget:
    """Vector registers of a CPU: 512/32 (AVX-512), 256/16 (AVX2 with FMA), 128/32 (NEON).

    The CPU must have fused multiply-add: `llvm.fma` on any other would call a library.
    """

    bits: int = 256
    registers: int = 16

    def lanes(self, dtype: Dtype) -> int:
        """Elements of `dtype` in one vector register."""
        return self.bits // 8 // BYTES[dtype]

    @property
    def mask_registers(self) -> bool:
        """Masked loads and stores cost no more than plain ones (AVX-512)."""
        return self.bits >= 512


@dataclass(frozen=True, slots=True)
class Operand:
    """A batched matrix in memory: (b.., i, j) is at base + sum(b*batch) + i*row + j*col."""

    base: Reg
    row: Size
    col: Size
    batch: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Contraction:
    """sum over k of a[m, k] * b[k, n], for every index of `batch`.

    `order` is "chain" (one ascending fma chain per element) or "any" (a function of sizes, dtype
    and target only).
    """

    dtype: Dtype
    m: Size
    n: Size
    k: Size
    a: Operand
    b: Operand
    order: Literal["any", "chain"] = "any"
    batch: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """One load of an operand: a scalar, or a vector along `along` ("row" or "col")."""

    pointer: Reg
    row: Reg
    col: Reg
    type: str
    along: Literal["row", "col", "none"] = "none"
    mask: Reg | None = None


@dataclass(frozen=True, slots=True)
class TileRow:
    """A finished run of columns of one row: `value` is `<W x T>`, its first lane at (row, col).

    `mask` (`<W x i1>`) is given where the run crosses the last column; `count` is then the number
    of lanes inside (an int where it is static).  `batch` holds the batch indices.
    """

    row: Reg
    col: Reg
    value: Reg
    mask: Reg | None
    count: Size | None = None
    batch: tuple[Reg, ...] = ()


Finish: TypeAlias = Callable[[Emitter, TileRow], None]
Load: TypeAlias = Callable[[Emitter, Access], Reg]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller does around the sums.

    A hook is called several times, for blocks that do not dominate each other: what it emits may be
    used in that call only, and what is loop-invariant (a splat of a step size) must be emitted
    before `emit_contraction`.  It may open blocks of its own, and must leave one open.

    `finish` stores; `finish_cost` is its LLVM instructions per vector (a dear one is emitted once,
    in a loop).  `pair` does the same for two whole vectors as one of twice the lanes, where that is
    worth it.  `load_a`, `load_b` replace the plain loads of the operands, elementwise.
    """

    finish: Finish
    finish_cost: int = 4
    pair: Finish | None = None
    load_a: Load | None = None
    load_b: Load | None = None
