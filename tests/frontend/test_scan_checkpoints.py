"""Reverse mode through scans with few snapshots: bits, runs of a step, bytes, other transforms."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand
from symc.ir import ops
from symc.ir.core import reachable
from symc.ir.dims import substitute

W = np.random.default_rng(1).normal(size=(3, 3)) / 2
H = np.full(3, 0.1)
XS = np.random.default_rng(2).normal(size=(60, 3))


def step(c: Any, a: Any, w: Any) -> tuple[Any, Any]:
    c = sc.tanh(c @ w + a)
    return c, sc.sin(c) * a


def loss(w: Any, h: Any, xs: Any, **how: object) -> Any:
    last, ys = sc.scan(lambda c, a: step(c, a, w), h, xs, **how)
    return sc.sum(last**2) + sc.sum(ys**3)


def fewest(n: int, slots: int) -> tuple[int, int]:
    """Runs of steps forward that reversing n steps takes at least, and the most of one step.

    Griewank and Walther, Algorithm 799, 2000.
    """
    runs = 0
    while comb(slots + runs, slots) < n:
        runs += 1
    return (runs * n - comb(slots + runs, runs - 1) if runs else 0), runs


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_bits_are_those_of_the_plain_scan(slots: int, reverse: bool) -> None:
    """All but the sum over steps of a constant's cotangent, which the plain scan takes as one."""
    memory = sc.checkpoints(max_snapshots=slots)
    w, h, x = sc.var("w", "f64[3,3]"), sc.var("h", "f64[3]"), sc.var("x", "f64[n,3]")

    def slopes(**how: object) -> sc.Function:
        value = loss(w, h, x, reverse=reverse, **how)
        return sc.function([w, h, x], [value, *sc.grad(value, [w, h, x])])

    f, g = slopes(checkpoint=memory), slopes()
    for n in (0, 1, 2, 3, 4, 5, 10, 11, 35, 60):
        (value, g_w, g_h, g_x), want = f(W, H, XS[:n]), g(W, H, XS[:n])
        assert value == want[0]
        np.testing.assert_allclose(g_w, want[1], rtol=1e-12, atol=1e-15)
        assert g_h.tolist() == want[2].tolist()
        assert g_x.tolist() == want[3].tolist()


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_steps_run_as_often_as_they_must(slots: int) -> None:
    """The counter of the reversal in the emitted code, and the scan before it over all steps.

    What that adds to the fewest runs is the last step, and those from the last snapshot to it.
    """
    w, h, x = sc.var("w", "f64[3,3]"), sc.var("h", "f64[3]"), sc.var("x", "f64[n,3]")
    value = loss(w, h, x, checkpoint=sc.checkpoints(max_snapshots=slots))
    slope = sc.grad(value, h)
    nodes, _ = reachable([slope.__symc_operand__().value])
    back = [n for n in nodes if n.op is ops.WHILE and n.regions[1].name == "reversal"]
    runs = Expr(Operand(back[0].results[2 * 1 + 4]))
    f = sc.function([w, h, x], [slope, runs])
    rows = np.random.default_rng(3).normal(size=(1000, 3))
    kept = slots - min(5, slots // 4)
    for n in (0, 1, 2, 3, 4, 5, 6, 10, 15, 21, 22, 60, 100, 1000):
        if n <= 100 or slots > 1:
            found = int(f(W, H, rows[:n])[1]) - n
            least, most = fewest(n, kept)
            assert least <= found + n <= least + 1 + most


def test_bytes_of_a_scan_are_those_of_its_snapshots() -> None:
    size = 512

    def workspace(**how: object) -> object:
        h, x = sc.var("h", f"f64[{size}]"), sc.var("x", "f64[n]")
        last = sc.scan(lambda c, a: (sc.tanh(sc.sin(c) + a), None), h, x, **how)[0]
        return sc.function([h, x], sc.grad(sc.sum(last), h)).cost().workspace

    plain = substitute(workspace(), {"n": 10_000})
    assert isinstance(plain, int)
    assert plain > 10_000 * size * 8
    few = workspace(checkpoint=sc.checkpoints(max_snapshots=20))
    assert isinstance(few, int)
    assert few <= 21 * size * 8 + 4096


READ: dict[str, tuple[Callable[[Any], Any], int]] = {
    "[-1]": (lambda y: y[-1], 1),
    "[-9:]": (lambda y: y[-9:], 9),
    "[::-50]": (lambda y: y[::-50], 200),
    "ends": (lambda y: sc.concat([y[:3], y[-20:]]), 23),
    "arithmetic": (lambda y: (2 * y.T + 1)[:, -7:], 7),
}


@pytest.mark.parametrize("name", READ)
def test_rows_that_nobody_reads_have_no_cotangents(name: str) -> None:
    """Of 10,000 steps: the memory of the snapshots, and of the rows that are read."""
    take, rows = READ[name]
    size = 64

    def slopes(n: object, **how: object) -> sc.Function:
        h, x = sc.var("h", f"f64[{size}]"), sc.var("x", f"f64[{n},{size}]")
        pair = lambda c, a: ((after := sc.tanh(c * 0.5 + a)), after)  # noqa: E731
        ys = sc.scan(pair, h, x, **how)[1]
        return sc.function([h, x], sc.grad(sc.sum(take(ys) ** 2), [h, x][: 1 if n == "n" else 2]))

    few = {"checkpoint": sc.checkpoints(max_snapshots=10)}
    bytes = substitute(slopes("n", **few).cost().workspace, {"n": 10_000})
    assert isinstance(bytes, int)
    assert bytes <= (14 + 4 * rows) * size * 8 + 4096
    given = np.linspace(0, 1, size), np.random.default_rng(5).normal(size=(70, size))
    for got, want in zip(slopes(70, **few)(*given), slopes(70)(*given), strict=True):
        assert got.tolist() == want.tolist()


def test_other_transforms() -> None:
    memory = sc.checkpoints(max_snapshots=3)
    few = lambda *args: loss(*args, checkpoint=memory)  # noqa: E731
    xs = XS[:13]
    sc.check_grads(lambda w: few(w, H, xs), (W,), order=1)
    got = sc.hvp(lambda w: few(w, H, xs), (W,), (W,))
    want = sc.hvp(lambda w: loss(w, H, xs), (W,), (W,))
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)
    along = sc.grad(lambda w: sc.jvp(lambda w: few(w, H, xs), (w,), (W,))[1])(W)
    np.testing.assert_allclose(along, want, rtol=1e-11, atol=1e-14)
    twice = sc.grad(lambda w: sc.sum(sc.grad(lambda w: few(w, H, xs))(w) * W))(W)
    np.testing.assert_allclose(twice, want, rtol=1e-11, atol=1e-14)
    batch = np.random.default_rng(4).normal(size=(4, 3))
    slope: Callable = sc.grad(lambda h: few(W, h, xs))
    rows = [slope(row) for row in batch]
    np.testing.assert_allclose(sc.vmap(slope)(batch), rows, rtol=1e-12)
    whole = sc.grad(lambda hs: sc.sum(sc.vmap(lambda h: few(W, h, xs))(hs)))
    np.testing.assert_allclose(whole(batch), rows, rtol=1e-12)


