"""The adjoint of one step of a loop, which runs the step itself: nothing of it is stored.

before: the body of a loop, and which of its results have cotangents.  after: one closed function,
in the order that `snapshot_schedule` calls it with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.core import Function, Value, nodes_so_far
from symc.ir.ops.record import Derive
from symc.ir.ops.regions import Moved, closed, fresh, present
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned
from symc.ir.types import is_float
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.term import Term


@dataclass(frozen=True, slots=True)
class Parts:
    """How many params of a body are constants and carries; what follows changes step by step."""

    consts: int
    carries: int


@dataclass(frozen=True, slots=True)
class StepBack:
    """The adjoint of a step.

    function: takes what it captured; constants, what changes step by step, cotangents of the ys
    that have any; the state; cotangents of the carries in `moving`, and the sums so far of those of
    the constants in `summed`.  It gives the latter two anew, and those of the params in `rows`.
    """

    function: Function
    captured: Sequence[Value]
    moving: Sequence[int]
    summed: Sequence[int]
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of the body: its params and results, cotangents given per result, found per param."""

    params: list[Value]
    results: tuple[Value, ...]
    seeds: list[Value | None]
    found: list[Value | None]
    since: int


def step_back(
    gradient: Derive, body: Function, parts: Parts, cotangents: Moved, wanted: Sequence[bool]
) -> StepBack:
    """The adjoint of a body; `cotangents` per result, `wanted` per param."""
    step = _differentiated(gradient, body, parts, cotangents, wanted)
    first, count = parts.consts, parts.carries
    moving = [i for i in range(count) if step.seeds[i] is not None]
    summed = [i for i in range(first) if step.found[i] is not None]
    rows = [i for i in range(first + count, len(step.params)) if step.found[i] is not None]
    totals = [Value(step.params[i].type, name="total") for i in summed]
    backward = []
    for i in moving:
        ct = step.found[first + i]
        backward.append(term.zeros(step.results[i].type).value if ct is None else ct)
    given = present(step.found[i] for i in summed)
    added = [
        (term.Term(total) + term.Term(ct)).value for ct, total in zip(given, totals, strict=True)
    ]
    inner = [
        *step.params[:first],
        *step.params[first + count :],
        *present(step.seeds[count:]),
        *step.params[first : first + count],
        *present(step.seeds[:count]),
        *totals,
    ]
    wanted_rows = present(step.found[i] for i in rows)
    results = [*backward, *added, *wanted_rows]
    function, captured = closed(body.name, inner, results, step.since)
    return StepBack(cloned(function), captured, moving, summed, rows)


def _differentiated(
    gradient: Derive, body: Function, parts: Parts, cotangents: Moved, wanted: Sequence[bool]
) -> _Copy:
    """The body and its adjoint; carries are reached through later steps too."""
    first, count = parts.consts, parts.carries
    arrives = [ct is not None for ct in cotangents]
    asked = list(wanted)
    for i in range(count):
        asked[first + i] = is_float(body.params[first + i].type.dtype)
    while True:
        since = nodes_so_far()
        params = fresh(body)
        results = spliced(body, params)
        seeds = [
            Value(r.type, name="cotangent") if mark else None
            for r, mark in zip(results, arrives, strict=True)
        ]
        reached = [r for r, seed in zip(results, seeds, strict=True) if seed is not None]
        targets = [p for p, mark in zip(params, asked, strict=True) if mark]
        answers = iter(gradient(reached, present(seeds), targets))
        found = [next(answers) if mark else None for mark in asked]
        carried = found[first : first + count]
        gained = [i for i, ct in enumerate(carried) if ct is not None and not arrives[i]]
        if not gained:
            return _Copy(params, results, seeds, found, since)
        for i in gained:
            arrives[i] = True


def seeds_of(cotangents: Moved, like: Sequence[Term], moving: Sequence[int]) -> list[Term]:
    """The cotangents that go in at the end; zeros where none arrives."""
    found = []
    for i in moving:
        ct = cotangents[i]
        found.append(term.zeros(like[i].type) if ct is None else term.Term(ct))
    return found
