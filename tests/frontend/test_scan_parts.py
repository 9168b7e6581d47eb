"""Truncated reverse mode and checkpoints in scans: values, derivatives, bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(11)
W = RNG.normal(size=(3, 3)) / 2
XS = RNG.normal(size=(7, 3))
WEIGHTS = RNG.normal(size=(7, 3))


def scanned(w: sc.Expr, h: sc.Expr, xs: sc.Expr, **how: object) -> tuple[sc.Expr, sc.Expr]:
    return sc.scan(lambda h, x: (sc.tanh(h @ w + x),) * 2, h, xs, **how)


def loss(w: sc.Expr, h: sc.Expr, xs: sc.Expr, **how: object) -> sc.Expr:
    last, ys = scanned(w, h, xs, **how)
    return sc.sum(ys * WEIGHTS[: xs.shape[0]]) + sc.sum(last**2)


def truncated_by_hand(w: np.ndarray, h: np.ndarray, k: int, reverse: bool) -> list[np.ndarray]:
    """Backpropagation through the last k steps, written out."""
    order = list(range(len(XS)))[:: -1 if reverse else 1]
    states = [h]
    for t in order:
        states.append(np.tanh(states[-1] @ w + XS[t]))
    g_w, g_x = np.zeros_like(w), np.zeros_like(XS)
    ct = 2 * states[-1]
    for place in range(len(order) - 1, max(len(order) - k, 0) - 1, -1):
        t = order[place]
        inner = (ct + WEIGHTS[t]) * (1 - states[place + 1] ** 2)
        g_w += np.outer(states[place], inner)
        g_x[t] = inner
        ct = inner @ w.T
    return [g_w, ct if k >= len(order) else np.zeros_like(h), g_x]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 7, 9])
def test_truncated_gradients(k: int, reverse: bool) -> None:
    h = np.full(3, 0.1)
    how = {"truncate": k, "reverse": reverse}
    expected = truncated_by_hand(W, h, k, reverse)
    found = sc.jit(sc.grad(lambda *a: loss(*a, **how), argnums=(0, 1, 2)))(W, h, XS)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)
    w, start, x = sc.var("w", "f64[3,3]"), sc.var("h", "f64[3]"), sc.var("x", "f64[n,3]")
    last, ys = scanned(w, start, x, **how)
    total = sc.sum(ys * WEIGHTS) + sc.sum(last**2)
    f = sc.function([w, start, x], sc.grad(total, [w, start, x], disconnected="zero"))
    for got, want in zip(f(W, h, XS), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)


def test_truncation_leaves_values_and_forward_mode() -> None:
    args, along = (W, np.ones(3), XS), (W * 0.3, XS[0], XS * 2)
    whole = sc.jvp(loss, args, along)
    np.testing.assert_allclose(sc.jvp(lambda *a: loss(*a, truncate=2), args, along), whole, 1e-13)
    plain, cut = (scanned(*args), scanned(*args, truncate=2))
    for got, want in zip(cut, plain, strict=True):
        assert got.tolist() == want.tolist()


def test_reverse_over_forward_is_truncated_too() -> None:
    """A directional derivative of a truncated gradient, both ways round, on a linear loop."""

    def f(w: sc.Expr, xs: sc.Expr) -> sc.Expr:
        return sc.scan(lambda c, x: (c * w + x, None), 0.0, xs, truncate=2)[0]

    def slope(xs: sc.Expr) -> sc.Expr:
        return sc.jvp(lambda w: f(w, xs), (0.5,), (1.0,))[1]

    # sum over t of (n-1-t) 0.5**(n-2-t): of its slopes those of the last two steps stay.
    found = sc.grad(slope)(np.ones(5))
    np.testing.assert_allclose(found, [0, 0, 0, 1, 0], rtol=1e-13)


HOWS: dict[str, object] = {"1": 1, "2": 2, "3": 3, "7": 7, "20": 20, "sqrt": "sqrt"}
POLICIES: dict[str, object] = {"nothing": "nothing", "dots": "dots", "everything": "everything"}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", [*HOWS, *POLICIES])
def test_checkpoints_leave_bits(name: str, reverse: bool) -> None:
    """Values, and the cotangents that reach the first carry and the rows, have the same bits."""
    how = {"checkpoint": {**HOWS, **POLICIES}[name], "reverse": reverse}
    h = np.full(3, 0.1)

    def both(**how: object) -> Callable:
        return sc.jit(sc.value_and_grad(lambda *a: loss(*a, **how), argnums=(0, 1, 2)))

    value, (g_w, g_h, g_x) = both(**how)(W, h, XS)
    want, (want_w, want_h, want_x) = both(reverse=reverse)(W, h, XS)
    assert value == want
    assert g_h.tolist() == want_h.tolist()
    assert g_x.tolist() == want_x.tolist()
    np.testing.assert_allclose(g_w, want_w, rtol=1e-13, atol=1e-15)


def workspace(rows: int, **how: object) -> int:
    def last(h: sc.Expr) -> sc.Expr:
        step = lambda h, _: (sc.tanh(sc.sin(h) @ W), None)  # noqa: E731
        return sc.sum(sc.scan(step, h, None, length=rows, **how)[0])

    f = sc.jit(sc.grad(last))
    f(np.ones(3))
    return f.cost().workspace


def test_bytes_of_checkpoints() -> None:
    """900 steps: every carry, or those of 30 segments and of the one that runs again."""
    assert workspace(900) > 900 * 24
    assert workspace(900, checkpoint="sqrt") < 4 * 60 * 24 + 4096
    assert workspace(900, checkpoint=90) < workspace(900) / 3


@pytest.mark.parametrize("every", [3, "sqrt"])
def test_checkpoints_of_a_symbolic_length(every: object) -> None:
    w, h, x = sc.var("w", "f64[3,3]"), sc.var("h", "f64[3]"), sc.var("x", "f64[n,3]")

    def slopes(**how: object) -> sc.Function:
        last, ys = scanned(w, h, x, **how)
        return sc.function([w, h, x], sc.grad(sc.sum(last**2) + sc.sum(ys**3), [w, h, x]))

    f, g = slopes(checkpoint=every), slopes()
    for rows in (0, 1, 2, 3, 5, 7):
        for got, want in zip(f(W, XS[0], XS[:rows]), g(W, XS[0], XS[:rows]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_checkpoint_and_truncate_together_and_second_order() -> None:
    h = np.full(3, 0.1)
    found = sc.grad(lambda *a: loss(*a, truncate=5, checkpoint=2), argnums=(0, 2))(W, h, XS)
    g_w, _, g_x = truncated_by_hand(W, h, 5, reverse=False)
    np.testing.assert_allclose(found[0], g_w, rtol=1e-11)
    np.testing.assert_allclose(found[1], g_x, rtol=1e-11, atol=1e-14)
    sc.check_grads(lambda w: loss(w, h, XS, checkpoint=3), (W,), order=2)


@pytest.mark.parametrize(
    "how",
    [{"truncate": -1}, {"truncate": 1.5}, {"checkpoint": 0}, {"checkpoint": "some"}],
    ids=str,
)
def test_wrong_options(how: dict) -> None:
    with pytest.raises(sc.DomainError, match=r"at: .*test_scan_parts\.py"):
        scanned(W, np.ones(3), XS, **how)
