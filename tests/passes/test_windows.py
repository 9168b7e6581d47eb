"""Of ys of which only slices are read, only those rows are kept: values, bytes, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.ir.dims import substitute, symbols

V = np.random.default_rng(1).normal(size=(3, 3)) / 2
ROW = 24  # bytes of a row

# What is read, and how many rows of n that takes.
TAKEN: dict[str, tuple[Callable, Callable[[int], int]]] = {
    "[-100:]": (lambda y: y[-100:], lambda n: 100),
    "[-100:-50]": (lambda y: y[-100:-50], lambda n: 50),
    "[:20]": (lambda y: y[:20], lambda n: 20),
    "[30:60]": (lambda y: y[30:60], lambda n: 30),
    "[::2]": (lambda y: y[::2], lambda n: (n + 1) // 2),
    "[::-2]": (lambda y: y[::-2], lambda n: (n + 1) // 2),
    "[5::7]": (lambda y: y[5::7], lambda n: n // 7 + 1),
    "[-200::50]": (lambda y: y[-200::50], lambda n: 4),
    "[::10][3:][::2]": (lambda y: y[::10][3:][::2], lambda n: n // 20 + 1),
    "[::3] twice": (lambda y: y[::3] * 2 + sc.tanh(y[::3]), lambda n: n // 3 + 1),
    "ends": (lambda y: sc.concat([y[:20], y[-20:]]), lambda n: 40),
    "neighbours": (lambda y: y[20:40] - y[21:41], lambda n: 21),
    "a row within": (lambda y: y[::5] + y[10], lambda n: n // 5 + 1),
    "transposed": (lambda y: sc.permute_dims(y, (1, 0))[:, -100:], lambda n: 100),
    "reshaped": (lambda y: sc.reshape(y, (y.shape[0], 3, 1))[-100:, 0], lambda n: 100),
    "cast": (lambda y: sc.astype(y, "f32")[::4], lambda n: n // 4 + 1),
    "arithmetic": (lambda y: (2 * y.T + 1)[1, ::4], lambda n: n // 4 + 1),
    "summed": (lambda y: sc.sum(y * y, axis=1)[-100:], lambda n: 100),
    "product": (lambda y: (y @ V)[-100:], lambda n: 100),
    "flipped": (lambda y: sc.flip(y, axis=0)[:100], lambda n: 100),
}


def step(c: Any, a: Any) -> tuple[Any, Any]:
    h = sc.tanh(c * 0.5 + a)
    return h, h


def rows_by_hand(x: np.ndarray, reverse: bool) -> np.ndarray:
    c, ys = np.zeros(3), np.zeros_like(x)
    steps = range(len(x))
    for t in reversed(steps) if reverse else steps:
        ys[t] = c = np.tanh(c * 0.5 + x[t])
    return ys


def numpy_take(name: str) -> Callable:
    given = {
        "ends": lambda y: np.concatenate([y[:20], y[-20:]]),
        "[::3] twice": lambda y: y[::3] * 2 + np.tanh(y[::3]),
        "transposed": lambda y: y.T[:, -100:],
        "reshaped": lambda y: y[-100:, :1],
        "cast": lambda y: y.astype(np.float32)[::4],
        "summed": lambda y: np.sum(y * y, axis=1)[-100:],
        "flipped": lambda y: y[::-1][:100],
    }
    return given.get(name) or TAKEN[name][0]


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("name", TAKEN)
def test_rows_that_nobody_reads_take_no_memory(name: str, reverse: bool) -> None:
    take, rows = TAKEN[name]
    x = sc.var("x", "f64[n,3]")
    f = sc.function([x], sc.sum(take(sc.scan(step, sc.zeros(3), x, reverse=reverse)[1])))
    g = sc.function([x], take(sc.scan(step, sc.zeros(3), x, reverse=reverse)[1]))
    for n in (1, 2, 99, 100, 101, 500):
        given = np.random.default_rng(n).normal(size=(n, 3))
        try:
            expected = numpy_take(name)(rows_by_hand(given, reverse))
        except (IndexError, ValueError):
            continue
        np.testing.assert_allclose(g(given), expected, rtol=1e-12, atol=1e-14)
    many = 100_000
    bytes = substitute(f.cost().workspace, {"n": many})
    assert isinstance(bytes, int)
    assert bytes <= rows(many) * ROW * 2 + 2000
    assert f.ir("optimized").count('"symc.scan"') == 1


def test_loops_in_registers_keep_every_second_row() -> None:
    x = sc.var("x", "f64[n]")
    ys = sc.scan(lambda c, a: (c * 0.5 + a, c * 0.5 + a), 0.0, x)[1]
    f = sc.function([x], [ys[::2], ys[-20:], ys[7::5]])
    given = np.random.default_rng(0).normal(size=101)
    c, rows = 0.0, []
    for a in given:
        c = c * 0.5 + a
        rows.append(c)
    whole = np.array(rows)
    for got, want in zip(f(given), (whole[::2], whole[-20:], whole[7::5]), strict=True):
        assert got.tolist() == want.tolist()
    assert "kept" in f.ir("optimized")


def test_what_others_read_stays() -> None:
    x = sc.var("x", "f64[300,3]")
    ys = sc.scan(step, sc.zeros(3), x)[1]
    f = sc.function([x], [ys[::2], ys, sc.sum(ys)])
    assert "kept" not in f.ir("optimized")
    given = np.random.default_rng(0).normal(size=(300, 3))
    some, every, _ = f(given)
    assert some.tolist() == every[::2].tolist()


@pytest.mark.parametrize("name", ["[-100:]", "[::2]", "ends", "arithmetic", "product"])
def test_gradients(name: str) -> None:
    take = TAKEN[name][0]
    given = np.random.default_rng(2).normal(size=(120, 3))

    def loss(x: Any) -> Any:
        return sc.sum(take(sc.scan(step, sc.zeros(3), x)[1]) ** 2)

    def whole(x: Any) -> Any:
        ys = sc.scan(step, sc.zeros(3), x)[1]
        return sc.sum(take(ys) ** 2) + 0 * sc.sum(ys)

    np.testing.assert_allclose(sc.grad(loss)(given), sc.grad(whole)(given), rtol=1e-12)
    along = np.random.default_rng(3).normal(size=(120, 3))
    np.testing.assert_allclose(
        sc.jvp(loss, (given,), (along,))[1], sc.jvp(whole, (given,), (along,))[1], rtol=1e-12
    )


def test_inside_of_loops_and_batches() -> None:
    def inner(c: Any, row: Any) -> tuple[Any, Any]:
        ys = sc.scan(step, c, sc.reshape(row, (40, 3)))[1]
        return sc.sum(ys[::2], axis=0) * 0.1, sc.sum(ys[-20:], axis=0)

    def f(x: Any) -> Any:
        ys = sc.scan(inner, sc.zeros(3), x)[1]
        return sc.sum(ys[::3] ** 2)

    def by_hand(x: np.ndarray) -> float:
        c, rows = np.zeros(3), []
        for row in x:
            ys = []
            for a in row.reshape(40, 3):
                c = np.tanh(c * 0.5 + a)
                ys.append(c)
            rows.append(np.sum(ys[-20:], axis=0))
            c = np.sum(ys[::2], axis=0) * 0.1
        return float(np.sum(np.array(rows[::3]) ** 2))

    given = np.random.default_rng(3).normal(size=(2, 12, 120))
    np.testing.assert_allclose(sc.jit(f)(given[0]), by_hand(given[0]), rtol=1e-12)
    np.testing.assert_allclose(sc.vmap(f)(given), [by_hand(x) for x in given], rtol=1e-12)


STOPPED: dict[str, tuple[Callable, int]] = {
    "[-1]": (lambda y: y[-1], 1),
    "[-4:]": (lambda y: y[-4:], 4),
    "[-40:]": (lambda y: y[-40:], 40),
    "[-6:][::-2]": (lambda y: y[-6:][::-2], 6),
    "[:7]": (lambda y: y[:7], 7),
    "both ends": (lambda y: sc.concat([y[:3], y[-5:]]), 8),
    "within": (lambda y: y[1:4] + y[-3:], 7),
    "arithmetic": (lambda y: (2 * y.T + 1)[:, -3:], 3),
}


@pytest.mark.parametrize("name", STOPPED)
def test_ends_of_loops_that_stop_when_they_like(name: str) -> None:
    take, rows = STOPPED[name]
    x = sc.var("x", "f64[n,3]")

    def stacked() -> Any:
        stop = lambda c: sc.sum(c) > 2.5  # noqa: E731
        return sc.scan(step, sc.zeros(3), x, until=stop)[1]

    f = sc.function([x], take(stacked()))
    ys = stacked()
    whole = sc.function([x], [take(ys), ys])
    loop = f.ir("optimized").partition('"symc.while"')[2].partition("\n}")[0]
    stacks = loop.rpartition("->")[2].count("$rows") if "->" in loop else 0
    assert stacks == 0
    workspace = f.cost().workspace
    bytes = substitute(workspace, {symbol.name: 100_000 for symbol in symbols(workspace)})
    assert isinstance(bytes, int)
    assert bytes <= rows * ROW * 3 + 1000
    ran = set()
    for seed in range(6):
        given = np.random.default_rng(seed).normal(size=(50, 3))
        try:
            want, every = whole(given)
        except (sc.ShapeError, sc.SymcIndexError) as error:
            with pytest.raises(type(error)):
                f(given)
            continue
        ran.add(len(every))
        assert f(given).tolist() == want.tolist()
    assert len(ran) > 1


def test_gradients_of_the_ends_of_loops_that_stop() -> None:
    given = np.random.default_rng(2).normal(size=(50, 3))

    def loss(x: Any, more: float) -> Any:
        ys = sc.scan(step, sc.zeros(3), x, until=lambda c: sc.sum(c) > 2.5)[1]
        return sc.sum(ys[-4:] ** 2) + sc.sum(ys[:2]) + more * sc.sum(ys)

    some, whole = (sc.grad(lambda x, m=more: loss(x, m))(given) for more in (0.0, 1e-300))
    np.testing.assert_allclose(some, whole, rtol=1e-13)
    assert np.any(some != 0)
