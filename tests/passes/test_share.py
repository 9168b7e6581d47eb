"""Contractions that share an operand or add up become one where fewer bytes move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.passes import share
from symc.passes.share import elements

RNG = np.random.default_rng(0)


def small(*shape: int) -> np.ndarray:
    """Small integers, on which every order of summation gives the same bits."""
    return RNG.integers(-2, 3, shape).astype(np.float32)


def compiled(f: Callable[..., Any], *given: np.ndarray, **options: Any) -> Any:
    """`f` compiled, after its results were compared with NumPy's bit for bit."""
    made = sc.jit(f, cache=False, threads=1, **options)
    found, wanted = made(*given), f(*given)
    single = not isinstance(wanted, list)
    pairs = [(found, wanted)] if single else zip(found, wanted, strict=True)
    for left, right in pairs:
        np.testing.assert_array_equal(np.asarray(left), right)
    return made


def dots(f: Any) -> int:
    return f.ir("optimized").count('"symc.dot"')


def copies(f: Any) -> int:
    return f.ir("optimized").count('"symc.concat"')


def rules(f: Any) -> list[str]:
    return [fired.rule for fired in f.explain().fired if fired.stage == "share"]


STEPS = range(8)
X, W = small(8, 1, 256), small(256, 256)
PIECES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "rows": (lambda x, w: [x[t] @ w for t in STEPS], (X, W)),
    "vectors": (lambda x, w: [x[t, 0] @ w for t in STEPS], (X, W)),
    "backwards": (lambda x, w: [x[7 - t] @ w for t in STEPS], (X, W)),
    "slices": (lambda x, w: [x[2 * t : 2 * t + 2] @ w for t in STEPS], (small(16, 256), W)),
    "transposed": (lambda x, w: [x[t] @ w.T for t in STEPS], (X, W)),
    "on the right": (lambda x, w: [w @ x[:, t] for t in STEPS], (small(256, 8), W)),
}


@pytest.mark.parametrize("name", PIECES)
def test_products_of_pieces_with_one_matrix_are_one_contraction(name: str) -> None:
    f, given = PIECES[name]
    made = compiled(f, *given)
    assert dots(made) == 1
    assert copies(made) == 0
    assert rules(made) == ["shared_operand"]


def test_fewer_bytes_move() -> None:
    f, given = PIECES["rows"]
    made = compiled(f, *given)
    apart = sc.jit(f, cache=False, opt=1)
    apart(*given)
    assert made.cost().bytes < apart.cost().bytes / 5


SEPARATE: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "rows": (lambda w, *xs: [x @ w for x in xs], (W, *(small(2, 256) for _ in range(4)))),
    "columns": (
        lambda x, *ws: [x @ w for w in ws],
        (small(1000, 64), small(64, 2), small(64, 3), small(64, 1)),
    ),
    "vectors": (lambda a, *vs: [a @ v for v in vs], (small(512, 512), *small(3, 512))),
}


@pytest.mark.parametrize("name", SEPARATE)
def test_narrow_products_with_one_matrix_are_one_contraction(name: str) -> None:
    f, given = SEPARATE[name]
    made = compiled(f, *given)
    assert (dots(made), copies(made)) == (1, 1)


LEFT: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], int]] = {
    "gates of an LSTM": (
        lambda x, *ws: [x @ w for w in ws],
        (small(10, 128), *(small(128, 128) for _ in range(4))),
        4,
    ),
    "many rows": (lambda w, *xs: [x @ w for x in xs], (W, small(60, 256), small(60, 256)), 2),
    "small": (lambda w, *xs: [x @ w for x in xs], (small(8, 8), small(1, 8), small(1, 8)), 2),
    "a chain": (lambda x, w: x @ w @ w @ w, (small(1, 256), W), 3),
}


@pytest.mark.parametrize("name", LEFT)
def test_where_it_does_not_pay_or_cannot_be_they_stay_apart(name: str) -> None:
    f, given, count = LEFT[name]
    made = compiled(f, *given)
    assert dots(made) == count
    assert not rules(made)


def test_groups_that_would_wait_for_each_other_stay_apart() -> None:
    """Each pair could be joined, but not both."""

    def crossed(x: Any, v: Any, w: Any) -> list[Any]:
        first = x @ v
        second = x[:, ::-1] @ w
        return [first @ w, second @ v]

    given = small(1, 256), small(256, 256), small(256, 256)
    made = compiled(crossed, *given)
    assert dots(made) in (3, 4)


