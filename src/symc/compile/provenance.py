"""Rewrites that were made before differentiating: which derivative they stand behind.

before: derivatives and the rewrites of what was differentiated.  after: a note on each derivative,
which lasts as long as the value, so that the report of a program made later can tell of them.

Invariant: the notes hold no derivative alive, and change nothing that is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final
from weakref import WeakKeyDictionary

from symc.ir.core import Function, Value
from symc.ir.report import Fired

# A side table of values, as locations are of nodes: values themselves are immutable.
_behind: Final[WeakKeyDictionary[Value, tuple[Fired, ...]]] = WeakKeyDictionary()


def note(derivatives: Iterable[Value | None], fired: Sequence[Fired]) -> None:
    """Remember that `fired` was done to what these are derivatives of."""
    if not fired:
        return
    shown = tuple(replace(one, stage=f"{one.stage} before differentiation") for one in fired)
    for value in derivatives:
        if value is not None and value.node is not None:
            _behind[value] = (*_behind.get(value, ()), *shown)


def rewrites_behind(function: Function) -> list[Fired]:
    """What was rewritten behind the derivatives that a function computes, each once."""
    found: dict[tuple[str, int], Fired] = {}
    for node in function.nodes:
        for value in node.results:
            for fired in _behind.get(value, ()):
                found.setdefault((fired.rule, id(fired.made)), fired)
    return list(found.values())
