"""Floor division and remainder of lanes, as Python and NumPy define them.

Integers are the builder's.  Floats: the remainder is exact (that of fmod, moved to the sign of the
divisor), the quotient is the whole number that belongs to it.  x mod 0 is NaN, x floordiv 0 is x/0;
a zero remainder has the divisor's sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# One step takes `bits` bits off the quotient, exactly.  The quotient of two floats may be far above
# the largest float, so multiples 2**k of the divisor are taken out first, for the k listed with the
# number of steps that they need.
_BITS = {np.dtype(np.float32): 24, np.dtype(np.float64): 53}
_STAGES = {
    np.dtype(np.float32): ((150, 6), (75, 4), (0, 4)),
    np.dtype(np.float64): ((1080, 20), (540, 11), (0, 11)),
}


def floordiv(b: Any, x: Any, y: Any) -> Any:
    """The largest whole number not above x / y."""
    if b.dtype(x).kind != "f":
        return b.floordiv(x, y)
    zero = b.const(0, b.dtype(x))
    quotient, rest = _magnitudes(b, x, y)
    signed = b.copysign(quotient, b.div(x, y))
    below = b.select(_apart(b, rest, x, y), b.sub(signed, b.const(1, b.dtype(x))), signed)
    result = b.select(b.ne(rest, rest), rest, below)
    return b.select(b.eq(y, zero), b.div(x, y), result)


def mod(b: Any, x: Any, y: Any) -> Any:
    """x - y * floordiv(x, y), exactly, with the sign of y."""
    if b.dtype(x).kind != "f":
        return b.mod(x, y)
    zero = b.const(0, b.dtype(x))
    _, rest = _magnitudes(b, x, y)
    signed = b.copysign(rest, x)
    moved = b.select(_apart(b, rest, x, y), b.add(signed, y), signed)
    return b.select(b.eq(moved, zero), b.copysign(zero, y), moved)


def _apart(b: Any, rest: Any, x: Any, y: Any) -> Any:
    """Whether the remainder is not zero and the operands have opposite signs."""
    zero = b.const(0, b.dtype(x))
    return b.band(b.ne(rest, zero), b.bxor(b.lt(x, zero), b.lt(y, zero)))


def _magnitudes(b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Truncated quotient and exact remainder of |x| and |y|; NaN for |x| infinite or y zero."""
    dtype = b.dtype(x)
    above, below = b.abs(x), b.abs(y)
    quotient = b.trunc(b.div(above, below))
    rest = b.fma(b.neg(quotient), below, above)
    # Rounding may have carried the quotient up to the next whole number.
    over = b.lt(rest, b.const(0, dtype))
    quotient = b.select(over, b.sub(quotient, b.const(1, dtype)), quotient)
    rest = b.select(over, b.add(rest, below), rest)
    infinite = b.eq(below, b.const(float("inf"), dtype))
    rest = b.select(b.band(infinite, b.lt(above, below)), above, rest)
    large = b.ge(quotient, b.const(2.0 ** _BITS[dtype], dtype))
    quotient, rest = b.rare(large, (quotient, rest), _long_division, (above, below))
    return quotient, rest


def _long_division(b: Any, above: Any, below: Any) -> tuple[Any, Any]:
    """Quotient and remainder when the quotient has more digits than a float.

    x - q*y is a float when q is x/y rounded (Muller et al., Handbook of Floating-Point Arithmetic,
    section 4.4), and q is a whole number here, so each step is exact.
    """
    dtype = b.dtype(above)
    zero, infinity = b.const(0, dtype), b.const(float("inf"), dtype)
    rest = above
    for power, steps in _STAGES[dtype]:
        half = b.const(2.0 ** (power // 2), dtype)
        divisor = b.mul(b.mul(below, half), half)
        usable = b.lt(divisor, infinity)
        for _ in range(steps):
            quotient = b.trunc(b.div(rest, divisor))
            rest = b.select(usable, b.fma(b.neg(quotient), divisor, rest), rest)
    rest = b.select(b.lt(rest, zero), b.add(rest, below), rest)
    return b.trunc(b.div(above, below)), rest
