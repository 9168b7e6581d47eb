"""Which of the steps that could run next does.

before: steps and which must come before which.  after: an order of them.  Steps keep the order of
the program, but for a step that gives back more of the arena than it takes: that runs as soon as it
can, so that what it reads last does not lie there while others run.  An update of weights in
place, made at the end of the program, runs when the gradient's operands are there.

Invariant: linear in steps, operands and edges, but for the queue's logarithm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush

from symc.ir.core import Value
from symc.ir.dims import Size, prove_le
from symc.passes.plan import Plan, Step


class Schedule:
    """Steps that are not run yet, and what of the arena they need."""

    def __init__(
        self, plan: Plan, steps: Sequence[Step], gone: Collection[int], after: Sequence[set[int]]
    ) -> None:
        self._after = after
        self._steps = len(steps)  # what is numbered beyond stands for a point between steps
        kept = {plan.root(value) for value in (*plan.function.params, *plan.function.results)}
        self._reads: list[list[Value]] = [[] for _ in after]
        self._makes: list[list[Value]] = [[] for _ in after]
        self._unread: dict[Value, set[int]] = {}
        made: set[Value] = set()
        for i, step in enumerate(steps):
            if i in gone:
                continue
            self._makes[i] = _new(map(plan.root, step.writes()), {*kept, *made})
            made.update(self._makes[i])
            self._reads[i] = [r for r in _new(map(plan.root, step.reads()), kept) if r in made]
            for value in self._reads[i]:
                self._unread.setdefault(value, set()).add(i)
        self._waiting = [0] * len(after)
        for targets in after:
            for i in targets:
                self._waiting[i] += 1
        self._ready = [i for i, number in enumerate(self._waiting) if number == 0]
        self._first = [i for i in self._ready if self._releases(i)]

    def order(self) -> list[int]:
        """All numbers, each after those that must come before it."""
        heapify(self._ready)
        done = [False] * len(self._after)
        found: list[int] = []
        while self._ready or self._first:
            i = heappop(self._first) if self._first else heappop(self._ready)
            if done[i]:
                continue
            done[i] = True
            found.append(i)
            self._run(i)
        assert len(found) == len(self._after), "steps form a cycle"
        return found

    def _run(self, i: int) -> None:
        """Note that step `i` ran: what waits for less, and what gives back more, may be next."""
        candidates = []
        for j in self._after[i]:
            self._waiting[j] -= 1
            if self._waiting[j] == 0:
                heappush(self._ready, j)
                candidates.append(j)
        for value in self._reads[i]:
            unread = self._unread[value]
            unread.discard(i)
            if len(unread) == 1:
                candidates += unread
        for j in candidates:
            if self._waiting[j] == 0 and self._releases(j):
                heappush(self._first, j)

    def _releases(self, i: int) -> bool:
        """Whether the arena holds less after step `i` than before it, or `i` is no step at all."""
        if i >= self._steps:
            return True
        freed: Size = 0
        for value in self._reads[i]:
            if len(self._unread[value]) == 1:
                freed = freed + value.type.bytes
        if freed == 0:
            return False
        taken: Size = 0
        for value in self._makes[i]:
            taken = taken + value.type.bytes
        return taken == 0 or prove_le(taken + 1, freed)


def _new(values: Iterable[Value], known: Collection[Value]) -> list[Value]:
    """Each value once, without known ones."""
    return [value for value in dict.fromkeys(values) if value not in known]
