"""Lazy branches: what runs, counted in emitted code, and which checks can fail."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import symc as sc
from codegen_llvm.run_counters import counting

RNG = np.random.default_rng(17)
TABLE = np.arange(3.0)


@contextmanager
def ending_within(seconds: int) -> Iterator[None]:
    """An error in place of a loop that never ends."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def slow(x: sc.Expr) -> sc.Expr:
    """Work that is seen when it runs: five steps, each counted."""

    def slow_step(c: sc.Expr, _: None) -> tuple[sc.Expr, None]:
        return sc.sin(c @ c), None

    return sc.scan(slow_step, x, None, length=5)[0]


SQUARE = RNG.normal(size=(9, 9)) / 9


class TestWhatIsRun:
    def test_the_branch_taken_and_no_other(self) -> None:
        with counting() as counts:
            f = sc.jit(lambda p, x: sc.cond(p, slow, lambda x: x + 1, x))
            assert f(False, SQUARE).tolist() == (SQUARE + 1).tolist()
            assert counts.runs["slow_step"] == 0
            f(True, SQUARE)
            assert counts.runs["slow_step"] == 5

    def test_work_written_outside_goes_into_the_branch_that_needs_it(self) -> None:
        p, x = sc.var("p", "bool[]"), sc.var("x", "f64[9,9]")
        a, b = slow(x), x - 1
        with counting() as counts:
            f = sc.function([p, x], sc.ifelse(p, a, b))
            np.testing.assert_array_equal(f(False, SQUARE), SQUARE - 1)
            assert counts.runs["slow_step"] == 0
            f(True, SQUARE)
            assert counts.runs["slow_step"] == 5

    def test_also_at_other_levels_and_for_many_tiny_operations(self) -> None:
        p, x = sc.var("p", "bool[]"), sc.var("x", "f64[4]")
        a = x
        for i in range(100):
            a = sc.flip(a) * 0.5 + i
        for level in range(4):
            with counting() as counts:
                f = sc.function([p, x], sc.ifelse(p, a, x), opt=level)
                f(False, np.ones(4))
                idle = counts.runs["kernel"]
                f(True, np.ones(4))
                assert idle <= 2
                assert counts.runs["kernel"] > 2 * idle

    def test_what_both_branches_or_somebody_else_needs_is_done_once(self) -> None:
        p, x = sc.var("p", "bool[]"), sc.var("x", "f64[9,9]")
        a = slow(x)
        with counting() as counts:
            f = sc.function([p, x], sc.ifelse(p, a * 2, a + 1))
            g = sc.function([p, x], [sc.ifelse(p, a, x), a])
            for run in (f, g):
                for pred in (False, True):
                    counts.reset()
                    run(pred, SQUARE)
                    assert counts.runs["slow_step"] == 5

    def test_what_two_of_three_branches_need(self) -> None:
        i, x = sc.var("i", "i64[]"), sc.var("x", "f64[9,9]")
        a = slow(x)
        with counting() as counts:
            f = sc.function([i, x], sc.switch(i, [lambda: a, lambda: a + 1, lambda: x]))
            for number, runs in ((0, 5), (1, 5), (2, 0), (9, 0), (-1, 5)):
                counts.reset()
                f(number, SQUARE)
                assert counts.runs["slow_step"] == runs

    def test_choices_inside_of_choices(self) -> None:
        p, q = sc.var("p", "bool[]"), sc.var("q", "bool[]")
        x = sc.var("x", "f64[9,9]")
        a = slow(x)
        inner = sc.ifelse(q, a, x * 2)
        with counting() as counts:
            f = sc.function([p, q, x], sc.ifelse(p, inner, x))
            for first in (False, True):
                for second in (False, True):
                    counts.reset()
                    made = f(first, second, SQUARE)
                    assert counts.runs["slow_step"] == (5 if first and second else 0)
                    if not (first and second):
                        want = SQUARE * 2 if first else SQUARE
                        assert made.tolist() == want.tolist()

    def test_several_values_at_once(self) -> None:
        p, x = sc.var("p", "bool[]"), sc.var("x", "f64[9,9]")
        a = slow(x)
        with counting() as counts:
            f = sc.function([p, x], list(sc.ifelse(p, (a, a * 2), (x, x + 1))))
            assert [m.tolist() for m in f(False, SQUARE)] == [
                SQUARE.tolist(),
                (SQUARE + 1).tolist(),
            ]
            assert counts.runs["slow_step"] == 0
            first, second = f(True, SQUARE)
            assert counts.runs["slow_step"] == 5
            assert second.tolist() == (first * 2).tolist()

    @pytest.mark.parametrize("where", ["inside", "outside"])
    def test_in_a_loop_in_each_step(self, where: str) -> None:
        def step(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, None]:
            if where == "inside":
                return sc.cond(x[0] > 0, lambda: slow(c), lambda: c), None
            made = slow(c)
            return sc.ifelse(x[0] > 0, made, c), None

        xs = RNG.normal(size=(12, 1))
        taken = int((xs > 0).sum())
        with counting() as counts:
            f = sc.jit(lambda c, xs: sc.scan(step, c, xs)[0])
            f(SQUARE, xs)
            assert counts.runs["step"] == 12
            assert counts.runs["slow_step"] == 5 * taken

    def test_in_a_step_what_no_step_changes_leaves_the_loop(self) -> None:
        def step(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, None]:
            fixed = sc.exp(w @ w)
            return sc.ifelse(x > 0, c * fixed, c), None

        w, xs = sc.var("w", "f64[9,9]"), sc.var("xs", "f64[n]")
        f = sc.function([w, xs], sc.scan(step, sc.ones((9, 9)), xs)[0])
        text = f.ir("optimized")
        assert text.index('"symc.dot"') < text.index('"symc.scan"')

    @pytest.mark.parametrize("door", ["functions", "values"])
    def test_derivatives(self, door: str) -> None:
        def loss(x: sc.Expr, p: sc.Expr) -> sc.Expr:
            if door == "values":
                return sc.sum(sc.ifelse(p, slow(x), x * x))
            return sc.sum(sc.cond(p, slow, lambda x: x * x, x))

        with counting() as counts:
            once = sc.jit(sc.grad(loss))
            twice = sc.jit(sc.grad(lambda x, p: sc.sum(sc.grad(loss)(x, p) ** 2)))
            pushed = sc.jit(lambda x, p: sc.jvp(lambda x: loss(x, p), (x,), (x,)))
            np.testing.assert_array_equal(once(SQUARE, False), 2 * SQUARE)
            np.testing.assert_allclose(twice(SQUARE, False), 8 * SQUARE, rtol=1e-15)
            pushed(SQUARE, False)
            assert counts.runs["slow_step"] == 0
            for f in (once, twice, pushed):
                counts.reset()
                f(SQUARE, True)
                assert counts.runs["slow_step"] >= 5


