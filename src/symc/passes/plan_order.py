"""The order of steps, and which of them write into the buffer of what they replace.

before: a `Plan` in data order.  after: the same steps in an order in which every reader of an old
value comes before the step that overwrites it, wherever such an order exists; those steps have the
old and the new value as one "inout" operand, and `Plan.in_place` names the pairs.

A state, or a donated input, is overwritten in place when: one step writes the new value; it reads
the old one only at the point that it writes (or earlier, in the same row); every other reader can
come first; and nothing that may raise has to come later: places that are data are looked at before
(`plan_checks.py`).  A product that reads weights and the update of the same weights become one step
(`plan_pairs.py`).

Invariants: data order is kept; all new values are computed from old ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from symc.ir.core import Value
from symc.passes import plan_checks
from symc.passes.plan import Plan, Step
from symc.passes.plan_inplace import overwrite, read_through
from symc.passes.plan_pairs import pair
from symc.passes.plan_schedule import Schedule

BUDGET: Final = 20_000  # steps visited by one search for a cycle


def run(plan: Plan, *, inside: bool = False) -> Plan:
    """Order the steps and overwrite in place where that is safe.

    `inside` a loop a step that may trap can write in place too: nobody sees the carries of a loop
    that has trapped.
    """
    plan = replace(plan, steps=tuple(read_through(plan, step) for step in plan.steps))
    candidates = _candidates(plan)
    if not inside:
        plan = plan_checks.run(plan, [new for _, new in candidates])
    order = _Order(plan, inside=inside)
    for old, new in candidates:
        order.try_in_place(old, new)
    order.readers_first()
    return order.result()


def _candidates(plan: Plan) -> list[tuple[Value, Value]]:
    """(param, new value) pairs that could share a buffer: updates, then donated inputs."""
    entry, function = plan.entry, plan.function
    inputs = len(entry.inputs)
    pairs = [
        (function.params[inputs + state], result)
        for state, result in zip(entry.updates, function.results[entry.outputs :], strict=True)
    ]
    for param, info in zip(function.params, entry.inputs, strict=False):
        if info.donated:
            outputs = function.results[: entry.outputs]
            pairs += [(param, result) for result in outputs if result.type == param.type]
    return pairs


def _same_bytes(new: Value, old: Value) -> bool:
    """Whether one buffer can hold either: the same elements, perhaps in another shape."""
    return new.type.dtype == old.type.dtype and new.type.elements == old.type.elements


class _Order:
    """Steps as a graph; node `len(steps)` stands for Commit."""

    def __init__(self, plan: Plan, *, inside: bool) -> None:
        self._plan = plan
        self._inside = inside
        self._steps = list(plan.steps)
        self._commit = len(self._steps)
        self._after: list[set[int]] = [set() for _ in range(self._commit + 1)]
        self._writers: dict[Value, list[int]] = {}
        self._readers: dict[Value, list[int]] = {}
        self._in_place: dict[Value, Value] = {}
        self._joined: dict[int, int] = {}
        for i, step in enumerate(self._steps):
            for value in step.writes():
                self._writers.setdefault(plan.root(value), []).append(i)
            for value in step.reads():
                self._readers.setdefault(plan.root(value), []).append(i)
            if step.traps and not inside:
                self._after[i].add(self._commit)
        self._wait()
        for value, readers in self._readers.items():
            for writer in self._writers.get(value, ()):
                self._after[writer].update(r for r in readers if r != writer)

    def _wait(self) -> None:
        """Steps after what they wait for."""
        for i, step in enumerate(self._steps):
            for value in step.waits:
                for writer in self._writers.get(self._plan.root(value), ()):
                    if writer != i:
                        self._after[writer].add(i)

    def try_in_place(self, old: Value, new: Value) -> None:
        """Let the step that makes `new` write into the buffer of `old`, if that is safe."""
        root = self._plan.root(new)
        writers = self._writers.get(root, [])
        taken = old in self._in_place or root in self._in_place.values()
        if taken or len(writers) != 1 or not _same_bytes(root, old):
            return
        writer = self._at(writers[0])
        changed = overwrite(self._plan, self._steps[writer], old, root)
        if changed is None or (changed.traps and not self._inside):
            return
        others = {self._at(r) for r in self._readers.get(old, [])} - {writer}
        alike = root.type == old.type
        paired = self._pair(writer, changed, old, others) if alike else None
        if paired is None and self._reaches(writer, {*others, self._commit}):
            return
        if paired is None:
            self._steps[writer] = changed
        for reader in others - {paired}:
            self._after[reader].add(writer)
        self._after[self._commit].add(writer)
        self._in_place[old] = root

    def _at(self, step: int) -> int:
        """The step that `step` has become part of."""
        return self._joined.get(step, step)

    def _pair(self, writer: int, changed: Step, old: Value, others: set[int]) -> int | None:
        """Make one step of an update and the product that reads the same weights; its number."""
        for reader in others:
            both = pair(self._plan, self._steps[reader], changed, old)
            if both is None or both.traps:
                continue
            rest = {*others, self._commit} - {reader}
            if self._reaches(reader, {writer, *rest}) or self._reaches(writer, {reader, *rest}):
                continue
            self._join(reader, writer, both)
            return reader
        return None

    def _join(self, gone: int, kept: int, both: Step) -> None:
        """Let step `kept` be `both`, and `gone` nothing."""
        self._steps[kept] = both
        self._joined[gone] = kept
        self._after[kept] |= self._after[gone]
        self._after[gone] = set()
        for targets in self._after:
            if gone in targets:
                targets.discard(gone)
                targets.add(kept)

    def readers_first(self) -> None:
        """Prefer an order in which a buffer that is written over has no later reader."""
        for i, step in enumerate(self._steps):
            for old in step.olds:
                if old is None or i in self._joined:
                    continue
                readers = self._readers.get(self._plan.root(old), [])
                others = {self._at(r) for r in readers} - {i}
                if others and not self._reaches(i, others):
                    for reader in others:
                        self._after[reader].add(i)

    def _reaches(self, start: int, goals: set[int]) -> bool:
        """Whether a path leads from `start` to a goal, or the search was given up."""
        if start in goals:
            return True
        seen = {start}
        todo = [start]
        budget = BUDGET
        while todo:
            for i in self._after[todo.pop()]:
                if i in goals:
                    return True
                budget -= 1
                if budget < 0:
                    return True
                if i not in seen:
                    seen.add(i)
                    todo.append(i)
        return False

    def result(self) -> Plan:
        """The plan with its steps in order."""
        order = Schedule(self._plan, self._steps, self._joined, self._after).order()
        gone = {self._commit, *self._joined}
        steps = tuple(self._steps[i] for i in order if i not in gone)
        return replace(self._plan, steps=steps, in_place=self._in_place)
