"""Softmax, its logarithm and log-sum-exp as people write them, compiled, against mpmath.

Values to 8 units in the last place; gradients beside the largest, since an element that is nearly
1 has a derivative that is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import symc as sc
from passes.accuracy import MOST_ULP, ulps_between

Function = Callable[[Any], Any]

ROWS = np.array(
    [
        [-800.0, 0, 3],
        [-40, 0, 0],
        [800, 40, 0],
        [1e-20, -1e-20, 0],
        [-800, -800, -800],
        [40, 0, -1e-20],
        [0, 40, 800],
    ]
)
COUNT, WIDTH = ROWS.shape
CLASSES = np.array([0, 1, 2, 0, 1, 2, 0])
BITS = 1300


def log_softmax(rows: np.ndarray) -> list[list[Any]]:
    found = []
    for row in rows:
        total = mpmath.log(sum(mpmath.exp(mpmath.mpf(float(x))) for x in row))
        found.append([mpmath.mpf(float(x)) - total for x in row])
    return found


def total(x: Any) -> Any:
    return sc.sum(sc.exp(x), axis=1, keepdims=True)


def shifted(x: Any) -> Any:
    raised = sc.exp(x - sc.max(x, axis=1, keepdims=True))
    return raised / sc.sum(raised, axis=1, keepdims=True)


def wide(x: Any) -> Any:
    raised = sc.exp(x.astype("f64"))
    return (raised / sc.sum(raised, axis=1, keepdims=True)).astype(x.dtype)


def deep(x: Any) -> Any:
    raised = sc.exp(x.reshape((COUNT, WIDTH, 1)))
    return (raised / sc.sum(raised, axis=1, keepdims=True)).reshape((COUNT, WIDTH))


def by_hand(x: Any) -> Any:
    parts = [sc.exp(x[:, i]) for i in range(WIDTH)]
    return sc.log(parts[0] + parts[1] + parts[2])


def stacked(x: Any) -> Any:
    parts = [sc.exp(x[:, i]) for i in range(WIDTH)]
    return sc.stack([part / (parts[0] + parts[1] + parts[2]) for part in parts], axis=1)


SOFTMAX: dict[str, Function] = {
    "keepdims": lambda x: sc.exp(x) / total(x),
    "new_axis": lambda x: sc.exp(x) / sc.sum(sc.exp(x), axis=-1)[:, None],
    "reshape": lambda x: sc.exp(x) / sc.sum(sc.exp(x), axis=1).reshape((COUNT, 1)),
    "transposed": lambda x: (sc.exp(x).T / sc.sum(sc.exp(x), axis=1)).T,
    "reciprocal": lambda x: sc.exp(x) * (1 / total(x)),
    "power": lambda x: total(x) ** -1 * sc.exp(x),
    "shifted": shifted,
    "wide": wide,
    "deep": deep,
    "masked": lambda x: sc.exp(x) * (x < 1e9) / sc.sum(sc.exp(x) * (x < 1e9), axis=1)[:, None],
    "stacked": stacked,
    "library": lambda x: sc.softmax(x, axis=1),
}
LOGS: dict[str, Function] = {
    **{
        f"log_{name}": (lambda x, form=form: sc.log(form(x)))
        for name, form in SOFTMAX.items()
        if name != "stacked"  # the logarithm does not move into the parts of an array
    },
    "difference": lambda x: x - sc.log(total(x)),
    "logs": lambda x: sc.log(sc.exp(x)) - sc.log(total(x)),
    "logsumexp": lambda x: x - sc.logsumexp(x, axis=1, keepdims=True),
    "library": lambda x: sc.log_softmax(x, axis=1),
    "broadcast": lambda x: sc.log(
        sc.broadcast_to((sc.exp(x) / total(x)).reshape((1, COUNT, WIDTH)), (2, COUNT, WIDTH))
    )[1],
}
SUMS: dict[str, Function] = {
    "written": lambda x: sc.log(sc.sum(sc.exp(x), axis=1)),
    "keepdims": lambda x: sc.log(total(x))[:, 0],
    "transposed": lambda x: sc.log(sc.sum(sc.exp(x.T), axis=0)),
    "mean": lambda x: sc.log(sc.mean(sc.exp(x), axis=1) * WIDTH),
    "shifted": lambda x: (
        sc.log(sc.sum(sc.exp(x - sc.max(x, axis=1, keepdims=True)), axis=1)) + sc.max(x, axis=1)
    ),
    "terms": by_hand,
    "library": lambda x: sc.logsumexp(x, axis=1),
}
HOT = np.eye(WIDTH)[CLASSES]
PICKS: dict[str, Function] = {
    "log_of_index": lambda x: sc.log((sc.exp(x) / total(x))[np.arange(COUNT), CLASSES]),
    "index_of_log": lambda x: sc.log(sc.exp(x) / total(x))[np.arange(COUNT), CLASSES],
    "along": lambda x: sc.log(
        sc.take_along_axis(sc.exp(x) / total(x), CLASSES[:, None], axis=1)
    ).reshape((COUNT,)),
    "one_hot_in": lambda x: sc.log(
        sc.sum(sc.one_hot(CLASSES, WIDTH, dtype=x.dtype) * sc.softmax(x, axis=1), axis=1)
    ),
    "one_hot_out": lambda x: sc.sum(
        sc.one_hot(CLASSES, WIDTH, dtype=x.dtype) * sc.log(sc.softmax(x, axis=1)), axis=1
    ),
    "constant": lambda x: sc.log(sc.sum(HOT.astype(x.dtype) * (sc.exp(x) / total(x)), axis=1)),
    "compared": lambda x: sc.log(
        sc.sum((CLASSES[:, None] == np.arange(WIDTH)) * (sc.exp(x) / total(x)), axis=1)
    ),
}


def values_of(kind: str, rows: np.ndarray) -> np.ndarray:
    """The exact values of a kind, as an object array."""
    logs = log_softmax(rows)
    match kind:
        case "softmax":
            return np.array([[mpmath.exp(x) for x in row] for row in logs], object)
        case "log":
            return np.array(logs, object)
        case "sum":
            firsts = zip(rows, logs, strict=True)
            return np.array([mpmath.mpf(float(row[0])) - log[0] for row, log in firsts], object)
        case _:
            return np.array([row[k] for row, k in zip(logs, CLASSES, strict=True)], object)


def gradient_of(kind: str, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The exact gradient of the weighted sum of the values."""
    p = values_of("softmax", rows)
    w = np.vectorize(lambda x: mpmath.mpf(float(x)), otypes=[object])(weights)
    match kind:
        case "softmax":
            return p * (w - (p * w).sum(axis=1, keepdims=True))
        case "log":
            return w - p * w.sum(axis=1, keepdims=True)
        case "sum":
            return p * w[:, None]
        case _:
            return (np.vectorize(mpmath.mpf, otypes=[object])(HOT) - p) * w[:, None]


