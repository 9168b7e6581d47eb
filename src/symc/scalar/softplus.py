"""softplus(x) = log(1 + e^x) = max(x, 0) + log1p(e^-|x|), without losing either term.

f32 works in f64 with the short polynomials, error 0.6 ULP.  f64 carries e^-|x| and the sums
as pairs, error at most 1 ULP.
"""

from __future__ import annotations

from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, Builder, Lanes
from symc.scalar.exponential import LN2_F64, LOG2_E, exp_fit, reduce, tail_of
from symc.scalar.formats import (
    BINARY64,
    at_most,
    fast_two_sum,
    format_of,
    halves,
    horner,
    outlinable,
    power_of_two,
    two_sum,
)
from symc.scalar.logarithm import FOLD, beyond_linear, inverse_power, split


@outlinable
def softplus(b: Builder, x: Lanes) -> Lanes:
    """log(1 + e^x)."""
    f = format_of(b, x)
    if f.real == F32:
        return b.cast(_softplus_short(b, b.cast(x, F64)), F32)
    size = at_most(b, b.abs(x), 746.0)
    part = reduce(b, b.neg(size), f)
    high, low = fast_two_sum(b, b.const(1.0, F64), part.high)
    high, low = fast_two_sum(b, high, b.add(low, tail_of(b, part, exp_fit(f))))
    first, second = halves(b, part.shifted, f)
    high, low = (b.mul(b.mul(term, first), second) for term in (high, low))
    parts = split(b, b.add(b.const(1.0, F64), high), f, FOLD[F64])
    scale = inverse_power(b, parts, f)
    offset = b.sub(scale, b.const(1.0, F64))
    fraction, fraction_low = fast_two_sum(b, offset, b.mul(high, scale))
    fraction_low = b.fma(low, scale, fraction_low)
    # max(x, 0) + k log 2 + fraction + tail, with the errors of the first two sums.
    tail = beyond_linear(b, parts.minus_k, fraction, fraction_low)
    log2 = b.mul(parts.minus_k, b.const(-LN2_F64[0], F64))
    log, log_low = fast_two_sum(b, log2, fraction)
    total, total_low = two_sum(b, b.maximum(x, b.const(0.0, F64)), log)
    result = b.add(total, b.add(total_low, b.add(log_low, tail)))
    return b.select(b.gt(x, b.const(40.0, F64)), x, result)


def _softplus_short(b: Builder, x: Lanes) -> Lanes:
    """In f64, to a relative error of about 2^-27."""
    f = BINARY64
    log2, one = b.const(-sum(LN2_F64), F64), b.const(1.0, F64)
    size = at_most(b, b.abs(x), 110.0)
    magic = b.const(f.magic, F64)
    shifted = b.fma(size, b.const(-LOG2_E, F64), magic)
    r = b.fma(b.sub(shifted, magic), log2, b.neg(size))
    near = b.fma(b.mul(r, r), horner(b, r, fitted.EXP_F32), b.add(one, r))
    exp = b.mul(near, power_of_two(b, shifted, f))
    parts = split(b, b.add(one, exp), f, FOLD[F32])
    scale = inverse_power(b, parts, f)
    fraction = b.fma(exp, scale, b.sub(scale, one))
    polynomial = horner(b, fraction, (-0.5, *fitted.LOG_F32))
    log1p = b.fma(b.mul(fraction, fraction), polynomial, fraction)
    log1p = b.fma(parts.minus_k, log2, log1p)
    return b.add(b.maximum(x, b.const(0.0, F64)), log1p)
