"""Array functions on concrete values inside a trace: ndarrays that have `.at`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

MADE = [
    lambda: sc.zeros(3),
    lambda: sc.ones((3,)),
    lambda: sc.full(3, 2.0),
    lambda: sc.empty(3),
    lambda: sc.arange(3.0),
    lambda: sc.linspace(0, 1, 3),
    lambda: sc.eye(3)[0],
    lambda: sc.tril(sc.ones((3, 3)))[1],
    lambda: sc.zeros_like(np.ones(3)),
    lambda: sc.asarray([1.0, 2.0, 3.0]),
    lambda: sc.exp(sc.zeros(3)),
    lambda: sc.split(sc.arange(6.0), 2)[1],
    lambda: sc.sum(sc.ones((2, 3)), axis=0) * 2 + 1,
    lambda: -sc.reshape(sc.arange(6.0), (2, 3))[1],
]


@pytest.mark.parametrize("make", MADE)
def test_at_as_symbolic_values_have_it(make: Callable[[], Any]) -> None:
    seen = []

    @sc.jit
    def f(i: Any, v: Any) -> Any:
        x = make()
        seen.append(x)
        y = x.at[i].set(v)
        return x, y, y.at[0].add(1.0)

    wanted = np.asarray(make())
    assert type(make()) is np.ndarray
    for i in (0, 2, 2):
        x, y, z = f(i, 5.0)
        assert type(x) is type(y) is np.ndarray
        np.testing.assert_array_equal(x, wanted)
        new = wanted.copy()
        new[i] = 5
        np.testing.assert_array_equal(y, new)
        new[0] += 1
        np.testing.assert_array_equal(z, new)
    assert isinstance(seen[0], np.ndarray)
    assert f.compiles == 1


def test_a_concrete_array_in_a_trace_is_an_ndarray() -> None:
    @sc.jit
    def f(x: Any) -> Any:
        table = sc.arange(4)
        assert isinstance(table, np.ndarray)
        total = x
        for i in table:
            total = total + int(i)
        table[0] = 7
        assert table.tolist() == [7, 1, 2, 3]
        assert sc.zeros(()).shape == ()
        return total * sc.asarray(table)[0]

    assert f(np.ones(2)).tolist() == [49, 49]


def test_it_is_captured_once_whatever_is_done_with_it() -> None:
    table = np.linspace(0, 1, 100)

    @sc.jit
    def f(x: Any) -> Any:
        made = sc.linspace(1, 2, 100)
        for _ in range(5):
            x = x * made + made.at[0].set(0.0) + sc.asarray(table)
        return x

    f(np.ones(100))
    assert len(f.current.traced.entry.constants) == 2


def test_loops_begin_from_it() -> None:
    @sc.jit
    def f(x: Any) -> Any:
        def step(i: Any, total: Any) -> Any:
            return total.at[i].set(x[i] * 2)

        return sc.fori_loop(0, 3, step, sc.zeros(3))

    assert f(np.arange(3.0)).tolist() == [0, 2, 4]


def test_outside_it_is_an_array_like_any_other() -> None:
    kept = []

    @sc.jit
    def f(x: Any) -> Any:
        kept.append(sc.ones(3))
        return x + kept[0]

    f(np.ones(3))
    (made,) = kept
    assert f(made).tolist() == [2, 2, 2]
    assert sc.exp(made * 0).tolist() == [1, 1, 1]
    assert type(sc.exp(made)) is np.ndarray
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(twin, made)
    g = sc.jit(lambda a, b: a + b)
    made.shape = (3, 1)
    assert g(made, 1.0).shape == (3, 1)


def test_symbolic_indices_of_concrete_arrays() -> None:
    table = np.arange(12.0).reshape(3, 4)

    @sc.jit
    def f(i: Any, x: Any) -> Any:
        a = sc.asarray(table)
        return a[i], a[i, 1:3], a[:, i] * x, sc.zeros(4)[: x.shape[0]] + x

    row, part, column, zeros = f(1, np.ones(3))
    np.testing.assert_array_equal(row, table[1])
    np.testing.assert_array_equal(part, table[1, 1:3])
    np.testing.assert_array_equal(column, table[:, 1])
    assert zeros.tolist() == [1, 1, 1]


def test_symbolic_values_are_not_written_into_concrete_arrays() -> None:
    for write in (lambda a, x: a.__setitem__(0, x[0]), lambda a, x: a.__setitem__(x[0] > 0, 1.0)):
        with pytest.raises(sc.TracerError, match=r"(?s)concrete array.*x = x.at\[i\].set"):
            sc.jit(lambda x, write=write: write(sc.zeros(3), x))(np.ones(3))

    @sc.jit
    def f(x: Any) -> Any:
        a = sc.zeros(3)
        a[1] = 5.0
        return a + x

    assert f(np.ones(3)).tolist() == [1, 6, 1]


def test_asarray_of_lists_with_symbolic_items() -> None:
    @sc.jit
    def f(x: Any) -> Any:
        angle = x[0]
        turn = sc.asarray([[sc.cos(angle), -sc.sin(angle)], [sc.sin(angle), sc.cos(angle)]])
        return turn, sc.asarray((x, [1.0, 2.0])), sc.asarray([x[0], 1], dtype="f32")

    x = np.array([0.5, 3.0])
    turn, rows, short = f(x)
    c, s = np.cos(0.5), np.sin(0.5)
    np.testing.assert_allclose(turn, [[c, -s], [s, c]], rtol=1e-15)
    assert rows.tolist() == [[0.5, 3.0], [1.0, 2.0]]
    assert (short.dtype, short.tolist()) == (np.float32, [0.5, 1.0])
    slope = sc.grad(lambda x: sc.sum(sc.asarray([x * x, 3.0 * x, 1.0]) * np.array([1.0, 2.0, 3.0])))
    assert slope(2.0) == 10
    with pytest.raises(sc.ShapeError, match="stack"):
        sc.jit(lambda x: sc.asarray([x, x[0]]))(x)
