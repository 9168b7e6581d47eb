"""Rows of the stability table for elementwise functions of one value.

Rows are tried in order, most special first; what lies below a node has been rewritten before it,
so a row meets `1 - sigmoid(x)` as `sigmoid(-x)` and `exp(x) - 1` as `expm1(x)`.
"""

from __future__ import annotations

from typing import Final

from symc.ir import ops, term
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.passes.draw import Draw
from symc.passes.pattern import Apply, Const, Either, Match, Rule
from symc.passes.stability_patterns import (
    MINUS_ONE,
    ONE,
    X,
    Y,
    add,
    div,
    exp,
    expm1,
    hole,
    log,
    log1p,
    log_of,
    minus,
    minus_of,
    mul,
    neg,
    negated,
    of,
    of_minus,
    one_minus,
    plus_one,
    row,
    sigmoid,
    softplus,
    sub,
    tanh,
)
from symc.passes.uniform import scalar_constant

_LN2 = 0.6931471805599453
_TWO = Const(2.0)


def _log_one_minus_exp(m: Match) -> Term:
    """log(1 - e^x): from e^x - 1 near 0, from e^x far below.

    Each side is kept where it is accurate, which also tells this row not to apply again.
    """
    x = m["x"]
    near, far = m.make(ops.MAXIMUM, x, m.constant(-1.0)), m.make(ops.MINIMUM, x, m.constant(-0.5))
    above = m.make(ops.LOG, m.make(ops.NEG, m.make(ops.EXPM1, near)))
    below = m.make(ops.LOG1P, m.make(ops.NEG, m.make(ops.EXP, far)))
    return m.make(ops.WHERE, m.make(ops.GT, x, m.constant(-_LN2)), above, below)


def _log_exp_minus_one(m: Match) -> Term:
    """log(e^x - 1): x + log(1 - e^-x) above 1, where e^x may overflow."""
    x = m["x"]
    near, far = m.make(ops.MINIMUM, x, m.constant(2.0)), m.make(ops.MAXIMUM, x, m.constant(0.5))
    above = m.make(ops.LOG1P, m.make(ops.NEG, m.make(ops.EXP, _minus_kept(m, far))))
    below = m.make(ops.LOG, m.make(ops.EXPM1, near))
    return m.make(ops.WHERE, m.make(ops.GT, x, m.constant(1.0)), m.make(ops.ADD, x, above), below)


def _minus_kept(m: Match, x: Term) -> Term:
    return m.make(ops.MINIMUM, m.make(ops.NEG, x), m.constant(-0.5))


def _kept(m: Match, op: Op, limit: float) -> bool:
    """Whether the hole is the smaller (or larger) of something and a constant up to `limit`."""
    node = m.behind(m.places["x"].value)
    if node is None or node.op is not op:
        return False
    found = [scalar_constant(operand) for operand in node.operands]
    sign = 1 if op is ops.MAXIMUM else -1
    return any(number is not None and sign * number >= sign * limit for number in found)


def _not_kept_high(m: Match) -> bool:
    return not _kept(m, ops.MAXIMUM, -1.0)


def _not_kept_low(m: Match) -> bool:
    return not _kept(m, ops.MINIMUM, -0.5)


def _not_below_two(m: Match) -> bool:
    return not _kept(m, ops.MINIMUM, 2.0)


def _minus_softplus_of_minus(m: Match) -> Term:
    return m.make(ops.NEG, m.make(ops.SOFTPLUS, minus(m, m["x"])))


def _twice_log_of_size(m: Match) -> Term:
    return m.make(ops.MUL, m.constant(2.0), m.make(ops.LOG, m.make(ops.ABS, m["x"])))


def _half(m: Match, x: Term) -> Term:
    return m.make(ops.MUL, m.constant(0.5), x)


def _tanh_of_half(m: Match) -> Term:
    return m.make(ops.TANH, _half(m, m["x"]))


def _tanh_of_minus_half(m: Match) -> Term:
    return m.make(ops.NEG, _tanh_of_half(m))


def _twice_sigmoid_of_twice(m: Match) -> Term:
    two = m.constant(2.0)
    return m.make(ops.MUL, two, m.make(ops.SIGMOID, m.make(ops.MUL, two, m["x"])))


def _twice_sigmoid_of_minus_twice(m: Match) -> Term:
    twice = m.make(ops.MUL, m.constant(-2.0), m["x"])
    return m.make(ops.MUL, m.constant(2.0), m.make(ops.SIGMOID, twice))