def test_values_of_a_step_are_saved_by_their_names() -> None:
    def run(**how: object) -> sc.Function:
        h, x = sc.var("h", "f64[3]"), sc.var("x", "f64[n,3]")

        def named(c: Any, a: Any) -> tuple[Any, None]:
            h = sc.checkpoint_name(sc.tanh(c @ W), "h")
            return sc.tanh(sc.sin(h @ W) + sc.exp(h) @ W + a), None

        last = sc.scan(named, h, x, **how)[0]
        return sc.function([h, x], sc.grad(sc.sum(last), h))

    found = {name: run(checkpoint=how) for name, how in (("all", None), ("h", ["h"]), ("", []))}
    want = found["all"](H, XS)
    bytes = []
    for f in found.values():
        assert f(H, XS).tolist() == want.tolist()
        size = substitute(f.cost().workspace, {"n": 10_000})
        assert isinstance(size, int)
        bytes.append(size)
    assert bytes[0] > bytes[1] > bytes[2] > 10_000 * 24


def test_together_with_truncation() -> None:
    memory = sc.checkpoints(max_snapshots=3)
    got = sc.grad(lambda *a: loss(*a, truncate=9, checkpoint=memory), argnums=(0, 2))(W, H, XS)
    want = sc.grad(lambda *a: loss(*a, truncate=9), argnums=(0, 2))(W, H, XS)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    assert got[1].tolist() == want[1].tolist()


def test_loops_in_checkpoints_in_loops() -> None:
    def nested(inner: object, outer: object, keep: Callable) -> Callable:
        def body(c: Any, a: Any) -> tuple[Any, Any]:
            @keep
            def layer(c: Any) -> Any:
                return sc.scan(lambda c, _: (sc.tanh(c @ W + a), None), c, length=7, **inner)[0]

            c = layer(c)
            return c, c * a

        def total(h: Any, xs: Any) -> Any:
            last, ys = sc.scan(body, h, xs, **outer)
            return sc.sum(last) + sc.sum(ys**2)

        return sc.grad(total, argnums=(0, 1))

    some = {"checkpoint": sc.checkpoints(max_snapshots=3)}
    want = nested({}, {}, lambda f: f)(H, XS[:11])
    for inner, outer, keep in (
        (some, {}, lambda f: f),
        ({}, some, lambda f: f),
        (some, some, sc.checkpoint),
        (some, {"checkpoint": 3}, sc.checkpoint),
    ):
        got = nested(inner, outer, keep)(H, XS[:11])
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_nothing_is_remembered_where_nobody_goes_back() -> None:
    x = sc.var("x", "f64[n,3]")
    memory = sc.checkpoints(max_snapshots=9)
    f = sc.function([x], loss(W, H, x, checkpoint=memory))
    g = sc.function([x], loss(W, H, x))
    assert f.ir("optimized") == g.ir("optimized")
