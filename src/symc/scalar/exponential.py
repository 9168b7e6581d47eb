"""exp, exp2 and expm1: reduction by multiples of log 2, a minimax polynomial, a scaling.

x = n log 2 + r with |r| <= log(2)/2; e^r = 1 + r + r^2 Q(r).  Error at most 1 ULP for f32 and f64,
subnormal results included (tests/scalar/test_ulp.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.records import dataclass
from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, Builder, Lanes
from symc.scalar.formats import (
    Format,
    at_least,
    at_most,
    even_odd,
    fast_two_sum,
    format_of,
    outlinable,
    power_of_two,
    raised,
    scaled,
    size_above,
    two_sum,
)

LOG2_E = 1.4426950408889634
# log 2 in two parts for each format; the first has trailing zeros, so n times it is exact.
LN2_F32 = (float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20"))
LN2_F64 = (float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45"))


@dataclass(frozen=True, slots=True)
class Reduced:
    """x = n log 2 + high + low; `whole` is high + low rounded, `shifted` is n + magic."""

    n: Lanes
    shifted: Lanes
    high: Lanes
    low: Lanes
    whole: Lanes


def reduce(b: Builder, x: Lanes, f: Format) -> Reduced:
    """Split off multiples of log 2; exact for |n| < 2^11 but for the rounding of `low`."""
    magic = b.const(f.magic, f.real)
    shifted = b.fma(x, b.const(LOG2_E, f.real), magic)
    n = b.sub(shifted, magic)
    first, second = LN2_F32 if f.real == F32 else LN2_F64
    high = b.fma(n, b.const(-first, f.real), x)
    low = b.mul(n, b.const(-second, f.real))
    return Reduced(n, shifted, high, low, b.add(high, low))


def exp_fit(f: Format) -> Sequence[float]:
    """Coefficients of Q(r) in e^r = 1 + r + r^2 Q(r), for an error relative to e^r."""
    return fitted.EXP_F32 if f.real == F32 else fitted.EXP_F64


def expm1_fit(f: Format) -> Sequence[float]:
    """The same for an error relative to e^r - 1."""
    return fitted.EXPM1_F32 if f.real == F32 else fitted.EXPM1_F64


def exp_reduced(b: Builder, part: Reduced, f: Format) -> Lanes:
    """e^(high + low), about 0.8 ULP."""
    return b.add(b.const(1.0, f.real), b.add(part.high, tail_of(b, part, exp_fit(f))))


def tail_of(b: Builder, part: Reduced, fit: Sequence[float]) -> Lanes:
    """What e^r has beyond 1 + high."""
    square = b.mul(part.whole, part.whole)
    return b.fma(square, even_odd(b, part.whole, square, fit), part.low)


def expm1_reduced(b: Builder, rest: Lanes, fit: Sequence[float]) -> Lanes:
    """e^rest - 1 for |rest| <= log(2)/2, small against e^rest."""
    square = b.mul(rest, rest)
    return b.fma(square, even_odd(b, rest, square, fit), rest)


def exp_parts(b: Builder, x: Lanes, f: Format) -> tuple[Lanes, Lanes]:
    """e^x 2^-n in [0.7, 1.42], and n + f.magic."""
    if f.real == F64:
        part = reduce(b, x, f)
        return exp_reduced(b, part, f), part.shifted
    # In f32 a pair is not needed, if the polynomial errs where there is room.
    magic = b.const(f.magic, F32)
    shifted = b.fma(x, b.const(LOG2_E, F32), magic)
    n = b.sub(shifted, magic)
    rest = b.fma(n, b.const(-LN2_F32[0], F32), x)
    rest = b.fma(n, b.const(-LN2_F32[1], F32), rest)
    near = b.add(b.const(1.0, F32), expm1_reduced(b, rest, fitted.EXP_SHARP_F32))
    return near, shifted


# Within these sizes of x the result is normal.
USUAL = {F32: 87.3, F64: 708.3}


@outlinable
def exp(b: Builder, x: Lanes) -> Lanes:
    """e^x."""
    f = format_of(b, x)
    result = raised(b, *exp_parts(b, x, f), f)
    return b.rare(size_above(b, x, USUAL[f.real], f), result, exp_of_any, (x,))


def exp_of_any(b: Builder, x: Lanes) -> Lanes:
    """e^x for every x: subnormal results and infinity too."""
    f = format_of(b, x)
    # Beyond these limits results are 0 and infinity anyway.
    low, high = (-104.0, 89.0) if f.real == F32 else (-746.0, 710.0)
    zero = b.const(0.0, f.real)
    vanishes = b.lt(x, b.const(low, f.real))
    # Not computed: a product that underflows takes a CPU a hundred cycles, and masks are common.
    near, shifted = exp_parts(b, b.select(vanishes, zero, at_most(b, x, high)), f)
    return b.select(vanishes, zero, scaled(b, near, shifted, f))


@outlinable
def exp2(b: Builder, x: Lanes) -> Lanes:
    """2^x; exact at integers."""
    f = format_of(b, x)
    low, high = (-151.0, 129.0) if f.real == F32 else (-1076.0, 1025.0)
    x = at_most(b, at_least(b, x, low), high)
    magic = b.const(f.magic, f.real)
    shifted = b.add(x, magic)
    n = b.sub(shifted, magic)
    rest = b.sub(x, n)
    fit = fitted.LN2_FULL_F32 if f.real == F32 else fitted.LN2_FULL_F64
    log2, log2_low = (b.const(part, f.real) for part in fit)
    product = b.mul(rest, log2)
    error = b.fma(rest, log2_low, b.fma(rest, log2, b.neg(product)))
    part = Reduced(n, shifted, product, error, product)
    return scaled(b, exp_reduced(b, part, f), shifted, f)


@outlinable
def expm1(b: Builder, x: Lanes) -> Lanes:
    """e^x - 1; the sign of zero is kept."""
    f = format_of(b, x)
    lowest, unusual = (-18.0, 88.0) if f.real == F32 else (-38.0, 709.0)
    part = reduce(b, at_least(b, x, lowest), f)
    scale = power_of_two(b, part.shifted, f)
    # 2^n (1 + high + tail) - 1: the exact terms first, with the errors of their sums.
    offset, offset_low = two_sum(b, scale, b.const(-1.0, f.real))
    total, total_low = fast_two_sum(b, offset, b.mul(scale, part.high))
    tail = tail_of(b, part, expm1_fit(f))
    if f.real == F64:  # the polynomial saw `whole`, which is high + low but for a rounding
        slip = b.sub(b.sub(part.whole, part.high), part.low)
        tail = b.sub(tail, b.mul(slip, b.add(part.whole, tail)))
    result = b.add(total, b.fma(scale, tail, b.add(total_low, offset_low)))
    result = b.copysign(result, x)
    return b.rare(b.gt(x, b.const(unusual, f.real)), result, exp_of_any, (x,))
