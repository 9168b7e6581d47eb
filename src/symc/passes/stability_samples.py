"""Examples and near misses of the rows on sums of exponentials, whose views are not any views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from symc.ir import ops, term
from symc.ir.dims import Size
from symc.ir.term import Term
from symc.passes.draw import Draw

ROWS: Final = (3,)


def hand_written_shift(d: Draw) -> Term:
    """e^(x - max x) / sum(e^(x - max x)), which cannot overflow."""
    x = d.input(d.shape(2))
    axes = d.axes(2)
    kept = [axis for axis in range(2) if axis not in axes]
    largest = term.make(ops.MAX, x, axes=axes).broadcast(x.shape, kept)
    raised = term.make(ops.EXP, x - largest)
    return raised / raised.sum(axes).broadcast(x.shape, kept)


def growing(d: Draw) -> Term:
    """A sum of exponentials, or a product with one."""
    total = exp(d.input((3, d.size()))).sum((1,))
    return total if d.flip() else total * exp(d.input(ROWS))


def quotients(d: Draw, weighted: bool, divisor: Callable[[Term], Term]) -> Term:
    """log(sum(w e^x / y)), y one number for each sum."""
    x = d.input(d.shape(2))
    per_row = divisor(d.input(x.shape[:1])).broadcast(x.shape, (0,))
    shares = term.make(ops.EXP, x) / per_row
    if weighted:
        shares = term.make(ops.ABS, d.input(x.shape)) * shares
    return term.make(ops.LOG, shares.sum((1,)))


def exp(x: Term) -> Term:
    """e^x."""
    return term.make(ops.EXP, x)


def log(x: Term) -> Term:
    """log x."""
    return term.make(ops.LOG, x)


def itself(x: Term) -> Term:
    """x itself."""
    return x


def doubled(d: Draw) -> Term:
    """log(2 x), which is near 0 where its parts are not."""
    x = d.input(d.shape())
    return log(d.constant(2.0, x) * x)


def positive_weights(d: Draw, computed: bool) -> Term:
    """log(sum(|w| e^x)): sums of both signs may cancel, and then nothing is accurate."""
    x = d.input(d.shape(2))
    x = -x if computed else x
    return log((term.make(ops.ABS, d.input(x.shape)) * exp(x)).sum(d.axes(2)))


def limited(d: Draw) -> Term:
    """A weighted sum whose exponents cannot overflow."""
    x = d.input(d.shape(2))
    kept = term.make(ops.MINIMUM, x, d.constant(80.0, x))
    return term.make(ops.LOG, (d.input(x.shape) * exp(kept)).sum((1,)))


def sum_of_products(d: Draw) -> Term:
    """log of two or three terms, each with an exponential."""
    x, y, z = (d.input(shape) for shape in [d.shape()] * 3)
    parts = [exp(x), d.constant(d.choose((0.5, 2.0)), x) * exp(y), exp(z) / exp(x)]
    return term.make(ops.LOG, parts[d.integer(1, 2)] + parts[0] + parts[1])


def sum_of_unknown_signs(d: Draw) -> Term:
    """log(z e^y + e^x), where z may be negative."""
    x, y, z = (d.input(shape) for shape in [d.shape()] * 3)
    return term.make(ops.LOG, z * exp(y) + exp(x))


def summed(d: Draw) -> Term:
    """log(sum(e^x)) over some axes."""
    x = d.input(d.shape())
    return term.make(ops.LOG, term.make(ops.EXP, x).sum(d.axes(x.rank)))


def of_nothing(d: Draw) -> Term:
    """log(sum(e^x)) of no elements."""
    x = d.input((2, 0))
    return term.make(ops.LOG, term.make(ops.EXP, x).sum((1,)))


def weighted_nothing(d: Draw) -> Term:
    """log(sum(|w| e^x)) of no elements."""
    x = d.input((2, 0))
    return log((term.make(ops.ABS, d.input(x.shape)) * exp(x)).sum((1,)))


def shares_of_nothing(d: Draw) -> Term:
    """log(sum(e^x / e^y)) of no elements."""
    x = d.input((2, 0))
    return log((exp(x) / exp(d.input((2,))).broadcast(x.shape, (0,))).sum((1,)))


def normalised(d: Draw, over: bool, *, empty: bool = False) -> Term:
    """e^x / sum(e^x), or times the reciprocal of the sum."""
    x = d.input((2, 0) if empty else d.shape())
    axes = (1,) if empty else d.axes(x.rank)
    kept = [axis for axis in range(x.rank) if axis not in axes]
    raised = term.make(ops.EXP, x)
    total = raised.sum(axes).broadcast(x.shape, kept)
    return raised / total if over else raised * (1.0 / total)


def log_normaliser(d: Draw, written: bool) -> Term:
    """x - (shift + log(sum)), as it is written and as the table makes it."""
    x = d.input(d.shape(2))
    shift = term.make(ops.STOP_GRADIENT, term.make(ops.MAX, x, axes=(1,)))
    raised = term.make(ops.EXP, x - shift.broadcast(x.shape, (0,)))
    if written:
        rest = term.make(ops.LOG, raised.sum((1,)))
    else:
        rest = term.make(ops.LOG1P, shift)
    return x - (shift + rest).broadcast(x.shape, (0,))


def weighted(d: Draw, weight: Callable[[Sequence[Size]], Term]) -> Term:
    """e^x times a weight, in either order."""
    x = d.input(d.shape())
    raised = term.make(ops.EXP, x)
    weights = term.make(ops.CAST, weight(x.shape), dtype=x.dtype)
    return weights * raised if d.flip() else raised * weights


def no_shift(d: Draw) -> Term:
    """x - (y + log x), where y is no shift."""
    x, y = d.input(shape := d.shape(2)), d.input(shape)
    return x - (y + term.make(ops.LOG, x))


def share_of_terms(d: Draw) -> Term:
    """One exponential over a sum of three."""
    shape = d.shape()
    x, y, z = (exp(d.input(shape)) for _ in range(3))
    return d.choose((x, y, exp(d.input(shape)))) / (x + (y + z))


def share_of_unknown_signs(d: Draw) -> Term:
    """A sum that may be negative, or 0."""
    shape = d.shape()
    x, y = (exp(d.input(shape)) for _ in range(2))
    return x / (x + y * d.input(shape))
