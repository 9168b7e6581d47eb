"""Elementary functions; their values come from `symc.scalar.math` in every backend.

Derivatives at the ends of domains: a slope that may be infinite or NaN multiplies by `scale`, so a
tangent of 0 stays 0, also where the slope is NaN.  For `pow(x, y)`: d/dx is 0 where y = 0; d/dy is
0 where x = 0 and y >= 0, and NaN for negative x, where the function has no neighbours.

Integer powers wrap; a negative exponent gives the true value rounded toward zero (x ** -1 is 0 but
for x = 1 and -1), and 0 for x = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from symc.ir import term
from symc.ir.ops.define import NUMBERS, Points, binary, unary
from symc.scalar import math

if TYPE_CHECKING:
    from symc.ir.term import Term


LN2: Final = 0.6931471805599453
LN10: Final = 2.302585092994046


def _float_or_int_power(b: Any, x: Any, y: Any) -> Any:
    return math.pow(b, x, y) if b.dtype(x).kind == "f" else _integer_power(b, x, y)


def _integer_power(b: Any, x: Any, y: Any) -> Any:
    dtype = b.dtype(x)
    zero, one = b.const(0, dtype), b.const(1, dtype)
    result, square = one, x
    for bit in range(8 * dtype.itemsize - 1):
        chosen = b.band(b.asr(y, bit), one)
        result = b.select(b.ne(chosen, zero), b.mul(result, square), result)
        square = b.mul(square, square)
    odd = b.ne(b.band(y, one), zero)
    minus = b.neg(one)
    unit = b.select(b.eq(x, minus), b.select(odd, minus, one), zero)
    inverse = b.select(b.eq(x, one), one, unit)
    return b.select(b.lt(y, zero), inverse, result)


def _power_slope(x: Term, y: Term) -> Term:
    return term.scale(y, term.make(POW, x, y - 1.0))


def _exponent_slope(z: Term, x: Term, y: Term) -> Term:
    slope = term.scale(z, term.make(LOG, x))
    return term.where(x.eq(0.0) & y.eq(0.0), 0.0, slope)


EXP: Final = unary("exp", math.exp, tangent=lambda t, y, x: term.scale(t, y))
EXPM1: Final = unary("expm1", math.expm1, tangent=lambda t, y, x: term.scale(t, term.make(EXP, x)))
LOG: Final = unary(
    "log",
    math.log,
    tangent=lambda t, y, x: term.scale(t, 1.0 / x),
    points=Points((0.1, 5.0), (0.0, -1.0)),
)
LOG1P: Final = unary(
    "log1p",
    math.log1p,
    tangent=lambda t, y, x: term.scale(t, 1.0 / (x + 1.0)),
    points=Points((-0.9, 4.0), (-1.0, -2.0, 0.0)),
)
EXP2: Final = unary("exp2", math.exp2, tangent=lambda t, y, x: term.scale(t, y * LN2))
LOG2: Final = unary(
    "log2",
    math.log2,
    tangent=lambda t, y, x: term.scale(t, (1.0 / LN2) / x),
    points=Points((0.1, 5.0), (0.0, -1.0)),
)
LOG10: Final = unary(
    "log10",
    math.log10,
    tangent=lambda t, y, x: term.scale(t, (1.0 / LN10) / x),
    points=Points((0.1, 5.0), (0.0, -1.0)),
)
TANH: Final = unary("tanh", math.tanh, tangent=lambda t, y, x: term.scale(t, 1.0 - y * y))
SIGMOID: Final = unary(
    "sigmoid", math.sigmoid, tangent=lambda t, y, x: term.scale(t, y * (1.0 - y))
)
SOFTPLUS: Final = unary(
    "softplus",
    math.softplus,
    tangent=lambda t, y, x: term.scale(t, term.make(SIGMOID, x)),
)
SIN: Final = unary(
    "sin",
    math.sin,
    tangent=lambda t, y, x: term.scale(t, term.cos(x)),
    points=Points(edges=(0.0, float("inf"))),
)
COS: Final = unary(
    "cos",
    math.cos,
    tangent=lambda t, y, x: -term.scale(t, term.make(SIN, x)),
    points=Points(edges=(0.0, float("inf"))),
)
POW: Final = binary(
    "pow",
    _float_or_int_power,
    dtypes=NUMBERS,
    tangents=(
        lambda t, z, x, y: term.scale(t, _power_slope(x, y)),
        lambda t, z, x, y: term.scale(t, _exponent_slope(z, x, y)),
    ),
    points=Points((0.2, 3.0), (0.0, 1.0)),
)
