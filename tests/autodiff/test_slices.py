"""A value that is read in many pieces has a cotangent that costs what the pieces do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

COLUMNS = 12
Read = Callable[[Any, Any, int], Any]


def table(x: Any, i: int, n: int) -> Any:
    return x[np.array([i, (i + 1) % n, i])]


# How a value of n rows is read at step i, and how often all of it may be read and written.
READS: dict[str, tuple[Read, float]] = {
    "rows": (lambda x, i, n: x[i], 2),
    "rows, each twice": (lambda x, i, n: x[i // 2 * 2], 2),
    "columns": (lambda x, i, n: x[:, i % COLUMNS], 4 * 64 / COLUMNS),
    "cells": (lambda x, i, n: x[i, i % COLUMNS], 3.1),
    "blocks": (lambda x, i, n: x[i // 2 * 2 : i // 2 * 2 + 2, 3 * (i % 2) : 3 * (i % 2) + 2], 3.5),
    "windows": (lambda x, i, n: x[max(i - 2, 0) : i + 1], 10),
    "windows backwards": (lambda x, i, n: x[i + 3 : i : -1] if i + 3 < n else x[i], 30),
    "rows at places that are data": (table, 12),
}


def loss(n: Any, x: Any, read: Read, rows: int) -> Any:
    total = 0.0
    for i in range(rows):
        total = total + n.sum(n.sin(read(x, i, rows)) * (i + 1.0))
    return total


def by_hand(x: np.ndarray, read: Read, rows: int) -> np.ndarray:
    """The gradient, one element after the other."""
    number = np.arange(x.size).reshape(x.shape)
    slope = np.zeros(x.size)
    for i in range(rows):
        places = read(number, i, rows).ravel()
        np.add.at(slope, places, np.cos(x.ravel()[places]) * (i + 1.0))
    return slope.reshape(x.shape)


@pytest.mark.parametrize("rows", [16, 64])
@pytest.mark.parametrize("name", READS)
def test_bytes_are_linear_in_what_is_read(name: str, rows: int) -> None:
    read, times = READS[name]
    x = sc.var("x", f"f64[{rows},{COLUMNS}]")
    f = sc.function([x], sc.grad(loss(sc, x, read, rows), x), cache=False)
    given = np.random.default_rng(0).standard_normal((rows, COLUMNS))
    np.testing.assert_allclose(f(given), by_hand(given, read, rows), rtol=1e-12)
    whole = 8 * rows * COLUMNS
    assert f.cost().bytes <= times * whole
    assert f.cost().workspace <= 4 * whole + 64


def test_sizes_that_are_not_known() -> None:
    """Pieces are known in numbers; the value may have more rows, and other sizes, than they say."""
    x = sc.var("x", "f64[rows,columns]")
    read = [x[0], x[2], x[1:3, 0], x[2]]
    total = sum(sc.sum(sc.sin(part)) * (i + 1.0) for i, part in enumerate(read))
    f = sc.function([x], sc.grad(total, x), cache=False)
    for shape in ((3, 1), (5, 4), (4, 7)):
        given = np.random.default_rng(1).standard_normal(shape)
        expected = np.zeros(shape)
        expected[0] += np.cos(given[0])
        expected[2] += 6 * np.cos(given[2])
        expected[1:3, 0] += 3 * np.cos(given[1:3, 0])
        np.testing.assert_allclose(f(given), expected, rtol=1e-12)


def test_pieces_and_the_whole() -> None:
    x = sc.var("x", "f64[4,3]")
    i = sc.var("i", "i64[2]")
    total = sc.sum(x * x) + sc.sum(x[1] * 2.0) + sc.sum(x[i] * 3.0) + sc.sum(x[1:, 2] ** 2)
    f = sc.function([x, i], sc.grad(total, x), cache=False)
    given, places = np.random.default_rng(2).standard_normal((4, 3)), np.array([3, 3])
    expected = 2 * given
    expected[1] += 2.0
    np.add.at(expected, places, 3.0)
    expected[1:, 2] += 2 * given[1:, 2]
    np.testing.assert_allclose(f(given, places), expected, rtol=1e-12)
    with pytest.raises(sc.SymcIndexError):
        f(given, np.array([0, 4]))