CASES: dict[str, Callable] = {
    "inside": lambda i, x: sc.cond(i < 3, lambda: sc.take(x, i), lambda: -1.0),
    "outside": lambda i, x: sc.ifelse(i < 3, sc.take(x, i), -1.0),
    "index of an index": lambda i, x: sc.ifelse(
        i < 3, sc.take(x, sc.take(sc.asarray(np.arange(3)), i)) * 1.0, -1.0
    ),
    "in a loop": lambda i, x: sc.scan(
        lambda c, _: (sc.ifelse(i < 3, sc.take(x, i), -1.0), None), 0.0, None, length=4
    )[0],
    "a write": lambda i, x: sc.ifelse(i < 3, x.at[i].add(i * 1.0)[2] - 2 + i * (i < 2), -1.0),
}


class TestChecks:
    """A check in a branch that is not taken never fails; one in the branch that is taken does."""

    @pytest.mark.parametrize("name", CASES)
    def test_one_value(self, name: str) -> None:
        f = sc.jit(CASES[name])
        assert f(7, TABLE) == -1
        assert [f(i, TABLE) for i in (0, 1)] == [0, 1]
        with pytest.raises(sc.SymcIndexError, match="test_branches"):
            f(-7, TABLE)

    @pytest.mark.parametrize("name", CASES)
    def test_a_batch(self, name: str) -> None:
        f = sc.jit(sc.vmap(CASES[name], in_axes=(0, None)))
        assert f(np.array([7, 0, 1, 9]), TABLE).tolist() == [-1, 0, 1, -1]
        assert f(np.array([7, 9]), TABLE).tolist() == [-1, -1]
        with pytest.raises(sc.SymcIndexError):
            f(np.array([7, -7]), TABLE)

    @pytest.mark.parametrize("name", CASES)
    def test_derivatives(self, name: str) -> None:
        f = sc.grad(CASES[name], argnums=1)
        assert sc.jit(f)(7, TABLE).tolist() == [0, 0, 0]
        many = sc.jit(sc.vmap(f, in_axes=(0, None)))
        assert many(np.array([7, 8]), TABLE).tolist() == [[0, 0, 0]] * 2
        if name != "a write":  # of which the derivative needs no place: its check goes with it
            with pytest.raises(sc.SymcIndexError):
                sc.jit(f)(-7, TABLE)

    def test_a_loop_of_no_steps_checks_nothing(self) -> None:
        def f(i: sc.Expr, x: sc.Expr, xs: sc.Expr) -> sc.Expr:
            return sc.scan(lambda c, a: (c + sc.take(x, i) * a, None), 0.5, xs)[0]

        i, x, xs = sc.var("i", "i64[]"), sc.var("x", "f64[3]"), sc.var("xs", "f64[n]")
        g = sc.function([i, x, xs], f(i, x, xs))
        assert g(7, TABLE, np.zeros(0)) == 0.5
        assert g(1, TABLE, np.ones(4)) == 4.5
        with pytest.raises(sc.SymcIndexError):
            g(7, TABLE, np.ones(1))