CASES = [
    pytest.param(kind, form, id=f"{kind}-{name}")
    for kind, forms in (("softmax", SOFTMAX), ("log", LOGS), ("sum", SUMS), ("pick", PICKS))
    for name, form in forms.items()
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("kind", "form"), CASES)
def test_every_way_of_writing_it(kind: str, form: Function, dtype: type) -> None:
    x = ROWS.astype(dtype)
    shape = (COUNT, WIDTH) if kind in {"softmax", "log"} else (COUNT,)
    weights = np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape).astype(dtype)

    def both(x: Any) -> Any:
        return form(x), sc.grad(lambda x: sc.sum(form(x) * weights))(x)

    got, gradient = (np.asarray(part) for part in sc.jit(both, cache=False)(x))
    assert got.dtype == dtype
    with mpmath.workprec(BITS):
        value, slope = values_of(kind, x), gradient_of(kind, x, weights)
    assert max(map(ulps_between, got.ravel(), value.ravel())) <= MOST_ULP
    pairs = zip(gradient.flat, slope.flat, strict=True)
    error = max(abs(mpmath.mpf(float(result)) - exact) for result, exact in pairs)
    assert float(error) <= 2 * MOST_ULP * np.finfo(dtype).eps


def test_empty_sums_and_infinite_rows() -> None:
    """As written: an empty sum has the logarithm -inf; infinities go where exp takes them."""
    rows = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [-np.inf, 0.0], [np.nan, 1.0]])
    got = np.asarray(sc.jit(lambda x: sc.log(sc.sum(sc.exp(x), axis=1)), cache=False)(rows))
    np.testing.assert_array_equal(got, [-np.inf, np.inf, 0.0, np.nan])
    share = np.asarray(sc.jit(lambda x: sc.exp(x) / total(x), cache=False)(rows))
    np.testing.assert_array_equal(share[2], [0.0, 1.0])
    assert np.isnan(share[0]).all()
    pair = sc.jit(lambda x: sc.log(sc.exp(x[:, 0]) + sc.exp(x[:, 1])), cache=False)
    np.testing.assert_array_equal(np.asarray(pair(rows)), [-np.inf, np.inf, 0.0, np.nan])


def test_second_derivative_at_a_tie() -> None:
    """Where two terms are equal the sum of exponentials is as smooth as anywhere."""

    def form(x: Any) -> Any:
        return sc.log(sc.exp(x[0]) + sc.exp(x[1]))

    for point in (np.zeros(2), np.array([3.0, 3.0])):
        hessian = np.asarray(sc.hessian(form)(point))
        np.testing.assert_allclose(hessian, [[0.25, -0.25], [-0.25, 0.25]], rtol=1e-14)
    summed = np.asarray(sc.hessian(lambda x: sc.log(sc.sum(sc.exp(x))))(np.zeros(4)))
    np.testing.assert_allclose(summed, np.eye(4) / 4 - 1 / 16, rtol=1e-14)
