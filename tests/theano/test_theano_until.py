"""Theano's do-while: `until` beside what a step returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.theano import scan, until


@pytest.fixture
def top() -> sc.Expr:
    return sc.var("top", "f64")


def test_powers_of_two(top: sc.Expr) -> None:
    """The example of Theano's documentation: powers of two up to a bound, at most 1024 steps."""
    powers, updates = scan(
        lambda power, most: (power * 2, until(power * 2 > most)),
        outputs_info=sc.asarray(1.0),
        non_sequences=top,
        n_steps=1024,
    )
    assert updates == {}
    f = sc.function([top], [powers, powers[-1], powers.shape[0]])
    rows, last, count = f(45.0)
    assert rows.tolist() == [2, 4, 8, 16, 32, 64]
    assert (last, count) == (64, 6)
    assert f(0.0)[0].tolist() == [2]  # the body runs once, also where it should not go on


def test_taps_states_and_updates_of_shared_variables() -> None:
    w = sc.shared(np.array(0.0), name="w")
    vs = sc.var("vs", "f64[n]")

    def step(v: Any, before: Any, last: Any) -> Any:
        new = before + last + v
        return [new], {w: w + new}, until(new > 5.0)

    sums, updates = scan(step, vs, {"initial": sc.asarray(np.array([0.0, 1.0])), "taps": [-2, -1]})
    f = sc.function([vs], [sums, sc.grad(sc.sum(sums), vs)], updates=updates)
    values, slopes = f(np.ones(9))
    assert values.tolist() == [2.0, 4.0, 7.0]
    assert float(w.get()) == 13.0
    # d(a + b + c): a = v0 + 1, b = a + 1 + v1, c = a + b + v2.
    assert slopes.tolist() == [4.0, 2.0, 1.0, 0, 0, 0, 0, 0, 0]
    f(np.zeros(2))
    assert float(w.get()) == 16.0


def test_several_outputs_and_an_integer_condition(top: sc.Expr) -> None:
    (a, b), _ = scan(
        lambda a, b: ([a + 1.0, a * b], until(sc.where(a > top, 1, 0))),
        outputs_info=[sc.asarray(0.0), sc.asarray(1.0)],
        n_steps=7,
    )
    rows = sc.function([top], [a, b])(1.5)
    assert rows[0].tolist() == [1.0, 2.0, 3.0]
    assert rows[1].tolist() == [0.0, 0.0, 0.0]


def test_what_is_refused(top: sc.Expr) -> None:
    with pytest.raises(sc.UnsupportedError, match="until together with truncate") as caught:
        scan(
            lambda a: (a * 2, until(a > top)),
            outputs_info=sc.asarray(1.0),
            n_steps=5,
            truncate_gradient=2,
        )
    assert "test_theano_until.py" in str(caught.value)
    with pytest.raises(sc.DomainError, match="two until"):
        scan(lambda: (until(top > 1), until(top > 2)), n_steps=3)
    with pytest.raises(sc.ShapeError, match="until"):
        scan(lambda: (top, until(sc.zeros(3) > top)), n_steps=3)
