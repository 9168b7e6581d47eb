"""Stages in loops, whatever the schedule: passes, elementwise loops, what a kernel shares.

before: a `Work` of a scheduled space.
after: loops over its elements; a stage whose writes reduce different axes is walked once for each.

Invariants: direct writes belong to the last pass, so that earlier ones read what was there before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import field

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.body import Axes, Loops, StageBody
from symc.codegen_llvm.costs import instructions, rare_branches
from symc.codegen_llvm.lanes import Lanes
from symc.codegen_llvm.loops import loop_over
from symc.codegen_llvm.memory import Position, VectorMemory
from symc.codegen_llvm.scratch import Scratch
from symc.codegen_llvm.space import Access, Work
from symc.codegen_llvm.text import Reg
from symc.codegen_llvm.tree import Carried, Reduction
from symc.records import dataclass

I64 = np.dtype(np.int64)
LONG = 40  # instructions of a body that is written once more, without its rare branches


@dataclass(frozen=True, slots=True)
class Pass:
    """The writes (by number in the work) that one walk over the elements serves."""

    writes: tuple[int, ...]
    reduced: Axes


def passes(work: Work) -> list[Pass]:
    """One pass for each set of reduced axes; direct writes ride with the last."""
    groups: dict[Axes, list[int]] = {}
    direct = []
    for number, write in enumerate(work.writes):
        if write.reduced:
            groups.setdefault(write.reduced, []).append(number)
        else:
            direct.append(number)
    found = [Pass(tuple(numbers), reduced) for reduced, numbers in groups.items()]
    if not found:
        return [Pass(tuple(direct), ())]
    last = found.pop()
    return [*found, Pass((*last.writes, *direct), last.reduced)]


@dataclass(slots=True)
class KernelParts:
    """What the stages of one kernel share."""

    k: KernelEmitter
    scratch: Scratch
    base: Callable[[Access], Reg]
    outline: frozenset[str]
    memories: dict[int, VectorMemory] = field(default_factory=dict)

    def memory(self, width: int) -> VectorMemory:
        """Memory of vectors of this width."""
        if width not in self.memories:
            self.memories[width] = VectorMemory(self.k, width, outline=self.outline)
        return self.memories[width]


class StagePass:
    """One pass over one work, in given loops."""

    def __init__(
        self, parts: KernelParts, work: Work, chosen: Pass, levels: Sequence[Axes], width: int
    ) -> None:
        self.parts = parts
        self.k = parts.k
        self.work = work
        self.chosen = chosen
        self.levels = tuple(levels)
        self.memory = parts.memory(width)
        self.writes = [work.writes[number] for number in chosen.writes]
        self.body = StageBody(self.memory, work, Loops(self.levels), parts.base, self.writes)
        self.reductions = [
            Reduction(number, write, work.body.results[write.result].type.dtype)
            for number, write in enumerate(self.writes)
            if write.reducer is not None and write.reduced
        ]
        self.body.reorders = not self.reductions
        self.cost = instructions(self.body.vector_nodes) + 2 * len(self.body.accesses)

    @contextmanager
    def loops(self, axes: Sequence[int], first_level: int) -> Iterator[None]:
        """A loop for each of `axes`, each a level of its own."""
        with ExitStack() as stack:
            for number, axis in enumerate(axes):
                size = self.k.size(self.work.sizes[axis])
                index = stack.enter_context(loop_over(self.k, 0, size))
                self.body.enter(first_level + number, {axis: index})
            yield

    def elements(self, position: Position) -> list[Lanes]:
        """Evaluate one vector, store what is not reduced; the values to reduce, in order."""
        values = self.body.vector(position)
        direct = []
        for number, (write, value) in enumerate(zip(self.writes, values, strict=True)):
            if not write.reduced:
                direct.append((number, self._single(number, value)))
        self.body.store(position, direct)
        return [values[reduction.number] for reduction in self.reductions]

    def direct(self, position: Position) -> None:
        """One vector of a pass that reduces nothing."""
        self.elements(position)

    @property
    def defers(self) -> bool:
        """Whether `attempt` pays: there are rare branches among many instructions."""
        nodes = self.body.vector_nodes
        long = self.cost >= LONG and self.memory.width > 1
        rare = rare_branches(nodes, self.parts.outline)
        return long and rare > 0 and not self.reductions

    def attempt(self, position: Position) -> tuple[Reg, Callable[[], None]]:
        """One whole vector without rare branches: whether one was needed, and what stores it."""
        builder = self.memory.builder
        masks: list[Lanes] = []
        builder.deferred = masks
        values = self.body.vector(position)
        direct = [(number, self._single(number, value)) for number, value in enumerate(values)]
        builder.deferred = None
        unusual: Reg | None = None
        for dtype in dict.fromkeys(mask.dtype for mask in masks):
            alike = [mask for mask in masks if mask.dtype == dtype]
            found = builder.nonzero(functools.reduce(builder.bor, alike))
            unusual = found if unusual is None else self.k.emit("i1", f"or {unusual}, {found.name}")
        return unusual or Reg("false", "i1"), lambda: self.body.store(position, direct)

    def _single(self, number: int, value: Lanes) -> Lanes:
        """A reduction over no axes: of exactly one element."""
        write, builder = self.writes[number], self.memory.builder
        if write.reducer is None:
            return value
        carried = write.reducer.start(builder, value, builder.const(0, I64))
        result: Lanes = write.reducer.finish(builder, carried)
        return result

    def started(self, values: Sequence[Lanes], index: Reg) -> list[Carried]:
        """Running values of one vector; `index`: i64 lanes, row-major along the reduced axes."""
        builder = self.memory.builder
        lanes = builder.wrap(index, I64)
        pairs = zip(self.reductions, values, strict=True)
        return [reduction.started(builder, value, lanes) for reduction, value in pairs]

    @property
    def needs_index(self) -> bool:
        """Whether a reducer carries more than the value."""
        return any(len(reduction.carried) > 1 for reduction in self.reductions)
