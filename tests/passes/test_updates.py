"""Weights are read once and written once by the product and the update that use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symc as sc

ROWS, COLUMNS = 96, 64


def small(*shape: int) -> np.ndarray:
    """Small integers, on which every order of summation gives the same bits."""
    return np.random.default_rng(0).integers(-2, 3, shape).astype(np.float32)


def plain(w: Any, m: Any, slope: Any) -> tuple[Any, Any]:
    return w - 0.5 * slope, m


def decay(w: Any, m: Any, slope: Any) -> tuple[Any, Any]:
    return w - 0.5 * (slope + 0.25 * w), m


def momentum(w: Any, m: Any, slope: Any) -> tuple[Any, Any]:
    fresh = 0.5 * m + slope
    return w - 0.5 * fresh, fresh


def everything(w: Any, m: Any, slope: Any) -> tuple[Any, Any]:
    fresh = 0.5 * m + slope + 0.25 * w
    return w - 0.5 * (slope + 0.5 * fresh), fresh


RULES = {"plain": plain, "decay": decay, "momentum": momentum, "everything": everything}


@pytest.mark.parametrize("batch", ["b", "6"])
@pytest.mark.parametrize("name", RULES)
def test_product_and_update_are_one_kernel(name: str, batch: str) -> None:
    w0, m0 = small(ROWS, COLUMNS), small(ROWS, COLUMNS)
    w, m = sc.shared(w0), sc.shared(m0)
    x, g = sc.var("x", f"f32[{batch},{ROWS}]"), sc.var("g", f"f32[{batch},{COLUMNS}]")
    new_w, new_m = RULES[name](w, m, x.T @ g)
    updates = [(w, new_w)] if new_m is m else [(w, new_w), (m, new_m)]
    f = sc.function([x, g], g @ w.T, updates=updates, cache=False)
    assert len(f.explain().kernels) == 1
    states = len(updates)
    per_row = 2 * ROWS + COLUMNS
    moved = f.cost(b=6).bytes if batch == "b" else f.cost().bytes
    assert moved == 4 * (2 * states * ROWS * COLUMNS + 6 * per_row)
    for rows in (0, 1, 6, 70) if batch == "b" else (6,):
        given = small(rows, ROWS), small(rows, COLUMNS)
        np.testing.assert_array_equal(f(*given), given[1] @ w0.T)
        w0, m0 = RULES[name](w0, m0, given[0].T @ given[1])
        np.testing.assert_array_equal(w.get(), w0)
        if states == 2:
            np.testing.assert_array_equal(m.get(), m0)
