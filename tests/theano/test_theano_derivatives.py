"""Derivatives through Theano's scan that went wrong elsewhere: high orders, shared variables,
several states, writes to one place."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc
from symc.theano import scan

RNG = np.random.default_rng(12)


@pytest.mark.parametrize("taps", [[-1], [-2], [-2, -1], [-3, -1]])
def test_derivatives_to_order_five_for_every_kind_of_tap(taps: list[int]) -> None:
    """pytensor#1772: high derivatives of a power by a scan, here of polynomials in x."""
    depth, steps = -min(taps), 6
    x = sc.var("x", "f64[]")
    initial = sc.ones(()) if taps == [-1] else sc.ones(depth)
    out, _ = scan(
        lambda *past: sum(past[:-1]) * past[-1],
        outputs_info={"initial": initial, "taps": taps},
        non_sequences=x,
        n_steps=steps,
    )
    rows = [np.poly1d([1.0])] * depth
    for _ in range(steps):
        rows.append(sum((rows[tap] for tap in taps), np.poly1d([0.0])) * np.poly1d([1, 0]))
    made, want = out[-1], rows[-1]
    for _ in range(5):
        made, want = sc.grad(made, x), want.deriv()
        np.testing.assert_allclose(sc.function([x], made)(1.3), want(1.3), rtol=1e-12)


@pytest.mark.parametrize("way", ["captured", "passed", "sequence"])
def test_gradients_of_shared_variables(way: str) -> None:
    """pytensor#555: shared variables captured, passed, and as sequences."""
    w, x = sc.shared(RNG.normal(size=4), name="w"), sc.var("x", "f64[4]")
    made = {
        "captured": lambda: scan(lambda a, h: h * sc.sum(w) + a, x, sc.ones(())),
        "passed": lambda: scan(lambda a, h, v: h * sc.sum(v) + a, x, sc.ones(()), w),
        "sequence": lambda: scan(lambda a, v, h: h * v + a, [x, w], sc.ones(())),
    }[way]()[0]
    f = sc.function([x], sc.grad(made[-1], w))
    at, start = RNG.normal(size=4), w.get()

    def last(v: np.ndarray) -> complex:
        h: complex = 1.0
        for a, factor in zip(at, v, strict=True):
            h = h * (factor if way == "sequence" else v.sum()) + a
        return h

    for _ in range(2):
        for i, got in enumerate(f(at)):
            moved = start + 1e-30j * (np.arange(4) == i)
            np.testing.assert_allclose(got, last(moved).imag / 1e-30, rtol=1e-12)


def test_integer_states_and_outputs_that_nothing_reads() -> None:
    x = sc.var("x", "f64[n]")
    (ys, counts, _), _ = scan(
        lambda a, h, k: (h * a + k, k + 1, sc.exp(h)),
        x,
        outputs_info=[sc.ones(()), sc.full((), 2), None],
    )
    f = sc.function([x], [sc.grad(sc.sum(ys), x), counts])
    at = RNG.normal(size=4)
    slopes, seen = f(at)
    assert seen.tolist() == [3, 4, 5, 6]

    def total(a: np.ndarray) -> complex:
        h, found = 1.0, 0.0
        for k, v in enumerate(a):
            h = h * v + 2 + k
            found = found + h
        return found

    for i in range(4):
        moved = at + 1e-30j * (np.arange(4) == i)
        np.testing.assert_allclose(slopes[i], total(moved).imag / 1e-30, rtol=1e-12)


def test_tangents_run_in_the_same_loop_and_rop_of_a_gradient() -> None:
    x, v = sc.var("x", "f64[n]"), sc.var("v", "f64[n]")
    out, _ = scan(lambda a, h: sc.sin(h * a), x, sc.ones(()))
    f = sc.function([x, v], [out[-1], sc.Rop(out[-1], x, v)])
    assert f.ir("optimized").count('"symc.scan"') == 1
    assert isinstance(f.cost().workspace, int)
    at, along = RNG.normal(size=5), RNG.normal(size=5)

    def last(a: np.ndarray) -> complex:
        h = 1.0
        for row in a:
            h = np.sin(h * row)
        return h

    _, moved = f(at, along)
    np.testing.assert_allclose(moved, last(at + 1e-30j * along).imag / 1e-30, rtol=1e-12)
    slope = sc.grad(out[-1], x)
    twice = sc.function([x, v], sc.Rop(slope, x, v))
    g, eps = sc.function([x], slope), 1e-6
    want = (g(at + eps * along) - g(at - eps * along)) / (2 * eps)
    np.testing.assert_allclose(twice(at, along), want, rtol=1e-6, atol=1e-9)


def test_two_writes_to_one_place_in_a_loop() -> None:
    """pytorch#136662: adding twice to one slot, the gradient was halved."""

    def step(a: sc.Expr, y: sc.Expr) -> sc.Expr:
        y = y.at[:, 0].add(sc.abs(a))
        return y.at[:, 0].add(sc.abs(a))

    x = sc.var("x", "f64[n,2]")
    out, _ = scan(step, x, sc.zeros((2, 2)))
    f = sc.function([x], sc.grad(sc.sum(out[-1]), x))
    at = RNG.normal(size=(3, 2))
    assert f(at).tolist() == (2 * np.sign(at)).tolist()


def test_the_gradient_inside_of_the_step() -> None:
    x = sc.var("x", "f64[]")

    def step(h: sc.Expr) -> sc.Expr:
        return h - 0.1 * sc.grad(sc.cos(h) * h, h)

    out, _ = scan(step, None, x, n_steps=4)
    f = sc.function([x], [out[-1], sc.grad(out[-1], x)])
    h, moved = 0.4 + 1e-30j, []
    for _ in range(4):
        h = h - 0.1 * (np.cos(h) - h * np.sin(h))
        moved.append(h)
    np.testing.assert_allclose(f(0.4), [h.real, h.imag / 1e-30], rtol=1e-12)
