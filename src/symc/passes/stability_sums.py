"""Rows of the stability table for sums of exponentials: softmax, its logarithm, log-sum-exp.

All shift by the largest element, whose exponential is then 1.  No derivative passes the shift: the
results do not depend on it.  A row knows a shift that is there already, from whoever wrote it, and
does not shift again.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

import numpy as np

from symc.ir import ops
from symc.ir.core import Node
from symc.ir.term import Term
from symc.ir.types import BOOL
from symc.passes import stability_samples as samples
from symc.passes.pattern import Apply, Either, Hole, Match, Pattern, Rule
from symc.passes.stability_patterns import (
    ONE,
    ZERO,
    X,
    Y,
    add,
    below_views,
    div,
    exp,
    log,
    log_of,
    mul,
    row,
    sub,
)
from symc.passes.stability_shifts import (
    as_shift,
    is_less_shift,
    is_shift,
    is_shifted,
    largest_along,
    spread,
    summed_axes,
)
from symc.passes.stability_signs import grows, not_negative

# A longer sum is worth an array and a sum over it.
_MOST_TERMS = 16


def _total(x: Pattern, name: str = "total") -> Apply:
    return Apply(ops.SUM, (x,), name=name)


def _log_of_shifted(m: Match, x: Term, axes: tuple[int, ...]) -> Term:
    """log(sum(e^x)) where the largest x is 0 (or all are not finite).

    The ones are taken out of the sum, so that what is far below 1 is not lost beside them.
    """
    zero = m.make(ops.EQ, x, m.constant(0.0, x))
    raised = m.make(ops.EXP, x)
    ones = m.make(ops.CAST, zero, dtype=x.dtype)
    rest = m.make(ops.SUM, m.make(ops.SUB, raised, ones), axes=axes)
    return _log_of_ones_and_rest(m, m.make(ops.SUM, ones, axes=axes), rest)


def _log_of_ones_and_rest(m: Match, count: Term, rest: Term) -> Term:
    """log(count + rest), where a count of 1 does not drown the rest."""
    beside = m.make(ops.SUB, count, m.constant(1.0, count))
    return m.make(ops.LOG1P, m.make(ops.ADD, rest, beside))


def _wide(m: Match, x: Term) -> Term:
    """`x` in the dtype of the root where that has more bits."""
    wider = m.type.dtype.itemsize > x.dtype.itemsize
    return m.make(ops.CAST, x, dtype=m.type.dtype) if wider else x


def _log_of_sum_of_exp(m: Match) -> Term:
    x, axes = _wide(m, m["x"]), summed_axes(m.named("total"))
    if is_shifted(m, x.value, axes):
        return m.moved("total", _log_of_shifted(m, x, axes))
    shift = largest_along(m, x, axes)
    away = m.make(ops.SUB, x, spread(m, shift, x, axes))
    rest = m.moved("total", _log_of_shifted(m, away, axes))
    return m.make(ops.ADD, m.moved("total", shift), rest)


def _not_empty(m: Match) -> bool:
    node = m.named("total")
    shape = node.operands[0].type.shape
    return all(shape[axis] != 0 for axis in summed_axes(node))


def _softmax(m: Match) -> Term:
    """e^x / sum(e^y) with both exponents less the largest y."""
    x, y, axes = m["x"], _wide(m, m["y"]), summed_axes(m.named("total"))
    shift = largest_along(m, y, axes)
    raised = m.make(ops.EXP, m.make(ops.SUB, y, spread(m, shift, y, axes)))
    total = m.moved("total", m.make(ops.SUM, raised, axes=axes))
    above = m.make(ops.EXP, m.make(ops.SUB, x, m.moved("total", shift)))
    return m.make(ops.DIV, above, total)


def _not_shifted(m: Match) -> bool:
    return _not_empty(m) and not is_shifted(m, m.places["y"].value, summed_axes(m.named("total")))


def _logaddexp(m: Match) -> Term:
    """high + softplus(low - high), with an infinite high not taken off."""
    return _added(m, m["x"], m["y"])


def _added(m: Match, x: Term, y: Term) -> Term:
    first = m.make(ops.GT, x, y)
    high, low = m.make(ops.WHERE, first, x, y), m.make(ops.WHERE, first, y, x)
    finite = m.make(ops.ISFINITE, high)
    taken = m.make(ops.WHERE, finite, high, m.constant(0.0))
    return m.make(ops.ADD, high, m.make(ops.SOFTPLUS, m.make(ops.SUB, low, taken)))


def _less_shift_first(m: Match) -> Term:
    """(x - shift) - rest: the two large terms meet before anything small is added."""
    return m.make(ops.SUB, m.make(ops.SUB, m["x"], m["s"]), m["r"])


def _takes_off_a_shift(m: Match) -> bool:
    return is_shift(m, m.places["s"].value)


def _masked(m: Match) -> Term:
    low = m.constant(-float("inf"))
    return m.make(ops.EXP, m.make(ops.WHERE, m["mask"], m["x"], low))


def _is_mask(node: Node) -> bool:
    return node.operands[0].type.dtype == BOOL


def _log_of_weighted(m: Match, x: Term) -> Term:
    """log(sum(w e^x)): the largest x of those that count is taken out.

    What does not count may lie far above it: kept where it does not overflow, times 0.
    """
    w, axes = m["w"], summed_axes(m.named("total"))
    counts = m.make(ops.NE, w, m.constant(0.0, w))
    shift = largest_along(m, m.make(ops.WHERE, counts, x, m.constant(-float("inf"), x)), axes)
    away = m.make(ops.SUB, x, spread(m, shift, x, axes))
    limit = m.constant(np.floor(np.log(np.finfo(x.dtype).max)) - 1, x)
    raised = m.make(ops.EXP, m.make(ops.MINIMUM, away, limit))
    total = m.make(ops.SUM, m.make(ops.MUL, w, raised), axes=axes)
    made = m.make(ops.ADD, shift, m.make(ops.LOG, total))
    return m.moved("total", made)


def _log_of_weighted_sum(m: Match) -> Term:
    return _log_of_weighted(m, m["x"])


def _log_of_weighted_quotients(m: Match) -> Term:
    return _log_of_weighted(m, m.make(ops.SUB, m["x"], log_of(m, "y")))


def _not_limited(m: Match) -> bool:
    node = m.behind(m.places["x"].value)
    return _not_empty(m) and (node is None or node.op is not ops.MINIMUM)


def _divides_by_no_less_than_zero(m: Match) -> bool:
    return _not_empty(m) and not_negative(m, m.places["y"].value)


def _log_of_sum_of_quotients(m: Match) -> Term:
    away = m.make(ops.SUB, m["x"], log_of(m, "y"))
    total = m.make(ops.SUM, m.make(ops.EXP, away), axes=summed_axes(m.named("total")))
    return m.moved("total", m.make(ops.LOG, total))


def _log_of_terms(m: Match) -> Term:
    """log(t1 + t2 + ...) from the logarithms of the terms; of more than two, less the largest."""
    logs = [below_views(m, term, lambda x: m.make(ops.LOG, x)) for term in _terms(m)]
    if len(logs) == 2:
        return _added(m, *logs)
    largest = reduce(lambda x, y: m.make(ops.MAXIMUM, x, y), logs)
    shift = as_shift(m, largest)
    zero = m.constant(0.0)
    rest, count = [], []
    for one in logs:
        away = m.make(ops.SUB, one, shift)
        count.append(m.make(ops.CAST, m.make(ops.EQ, away, zero), dtype=away.dtype))
        rest.append(m.make(ops.SUB, m.make(ops.EXP, away), count[-1]))
    total, ones = (reduce(lambda x, y: m.make(ops.ADD, x, y), parts) for parts in (rest, count))
    return m.make(ops.ADD, shift, _log_of_ones_and_rest(m, ones, total))


def _terms(m: Match) -> list[Term]:
    """The terms of the sum, in order, through the additions directly below."""
    terms: list[Term] = []
    todo = [m["y"], m["x"]]
    while todo:
        found = todo.pop()
        node = m.behind(found.value)
        if node is not None and node.op is ops.ADD and len(todo) + len(terms) < _MOST_TERMS:
            todo += [Term(operand) for operand in reversed(node.operands)]
        else:
            terms.append(found)
    return terms


def _over_terms(m: Match) -> Term:
    """e^z / (t1 + t2 + ...), with every exponent less the largest logarithm of a term."""
    logs = [below_views(m, term, lambda x: m.make(ops.LOG, x)) for term in _terms(m)]
    shift = as_shift(m, reduce(lambda x, y: m.make(ops.MAXIMUM, x, y), logs))
    raised = [m.make(ops.EXP, m.make(ops.SUB, one, shift)) for one in (m["z"], *logs)]
    return m.make(ops.DIV, raised[0], reduce(lambda x, y: m.make(ops.ADD, x, y), raised[1:]))


def _grow_unshifted(m: Match) -> bool:
    return _both_grow(m) and not is_less_shift(m, m.places["z"].value)


def _both_grow(m: Match) -> bool:
    """Whether both are positive and made of exponentials, so that their logs are better."""
    pair = (m.places["x"].value, m.places["y"].value)
    return grows(m, *pair) and all(not_negative(m, x) for x in pair)


def _first_grows(m: Match) -> bool:
    x = m.places["x"].value
    return grows(m, x) and not_negative(m, x)


_S, _W, _MASK = Hole("s"), Hole("w"), Hole("mask")
_REST = Either((Apply(ops.LOG, (Hole("l"),), name="r"), Apply(ops.LOG1P, (Hole("l"),), name="r")))

SUMS: Final[tuple[Rule, ...]] = (
    row(
        "log_of_sum_of_exp",
        log(_total(exp(X))),
        _log_of_sum_of_exp,
        _not_empty,
        examples=(samples.summed,),
        near=(samples.of_nothing,),
    ),
    row(
        "log_of_sum_of_exp_over",
        log(_total(div(exp(X), Y))),
        _log_of_sum_of_quotients,
        _divides_by_no_less_than_zero,
        examples=(lambda d: samples.quotients(d, False, samples.exp),),
        near=(lambda d: samples.quotients(d, False, samples.itself), samples.shares_of_nothing),
    ),
    row(
        "log_of_weighted_sum_of_exp",
        log(_total(mul(exp(X), _W))),
        _log_of_weighted_sum,
        _not_limited,
        examples=(
            lambda d: samples.positive_weights(d, False),
            lambda d: samples.positive_weights(d, True),
        ),
        near=(samples.limited, samples.weighted_nothing),
    ),
    row(
        "log_of_weighted_sum_of_exp_over",
        log(_total(mul(div(exp(X), Y), _W))),
        _log_of_weighted_quotients,
        _divides_by_no_less_than_zero,
        examples=(lambda d: samples.quotients(d, True, samples.exp),),
        near=(lambda d: samples.quotients(d, True, samples.itself),),
    ),
    row(
        "exp_over_sum_of_exp",
        div(exp(X), _total(exp(Y))),
        _softmax,
        _not_shifted,
        examples=(lambda d: samples.normalised(d, True),),
        near=(samples.hand_written_shift, lambda d: samples.normalised(d, True, empty=True)),
    ),
    row(
        "exp_times_reciprocal_of_sum",
        mul(exp(X), div(ONE, _total(exp(Y)))),
        _softmax,
        _not_shifted,
        examples=(lambda d: samples.normalised(d, False),),
        near=(lambda d: samples.normalised(d, False, empty=True),),
    ),
    row("log_of_two_exps", log(add(exp(X), exp(Y))), _logaddexp),
    row(
        "less_shift_first",
        sub(X, add(_S, _REST)),
        _less_shift_first,
        _takes_off_a_shift,
        examples=(
            lambda d: samples.log_normaliser(d, True),
            lambda d: samples.log_normaliser(d, False),
        ),
        near=(samples.no_shift,),
    ),
    row("exp_where", Apply(ops.WHERE, (_MASK, exp(X), ZERO)), _masked),
    row(
        "exp_times_mask",
        mul(exp(X), Apply(ops.CAST, (_MASK,), _is_mask)),
        _masked,
        examples=(lambda d: samples.weighted(d, d.mask),),
        near=(lambda d: samples.weighted(d, d.input),),
    ),
)

# After the rows on what is exactly an exponential.
GROWING: Final[tuple[Rule, ...]] = (
    row(
        "log_of_sum_that_grows",
        log(add(X, Y)),
        _log_of_terms,
        _both_grow,
        examples=(samples.sum_of_products,),
        near=(samples.sum_of_unknown_signs,),
    ),
    row(
        "log_of_product_that_grows",
        log(mul(X, Y)),
        lambda m: m.make(ops.ADD, log_of(m, "x"), log_of(m, "y")),
        _first_grows,
        examples=(lambda d: samples.log(samples.growing(d) * d.input(samples.ROWS)),),
        near=(
            lambda d: samples.log(d.input(samples.ROWS) * d.input(samples.ROWS)),
            samples.doubled,
        ),
    ),
    row(
        "log_of_quotient_that_grows",
        log(div(X, Y)),
        lambda m: m.make(ops.SUB, log_of(m, "x"), log_of(m, "y")),
        _first_grows,
        examples=(lambda d: samples.log(samples.growing(d) / d.input(samples.ROWS)),),
        near=(
            lambda d: samples.log(d.input(samples.ROWS) / d.input(samples.ROWS)),
            lambda d: samples.log(2.0 / d.input(samples.ROWS)),
        ),
    ),
    row(
        "log_of_quotient_by_what_grows",
        log(div(Y, X)),
        lambda m: m.make(ops.SUB, log_of(m, "y"), log_of(m, "x")),
        _first_grows,
        examples=(lambda d: samples.log(d.input(samples.ROWS) / samples.growing(d)),),
        near=(
            lambda d: samples.log(
                d.input(samples.ROWS) / (d.input(samples.ROWS) * samples.exp(d.input(samples.ROWS)))
            ),
        ),
    ),
)

# After the rows on sigmoids, which are such quotients too.
SHARES: Final[tuple[Rule, ...]] = (
    row(
        "exp_over_sum_that_grows",
        div(exp(Hole("z")), add(X, Y)),
        _over_terms,
        _grow_unshifted,
        examples=(samples.share_of_terms,),
        near=(samples.share_of_unknown_signs,),
    ),
)
