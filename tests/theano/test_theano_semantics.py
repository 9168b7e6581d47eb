"""Theano's scan, forms of its arguments and what follows from them, one rule after another."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc
from symc.theano import reduce, scan, until

U = np.arange(1.0, 7)


@pytest.fixture
def x() -> sc.Expr:
    return sc.var("x", "f64[n]")


def value(made: object, x: sc.Expr, at: np.ndarray = U) -> object:
    return sc.function([x], made)(at)


class TestForms:
    """R3.1-a to c: what may be passed, and how."""

    def test_arrays_and_numbers(self, x: sc.Expr) -> None:
        out, _ = scan(lambda a, b, h, c: h * a + b * c + x[0], [U, x], 1.0, 2)
        h, want = 1.0, []
        for a in U:
            h = h * a + a * 2 + 1
            want.append(h)
        assert value(out, x).tolist() == want

    def test_taps_that_are_not_said(self, x: sc.Expr) -> None:
        for seq in (x, {"input": x}, {"input": x, "taps": None}, {"input": x, "taps": 0}):
            for info in (0.0, {"initial": 0.0}, {"initial": sc.zeros(()), "taps": None}):
                out, _ = scan(lambda a, h: a + h, seq, info)
                assert value(out, x).tolist() == np.cumsum(U).tolist()
        for info in (None, {}, [None], [{}], [{"initial": None}]):
            out, _ = scan(lambda a: a + 1, x, info)
            assert value(out, x).tolist() == (U + 1).tolist()

    def test_taps_without_a_state(self, x: sc.Expr) -> None:
        with pytest.raises(sc.ShapeError, match="initial"):
            scan(lambda a, h: a + h, x, {"initial": None, "taps": [-1]})
        with pytest.raises(sc.DTypeError, match="steps"):
            scan(lambda a: a, {"input": x, "steps": 3})

    def test_taps_beyond_the_sequence_leave_no_steps(self, x: sc.Expr) -> None:
        out, _ = scan(lambda a, b: a + b, {"input": x, "taps": [-4, 2]})
        f = sc.function([x], out)
        assert [f(U[:n]).tolist() for n in (0, 3, 6)] == [[], [], []]
        assert f(np.arange(8.0)).tolist() == [6.0, 8.0]

    def test_a_state_keeps_its_dtype(self, x: sc.Expr) -> None:
        """R3.1-c: both dtypes are named."""
        wrong = ((np.int64(0), "i64", "f64"), (np.float32(0), "f32", "f64"))
        for initial, own, other in wrong:
            with pytest.raises(sc.DTypeError, match=other) as caught:
                scan(lambda a, h: a + h, x, initial)
            assert own in str(caught.value)
            assert "test_theano_semantics.py" in str(caught.value)


class TestSteps:
    """R3.1-d and e: how many, and in which direction."""

    def test_sequences_of_uneven_lengths_and_their_gradients(self, x: sc.Expr) -> None:
        y = sc.var("y", "f64[m]")
        out, _ = scan(lambda a, b, h: h * a + b, [x, y], sc.ones(()))
        f = sc.function([x, y], sc.grad(sc.sum(out), [x, y]))

        def total(a: np.ndarray, b: np.ndarray) -> complex:
            h, found = 1.0, 0.0
            for u, v in zip(a, b, strict=False):
                h = h * u + v
                found = found + h
            return found

        for at in ((U, U[:3]), (U[:2], U), (U[:0], U)):
            for number, slope in enumerate(f(*at)):
                for i, got in enumerate(slope):
                    moved = [a.astype(complex) for a in at]
                    moved[number][i] += 1e-30j
                    assert got == pytest.approx(np.imag(total(*moved)) / 1e-30, rel=1e-12)

    def test_backwards_with_taps_and_fewer_steps(self, x: sc.Expr) -> None:
        products = (U[1:] * U[:-1])[::-1]
        taps = {"input": x, "taps": [-1, 0]}
        out, _ = scan(lambda a, b, h: h + a * b, taps, 0.0, go_backwards=True)
        assert value(out, x).tolist() == np.cumsum(products).tolist()
        out, _ = scan(lambda a, h: h + a, x, 0.0, go_backwards=True, n_steps=2)
        assert value(out, x).tolist() == [6, 11]

    def test_a_number_of_steps_that_is_no_size(self) -> None:
        for wrong in (sc.var("k", "f64[]"), sc.var("k", "i64[1]"), 2.5, "3"):
            with pytest.raises(sc.DTypeError, match="n_steps"):
                scan(lambda h: h, None, sc.zeros(()), n_steps=wrong)

    def test_the_step_that_makes_the_condition_true_is_kept(self, x: sc.Expr) -> None:
        """R3.1-3b: the trace is as long as the steps that ran."""
        first, _ = scan(lambda a: (a * 2, until(a > 3)), x)
        second, updates = scan(lambda a, h: (a + h, {}, until(a + h > 5)), x, 0.0)
        f = sc.function([x], [first, second, second[-1]])
        got = [part.tolist() for part in f(U)]
        assert got == [[2, 4, 6, 8], [1, 3, 6], 6]
        assert updates == {}
        assert [part.tolist() for part in f(U[:2])[:2]] == [[2, 4], [1, 3]]

    def test_stopping_with_updates(self, x: sc.Expr) -> None:
        s = sc.shared(np.array(0.0), name="s")
        out, updates = scan(lambda a: (a, {s: s + a}, until(a >= 3)), x)
        assert sc.function([x], out, updates=updates)(U).tolist() == [1, 2, 3]
        assert float(s.get()) == 6

    @pytest.mark.parametrize("taps", [[-1], [-2, -1], [-3, -1], [-2]])
    def test_gradients_of_a_loop_that_stops(self, x: sc.Expr, taps: list[int]) -> None:
        """Theano#5439: they are those of as many steps as ran, not shifted by the taps."""
        depth = -min(taps)
        start = sc.var("start", f"f64[{depth}]")
        initial = start[0] if taps == [-1] else start

        def step(a: sc.Expr, *past: sc.Expr) -> sc.Expr:
            return sc.sin(a) * sum(past) + a

        info = {"initial": initial, "taps": taps}
        stopped, _ = scan(lambda *v: (step(*v), until(v[0] > 3.5)), x, info)
        whole, _ = scan(step, x, info)
        wrt = [x, start]
        f = sc.function(wrt, sc.grad(sc.sum(stopped**2), wrt))
        g = sc.function(wrt, sc.grad(sc.sum(whole**2), wrt))
        at = np.linspace(0.3, 1.2, depth)
        long, short = f(U, at), g(U[:4], at)
        np.testing.assert_allclose(long[0], [*short[0], 0, 0], rtol=1e-13)
        np.testing.assert_allclose(long[1], short[1], rtol=1e-13)


class TestUpdates:
    """R3.1-e: shared variables that steps change, in loops in loops too."""

    def test_in_a_loop_in_a_loop(self, x: sc.Expr) -> None:
        s = sc.shared(np.array(0.0), name="s")

        def outer(a: sc.Expr) -> tuple:
            out, updates = scan(lambda b: (b, {s: s + b}), x)
            return sc.sum(out) * a, updates

        out, updates = scan(outer, x)
        assert sc.function([x], out, updates=updates)(U[:3]).tolist() == [6, 12, 18]
        assert float(s.get()) == 18

    def test_two_of_one_variable(self, x: sc.Expr) -> None:
        s = sc.shared(np.array(0.0), name="s")
        with pytest.raises(sc.DomainError, match="two updates"):
            scan(lambda a: (a, [(s, s + 1), (s, s + a)]), x)

    def test_several_results_of_reduce(self, x: sc.Expr) -> None:
        (total, product), _ = reduce(lambda a, h, g: (h + a, g * a), x, [0.0, 1.0])
        assert [float(v) for v in value([total, product], x)] == [21, 720]
