"""A reduction of what stands side by side is made of the reductions of the parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(0)
Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]


def ints(*shape: int) -> np.ndarray:
    return RNG.integers(-9, 9, shape)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def compiled(f: Callable[..., Any], *given: np.ndarray, **options: Any) -> Any:
    return sc.jit(lambda *args: f(sc, *args), cache=False, **options)


def taken_apart(f: Any) -> bool:
    return any(fired.rule == "apart" for fired in f.explain().fired)


def joined(n: Any, *parts: Any, axis: int = 0) -> Any:
    return (n.concat if n is sc else n.concatenate)(parts, axis=axis)


EXACT: dict[str, Case] = {
    "integers": (lambda n, a, b: n.sum(joined(n, a, b)), (ints(30, 4), ints(20, 4))),
    "a product": (lambda n, a, b: n.prod(joined(n, a, b), axis=0), (ints(3, 4), ints(2, 4))),
    "max": (lambda n, a, b: n.max(joined(n, a, b), axis=0), (floats(30, 4), floats(20, 4))),
    "min": (lambda n, a, b: n.min(joined(n, a, b)), (floats(30, 4), floats(20, 4))),
    "any": (lambda n, a, b: n.any(joined(n, a, b) > 8, axis=0), (ints(3, 4), ints(2, 4))),
    "all": (lambda n, a, b: n.all(joined(n, a, b) > -9), (ints(3, 4), ints(2, 4))),
    "a kept axis": (
        lambda n, a, b: n.sum(joined(n, a, b, axis=1), axis=0),
        (floats(30, 4), floats(30, 5)),
    ),
    "a kept axis after": (
        lambda n, a, b: n.prod(joined(n, a, b, axis=0), axis=1),
        (floats(30, 4), floats(5, 4)),
    ),
    "elementwise work": (
        lambda n, a, b, w: n.max(n.exp(joined(n, a, b)) * w - 1.0),
        (floats(30), floats(20), floats(50)),
    ),
    "three parts": (lambda n, *abc: n.max(joined(n, *abc)), (floats(3), floats(5), floats(2))),
}


@pytest.mark.parametrize("name", EXACT)
def test_parts_are_never_put_together(name: str) -> None:
    f, given = EXACT[name]
    made, plain = compiled(f), compiled(f, opt=1)
    assert np.asarray(made(*given)).tobytes() == np.asarray(plain(*given)).tobytes()
    np.testing.assert_allclose(np.asarray(made(*given)), f(np, *given), rtol=1e-12)
    assert taken_apart(made)
    assert made.cost().bytes < plain.cost().bytes


def test_a_sum_of_floats_needs_the_licence() -> None:
    def f(n: Any, a: Any, b: Any) -> Any:
        return n.sum(n.abs(joined(n, a, b)) + 1.0)

    given = floats(300), floats(200)
    strict, fast, plain = compiled(f), compiled(f, numerics="fast"), compiled(f, opt=1)
    for made in (strict, fast, plain):
        made(*given)
    assert not taken_apart(strict)
    assert taken_apart(fast)
    assert float(strict(*given)) == float(plain(*given))
    np.testing.assert_allclose(float(fast(*given)), f(np, *given), rtol=1e-14)


def test_parts_that_may_be_empty_have_no_largest() -> None:
    a, b = sc.var("a", "f64[n]"), sc.var("b", "f64[4]")
    largest = sc.function([a, b], sc.max(sc.concat([a, b])), cache=False)
    assert not taken_apart(largest)
    assert float(largest(np.zeros(0), np.arange(4.0))) == 3.0
    held = sc.function([a, b], sc.all(sc.concat([a, b]) > 0), cache=False)
    assert taken_apart(held)
    assert not held(np.zeros(0), np.arange(4.0))
    assert held(np.zeros(0), np.arange(1.0, 5.0))


LEFT: dict[str, Case] = {
    "needed elsewhere": (
        lambda n, a, b: n.max(joined(n, a, b)) + joined(n, a, b),
        (floats(3), floats(2)),
    ),
    "work needed elsewhere": (
        lambda n, a, b: n.max(n.exp(joined(n, a, b))) + n.exp(joined(n, a, b)),
        (floats(3), floats(2)),
    ),
    "many parts": (lambda n, *parts: n.max(joined(n, *parts)), tuple(floats(3) for _ in range(5))),
    "the place of the largest": (
        lambda n, a, b: n.argmax(joined(n, a, b)),
        (floats(3), floats(2)),
    ),
    "behind a view": (
        lambda n, a, b: n.max(joined(n, a, b).reshape((5,)), axis=0),
        (floats(3, 1), floats(2, 1)),
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_stays(name: str) -> None:
    f, given = LEFT[name]
    made = compiled(f)
    np.testing.assert_allclose(np.asarray(made(*given)), f(np, *given), rtol=1e-12)
    assert taken_apart(made) == (name == "behind a view")
