"""R2.1-4 as users meet it: compiled functions against mpmath at the listed points.

Values, gradients and tangents of every pattern, in both floats, as people write them: constants in
all forms, operands in either order, signs inside, and views, casts or gathers in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import symc as sc
from passes.accuracy import MOST_ULP, ulps_between

POINTS = np.array([-800.0, -40.0, -1e-20, 0.0, 1e-20, 40.0, 800.0, 0.3, -1.7])
COUNT = len(POINTS)
BITS = 1300

Function = Callable[[Any], Any]
e, ln = mpmath.exp, mpmath.log


def logistic(x: Any) -> Any:
    return 1 / (1 + e(-x))


def bump(x: Any) -> Any:
    return logistic(x) * logistic(-x)


def soft(x: Any) -> Any:
    return ln(1 + e(x))


def or_nan(function: Function, low: float) -> Function:
    return lambda x: function(x) if x > low else mpmath.nan


# Meaning, derivative, and the ways of writing it.
SPELLINGS: dict[str, tuple[Function, Function, list[Function]]] = {
    "log1p": (
        or_nan(lambda x: ln(1 + x), -1),
        or_nan(lambda x: 1 / (1 + x), -1),
        [
            lambda x: sc.log(1 + x),
            lambda x: sc.log(x + 1.0),
            lambda x: sc.log(x - (-1)),
            lambda x: sc.log(np.float32(1) + x),
            lambda x: sc.log(np.ones(COUNT, np.float32) + x),
            lambda x: sc.log(sc.ones_like(x) + x),
            lambda x: sc.log(1 - (-x)),
        ],
    ),
    "softplus": (
        soft,
        logistic,
        [
            lambda x: sc.log(1 + sc.exp(x)),
            lambda x: sc.log1p(sc.exp(x)),
            lambda x: sc.log(sc.exp(x) + sc.exp(0 * x)),
            lambda x: x + sc.log(1 + sc.exp(-x)),
            lambda x: -sc.log(1 - sc.sigmoid(x)),
            lambda x: -sc.log(1 - 1 / (1 + sc.exp(-x))),
            lambda x: x - sc.log(sc.sigmoid(x)),
            lambda x: -(sc.log(sc.sigmoid(-x))),
            lambda x: x + -sc.log(sc.sigmoid(x)),
            lambda x: -(sc.log(sc.sigmoid(x)) - x),
        ],
    ),
    "log_sigmoid": (
        lambda x: -soft(-x),
        lambda x: logistic(-x),
        [
            lambda x: sc.log(sc.sigmoid(x)),
            lambda x: sc.log(1 / (1 + sc.exp(-x))),
            lambda x: sc.log(sc.exp(x) / (1 + sc.exp(x))),
            lambda x: -sc.log(1 + sc.exp(0 - x)),
            lambda x: x - sc.log(1 + sc.exp(x)),
            lambda x: sc.log((1 + sc.exp(-1 * x)) ** -1),
        ],
    ),
    "sigmoid": (
        logistic,
        bump,
        [
            lambda x: 1 / (1 + sc.exp(-x)),
            lambda x: 1.0 / (sc.exp(0 - x) + np.float32(1)),
            lambda x: (sc.exp(-1.0 * x) + 1) ** -1,
            lambda x: np.ones(COUNT, np.float32) / (np.ones((1,), np.float32) + sc.exp(-x)),
            lambda x: sc.exp(x) / (1 + sc.exp(x)),
            lambda x: sc.exp(x) * sc.sigmoid(-x),
            lambda x: sc.sigmoid(-x) * sc.exp(x),
            lambda x: 1 - sc.sigmoid(-x),
            lambda x: 1 - 1 / (1 + sc.exp(x)),
            lambda x: sc.exp(x) / (sc.exp(x) + sc.exp(0 * x)),
            lambda x: 0.5 * (1 + sc.tanh(0.5 * x)),
        ],
    ),
    "expm1": (
        lambda x: e(x) - 1,
        e,
        [
            lambda x: sc.exp(x) - 1,
            lambda x: -1 + sc.exp(x),
            lambda x: -(1 - sc.exp(x)),
        ],
    ),
    "log1mexp": (
        lambda x: ln(1 - e(x)) if x < 0 else mpmath.nan,
        lambda x: -e(x) / (1 - e(x)) if x < 0 else mpmath.nan,
        [
            lambda x: sc.log(1 - sc.exp(x)),
            lambda x: sc.log1p(-sc.exp(x)),
            lambda x: sc.log(-sc.expm1(x)),
        ],
    ),
    "sinh": (
        lambda x: (e(x) - e(-x)) / 2,
        lambda x: (e(x) + e(-x)) / 2,
        [lambda x: (sc.exp(x) - sc.exp(-x)) / 2],
    ),
    "abs": (abs, mpmath.sign, [lambda x: sc.sqrt(x * x), lambda x: (x**2) ** 0.5]),
    "itself": (
        lambda x: x,
        lambda x: mpmath.mpf(1),
        [
            lambda x: sc.log(sc.exp(x)),
            lambda x: sc.log1p(sc.expm1(x)),
            lambda x: sc.log(sc.sigmoid(x) / (1 - sc.sigmoid(x))),
            lambda x: sc.log(sc.sigmoid(x)) - sc.log(1 - sc.sigmoid(x)),
        ],
    ),
}

FORMS = [
    pytest.param(value, slope, form, id=f"{name}-{number}")
    for name, (value, slope, forms) in SPELLINGS.items()
    for number, form in enumerate(forms)
]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


def compiled(form: Function, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Value, gradient and tangent, from one compiled function."""

    def all_three(x: Any) -> Any:
        tangent = sc.jvp(form, (x,), (sc.ones_like(x),))[1]
        return form(x), sc.grad(lambda x: sc.sum(form(x)))(x), tangent

    with np.errstate(all="ignore"):
        return tuple(np.asarray(part) for part in sc.jit(all_three, cache=False)(x))


