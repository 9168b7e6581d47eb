"""The scalar builder: the operations on *lanes* that every backend implements with the same bits.

What it is: a protocol.  Op records and the math library are written once against it; the NumPy
builder evaluates them (the oracle), the LLVM builder writes them as vector instructions.

Invariants
- A value (`Lanes`) is opaque and has one NumPy dtype; operands of one operation share it.
- Every operation is a function of its own lane only.  Hence width, tails and chunks never change
  bits.  There is no `any(mask)` value for that reason: `rare` is the one way to branch.
- Floats are IEEE 754, round to nearest even, subnormals kept, nothing contracted or reassociated.
  The sign and payload of a NaN are not specified.
- Integers wrap.  No operand traps, and no operand gives an undefined result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Lanes = Any  # a backend's value: an ndarray, or an LLVM register
Body = Callable[..., Any]  # body(builder, lanes...) -> lanes or a tuple of lanes

BOOL = np.dtype(np.bool_)
I32 = np.dtype(np.int32)
I64 = np.dtype(np.int64)
F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)


class Builder(Protocol):
    """Operations on lanes.  `a`, `b`, `c`, `x` share a dtype unless a method says otherwise."""

    def dtype(self, x: Lanes) -> np.dtype[Any]: ...

    def const(self, value: float, dtype: np.dtype[Any]) -> Lanes:
        """The same number in every lane; it must be exact in `dtype`, or is rounded to it."""

    def table(self, values: Sequence[float], dtype: np.dtype[Any], index: Lanes) -> Lanes:
        """values[index] of `dtype`; `index` (i32 or i64) must be in range."""

    # Arithmetic.  Integers wrap.
    def add(self, a: Lanes, b: Lanes) -> Lanes: ...
    def sub(self, a: Lanes, b: Lanes) -> Lanes: ...
    def mul(self, a: Lanes, b: Lanes) -> Lanes: ...
    def neg(self, x: Lanes) -> Lanes: ...
    def abs(self, x: Lanes) -> Lanes: ...

    def minimum(self, a: Lanes, b: Lanes) -> Lanes:
        """NaN when either is NaN; -0 is below +0."""

    def maximum(self, a: Lanes, b: Lanes) -> Lanes:
        """NaN when either is NaN; +0 is above -0."""

    # Floats only.
    def div(self, a: Lanes, b: Lanes) -> Lanes: ...
    def sqrt(self, x: Lanes) -> Lanes: ...

    def fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
        """a * b + c, rounded once."""

    def floor(self, x: Lanes) -> Lanes: ...
    def ceil(self, x: Lanes) -> Lanes: ...
    def rint(self, x: Lanes) -> Lanes: ...
    def trunc(self, x: Lanes) -> Lanes: ...
    def copysign(self, magnitude: Lanes, sign: Lanes) -> Lanes: ...

    # Integers only.
    def floordiv(self, a: Lanes, b: Lanes) -> Lanes:
        """Rounded toward -inf; x // 0 = 0; the least integer over -1 wraps to itself."""

    def mod(self, a: Lanes, b: Lanes) -> Lanes:
        """a - b * floordiv(a, b), with b's sign; x % 0 = 0."""

    def shift_left(self, x: Lanes, count: Lanes) -> Lanes:
        """0 when `count` is negative or at least the width."""

    def shift_right(self, x: Lanes, count: Lanes) -> Lanes:
        """Keeps the sign; a `count` that is negative or at least the width leaves the sign only."""

    def lsl(self, x: Lanes, count: int) -> Lanes:
        """Shift left by a fixed count below the width."""

    def lsr(self, x: Lanes, count: int) -> Lanes:
        """Shift right by a fixed count below the width, filling with zeros."""

    def asr(self, x: Lanes, count: int) -> Lanes:
        """Shift right by a fixed count below the width, filling with the sign."""

    # Integers and bools, bit by bit.
    def band(self, a: Lanes, b: Lanes) -> Lanes: ...
    def bor(self, a: Lanes, b: Lanes) -> Lanes: ...
    def bxor(self, a: Lanes, b: Lanes) -> Lanes: ...
    def bnot(self, x: Lanes) -> Lanes: ...

    # Comparisons give bool lanes.  On NaN: `ne` is true, the others are false.
    def eq(self, a: Lanes, b: Lanes) -> Lanes: ...
    def ne(self, a: Lanes, b: Lanes) -> Lanes: ...
    def lt(self, a: Lanes, b: Lanes) -> Lanes: ...
    def le(self, a: Lanes, b: Lanes) -> Lanes: ...
    def gt(self, a: Lanes, b: Lanes) -> Lanes: ...
    def ge(self, a: Lanes, b: Lanes) -> Lanes: ...

    def select(self, mask: Lanes, a: Lanes, b: Lanes) -> Lanes:
        """a where the bool lane is set, else b; both are evaluated."""

    def cast(self, x: Lanes, dtype: np.dtype[Any]) -> Lanes:
        """Convert.  Float to integer truncates and saturates, NaN gives 0; to bool is `x != 0`."""

    def bitcast(self, x: Lanes, dtype: np.dtype[Any]) -> Lanes:
        """The same bits as another dtype of the same width."""

    def rare(self, mask: Lanes, fast: Any, slow: Body, args: Sequence[Lanes]) -> Any:
        """`slow(builder, *args)` where the mask is set, else `fast`.

        `slow` is run only when some lane is set, may be compiled out of line, and must depend on
        `args` alone.  `fast` and the result are lanes, or tuples of lanes of equal length.
        """

    def call(self, name: str, body: Body, args: Sequence[Lanes]) -> Lanes:
        """`body(builder, *args)`; a backend may compile it once per module as a function."""
