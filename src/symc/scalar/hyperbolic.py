"""tanh: one formula near 0, the exponential elsewhere.  sigmoid: a compensated quotient.

Error at most 1 ULP (f32) and 1.5 ULP (f64); odd, never beyond 1 in size.
"""

from __future__ import annotations

from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, Builder, Lanes
from symc.scalar.exponential import (
    LN2_F32,
    LN2_F64,
    LOG2_E,
    USUAL,
    Reduced,
    exp_fit,
    expm1_reduced,
    reduce,
    tail_of,
)
from symc.scalar.formats import (
    BINARY32,
    BINARY64,
    Format,
    at_most,
    even_odd,
    fast_two_sum,
    format_of,
    halves,
    horner,
    outlinable,
    power_of_two,
    raised,
    size_above,
)

# e^2r, its coefficients exact multiples of those of e^r.
EXP_TWICE = tuple(c * 2.0**power for power, c in enumerate((1.0, 1.0, *fitted.EXP_F32)))
NEAR = {F32: 1.0, F64: 0.65}  # from here on the exponential serves


@outlinable
def tanh(b: Builder, x: Lanes) -> Lanes:
    """The hyperbolic tangent."""
    f = format_of(b, x)
    size = b.abs(x)
    bits = b.bitcast(size, f.integer)
    near = b.lt(bits, b.const(f.bits(NEAR[f.real]), f.integer))
    sign = b.bxor(b.bitcast(x, f.integer), bits)
    if f.real == F32:
        value = _quotient(b, size, near)
    else:
        value = b.select(near, _near(b, x, size), _far(b, size))
    return b.bitcast(b.bor(b.bitcast(value, f.integer), sign), f.real)


def _quotient(b: Builder, size: Lanes, near: Lanes) -> Lanes:
    """z - z z^2/d in f32: z = |x| < 1, d a polynomial in z^2, or z = 1, d = (e^2|x| + 1)/2."""
    f = BINARY32
    z = at_most(b, size, NEAR[F32])
    square = b.mul(z, z)
    polynomial = horner(b, square, fitted.TANH_F32)
    # From 10 on the result is 1.  What is added to n is half of e^2|x|.
    x = at_most(b, size, 10.0)
    magic = b.const(f.magic - 1, F32)
    shifted = b.fma(x, b.const(2 * LOG2_E, F32), magic)
    n = b.sub(shifted, magic)
    rest = b.fma(n, b.const(-sum(LN2_F32) / 2, F32), x)
    half = raised(b, horner(b, rest, EXP_TWICE), shifted, f)
    divisor = b.select(near, polynomial, b.add(half, b.const(0.5, F32)))
    return b.fma(b.neg(z), b.div(square, divisor), z)


def _near(b: Builder, x: Lanes, size: Lanes) -> Lanes:
    """|x| + |x| u P(u), u = x^2."""
    square = b.mul(x, x)
    polynomial = even_odd(b, square, b.mul(square, square), fitted.TANH_F64)
    return b.fma(b.mul(size, square), polynomial, size)


def _far(b: Builder, x: Lanes) -> Lanes:
    """1 - 2 / (e^2x + 1); at 20 that is 1 already.

    Where n is large enough for the rounding of n log 2 to matter, the quotient is tiny.
    """
    f = BINARY64
    x = at_most(b, x, 20.0)
    magic = b.const(f.magic, F64)
    shifted = b.fma(x, b.const(2 * LOG2_E, F64), magic)
    n = b.sub(shifted, magic)
    rest = b.fma(n, b.const(-sum(LN2_F64), F64), b.add(x, x))
    scale = power_of_two(b, shifted, f)
    one = b.const(1.0, F64)
    denominator = b.fma(scale, expm1_reduced(b, rest, fitted.EXP_F64), b.add(scale, one))
    return b.sub(one, b.div(b.const(2.0, F64), denominator))


@outlinable
def sigmoid(b: Builder, x: Lanes) -> Lanes:
    """1 / (1 + e^-x).

    With |x| = n log 2 + r: sigmoid(-|x|) = m / (m + e^r), m = 2^-n, and sigmoid(|x|) is 1 less
    that.
    """
    f = format_of(b, x)
    part = reduce(b, b.abs(x), f)
    exponent = b.lsl(b.bitcast(part.shifted, f.integer), f.mantissa)
    scale = b.bitcast(b.sub(b.const(f.bits(1.0), f.integer), exponent), f.real)
    below = b.mul(_inverse(b, scale, part, f), scale)
    result = _on_its_side(b, x, below, f)
    return b.rare(size_above(b, x, USUAL[f.real], f), result, _sigmoid_of_any, (x,))


def _sigmoid_of_any(b: Builder, x: Lanes) -> Lanes:
    """The same where 2^-n may be subnormal."""
    f = format_of(b, x)
    size, zero = b.abs(x), b.const(0.0, f.real)
    vanishes = b.gt(size, b.const(104.0 if f.real == F32 else 746.0, f.real))
    part = reduce(b, b.select(vanishes, zero, size), f)
    minus_n = b.add(b.sub(zero, part.n), b.const(f.magic, f.real))
    first, second = halves(b, minus_n, f)
    inverse = _inverse(b, b.mul(first, second), part, f)
    below = b.mul(b.mul(inverse, first), second)
    return _on_its_side(b, x, b.select(vanishes, zero, below), f)


def _on_its_side(b: Builder, x: Lanes, below: Lanes, f: Format) -> Lanes:
    """sigmoid(x) from sigmoid(-|x|)."""
    one, zero = b.const(1.0, f.real), b.const(0.0, f.real)
    return b.select(b.lt(x, zero), below, b.sub(one, below))


def _inverse(b: Builder, scale: Lanes, part: Reduced, f: Format) -> Lanes:
    """1 / (scale + e^r): the denominator is a pair, the quotient corrected for its low part."""
    one = b.const(1.0, f.real)
    base, base_low = fast_two_sum(b, one, scale)
    high, high_low = fast_two_sum(b, base, part.high)
    low = b.add(high_low, b.add(tail_of(b, part, exp_fit(f)), base_low))
    high, low = fast_two_sum(b, high, low)
    quotient = b.div(one, high)
    minus = b.neg(quotient)
    residue = b.fma(minus, low, b.fma(minus, high, one))
    return b.fma(quotient, residue, quotient)
