"""The two float formats of the math library, and the small steps that its functions share.

Invariant: everything here is written against the `Builder` protocol, so it means the same lanes in
NumPy and in generated code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symc.records import dataclass
from symc.scalar.builder import F32, F64, I32, I64, Builder, Lanes


@dataclass(frozen=True, slots=True)
class Format:
    """A binary float: `mantissa` stored bits, exponent `bias`, and dtypes.

    `magic` is 1.5 * 2^mantissa: adding it rounds to an integer, which then sits in the low bits.
    """

    real: np.dtype[Any]
    integer: np.dtype[Any]
    mantissa: int
    bias: int

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.mantissa

    @property
    def width(self) -> int:
        return 8 * self.real.itemsize

    @property
    def sign(self) -> int:
        """The sign bit, as an unsigned number."""
        return 1 << (self.width - 1)

    @property
    def infinity_bits(self) -> int:
        return (2 * self.bias + 1) << self.mantissa

    @property
    def least_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    def bits(self, value: float) -> int:
        """The bit pattern of a value of this format, as a signed integer."""
        return int(np.array(value, self.real).view(self.integer))


BINARY32 = Format(F32, I32, 23, 127)
BINARY64 = Format(F64, I64, 52, 1023)


def format_of(b: Builder, x: Lanes) -> Format:
    """The format of float lanes; only f32 and f64 have math functions."""
    return BINARY32 if b.dtype(x) == F32 else BINARY64


def outlinable(body: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """A math function which a backend may compile once per module under the body's name."""

    @functools.wraps(body)
    def function(b: Builder, *args: Lanes) -> Lanes:
        return b.call(body.__name__, body, args)

    return function


def horner(b: Builder, x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The polynomial with these coefficients, lowest degree first; two at least."""
    dtype = b.dtype(x)
    total = b.const(coefficients[-1], dtype)
    for c in reversed(coefficients[:-1]):
        total = b.fma(total, x, b.const(c, dtype))
    return total


def even_odd(b: Builder, x: Lanes, square: Lanes, coefficients: Sequence[float]) -> Lanes:
    """As `horner` for five coefficients or more, in about half as many dependent steps.

    The first one is added last, so that its rounding is the only one that counts for much.
    """
    even, odd = (horner(b, square, coefficients[first::2]) for first in (1, 2))
    return b.fma(x, b.fma(x, odd, even), b.const(coefficients[0], b.dtype(x)))


def power_of_two(b: Builder, shifted: Lanes, f: Format) -> Lanes:
    """2^n for n in the exponent range; `shifted` is n + f.magic, as float lanes."""
    exponent = b.lsl(b.bitcast(shifted, f.integer), f.mantissa)
    return b.bitcast(b.add(exponent, b.const(f.bits(1.0), f.integer)), f.real)


def raised(b: Builder, x: Lanes, shifted: Lanes, f: Format) -> Lanes:
    """x * 2^n where that is normal; `shifted` is n + f.magic, as float lanes."""
    exponent = b.lsl(b.bitcast(shifted, f.integer), f.mantissa)
    return b.bitcast(b.add(b.bitcast(x, f.integer), exponent), f.real)


def halves(b: Builder, shifted: Lanes, f: Format) -> tuple[Lanes, Lanes]:
    """2^floor(n/2) and 2^ceil(n/2); `shifted` is n + f.magic, |n| up to twice the exponent range.

    The low bits of `shifted` hold n and its high bits leave by the left.
    """
    floor = b.add(b.bitcast(shifted, f.integer), b.const(2 * f.bias, f.integer))
    ceil = b.add(floor, b.const(1, f.integer))
    first, second = (b.lsl(b.lsr(bits, 1), f.mantissa) for bits in (floor, ceil))
    return b.bitcast(first, f.real), b.bitcast(second, f.real)


def scaled(b: Builder, x: Lanes, shifted: Lanes, f: Format) -> Lanes:
    """x * 2^n rounded once, for x in [0.5, 2]: only the second product can round."""
    first, second = halves(b, shifted, f)
    return b.mul(b.mul(x, first), second)


def two_sum(b: Builder, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x + y rounded, and the error of that, exactly."""
    total = b.add(x, y)
    part = b.sub(total, x)
    return total, b.add(b.sub(x, b.sub(total, part)), b.sub(y, part))


def fast_two_sum(b: Builder, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """As `two_sum`, where the exponent of x is not below that of y or x is 0."""
    total = b.add(x, y)
    return total, b.sub(y, b.sub(total, x))


def at_least(b: Builder, x: Lanes, limit: float) -> Lanes:
    """max(x, limit); NaN stays NaN."""
    bound = b.const(limit, b.dtype(x))
    return b.select(b.gt(bound, x), bound, x)


def at_most(b: Builder, x: Lanes, limit: float) -> Lanes:
    """min(x, limit); NaN stays NaN."""
    bound = b.const(limit, b.dtype(x))
    return b.select(b.lt(bound, x), bound, x)


def size_above(b: Builder, x: Lanes, limit: float, f: Format) -> Lanes:
    """Whether |x| > limit, or x is not a number: by its bits, as integers compare faster."""
    size = b.band(b.bitcast(x, f.integer), b.const(f.sign - 1, f.integer))
    return b.gt(size, b.const(f.bits(limit), f.integer))


def outside(b: Builder, bits: Lanes, low: int, high: int, f: Format) -> Lanes:
    """Whether `bits`, read as unsigned, are not in [low, high); low is positive."""
    half = 1 << (f.width - 1)  # adding it lets one signed comparison do
    moved = b.add(bits, b.const(half - low, f.integer))
    return b.ge(moved, b.const(high - low - half, f.integer))
