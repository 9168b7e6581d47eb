"""Shared variables: reads, updates, views, and what a call holds while it runs."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from runtime.programs import (
    ADD,
    F32,
    F64,
    TRAP,
    Builder,
    affine,
    callable_of,
    object_code,
    state_of,
    updating,
)
from symc.ir.errors import DTypeError, ShapeError, SymcIndexError
from symc.ir.program import Commit, Copy
from symc.runtime.executable import Callable, State, load


def stepper(state: State, *, in_place: bool, axis: int | str = "n") -> Callable:
    program = updating(axis, in_place=in_place)
    return callable_of(load(program, object_code(affine()), [state]))


def test_get_and_set() -> None:
    value = np.arange(6, dtype=F32).reshape(2, 3)
    w = State(value, "w")
    assert (w.name, w.dtype, w.shape) == ("w", F32, (2, 3))
    value[:] = 0
    assert np.array_equal(w.get(), np.arange(6).reshape(2, 3))
    copy = w.get()
    copy[:] = 9
    assert w.get()[0, 1] == 1
    w.set(np.ones((2, 3), F32))
    assert np.all(w.get() == 1)


@pytest.mark.parametrize(
    "value", [np.array(3.0), np.zeros((0, 4)), np.arange(6.0).reshape(2, 3).T, np.ones(3, ">f8")]
)
def test_any_layout_and_size(value: np.ndarray) -> None:
    w = State(value)
    assert w.shape == value.shape
    assert w.dtype == F64
    assert np.array_equal(w.get(), value)


def test_views_are_read_only_and_outlive_the_state() -> None:
    w = state_of([1, 2])
    view = w.get(copy=False)
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    del w
    assert np.array_equal(view, [1, 2])


def test_bad_values() -> None:
    w = state_of([1, 2])
    with pytest.raises(DTypeError):
        w.set(np.ones(2, F64))
    with pytest.raises(ShapeError):
        w.set(np.ones(3, F32))
    with pytest.raises(ShapeError):
        w.set(np.ones((2, 1), F32))
    for value in ([1.0, 2.0], None, "text"):
        with pytest.raises(TypeError):
            w.set(value)
    for dtype in (object, "S3", "datetime64[s]", np.longdouble):
        with pytest.raises(DTypeError):
            State(np.zeros(2, dtype))
    assert np.array_equal(w.get(), [1, 2])


def test_weak_references() -> None:
    w = state_of([1])
    reference = weakref.ref(w)
    del w
    assert reference() is None


@pytest.mark.parametrize("in_place", [False, True])
def test_updates(in_place: bool) -> None:
    w = state_of([1, 2, 3])
    f = stepper(w, in_place=in_place)
    assert np.array_equal(f(), [1, 2, 3])
    assert np.array_equal(f(), [3, 5, 7])
    assert np.array_equal(f.call_n(2), [15, 23, 31])
    assert np.array_equal(w.get(), [31, 47, 63])
    w.set(np.zeros(3, F32))
    assert np.array_equal(f(), [0, 0, 0])
    assert np.array_equal(w.get(), [1, 1, 1])
    assert f.last_stats()["allocations"] == 0


@pytest.mark.parametrize("in_place", [False, True])
def test_results_do_not_alias_states(in_place: bool) -> None:
    w = state_of([1, 2, 3])
    f = stepper(w, in_place=in_place)
    results = [f() for _ in range(4)]
    assert np.array_equal(results, [[1, 2, 3], [3, 5, 7], [7, 11, 15], [15, 23, 31]])


def test_a_view_keeps_old_contents_when_the_buffer_is_replaced() -> None:
    w = state_of([1, 2, 3])
    f = stepper(w, in_place=False)
    views = []
    for _ in range(4):
        views.append(w.get(copy=False))
        f()
    assert np.array_equal(views, [[1, 2, 3], [3, 5, 7], [7, 11, 15], [15, 23, 31]])


def test_an_input_in_a_state_that_is_written() -> None:
    """s <- s + s in place, then y = s + x: x is the old s although it is a view of s."""
    b = Builder("n")
    x = b.input("n")
    s = b.state("n")
    y = b.output("n")
    b.code.append(Commit())
    b.kernel("add", s, s, s)
    b.updates.append((0, s))
    b.kernel("add", s, x, y)
    w = state_of([1, 2, 3])
    f = callable_of(load(b.build(), object_code(ADD), [w]))
    assert np.array_equal(f(w.get(copy=False)), [3, 6, 9])
    assert np.array_equal(w.get(), [2, 4, 6])


def test_one_state_in_two_slots() -> None:
    b = Builder("n")
    first, second = b.state("n"), b.state("n")
    b.kernel("add", first, second, b.output("n"))
    w = state_of([1, 2])
    f = callable_of(load(b.build(), object_code(ADD), [w, w]))
    assert np.array_equal(f(), [2, 4])
    b.kernel("affine", first, b.staged(first))
    with pytest.raises(ValueError, match="two slots"):
        load(b.build(), object_code(ADD, affine()), [w, w])


def test_two_states_swap() -> None:
    b = Builder("n")
    first, second = b.state("n"), b.state("n")
    b.code.append(Copy(b.staged(first), second))
    b.code.append(Copy(b.staged(second), first))
    b.code.append(Copy(b.output("n"), first))
    u, v = state_of([1, 2], "u"), state_of([3, 4], "v")
    f = callable_of(load(b.build(), b"", [u, v]))
    f()
    assert (u.get().tolist(), v.get().tolist()) == ([3, 4], [1, 2])


def test_a_trap_leaves_every_state() -> None:
    b = Builder("n")
    s = b.state("n")
    b.kernel("affine", s, b.staged(s))
    b.kernel("trap", s, b.output("n"), dims=(1,), traps=True)
    w = state_of([1, 2])
    f = callable_of(load(b.build(), object_code(affine(), TRAP), [w]))
    for _ in range(2):
        with pytest.raises(SymcIndexError):
            f()
        assert np.array_equal(w.get(), [1, 2])


def test_sizes_from_states() -> None:
    w = State(np.ones(3, F32), "w", resizable=True)
    b = Builder("n")
    x, s = b.input("n"), b.state("n")
    b.kernel("add", x, s, b.output("n"))
    f = callable_of(load(b.build(), object_code(ADD), [w]))
    assert np.array_equal(f(np.ones(3, F32)), [2, 2, 2])
    w.set(np.zeros(5, F32))
    assert w.shape == (5,)
    assert np.array_equal(f(np.ones(5, F32)), np.ones(5))
    assert f(np.ones(3, F32))[0] == "miss"
    with pytest.raises(ShapeError):
        w.set(np.zeros((5, 1), F32))


@pytest.mark.parametrize(
    "states", [[], [np.ones(3)], [None], [State(np.ones(3))], [State(np.ones((3, 1), F32))]]
)
def test_states_that_do_not_fit_the_slots(states: list[object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        load(updating("n", in_place=False), object_code(affine()), states)


def test_static_slot_and_another_size() -> None:
    w = State(np.ones(3, F32), "w", resizable=True)
    f = stepper(w, in_place=False, axis=3)
    f()
    w.set(np.ones(4, F32))
    assert f()[0] == "miss"
