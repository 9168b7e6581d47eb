"""Theano's scan: every rule of its semantics, one test or more for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc
from symc.theano import foldl, foldr, map, reduce, scan, until

RNG = np.random.default_rng(8)
U = RNG.normal(size=9)


def value(made: object, x: sc.Expr, at: np.ndarray) -> object:
    return sc.function([x], made)(at)


@pytest.fixture
def x() -> sc.Expr:
    return sc.var("x", "f64[n]")


class TestArguments:
    """R3.1-a: slices by sequence and tap, states by output and tap, then the others."""

    def test_order(self, x: sc.Expr) -> None:
        seen: list[int] = []

        def step(*args: sc.Expr) -> list[sc.Expr]:
            seen.append(len(args))
            s0, s1, t, a2, a1, b, c = args
            return [s0 * 1000 + s1 * 100 + a1 + c, t + a2 + b * 0]

        outs, updates = scan(
            step,
            sequences=[{"input": x, "taps": [1, 0]}, x],
            outputs_info=[{"initial": sc.zeros(2), "taps": [-2, -1]}, sc.zeros(())],
            non_sequences=[sc.full((), 7.0)],
        )
        assert set(seen) == {7}
        assert updates == {}
        first, second = value(list(outs), x, np.arange(4.0))
        assert first.tolist() == [1007, 3114, 6321]
        assert second.tolist() == [0, 1, 1009]

    def test_every_part_is_optional(self, x: sc.Expr) -> None:
        w = sc.shared(np.array(0.0))
        for made in (
            lambda a: a * 2,
            lambda a: [a * 2],
            lambda a: (a * 2, {}),
            lambda a: (a * 2, {w: w + a}),
            lambda a: ([a * 2], [(w, w + a)]),
        ):
            out, _ = scan(made, x)
            assert value(out, x, U).tolist() == (U * 2).tolist()
        none, updates = scan(lambda a: {w: w + a}, x)
        assert none is None
        f = sc.function([x], [], updates=updates)
        f(U)
        np.testing.assert_allclose(w.get(), U.sum(), rtol=1e-13)

    def test_until_keeps_the_step_that_meets_it(self, x: sc.Expr) -> None:
        found, _ = scan(lambda a: (a * 2.0, until(a > 1)), x)
        f = sc.function([x], found)
        np.testing.assert_array_equal(f(np.array([0.0, 3.0, 5.0])), [0.0, 6.0])
        np.testing.assert_array_equal(f(np.zeros(3)), np.zeros(3))
        assert f(np.zeros(0)).shape == (0,)


class TestTaps:
    """R3.1-b: taps of sequences and outputs."""

    @pytest.mark.parametrize("taps", [[-4, 0], [0], [2], [-1], [3, -2, 0], [-1, 1]])
    def test_sequences(self, x: sc.Expr, taps: list[int]) -> None:
        outs, _ = scan(lambda *a: list(a), {"input": x, "taps": taps}, return_list=True)
        low, high = min(0, *taps), max(0, *taps)
        steps = len(U) - (high - low)
        if taps == [-4, 0]:
            assert steps == 5
        found = value(list(outs), x, U)
        for tap, got in zip(taps, found, strict=True):
            assert got.tolist() == [U[t + tap] for t in range(-low, len(U) - high)]
            assert len(got) == steps

    @pytest.mark.parametrize("taps", [[-1], [-2, -1], [-1, -2], [-3, -1], [-3], [-2]])
    def test_outputs(self, taps: list[int]) -> None:
        depth = -min(taps)
        h, w = sc.var("h", f"f64[{depth}]"), sc.var("w", "f64[]")
        initial = h[0] if taps == [-1] else h
        out, _ = scan(
            lambda *past: sum((i + 1) * p for i, p in enumerate(past[:-1])) * past[-1],
            outputs_info={"initial": initial, "taps": taps},
            non_sequences=w,
            n_steps=5,
        )

        def by_hand(h: np.ndarray, w: float) -> np.ndarray:
            row = list(h)
            for _ in range(5):
                row.append(sum((i + 1) * row[tap] for i, tap in enumerate(taps)) * w)
            return np.array(row[depth:])

        start = RNG.normal(size=depth)
        f = sc.function([h, w], [out, *sc.grad(sc.sum(out**2), [h, w])])
        got, g_h, g_w = f(start, 0.3)
        np.testing.assert_allclose(got, by_hand(start, 0.3), rtol=1e-13)
        tiny = 1e-30j
        want = np.sum(by_hand(start, 0.3 + tiny) ** 2).imag / 1e-30
        np.testing.assert_allclose(g_w, want, rtol=1e-11)
        for i in range(depth):
            moved = start + tiny * (np.arange(depth) == i)
            want = np.sum(by_hand(moved, 0.3) ** 2).imag / 1e-30
            np.testing.assert_allclose(g_h[i], want, rtol=1e-11, atol=1e-14)

    def test_wrong_taps(self, x: sc.Expr) -> None:
        for taps in ([0], [1], [-1, -1], ["a"], []):
            with pytest.raises(sc.DomainError, match="taps"):
                scan(lambda a: a, None, {"initial": x, "taps": taps}, n_steps=2)
        with pytest.raises(sc.ShapeError, match="3 rows"):
            scan(lambda a: a, None, {"initial": sc.zeros(2), "taps": [-3]}, n_steps=2)


class TestOutputsInfo:
    """R3.1-c: which outputs have states, and of what type."""

    def test_none_and_empty_are_outputs_without_state(self, x: sc.Expr) -> None:
        (a, b, c), _ = scan(
            lambda s, h: (s * 2, s + h, s + 1), x, outputs_info=[None, sc.zeros(()), {}]
        )
        found = value([a, b, c], x, U)
        for got, want in zip(found, (U * 2, np.cumsum(U), U + 1), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-13)

    def test_too_few_entries(self, x: sc.Expr) -> None:
        with pytest.raises(sc.ShapeError, match="outputs_info"):
            scan(lambda s, h: (s, s + h), x, outputs_info=[sc.zeros(())])

    def test_a_state_that_changes_type(self, x: sc.Expr) -> None:
        with pytest.raises(sc.ShapeError, match="test_theano_scan"):
            scan(lambda s, h: h[:1], x, sc.zeros(2))
        with pytest.raises(sc.DTypeError, match="f64") as caught:
            scan(lambda s, h: h + s, x, sc.zeros((), dtype="f32"))
        assert "f32" in str(caught.value)
        assert "test_theano_scan.py" in str(caught.value)


class TestSteps:
    """R3.1-d: how many steps."""

    def test_the_shortest_sequence(self, x: sc.Expr) -> None:
        y = sc.var("y", "f64[m]")
        f = sc.function([x, y], scan(lambda a, b: a * b, [x, y])[0])
        assert f(U, U[:4]).tolist() == (U[:4] ** 2).tolist()
        assert f(U[:3], U).tolist() == (U[:3] ** 2).tolist()

    def test_n_steps(self, x: sc.Expr) -> None:
        f = sc.function([x], scan(lambda a: a, x, n_steps=3)[0])
        assert f(U).tolist() == U[:3].tolist()
        with pytest.raises(sc.ShapeError):
            f(U[:2])
        with pytest.raises(sc.ShapeError, match="n_steps"):
            scan(lambda a: a, sc.zeros(2), n_steps=3)

    def test_no_steps(self) -> None:
        v = sc.var("v", "f32[3]")
        out, _ = scan(lambda h: h * 2, None, v, n_steps=0)
        got = sc.function([v], out)(np.ones(3, np.float32))
        assert (got.shape, got.dtype) == ((0, 3), np.float32)

    def test_symbolic_n_steps(self, x: sc.Expr) -> None:
        f = sc.function([x], scan(lambda h: h * 2, None, sc.ones(()), n_steps=x.shape[0])[0])
        for n in (0, 1, 5):
            assert f(np.zeros(n)).tolist() == [2.0 ** (i + 1) for i in range(n)]

    def test_n_steps_that_is_a_value(self, x: sc.Expr) -> None:
        k = sc.var("k", "i32")
        out, updates = scan(lambda p, a: p * a, None, sc.ones_like(x), non_sequences=x, n_steps=k)
        power = out[-1]
        f = sc.function([x, k], [power, sc.grad(sc.sum(power), x)], updates=updates)
        a = np.arange(10.0)
        for n in (1, 2, 7):
            got, slope = f(a, n)
            np.testing.assert_allclose(got, a**n)
            np.testing.assert_allclose(slope, n * a ** (n - 1))
        with pytest.raises(sc.SymcIndexError):
            f(a, 0)
        with pytest.raises(sc.DomainError, match="n_steps: got -2, expected at least 0"):
            f(a, -2)

    def test_a_value_beside_sequences(self, x: sc.Expr) -> None:
        k = sc.var("k", "i64")
        taps = {"input": x, "taps": [0, 1]}
        rows, _ = scan(lambda a, b: a * b, taps, n_steps=k)
        back, _ = scan(lambda a, h: h + a, x, 0.0, n_steps=k, go_backwards=True)
        stop, _ = scan(lambda a: (a, until(a >= U[:2].max())), x, n_steps=k)
        f = sc.function([x, k], [rows, back, stop])
        for n in (0, 1, 3):
            found = f(U, n)
            np.testing.assert_array_equal(found[0], U[:n] * U[1 : n + 1])
            np.testing.assert_array_equal(found[1], np.cumsum(U[::-1][:n]))
            assert found[2].tolist() == (U[: np.argmax(U[:2]) + 1])[:n].tolist()
        with pytest.raises(sc.SymcIndexError, match="n_steps: rows"):
            f(U, len(U))

    def test_neither_and_negative(self) -> None:
        with pytest.raises(sc.ShapeError, match="n_steps"):
            scan(lambda h: h, None, sc.zeros(()))
        with pytest.raises(sc.ShapeError, match="reverse"):
            scan(lambda h: h, None, sc.zeros(()), n_steps=-2)


class TestOptions:
    """R3.1-e: direction, truncation, strict, updates."""

    def test_go_backwards(self, x: sc.Expr) -> None:
        out, _ = scan(lambda a, h: a + h, x, sc.zeros(()), go_backwards=True)
        np.testing.assert_allclose(value(out, x, U), np.cumsum(U[::-1]), rtol=1e-13)
        last, _ = scan(lambda a: a, x, n_steps=2, go_backwards=True)
        assert value(last, x, U).tolist() == U[::-1][:2].tolist()

    def test_truncate_gradient(self, x: sc.Expr) -> None:
        w = sc.var("w", "f64[]")
        out, _ = scan(lambda a, h, w: h * w + a, x, sc.zeros(()), w, n_steps=9, truncate_gradient=2)
        f = sc.function([x, w], sc.grad(out[-1], x))
        np.testing.assert_allclose(f(U, 0.5), [0] * 7 + [0.5, 1], rtol=1e-13)

    def test_strict(self, x: sc.Expr) -> None:
        w, s = sc.var("w", "f64[]"), sc.shared(np.array(2.0), name="scale")
        scan(lambda a, w, s: a * w * s * np.float64(3), x, None, [w, s], strict=True)
        scan(lambda a: a * w * s, x)
        for outer in (w, s, w * 2):
            with pytest.raises(sc.MissingInputError, match="strict"):
                scan(lambda a: a * outer, x, strict=True)  # noqa: B023

    def test_updates_are_applied_only_when_passed_on(self, x: sc.Expr) -> None:
        count, total = sc.shared(np.array(0)), sc.shared(np.array(1.0))

        def step(a: sc.Expr) -> tuple[sc.Expr, dict]:
            return a + total, {count: count + 1, total: total * 2}

        out, updates = scan(step, x)
        later = updates[total] * 10
        expected = (U + 2.0 ** np.arange(9)).tolist()
        got, seen = sc.function([x], [out, later])(U)
        assert got.tolist() == expected
        assert float(seen) == 5120
        assert count.get() == 0
        sc.function([x], out, updates=updates)(U)
        assert (int(count.get()), float(total.get())) == (9, 512)

    def test_an_update_of_another_type(self, x: sc.Expr) -> None:
        s = sc.shared(np.array(0), name="steps")
        with pytest.raises(sc.DTypeError, match="steps"):
            scan(lambda a: (a, {s: a}), x)


class TestShortForms:
    """R3.1-f: map, reduce, foldl, foldr, nesting."""

    def test_values(self, x: sc.Expr) -> None:
        assert value(map(lambda a: a * 2, x)[0], x, U).tolist() == (U * 2).tolist()
        fold = {reduce: U, foldl: U, foldr: U[::-1]}
        for form, rows in fold.items():
            made = form(lambda a, h: h * 0.5 + a, x, sc.zeros(()))[0]
            expected = 0.0
            for a in rows:
                expected = expected * 0.5 + a
            np.testing.assert_allclose(value(made, x, U), expected, rtol=1e-13)

    def test_nested_and_second_derivatives(self) -> None:
        m = sc.var("m", "f64[n,k]")

        def row(r: sc.Expr, total: sc.Expr) -> sc.Expr:
            return foldl(lambda a, h, t: sc.sin(h * t) + a, r, total, total)[0]

        last = foldl(row, m, sc.full((), 0.3))[0]
        g = sc.grad(last, m)
        gg = sc.grad(sc.sum(g * g), m)
        at = RNG.normal(size=(2, 3))
        f, h = sc.function([m], g), sc.function([m], gg)
        eps, along = 1e-6, RNG.normal(size=(2, 3))
        norm = lambda a: np.sum(np.asarray(f(a)) ** 2)  # noqa: E731
        want = (norm(at + eps * along) - norm(at - eps * along)) / (2 * eps)
        np.testing.assert_allclose(np.sum(h(at) * along), want, rtol=1e-6)

    def test_options_of_compilation_are_accepted(self, x: sc.Expr) -> None:
        out, _ = scan(lambda a: a, x, mode=None, name="again", profile=True, allow_gc=False)
        assert value(out, x, U).tolist() == U.tolist()


def test_the_initial_state_is_not_in_the_trace(x: sc.Expr) -> None:
    """R3.1-g: and the last state takes no memory for the others."""
    out, _ = scan(lambda a, h: h + a, x, sc.full((), 100.0))
    assert value(out, x, U)[0] == 100 + U[0]
    f = sc.function([x], out[-3:][::-1][0])
    assert isinstance(f.cost().workspace, int)
    np.testing.assert_allclose(f(U), 100 + U.sum(), rtol=1e-13)


def test_seed_recurrent_network() -> None:
    """The recurrent network of the paper of 2012, with its gradients."""
    x, w, u = sc.var("x", "f64[t,2]"), sc.var("w", "f64[3,3]"), sc.var("u", "f64[2,3]")
    step: Callable = lambda x_t, h, w, u: sc.tanh(h @ w + x_t @ u)  # noqa: E731
    hs, _ = scan(step, x, sc.zeros(3), [w, u], strict=True)
    f = sc.function([x, w, u], sc.grad(sc.sum(hs[-1] ** 2), [w, u]))
    at = [RNG.normal(size=s) for s in ((4, 2), (3, 3), (2, 3))]

    def by_hand(x: np.ndarray, w: np.ndarray, u: np.ndarray) -> np.ndarray:
        h = np.zeros(3)
        for row in x:
            h = np.tanh(h @ w + row @ u)
        return np.sum(h**2)

    for place, slope in zip((1, 2), f(*at), strict=True):
        along = RNG.normal(size=at[place].shape)
        moved = [a + 1e-30j * along if i == place else a for i, a in enumerate(at)]
        np.testing.assert_allclose(np.sum(slope * along), by_hand(*moved).imag / 1e-30, rtol=1e-11)
