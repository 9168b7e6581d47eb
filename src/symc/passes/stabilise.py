"""The stability table: expressions that come out more accurate than they were written.

before: any tensor function without calls.  after: the *defined* program: the patterns below stand
in their accurate form, and powers with small constant exponents in the form NumPy gives them.
These rows change bits; they run before anything is compared with the oracle, which evaluates the
result. Tested against mpmath.
"""

from __future__ import annotations

from symc.ir import ops
from symc.ir.core import Function, Node
from symc.ir.ops import attributes
from symc.ir.options import Options
from symc.ir.term import Term
from symc.ir.types import is_float
from symc.passes.pattern import Apply, Build, Const, Hole, Match, Pattern, Rule, RuleSet
from symc.passes.rewrite import Fired, rewrite

X = Hole("x")
Y = Hole("y")


def _exp(x: Pattern) -> Apply:
    return Apply(ops.EXP, (x,))


def _log(x: Pattern) -> Apply:
    return Apply(ops.LOG, (x,))


def _neg(x: Pattern) -> Apply:
    return Apply(ops.NEG, (x,))


def _sigmoid(x: Pattern) -> Apply:
    return Apply(ops.SIGMOID, (x,))


def _one_plus(x: Pattern) -> Apply:
    return Apply(ops.ADD, (Const(1.0), x))


def _one_minus(x: Pattern) -> Apply:
    return Apply(ops.SUB, (Const(1.0), x))


def _power(exponent: float) -> Apply:
    return Apply(ops.POW, (X, Const(exponent)))


def _float(m: Match) -> bool:
    return is_float(m.root.type.dtype)


def _row(name: str, left: Apply, right: Build) -> Rule:
    return Rule(name, left, right, licence="meaning", guard=_float)


def _under(m: Match) -> Node:
    """The node under the root."""
    node = m.node.operands[0].node
    assert node is not None
    return node


def _log_of_broadcast(m: Match) -> Term:
    return m.make(ops.BROADCAST, m.make(ops.LOG, m["x"]), **_under(m).attrs)


def _log_of_reshape(m: Match) -> Term:
    return m.make(ops.RESHAPE, m.make(ops.LOG, m["x"]), **_under(m).attrs)


def _log_of_sum_of_exp(m: Match) -> Term:
    """max + log(sum(exp(x - max))), with 0 for a maximum that is not finite."""
    x, axes = m["x"], attributes.integers(_under(m).attrs, "axes")
    largest = m.make(ops.MAX, x, axes=axes)
    finite = m.make(ops.ISFINITE, largest)
    shift = m.make(ops.WHERE, finite, largest, m.constant(0.0))
    kept = [axis for axis in range(x.rank) if axis not in axes]
    spread = m.make(ops.BROADCAST, shift, shape=x.shape, axes=tuple(kept))
    total = m.make(ops.SUM, m.make(ops.EXP, m.make(ops.SUB, x, spread)), axes=axes)
    return m.make(ops.ADD, shift, m.make(ops.LOG, total))


def _not_shifted(m: Match) -> bool:
    """Whether a sum of exponentials may overflow: not yet over `x - something`, nor empty."""
    x, axes = m["x"], attributes.integers(_under(m).attrs, "axes")
    shifted = x.value.node is not None and x.value.node.op is ops.SUB
    return _float(m) and not shifted and all(x.shape[axis] != 0 for axis in axes)


RULES = RuleSet(
    (
        _row("log_of_exp", _log(_exp(X)), lambda m: m["x"]),
        _row(
            "log_of_one_plus_exp",
            _log(_one_plus(_exp(X))),
            lambda m: m.make(ops.SOFTPLUS, m["x"]),
        ),
        _row(
            "log1p_of_exp",
            Apply(ops.LOG1P, (_exp(X),)),
            lambda m: m.make(ops.SOFTPLUS, m["x"]),
        ),
        _row(
            "log_of_sigmoid",
            _log(_sigmoid(X)),
            lambda m: m.make(ops.NEG, m.make(ops.SOFTPLUS, m.make(ops.NEG, m["x"]))),
        ),
        _row("log_of_one_plus", _log(_one_plus(X)), lambda m: m.make(ops.LOG1P, m["x"])),
        _row(
            "log_of_one_minus",
            _log(_one_minus(X)),
            lambda m: m.make(ops.LOG1P, m.make(ops.NEG, m["x"])),
        ),
        _row(
            "log_of_exp_over",
            _log(Apply(ops.DIV, (_exp(X), Y))),
            lambda m: m.make(ops.SUB, m["x"], m.make(ops.LOG, m["y"])),
        ),
        _row(
            "exp_minus_one",
            Apply(ops.SUB, (_exp(X), Const(1.0))),
            lambda m: m.make(ops.EXPM1, m["x"]),
        ),
        _row(
            "exp_plus_minus_one",
            Apply(ops.ADD, (_exp(X), Const(-1.0))),
            lambda m: m.make(ops.EXPM1, m["x"]),
        ),
        _row(
            "reciprocal_of_one_plus_exp_neg",
            Apply(ops.DIV, (Const(1.0), _one_plus(_exp(_neg(X))))),
            lambda m: m.make(ops.SIGMOID, m["x"]),
        ),
        _row(
            "reciprocal_of_one_plus_exp",
            Apply(ops.DIV, (Const(1.0), _one_plus(_exp(X)))),
            lambda m: m.make(ops.SIGMOID, m.make(ops.NEG, m["x"])),
        ),
        _row(
            "one_minus_sigmoid",
            _one_minus(_sigmoid(X)),
            lambda m: m.make(ops.SIGMOID, m.make(ops.NEG, m["x"])),
        ),
        _row(
            "exp_times_sigmoid_neg",
            Apply(ops.MUL, (_exp(X), _sigmoid(_neg(X)))),
            lambda m: m.make(ops.SIGMOID, m["x"]),
        ),
        _row("log_of_broadcast", _log(Apply(ops.BROADCAST, (X,))), _log_of_broadcast),
        _row("log_of_reshape", _log(Apply(ops.RESHAPE, (X,))), _log_of_reshape),
        Rule(
            "log_of_sum_of_exp",
            _log(Apply(ops.SUM, (_exp(X),))),
            _log_of_sum_of_exp,
            licence="meaning",
            guard=_not_shifted,
        ),
        _row("power_0", _power(0.0), lambda m: m.constant(1.0)),
        _row("power_1", _power(1.0), lambda m: m["x"]),
        _row("power_2", _power(2.0), lambda m: m.make(ops.MUL, m["x"], m["x"])),
        _row("power_half", _power(0.5), lambda m: m.make(ops.SQRT, m["x"])),
        _row(
            "power_minus_1",
            _power(-1.0),
            lambda m: m.make(ops.DIV, m.constant(1.0), m["x"]),
        ),
    )
)


def run(function: Function, options: Options, fired: Fired | None = None) -> Function:
    """Bring every pattern of the table into its accurate form."""
    return rewrite(function, RULES, options, fired)