def worst(got: np.ndarray, function: Function, x: np.ndarray) -> float:
    """The largest error in units in the last place, where the function exists."""
    found = 0.0
    for result, point in zip(got.ravel(), x.ravel(), strict=True):
        with mpmath.workprec(BITS):
            exact = function(mpmath.mpf(float(point)))
        if mpmath.isfinite(exact):
            found = max(found, ulps_between(result, exact))
    return found


@dtypes
@pytest.mark.parametrize(("value", "slope", "form"), FORMS)
def test_every_spelling_is_accurate(
    value: Function, slope: Function, form: Function, dtype: type
) -> None:
    x = POINTS.astype(dtype)
    got, gradient, tangent = compiled(form, x)
    assert got.dtype == dtype
    assert worst(got, value, x) <= MOST_ULP
    assert worst(gradient, slope, x) <= MOST_ULP
    assert worst(tangent, slope, x) <= MOST_ULP


def veiled(form: Function, way: str) -> Function:
    """The form over a wider float, a reshape, a row of a matrix or elements picked from one."""
    match way:
        case "wider":
            return lambda x: form(x.astype("f64")).astype(x.dtype)
        case "reshape":
            return lambda x: form(x.reshape((3, 3))).reshape((COUNT,))
        case "broadcast":
            return lambda x: form(sc.broadcast_to(x, (2, COUNT)))[1]
        case _:
            return lambda x: sc.take(form(sc.concat([x, x])), np.arange(COUNT), axis=0)


INNER: dict[str, tuple[Function, Function, Callable[[Function], Function]]] = {
    "softplus": (soft, logistic, lambda veil: lambda x: sc.log(veil(lambda x: 1 + sc.exp(x))(x))),
    "log_sigmoid": (
        lambda x: -soft(-x),
        lambda x: logistic(-x),
        lambda veil: lambda x: sc.log(veil(lambda x: 1 / (1 + sc.exp(-x)))(x)),
    ),
    "sigmoid": (
        logistic,
        bump,
        lambda veil: lambda x: 1 / veil(lambda x: 1 + sc.exp(-x))(x),
    ),
    "expm1": (lambda x: e(x) - 1, e, lambda veil: lambda x: veil(sc.exp)(x) - 1),
}


@dtypes
@pytest.mark.parametrize("way", ["wider", "reshape", "broadcast", "take"])
@pytest.mark.parametrize("name", list(INNER))
def test_what_stands_in_between_does_not_matter(name: str, way: str, dtype: type) -> None:
    value, slope, form = INNER[name]
    x = POINTS.astype(dtype)
    got, gradient, tangent = compiled(form(lambda inner: veiled(inner, way)), x)
    assert got.dtype == dtype
    assert worst(got, value, x) <= MOST_ULP
    assert worst(gradient, slope, x) <= MOST_ULP
    assert worst(tangent, slope, x) <= MOST_ULP


@pytest.mark.parametrize("number", [0.5, 2.0, 1.0000002, -1.0, 0.0])
def test_another_constant_is_another_function(number: float) -> None:
    """1 / (exp(x) + c) is a sigmoid for c = 1 alone."""
    x = np.linspace(-1.9, 2.0, 8)
    got = np.asarray(sc.jit(lambda x: 1 / (sc.exp(x) + number), cache=False)(x))
    np.testing.assert_allclose(got, 1 / (np.exp(x) + number), rtol=1e-14)
    got = np.asarray(sc.jit(lambda x: sc.log(number + 3 + x), cache=False)(x))
    np.testing.assert_allclose(got, np.log(number + 3 + x), rtol=1e-13, atol=1e-15)
