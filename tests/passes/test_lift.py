"""Elementwise work on both sides of a reshape is one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

X = np.random.default_rng(0).integers(-3, 4, (6, 4, 5)).astype(np.float32)
BIAS = np.arange(5, dtype=np.float32)


def compiled(f: Callable[..., Any], *given: np.ndarray) -> Any:
    made = sc.jit(lambda *args: f(sc, *args), cache=False)
    np.testing.assert_array_equal(np.asarray(made(*given)), f(np, *given))
    return made


ONE: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "merged axes": (lambda n, x: n.reshape(x * 2.0, (24, 5)) + 1.0, (X,)),
    "all axes": (lambda n, x: n.abs(n.reshape(x * 2.0, (-1,))) + 1.0, (X,)),
    "a bias of a whole axis": (lambda n, x, b: n.reshape(x * 2.0, (24, 5)) + b, (X, BIAS)),
    "two of one shape": (
        lambda n, x: n.reshape(x * 2.0, (24, 5)) + n.reshape(x + 1.0, (24, 5)),
        (X,),
    ),
    "into a sum": (lambda n, x: n.sum(n.reshape(x * 2.0, (6, -1)) + 1.0, axis=1), (X,)),
    "cut and merged": (lambda n, x: n.maximum(n.reshape(x * 2.0, (3, 8, 5)), 1.0), (X,)),
}


@pytest.mark.parametrize("name", ONE)
def test_one_kernel(name: str) -> None:
    f, given = ONE[name]
    made = compiled(f, *given)
    assert len(made.explain().kernels) == 1
    assert made.cost().workspace == 0


TWO: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "a bias of a merged axis": (
        lambda n, x, b: n.reshape(x * 2.0, (24, 5)) + b[:, None],
        (X, np.arange(24, dtype=np.float32)),
    ),
    "an array of the merged shape": (
        lambda n, x, y: n.reshape(x * 2.0, (24, 5)) + y,
        (X, X.reshape(24, 5)),
    ),
}


@pytest.mark.parametrize("name", TWO)
def test_operands_that_are_not_known_before_the_reshape(name: str) -> None:
    f, given = TWO[name]
    assert len(compiled(f, *given).explain().kernels) == 2


def test_symbolic_sizes() -> None:
    x = sc.var("x", "f64[n,4,k]")
    f = sc.function([x], sc.reshape(x * 2.0, (-1, x.shape[2])) + 1.0, cache=False)
    assert len(f.explain().kernels) == 1
    for rows in (0, 1, 3):
        given = np.arange(rows * 20.0).reshape(rows, 4, 5)
        np.testing.assert_array_equal(f(given), (given * 2 + 1).reshape(-1, 5))
