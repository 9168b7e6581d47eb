"""An operation that does not say how it is differentiated and batched cannot be made."""

from __future__ import annotations

from typing import Any

import pytest

from symc.ir import ops
from symc.ir.errors import OpContractError
from symc.ir.ops.define import binary, unary
from symc.ir.ops.record import Kind, Linear, NoDerivative, Op, Samples, Tangents

SAMPLE: dict[str, Any] = {
    "name": "sample",
    "kind": Kind.VIEW,
    "arity": 2,
    "infer": lambda types, attrs: tuple(types),
    "evaluate": lambda context, arrays, node: tuple(arrays),
    "samples": Samples(("f64",)),
    "derivative": NoDerivative("a sample"),
    "batch": lambda operands, axes, attrs: (operands[0], 0),
}


def rule(*operands: object) -> Any:
    return operands[0]


@pytest.mark.parametrize("missing", ["derivative", "batch", "samples", "infer", "evaluate"])
def test_fields_without_default(missing: str) -> None:
    assert Op(**SAMPLE).no_derivative == "a sample"
    with pytest.raises(TypeError, match=missing):
        Op(**{name: value for name, value in SAMPLE.items() if name != missing})


@pytest.mark.parametrize(
    "derivative",
    [
        None,
        "zero",
        NoDerivative("  "),
        Tangents((rule,)),
        Tangents((rule, rule, rule)),
        Tangents((None, None)),
        Linear((), rule),
        Linear((0, 2), rule),
    ],
    ids=["none", "text", "blank", "one", "three", "nothing", "no operand", "operand 2"],
)
def test_a_derivative_must_fit_the_operands(derivative: Any) -> None:
    with pytest.raises(OpContractError, match="op sample: derivative"):
        Op(**{**SAMPLE, "derivative": derivative})


def test_a_rule_per_operand_or_linearity_is_a_derivative() -> None:
    made = Op(**{**SAMPLE, "derivative": Tangents((rule, None))})
    assert (made.tangents, made.linear, made.no_derivative) == ((rule, None), (), None)
    made = Op(**{**SAMPLE, "derivative": Linear((0, 1), rule, multilinear=True)})
    assert (made.linear, made.multilinear, made.transpose) == ((0, 1), True, rule)


def test_an_elementwise_op_needs_a_tangent_or_a_reason() -> None:
    with pytest.raises(OpContractError, match="op sample: derivative"):
        unary("sample", lambda b, x: b.neg(x))
    with pytest.raises(OpContractError, match="op sample: derivative"):
        binary("sample", lambda b, x, y: b.add(x, y))


def test_a_batching_rule_must_be_given_by_all_but_sources() -> None:
    with pytest.raises(OpContractError, match="batching"):
        Op(**{**SAMPLE, "batch": None})


def test_what_has_no_derivative_returns_no_float_or_is_piecewise_constant() -> None:
    """The whole list of reasons; an op added later has to fit one or be argued here."""
    reasons = {op.name: op.no_derivative for op in ops.OPS.values() if op.no_derivative}
    assert set(reasons.values()) == {
        "its result is not a float",
        "piecewise constant: its derivative is zero wherever it exists",
        "it has no operands",
        "stops derivatives on purpose",
    }
