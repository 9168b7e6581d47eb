"""Chains of matrix products are multiplied in their cheapest order, with a licence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(0)


def small(*shape: int) -> np.ndarray:
    """Small integers, on which every order gives the same bits."""
    return RNG.integers(-2, 3, shape).astype(np.float64)


def compiled(f: Callable[..., Any], *given: np.ndarray, numerics: str = "fast") -> Any:
    made = sc.jit(f, cache=False, numerics=numerics)
    np.testing.assert_array_equal(np.asarray(made(*given)), f(*given))
    return made


def rules(f: Any) -> list[str]:
    return [fired.rule for fired in f.explain().fired if fired.stage == "chains"]


A, B, C, V = small(30, 20), small(20, 40), small(40, 3), small(40)
CHEAPER: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "matrices, vector": (lambda a, b, v: a @ b @ v, (A, B, V)),
    "vector, matrices": (lambda v, b, a: v @ (b.T @ a.T), (V, B, A)),
    "matrices": (lambda a, b, c: a @ b @ c, (A, B, C)),
    "transposed product": (lambda a, b, v: (a @ b).T @ v, (A, B, small(30))),
    "transposed factors": (lambda a, b, c: (b.T @ a.T).T @ c, (A, B, C)),
    "four": (lambda a, b, c, d: a @ b @ c @ d, (A, B, C, small(3, 2))),
    "transposed vector": (lambda a, b, v: (a @ b @ v) @ a, (A, B, V)),
    "five": (
        lambda a, b, c, d, v: a @ b @ c @ d @ v,
        (small(9, 8), small(8, 7), small(7, 9), small(9, 8), small(8)),
    ),
}


@pytest.mark.parametrize("name", CHEAPER)
def test_a_chain_is_multiplied_in_its_cheapest_order(name: str) -> None:
    f, given = CHEAPER[name]
    fast, strict = compiled(f, *given), compiled(f, *given, numerics="strict")
    assert rules(fast) == ["matrix_chain"]
    assert rules(strict) == []
    assert fast.cost().flops < strict.cost().flops


LEFT: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "already cheapest": (lambda a, b, v: a @ (b @ v), (A, B, V)),
    "needed elsewhere": (lambda a, b, v: (a @ b) @ v + (a @ b)[:, 0], (A, B, V)),
    "something between": (lambda a, b, v: (a @ b + 1.0) @ v, (A, B, V)),
    "two": (lambda a, b: a @ b, (A, B)),
}


@pytest.mark.parametrize("name", LEFT)
def test_others_stay_as_written(name: str) -> None:
    f, given = LEFT[name]
    assert rules(compiled(f, *given)) == []


@pytest.mark.parametrize("turned", list(product([False, True], repeat=3)))
def test_every_way_of_writing_three_factors(turned: tuple[bool, ...]) -> None:
    shapes = [(5, 4), (4, 6), (6, 2)]
    given = [
        small(*(shape[::-1] if over else shape)) for shape, over in zip(shapes, turned, strict=True)
    ]

    def f(*xs: Any) -> Any:
        a, b, c = (x.T if over else x for x, over in zip(xs, turned, strict=True))
        return a @ b @ c

    assert rules(compiled(f, *given)) == ["matrix_chain"]


def test_unknown_sizes_go_by_what_is_never_dearer() -> None:
    a, b = sc.var("a", "f64[m,k]"), sc.var("b", "f64[k,n]")
    v, c = sc.var("v", "f64[n]"), sc.var("c", "f64[n,p]")
    by_vector = sc.function([a, b, v], a @ b @ v, cache=False, numerics="fast")
    assert rules(by_vector) == ["matrix_chain"]
    undecided = sc.function([a, b, c], a @ b @ c, cache=False, numerics="fast")
    assert rules(undecided) == []
    for m, k, n in ((1, 1, 1), (3, 0, 2), (5, 7, 4)):
        given = small(m, k), small(k, n), small(n)
        np.testing.assert_array_equal(by_vector(*given), given[0] @ given[1] @ given[2])
