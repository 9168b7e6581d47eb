"""Gates of recurrent cells: one product for the inputs, one a step in each direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc

D, N, T = 3, 4, 6
RNG = np.random.default_rng(5)


def matrix(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) / 2


def separate(name: str) -> list[np.ndarray]:
    return [matrix(D, N) for _ in name] + [matrix(N, N) for _ in name] + [matrix(N) for _ in name]


def lstm_gates(p: list, h: object, x: object) -> list:
    return [x @ p[i] + h @ p[4 + i] + p[8 + i] for i in range(4)]


def one_gate(p: list, h: object, x: object) -> list:
    z = x @ p[0] + h @ p[1] + p[2]
    return [z[..., i * N : (i + 1) * N] for i in range(4)]


def beside(p: list, h: object, x: object) -> list:
    z = sc.concat([x, h], axis=-1) @ p[0] + p[1]
    return [z[..., i * N : (i + 1) * N] for i in range(4)]


GATES = {
    "separate": (lstm_gates, separate("ifog")),
    "together": (one_gate, [matrix(D, 4 * N), matrix(N, 4 * N), matrix(4 * N)]),
    "side by side": (beside, [matrix(D + N, 4 * N), matrix(4 * N)]),
}


def cell(gates: Callable, p: list) -> Callable:
    def step(state: tuple, x: object) -> tuple:
        h, c = state
        i, f, o, g = gates(p, h, x)
        c = sc.sigmoid(f) * c + sc.sigmoid(i) * sc.tanh(g)
        h = sc.sigmoid(o) * sc.tanh(c)
        return (h, c), h

    return step


def loss_of(gates: Callable, *, loop: bool) -> Callable:
    def loss(p: list, xs: object) -> object:
        zero = sc.zeros((*xs.shape[1:-1], N))
        if loop:
            hs = sc.scan(cell(gates, p), (zero, zero), xs)[1]
        else:
            state, found = (zero, zero), []
            for t in range(T):
                state, h = cell(gates, p)(state, xs[t])
                found.append(h)
            hs = sc.stack(found)
        return sc.sum(hs * sc.cos(hs))

    return loss


@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
@pytest.mark.parametrize("form", list(GATES))
def test_lstm_has_one_product_a_step(form: str, batch: tuple[int, ...]) -> None:
    gates, p = GATES[form]
    xs = RNG.normal(size=(T, *batch, D))
    made = sc.jit(sc.value_and_grad(loss_of(gates, loop=True)))
    value, slopes = made(p, xs)
    forward, backward = made.explain().loops
    assert [len(loop.products) for loop in (forward, backward)] == [1, 1]
    assert (forward.products[0].n, forward.products[0].k) == (4 * N, N)
    assert (backward.products[0].n, backward.products[0].k) == (N, 4 * N)
    assert forward.kernels <= 2
    assert backward.kernels <= 2
    outside = [product for product in made.explain().products if product.loop is None]
    inputs = [product for product in outside if not product.after]
    assert [product.n for product in inputs] == [4 * N]
    # The gradients of the weights: one of the inputs' part, one of the state's.
    assert len(outside) == 3
    expected, expected_slopes = sc.jit(sc.value_and_grad(loss_of(gates, loop=False)))(p, xs)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for ours, theirs in zip(slopes, expected_slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_both_doors_and_symbolic_lengths() -> None:
    gates, p = GATES["separate"]
    xs = sc.var("xs", f"f64[n,{D}]")
    weights = [sc.shared(x, name=f"w{i}") for i, x in enumerate(p)]
    loss = loss_of(gates, loop=True)(weights, xs)
    f = sc.function([xs], [loss, *sc.grad(loss, weights)], cache=False)
    assert [len(loop.products) for loop in f.explain().loops] == [1, 1]
    data = RNG.normal(size=(T, D))
    value, *slopes = f(data)
    expected, theirs = sc.jit(sc.value_and_grad(loss_of(gates, loop=True)))(p, data)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for one, other in zip(slopes, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    joined = [one for one in f.explain().loops[0].moved if one.kind == "joined"]
    assert joined
    assert "as one" in f.explain("loops")


def gru(p: list) -> Callable:
    def step(h: object, x: object) -> tuple:
        r = sc.sigmoid(x @ p[0] + h @ p[3] + p[6])
        z = sc.sigmoid(x @ p[1] + h @ p[4] + p[7])
        new = sc.tanh(x @ p[2] + (r * h) @ p[5] + p[8])
        h = z * h + (1 - z) * new
        return h, h

    return step


def test_gru_has_two_products_a_step() -> None:
    """The new state waits for a gate: its product is the second."""

    def loss(p: list, xs: object) -> object:
        return sc.sum(sc.scan(gru(p), sc.zeros(N), xs)[1] ** 2)

    p, xs = separate("rzn"), RNG.normal(size=(T, D))
    made = sc.jit(sc.value_and_grad(loss))
    made(p, xs)
    forward, backward = made.explain().loops
    assert sorted(product.n for product in forward.products) == [N, 2 * N]
    assert len(backward.products) == 2
    inputs = [x for x in made.explain().products if x.loop is None and not x.after]
    assert [product.n for product in inputs] == [3 * N]
    sc.check_grads(lambda p: loss(p, xs), (p,), order=1)


def test_constants_that_are_dear_to_put_together_stay_apart() -> None:
    """Two steps do not pay for a copy of all weights."""
    big = 300

    @sc.jit
    def last(h, a, b, xs):
        def step(h, x):
            return sc.tanh(h @ a) * sc.tanh(h @ b) + x, None

        return sc.scan(step, h, xs)[0]

    last(np.ones(big), np.ones((big, big)), np.ones((big, big)), np.ones((2, big)))
    (loop,) = last.explain().loops
    assert len(loop.products) == 2
    last(np.ones(big), np.ones((big, big)), np.ones((big, big)), np.ones((2000, big)))
    assert len(last.explain().loops[0].products) in {1, 2}


def test_pieces_of_one_array_are_joined_without_a_copy() -> None:
    w, xs = sc.var("w", "f64[4,8]"), sc.var("xs", "f64[n,4]")

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, None]:
        return sc.tanh(h @ w[:, :4]) * sc.sigmoid(h @ w[:, 4:]) + x, None

    f = sc.function([w, xs], sc.scan(step, sc.zeros(4), xs)[0], cache=False)
    (loop,) = f.explain().loops
    assert [product.n for product in loop.products] == [8]
    assert loop.memory == 0


def test_left_operands_and_matrices_are_joined_too() -> None:
    a, b = (sc.var(name, "f64[3,5]") for name in "ab")
    xs = sc.var("xs", "f64[n,2]")

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, None]:
        return sc.concat([a @ h, b @ h])[:5] * 0.1 + sc.sum(x), None

    f = sc.function([a, b, xs], sc.scan(step, sc.ones((5, 2)), xs)[0], cache=False)
    (loop,) = f.explain().loops
    assert [(product.m, product.n) for product in loop.products] == [(5, 2)]  # what is read of 6
    given = [RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5)), RNG.normal(size=(4, 2))]
    h = np.ones((5, 2))
    for x in given[2]:
        h = np.concatenate([given[0] @ h, given[1] @ h])[:5] * 0.1 + x.sum()
    np.testing.assert_allclose(f(*given), h, rtol=1e-12)


def test_chains_are_left_as_written() -> None:
    """Under contract="chain" nothing is split: its sum would be taken in another order."""
    w, xs = sc.var("w", "f64[7,4]"), sc.var("xs", "f64[n,3]")

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, None]:
        return sc.tanh(sc.concat([x, h]) @ w), None

    f = sc.function([w, xs], sc.scan(step, sc.zeros(4), xs)[0], contract="chain", cache=False)
    (loop,) = f.explain().loops
    assert [product.k for product in loop.products] == [7]
