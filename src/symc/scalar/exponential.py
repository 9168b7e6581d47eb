"""exp and expm1: reduction by multiples of log 2, a minimax polynomial, a scaling.

x = n log 2 + r with |r| <= log(2)/2; e^r = 1 + r + r^2 Q(r).  Error at most 1 ULP for f32 and f64,
subnormal results included (tests/scalar/test_ulp.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, Builder, Lanes
from symc.scalar.formats import (
    Format,
    at_least,
    at_most,
    format_of,
    horner,
    outlinable,
    scaled,
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


def exp_polynomial(b: Builder, r: Lanes, f: Format) -> Lanes:
    """Q(r) of e^r = 1 + r + r^2 Q(r)."""
    return horner(b, r, fitted.EXP_F32 if f.real == F32 else fitted.EXP_F64)


def exp_reduced(b: Builder, part: Reduced, f: Format) -> Lanes:
    """e^(high + low), about 0.8 ULP."""
    square = b.mul(part.whole, part.whole)
    tail = b.fma(square, exp_polynomial(b, part.whole, f), part.low)
    return b.add(b.const(1.0, f.real), b.add(part.high, tail))


@outlinable
def exp(b: Builder, x: Lanes) -> Lanes:
    """e^x."""
    f = format_of(b, x)
    # Beyond these limits results are 0 and infinity anyway.
    low, high = (-104.0, 89.0) if f.real == F32 else (-746.0, 710.0)
    part = reduce(b, at_most(b, at_least(b, x, low), high), f)
    return scaled(b, exp_reduced(b, part, f), part.shifted, f)