def _difference_of_expm1(m: Match) -> Term:
    x = m["x"]
    return m.make(ops.SUB, m.make(ops.EXPM1, x), m.make(ops.EXPM1, minus(m, x)))


def _power(exponent: float) -> Apply:
    return Apply(ops.POW, (X, Const(exponent)))


def _below_log(d: Draw, inner: Op, outer: Op, bound: Op, limit: float) -> Term:
    """log(1 - e^x) for an x that is known to lie on the side where it is accurate as it is."""
    x = d.input(d.shape())
    kept = term.make(bound, x, d.constant(limit, x))
    return term.make(outer, -term.make(inner, kept))


def _log_of_kept_expm1(d: Draw) -> Term:
    x = d.input(d.shape())
    kept = term.make(ops.MINIMUM, x, d.constant(1.0, x))
    return term.make(ops.LOG, term.make(ops.EXPM1, kept))


_EXPS = Either((sub(exp(X), exp(negated(X))), sub(expm1(X), expm1(negated(X)))))

LOGS: Final[tuple[Rule, ...]] = (
    row("log_of_exp", log(exp(X)), hole("x")),
    row("log1p_of_expm1", log1p(expm1(X)), hole("x")),
    row("log_of_one_plus_exp", log(plus_one(exp(X))), of(ops.SOFTPLUS)),
    row("log1p_of_exp", log1p(exp(X)), of(ops.SOFTPLUS)),
    row("log_of_sigmoid", log(sigmoid(X)), _minus_softplus_of_minus),
    row(
        "log_of_minus_expm1",
        log(negated(expm1(X))),
        _log_one_minus_exp,
        _not_kept_high,
        near=(lambda d: _below_log(d, ops.EXPM1, ops.LOG, ops.MAXIMUM, -1.0),),
    ),
    row(
        "log1p_of_minus_exp",
        log1p(negated(exp(X))),
        _log_one_minus_exp,
        _not_kept_low,
        near=(lambda d: _below_log(d, ops.EXP, ops.LOG1P, ops.MINIMUM, -0.5),),
    ),
    row(
        "log_of_expm1",
        log(expm1(X)),
        _log_exp_minus_one,
        _not_below_two,
        near=(_log_of_kept_expm1,),
    ),
    row("log_of_one_plus", log(plus_one(X)), of(ops.LOG1P)),
    row("log_of_one_minus", log(one_minus(X)), of_minus(ops.LOG1P)),
    row(
        "log_of_exp_over",
        log(div(exp(X), Y)),
        lambda m: m.make(ops.SUB, m["x"], log_of(m, "y")),
    ),
    row(
        "log_of_over_exp",
        log(div(Y, exp(X))),
        lambda m: m.make(ops.SUB, log_of(m, "y"), m["x"]),
    ),
    row(
        "log_of_exp_times",
        log(mul(exp(X), Y)),
        lambda m: m.make(ops.ADD, m["x"], log_of(m, "y")),
    ),
    row(
        "log_of_sigmoid_over",
        log(div(sigmoid(X), Y)),
        lambda m: m.make(ops.SUB, _minus_softplus_of_minus(m), log_of(m, "y")),
    ),
    row("log_of_square", log(mul(X, X)), _twice_log_of_size),
)

EXPONENTIALS: Final[tuple[Rule, ...]] = (
    row("exp_minus_one", sub(exp(X), ONE), of(ops.EXPM1)),
    row("exp_plus_minus_one", add(exp(X), MINUS_ONE), of(ops.EXPM1)),
    row("one_minus_exp", sub(ONE, exp(X)), minus_of(ops.EXPM1)),
    row("one_plus_minus_exp", add(ONE, negated(exp(X))), minus_of(ops.EXPM1)),
    row("exp_minus_exp_of_minus", sub(exp(X), exp(negated(X))), _difference_of_expm1),
)

