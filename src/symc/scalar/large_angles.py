"""Reduction of large arguments modulo pi/2 (Payne and Hanek), exact to far beyond the last bit.

With |x| = m 2^e, only bits of 2/pi from weight 2^(2-e) down can matter modulo 4 turns of pi/2.  A
window of 192 of them times m, modulo 2^192, gives the fraction of a whole turn; its top two bits
(rounded) are the quadrant and the other bits, times 2 pi, the remainder.

Invariant: total.  Any lane may be given; small and non-finite ones give some value or NaN.
"""

from __future__ import annotations

from symc.scalar import coefficients as fitted
from symc.scalar.builder import F32, F64, I32, I64, Builder, Lanes
from symc.scalar.formats import fast_two_sum, two_sum

WINDOW = 6  # words of 32 bits
_LOW = 0xFFFFFFFF


def reduce_large(b: Builder, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Quadrant (an integer of x's width), high, and minus the low part."""
    if b.dtype(x) == F32:
        quadrant, high, minus_low = _reduce_f64(b, b.cast(x, F64))
        first = b.cast(high, F32)
        left = b.sub(minus_low, b.sub(high, b.cast(first, F64)))
        return b.cast(quadrant, I32), first, b.cast(left, F32)
    return _reduce_f64(b, x)


def _reduce_f64(b: Builder, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    bits = b.bitcast(b.abs(x), I64)
    # The window starts e - 2 bits after the point; two words of zeros stand before it.
    start = b.add(b.lsr(bits, 52), b.const(64 - 1075 - 2, I64))
    start = b.maximum(start, b.const(0, I64))
    fraction = b.band(bits, b.const((1 << 52) - 1, I64))
    mantissa = b.bor(fraction, b.const(1 << 52, I64))
    limbs = _product(b, mantissa, _window(b, start))
    top = b.bor(b.lsl(limbs[5], 32), limbs[4])
    quadrant = b.lsr(b.add(top, b.const(1 << 61, I64)), 62)
    high, low = _remainder(b, b.sub(top, b.lsl(quadrant, 62)), limbs)
    negative = b.lt(x, b.const(0.0, F64))
    finite = b.lt(b.abs(x), b.const(float("inf"), F64))
    high = b.select(finite, high, b.const(float("nan"), F64))
    return (
        b.select(negative, b.neg(quadrant), quadrant),
        b.select(negative, b.neg(high), high),
        b.select(negative, low, b.neg(low)),
    )


def _window(b: Builder, start: Lanes) -> list[Lanes]:
    """WINDOW words of 32 bits of 2/pi (in i64 lanes) from bit `start`, highest first."""
    index, shift = b.lsr(start, 5), b.band(start, b.const(31, I64))
    words = [
        b.table(fitted.TWO_OVER_PI, I64, b.add(index, b.const(i, I64))) for i in range(WINDOW + 1)
    ]
    pairs = [b.bor(b.lsl(words[i], 32), words[i + 1]) for i in range(WINDOW)]
    return [b.lsr(b.shift_left(pair, shift), 32) for pair in pairs]


def _product(b: Builder, mantissa: Lanes, window: list[Lanes]) -> list[Lanes]:
    """mantissa times the window modulo 2^192, as six limbs of 32 bits, lowest first."""
    mask = b.const(_LOW, I64)
    by_low = [b.mul(b.band(mantissa, mask), word) for word in reversed(window)]
    by_high = [b.mul(b.lsr(mantissa, 32), word) for word in reversed(window)]
    limbs: list[Lanes] = []
    carry = b.const(0, I64)
    for k in range(WINDOW):
        total = b.add(b.band(by_low[k], mask), carry)
        if k >= 1:
            total = b.add(total, b.add(b.lsr(by_low[k - 1], 32), b.band(by_high[k - 1], mask)))
        if k >= 2:
            total = b.add(total, b.lsr(by_high[k - 2], 32))
        limbs.append(b.band(total, mask))
        carry = b.lsr(total, 32)
    return limbs


def _remainder(b: Builder, top: Lanes, limbs: list[Lanes]) -> tuple[Lanes, Lanes]:
    """2 pi times (top 2^-64 + the next two limbs), as a pair; `top` is signed."""
    middle = b.band(top, b.const(_LOW, I64))
    parts = (b.asr(top, 32), middle, limbs[3], limbs[2])
    a, c, d, e = (
        b.mul(b.cast(part, F64), b.const(2.0 ** (-32 * (i + 1)), F64))
        for i, part in enumerate(parts)
    )
    first, first_low = fast_two_sum(b, a, c)
    second, second_low = fast_two_sum(b, d, e)
    turn, turn_low = two_sum(b, first, b.add(first_low, second))
    turn_low = b.add(turn_low, second_low)
    whole, whole_low = (b.const(part, F64) for part in fitted.TWO_PI)
    high = b.mul(turn, whole)
    low = b.fma(turn, whole, b.neg(high))
    low = b.add(low, b.fma(turn, whole_low, b.mul(turn_low, whole)))
    return fast_two_sum(b, high, low)
