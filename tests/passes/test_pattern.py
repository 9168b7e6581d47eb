"""Matching: what it looks through, where results are put, and what it never looks behind."""

from __future__ import annotations

import numpy as np
import pytest

from symc.compile.derive import pullback
from symc.ir import ops, term
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.term import Term
from symc.ir.types import BOOL, F32, F64, I64, TensorType
from symc.ir.verify import verify
from symc.passes import dce, stabilise
from symc.passes.pattern import Apply, Const, Hole, Rule, RuleSet
from symc.passes.rewrite import rewrite


def param(shape: tuple[int, ...], dtype: np.dtype = F64) -> Term:
    return Term(Value(TensorType(dtype, shape), name="x"))


def stabilised(result: Term, params: list[Term]) -> Function:
    inputs = [x.value for x in params]
    nodes, _ = reachable([result.value], stop=inputs)
    before = Function("f", tuple(inputs), tuple(nodes), (result.value,))
    after = dce.run(stabilise.run(before, Options()), Options())
    if all(value.node is None for value in inputs):
        verify(after)
    return after


def names(function: Function) -> list[str]:
    return [node.op.name for node in function.nodes]


def exp(x: Term) -> Term:
    return term.make(ops.EXP, x)


def log(x: Term) -> Term:
    return term.make(ops.LOG, x)


def test_a_function_moves_below_what_repeats_elements() -> None:
    x = param((3,))
    after = stabilised(log(1.0 + exp(x).broadcast((4, 3), (1,))), [x])
    assert names(after) == ["softplus", "broadcast"]
    assert after.nodes[0].results[0].type.shape == (3,)


def test_a_selection_moves_onto_the_operand() -> None:
    x = param((8,))
    after = stabilised(log(1.0 + exp(x).slice((2,), (3,))), [x])
    assert names(after) == ["slice", "softplus"]


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [(F32, F64, ["cast", "softplus"]), (F64, F32, ["softplus", "cast"])],
)
def test_the_wider_type_computes(inner: np.dtype, outer: np.dtype, expected: list[str]) -> None:
    x = param((3,), inner)
    after = stabilised(log(1.0 + exp(x).cast(outer)), [x])
    assert names(after) == expected
    assert after.results[0].type.dtype == outer


def test_several_roundings_are_one() -> None:
    x = param((3,))
    after = stabilised(log((1.0 + exp(x).cast(F32)).cast(F64)), [x])
    assert names(after) == ["softplus"]


def test_views_of_one_value_are_one_value() -> None:
    x = param((2, 3))
    left, right = exp(x).permute((1, 0)), term.make(ops.SIGMOID, -x.permute((1, 0)))
    assert names(stabilised(left * right, [x])) == ["sigmoid", "permute"]


def test_other_views_are_other_values() -> None:
    x = param((3, 3))
    left, right = exp(x), term.make(ops.SIGMOID, -x.permute((1, 0)))
    assert "mul" in names(stabilised(left * right, [x]))


def test_a_gather_that_may_read_zeros_is_not_looked_through() -> None:
    """log(0) stands where nothing was read."""
    x, index = param((3,)), param((2,), I64)
    for mode, through in (("raise", True), ("clip", True), ("fill", False)):
        result = log(term.take(1.0 + exp(x), index, 0, mode))
        assert ("softplus" in names(stabilised(result, [x, index]))) is through


def test_constants_are_seen_through_casts() -> None:
    x = param((3,))
    one = term.constant(np.ones(3, np.int64)).cast(F64)
    assert names(stabilised(log(one + exp(x)), [x])) == ["softplus"]
    flag = term.constant(np.array(True)).cast(F64).broadcast((3,), ())
    assert flag.dtype != BOOL
    assert names(stabilised(log(flag + exp(x)), [x])) == ["softplus"]


@pytest.mark.parametrize(
    "outside", [lambda x: -x, lambda x: exp(x), lambda x: x.broadcast((2, 3), (1,))]
)
def test_no_pattern_looks_behind_a_param(outside: object) -> None:
    """The param may have been made by a node, but that is not part of the function."""
    x = param((3,))
    inner = outside(x)  # type: ignore[operator]
    for result in (1.0 / (1.0 + exp(inner)), log(1.0 + inner), log(exp(inner) / inner)):
        after = stabilised(result, [inner])
        array = np.linspace(0.5, 1.5, int(np.prod(inner.shape))).reshape(inner.shape)
        (got,) = evaluate(after, [array])
        assert np.isfinite(got).all()


def test_derivatives_with_respect_to_an_intermediate_value() -> None:
    x = param((3,))
    inner = -x
    result = log(1.0 + exp(inner))
    ones = term.full((3,), 1.0).value
    (slope,) = pullback([result.value], [ones], [inner.value])
    assert slope is not None
    nodes, free = reachable([slope], stop=[inner.value])
    function = Function("slope", (inner.value,), tuple(nodes), (slope,))
    assert not free
    (got,) = evaluate(function, [np.array([0.0, 40.0, -40.0])])
    np.testing.assert_allclose(got, [0.5, 1.0, np.exp(-40.0)], rtol=1e-15)


def test_rewriting_settles_on_what_is_new() -> None:
    """A chain that folds from one end: each step makes the next one possible."""
    x = Hole("x")
    fold = Rule(
        "fold",
        Apply(ops.ABS, (Apply(ops.NEG, (x,)),)),
        lambda m: m.make(ops.ABS, m["x"]),
    )
    unit = Rule("unit", Apply(ops.MUL, (x, Const(1.0))), lambda m: m["x"])
    start = param((2,))
    value = start
    for _ in range(200):
        value = -(value * 1.0)
    result = term.make(ops.ABS, value)
    nodes, _ = reachable([result.value])
    function = Function("f", (start.value,), tuple(nodes), (result.value,))
    fired: list[str] = []
    after = rewrite(
        function, RuleSet((fold, unit)), Options(), lambda rule, *_: fired.append(rule.name)
    )
    assert fired.count("unit") == 200
    assert fired.count("fold") >= 1
    assert after is not function
