"""sin and cos of every finite number.

x = q pi/2 + r, |r| <= pi/4 and a little, with r as an unevaluated pair; then the two kernels of r,
chosen and signed by q mod 4.  Up to a limit the reduction is three fused steps; beyond it, in a
branch, an exact product with the bits of 2/pi.  Error at most 1 ULP; the sign of zero is kept.
"""

from __future__ import annotations

from symc.records import dataclass
from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, Builder, Lanes
from symc.scalar.formats import Format, format_of, horner, outlinable, two_sum
from symc.scalar.large_angles import reduce_large

TWO_OVER_PI = 0.6366197723675814
LIMIT = {"f4": 1.0e5, "f8": 2.0**28}  # of |x|, for the fused reduction


@dataclass(frozen=True, slots=True)
class Angle:
    """x = quadrant pi/2 + high - minus_low; the quadrant an integer of which two bits count.

    The low part is kept negated: it is +0 for x = -0, which then survives in `_sin`.
    """

    quadrant: Lanes
    high: Lanes
    minus_low: Lanes


@outlinable
def sin(b: Builder, x: Lanes) -> Lanes:
    """The sine; NaN at infinities."""
    f = format_of(b, x)
    angle = _reduce(b, x, f)
    return _combine(b, angle, angle.quadrant, f)


@outlinable
def cos(b: Builder, x: Lanes) -> Lanes:
    """The cosine; NaN at infinities."""
    f = format_of(b, x)
    angle = _reduce(b, x, f)
    return _combine(b, angle, b.add(angle.quadrant, b.const(1, f.integer)), f)


def _combine(b: Builder, angle: Angle, quadrant: Lanes, f: Format) -> Lanes:
    """sin(high - minus_low + quadrant pi/2)."""
    one = b.const(1, f.integer)
    odd = b.eq(b.band(quadrant, one), one)
    square = b.mul(angle.high, angle.high)
    value = b.select(odd, _cos(b, angle, square, f), _sin(b, angle, square, f))
    sign = b.lsl(b.lsr(quadrant, 1), f.width - 1)
    return b.bitcast(b.bxor(b.bitcast(value, f.integer), sign), f.real)


def _sin(b: Builder, angle: Angle, square: Lanes, f: Format) -> Lanes:
    fit = fitted.SIN_F32 if f.real == F32 else fitted.SIN_F64
    polynomial = horner(b, square, [-c for c in fit])
    cube = b.mul(angle.high, square)
    return b.sub(angle.high, b.fma(cube, polynomial, angle.minus_low))


def _cos(b: Builder, angle: Angle, square: Lanes, f: Format) -> Lanes:
    polynomial = horner(b, square, fitted.COS_F32 if f.real == F32 else fitted.COS_F64)
    one = b.const(1.0, f.real)
    half = b.mul(b.const(0.5, f.real), square)
    main = b.sub(one, half)
    lost = b.sub(b.sub(one, main), half)
    tail = b.fma(b.mul(square, square), polynomial, b.mul(angle.high, angle.minus_low))
    return b.add(main, b.add(lost, tail))


def _reduce(b: Builder, x: Lanes, f: Format) -> Angle:
    magic = b.const(f.magic, f.real)
    shifted = b.fma(x, b.const(TWO_OVER_PI, f.real), magic)
    q = b.sub(shifted, magic)
    parts = fitted.HALF_PI_F32 if f.real == F32 else fitted.HALF_PI_F64
    first, second, third = (b.const(p, f.real) for p in parts)
    rest = b.fma(q, b.neg(first), x)  # exact: a multiple of the last bit of pi/2, below 1
    product = b.mul(q, second)
    product_low = b.fma(q, second, b.neg(product))
    high, error = two_sum(b, rest, b.neg(product))
    minus_low = b.fma(q, third, b.sub(product_low, error))
    fast = (b.bitcast(shifted, f.integer), high, minus_low)
    large = b.bnot(b.lt(b.abs(x), b.const(LIMIT[f.real.str[1:]], f.real)))
    return Angle(*b.rare(large, fast, reduce_large, (x,)))
