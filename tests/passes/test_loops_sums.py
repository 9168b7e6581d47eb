"""Sums over the steps leave the loop in every form that people and derivatives write them in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc
from symc.ir import dims

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(7, 5)), RNG.normal(size=(7, 4))

# A step, the first value, and the sum.
GONE: dict[str, tuple[Callable, Callable, np.ndarray]] = {
    "taken away": (
        lambda a, x, y: a - x[:, None] @ y[None, :],
        lambda: sc.zeros((5, 4)),
        -X.T @ Y,
    ),
    "transposed": (
        lambda a, x, y: a + (y[:, None] @ x[None, :]).T,
        lambda: sc.ones((5, 4)),
        1 + X.T @ Y,
    ),
    "two terms": (
        lambda a, x, y: a + x[:, None] @ y[None, :] + sc.tanh(x)[:, None] @ y[None, :],
        lambda: sc.zeros((5, 4)),
        X.T @ Y + np.tanh(X).T @ Y,
    ),
    "terms in brackets": (
        lambda a, x, y: (x[:, None] @ y[None, :] - sc.exp(x)[:, None] @ y[None, :]) + a,
        lambda: sc.zeros((5, 4)),
        X.T @ Y - np.exp(X).T @ Y,
    ),
    "broadcast": (lambda a, x, y: a + x[:, None] * y, lambda: sc.zeros((5, 4)), X.T @ Y),
    "side by side": (
        lambda a, x, y: a + sc.concat([x[:2, None] @ y[None, :], x[2:, None] @ y[None, :]]),
        lambda: sc.zeros((5, 4)),
        X.T @ Y,
    ),
    "loss": (lambda a, x, y: a + x[:4] @ y, lambda: 0.5, 0.5 + np.sum(X[:, :4] * Y)),
    "squares": (lambda a, x, y: a + sc.sum((x - 1) * (x - 1)), lambda: 0.0, np.sum((X - 1) ** 2)),
    "entropy": (
        lambda a, x, y: a - sc.sum(x[:4] * sc.log_softmax(y)),
        lambda: 0.0,
        -np.sum(X[:, :4] * (Y - np.log(np.sum(np.exp(Y), axis=1, keepdims=True)))),
    ),
}


def scanned(step: Callable, start: Callable) -> sc.Callable:
    x, y = sc.var("x", "f64[n,5]"), sc.var("y", "f64[n,4]")
    last = sc.scan(lambda a, v: (step(a, *v), None), start(), (x, y))[0]
    return sc.function([x, y], last, cache=False)


@pytest.mark.parametrize("name", list(GONE))
def test_sums_of_products_leave_the_loop(name: str) -> None:
    step, start, expected = GONE[name]
    f = scanned(step, start)
    np.testing.assert_allclose(f(X, Y), expected, rtol=1e-12)
    report = f.explain()
    assert report.loops == []
    assert [one.reason for one in report.vanished] == ["gone"]
    np.testing.assert_allclose(f(X[:0], Y[:0]), np.zeros_like(expected) + sc_start(start))


def sc_start(start: Callable) -> np.ndarray:
    """The first value as an array."""
    return np.asarray(sc.jit(lambda: sc.asarray(start()) * 1.0)())


STAYS: dict[str, tuple[Callable, Callable]] = {
    "no product": (lambda a, x, y: a + sc.exp(x), lambda: sc.zeros(5)),
    "read by the step": (lambda a, x, y: a + x * sc.sum(a), lambda: sc.zeros(5)),
    "taken from": (lambda a, x, y: x * y[0] - a, lambda: sc.zeros(5)),
    "one term is no product": (lambda a, x, y: a + (x * y[0] + sc.exp(x)), lambda: sc.zeros(5)),
}


@pytest.mark.parametrize("name", list(STAYS))
def test_other_sums_stay_as_they_are_written(name: str) -> None:
    step, start = STAYS[name]
    f = scanned(step, start)
    (loop,) = f.explain().loops
    assert loop.carries == 1
    value = np.zeros(5)
    for x, y in zip(X, Y, strict=True):
        value = np.asarray(sc.jit(step)(value, x, y))
    assert f(X, Y).tolist() == value.tolist()


def test_fast_numerics_take_any_sum_out() -> None:
    x = sc.var("x", "f64[n,5]")
    last = sc.scan(lambda a, v: (a + sc.exp(v), None), sc.zeros(5), x)[0]
    f = sc.function([x], last, numerics="fast", cache=False)
    assert f.explain().loops == []
    np.testing.assert_allclose(f(X), np.exp(X).sum(0), rtol=1e-12)


def test_a_product_that_would_be_kept_for_all_steps_stays() -> None:
    """Half an outer product: the array of all of them is larger than what it is made of."""
    x, y = sc.var("x", "f64[n,40]"), sc.var("y", "f64[n,50]")

    def step(a: sc.Expr, v: tuple[sc.Expr, sc.Expr]) -> tuple[sc.Expr, None]:
        return a + 0.3 * (v[0][:, None] @ v[1][None, :]), None

    f = sc.function([x, y], sc.scan(step, sc.zeros((40, 50)), (x, y))[0], cache=False)
    (loop,) = f.explain().loops
    assert not dims.symbols(f.cost().workspace)
    assert loop.memory == 0
    given = RNG.normal(size=(9, 40)), RNG.normal(size=(9, 50))
    np.testing.assert_allclose(f(*given), 0.3 * given[0].T @ given[1], rtol=1e-11)


def test_a_weight_that_a_step_uses_twice_has_no_sum_in_the_loop() -> None:
    w, xs = sc.var("w", "f64[4,4]"), sc.var("xs", "f64[n,4]")

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        h = sc.tanh(sc.tanh(h @ w + x) @ w)
        return h, h

    loss = sc.sum(sc.scan(step, sc.zeros(4), xs)[1])
    f = sc.function([w, xs], sc.grad(loss, w), cache=False)
    forward, backward = f.explain().loops
    assert len(forward.products) == len(backward.products) == 2
    assert backward.carries == 1
    assert len([p for p in f.explain().products if p.loop is None]) == 2
    given = RNG.normal(size=(4, 4)), RNG.normal(size=(6, 4))
    sc.check_grads(
        lambda w: sc.sum(sc.scan(lambda h, x: step2(h, x, w), sc.zeros(4), given[1])[1]),
        (given[0],),
        order=1,
    )


def step2(h: sc.Expr, x: sc.Expr, w: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
    h = sc.tanh(sc.tanh(h @ w + x) @ w)
    return h, h


def test_slices_of_a_weight_have_no_sum_in_the_loop() -> None:
    w, xs = sc.var("w", "f64[6,4]"), sc.var("xs", "f64[n,2]")

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        h = sc.tanh(x @ w[:2] + h @ w[2:])
        return h, h

    loss = sc.sum(sc.scan(step, sc.zeros(4), xs)[1])
    f = sc.function([w, xs], sc.grad(loss, w), cache=False)
    _, backward = f.explain().loops
    assert (backward.carries, len(backward.products)) == (1, 1)
    g = sc.jit(sc.grad(lambda w, xs: sc.sum(unrolled(w, xs))))
    given = RNG.normal(size=(6, 4)), RNG.normal(size=(5, 2))
    np.testing.assert_allclose(f(*given), g(*given), rtol=1e-11)


def unrolled(w: sc.Expr, xs: sc.Expr) -> sc.Expr:
    h, found = sc.zeros(4), []
    for t in range(5):
        h = sc.tanh(xs[t] @ w[:2] + h @ w[2:])
        found.append(h)
    return sc.stack(found)


def test_a_loss_that_is_carried_leaves_with_its_product() -> None:
    """The output layer is used in the step, for a loss that the step adds up."""
    n = 4
    xs, ts = sc.var("xs", f"f64[t,{n}]"), sc.var("ts", f"f64[t,{n}]")
    u, w, v = (sc.var(name, f"f64[{n},{n}]") for name in "UWV")

    def step(carry: tuple, row: tuple) -> tuple:
        h, loss = carry
        x, t = row
        h = sc.tanh(x @ u + h @ w)
        return (h, loss - sc.sum(t * sc.log_softmax(h @ v))), None

    (_, loss), _ = sc.scan(step, (sc.zeros(n), 0.0), (xs, ts))
    f = sc.function([xs, ts, u, w, v], [loss, *sc.grad(loss, [u, w, v])], cache=False)
    report = f.explain()
    assert [len(loop.products) for loop in report.loops] == [1, 1]
    assert [loop.carries for loop in report.loops] == [1, 1]
    assert len([p for p in report.products if p.loop is None]) == 6
