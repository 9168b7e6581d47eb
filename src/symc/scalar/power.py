"""pow: the logarithm to many more bits than a float has, times y, exponentiated.

f32 works in f64.  f64 looks 1/c and log c up for the interval of the significand z, so that
log z = log c + log(1 + r) with an exact and tiny r, and carries the logarithm as a pair with a
relative error below 2^-66.  Error at most 1 ULP.  Special operands leave by one branch, which
follows IEEE 754: pow(x, 0) = pow(1, y) = 1 whatever the other is, NaN included.
"""

from __future__ import annotations

from symc.scalar import coefficients as fitted
from symc.scalar import log_table as table
from symc.scalar.builder import F32, F64, I64, Builder, Lanes
from symc.scalar.exponential import LN2_F64, LOG2_E, Reduced, exp_reduced
from symc.scalar.formats import (
    BINARY64,
    at_least,
    at_most,
    fast_two_sum,
    format_of,
    horner,
    outlinable,
    outside,
    power_of_two,
    scaled,
)
from symc.scalar.logarithm import FOLD, Split, short_log, split, split_any


@outlinable
def pow(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """x to the power y; NaN for negative x with y no integer."""
    f = format_of(b, x)
    bits = b.bitcast(x, f.integer)
    odd_x = outside(b, bits, f.bits(f.least_normal), f.infinity_bits, f)
    odd_y = b.bnot(b.lt(b.abs(y), b.const(float("inf"), f.real)))
    if f.real == F32:
        usual = _power_f32(b, x, y)
    else:
        usual = _power_f64(b, split(b, x, f, _least()), y)
    return b.rare(b.bor(odd_x, odd_y), usual, _power_of_any, (x, y))


def _least() -> float:
    """The least significand of the table."""
    bits = table.FIRST
    return float.fromhex(f"0x1.{bits & ((1 << 52) - 1):013x}p{(bits >> 52) - 1023}")


def _power_f32(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """For x > 0 finite, in f64."""
    f = BINARY64
    parts = split(b, b.cast(x, F64), f, FOLD[F64])
    fraction = b.sub(parts.significand, b.const(1.0, F64))
    log2 = sum(LN2_F64)
    log = b.fma(parts.minus_k, b.const(-log2, F64), short_log(b, fraction))
    exponent = at_most(b, at_least(b, b.mul(log, b.cast(y, F64)), -110.0), 100.0)
    magic = b.const(f.magic, F64)
    shifted = b.fma(exponent, b.const(LOG2_E, F64), magic)
    r = b.fma(b.sub(shifted, magic), b.const(-log2, F64), exponent)
    near = b.fma(b.mul(r, r), horner(b, r, fitted.EXP_F32), b.add(b.const(1.0, F64), r))
    return b.cast(b.mul(near, power_of_two(b, shifted, f)), F32)


def _power_f64(b: Builder, parts: Split, y: Lanes) -> Lanes:
    """For a positive finite x, taken apart with the table's least significand."""
    log, log_low = _log_pair(b, parts)
    exponent = b.mul(log, y)
    low = b.fma(log_low, y, b.fma(log, y, b.neg(exponent)))
    inside = b.lt(b.abs(exponent), b.const(800.0, F64))  # elsewhere `low` may be infinite
    low = b.select(inside, low, b.const(0.0, F64))
    exponent = at_most(b, at_least(b, exponent, -746.0), 710.0)
    magic = b.const(BINARY64.magic, F64)
    shifted = b.fma(exponent, b.const(LOG2_E, F64), magic)
    n = b.sub(shifted, magic)
    high = b.fma(n, b.const(-LN2_F64[0], F64), exponent)
    low = b.fma(n, b.const(-LN2_F64[1], F64), low)
    reduced = Reduced(n, shifted, high, low, b.add(high, low))
    return scaled(b, exp_reduced(b, reduced, BINARY64), shifted, BINARY64)


def _log_pair(b: Builder, parts: Split) -> tuple[Lanes, Lanes]:
    """k log 2 + log(significand) as a pair."""
    z = parts.significand
    index = b.lsr(b.sub(b.bitcast(z, I64), b.const(table.FIRST, I64)), 45)
    inverse = b.table(table.INVERSE, F64, index)
    r = b.fma(z, inverse, b.const(-1.0, F64))  # exact
    k = b.sub(b.const(0.0, F64), parts.minus_k)
    coarse = b.fma(k, b.const(LN2_F64[0], F64), b.table(table.LOG, F64, index))  # exact
    low = b.fma(k, b.const(LN2_F64[1], F64), b.table(table.LOG_LOW, F64, index))
    total, total_low = fast_two_sum(b, coarse, r)
    half = b.mul(b.const(-0.5, F64), r)
    square = b.mul(r, half)
    square_low = b.fma(r, half, b.neg(square))
    total, second_low = fast_two_sum(b, total, square)
    cubic = b.mul(b.mul(b.mul(r, r), r), horner(b, r, fitted.LOG_TABLE_F64))
    small = b.add(b.add(total_low, second_low), b.add(b.add(low, square_low), cubic))
    return fast_two_sum(b, total, small)


def _power_of_any(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """pow for every pair of operands."""
    f = format_of(b, x)
    zero, one = b.const(0.0, f.real), b.const(1.0, f.real)
    infinity = b.const(float("inf"), f.real)
    nan = b.const(float("nan"), f.real)
    size = b.abs(x)
    if f.real == F32:
        result = _power_f32(b, size, y)
    else:
        result = _power_f64(b, split_any(b, size, f, _least()), y)
    # Infinite results and zeros: a base away from 1 in size, to a power that outgrows it.
    grows = b.eq(b.gt(size, one), b.gt(y, zero))
    extreme = b.select(grows, infinity, zero)
    endless = b.eq(b.abs(y), infinity)
    pole = b.bor(b.eq(size, zero), b.eq(size, infinity))
    result = b.select(b.bor(endless, pole), extreme, result)
    result = b.select(b.band(endless, b.eq(size, one)), one, result)
    # Negative bases.
    whole = b.eq(b.floor(y), y)
    half = b.mul(y, b.const(0.5, f.real))
    odd = b.band(whole, b.ne(b.floor(half), half))
    negative = b.lt(b.bitcast(x, f.integer), b.const(0, f.integer))
    result = b.select(b.band(negative, odd), b.neg(result), result)
    outside_domain = b.band(b.band(b.lt(x, zero), b.bnot(whole)), b.lt(size, infinity))
    unordered = b.bor(b.ne(x, x), b.ne(y, y))
    result = b.select(b.bor(outside_domain, unordered), nan, result)
    return b.select(b.bor(b.eq(y, zero), b.eq(x, one)), one, result)