class TestBatches:
    """Under `vmap`: loops end for the elements that run them, and nothing else changes."""

    def test_a_loop_in_a_branch_that_would_not_end_for_the_others(self) -> None:
        def f(x: sc.Expr) -> sc.Expr:
            def double(x: sc.Expr) -> sc.Expr:
                return sc.while_loop(lambda c: c < 100, lambda c: c * 2, x)

            return sc.cond(x > 0, double, lambda x: x, x)

        with ending_within(20):
            assert sc.jit(sc.vmap(f))(np.array([1.0, -1.0, 3.0])).tolist() == [128, -1, 192]
            assert sc.jit(sc.vmap(f))(np.array([-1.0, -2.0])).tolist() == [-1, -2]

    def test_a_loop_in_a_loop_that_would_not_end_for_what_has_finished(self) -> None:
        def f(x: sc.Expr) -> sc.Expr:
            def outer(c: tuple) -> tuple:
                n, x = c
                inner = sc.while_loop(lambda v: v < 10, lambda v: v * n, x)
                return n - 1, inner / 16

            return sc.while_loop(lambda c: c[0] > 1, outer, (x, 1.0))[1]

        with ending_within(20):
            singles = [float(f(v)) for v in (1.0, 2.0, 4.0)]
            assert sc.jit(sc.vmap(f))(np.array([1.0, 2.0, 4.0])).tolist() == singles

    def test_a_number_of_the_batch_keeps_one_branch(self) -> None:
        with counting() as counts:
            f = sc.jit(sc.vmap(lambda p, x: sc.cond(p, slow, lambda x: x, x), in_axes=(None, 0)))
            f(False, np.stack([SQUARE] * 3))
            assert counts.runs["slow_step"] == 0
            f(True, np.stack([SQUARE] * 3))
            assert counts.runs["slow_step"] == 5


class TestSizesThatLoopsFindOut:
    """Rows of a loop that stops by itself, written outside of the branch that reads them."""

    @staticmethod
    def rows(x: sc.Expr) -> sc.Expr:
        def counted_step(c: sc.Expr, a: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
            return c + a, c * a

        return sc.scan(counted_step, 0.0, x, until=lambda c: c > 3.5)[1]

    def test_the_loop_goes_with_its_rows(self) -> None:
        def f(p: sc.Expr, x: sc.Expr) -> sc.Expr:
            ys = self.rows(x)
            return sc.ifelse(p, sc.sum(ys[1:] * ys[:-1]) + ys.shape[0], sc.sum(x))

        x = np.arange(1.0, 7)
        with counting() as counts:
            g = sc.jit(f)
            assert g(False, x) == 21
            assert counts.runs["counted_step"] == 0
            assert g(True, x) == 0 * 2 + 2 * 9 + 3
            assert counts.runs["counted_step"] == 3
            counts.reset()
            slopes = sc.jit(sc.grad(f, argnums=1))
            assert slopes(False, x).tolist() == [1] * 6
            assert counts.runs["counted_step"] == 0
            h = 1e-6
            want = [(f(True, x + h * e) - f(True, x - h * e)) / (2 * h) for e in np.eye(6)]
            np.testing.assert_allclose(slopes(True, x), want, atol=1e-8)
            many = sc.jit(sc.vmap(f, in_axes=(0, None)))
            assert many(np.array([False, True]), x).tolist() == [21, 21]


class TestScale:
    def test_a_chain_of_choices_compiles_and_is_lazy_to_some_depth(self) -> None:
        i, x = sc.var("i", "i64[]"), sc.var("x", "f64[9,9]")
        y = x
        for k in range(40):
            y = sc.ifelse(i > k, slow(x + k), y)
        with counting() as counts:
            f = sc.function([i, x], y)
            for number in (40, 30, 0):
                counts.reset()
                f(number, SQUARE)
                if number == 40:
                    assert counts.runs["slow_step"] == 5
                assert counts.runs["slow_step"] <= 5 * 40

    def test_long_programs_need_no_deep_stack(self) -> None:
        p, x = sc.var("p", "bool[]"), sc.var("x", "f64[]")
        a = x
        for _ in range(3000):
            a = sc.sin(a)
        y = x
        for _ in range(300):
            y = sc.ifelse(p, y * 0.5, y)
        before = sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(350)
            f = sc.function([p, x], sc.ifelse(p, a, y))
            assert f(False, 2.0) == 2
        finally:
            sys.setrecursionlimit(before)
