"""Scopes: which trace is being written, and whether a value still belongs to an open one.

before: nothing is traced.  after: `enter` makes a scope current on this thread until its body ends.

Invariants: a scope is open exactly while its body runs; a value made in a scope may be used while
the scope is open, in it and in the scopes entered inside it.  Values of the explicit door belong to
no scope and never expire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np

from symc.ir.core import Value
from symc.ir.locations import Location, here

_current: ContextVar[Scope | None] = ContextVar("scope", default=None)
_example: ContextVar[Mapping[str, int]] = ContextVar("example", default=MappingProxyType({}))


class Scope:
    """One trace: its label, the user's line that began it, and the arrays that it captured."""

    __slots__ = ("_captured", "label", "lifts", "location", "open", "parent")

    def __init__(self, label: str, parent: Scope | None, *, lifts: bool = False) -> None:
        self.label = label
        # Captured arrays of any size are inputs, never part of the program.
        self.lifts: bool = lifts or (parent is not None and parent.lifts)
        self.parent = parent
        self.location: Location = here()
        self.open = True
        # A trace inside another is part of its program.
        self._captured: dict[int, tuple[np.ndarray, Value]] = (
            {} if parent is None else parent._captured
        )

    def captured(self, array: np.ndarray) -> Value | None:
        """The value that stands for `array`, when this trace took it before."""
        found = self._captured.get(id(array))
        return None if found is None else found[1]

    def capture(self, array: np.ndarray, value: Value) -> None:
        """Remember that `value` stands for `array` (which is kept alive, so its id is its own)."""
        self._captured[id(array)] = (array, value)


def current() -> Scope | None:
    """The scope being traced on this thread, or None."""
    return _current.get()


@contextmanager
def enter(label: str, *, lifts: bool = False) -> Iterator[Scope]:
    """Trace inside a new scope."""
    scope = Scope(label, _current.get(), lifts=lifts)
    token = _current.set(scope)
    try:
        yield scope
    finally:
        scope.open = False
        _current.reset(token)


@contextmanager
def example(sizes: Mapping[str, int]) -> Iterator[None]:
    """Trace for a call in which named sizes have these values, whatever later calls have."""
    token = _example.set(sizes)
    try:
        yield
    finally:
        _example.reset(token)


def example_sizes() -> Mapping[str, int]:
    """Named sizes in the call that is being traced, for choices that change no result."""
    return _example.get()


@contextmanager
def reopened(scope: Scope | None) -> Iterator[None]:
    """Values of `scope` and of those around it may be used, although their bodies have ended.

    For code of the user's that runs later and whose values are replaced by those of the copy that
    it runs for.
    """
    closed = []
    while scope is not None:
        if not scope.open:
            closed.append(scope)
        scope = scope.parent
    for one in closed:
        one.open = True
    try:
        yield
    finally:
        for one in closed:
            one.open = False


@contextmanager
def outside() -> Iterator[None]:
    """No trace: what runs inside builds or runs programs of its own."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def same(scope: Any) -> bool:
    """Whether `scope` is the one being traced."""
    return _current.get() is scope
