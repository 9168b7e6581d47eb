"""Checks a finished program against its plan: every read finds the value that it should.

before: a plan, its launches, the program, and sizes for the dims.  after: nothing, or CompileError
that names the instruction.  Runs through the code once, tracking which value each buffer holds; a
write to the arena ends what overlaps it.

Invariants checked: arena buffers lie inside the arena, aligned; reads come after writes and before
anything overwrites them; nothing that may raise comes after Commit, and no write to a state or a
donated input before it; results are in their buffers at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from symc.ir.core import Value
from symc.ir.errors import CompileError, message
from symc.ir.launch import Launches
from symc.ir.program import BufferKind, Commit, Copy, Kernel, Program, size_table
from symc.passes.buffers_arena import ALIGN
from symc.passes.plan import Plan, Step


def check(
    program: Program, plan: Plan, launches: Sequence[Launches], dims: Mapping[str, int]
) -> None:
    """Raise CompileError unless `program` computes what `plan` says, at these sizes."""
    _Check(program, plan, dims).run(launches)


class _Check:
    """The state of one run."""

    def __init__(self, program: Program, plan: Plan, dims: Mapping[str, int]) -> None:
        self._program = program
        self._plan = plan
        self._sizes = size_table(program, dims)
        self._holds: dict[int, Value] = {}
        self._committed = False
        self._at = -1
        params = plan.function.params
        inputs, states = len(program.inputs), len(program.states)
        first = {BufferKind.INPUT: 0, BufferKind.STATE: inputs, BufferKind.CONST: inputs + states}
        for number, buffer in enumerate(program.buffers):
            place = first.get(buffer.kind, len(params)) + buffer.index
            if place < len(params):
                self._holds[number] = params[place]

    def run(self, launches: Sequence[Launches]) -> None:
        """Follow the code."""
        calls = [
            (step, launch, launch is group[-1])
            for step, group in zip(self._plan.steps, launches, strict=True)
            for launch in group
        ]
        waiting = iter(calls)
        for number, instruction in enumerate(self._program.code):
            self._at = number
            match instruction:
                case Commit():
                    self._committed = True
                case Copy(target, source):
                    self._copy(target, source)
                case Kernel() as kernel:
                    step, launch, last = next(waiting)
                    if kernel.symbol != launch.symbol:
                        self._refuse("kernels are out of order", kernel.symbol)
                    if self._committed and kernel.traps:
                        self._refuse("can raise after Commit", kernel.symbol)
                    self._kernel(step, dict(zip(launch.operands, kernel.buffers, strict=True)))
                    if last:
                        self._finish(step)
                case _:
                    self._refuse("unexpected instruction", instruction)
        if next(waiting, None) is not None:
            self._refuse("a launch is missing", len(calls))
        self._results()

    def _refuse(self, rule: str, got: object) -> NoReturn:
        raise CompileError(message(f"program {self._program.name}, {self._at}: {rule}", got=got))

    def _kernel(self, step: Step, given: Mapping[int, int]) -> None:
        """One launch: every operand must be where the plan has it, also after its own writes."""
        reads: dict[int, Value] = {}
        writes: dict[int, Value | None] = {}
        for operand, buffer in given.items():
            if operand >= len(step.values):
                writes[buffer] = None
                continue
            value, old = step.values[operand], step.olds[operand]
            if step.nest.operands[operand].role == "in" and value is not None:
                reads[buffer] = value
            else:
                writes[buffer] = self._root(value)
            if old is not None and self._holds.get(buffer) is not self._root(value):
                self._read(buffer, old)
        for buffer, value in reads.items():
            self._read(buffer, value)
        for buffer, made in writes.items():
            self._write(buffer, made)
        over = [(self._root(old), self._root(new)) for old, new in step.taken_over()]
        for buffer, value in reads.items():
            if (self._root(value), writes.get(buffer)) not in over:
                self._read(buffer, value)

    def _finish(self, step: Step) -> None:
        for value in step.writes():
            if self._root(value) not in self._holds.values():
                self._refuse("a step lost what it wrote", value)

    def _root(self, value: Value | None) -> Value | None:
        return None if value is None else self._plan.root(value)

    def _read(self, buffer: int, value: Value) -> None:
        held, wanted = self._holds.get(buffer), self._root(value)
        literal = self._program.buffers[buffer].kind is BufferKind.CONST and held is None
        if held is not wanted and not literal:
            self._refuse(f"buffer {buffer} does not hold what is read", (held, wanted))

    def _copy(self, target: int, source: int) -> None:
        a, b = self._program.buffers[target], self._program.buffers[source]
        if self._sizes[a.bytes] != self._sizes[b.bytes]:
            self._refuse("a copy between buffers of different sizes", (target, source))
        held = self._holds.get(source)
        if held is None and b.kind is not BufferKind.CONST:
            self._refuse(f"buffer {source} is copied before it is written", target)
        self._write(target, held)

    def _write(self, buffer: int, value: Value | None) -> None:
        written = self._program.buffers[buffer]
        match written.kind:
            case BufferKind.CONST:
                self._refuse("a constant is written", buffer)
            case BufferKind.INPUT | BufferKind.STATE:
                if not self._committed:
                    self._refuse("a param is written before Commit", buffer)
            case BufferKind.ARENA:
                self._overlap(buffer)
            case BufferKind.STAGED | BufferKind.OUTPUT | BufferKind.TAPE:
                pass
            case BufferKind.SLOT:
                self._share(buffer)
        if value is None:
            self._holds.pop(buffer, None)
        else:
            self._holds[buffer] = value

    def _interval(self, buffer: int) -> tuple[int, int]:
        found = self._program.buffers[buffer]
        start = self._sizes[found.offset]
        stop = start + self._sizes[found.bytes]
        if start % ALIGN or not 0 <= start <= stop <= self._sizes[self._program.arena]:
            self._refuse(f"arena buffer {buffer} is misplaced", (start, stop))
        return start, stop

    def _overlap(self, buffer: int) -> None:
        """Forget what other arena buffers held where this one lies."""
        low, high = self._interval(buffer)
        for other in list(self._holds):
            if other == buffer or self._program.buffers[other].kind is not BufferKind.ARENA:
                continue
            start, stop = self._interval(other)
            if start < high and low < stop:
                del self._holds[other]

    def _share(self, buffer: int) -> None:
        """Forget what other buffers of the slot held."""
        slot = self._program.buffers[buffer].index
        for other in list(self._holds):
            found = self._program.buffers[other]
            if other != buffer and found.kind is BufferKind.SLOT and found.index == slot:
                del self._holds[other]

    def _results(self) -> None:
        results = self._plan.function.results
        outputs = results[: self._plan.entry.outputs]
        for number, value in zip(self._program.outputs, outputs, strict=True):
            self._read_result(number, value)
        updated = dict(self._program.updates)
        for slot, value in zip(self._plan.entry.updates, results[len(outputs) :], strict=True):
            self._read_result(updated[slot], value)

    def _read_result(self, buffer: int, value: Value) -> None:
        made_here = any(
            self._root(value) is self._root(w) for s in self._plan.steps for w in s.writes()
        )
        if made_here or value in self._plan.function.params:
            self._read(buffer, value)
