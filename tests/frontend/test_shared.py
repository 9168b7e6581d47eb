"""Shared variables and their updates."""

import gc
import weakref

import numpy as np
import pytest

import symc as sc

HERE = r"(.|\n)*test_shared.py:\d+"


def test_updates_are_simultaneous():
    a, b = sc.shared(1.0, "a"), sc.shared(2.0, "b")
    step = sc.function([], [a, b], updates=[(a, b), (b, a + b)])
    seen = [tuple(map(float, step())) for _ in range(5)]
    assert seen == [(1, 2), (2, 3), (3, 5), (5, 8), (8, 13)]
    assert (a.get(), b.get()) == (13, 21)


def test_shared_variables():
    start = np.arange(4.0)
    w = sc.shared(start, "w")
    start[:] = 9
    np.testing.assert_array_equal(w.get(), np.arange(4.0))
    copy = w.get()
    copy[:] = 7
    assert w.get()[0] == 0
    view = w.get(copy=False)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    w.set([1, 2, 3, 4])
    np.testing.assert_array_equal(w.get(), [1, 2, 3, 4])
    assert w.spec == sc.Spec(sc.float64, (4,))
    source = np.ones(4)
    w.set(source)
    source[:] = 3
    assert w.get()[0] == 1
    for wrong, error in (
        (np.ones(3), sc.ShapeError),
        (np.ones((4, 1)), sc.ShapeError),
        (np.ones(4, complex), sc.DTypeError),
        (None, sc.DTypeError),
    ):
        with pytest.raises(error, match=f"shared w.set{HERE}"):
            w.set(wrong)
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.shared(np.ones(3, np.int8))
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.shared("abc")
    with pytest.raises(sc.TracerError, match="shared variable"):
        w += 1


def test_bad_updates():
    w = sc.shared(np.ones(3, np.float32), "w")
    x = sc.var("x", "f32[n]")
    for updates, error in (
        ({w: w.astype("f64") * 2}, sc.DTypeError),
        ({w: sc.sum(w)}, sc.ShapeError),
        ({w: np.ones((2, 3), np.float32)}, sc.ShapeError),
        ([(w, w), (w, w * 2)], sc.DomainError),
        ({x: x}, sc.DTypeError),
        ({w: "abc"}, sc.DTypeError),
    ):
        with pytest.raises(error, match=HERE):
            sc.function([x], None, updates=updates, on_unused_input="ignore")
    f = sc.function([x], None, updates={w: w + x})
    with pytest.raises(sc.ShapeError):
        f(np.ones(2, np.float32))
    np.testing.assert_array_equal(w.get(), [1, 1, 1])
    f(np.ones(3, np.float32))
    np.testing.assert_array_equal(w.get(), [2, 2, 2])


def test_functions_and_states_are_freed():
    w = sc.shared(np.zeros(1000), "w")
    f = sc.function([], None, updates={w: w + 1})
    f()
    watch = [weakref.ref(f), weakref.ref(w)]
    del f, w
    gc.collect()
    assert [ref() for ref in watch] == [None, None]
