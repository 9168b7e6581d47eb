"""Derivatives by values that a program makes itself: nothing is looked up behind them.

What a pass does to the program that is differentiated must not go through such a value to what it
was made of, or the derivative by it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(7)
LEFT, RIGHT = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(3, 3)) / 2
STATE = RNG.normal(size=3)
STEP = 1e-30

Loss = Callable[[Any, Any], Any]


def chosen(w: Any, left: Any) -> Any:
    """Branches that capture the value, taken by a number that depends on it."""
    z = STATE @ w
    return sc.sum(sc.cond(z[0] < 9, lambda s: s[:3] * w[0, 3:] + STATE @ left, lambda s: s[3:], z))


def gated(w: Any, left: Any) -> Any:
    """A loop whose step reads the value and what it was put together of."""

    def step(h: Any, _: Any) -> tuple[Any, None]:
        z = h @ w
        return sc.tanh(z[:3]) * z[3:] + h @ left, None

    return sc.sum(sc.scan(step, sc.asarray(STATE) + 0 * w[0, :3], None, length=4)[0])


def counted(w: Any, left: Any) -> Any:
    """A loop that stops by itself, with a choice in its step."""

    def step(h: Any) -> Any:
        z = h @ w
        return sc.cond(z[0] < 9, lambda: z[:3] * w[1, :3] + h @ left, lambda: h)

    start = (0, sc.asarray(STATE) + 0 * w[0, :3])
    return sc.sum(sc.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, step(c[1])), start)[1])


def plain(name: str, w: Any, left: Any) -> Any:
    """The same in NumPy, for complex steps."""
    h = STATE
    if name == "chosen":
        z = STATE @ w
        return (z[:3] * w[0, 3:] + STATE @ left).sum()
    for _ in range(4 if name == "gated" else 3):
        z = h @ w
        h = (np.tanh(z[:3]) * z[3:] if name == "gated" else z[:3] * w[1, :3]) + h @ left
    return h.sum()


def slopes(name: str) -> Any:
    """By complex steps, of the first argument alone."""
    whole = np.concatenate([LEFT, RIGHT], axis=1)
    found = np.zeros_like(whole)
    for place in np.ndindex(whole.shape):
        moved = whole.astype(complex)
        moved[place] += STEP * 1j
        found[place] = plain(name, moved, LEFT).imag / STEP
    return found


LOSSES: dict[str, Loss] = {"chosen": chosen, "gated": gated, "counted": counted}


@pytest.mark.parametrize("name", LOSSES)
def test_by_an_expression_put_together_of_others(name: str) -> None:
    left, right = sc.var("left", "f64[3,3]"), sc.var("right", "f64[3,3]")
    whole = sc.concat([left, right], axis=1)
    found = sc.function([left, right], sc.grad(LOSSES[name](whole, left), whole))(LEFT, RIGHT)
    np.testing.assert_allclose(found, slopes(name), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mode", ["grad", "vjp", "jvp", "vmap"])
def test_by_constants_of_a_trace(name: str, mode: str) -> None:
    """The point is a constant of the function that is compiled."""
    whole = np.concatenate([LEFT, RIGHT], axis=1)

    def loss(w: Any) -> Any:
        return LOSSES[name](w, LEFT)

    def along(v: Any) -> Any:
        if mode == "grad":
            return sc.sum(sc.grad(loss)(whole)) * v
        if mode == "jvp":
            return sc.jvp(loss, (whole,), (v * np.ones_like(whole),))[1]
        return sc.sum(sc.vjp(loss, whole)[1](v)[0])

    total = slopes(name).sum()
    if mode == "vmap":
        np.testing.assert_allclose(
            sc.vmap(along)(np.array([1.0, 2.0])), [total, 2 * total], rtol=1e-12
        )
    else:
        np.testing.assert_allclose(sc.jit(along)(2.0), 2 * total, rtol=1e-12)
