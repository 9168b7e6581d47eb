"""tanh: a polynomial near 0, the exponential elsewhere.

Error at most 1 ULP (f32) and 1.5 ULP (f64); odd, never beyond 1 in size.
"""

from __future__ import annotations

from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, Builder, Lanes
from symc.scalar.exponential import LN2_F32, LN2_F64, LOG2_E, exp_polynomial
from symc.scalar.formats import Format, at_most, format_of, horner, outlinable, power_of_two

NEAR = {F32: 0.9, F64: 0.65}  # the polynomial serves |x| below this


@outlinable
def tanh(b: Builder, x: Lanes) -> Lanes:
    """The hyperbolic tangent."""
    f = format_of(b, x)
    size = b.abs(x)
    near = b.lt(size, b.const(NEAR[f.real], f.real))
    return b.copysign(b.select(near, _near(b, size, f), _far(b, size, f)), x)


def _near(b: Builder, x: Lanes, f: Format) -> Lanes:
    """x + x u P(u), u = x^2."""
    square = b.mul(x, x)
    polynomial = horner(b, square, fitted.TANH_F32 if f.real == F32 else fitted.TANH_F64)
    return b.fma(b.mul(x, square), polynomial, x)


def _far(b: Builder, x: Lanes, f: Format) -> Lanes:
    """1 - 2 / (e^2x + 1); at 20 (f64) and 10 (f32) that is 1 already.

    Where n is large enough for the rounding of n log 2 to matter, the quotient is tiny.
    """
    x = at_most(b, x, 10.0 if f.real == F32 else 20.0)
    magic = b.const(f.magic, f.real)
    shifted = b.fma(x, b.const(2 * LOG2_E, f.real), magic)
    n = b.sub(shifted, magic)
    log2 = sum(LN2_F32 if f.real == F32 else LN2_F64)
    r = b.fma(n, b.const(-log2, f.real), b.add(x, x))
    expm1 = b.fma(b.mul(r, r), exp_polynomial(b, r, f), r)
    scale = power_of_two(b, shifted, f)
    one = b.const(1.0, f.real)
    denominator = b.fma(scale, expm1, b.add(scale, one))
    return b.sub(one, b.div(b.const(2.0, f.real), denominator))
