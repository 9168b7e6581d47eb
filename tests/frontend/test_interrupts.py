"""Ctrl-C inside loops: the call ends, and what it would have changed has not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import symc as sc

LONG = 10**15  # steps


@contextmanager
def interrupted_soon() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


def _endless(c: Any, go: Any) -> Any:
    """Runs for ever where `go` holds, else no step."""
    return sc.while_loop(lambda c: go & (c < 1e300), lambda c: sc.sin(c) + 2.0, c)


def _rows(x: Any, n: Any) -> Any:
    return sc.scan(lambda c, _: (sc.sin(c), None), x, length=n)[0]


def _inner(x: Any, go: Any) -> Any:
    """Many short loops inside a long one."""

    def outer(s: Any) -> Any:
        return sc.fori_loop(0, 3, lambda _, c: sc.sin(c), s)

    return sc.while_loop(lambda c: go & (c < 1e300), outer, x)


def _deep(x: Any, go: Any) -> Any:
    """A long loop inside a short one."""
    return sc.fori_loop(0, 3, lambda _, c: _endless(c, go), x)


def _large(x: Any, go: Any) -> Any:
    """Steps that are kernels over whole arrays."""
    wide = x + sc.zeros((40, 40))
    return sc.while_loop(lambda c: go & (c[0, 0] < 1e300), lambda c: sc.sin(sc.cos(c) @ c), wide)[
        0, 0
    ]


def _until(x: Any, go: Any) -> Any:
    most = 10**15
    return sc.scan(lambda c, _: (sc.sin(c), None), x, length=most, until=lambda c: ~go)[0]


LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "registers": _endless,
    "short inside": _inner,
    "long inside": _deep,
    "kernels": _large,
    "until": _until,
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_stopped_call_changes_nothing(name: str) -> None:
    w = sc.shared(np.array(1.5), name="w")
    go = sc.var("go", "bool")
    f = sc.function([go], LOOPS[name](w, go), updates={w: w + 1.0})
    expected = float(f(False))
    assert float(w.get()) == 2.5
    w.set(np.array(1.5))
    with interrupted_soon():
        f(True)
    assert float(w.get()) == 1.5
    assert float(f(False)) == expected
    assert float(w.get()) == 2.5


def test_a_scan_of_a_length_that_the_call_gives() -> None:
    f = sc.jit(lambda x, n: sc.fori_loop(0, n, lambda _, c: sc.sin(c), x))
    assert f(0.5, 0) == 0.5
    with interrupted_soon():
        f(0.5, LONG)
    assert f(0.5, 1) == sc.sin(np.array(0.5))


def test_a_length_that_the_program_knows() -> None:
    f = sc.jit(lambda x: _rows(x, LONG))
    with interrupted_soon():
        f(0.5)


def test_n_calls_leave_the_state_of_the_last_that_ended() -> None:
    w = sc.shared(np.array(0.0), name="w")
    f = sc.function([], [], updates={w: sc.fori_loop(0, 1000, lambda _, c: c + 1.0, w)})
    with interrupted_soon():
        f.call_n(10**12)
    assert float(w.get()) > 0
    assert float(w.get()) % 1000 == 0
