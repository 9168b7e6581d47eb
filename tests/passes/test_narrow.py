"""A slice of a contraction or reduction computes no more than it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(0)


def small(*shape: int) -> np.ndarray:
    return RNG.integers(-2, 3, shape).astype(np.float64)


def compiled(f: Callable[..., Any], *given: np.ndarray, **options: Any) -> Any:
    made = sc.jit(lambda *args: f(sc, *args), cache=False, **options)
    np.testing.assert_array_equal(np.asarray(made(*given)), f(np, *given))
    return made


def narrowed(f: Any) -> bool:
    return any(fired.rule == "narrowed" for fired in f.explain().fired)


A, B = small(30, 20), small(20, 40)
CASES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "a row of a product": (lambda n, a, b: (a @ b)[0], (A, B)),
    "a column": (lambda n, a, b: (a @ b)[:, 3:5], (A, B)),
    "a block, backwards": (lambda n, a, b: (a @ b)[20:10:-3, 5:30:2], (A, B)),
    "under elementwise work": (lambda n, a, b: ((a @ b) * 2.0 + 1.0)[-1], (A, B)),
    "a batch": (lambda n, a, b: (a @ b)[1], (small(3, 5, 4), small(3, 4, 6))),
    "a transposed product": (lambda n, a, b: (a @ b).T[2], (A, B)),
    "a sum": (lambda n, a: n.sum(a, axis=1)[3:5], (A,)),
    "a maximum": (lambda n, a: n.max(a, axis=0)[::-4], (A,)),
    "argmax": (lambda n, a: n.argmax(a, axis=1)[7:], (A,)),
    "a product of a sum": (lambda n, a, b: n.sum(a @ b, axis=1)[:2], (A, B)),
}


@pytest.mark.parametrize("name", CASES)
def test_less_is_computed(name: str) -> None:
    f, given = CASES[name]
    made, plain = compiled(f, *given), compiled(f, *given, opt=1)
    assert narrowed(made)
    assert made.cost().flops < plain.cost().flops
    compiled(f, *given, contract="chain")


LEFT: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "all of it": (lambda n, a, b: (a @ b)[:], (A, B)),
    "needed elsewhere": (lambda n, a, b: (a @ b)[0] + (a @ b)[1], (A, B)),
    "elementwise work alone": (lambda n, a, b: (a * 2.0)[0], (A, B)),
    "a slice of what is summed": (lambda n, a, b: n.sum(a[2:5], axis=1), (A, B)),
}


@pytest.mark.parametrize("name", LEFT)
def test_near_misses_stay(name: str) -> None:
    f, given = LEFT[name]
    assert not narrowed(compiled(f, *given))


def test_symbolic_sizes() -> None:
    x, w = sc.var("x", "f64[n,k]"), sc.var("w", "f64[k,5]")
    last = sc.function([x, w], (x @ w)[-1, 1:3], cache=False)
    assert narrowed(last)
    for rows in (1, 3, 9):
        a, b = small(rows, 4), small(4, 5)
        np.testing.assert_array_equal(last(a, b), (a @ b)[-1, 1:3])
    with pytest.raises(sc.SymcError):
        last(small(0, 4), small(4, 5))
