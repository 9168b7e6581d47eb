"""The scalar builder on NumPy arrays: the oracle that generated code must match bit for bit.

What it is: lanes are arrays of any shape, which broadcast.  Only operations that IEEE 754 or
integer arithmetic fixes are taken from NumPy; `fma` is built exactly in `exact_fma`.

Invariants: inputs are never written; no floating-point warning escapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symc.scalar.builder import Body
from symc.scalar.exact_fma import fma

Array = Any  # ndarray or NumPy scalar
_quiet = np.errstate(all="ignore")
_SIGNED = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}
_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


class NumpyBuilder:
    """See `Builder`; values are ndarrays (or NumPy scalars, which are 0-d)."""

    def dtype(self, x: Array) -> np.dtype[Any]:
        dtype: np.dtype[Any] = x.dtype
        return dtype

    def const(self, value: float, dtype: np.dtype[Any]) -> Array:
        return np.array(value, dtype)

    def table(self, values: Sequence[float], dtype: np.dtype[Any], index: Array) -> Array:
        return np.array(values, dtype)[index]

    @_quiet
    def add(self, a: Array, b: Array) -> Array:
        return np.add(a, b)

    @_quiet
    def sub(self, a: Array, b: Array) -> Array:
        return np.subtract(a, b)

    @_quiet
    def mul(self, a: Array, b: Array) -> Array:
        return np.multiply(a, b)

    @_quiet
    def neg(self, x: Array) -> Array:
        return np.negative(x)

    @_quiet
    def abs(self, x: Array) -> Array:
        return np.abs(x)

    @_quiet
    def minimum(self, a: Array, b: Array) -> Array:
        return np.where((a == 0) & (b == 0), _negative_zero_first(a, b), np.minimum(a, b))

    @_quiet
    def maximum(self, a: Array, b: Array) -> Array:
        return np.where((a == 0) & (b == 0), np.add(a, b), np.maximum(a, b))

    @_quiet
    def div(self, a: Array, b: Array) -> Array:
        return np.true_divide(a, b)

    @_quiet
    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    @_quiet
    def fma(self, a: Array, b: Array, c: Array) -> Array:
        return fma(a, b, c)

    @_quiet
    def floor(self, x: Array) -> Array:
        return np.floor(x)

    @_quiet
    def ceil(self, x: Array) -> Array:
        return np.ceil(x)

    @_quiet
    def rint(self, x: Array) -> Array:
        return np.rint(x)

    @_quiet
    def trunc(self, x: Array) -> Array:
        return np.trunc(x)

    @_quiet
    def copysign(self, magnitude: Array, sign: Array) -> Array:
        return np.copysign(magnitude, sign)

    @_quiet
    def floordiv(self, a: Array, b: Array) -> Array:
        return np.floor_divide(a, b)

    @_quiet
    def mod(self, a: Array, b: Array) -> Array:
        return np.remainder(a, b)

    def shift_left(self, x: Array, count: Array) -> Array:
        return np.left_shift(x, count)

    def shift_right(self, x: Array, count: Array) -> Array:
        return np.right_shift(x, count)

    def lsl(self, x: Array, count: int) -> Array:
        return np.left_shift(x, x.dtype.type(count))

    def lsr(self, x: Array, count: int) -> Array:
        unsigned = x.view(_UNSIGNED[x.dtype.itemsize])
        return np.right_shift(unsigned, unsigned.dtype.type(count)).view(x.dtype)

    def asr(self, x: Array, count: int) -> Array:
        signed = x.view(_SIGNED[x.dtype.itemsize])
        return np.right_shift(signed, signed.dtype.type(count)).view(x.dtype)

    def band(self, a: Array, b: Array) -> Array:
        return np.bitwise_and(a, b)

    def bor(self, a: Array, b: Array) -> Array:
        return np.bitwise_or(a, b)

    def bxor(self, a: Array, b: Array) -> Array:
        return np.bitwise_xor(a, b)

    def bnot(self, x: Array) -> Array:
        return np.invert(x)

    @_quiet
    def eq(self, a: Array, b: Array) -> Array:
        return np.equal(a, b)

    @_quiet
    def ne(self, a: Array, b: Array) -> Array:
        return np.not_equal(a, b)

    @_quiet
    def lt(self, a: Array, b: Array) -> Array:
        return np.less(a, b)

    @_quiet
    def le(self, a: Array, b: Array) -> Array:
        return np.less_equal(a, b)

    @_quiet
    def gt(self, a: Array, b: Array) -> Array:
        return np.greater(a, b)

    @_quiet
    def ge(self, a: Array, b: Array) -> Array:
        return np.greater_equal(a, b)

    def select(self, mask: Array, a: Array, b: Array) -> Array:
        return np.where(mask, a, b)

    @_quiet
    def cast(self, x: Array, dtype: np.dtype[Any]) -> Array:
        if x.dtype.kind == "f" and dtype.kind in "iu":
            return _saturated(x, dtype)
        return x.astype(dtype)

    def bitcast(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return x.view(dtype)

    def rare(self, mask: Array, fast: Any, slow: Body, args: Sequence[Array]) -> Any:
        if not np.any(mask):
            return fast
        usual = fast if isinstance(fast, tuple) else (fast,)
        shape = np.broadcast_shapes(np.shape(mask), *(np.shape(x) for x in (*usual, *args)))
        where = np.broadcast_to(mask, shape)
        unusual = slow(self, *(np.broadcast_to(x, shape)[where] for x in args))
        merged = tuple(
            _replaced(np.broadcast_to(x, shape), where, y)
            for x, y in zip(
                usual, unusual if isinstance(unusual, tuple) else (unusual,), strict=True
            )
        )
        return merged if isinstance(fast, tuple) else merged[0]

    def call(self, name: str, body: Body, args: Sequence[Array]) -> Array:
        return body(self, *args)


def _negative_zero_first(a: Array, b: Array) -> Array:
    """The smaller of two zeros; integer zeros have no sign."""
    if a.dtype.kind != "f":
        return np.minimum(a, b)
    return np.negative(np.add(np.negative(a), np.negative(b)))


def _saturated(x: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    low, high = x.dtype.type(limits.min), x.dtype.type(limits.max)
    # The largest integer may round up to a float outside the range, so the bound is exclusive then.
    above = x > high if int(high) == limits.max else x >= high
    inside = np.where((x >= low) & ~above, x, x.dtype.type(0)).astype(dtype)
    least, most = dtype.type(limits.min), dtype.type(limits.max)
    return np.where(above, most, np.where(x < low, least, inside))


def _replaced(fast: Array, where: Array, slow: Array) -> Array:
    result = np.array(fast)
    result[where] = slow
    return result
