"""Derivatives of what the stability table makes: first and second order, both modes.

What is differentiated is the defined program, and the derivative is defined again; the reference is
the derivative of what was written, over the reals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mpmath
import numpy as np
import pytest

from passes.accuracy import DIFFERENCES, POINTS, assert_accurate, slack_of
from passes.exact import PRECISION, exactly
from passes.test_rules import MEANING, SETS, arrays, suited
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.compile.derive import pullback, pushforward
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.types import F32, F64, is_float
from symc.passes import define
from symc.passes.pattern import Rule
from symc.passes.stability_pointwise import SIGMOIDS
from symc.passes.stability_sums import GROWING, SHARES
from symc.passes.stability_sums import SUMS as SUMS_TABLE

# Rows on sums: an element that is nearly 1 has a derivative that is a difference of such.
SUMS = frozenset(rule.name for rule in (*SUMS_TABLE, *GROWING, *SHARES)) | {"exp_over_sum_of_two"}
# Rows that make a tanh, whose derivative 1 - y^2 is accurate beside 1.
TANHS = frozenset(
    rule.name for _, rule in MEANING if "tanh_of" in rule.name or "twice" in rule.name
)

# Rows on sigmoids and sinh, whose second derivative changes sign at 0: accurate beside 1 there.
INFLECTED = frozenset(rule.name for rule in SIGMOIDS) | {"exp_minus_exp_of_minus"}

# (result, input, direction) -> the derivative along, or weighed with, the direction.
Derive = Callable[[Value, Value, Value], Value | None]


def reverse(result: Value, x: Value, along: Value) -> Value | None:
    """The raw cotangent of x."""
    return gradient([result], [along], [x])[0]


def forward(result: Value, x: Value, along: Value) -> Value | None:
    """The raw tangent of the result."""
    return tangents([result], [x], [along])[0]


def defined_reverse(result: Value, x: Value, along: Value) -> Value | None:
    """The same of the defined program."""
    return pullback([result], [along], [x])[0]


def defined_forward(result: Value, x: Value, along: Value) -> Value | None:
    """The same of the defined program."""
    return pushforward([result], [x], [along])[0]


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to derive, of what was written and of the defined program."""

    name: str
    plain: Derive
    defined: Derive

    def direction(self, result: Value, x: Value, number: int) -> Value:
        like = result if self.plain is reverse else x
        return Value(like.type, name=f"along{number}")


REVERSE = Mode("reverse", reverse, defined_reverse)
FORWARD = Mode("forward", forward, defined_forward)


def function_of(result: Value, params: Sequence[Value]) -> Function:
    nodes, _ = reachable([result], stop=params)
    return Function("derivative", tuple(params), tuple(nodes), (result,))


def check(rule: Rule, before: Function, x: Value, modes: Sequence[Mode]) -> None:
    """Compare derivatives, one after the other, in x."""
    inflected = len(modes) > 1 and rule.name in INFLECTED
    points = [x for x in POINTS if not (inflected and 0 < abs(x) < 1e-9)]
    raw: Value | None = before.results[0]
    better: Value | None = raw
    params = list(before.params)
    for number, mode in enumerate(modes):
        assert raw is not None
        along = mode.direction(raw, x, number)
        params.append(along)
        better = None if better is None else mode.defined(better, x, along)
        raw = mode.plain(raw, x, along)
        if raw is None:
            assert better is None
            return
    assert raw is not None
    written = function_of(raw, params)
    made = None if better is None else define(function_of(better, params), Options())
    for seed in range(2):
        inputs = arrays(before, points, seed)
        inputs += arrays(replace_params(before, params[len(inputs) :]), [1.0, -0.5, 2.0], seed)
        compare(rule, before, written, made, inputs)


def replace_params(function: Function, params: Sequence[Value]) -> Function:
    return replace(function, params=tuple(params))


def compare(
    rule: Rule,
    before: Function,
    written: Function,
    made: Function | None,
    inputs: list[np.ndarray],
) -> None:
    """Where the function itself exists; None stands for zeros."""
    wanted = exactly(written, inputs)[0]
    if made is None:
        with mpmath.workprec(PRECISION):
            assert all(abs(x) < 1e-50 or not mpmath.isfinite(x) for x in wanted.flat)
        return
    with np.errstate(all="ignore"):
        got = evaluate(made, inputs)[0]
    value = exactly(before, inputs[: len(before.params)])[0]
    fits = value.shape == wanted.shape
    chosen = finite(wanted) & (finite(value) if fits else bool(finite(value).all()))
    types = [x.type for x in (*made.params, *before.results) if is_float(x.type.dtype)]
    got = got.astype(min((x.dtype for x in types), key=lambda dtype: dtype.itemsize))
    slack = np.zeros(wanted.shape)
    if rule.name in SUMS:
        slack += 8 * np.finfo(got.dtype).eps * max([1.0, *(float(abs(x)) for x in wanted[chosen])])
    if rule.name in DIFFERENCES:
        slack += slack_of(written, inputs, wanted)
    if rule.name in TANHS:
        slack += 8 * np.finfo(got.dtype).eps * 2
    assert_accurate(got[chosen], wanted[chosen], slack[chosen])


def finite(numbers: np.ndarray) -> np.ndarray:
    return np.array([bool(mpmath.isfinite(x)) for x in numbers.flat], bool).reshape(numbers.shape)


def float_inputs(function: Function) -> list[Value]:
    return [x for x in function.params if x.type.dtype.kind == "f"]


def of_dtype(rule: Rule, owner: str, dtype: np.dtype, most: int) -> list[Function]:
    found = [before for before, _ in suited(rule, SETS[owner].through)]
    return [x for x in found if x.results[0].type.dtype == dtype and float_inputs(x)][:most]


each_row = pytest.mark.parametrize(
    ("owner", "rule"), MEANING, ids=[rule.name for _, rule in MEANING]
)
each_dtype = pytest.mark.parametrize("dtype", [F32, F64], ids=["f32", "f64"])


@each_dtype
@pytest.mark.parametrize("mode", [REVERSE, FORWARD], ids=lambda mode: mode.name)
@each_row
def test_gradient_of_row_is_accurate(owner: str, rule: Rule, mode: Mode, dtype: np.dtype) -> None:
    for before in of_dtype(rule, owner, dtype, 2):
        for x in float_inputs(before):
            check(rule, before, x, [mode])


@pytest.mark.parametrize("outer", [REVERSE, FORWARD], ids=lambda mode: mode.name)
@each_row
def test_second_derivative_of_row_is_accurate(owner: str, rule: Rule, outer: Mode) -> None:
    for before in of_dtype(rule, owner, F64, 2):
        for x in float_inputs(before):
            check(rule, before, x, [REVERSE, outer])
