"""Bad input to loops and choices (B27, B36 to B48): typed errors that name the user's line."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import symc as sc
from symc import theano

X3, X4 = np.arange(3.0), np.arange(4.0)
X, Y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
Case = tuple[str, type[Exception], str, Callable[[], object]]


def add(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
    return c + x, c


def leaked() -> sc.Expr:
    """A value of a step that has ended."""
    kept: list[sc.Expr] = []

    def step(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        kept.append(c * x)
        return c, c

    sc.scan(step, sc.zeros(()), X)
    return kept[0]


def leak_between_steps() -> object:
    def outer(c: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        kept: list[sc.Expr] = []

        def inner(d: sc.Expr, _: None) -> tuple[sc.Expr, None]:
            kept.append(d)
            return d + x, None

        last, _ = sc.scan(inner, c, None, length=2)
        return last + kept[0], last

    return sc.scan(outer, sc.zeros(()), X)


def cases() -> Iterator[Case]:
    yield "B27 value of a step", sc.TracerError, "leaked", lambda: leaked() + 1
    yield (
        "B27 in a step",
        sc.TracerError,
        "leaked",
        lambda: sc.scan(lambda c, x: (c + leaked(), c), sc.zeros(()), X),
    )
    yield "B36 scan", sc.ShapeError, "length", lambda: sc.scan(add, 0.0, None, length=-2)
    yield (
        "B36 symbolic",
        sc.ShapeError,
        "negative|>= 0",
        lambda: sc.scan(lambda c, _: (c, c), 0.0, None, length=X3.shape[0] - 5),
    )
    yield (
        "B36 theano",
        sc.ShapeError,
        "n_steps",
        lambda: theano.scan(lambda h: h, None, sc.zeros(()), n_steps=-1),
    )
    yield "B36 no integer", sc.DTypeError, "length", lambda: sc.scan(add, 0.0, None, length=1.5)
    yield (
        "B37 scan",
        sc.ShapeError,
        "3 rows.*4 rows|4 rows.*3 rows",
        lambda: sc.scan(add, 0.0, {"a": X3, "b": X4}),
    )
    yield "reverse", sc.DTypeError, "'yes'", lambda: sc.scan(add, 0.0, X3, reverse="yes")
    yield "B37 length", sc.ShapeError, "rows", lambda: sc.scan(add, 0.0, X3, length=4)
    yield "B37 map", sc.ShapeError, "rows", lambda: sc.map(lambda x: x[0], (X3, X4))
    yield (
        "B38 short",
        sc.ShapeError,
        "3 rows",
        lambda: theano.scan(lambda a: a, None, {"initial": sc.zeros(2), "taps": [-3]}, n_steps=2),
    )
    yield (
        "B38 no rows",
        sc.ShapeError,
        "2 rows",
        lambda: theano.scan(lambda a: a, None, {"initial": sc.zeros(()), "taps": [-2]}, n_steps=2),
    )
    yield (
        "B39 dtype",
        sc.DTypeError,
        "f64(.|\n)*f32",
        lambda: sc.scan(lambda c, x: (c * x, c), np.float32(1), X3),
    )
    yield (
        "B39 shape",
        sc.ShapeError,
        r"f64\[3\](.|\n)*f64\[2\]|2(.|\n)*3",
        lambda: sc.scan(lambda c, x: (c[:2], c), X3, X3),
    )
    yield (
        "B39 rank",
        sc.ShapeError,
        r"f64\[\]",
        lambda: sc.scan(lambda c, x: (sc.sum(c), c), X3, X3),
    )
    yield (
        "B39 while",
        sc.DTypeError,
        "i64(.|\n)*i32|i32(.|\n)*i64",
        lambda: sc.while_loop(lambda c: c < 3, lambda c: c.astype("i64"), np.int32(0)),
    )
    yield "B39 fori", sc.ShapeError, "carry", lambda: sc.fori_loop(0, 3, lambda i, c: c[1:], X3)
    yield "B40 scan", sc.DTypeError, "pair", lambda: sc.scan(lambda c, x: c + x, 0.0, X3)
    yield "B40 three", sc.DTypeError, "pair", lambda: sc.scan(lambda c, x: (c, x, x), 0.0, X3)
    yield "B40 tree", sc.ShapeError, "tree", lambda: sc.scan(lambda c, x: ((c, c), x), 0.0, X3)
    yield (
        "B40 while",
        sc.ShapeError,
        "tree",
        lambda: sc.while_loop(lambda c: c[0] < 1, lambda c: c[0], (0.0, 1.0)),
    )
    yield (
        "B40 theano",
        sc.ShapeError,
        "outputs_info",
        lambda: theano.scan(lambda a, h: [a, h], X, [sc.zeros(())]),
    )
    yield "B41 nested", sc.TracerError, "leaked", leak_between_steps
    yield (
        "B42 while",
        sc.DTypeError,
        "condition",
        lambda: sc.while_loop(lambda c: c, lambda c: c, 1.0),
    )
    yield (
        "B42 while, many",
        sc.DTypeError,
        "condition",
        lambda: sc.while_loop(lambda c: c < 1, lambda c: c, X3),
    )
    yield (
        "B43 dtypes",
        sc.DTypeError,
        "branches",
        lambda: sc.cond(X[0] > 0, lambda: X, lambda: X.astype("f32")),
    )
    yield (
        "B43 trees",
        sc.DTypeError,
        "branches",
        lambda: sc.cond(X[0] > 0, lambda: (X, X), lambda: X),
    )
    yield "B43 ranks", sc.ShapeError, "branches", lambda: sc.cond(X[0] > 0, lambda: X, lambda: X[0])
    yield "B43 number", sc.DTypeError, "pred", lambda: sc.cond(X[0], lambda: X, lambda: X)
    yield "B43 index", sc.DTypeError, "switch: i", lambda: sc.switch(X[0], [lambda: X])
    yield (
        "B44 update",
        sc.DTypeError,
        "steps",
        lambda: theano.scan(lambda a: (a, {sc.shared(np.array(0), name="steps"): a}), X),
    )
    yield "B45 two updates", sc.DomainError, "two updates", _two_updates


def _two_updates() -> object:
    s = sc.shared(np.array(0.0), name="s")
    return theano.scan(lambda a: (a, [(s, s + 1), (s, s + a)]), X)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case[0])
def test_bad_input(case: Case) -> None:
    _, error, text, call = case
    with pytest.raises(error, match=f"(?s){text}") as caught:
        call()
    assert "test_loop_inputs.py" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 6


class TestSteps:
    @pytest.mark.parametrize("rows", ["0", "n"])
    def test_no_steps_give_well_typed_empty_rows(self, rows: str) -> None:
        """B36."""
        x = sc.var("x", f"f32[{rows},2]")
        last, ys = sc.scan(lambda c, r: (c + r, (c, sc.sum(r) > 0)), sc.ones(2, dtype="f32"), x)
        f = sc.function([x], [last, *ys])
        found = f(np.zeros((0, 2), np.float32))
        assert [(a.shape, str(a.dtype)) for a in found] == [
            ((2,), "float32"),
            ((0, 2), "float32"),
            ((0,), "bool"),
        ]

    def test_lengths_that_differ_at_the_call(self) -> None:
        """B37: sizes that nothing proves equal are compared at each call."""
        f = sc.function([X, Y], sc.scan(lambda c, r: (c + r[0] * r[1], c), 0.0, (X, Y))[0])
        assert f(X3, X3) == 5
        with pytest.raises(sc.ShapeError, match="test_loop_inputs"):
            f(X3, X4)

    @pytest.mark.parametrize("name", ["scan", "while", "fori", "map", "checkpoint", "in a loop"])
    def test_captured_arrays_whose_lengths_differ_at_the_call(self, name: str) -> None:
        """B37: what a step captures, and no other, is compared too."""

        def both() -> sc.Expr:
            return sc.sum(X * Y)

        def step(c: sc.Expr, _: None) -> tuple[sc.Expr, None]:
            return c + both(), None

        def nested(c: sc.Expr, _: None) -> tuple[sc.Expr, None]:
            return sc.scan(step, c, None, length=2)[0], None

        total = {
            "scan": lambda: sc.scan(step, 0.0, None, length=2)[0],
            "while": lambda: sc.while_loop(lambda c: c < 5, lambda c: c + both(), 0.0),
            "fori": lambda: sc.fori_loop(0, 2, lambda i, c: c + both(), 0.0),
            "map": lambda: sc.sum(sc.map(lambda a: a * 0 + both(), np.ones(2))),
            "checkpoint": lambda: 2 * sc.checkpoint(both)(),
            "in a loop": lambda: sc.scan(nested, 0.0, None, length=1)[0],
        }[name]()
        f = sc.function([X, Y], total)
        assert f(np.ones(3), np.ones(3)) == 6
        with pytest.raises(sc.ShapeError, match="test_loop_inputs"):
            f(np.ones(3), np.ones(4))

    def test_an_initial_state_that_is_too_short_at_the_call(self) -> None:
        """B38."""
        out, _ = theano.scan(lambda a, b: a + b, None, {"initial": X, "taps": [-2, -1]}, n_steps=3)
        f = sc.function([X], out)
        assert f(np.ones(2)).tolist() == [2, 3, 5]
        with pytest.raises(sc.ShapeError, match="test_loop_inputs"):
            f(np.ones(1))


class TestState:
    def test_an_error_in_a_loop_of_an_update_keeps_all_values(self) -> None:
        """B47."""
        a, b = sc.shared(np.ones(3), name="a"), sc.shared(np.zeros(()), name="b")
        i = sc.var("i", "i64[n]")

        def step(c: sc.Expr, k: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
            return c.at[k].add(1.0), sc.take(c, k)

        last, ys = sc.scan(step, a, i)
        f = sc.function([i], [], updates=[(b, b + 1), (a, last * 2 + sc.sum(ys))])
        f(np.array([0, 1]))
        kept = a.get().tolist(), float(b.get())
        for wrong in ([0, 3], [-4], [0, 1, 99, 2]):
            with pytest.raises(sc.SymcIndexError, match="test_loop_inputs"):
                f(np.array(wrong))
            assert (a.get().tolist(), float(b.get())) == kept
        f(np.array([0]))
        assert float(b.get()) == kept[1] + 1

    def test_contents_of_another_type_and_arrays_that_change_later(self) -> None:
        """B46."""
        w = sc.shared(np.ones(3), name="w")
        f = sc.function([], sc.scan(lambda c, _: (c * w, None), sc.ones(3), None, length=3)[0])
        for wrong in (np.ones(3, np.complex128), np.ones((3, 1))):
            with pytest.raises((sc.DTypeError, sc.ShapeError)):
                w.set(wrong)
        mine = np.full(3, 2.0)
        w.set(mine)
        mine[:] = 9
        assert f().tolist() == [8, 8, 8]

    def test_ctrl_c_in_a_loop_of_an_update_keeps_all_values(self) -> None:
        """B48: a loop that never ends by itself."""
        a = sc.shared(np.ones(()), name="a")
        x = sc.var("x", "f64[]")
        last = sc.while_loop(lambda c: c < 2, lambda c: c * x, a)
        f = sc.function([x], [], updates=[(a, last)])
        f(3.0)
        assert a.get() == 3
        a.set(np.ones(()))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                f(0.5)
        finally:
            timer.join()
            signal.signal(signal.SIGINT, before)
        assert a.get() == 1
