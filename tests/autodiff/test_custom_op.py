"""`custom`, `checkpoint` and `barrier` as operations: text, verifier, oracle, batches, order."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir import ops
from symc.ir.batch import batch_function
from symc.ir.build import apply
from symc.ir.core import Function, Value, reachable
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import DomainError, OpContractError, ShapeError, UnsupportedError
from symc.ir.evaluate import evaluate
from symc.ir.ops.checkpoint import late
from symc.ir.ops.record import Op
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.text import print_function
from symc.ir.types import F64, TensorType
from symc.ir.verify import verify
from symc.passes import PASSES, plan_build
from symc.passes.plan import Plan

N = TensorType(F64, (3,))
X = np.array([0.3, -1.2, 2.0])


def region(name: str = "body") -> Function:
    """x -> (sin(x) * x, sin(x))."""
    x = Value(N, name="x")
    inner = apply(ops.SIN, (x,)).results[0]
    product = apply(ops.MUL, (inner, x))
    return Function(name, (x,), (inner.node, product), (product.results[0], inner))  # type: ignore[arg-type]


def function(op: Op, **attrs: object) -> Function:
    x = Value(N, name="x")
    node = apply(op, (x,), attrs, regions=(region(),))  # type: ignore[arg-type]
    return Function("one", (x,), (node,), node.results)


NODES = [(ops.CUSTOM, {"rule": "f"}), (ops.CHECKPOINT, {"saved": 1})]


@pytest.mark.parametrize(("op", "attrs"), NODES, ids=lambda x: getattr(x, "name", ""))
def test_text_verifier_oracle_and_inlining(op: Op, attrs: dict) -> None:
    made = function(op, **attrs)
    verify(made)
    text = print_function(made)
    again = parse_function(text)
    assert print_function(again) == text
    verify(again)
    inlined = PASSES["inline"](made, Options())
    assert not any(node.regions for node in inlined.nodes)
    for program in (made, again, inlined):
        y, s = evaluate(program, [X])
        np.testing.assert_array_equal(y, np.sin(X) * X)
        np.testing.assert_array_equal(s, np.sin(X))


@pytest.mark.parametrize(("op", "attrs"), NODES, ids=lambda x: getattr(x, "name", ""))
def test_operands_must_be_what_the_region_takes(op: Op, attrs: dict) -> None:
    with pytest.raises(ShapeError, match="call of body"):
        apply(op, (Value(TensorType(F64, (4,))),), attrs, regions=(region(),))
    with pytest.raises(ShapeError, match="regions"):
        apply(op, (Value(N),), attrs)


def test_attributes() -> None:
    for op in (ops.CUSTOM, ops.CHECKPOINT):
        with pytest.raises(DomainError, match="attribute"):
            apply(op, (Value(N),), {}, regions=(region(),))
    with pytest.raises(DomainError, match="0 to 2"):
        apply(ops.CHECKPOINT, (Value(N),), {"saved": 3}, regions=(region(),))


def test_a_rule_read_from_text_is_only_a_name() -> None:
    read = parse_function(print_function(function(ops.CUSTOM, rule="f")))
    (x,) = read.params
    with pytest.raises(UnsupportedError, match="derivative of f"):
        tangents(read.results, [x], [Value(N)])
    with pytest.raises(UnsupportedError, match="derivative of f"):
        gradient(read.results, [Value(N), Value(N)], [x])


def test_a_checkpoint_read_from_text_is_differentiated() -> None:
    read = parse_function(print_function(function(ops.CHECKPOINT, saved=1)))
    (x,) = read.params
    ct = Value(N, name="ct")
    (pulled,) = gradient(read.results[:1], [ct], [x])
    assert pulled is not None
    nodes, _ = reachable([pulled])
    program = Function("pulled", (x, ct), tuple(nodes), (pulled,))
    verify(program)
    got = evaluate(program, [X, np.ones(3)])[0]
    np.testing.assert_allclose(got, np.cos(X) * X + np.sin(X), rtol=1e-15)
    # What is saved is read, and not computed again.
    second = [n for n in nodes if n.op is ops.SIN]
    assert second == []
    assert sum(n.op is ops.BARRIER for n in nodes) == 2


@pytest.mark.parametrize("forced", [None, (True, True)])
def test_batches_of_a_checkpoint(forced: tuple[bool, bool] | None) -> None:
    whole, marks = batch_function(function(ops.CHECKPOINT, saved=1), [True], 4, forced)
    assert marks == (True, True)
    verify(whole)
    xs = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(evaluate(whole, [xs])[0], np.sin(xs) * xs)


def test_a_barrier_gets_no_batch_axis_from_what_it_waits_for() -> None:
    x, after = Value(N), Value(TensorType(F64, ()))
    node = apply(ops.BARRIER, (x, after))
    one = Function("one", (x, after), (node,), node.results)
    assert batch_function(one, [False, True], 5)[1] == (False,)
    assert batch_function(one, [True, False], 5)[1] == (True,)


def plan_of(made: Function) -> Plan:
    entry = Entry(made, tuple(InputInfo(p.name or "") for p in made.params))
    return plan_build.run(entry)


def test_kernels_of_the_second_run_come_after_what_is_waited_for() -> None:
    """Although nothing that they read depends on it."""
    x, w = Value(TensorType(F64, (8, 8)), name="x"), Value(TensorType(F64, (8, 8)), name="w")
    attrs = {
        "lhs_batch": (),
        "rhs_batch": (),
        "lhs_contract": (1,),
        "rhs_contract": (0,),
        "order": "any",
    }

    def layer(a: Value, b: Value) -> Value:
        return apply(ops.TANH, apply(ops.DOT, (a, b), attrs).results).results[0]

    first = layer(layer(x, w), w)
    # Made before its wait in program order, if it were not for the barrier's operand.
    again = layer(late(x, [first]), late(w, [first]))
    nodes, _ = reachable([first, again])
    plan = plan_of(Function("two", (x, w), tuple(nodes), (first, again)))
    assert len(plan.steps) == 3
    assert plan.steps[-1].writes() == [again]
    assert plan.steps[-1].waits
    assert set(plan.steps[-1].reads()) == {x, w}


def test_what_is_waited_for_is_not_stored_for_it() -> None:
    """Elementwise work behind a barrier stays in its kernel."""
    x = Value(N, name="x")
    y = apply(ops.SIN, (x,)).results[0]
    z = apply(ops.COS, (late(x, [y]),)).results[0]
    total = apply(ops.ADD, (y, z)).results[0]
    nodes, _ = reachable([total])
    plan = plan_of(Function("one", (x,), tuple(nodes), (total,)))
    assert len(plan.steps) == 1
    assert plan.steps[0].writes() == [total]


def test_linearity_is_required_of_a_rule_in_reverse_mode_only() -> None:
    @sc.custom_jvp
    def f(x: object) -> object:
        return x

    f.defjvp(lambda p, t: (p[0], t[0] * t[0]))
    np.testing.assert_array_equal(sc.jvp(f, (X,), (X,))[1], X * X)
    with pytest.raises(OpContractError, match="not linear"):
        sc.grad(lambda x: sc.sum(f(x)))(X)
