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


WIDE = (40, 6)
COMBINED = {
    "set": lambda table, places, rows: table.at[places].set(rows),
    "add": lambda table, places, rows: table.at[places].add(rows),
}


def combined(name: str, table: np.ndarray, places: np.ndarray, rows: np.ndarray) -> np.ndarray:
    made = table.copy()
    if name == "set":
        made[places] = rows
    else:
        np.add.at(made, places, rows)
    return made


def written_whole(f: sc.Function) -> list[str]:
    """Lines of the program that copy, or stage, an array of the size of the table."""
    lines = f.ir("program").splitlines()
    return [
        line for line in lines if line.startswith("//") and ("copy" in line or "staged" in line)
    ]


@pytest.mark.parametrize("name", COMBINED)
@pytest.mark.parametrize("count", ["n", "5"])
def test_rows_at_places_that_are_data_are_written_in_place(name: str, count: str) -> None:
    before = small(*WIDE)
    table = sc.shared(before)
    places, rows = sc.var("i", f"i64[{count}]"), sc.var("v", f"f32[{count},{WIDE[1]}]")
    update = {table: COMBINED[name](table, places, rows)}
    f = sc.function([places, rows], updates=update, cache=False)
    assert not written_whole(f)
    assert (f.cost(n=5) if count == "n" else f.cost()).workspace <= 64
    if count == "5":
        assert f.cost().bytes == 2 * 5 * 8 + 5 * (4 + 4) + 3 * 5 * WIDE[1] * 4
    where, given = np.array([3, 39, -1, 3, -40]), small(5, WIDE[1])
    f(where, given)
    expected = combined(name, before, where, given)
    np.testing.assert_array_equal(table.get(), expected)
    for wrong in (40, -41, 2**40):
        with pytest.raises(sc.SymcIndexError, match=r"test_updates\.py") as caught:
            f(np.array([1, 2, 0, wrong, 4]), given)
        assert f"{wrong} at position 3" in str(caught.value)
        np.testing.assert_array_equal(table.get(), expected)


def test_all_places_are_looked_at_before_any_state_is_written() -> None:
    first, second = sc.shared(small(8, 3)), sc.shared(small(9, 3))
    kept = first.get().copy(), second.get().copy()
    i, j, k = (sc.var(name, "i64[4]") for name in "ijk")
    v = sc.var("v", "f32[7,3]")
    rows = v[k]
    updates = {first: first.at[i].add(rows), second: second.at[j].set(rows * 2)}
    f = sc.function([i, j, k, v], updates=updates, cache=False)
    assert not written_whole(f)
    values, good = small(7, 3), np.array([0, 1, 2, 3])
    for bad in ([9, 0, 0, 0], [0, 0, 0, -10]):
        for place in range(3):
            given = [good, good, good]
            given[place] = np.array(bad)
            with pytest.raises(sc.SymcIndexError):
                f(*given, values)
            np.testing.assert_array_equal(first.get(), kept[0])
            np.testing.assert_array_equal(second.get(), kept[1])
    f(good, good, good, values)
    np.testing.assert_array_equal(first.get(), combined("add", kept[0], good, values[good]))
    np.testing.assert_array_equal(second.get(), combined("set", kept[1], good, values[good] * 2))


def test_what_has_no_elements_has_no_place_out_of_range() -> None:
    table = sc.shared(np.zeros((4, 0), np.float32))
    places, rows = sc.var("i", "i64[n]"), sc.var("v", "f32[n,0]")
    f = sc.function([places, rows], updates={table: table.at[places].add(rows)}, cache=False)
    f(np.array([1, 2]), np.zeros((2, 0), np.float32))
    assert table.get().shape == (4, 0)


def test_a_table_that_is_read_elsewhere_is_read_as_it_was() -> None:
    before = small(*WIDE)
    table = sc.shared(before)
    places, rows = sc.var("i", "i64[3]"), sc.var("v", f"f32[3,{WIDE[1]}]")
    update = {table: table.at[places].add(rows)}
    f = sc.function([places, rows], [sc.sum(table), table[places]], updates=update, cache=False)
    assert not written_whole(f)
    where, given = np.array([3, 3, 5]), small(3, WIDE[1])
    total, old = f(where, given)
    assert total == before.sum()
    np.testing.assert_array_equal(old, before[where])
    np.testing.assert_array_equal(table.get(), combined("add", before, where, given))


@pytest.mark.parametrize("numerics", ["fast", "strict"])
def test_a_table_of_which_few_rows_are_read_is_updated_in_those(numerics: str) -> None:
    before = np.random.default_rng(3).standard_normal((500, 8))
    table = sc.shared(before)
    i = sc.var("i", "i64[6]")
    loss = sc.sum(sc.sin(table[i]))
    update = {table: table - 0.5 * sc.grad(loss, table)}
    f = sc.function([i], loss, updates=update, numerics=numerics, cache=False)
    moved, whole = f.cost().bytes, before.nbytes
    assert moved < whole / 4 if numerics == "fast" else moved >= 2 * whole
    assert not written_whole(f)
    where = np.array([3, 499, 3, -1, 0, 7])
    np.testing.assert_allclose(f(where), np.sin(before[where]).sum(), rtol=1e-12)
    slope = np.zeros_like(before)
    np.add.at(slope, where, np.cos(before[where]))
    np.testing.assert_allclose(table.get(), before - 0.5 * slope, rtol=1e-12)


def test_elements_at_places_that_are_data_are_written_in_place() -> None:
    """The array is written as a row of elements: the same bytes in another shape."""
    before = small(*WIDE)
    table = sc.shared(before)
    i, j = sc.var("i", "i64[4]"), sc.var("j", "i64[4]")
    rows = sc.var("v", "f32[4]")
    update = {table: table.at[i, j].add(rows)}
    f = sc.function([i, j, rows], sc.sum(table), updates=update, cache=False)
    assert not written_whole(f)
    where, given = (np.array([0, 39, -1, 39]), np.array([5, -1, -1, 0])), small(4)
    assert f(*where, given) == before.sum()
    expected = before.copy()
    np.add.at(expected, where, given)
    np.testing.assert_array_equal(table.get(), expected)
    for wrong in ((np.array([0, 40, 0, 0]), where[1]), (where[0], np.array([0, 0, 6, 0]))):
        with pytest.raises(sc.SymcIndexError):
            f(*wrong, given)
        np.testing.assert_array_equal(table.get(), expected)


def test_a_new_value_in_another_shape_overwrites_the_old() -> None:
    before = small(6, 4)
    table = sc.shared(before)
    turned = sc.reshape(sc.reshape(table, (24,)) * 2 + sc.arange(24, dtype="f32"), (6, 4))
    f = sc.function([], updates={table: turned}, cache=False)
    f()
    expected = before * 2 + np.arange(24, dtype=np.float32).reshape(6, 4)
    np.testing.assert_array_equal(table.get(), expected)
    other = sc.shared(before)
    backwards = sc.reshape(sc.reshape(other, (24,))[::-1] + sc.reshape(other, (24,)), (6, 4))
    g = sc.function([], updates={other: backwards}, cache=False)
    g()
    flat = before.reshape(-1)
    np.testing.assert_array_equal(other.get(), (flat[::-1] + flat).reshape(6, 4))
