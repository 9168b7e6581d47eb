"""The two halves of a loop whose states are remembered only here and there.

`sweep` runs a `while` to its end and keeps snapshots on the way, not knowing how long it will be;
`reversal` goes back over it step by step, runs the steps between snapshots again, and keeps further
snapshots in the room that becomes free.  Both are plain loops.

Snapshots are a stack: number 0 is the first state, which is an operand and not stored; number
j >= 1 is row j - 1 of `rows`, the state after `places[j - 1]` steps.

The sweep works in phases t = 1, 2, ...: within phase t, snapshot j is followed by
reach(slots - j, t - 1) steps before the next is kept.  When all are used up, just so many steps
have run that phase t + 1 would not yet have kept its first: all but the first state are dropped,
and the stack begins anew with the state of this moment.  So for any number of steps n, none is run
forward more often than the least t for which reach(slots, t) >= n, which is the fewest that a
schedule that knows n can do with; with one run more inside of its adjoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Value, reachable
from symc.ir.dims import Size, maximum
from symc.ir.ops.binomial import least, reach, split
from symc.ir.ops.emitted_loops import while_of
from symc.ir.ops.switch import SWITCH
from symc.ir.rewriter import spliced
from symc.ir.types import I64
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.term import Term

Advance = Callable[[Sequence["Term"], "Term", "Term"], Sequence["Term"]]


@dataclass(frozen=True, slots=True)
class Memory:
    """The stack of snapshots: `depth` of them besides the first state, and the steps in all.

    slots: how many snapshots there may be, the first state among them.
    """

    rows: list[Term]  # per carry [room, *shape]
    places: Term  # i64[room]
    depth: Term
    steps: Term
    slots: Size

    @property
    def nowhere(self) -> Term:
        """The number of no row."""
        return term.size(self.places.shape[0])

    def leaves(self) -> list[Term]:
        """All terms."""
        return [*self.rows, self.places, self.depth, self.steps]

    @staticmethod
    def of(leaves: Sequence[Term], slots: Size) -> Memory:
        """The memory of its leaves."""
        *rows, places, depth, steps = leaves
        return Memory(rows, places, depth, steps, slots)

    @staticmethod
    def empty(carries: Sequence[Term], slots: Size) -> Memory:
        """Room for snapshots."""
        room = room_of(slots)
        rows = [term.full((room, *x.shape), 0, x.dtype) for x in carries]
        zero = term.size(0)
        return Memory(rows, term.full((room,), 0, I64), zero, zero, slots)


def room_of(slots: Size) -> Size:
    """How many rows there are: the first state needs none; one at least, which may stay unused."""
    return maximum(slots - 1, 1)


def put(rows: Term, index: Term, value: Term) -> Term:
    """Row `index` set; nothing for an index behind the last."""
    attrs: Attrs = {"axis": 0, "mode": "fill", "combine": "set"}
    return term.scatter(rows, index, value, attrs)


def _either(mask: Term, left: Term, right: Term) -> Term:
    """One of two terms of one type, by a bool scalar."""
    return term.where(mask.broadcast(left.shape, ()), left, right)


def sweep(condition: Function, body: Function, operands: Sequence[Term], slots: Size) -> list[Term]:
    """The last carries of the loop over `operands` (constants, then carries), and its memory."""
    count = len(body.results)
    consts, starts = (
        list(operands[: len(operands) - count]),
        list(operands[len(operands) - count :]),
    )
    limit = term.size(slots)

    def going(carries: Sequence[Term]) -> Term:
        return spliced_terms(condition, [*consts, *carries])[0]

    def run(carry: Sequence[Term]) -> list[Term]:
        carries, memory, phase = carry[:count], Memory.of(carry[count:-1], slots), carry[-1]
        begins = memory.steps.eq(0)
        full = memory.depth.ge(limit - 1) & ~begins
        phase = phase + full.cast(I64)
        depth = least(term.where(full, 1, memory.depth + 1), limit - 1)
        depth = term.where(begins, 0, depth)
        at = term.where(depth.eq(0), memory.nowhere, depth - 1)
        rows = [put(row, at, x) for row, x in zip(memory.rows, carries, strict=True)]
        places = put(memory.places, at, memory.steps)
        until = memory.steps + reach(limit - depth, phase - 1)
        *carries, steps = while_of(
            body.name,
            [*carries, memory.steps],
            lambda now: going(now[:-1]) & now[-1].lt(until),
            lambda now: [*spliced_terms(body, [*consts, *now[:-1]]), now[-1] + 1],
        )
        return [*carries, *rows, places, depth, steps, phase]

    memory = Memory.empty(starts, slots)
    found = while_of(
        body.name,
        [*starts, *memory.leaves(), term.size(1)],
        lambda carry: going(carry[:count]),
        run,
    )
    return found[:-1]


def spliced_terms(function: Function, operands: Sequence[Term]) -> list[Term]:
    """The results of a copy of a function."""
    return [term.Term(value) for value in spliced(function, [x.value for x in operands])]


@dataclass(frozen=True, slots=True)
class Adjoint:
    """One step backwards, closed: takes what is given, the state before the step and cotangents.

    function: over all of them in that order, to new cotangents and then rows, one for each of the
    arrays at the end of the cotangents that the reversal carries.  given: what it reads of step
    number i.  place: where the rows of step number i go.
    """

    function: Function
    given: Callable[[Term], Sequence[Term]]
    rows: int = 0
    place: Callable[[Term], Term] = lambda number: number


def reversal(
    advance: Advance,
    adjoint: Adjoint,
    starts: Sequence[Term],
    memory: Memory,
    cotangents: Sequence[Term],
) -> tuple[list[Term], Term]:
    """The cotangents in front of the first step, and how many times a step was run.

    `advance(state, from, to)`: the state after some steps, and their last number.
    """
    state, at = _restored(starts, memory.rows, memory.places, memory.depth)
    count = len(starts)

    def run(carry: Sequence[Term]) -> list[Term]:
        machine = _Machine.of(carry, count, memory.slots)
        return machine.next(advance, adjoint, starts)

    first = [*state, *memory.leaves(), at, term.size(0), *cotangents]
    ends = 2 * count + 2
    found = while_of("reversal", first, lambda carry: carry[ends].gt(0), run)
    machine = _Machine.of(found, count, memory.slots)
    return machine.cotangents, machine.runs


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the reversal carries.

    state, at: of some step, not before that of the last snapshot.  memory.steps: those that remain
    to be reversed.  runs: of a step so far, those inside of adjoints included.
    """

    state: list[Term]
    memory: Memory
    at: Term
    runs: Term
    cotangents: list[Term]

    @staticmethod
    def of(carry: Sequence[Term], count: int, slots: Size) -> _Machine:
        behind = 2 * count + 3
        at, runs, *cotangents = carry[behind:]
        memory = Memory.of(carry[count:behind], slots)
        return _Machine(list(carry[:count]), memory, at, runs, cotangents)

    def next(self, advance: Advance, adjoint: Adjoint, starts: Sequence[Term]) -> list[Term]:
        """Go forward, then either keep a snapshot or reverse one step."""
        memory = self.memory
        free = term.size(memory.slots) - memory.depth  # the last snapshot among them
        left = memory.steps - self.at
        can_keep = free.gt(1)
        ahead = split(term.where(can_keep, left, 1), free)
        ahead = term.where(can_keep & left.gt(1), ahead, left - 1)
        *state, at = advance(self.state, self.at, self.at + ahead)
        last = at.eq(memory.steps - 1)
        row = term.where(last, memory.nowhere, memory.depth)
        rows = [put(row_of, row, x) for row_of, x in zip(memory.rows, state, strict=True)]
        places = put(memory.places, row, at)
        cotangents = self._backwards(last, adjoint, state)
        steps = memory.steps - last.cast(I64)
        depth = term.where(last, memory.depth, memory.depth + 1)
        depth = depth - (depth.gt(0) & _place(places, depth).eq(steps)).cast(I64)
        old, old_at = _restored(starts, rows, places, depth)
        state = [_either(last, x, y) for x, y in zip(old, state, strict=True)]
        runs = self.runs + (at - self.at) + last.cast(I64)
        memory = Memory(rows, places, depth, steps, memory.slots)
        return [*state, *memory.leaves(), term.where(last, old_at, at), runs, *cotangents]

    def _backwards(self, last: Term, adjoint: Adjoint, state: Sequence[Term]) -> list[Term]:
        """The cotangents after the adjoint of the last step, if this is it."""
        count = len(self.cotangents) - adjoint.rows
        carried, arrays = self.cotangents[:count], self.cotangents[count:]
        number = self.memory.steps - 1
        found = _when(last, adjoint, [*adjoint.given(number), *state], carried)
        if not arrays:
            return found
        nowhere = term.size(arrays[0].shape[0])
        place = term.where(last, adjoint.place(number), nowhere)
        pairs = zip(arrays, found[count:], strict=True)
        return [*found[:count], *(put(array, place, row) for array, row in pairs)]


