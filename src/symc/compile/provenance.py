"""What was rewritten, and moved out of loops, before differentiating: behind which derivative.

before: derivatives and what was done to what was differentiated.  after: a note on each derivative,
which lasts as long as the value, so that the report of a program made later can tell of them.

Invariant: the notes hold no derivative alive, and change nothing that is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final
from weakref import WeakKeyDictionary

from symc.ir.core import Function, Value
from symc.ir.moves import Move
from symc.ir.report import Fired

# A side table of values, as locations are of nodes: values themselves are immutable.
_behind: Final[WeakKeyDictionary[Value, tuple[Fired | Move, ...]]] = WeakKeyDictionary()


def note(
    derivatives: Iterable[Value | None], fired: Sequence[Fired], moves: Sequence[Move]
) -> None:
    """Remember that `fired` and `moves` were done to what these are derivatives of."""
    if not fired and not moves:
        return
    shown = tuple(replace(one, stage=f"{one.stage} before differentiation") for one in fired)
    for value in derivatives:
        if value is not None and value.node is not None:
            _behind[value] = (*_behind.get(value, ()), *shown, *moves)


def rewrites_behind(function: Function) -> list[Fired]:
    """What was rewritten behind the derivatives that a function computes, each once."""
    found: dict[tuple[str, int], Fired] = {}
    for one in _notes(function):
        if isinstance(one, Fired):
            found.setdefault((one.rule, id(one.made)), one)
    return list(found.values())


def moves_behind(function: Function) -> list[Move]:
    """What was done to loops behind the derivatives that a function computes, each once."""
    return list({id(one): one for one in _notes(function) if isinstance(one, Move)}.values())


def _notes(function: Function) -> Iterator[Fired | Move]:
    for node in function.nodes:
        for value in node.results:
            yield from _behind.get(value, ())
