"""Loops and choices on both doors: values, derivatives, batches, laziness, errors, counts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import symc as sc
from symc.compile.driver import recording

RNG = np.random.default_rng(5)
W, U = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(3, 3)) / 2
XS = RNG.normal(size=(6, 3))
FOUR = np.random.default_rng(3).normal(size=(4, 3))


def rnn(w: sc.Expr, u: sc.Expr, xs: sc.Expr, *, reverse: bool = False) -> sc.Expr:
    start = sc.zeros(3)
    _, hs = sc.scan(lambda h, x: (sc.tanh(h @ w + x @ u),) * 2, start, xs, reverse=reverse)
    return hs


def rnn_by_hand(w: np.ndarray, u: np.ndarray, xs: np.ndarray, *, reverse: bool) -> np.ndarray:
    h, out = np.zeros(3, np.result_type(w, u, xs)), np.zeros(xs.shape, np.result_type(w, u, xs))
    steps = range(len(xs))
    for t in reversed(steps) if reverse else steps:
        h = np.tanh(h @ w + xs[t] @ u)
        out[t] = h
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 2, 6])
def test_scan_is_the_loop_written_out(rows: int, reverse: bool) -> None:
    expected = rnn_by_hand(W, U, XS[:rows], reverse=reverse)
    for run in (rnn, sc.jit(rnn, static_argnames="reverse")):
        np.testing.assert_allclose(run(W, U, XS[:rows], reverse=reverse), expected, rtol=1e-13)


def test_scan_gives_the_last_carry_and_trees() -> None:
    def step(carry: dict, x: tuple) -> tuple[dict, dict]:
        a, b = x
        new = {"sum": carry["sum"] + a, "count": carry["count"] + 1}
        return new, {"mean": new["sum"] / new["count"], "b": b}

    first = {"sum": 0.0, "count": 0}
    a = np.arange(5.0)
    last, ys = sc.scan(step, first, (a, a > 2))
    assert float(last["sum"]) == 10
    assert int(last["count"]) == 5
    np.testing.assert_allclose(ys["mean"], np.cumsum(a) / np.arange(1, 6))
    assert ys["b"].dtype == bool


def test_a_length_without_sequences_and_a_weak_carry() -> None:
    last, ys = sc.scan(lambda c, _: (c * np.float32(0.5), c), 1, None, length=3)
    assert last.dtype == np.float32
    assert ys.tolist() == [1, 0.5, 0.25]


@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_of_scan(reverse: bool) -> None:
    weights = RNG.normal(size=XS.shape)

    def loss(w: sc.Expr, u: sc.Expr, xs: sc.Expr) -> sc.Expr:
        return sc.sum(weights * rnn(w, u, xs, reverse=reverse) ** 2)

    along = [RNG.normal(size=a.shape) for a in (W, U, XS)]
    moved = [a + 1e-30j * v for a, v in zip((W, U, XS), along, strict=True)]
    expected = np.sum(weights * rnn_by_hand(*moved, reverse=reverse) ** 2).imag / 1e-30
    _, pushed = sc.jvp(loss, (W, U, XS), along)
    np.testing.assert_allclose(pushed, expected, rtol=1e-12)
    slopes = sc.jit(sc.grad(loss, argnums=(0, 1, 2)))(W, U, XS)
    inner = sum(np.sum(g * v) for g, v in zip(slopes, along, strict=True))
    np.testing.assert_allclose(inner, expected, rtol=1e-12)
    sc.check_grads(loss, (W, U, XS), order=2)


def test_power_by_scan_to_the_fifth_derivative() -> None:
    """pytensor#1772: high derivatives of x**16 by a scan were wrong."""

    def power(x: sc.Expr) -> sc.Expr:
        return sc.scan(lambda c, _: (c * x, None), 1.0, None, length=16)[0]

    f: Callable = power
    factor = 1.0
    for order in range(1, 6):
        f = sc.grad(f)
        factor *= 17 - order
        np.testing.assert_allclose(f(1.1), factor * 1.1 ** (16 - order), rtol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
def test_gradients_for_every_trip_count(steps: int) -> None:
    """Enzyme#3174: adjoints must start from zero, also at the second call."""

    def total(w: sc.Expr, xs: sc.Expr) -> sc.Expr:
        return sc.sum(sc.scan(lambda c, x: (c * w + x, c), sc.zeros(3), xs)[1])

    xs = XS[:1].repeat(steps, axis=0) if steps else XS[:0]
    f = sc.jit(sc.grad(total))
    eps = 1e-6
    expected = (total(0.7 + eps, xs) - total(0.7 - eps, xs)) / (2 * eps)
    for _ in range(2):
        np.testing.assert_allclose(f(0.7, xs), expected, rtol=1e-7, atol=1e-9)


def test_two_scans_over_one_sequence_and_chained_scans() -> None:
    """Theano#2619: gradients of chained scans that share a sequence."""

    def f(a: sc.Expr, xs: sc.Expr) -> sc.Expr:
        _, ys = sc.scan(lambda c, x: (c + x * a, c * x), 0.0, xs)
        _, zs = sc.scan(lambda c, p: (c * p[0], c + p[1]), a, (ys, xs))
        return sc.sum(zs)

    xs = RNG.normal(size=5)
    sc.check_grads(f, (0.3, xs), order=2)


def test_nested_scans_with_captured_values() -> None:
    def f(a: sc.Expr, m: sc.Expr) -> sc.Expr:
        def row(total: sc.Expr, r: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
            inner, _ = sc.scan(lambda c, x: (sc.sin(c * a + x * total), None), total, r)
            return inner, inner * a

        last, ys = sc.scan(row, 0.1, m)
        return last + sc.sum(ys)

    def by_hand(a: float, m: np.ndarray) -> float:
        total, ys = 0.1, 0.0
        for r in m:
            c = total
            for x in r:
                c = np.sin(c * a + x * total)
            total = c
            ys += c * a
        return total + ys

    m = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(sc.jit(f)(0.8, m), by_hand(0.8, m), rtol=1e-13)
    sc.check_grads(f, (0.8, m), order=2)


def test_vmap_of_scan_and_scan_of_vmap() -> None:
    starts = RNG.normal(size=(4, 3))

    def run(h: sc.Expr) -> sc.Expr:
        return sc.scan(lambda h, x: (sc.tanh(h @ W + x), h), h, XS)[1]

    batch = sc.vmap(run)(starts)
    np.testing.assert_allclose(batch, np.stack([run(h) for h in starts]), rtol=1e-12)
    slopes = sc.vmap(sc.grad(lambda h: sc.sum(run(h) ** 2)))(starts)
    singles = [sc.grad(lambda h: sc.sum(run(h) ** 2))(h) for h in starts]
    np.testing.assert_allclose(slopes, np.stack(singles), rtol=1e-11)


def test_while_loop_runs_zero_or_more_times() -> None:
    f = sc.jit(lambda x: sc.while_loop(lambda c: c < 100.0, lambda c: c * c + 0.5, x))
    for start in (200.0, 1.1, 3.0):
        expected = start
        while expected < 100:
            expected = expected * expected + 0.5
        assert f(start) == expected
    _, slope = sc.jvp(f, (1.1,), (1.0,))
    eps = 1e-7
    np.testing.assert_allclose(slope, (f(1.1 + eps) - f(1.1 - eps)) / (2 * eps), rtol=1e-6)
    np.testing.assert_allclose(sc.grad(f)(1.1), slope, rtol=1e-14)


@pytest.mark.parametrize("size", [1, 9])
def test_ctrl_c_stops_a_loop_that_never_ends(size: int) -> None:
    """In registers (one element), and as kernels (81)."""
    f = sc.jit(lambda x: sc.while_loop(lambda c: c[0, 0] < 2.0, lambda c: c * 0.5, x))
    f(np.full((size, size), 5.0))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            f(np.ones((size, size)))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert f(np.full((size, size), 3.0))[0, 0] == 3


def test_lanes_of_a_while_loop_that_have_finished_stay() -> None:
    def collatz(n: sc.Expr) -> sc.Expr:
        def step(c: tuple) -> tuple:
            m, count = c
            return sc.where(m % 2 == 0, m // 2, 3 * m + 1), count + 1

        return sc.while_loop(lambda c: c[0] != 1, step, (n, 0))[1]

    numbers = np.arange(1, 20)
    expected = [int(collatz(n)) for n in numbers]
    assert expected[6] == 16
    assert sc.vmap(collatz)(numbers).tolist() == expected


def test_fori_loop_counts_from_lo() -> None:
    assert sc.fori_loop(2, 6, lambda i, c: c + i, 0) == 14
    assert sc.fori_loop(6, 2, lambda i, c: c + i, 7) == 7
    x = sc.var("x", "f64[n]")
    f = sc.function([x], sc.fori_loop(0, x.shape[0], lambda i, c: c + x[i] * i, 0.0))
    assert f(np.arange(4.0)) == 14


def test_map_has_no_loop_left() -> None:
    f = sc.jit(lambda xs: sc.map(lambda x: sc.sum(sc.exp(x)), xs))
    np.testing.assert_allclose(f(XS), np.exp(XS).sum(axis=1), rtol=1e-14)
    assert "symc.scan" not in f.ir("optimized")


class TestChoices:
    def test_one_branch_is_run(self) -> None:
        table = np.arange(3.0)

        def f(i: sc.Expr) -> sc.Expr:
            return sc.cond(i < 3, lambda i: sc.take(table, i), lambda i: -1.0, i)

        g = sc.jit(f)
        assert g(2) == 2
        assert g(7) == -1  # table[7], in the branch not taken, is not read

    def test_derivatives_are_those_of_the_branch(self) -> None:
        def f(x: sc.Expr) -> sc.Expr:
            return sc.cond(x > 0, lambda x: sc.log(x) * 3, lambda x: x * x, x)

        g = sc.jit(sc.value_and_grad(f))
        assert g(2.0) == (np.log(2.0) * 3, 1.5)
        assert g(-2.0) == (4.0, -4.0)
        assert sc.jvp(f, (-2.0,), (1.0,))[1] == -4
        assert sc.grad(sc.grad(f))(-2.0) == 2

    def test_switch_clamps(self) -> None:
        branches = [lambda x: x, lambda x: x + 1, lambda x: x + 2]
        assert [float(sc.switch(i, branches, 0.0)) for i in (-5, 0, 1, 2, 9)] == [0, 0, 1, 2, 2]
        batch = sc.vmap(lambda i: sc.switch(i, branches, 10.0))(np.array([-1, 0, 1, 2, 3]))
        assert batch.tolist() == [10, 10, 11, 12, 12]

    def test_ifelse_takes_values(self) -> None:
        x = sc.var("x", "f64[]")
        f = sc.function([x], sc.ifelse(x > 0, x * 2, x - 1))
        assert f(1.0) == 2
        assert f(-1.0) == -2

    def test_a_choice_in_a_loop(self) -> None:
        def step(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
            new = sc.cond(x > 0, lambda c, x: c + x, lambda c, x: c * 0.5, c, x)
            return new, new

        xs = RNG.normal(size=8)
        _, ys = sc.jit(lambda xs: sc.scan(step, 0.0, xs))(xs)
        c, expected = 0.0, []
        for x in xs:
            c = c + x if x > 0 else c * 0.5
            expected.append(c)
        assert ys.tolist() == expected
        sc.check_grads(lambda xs: sc.scan(step, 0.3, xs)[0], (xs,), order=1)


class TestCounts:
    def test_one_compile_for_fifty_lengths(self) -> None:
        f = sc.jit(lambda xs: sc.scan(lambda c, x: (c * 0.5 + x, c), 0.0, xs))
        with recording() as made:
            for n in range(2, 52):
                _, ys = f(np.arange(float(n)))
                assert ys.shape == (n,)
        assert len(made) <= 2

    def test_the_recurrent_network_has_the_products_it_needs(self) -> None:
        """One for the inputs, one per step each way, one each for three gradients."""
        x, y = sc.var("x", "f64[n,3]"), sc.var("y", "f64[n,3]")
        params = [sc.shared(RNG.normal(size=(3, 3)), name=name) for name in "UWV"]
        u, w, v = params
        hs = sc.scan(lambda h, a: (sc.tanh(a @ u + h @ w),) * 2, sc.zeros(3), x)[1]
        loss = sc.sum((hs @ v - y) ** 2)
        slopes = sc.grad(loss, params)
        updates = [(p, p - 0.1 * g) for p, g in zip(params, slopes, strict=True)]
        f = sc.function([x, y], loss, updates=updates)
        outside, inside = products(f.ir("optimized"))
        assert inside == 2  # h @ W forward, g @ W.T backward
        # x @ U, hs @ V, the cotangent @ V.T, and the gradients of U, W and V.
        assert outside == 6

    def test_a_write_at_an_index_copies_nothing_in_a_step(self) -> None:
        def count(b: sc.Expr, where: sc.Expr) -> sc.Expr:
            return sc.fori_loop(0, where.shape[0], lambda i, b: b.at[where[i]].add(1.0), b)

        f = sc.jit(count)
        where = RNG.integers(0, 9, 40)
        assert f(np.zeros(9), where).tolist() == np.bincount(where, minlength=9).tolist()
        # The one copy brings the first carry to where the loop keeps it.
        assert f.llvm().count("call void @symc.copy(") == 1
        with pytest.raises(sc.SymcIndexError):
            f(np.zeros(9), where + 9)

    def test_the_last_row_needs_no_rows(self) -> None:
        """What is read of a million steps is one carry: workspace does not grow with them."""
        f = sc.jit(lambda xs: sc.scan(lambda c, x: (c * 0.5 + x, c), 0.0, xs)[0])
        f(np.ones(10))
        assert f.cost().workspace < 1024
        assert "xf64" not in str(f.cost().workspace)


def products(text: str) -> tuple[int, int]:
    """Contractions outside and inside of loops, in the text of a function."""
    outside = inside = depth = 0
    for line in text.splitlines():
        depth += line.count('"symc.scan"')
        if '"symc.dot"' in line:
            inside, outside = (inside + 1, outside) if depth else (inside, outside + 1)
        depth -= line.strip().startswith("}) {carries")
    return outside, inside


# Carries and bounds in all their forms.
def test_a_concrete_first_carry_inside_a_trace() -> None:
    start = np.ones(3)

    @sc.jit
    def f(xs: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        return sc.scan(lambda c, x: (c * x, c), start, xs)

    last, ys = f(FOUR)
    np.testing.assert_allclose(last, FOUR.prod(axis=0), rtol=1e-14)
    assert ys[0].tolist() == [1, 1, 1]


def test_no_steps_give_the_first_carry_and_no_rows() -> None:
    for size in ("0", "n"):
        x = sc.var("x", f"f32[{size},3]")
        f = sc.function(
            [x], list(sc.scan(lambda c, x: (c + x, sc.sum(x)), sc.ones(3, dtype="f32"), x))
        )
        last, ys = f(np.zeros((0, 3), np.float32))
        assert last.tolist() == [1, 1, 1]
        assert (ys.shape, ys.dtype) == ((0,), np.float32)


def test_weak_carries_take_the_dtype_of_what_the_step_returns() -> None:
    x = np.arange(3, dtype=np.float32)
    (a, b), _ = sc.scan(lambda c, x: ((c[1], c[0] + x), None), (0, 1.0), x)
    assert a.dtype == b.dtype == np.float32
    count, _ = sc.scan(lambda c, x: (c + 1, None), 0, x)
    assert count == 3


def test_errors_name_the_loop() -> None:
    with pytest.raises(sc.DTypeError, match="decoder") as caught:
        sc.scan(lambda c, x: (c.astype("f64"), x), np.float32(1), FOUR, name="decoder")
    assert "test_control.py" in str(caught.value)
    assert "f32" in str(caught.value)
    assert "f64" in str(caught.value)


def test_shared_variables_in_the_step_and_their_gradient() -> None:
    """pytensor#555: the gradient of a scan over a shared variable."""
    w = sc.shared(np.eye(3) * 0.5, name="w")
    x = sc.var("x", "f64[n,3]")
    _, ys = sc.scan(lambda h, a: (sc.tanh(h @ w + a),) * 2, sc.zeros(3), x)
    loss = sc.sum(ys**2)
    f = sc.function([x], loss, updates=[(w, w - 0.1 * sc.grad(loss, w))])
    before = w.get()
    first = f(FOUR)
    slope = (before - w.get()) / 0.1

    def value(weights: np.ndarray) -> float:
        h, total = np.zeros(3), 0.0
        for a in FOUR:
            h = np.tanh(h @ weights + a)
            total += float(h @ h)
        return total

    assert first == pytest.approx(value(before), rel=1e-13)
    along = np.random.default_rng(0).normal(size=(3, 3))
    eps = 1e-6
    expected = (value(before + eps * along) - value(before - eps * along)) / (2 * eps)
    np.testing.assert_allclose(np.sum(slope * along), expected, rtol=1e-7)


def test_one_step_after_the_sizes_of_a_call() -> None:
    """A length that is 1 only once sizes are known leaves no loop."""
    f = sc.jit(lambda x: sc.scan(lambda c, a: (sc.tanh(c + a), c), sc.zeros(3), x[::4])[0])
    np.testing.assert_allclose(f(FOUR), np.tanh(FOUR[0]), rtol=1e-14)
    assert "symc.scan" not in f.ir("optimized")


def test_fori_loop_over_numbers_that_are_known_at_run_time() -> None:
    f = sc.jit(lambda lo, hi, x: sc.fori_loop(lo, hi, lambda i, c: c + x * i, 0.0))
    assert [f(lo, hi, 2.0) for lo, hi in ((0, 0), (0, 5), (3, 7), (7, 3))] == [0, 20, 36, 0]
    n = sc.var("n", "i32[]")
    x = sc.var("x", "f64[m]")
    total = sc.fori_loop(1, n, lambda i, c: (c[0] * x[i], c[1] + i), (x[0], 0))
    g = sc.function([n, x], total)
    assert [part.tolist() for part in g(np.int32(4), np.arange(1.0, 6))] == [24, 6]
    assert sc.fori_loop(np.array(2), np.array(5), lambda i, c: c + i, 0) == 9


def test_fori_loop_over_such_numbers_under_vmap_and_in_forward_mode() -> None:
    def power(n: sc.Expr, x: sc.Expr) -> sc.Expr:
        return sc.fori_loop(0, n, lambda _, c: c * x, 1.0)

    assert sc.vmap(power)(np.arange(4), np.full(4, 3.0)).tolist() == [1, 3, 9, 27]
    forward = sc.jit(sc.jacfwd(power, argnums=1))
    assert [forward(n, 2.0) for n in (0, 1, 3)] == [0, 1, 12]
    backward = sc.jit(sc.grad(power, argnums=1))
    assert [backward(n, 2.0) for n in (0, 1, 3)] == [0, 1, 12]


def test_fori_loop_wants_integers() -> None:
    for wrong in (2.0, np.array(2.0), np.arange(2)):
        with pytest.raises(sc.DTypeError, match="fori_loop: hi"):
            sc.fori_loop(0, wrong, lambda _, c: c, 0)
    with pytest.raises(sc.DTypeError, match="fori_loop: hi"):
        sc.jit(lambda n: sc.fori_loop(0, n, lambda _, c: c, 0))(2.5)


# Errors.
def wrong() -> Iterator[tuple[str, type[Exception], Callable[[], object]]]:
    x = np.ones(3)
    yield "no pair", sc.DTypeError, lambda: sc.scan(lambda c, x: c, 0.0, x)
    yield "no length", sc.ShapeError, lambda: sc.scan(lambda c, x: (c, x), 0.0)
    yield (
        "negative length",
        sc.ShapeError,
        lambda: sc.scan(lambda c, x: (c, x), 0.0, None, length=-1),
    )
    yield "two lengths", sc.ShapeError, lambda: sc.scan(lambda c, x: (c, x), 0.0, (x, np.ones(4)))
    yield "scalar sequence", sc.ShapeError, lambda: sc.scan(lambda c, x: (c, x), 0.0, 1.0)
    yield "another tree", sc.ShapeError, lambda: sc.scan(lambda c, x: ((c, c), x), 0.0, x)
    yield "another shape", sc.ShapeError, lambda: sc.scan(lambda c, x: (c[:2], x), x, x)
    yield (
        "another dtype",
        sc.DTypeError,
        lambda: sc.scan(lambda c, x: (c.astype("f64"), x), np.float32(1), x),
    )
    yield "condition", sc.DTypeError, lambda: sc.while_loop(lambda c: c, lambda c: c, 1.0)
    yield "no function", sc.DTypeError, lambda: sc.scan(3, 0.0, x)
    yield "pred", sc.DTypeError, lambda: sc.cond(x > 0, lambda: 1, lambda: 2)
    yield (
        "branches",
        sc.ShapeError,
        lambda: sc.cond(np.array(True), lambda: 1.0, lambda: np.ones(2)),
    )
    yield "no branches", sc.ShapeError, lambda: sc.switch(0, [], x)
    yield "index", sc.DTypeError, lambda: sc.switch(0.5, [lambda: 1], *())


@pytest.mark.parametrize("case", list(wrong()), ids=lambda case: case[0])
def test_wrong_uses_name_the_line(case: tuple) -> None:
    _, error, call = case
    with pytest.raises(error) as caught:
        call()
    assert "test_control.py" in str(caught.value)
