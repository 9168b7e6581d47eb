"""log, log2, log10 and log1p: x = 2^k (1 + f), a polynomial in f, then k log 2.

With s = f/(2 + f) the odd series in s; log2 and log10 in f32 have polynomials in f.  1 + f lies in
[3/4, 3/2) for f32 and in [sqrt(1/2), sqrt(2)) for f64.  Error at most 1 ULP.  Zeros, negative,
subnormal and non-finite operands leave by one branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from symc.records import dataclass
from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, Body, Builder, Lanes
from symc.scalar.exponential import LN2_F32, LN2_F64
from symc.scalar.formats import (
    BINARY32,
    Format,
    even_odd,
    fast_two_sum,
    format_of,
    horner,
    outlinable,
    outside,
)

# 1 + f is kept between this and twice this.  With 3/4 the f of log1p is exact in f32 but for one x.
FOLD = {F32: 0.75, F64: float.fromhex("0x1.6a09e667f3bcdp-1")}
# Where the fraction is exact anyway, sums of k log 2 and the rest lose less so.
MIDDLE = {F32: 43 / 64, F64: FOLD[F64]}
# In which k is counted: the bits of an f32 give it so without a shift.
UNIT = {F32: 2.0**-23, F64: 1.0}


@dataclass(frozen=True, slots=True)
class Split:
    """x = 2^k significand; `minus_k` is a float in `UNIT`s, `inverse` the bits of 2^-k."""

    minus_k: Lanes
    inverse: Lanes
    significand: Lanes


def split(b: Builder, x: Lanes, f: Format, least: float) -> Split:
    """Take a positive normal x apart, its significand in [least, 2 least)."""
    one = f.bits(1.0)
    bits = b.bitcast(x, f.integer)
    # -k in the place of the exponent, and below it bits that count for nothing.
    below = b.sub(b.const(f.bits(2 * least) - 1, f.integer), bits)
    exponent = b.band(below, b.const(-(1 << f.mantissa), f.integer))
    inverse = b.add(exponent, b.const(one, f.integer))
    if f.real == F32:
        minus_k = b.cast(exponent, F32)
    else:  # a small integer under the bits of 2^mantissa is a float
        biased = b.lsr(b.sub(b.const(one, f.integer), exponent), f.mantissa)
        whole = b.bor(biased, b.const(f.bits(2.0**f.mantissa), f.integer))
        minus_k = b.sub(b.const(2.0**f.mantissa + f.bias, f.real), b.bitcast(whole, f.real))
    return Split(minus_k, inverse, b.bitcast(b.add(bits, exponent), f.real))


def log_of(b: Builder, minus_k: Lanes, fraction: Lanes, f: Format) -> Lanes:
    """k log 2 + log(1 + fraction).  A fraction of -0 with k = 0 gives -0.

    f32: log(1 + f) = f - s (f - s^2 L(s^2)).
    """
    if f.real == F64:
        return log_of_pair(b, minus_k, fraction, None)
    s = b.div(fraction, b.add(b.const(2.0, F32), fraction))
    square = b.mul(s, s)
    rest = b.fma(b.neg(square), horner(b, square, fitted.LOG_RATIO_F32), fraction)
    near = b.fma(b.neg(s), rest, fraction)
    return b.fma(minus_k, b.const(-sum(LN2_F32) * UNIT[F32], F32), near)


def log_of_pair(b: Builder, minus_k: Lanes, fraction: Lanes, low: Lanes | None) -> Lanes:
    """k log 2 + log(1 + fraction + low) in f64; `low` is far below `fraction`."""
    near = b.add(fraction, beyond_linear(b, minus_k, fraction, low))
    return b.fma(minus_k, b.const(-LN2_F64[0], F64), near)


def beyond_linear(b: Builder, minus_k: Lanes, fraction: Lanes, low: Lanes | None) -> Lanes:
    """What `log_of_pair` has beyond `fraction` and k times the first part of log 2."""
    half, rest = _series(b, fraction)
    small = b.mul(minus_k, b.const(-LN2_F64[1], F64))
    if low is not None:  # low / (1 + fraction), to a few bits
        slope = b.fma(fraction, fraction, b.neg(fraction))
        small = b.add(small, b.fma(low, slope, low))
    return b.sub(b.add(rest, small), half)


def _series(b: Builder, fraction: Lanes) -> tuple[Lanes, Lanes]:
    """(h, t) with log(1 + fraction) = fraction - h + t in f64; h is half the square."""
    s = b.div(fraction, b.add(b.const(2.0, F64), fraction))
    square = b.mul(s, s)
    ratio = b.mul(square, horner(b, square, fitted.LOG_RATIO_F64))
    half = b.mul(b.mul(b.const(0.5, F64), fraction), fraction)
    return half, b.mul(s, b.add(half, ratio))


def short_log(b: Builder, fraction: Lanes) -> Lanes:
    """log(1 + fraction) in f64 to 2^-33, enough for f32 results; 1 + fraction <= 3/2."""
    s = b.div(fraction, b.add(b.const(2.0, F64), fraction))
    square = b.mul(s, s)
    series = b.fma(square, horner(b, square, fitted.LOG_RATIO_SHORT), b.const(2.0, F64))
    return b.mul(s, series)


def _to_base(b: Builder, minus_k: Lanes, fraction: Lanes, f: Format, base: Base) -> Lanes:
    """(k log 2 + log(1 + fraction)) / log(base), the large products exact, as pairs."""
    pairs = (base.scale, base.step) if f.real == F64 else (base.scale_f32, base.step_f32)
    (scale, scale_low), (step, step_low) = ([b.const(c, f.real) for c in pair] for pair in pairs)
    linear = b.mul(fraction, scale)
    linear_low = b.fma(fraction, scale_low, b.fma(fraction, scale, b.neg(linear)))
    k = b.mul(minus_k, b.const(-UNIT[f.real], f.real))
    total, total_low = fast_two_sum(b, b.mul(k, step), linear)
    rest = b.fma(k, step_low, linear_low)
    if f.real == F64:
        half, series = _series(b, fraction)
        small = b.fma(b.sub(series, half), scale, rest)
    else:
        square = b.mul(fraction, fraction)
        small = b.fma(square, even_odd(b, fraction, square, base.fit_f32), rest)
    return b.add(total, b.add(total_low, small))


@dataclass(frozen=True, slots=True)
class Base:
    """1 / log(base) and log 2 / log(base), two parts each; exponents times step[0] are exact."""

    scale: tuple[float, ...]
    step: tuple[float, ...]
    fit_f32: tuple[float, ...]  # of the logarithm of 1 + f to this base, beyond the linear term

    @property
    def scale_f32(self) -> tuple[float, float]:
        """`scale` in f32."""
        first = float(np.float32(self.scale[0]))
        return first, self.scale[0] - first

    @property
    def step_f32(self) -> tuple[float, float]:
        """`step` in f32: 14 bits, and the rest."""
        first = math.floor(self.step[0] * 2.0**14) / 2.0**14
        return first, self.step[0] - first + self.step[1]


BASE_2 = Base(fitted.LOG2_E, (1.0, 0.0), fitted.LOG2_F32)
BASE_10 = Base(fitted.LOG10_E, fitted.LOG10_2, fitted.LOG10_F32)


@outlinable
def log(b: Builder, x: Lanes) -> Lanes:
    """The natural logarithm; -inf at zeros, NaN below."""
    return _log_normally(b, x, log_of, log_of_any, FOLD[format_of(b, x).real])


@outlinable
def log2(b: Builder, x: Lanes) -> Lanes:
    """The logarithm to base 2; exact at powers of 2."""
    return _log_normally(b, x, _finite_log2, _log2_of_any, MIDDLE[format_of(b, x).real])


@outlinable
def log10(b: Builder, x: Lanes) -> Lanes:
    """The logarithm to base 10."""
    return _log_normally(b, x, _finite_log10, _log10_of_any, MIDDLE[format_of(b, x).real])


Finite = Callable[[Builder, Lanes, Lanes, Format], Lanes]  # (-k, fraction) -> logarithm


def _log_normally(b: Builder, x: Lanes, finite: Finite, any_log: Body, least: float) -> Lanes:
    f = format_of(b, x)
    unusual = outside(b, b.bitcast(x, f.integer), f.bits(f.least_normal), f.infinity_bits, f)
    parts = split(b, x, f, least)
    fraction = b.sub(parts.significand, b.const(1.0, f.real))
    return b.rare(unusual, finite(b, parts.minus_k, fraction, f), any_log, (x,))


def _finite_log2(b: Builder, minus_k: Lanes, fraction: Lanes, f: Format) -> Lanes:
    return _to_base(b, minus_k, fraction, f, BASE_2)


def _finite_log10(b: Builder, minus_k: Lanes, fraction: Lanes, f: Format) -> Lanes:
    return _to_base(b, minus_k, fraction, f, BASE_10)


def log_of_any(b: Builder, x: Lanes) -> Lanes:
    """log x for every x."""
    return _log_of_any(b, x, log_of, FOLD[format_of(b, x).real])


def _log2_of_any(b: Builder, x: Lanes) -> Lanes:
    return _log_of_any(b, x, _finite_log2, MIDDLE[format_of(b, x).real])


def _log10_of_any(b: Builder, x: Lanes) -> Lanes:
    return _log_of_any(b, x, _finite_log10, MIDDLE[format_of(b, x).real])


def _log_of_any(b: Builder, x: Lanes, finite: Finite, least: float) -> Lanes:
    f = format_of(b, x)
    zero, infinity = b.const(0.0, f.real), b.const(float("inf"), f.real)
    parts = split_any(b, x, f, least)
    fraction = b.sub(parts.significand, b.const(1.0, f.real))
    value = finite(b, parts.minus_k, fraction, f)
    result = b.select(b.lt(x, infinity), value, b.add(x, x))  # the sum quiets a NaN
    result = b.select(b.lt(x, zero), b.const(float("nan"), f.real), result)
    return b.select(b.eq(x, zero), b.neg(infinity), result)


def split_any(b: Builder, x: Lanes, f: Format, least: float) -> Split:
    """As `split`, for positive subnormal x too; `inverse` is that of x scaled to be normal."""
    subnormal = b.lt(x, b.const(f.least_normal, f.real))
    raised = b.select(subnormal, b.mul(x, b.const(2.0 ** (f.mantissa + 1), f.real)), x)
    parts = split(b, raised, f, least)
    shift = b.const((f.mantissa + 1) / UNIT[f.real], f.real)
    shift = b.select(subnormal, shift, b.const(0.0, f.real))
    return replace(parts, minus_k=b.add(parts.minus_k, shift))


@outlinable
def log1p(b: Builder, x: Lanes) -> Lanes:
    """log(1 + x); -inf at -1, NaN below; the sign of zero is kept."""
    f = format_of(b, x)
    one = b.const(1.0, f.real)
    total = b.add(one, x)
    parts = split(b, total, f, FOLD[f.real])
    # Above the limit 2^-k would be subnormal.
    result = _log1p_scaled(b, x, inverse_power(b, parts, f), parts.minus_k, f)
    unusual = outside(b, b.bitcast(total, f.integer), 1, f.bits(2.0 ** (f.bias - 1)), f)
    return b.rare(unusual, result, _log1p_of_any, (x,))


def inverse_power(b: Builder, parts: Split, f: Format) -> Lanes:
    """2^-k, where that is normal."""
    return b.bitcast(parts.inverse, f.real)


def _log1p_scaled(b: Builder, x: Lanes, scale: Lanes, minus_k: Lanes, f: Format) -> Lanes:
    """1 + x = 2^k (1 + fraction): the fraction straight from x, so that no bit of x is lost."""
    offset = b.neg(b.sub(b.const(1.0, f.real), scale))  # -0 for k = 0
    if f is BINARY32:
        return log_of(b, minus_k, b.fma(x, scale, offset), f)
    part = b.mul(x, scale)
    fraction, low = fast_two_sum(b, offset, part)  # `part` is smaller, or the sum is exact
    return log_of_pair(b, minus_k, fraction, low)


def _log1p_of_any(b: Builder, x: Lanes) -> Lanes:
    """log1p where 1 + x is zero, negative, huge or not a number."""
    f = format_of(b, x)
    pole = b.eq(x, b.const(-1.0, f.real))
    return b.select(pole, b.const(float("-inf"), f.real), log_of_any(b, x))
