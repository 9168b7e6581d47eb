"""A loss that a step adds up in its order leaves the loop with the product that it needs."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

N, K = 4, 5
RNG = np.random.default_rng(21)
U, W, V = RNG.normal(size=(N, N)) / 2, RNG.normal(size=(N, N)) / 2, RNG.normal(size=(N, K))


def lossy(u: object, w: object, v: object, xs: object, ts: object, *, reverse: bool = False):
    """The loss of a network, by the place of the right answer in each row of log odds."""

    def step(carry: tuple, row: tuple) -> tuple:
        h, loss = carry
        x, t = row
        h = sc.tanh(x @ u + h @ w)
        return (h, loss - sc.log_softmax(h @ v)[t]), None

    (_, loss), _ = sc.scan(step, (sc.zeros(N), 0.25), (xs, ts), reverse=reverse)
    return loss


def by_hand(xs: np.ndarray, ts: np.ndarray, *, reverse: bool) -> float:
    h, loss = np.zeros(N), 0.25
    rows = range(len(xs))
    for t in reversed(rows) if reverse else rows:
        h = np.tanh(xs[t] @ U + h @ W)
        odds = h @ V
        loss -= odds[ts[t]] - np.log(np.sum(np.exp(odds)))
    return loss


@pytest.mark.parametrize("reverse", [False, True])
def test_the_output_layer_is_one_product(reverse: bool) -> None:
    xs, ts = sc.var("xs", f"f64[n,{N}]"), sc.var("ts", "i64[n]")
    f = sc.function([xs, ts], lossy(U, W, V, xs, ts, reverse=reverse), cache=False)
    for rows in (0, 1, 2, 9):
        given = RNG.normal(size=(rows, N)), RNG.integers(0, K, rows)
        np.testing.assert_allclose(f(*given), by_hand(*given, reverse=reverse), rtol=1e-12)
    report = f.explain()
    network, adding = report.loops
    assert (len(network.products), network.carries) == (1, 1)
    assert (len(adding.products), adding.carries, adding.form) == (0, 1, "registers")
    outputs = [p for p in report.products if p.after == (0,)]
    assert [p.shape for p in outputs] == [f"[n, {N}] @ [{N}, {K}]"]


def test_its_gradient_has_one_product_a_step() -> None:
    given = RNG.normal(size=(7, N)), RNG.integers(0, K, 7)
    made = sc.jit(sc.value_and_grad(lambda p: lossy(*p, *given)))
    value, slopes = made([U, W, V])
    np.testing.assert_allclose(value, by_hand(*given, reverse=False), rtol=1e-12)
    products = sorted(len(loop.products) for loop in made.explain().loops)
    assert products[-2:] == [1, 1]
    assert sum(products) == 2
    sc.check_grads(lambda p: lossy(*p, *given), ([U, W, V],), order=1)
    assert [x.shape for x in slopes] == [(N, N), (N, N), (N, K)]


def test_the_order_of_the_sum_is_that_of_the_steps() -> None:
    """Products of small integers are exact in every order; what is added to them is not."""
    w = RNG.integers(-2, 3, (3, 3)).astype(np.float64)
    xs = RNG.normal(size=(50, 3)) * 10.0 ** RNG.integers(-8, 8, (50, 1))

    def step(carry: tuple, x: object) -> tuple:
        h, total = carry
        h = sc.maximum(sc.minimum(sc.round(h + x), 3.0), -3.0)
        return (h, total + sc.exp(h @ w) + x), None

    (_, total), _ = sc.jit(lambda xs: sc.scan(step, (sc.zeros(3), sc.zeros(3)), xs))(xs)
    h, expected = np.zeros(3), np.zeros(3)
    exp = sc.jit(lambda x: sc.exp(x))
    for x in xs:
        h = np.clip(np.rint(h + x), -3, 3)
        expected = expected + exp(h @ w) + x
    assert total.tolist() == expected.tolist()


def test_sums_without_a_product_of_their_own_stay() -> None:
    xs = sc.var("xs", f"f64[n,{N}]")

    def step(carry: tuple, x: object) -> tuple:
        h, total = carry
        h = sc.tanh(h @ W + x)
        return (h, total + sc.exp(h)), None

    made = sc.scan(step, (sc.zeros(N), sc.zeros(N)), xs)[0]
    (loop,) = sc.function([xs], list(made), cache=False).explain().loops
    assert loop.carries == 2
