"""Loops as native functions: threads change no bit, steps call nothing, products are read well."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc


def _recurrence(x: sc.Expr, w: sc.Expr) -> sc.Expr:
    start = np.zeros(w.shape[0], np.float32)
    return sc.scan(lambda h, a: (sc.tanh(h @ w + a),) * 2, start, x)[1]


def _backwards(x: sc.Expr, w: sc.Expr) -> sc.Expr:
    start = np.zeros(w.shape[0], np.float32)
    return sc.scan(lambda h, a: (sc.tanh(w @ h + a),) * 2, start, x)[1]


def _inputs(units: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(units)
    x = rng.standard_normal((steps, units)).astype(np.float32)
    return x, (rng.standard_normal((units, units)) / np.sqrt(units)).astype(np.float32)


@pytest.mark.parametrize("function", [_recurrence, _backwards], ids=["columns", "rows"])
@pytest.mark.parametrize("units", [200, 333])
def test_threads_share_a_step_without_changing_a_bit(function: object, units: int) -> None:
    x, w = _inputs(units, 40)
    alone = sc.jit(function, threads=1)(x, w)
    for threads in (2, 3):
        shared = sc.jit(function, threads=threads)
        for _ in range(3):
            assert np.array_equal(shared(x, w), alone)


def _permutes(f: sc.Jit) -> int:
    return f.ir("optimized").count('"symc.permute"')


def test_a_small_matrix_read_by_rows_is_transposed_before_the_loop() -> None:
    x, w = _inputs(24, 30)
    by_rows, by_columns = sc.jit(_backwards), sc.jit(_recurrence)
    found = by_rows(x, w)
    by_columns(x, w)
    assert (_permutes(by_rows), _permutes(by_columns)) == (1, 0)
    h, expected = np.zeros(24, np.float32), []
    for row in x:
        h = np.tanh(w @ h + row)
        expected.append(h)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def test_nothing_is_transposed_for_chains_few_steps_and_large_matrices() -> None:
    for units, steps, contract in ((24, 30, "chain"), (24, 8, "any"), (128, 30, "any")):
        f = sc.jit(_backwards, contract=contract)
        f(*_inputs(units, steps))
        assert _permutes(f) == 0, (units, steps, contract)


def test_fast_recurrences_round_once() -> None:
    x = np.random.default_rng(0).standard_normal(50)

    def line(a: sc.Expr, x: sc.Expr) -> sc.Expr:
        return sc.scan(lambda h, t: (a * h + t,) * 2, 0.0, x)[1]

    strict, fast = sc.jit(line), sc.jit(line, numerics="fast")
    h, expected = 0.0, []
    for t in x:
        h = 0.9 * h + t
        expected.append(h)
    assert np.array_equal(strict(0.9, x), expected)
    np.testing.assert_allclose(fast(0.9, x), expected, rtol=1e-12)
    assert "x * y + z" in [fired.rule for fired in fast.explain().fired]
    assert "llvm.fma.f64" in fast.llvm()
    assert "llvm.fma.f64" not in strict.llvm()


@pytest.mark.parametrize("mode", ["clip", "wrap", "fill", "raise"])
@pytest.mark.parametrize("axis", [0, 1])
def test_steps_take_from_tables_that_stay_in_memory(axis: int, mode: str) -> None:
    """A table of 240 elements is no state of the loop: nothing is called in a step."""
    rng = np.random.default_rng(axis)
    table = rng.standard_normal((4, 60) if axis else (60, 4)).astype(np.float32)
    low, high = (-60, 60) if mode == "raise" else (-200, 200)
    indices = rng.integers(low, high, (25, 2))

    def step(table: sc.Expr, total: sc.Expr, i: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        rows = sc.take(table, i, axis=axis, mode=mode)
        total = 0.5 * total + sc.sum(rows, axis=1 - axis)
        return total, rows

    f = sc.jit(lambda t, i: sc.scan(lambda c, x: step(t, c, x), np.zeros(2, np.float32), i))
    last, rows = f(table, indices)
    expected = sc.jit(lambda t, i: sc.take(t, i, axis=axis, mode=mode))(table, indices)
    expected = np.moveaxis(expected, 1, 0) if axis else expected
    assert np.array_equal(rows, expected)
    total = np.zeros(2, np.float32)
    for row in rows:
        total = np.float32(0.5) * total + row.sum(axis=1 - axis)
    np.testing.assert_allclose(last, total, rtol=1e-5, atol=1e-5)
    assert "call i32 @" not in f.llvm()


def test_a_chain_of_reads_and_an_index_out_of_range() -> None:
    table = np.random.default_rng(0).integers(0, 50, 50)
    f = sc.jit(
        lambda t, n: sc.while_loop(
            lambda s: (s[1] < n) & (t[s[0]] >= 0), lambda s: (t[s[0]], s[1] + 1), (np.int64(3), 0)
        )[0]
    )
    at = 3
    for _ in range(77):
        at = table[at]
    assert f(table, 77) == at
    with pytest.raises(sc.SymcIndexError, match="50"):
        f(np.full(50, 50), 77)


def test_steps_of_any_size_are_shared() -> None:
    """One function whose sizes are known at the call only."""
    shared = sc.jit(_recurrence, threads=2)
    for units in (150, 260, 310, 40):
        x, w = _inputs(units, 20)
        assert np.array_equal(shared(x, w), sc.jit(_recurrence, threads=1)(x, w)), units
