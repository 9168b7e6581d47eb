"""Lanes of a batch that do not take part in what a region does to the others.

A batched choice runs every branch on all lanes, and a batched loop steps until its last lane has
finished.  Where a region may trap, or never end, lanes that would not have run it are given the
values of one that does: so that happens if and only if it does for a lane that takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from symc.ir import term
from symc.ir.core import Function, Value
from symc.ir.ops.reduce import ANY, ARGMAX
from symc.ir.types import I32, I64

if TYPE_CHECKING:
    from symc.ir.term import Term

TRAP: Final = "trap"
ENDLESS: Final = "endless"


def guarded(region: Function) -> bool:
    """Whether an operation of a region, or of one inside it, may trap or never end."""
    todo = [region]
    while todo:
        for node in todo.pop().nodes:
            if TRAP in node.op.effects or ENDLESS in node.op.effects:
                return True
            todo.extend(node.regions)
    return False


def of_lanes(mask: Term, values: Sequence[Term], marks: Sequence[bool]) -> list[Term]:
    """Values whose lanes (axis 0 of the marked ones) outside `mask` are those of one inside it."""
    count = mask.shape[0]
    if count == 0:
        return list(values)
    first = term.make(ARGMAX, mask.cast(I32), axes=(0,))
    lanes = term.where(mask, term.iota((count,), 0), first.broadcast((count,), ()))
    return [
        term.take(x, lanes, 0, "clip") if mark else x for x, mark in zip(values, marks, strict=True)
    ]


def kept(mask: Term, changed: Sequence[Value], others: Sequence[Value]) -> list[Value]:
    """Batched values where `mask` has their lane, else `others`."""
    found = []
    for new, old in zip(changed, others, strict=True):
        lanes = mask.broadcast(new.type.shape, (0,))
        found.append(term.where(lanes, term.Term(new), term.Term(old)).value)
    return found


def some(mask: Term) -> Term:
    """1 when any lane is in `mask`, else 0."""
    return term.make(ANY, mask, axes=(0,)).cast(I64)
