"""Of ys of which only the last rows are read, only those are kept: values, bytes, gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc
from symc.ir import dims
from symc.passes.loops_rows import at_most

V = np.random.default_rng(1).normal(size=(3, 3))
TAKEN: dict[str, Callable] = {
    "[-1]": lambda y: y[-1],
    "[-1:]": lambda y: y[-1:],
    "[-3:]": lambda y: y[-3:],
    "[-3:][::-1][0]": lambda y: y[-3:][::-1][0],
    "[1:-1][-2:]": lambda y: y[1:-1][-2:],
    "[-2, 1:]": lambda y: y[-2, 1:],
    "two readers": lambda y: y[-1] * y[-2],
}
REVERSED: dict[str, Callable] = {
    "[0]": lambda y: y[0],
    "[:2]": lambda y: y[:2],
    "[:4][::-2]": lambda y: y[:4][::-2],
}


def step(c: sc.Expr, a: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
    h = c * 0.5 + a
    return h, sc.tanh(h @ V) * 2 + c


def rows_by_hand(x: np.ndarray, reverse: bool) -> np.ndarray:
    c, ys = np.zeros(3), np.zeros_like(x)
    steps = range(len(x))
    for t in reversed(steps) if reverse else steps:
        h = c * 0.5 + x[t]
        ys[t], c = np.tanh(h @ V) * 2 + c, h
    return ys


@pytest.mark.parametrize("name", [*TAKEN, *REVERSED])
def test_last_rows_take_no_memory_for_the_others(name: str) -> None:
    reverse = name in REVERSED
    take = {**TAKEN, **REVERSED}[name]
    x = sc.var("x", "f64[n,3]")
    f = sc.function([x], take(sc.scan(step, sc.zeros(3), x, reverse=reverse)[1]))
    assert not dims.symbols(f.cost().workspace)
    for rows in (1, 2, 3, 4, 10):
        given = np.random.default_rng(rows).normal(size=(rows, 3))
        try:
            expected = take(rows_by_hand(given, reverse))
        except IndexError:
            with pytest.raises(sc.SymcIndexError):
                f(given)
            continue
        np.testing.assert_allclose(f(given), expected, rtol=1e-13)


def test_no_steps_have_no_last_row() -> None:
    x = sc.var("x", "f64[n,3]")
    ys = sc.scan(step, sc.zeros(3), x)[1]
    empty = np.ones((0, 3))
    assert sc.function([x], ys[-2:])(empty).shape == (0, 3)
    with pytest.raises(sc.SymcIndexError):
        sc.function([x], ys[-1])(empty)


def test_rows_that_others_read_stay() -> None:
    x = sc.var("x", "f64[20,3]")
    ys = sc.scan(step, sc.zeros(3), x)[1]
    f = sc.function([x], [ys[-1], ys])
    given = np.random.default_rng(0).normal(size=(20, 3))
    last, every = f(given)
    np.testing.assert_allclose(every, rows_by_hand(given, reverse=False), rtol=1e-13)
    assert last.tolist() == every[-1].tolist()


def test_what_only_the_last_row_needs_is_done_once() -> None:
    x = sc.var("x", "f64[n,3]")
    f = sc.function([x], sc.scan(step, sc.zeros(3), x)[1][-1])
    loop = f.ir("optimized").partition('"symc.scan"')[2].partition("carries =")[0]
    assert "tanh" not in loop
    assert "tanh" in f.ir("optimized")


def test_gradients_of_the_last_row() -> None:
    given = np.random.default_rng(2).normal(size=(5, 3))
    sc.check_grads(lambda x: sc.sum(sc.scan(step, sc.zeros(3), x)[1][-1]), (given,), order=2)


@pytest.mark.parametrize(
    ("size", "bound"),
    [
        (dims.symbol("n") - dims.maximum(0, dims.symbol("n") - 3), 3),
        (dims.minimum(dims.symbol("n"), 4) + 1, 5),
        (7 - dims.symbol("n"), 7),
        (dims.symbol("n"), None),
        (dims.maximum(dims.symbol("n"), 4), None),
        (dims.maximum(dims.minimum(dims.symbol("n"), 4) - 2, 0) + 2, 4),
        ((dims.minimum(dims.symbol("n"), 6) + 1) // 2 * 2, 6),
        (dims.symbol("n") // 2, None),
    ],
)
def test_bounds_of_sizes(size: dims.Size, bound: int | None) -> None:
    assert at_most(size) == bound


def test_inside_of_loops_and_batches() -> None:
    def inner(c: sc.Expr, row: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        last = sc.scan(step, c, sc.reshape(row, (2, 3)))[1][-1]
        return last * 0.5, last

    def f(x: sc.Expr) -> sc.Expr:
        ys = sc.scan(inner, sc.zeros(3), x)[1]
        return sc.sum(ys[-2:] ** 2)

    def by_hand(x: np.ndarray) -> float:
        c, ys = np.zeros(3), []
        for row in x:
            for a in row.reshape(2, 3):
                y, c = np.tanh((c * 0.5 + a) @ V) * 2 + c, c * 0.5 + a
            c = y * 0.5
            ys.append(y)
        return sum(float(y @ y) for y in ys[-2:])

    given = np.random.default_rng(3).normal(size=(2, 5, 6))
    np.testing.assert_allclose(sc.jit(f)(given[0]), by_hand(given[0]), rtol=1e-12)
    np.testing.assert_allclose(sc.vmap(f)(given), [by_hand(x) for x in given], rtol=1e-12)
    sc.check_grads(f, (given[0],), order=2)


def test_states_further_back_are_shared_with_the_rows() -> None:
    """A loop that carries its last two values keeps no others for the rows."""
    x = sc.var("x", "f64[n]")
    ys = sc.scan(lambda c, a: ((c[1], c[0] + a), c[0] + a), (0.0, 0.0), x)[1]
    f = sc.function([x], ys[-2:])
    assert "carries = 2" in f.ir("optimized")
    a, b, rows = 0.0, 0.0, []
    for v in range(6):
        a, b = b, a + v
        rows.append(b)
    assert f(np.arange(6.0)).tolist() == rows[-2:]


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_read_the_sequence_besides_what_the_loop_carries(reverse: bool) -> None:
    def both(c: sc.Expr, a: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        return c * 0.5 + a, (c * a, a * 3)

    given = np.random.default_rng(4).normal(size=(8, 3))
    c, products = np.zeros(3), np.zeros_like(given)
    for t in reversed(range(8)) if reverse else range(8):
        products[t], c = c * given[t], c * 0.5 + given[t]
    take = (lambda y: y[:2]) if reverse else (lambda y: y[-2:])
    for rows in ("8", "n"):
        x = sc.var("x", f"f64[{rows},3]")
        ys, zs = sc.scan(both, sc.zeros(3), x, reverse=reverse)[1]
        found = sc.function([x], [take(ys), take(zs)])(given)
        np.testing.assert_allclose(found[0], take(products), rtol=1e-13)
        np.testing.assert_allclose(found[1], take(given * 3), rtol=1e-13)