def _place(places: Term, depth: Term) -> Term:
    """After how many steps snapshot number `depth` was taken; 0 for the first state."""
    found = term.take(places, depth - 1, 0, "fill")
    return term.where(depth.gt(0), found, 0)


def _restored(
    starts: Sequence[Term], rows: Sequence[Term], places: Term, depth: Term
) -> tuple[list[Term], Term]:
    """The state of the last snapshot, and its place."""
    index = depth - 1
    state = [
        _either(depth.gt(0), term.take(row, index, 0, "clip"), start)
        for row, start in zip(rows, starts, strict=True)
    ]
    return state, _place(places, depth)


def _when(
    last: Term, adjoint: Adjoint, given: Sequence[Term], cotangents: Sequence[Term]
) -> list[Term]:
    """The adjoint of a step on the cotangents, or they themselves, and rows of zeros."""
    operands = [*given, *cotangents]
    params = [Value(x.type) for x in operands]
    types = [result.type for result in adjoint.function.results[len(cotangents) :]]
    rows = [term.zeros(type).value for type in types]
    nodes, _ = reachable(rows)
    kept = (*params[len(params) - len(cotangents) :], *rows)
    stays = Function("stays", tuple(params), tuple(nodes), kept)
    values = [last.cast(I64).value, *(x.value for x in operands)]
    node = apply(SWITCH, values, {}, regions=(stays, adjoint.function))
    return [term.Term(result) for result in node.results]


def advance_by(step: Callable[[Sequence[Term], Term], Sequence[Term]]) -> Advance:
    """Steps by a function of the state and the number of the step."""

    def advance(state: Sequence[Term], start: Term, end: Term) -> list[Term]:
        return while_of(
            "advance",
            [*state, start],
            lambda now: now[-1].lt(end),
            lambda now: [*step(now[:-1], now[-1]), now[-1] + 1],
        )

    return advance