SIGMOIDS: Final[tuple[Rule, ...]] = (
    row(
        "reciprocal_of_one_plus_exp_of_minus",
        div(ONE, plus_one(exp(negated(X)))),
        of(ops.SIGMOID),
    ),
    row("reciprocal_of_one_plus_exp", div(ONE, plus_one(exp(X))), of_minus(ops.SIGMOID)),
    row("exp_over_one_plus_exp", div(exp(X), plus_one(exp(X))), of(ops.SIGMOID)),
    row(
        "exp_over_sum_of_two",
        div(exp(X), add(exp(X), exp(Y))),
        lambda m: m.make(ops.SIGMOID, m.make(ops.SUB, m["x"], m["y"])),
    ),
    row("tanh_of_exps", div(_EXPS, add(exp(X), exp(negated(X)))), of(ops.TANH)),
    row("tanh_of_expm1", div(expm1(X), plus_one(exp(X))), _tanh_of_half),
    row("tanh_of_minus_expm1", div(negated(expm1(X)), plus_one(exp(X))), _tanh_of_minus_half),
    row(
        "over_one_plus_exp",
        div(Y, plus_one(exp(X))),
        lambda m: m.make(ops.MUL, m["y"], m.make(ops.SIGMOID, minus(m, m["x"]))),
    ),
    row("one_minus_sigmoid", sub(ONE, sigmoid(X)), of_minus(ops.SIGMOID)),
    row("one_plus_minus_sigmoid", add(ONE, negated(sigmoid(X))), of_minus(ops.SIGMOID)),
    row(
        "sigmoid_minus_one",
        sub(sigmoid(X), ONE),
        lambda m: m.make(ops.NEG, m.make(ops.SIGMOID, minus(m, m["x"]))),
    ),
    row(
        "sigmoid_plus_minus_one",
        add(sigmoid(X), MINUS_ONE),
        lambda m: m.make(ops.NEG, m.make(ops.SIGMOID, minus(m, m["x"]))),
    ),
    row("exp_times_sigmoid_of_minus", mul(exp(X), sigmoid(negated(X))), of(ops.SIGMOID)),
    row("exp_of_minus_times_sigmoid", mul(exp(negated(X)), sigmoid(X)), of_minus(ops.SIGMOID)),
    row("sigmoid_over_exp", div(sigmoid(X), exp(X)), of_minus(ops.SIGMOID)),
    row("odds_of_sigmoid", div(sigmoid(X), sigmoid(negated(X))), of(ops.EXP)),
    row("twice_sigmoid_minus_one", sub(mul(_TWO, sigmoid(X)), ONE), _tanh_of_half),
    row("one_minus_twice_sigmoid", sub(ONE, mul(_TWO, sigmoid(X))), _tanh_of_minus_half),
    row("one_plus_tanh", add(ONE, tanh(X)), _twice_sigmoid_of_twice),
    row("one_minus_tanh", sub(ONE, tanh(X)), _twice_sigmoid_of_minus_twice),
)

SOFTPLUSES: Final[tuple[Rule, ...]] = (
    row("softplus_minus_itself", sub(softplus(X), X), of_minus(ops.SOFTPLUS)),
    row("value_minus_softplus", sub(X, softplus(X)), _minus_softplus_of_minus),
    row("softplus_plus_minus_value", add(softplus(X), negated(X)), of_minus(ops.SOFTPLUS)),
    row("softplus_of_minus_plus_value", add(softplus(negated(X)), X), of(ops.SOFTPLUS)),
    row("value_plus_minus_softplus", add(X, neg(softplus(X))), _minus_softplus_of_minus),
    row("value_minus_log_sigmoid", sub(X, neg(softplus(negated(X)))), of(ops.SOFTPLUS)),
    row("log_sigmoid_minus_value", sub(neg(softplus(negated(X))), X), minus_of(ops.SOFTPLUS)),
    row("softplus_difference", sub(softplus(X), softplus(negated(X))), hole("x")),
    row(
        "log_odds_of_sigmoid",
        sub(neg(softplus(negated(X))), neg(softplus(X))),
        hole("x"),
    ),
)

# No gain in themselves, and no bit changed: one way of writing a sign is enough for the others.
SIGNS: Final[tuple[Rule, ...]] = (
    row("minus_minus", neg(neg(X)), hole("x")),
    row("minus_one_times", mul(MINUS_ONE, X), of(ops.NEG)),
    row("over_minus_one", div(X, MINUS_ONE), of(ops.NEG)),
)

POWERS: Final[tuple[Rule, ...]] = (
    row("power_0", _power(0.0), lambda m: m.constant(1.0)),
    row("power_1", _power(1.0), hole("x")),
    row("power_2", _power(2.0), lambda m: m.make(ops.MUL, m["x"], m["x"])),
    row("power_half", _power(0.5), of(ops.SQRT)),
    row("power_minus_1", _power(-1.0), lambda m: m.make(ops.DIV, m.constant(1.0), m["x"])),
    row("sqrt_of_square", Apply(ops.SQRT, (mul(X, X),)), of(ops.ABS)),
)
