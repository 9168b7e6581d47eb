"""check="nan": a result that is not finite raises, and shared variables stay as they were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symc as sc

CHECKS = ("nan", "all")


def logarithm(check: str) -> tuple[sc.Function, sc.Shared]:
    x = sc.var("x", "f64[n]")
    w = sc.shared(np.ones(2), name="w")
    return sc.function([x], sc.log(x), updates={w: w / sc.sum(x)}, check=check), w


@pytest.mark.parametrize("check", CHECKS)
def test_the_output_and_the_line_are_named(check: str) -> None:
    f, w = logarithm(check)
    np.testing.assert_allclose(f(np.array([1.0, 3.0])), np.log([1, 3]))
    assert w.get().tolist() == [0.25, 0.25]
    with pytest.raises(sc.NonFiniteError, match=r"output 0(.|\n)*-inf(.|\n)*test_finite\.py:\d+"):
        f(np.array([0.0, 1.0]))
    assert w.get().tolist() == [0.25, 0.25]
    f(np.array([1.0, 1.0]))
    assert w.get().tolist() == [0.125, 0.125]


def test_a_new_state_that_is_not_finite_is_not_kept() -> None:
    x = sc.var("x", "f64[n]")
    w = sc.shared(np.ones(2), name="w")
    f = sc.function([x], sc.sum(x), updates={w: w / sc.sum(x)}, check="nan")
    with pytest.raises(sc.NonFiniteError, match="new value of w"):
        f(np.array([1.0, -1.0]))
    assert w.get().tolist() == [1.0, 1.0]


def test_a_jitted_function_is_checked() -> None:
    @sc.jit(check="nan")
    def root(x):
        return sc.sqrt(x)

    assert root(np.array([4.0])).tolist() == [2.0]
    for _ in range(3):
        with pytest.raises(sc.NonFiniteError, match="output 0"):
            root(np.array([-4.0]))


def test_without_the_check_numbers_pass() -> None:
    f, _ = logarithm("none")
    assert f(np.array([0.0]))[0] == -np.inf


@pytest.mark.parametrize(
    "use", [lambda f, x: f.bind(x), lambda f, x: f.call_n(2, x)], ids=["bind", "call_n"]
)
def test_calls_that_would_leave_the_check_out_are_refused(use: Callable[..., object]) -> None:
    f, w = logarithm("nan")
    with pytest.raises(sc.UnsupportedError, match="check='nan'"):
        use(f, np.array([1.0, 3.0]))
    assert w.get().tolist() == [1.0, 1.0]


def test_bounds_are_checked_with_every_option() -> None:
    x, i = sc.var("x", "f64[n]"), sc.var("i", "i64[m]")
    for check in ("none", "bounds"):
        f = sc.function([x, i], sc.take(x, i, axis=0), check=check)
        with pytest.raises(sc.SymcIndexError, match="9"):
            f(np.ones(3), np.array([1, 9]))
        assert f(np.ones(3), np.array([1])).tolist() == [1.0]
