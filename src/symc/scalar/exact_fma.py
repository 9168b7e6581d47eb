"""Fused multiply-add on NumPy arrays, rounded once, for f32 and f64.

f32: the product is exact in f64; the sum is rounded to odd there, so that the final rounding to
f32 is the only one that counts.  f64: products and sums as unevaluated pairs, the low parts rounded
to odd before the last addition (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded
sums"); lanes near the ends of the exponent range, where pairs are not exact, use big integers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

Array = Any

_SPLIT = np.float64(2.0**27 + 1)
_LEAST, _MOST, _MOST_ADDEND = 2.0**-480, 2.0**480, 2.0**1000


def fma(a: Array, b: Array, c: Array) -> Array:
    """a * b + c for three arrays of one float dtype (f32 or f64) that broadcast."""
    if a.dtype == np.float32:
        return _fma32(a, b, c)
    return _fma64(*np.broadcast_arrays(a, b, c))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    product = a * b
    scaled = _SPLIT * a
    a_high = scaled - (scaled - a)
    scaled = _SPLIT * b
    b_high = scaled - (scaled - b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _add_to_odd(a: Array, b: Array) -> Array:
    """a + b in f64: exact results stay; others take the neighbour whose last bit is odd."""
    total, error = _two_sum(a, b)
    bits = np.asarray(total).view(np.int64)
    inexact = np.isfinite(error) & (error != 0) & ((bits & 1) == 0)
    outward = (error > 0) == (total > 0)
    step = np.where(outward, np.int64(1), np.int64(-1))
    return np.where(inexact, bits + step, bits).view(np.float64)


def _fma32(a: Array, b: Array, c: Array) -> Array:
    product = a.astype(np.float64) * b.astype(np.float64)
    return _add_to_odd(product, c.astype(np.float64)).astype(np.float32)


def _fma64(a: Array, b: Array, c: Array) -> Array:
    if a.ndim == 0:
        return _fma64(a.reshape(1), b.reshape(1), c.reshape(1)).reshape(())
    finite = np.isfinite(a) & np.isfinite(b)
    plain = (a == 0) | (b == 0) | ~finite
    addend = finite & ~np.isfinite(c)
    size_a, size_b = np.abs(a), np.abs(b)
    low, high = np.minimum(size_a, size_b), np.maximum(size_a, size_b)
    easy = (low >= _LEAST) & (high <= _MOST) & (np.abs(c) <= _MOST_ADDEND)
    result = np.where(addend, c, np.where(easy, _pairs(a, b, c), a * b + c))
    hard = np.nonzero(~(plain | addend | easy))
    if hard[0].size:
        triples = zip(a[hard], b[hard], c[hard], strict=True)
        result[hard] = [_exact(float(x), float(y), float(z)) for x, y, z in triples]
    return result


def _pairs(a: Array, b: Array, c: Array) -> Array:
    product, product_error = _two_product(a, b)
    high, low = _two_sum(c, product_error)
    total, error = _two_sum(product, high)
    return total + _add_to_odd(error, low)


def _exact(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        result = float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")
    return -0.0 if result == 0 and exact < 0 else result
