"""Cheap steps on one input are computed again in each kernel, where that moves fewer bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

ROWS, COLUMNS = 64, 32
X = np.random.default_rng(0).integers(-3, 4, (ROWS, COLUMNS)).astype(np.float32)
WHOLE = 4 * ROWS * COLUMNS
SUMS = 4 * (ROWS + COLUMNS)


def both(n: Any, y: Any) -> list[Any]:
    """Two reductions that no kernel does together."""
    return [n.sum(y, axis=0), n.sum(y, axis=1)]


def compiled(f: Callable[..., Any], *given: np.ndarray) -> Any:
    made = sc.jit(lambda *args: f(sc, *args), cache=False)
    for left, right in zip(made(*given), f(np, *given), strict=True):
        np.testing.assert_allclose(np.asarray(left), right, rtol=1e-6)
    return made


REPEATED: dict[str, Callable[..., Any]] = {
    "a scale": lambda n, x: both(n, x * 2.0),
    "two steps": lambda n, x: both(n, x * 2.0 + 1.0),
    "a selection": lambda n, x: both(n, n.maximum(x, 0.0)),
    "a square": lambda n, x: both(n, x * x),
}


@pytest.mark.parametrize("name", REPEATED)
def test_nothing_is_stored(name: str) -> None:
    made = compiled(REPEATED[name], X)
    assert len(made.explain().kernels) == 2
    assert made.cost().workspace == 0
    assert WHOLE * 2 + SUMS <= made.cost().bytes <= WHOLE * 2 + SUMS + 64


STORED: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "dear steps": (lambda n, x: both(n, n.exp(x)), (X,)),
    "two inputs": (lambda n, x, y: both(n, x * y), (X, X)),
}


@pytest.mark.parametrize("name", STORED)
def test_what_is_dear_or_reads_more_is_stored_once(name: str) -> None:
    f, given = STORED[name]
    made = compiled(f, *given)
    assert made.cost().workspace == WHOLE


def test_a_result_is_stored_anyway() -> None:
    made = compiled(lambda n, x: [y := x * 2.0, n.sum(y, axis=0)], X)
    assert made.cost().workspace == 0


def test_updates_stay_in_place() -> None:
    """What an update reads is read before it is written over."""
    w = sc.shared(X.copy())
    y = w * 0.5
    f = sc.function([], [sc.sum(y, axis=1), sc.sum(y, axis=0)], updates=[(w, w - y)], cache=False)
    rows, columns = f()
    np.testing.assert_array_equal(rows, np.sum(X * 0.5, axis=1))
    np.testing.assert_array_equal(columns, np.sum(X * 0.5, axis=0))
    np.testing.assert_array_equal(w.get(), X * 0.5)
    assert f.cost().workspace == 0