def test_a_sum_of_products_is_one_contraction() -> None:
    pairs = [small(2, 256) for _ in range(8)]
    made = compiled(lambda *p: sum(x.T @ g for x, g in zip(p[:4], p[4:], strict=True)), *pairs)
    assert dots(made) == 1
    assert rules(made) == ["sum_of_dots"]


def test_with_two_other_terms_it_needs_fast() -> None:
    pairs = [small(2, 256) for _ in range(4)]

    def f(a: Any, b: Any, *p: Any) -> Any:
        return a + p[0].T @ p[1] + b + p[2].T @ p[3] + p[1].T @ p[2]

    given = small(256, 256), small(256, 256), *pairs
    assert dots(compiled(f, *given)) == 3
    assert dots(compiled(f, *given, numerics="fast")) == 1


def test_under_chain_sums_stay_and_rows_are_joined() -> None:
    """Each element of joined rows is the same chain; a sum of chains is none."""
    pairs = [small(2, 256) for _ in range(4)]
    total = compiled(lambda a, b, c, d: a.T @ b + c.T @ d, *pairs, contract="chain")
    assert dots(total) == 2
    f, given = PIECES["rows"]
    assert dots(compiled(f, *given, contract="chain")) == 1


def test_the_gradient_of_an_unrolled_loop() -> None:
    """x_t @ W in one, and W's gradient in one; what depends on the step before stays."""
    steps = 6

    def loss(w: Any, u: Any, x: Any) -> Any:
        h = sc.zeros((2, 256), dtype="float32")
        for t in range(steps):
            h = sc.tanh(x[t] @ w + h @ u)
        return sc.sum(h)

    f = sc.jit(lambda w, u, x: sc.grad(loss, argnums=(0, 1))(w, u, x), cache=False)
    given = small(256, 256) / 50, small(256, 256) / 50, small(steps, 2, 256)
    plain = sc.jit(lambda w, u, x: sc.grad(loss, argnums=(0, 1))(w, u, x), cache=False, opt=1)
    for left, right in zip(f(*given), plain(*given), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)
    assert dots(f) <= dots(plain) - 3 * (steps - 2)
    assert sorted(rules(f)) == ["shared_operand", "sum_of_dots", "sum_of_dots"]


VIEWS: dict[str, Callable[..., Any]] = {
    "stack": lambda n, x: n.stack([x[i] for i in range(6)]),
    "stack of columns": lambda n, x: n.stack([x[:, i] for i in range(4)], axis=1),
    "stack of columns first": lambda n, x: n.stack([x[:, i] for i in range(4)]),
    "backwards, last": lambda n, x: n.stack([x[5 - i] for i in range(6)], axis=2),
    "every second": lambda n, x: n.stack([x[0], x[2], x[4]]),
    "slices": lambda n, x: n.concat([x[:2], x[2:3], x[3:]]),
    "slices of slices": lambda n, x: n.concat([x[1:5][:2], x[3:5]]),
    "an empty part": lambda n, x: n.concat([x[:3], x[3:3], x[3:]]),
}
COPIED: dict[str, Callable[..., Any]] = {
    "a gap": lambda n, x: n.concat([x[:2], x[3:]]),
    "out of order": lambda n, x: n.concat([x[2:], x[:2]]),
    "uneven": lambda n, x: n.stack([x[0], x[1], x[3]]),
    "twice": lambda n, x: n.stack([x[0], x[0]]),
    "two arrays": lambda n, x: n.stack([x[0], (x + 1.0)[1]]),
}


@pytest.mark.parametrize("name", [*VIEWS, *COPIED])
def test_neighbours_are_put_together_as_a_view(name: str) -> None:
    f = (VIEWS | COPIED)[name]
    x = small(6, 4, 5)
    made = sc.jit(lambda x: f(sc, x) * 2.0, cache=False)
    np.testing.assert_array_equal(np.asarray(made(x)), f(np, x) * 2)
    assert copies(made) == (name in COPIED)


def test_sizes_that_are_not_known_have_an_estimate() -> None:
    text = sc.function(
        [x := sc.var("x", "f32[b,n]")], x @ sc.permute_dims(x, (1, 0)), cache=False
    ).ir("traced")
    assert elements(parse_function(text).params[0].type.shape) == share.NOMINAL**2
    function = parse_function(text)
    assert share.run(function, Options()) is function
