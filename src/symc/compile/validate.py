"""Translation validation: every pass is run against the oracle, before and after.

before: what a pass was given and what it made of it.  after: nothing, or a CompileError that names
the pass, the first result that differs, and the file of a least function that shows it.  Chosen by
`check="passes"`.

Inputs are random and special values; every named size gets the same small numbers, so that sizes
which must agree do.  Inputs that the program refuses (an index out of range, say) are left out.
Passes that change bits on purpose, those that applied a licensed rule, and all of them under
`numerics="fast"`, must give close results on ordinary inputs.

What would take the oracle too long is checked on a copy with smaller static sizes, which the pass
is run on again; where no such copy can be formed the report says that the pass went unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from symc.codegen_llvm import compile_nests
from symc.compile import reproducer, stages
from symc.compile.minimise import minimised
from symc.compile.resize import smaller
from symc.compile.simulate import nests_of, run_plan, run_program
from symc.compile.stages import Stages
from symc.compile.trial import (
    MOST_WORK,
    SEEDS,
    Mismatch,
    differing,
    inputs,
    results,
    work,
)
from symc.ir.core import Function
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import CompileError, OpContractError, SymcError, message
from symc.ir.nest import ContractStage
from symc.ir.options import Options
from symc.ir.program import Accept
from symc.ir.report import Fired, Report
from symc.ir.verify import verify
from symc.passes import INEXACT, buffers, plan_build, run_passes
from symc.runtime.executable import Callable as Native
from symc.runtime.executable import State, Structure, load

# What a pass may raise on a candidate that is smaller than anything it was written for.
_REFUSALS: Final = (SymcError, AssertionError, LookupError, TypeError, ValueError, ArithmeticError)

# What a later stage made, as a map from arrays for all params to results.
Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def run_stages(entry: Entry, options: Options, report: Report) -> Stages:
    """All stages of an entry, each compared with the oracle."""
    validator = Validator(options, report)
    made = stages.run_stages(entry, options, report, validator)
    with stages.timed(report, "check", len(made.plan.steps)):
        validator.lowered(made.optimized)
    return made


class Validator:
    """Watches the passes of one compilation."""

    def __init__(self, options: Options, report: Report | None = None) -> None:
        self.options = options
        self.report = report
        self._seen = 0  # rewrites of the report that earlier passes made

    def __call__(self, name: str, before: Function, after: Function) -> None:
        """Compare what pass `name` was given with what it made; CompileError when they differ."""
        fired = self._fired()
        if before is after:
            return
        self._sound(name, before, after)
        if work(before) > MOST_WORK:
            less = self._smaller(name, before)
            if less is None:
                return
            before, after = less, self._again(name, less, fired)
        elif self.report is None:
            self._again(name, before, fired)
        found = self.compare(before, after, self._exact(name, fired))
        if found is not None:
            raise self.mismatch(name, before, found)

    def _fired(self) -> list[Fired]:
        """What the last pass rewrote, as far as a report says so."""
        known = [] if self.report is None else self.report.fired
        fired, self._seen = known[self._seen :], len(known)
        return fired

    def _exact(self, name: str, fired: Sequence[Fired]) -> bool:
        """Whether a pass that made these rewrites has to keep every bit."""
        licensed = any(one.licence is not None for one in fired)
        return name not in INEXACT and not licensed and self.options.numerics == "strict"

    def lowered(self, entry: Entry) -> None:
        """Compare kernels, program and machine code of an entry with the oracle."""
        for name in LOWERED:
            self.stage(name, entry)

    def stage(self, name: str, entry: Entry) -> None:
        """Compare what a later stage makes of an entry with the oracle."""
        if name != CODEGEN and any(node.regions for node in entry.function.nodes):
            self._note("the kernels of loops and choices were checked as machine code only")
            return
        if work(entry.function) > MOST_WORK:
            less = self._smaller(name, entry.function)
            if less is None:
                return
            entry = _with_function(entry, less)
        found = self.compare_run(name, entry)
        if found is not None:
            raise self.mismatch(name, entry.function, found)

    def fails(self, name: str, function: Function, seed: int) -> Mismatch | None:
        """What pass or later stage `name` gets wrong in one trial, found by running it again."""
        try:
            if name in LOWERED:
                return self.compare_run(name, alone(function), (seed,))
            fired: list[Fired] = []
            after = self._again(name, function, fired)
            return self.compare(function, after, self._exact(name, fired), (seed,))
        except _REFUSALS:
            return None

    def compare(
        self, before: Function, after: Function, exact: bool, seeds: Sequence[int] = SEEDS
    ) -> Mismatch | None:
        """The first result that differs, over some trials."""
        for seed in seeds:
            arrays = inputs(before, seed, special=exact)
            expected = results(before, arrays)
            if expected is not None:
                found = differing(expected, results(after, arrays), seed, exact=exact)
                if found is not None:
                    return found
        return None

    def compare_run(self, name: str, entry: Entry, seeds: Sequence[int] = SEEDS) -> Mismatch | None:
        """The first result that differs between the oracle and a later stage, over some trials."""
        exact = name != CODEGEN or self.options.contract == "chain" or not _sums(entry)
        run = LOWERED[name](entry)
        for seed in seeds:
            arrays = inputs(entry.function, seed, special=exact)
            arrays[len(arrays) - len(entry.constants) :] = entry.constants
            expected = results(entry.function, arrays)
            if expected is not None:
                found = differing(expected, _outcome(run, arrays), seed, exact=exact)
                if found is not None:
                    return found
        return None

    def mismatch(self, name: str, function: Function, found: Mismatch) -> CompileError:
        """The error, after a reproducer was written."""
        least = minimised(function, lambda f: self.fails(name, f, found.seed) is not None)
        shown = self.fails(name, least, found.seed) or found
        file = reproducer.write(name, least, shown, self.options)
        place = "FILE" if file is None else str(file)
        node = function.results[found.number].node
        return CompileError(
            message(
                f"{function.name}: pass {name} changes result {found.number}",
                got=reproducer.short(found.found),
                expected=reproducer.short(found.expected),
                where=node.locations[0] if node is not None else None,
                advice=f"python -m symc opt {place} -p {name} --check",
            )
        )

    def _again(self, name: str, function: Function, fired: list[Fired]) -> Function:
        """The pass run again; what it rewrites is added to `fired`."""
        report = Report(function.name)
        after = run_passes(function, (name,), self.options, report)
        fired += report.fired
        return after

    def _sound(self, name: str, before: Function, after: Function) -> None:
        try:
            verify(after)
        except OpContractError as error:
            raise CompileError(f"{before.name}: pass {name} breaks the program: {error}") from None

    def _smaller(self, name: str, function: Function) -> Function | None:
        """A copy that the oracle can run; None, with a note, when there is none."""
        less = smaller(function)
        if less is not None and work(less) <= MOST_WORK:
            self._note("large sizes: passes were checked on smaller ones")
            return less
        self._note(f"pass {name} went unchecked: the program is too large for the oracle")
        return None

    def _note(self, text: str) -> None:
        if self.report is not None and text not in self.report.notes:
            self.report.notes.append(text)


def validate(name: str, before: Function, after: Function) -> None:
    """Compare a pass's work at the default options; CompileError when results differ."""
    Validator(Options())(name, before, after)


# Later stages.
LOWER, BUFFERS, CODEGEN = "lower", "buffers", "codegen"


def _lower(entry: Entry) -> Run:
    plan = plan_build.run(entry)
    return lambda arrays: run_plan(plan, arrays)


def _buffers(entry: Entry) -> Run:
    plan = plan_build.run(entry)
    launches = compile_nests([step.nest for step in plan.steps]).launches
    program = buffers.run(plan, launches)
    return lambda arrays: run_program(program, plan, launches, arrays)


def _native(entry: Entry) -> Run:
    plan = plan_build.run(entry)
    made = compile_nests([step.nest for step in plan.steps])
    program = buffers.run(plan, made.launches)
    scalars = [not info.accept & Accept.ARRAY for info in entry.inputs]

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        held = [State(a, n) for a, n in zip(arrays[len(scalars) :], entry.states, strict=False)]
        native = Native()
        native.add_entry(load(program, made.object, held), Structure.TUPLE)
        given = zip(arrays, scalars, strict=False)
        outputs = native(*(array.item() if scalar else array for array, scalar in given))
        return [*(outputs or ()), *(held[slot].get() for slot in entry.updates)]

    return run


LOWERED: Final[dict[str, Callable[[Entry], Run]]] = {
    LOWER: _lower,
    BUFFERS: _buffers,
    CODEGEN: _native,
}


def _outcome(run: Run, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray] | None:
    try:
        with np.errstate(all="ignore"):
            return run(arrays)
    except SymcError:
        return None


def _sums(entry: Entry) -> bool:
    """Whether some kernel adds products of floats, in whatever order is fastest."""
    stages = (stage for nest in nests_of(plan_build.run(entry)) for stage in nest.stages)
    return any(isinstance(s, ContractStage) and s.dtype.kind == "f" for s in stages)


def alone(function: Function) -> Entry:
    """The function as an entry without states."""
    names = [param.name or f"x{number}" for number, param in enumerate(function.params)]
    return Entry(function, tuple(map(InputInfo, names)))


def _with_function(entry: Entry, function: Function) -> Entry:
    first = len(entry.inputs) + len(entry.states)
    shapes = [tuple(map(int, map(str, p.type.shape))) for p in function.params[first:]]
    constants = tuple(np.resize(a, s) for a, s in zip(entry.constants, shapes, strict=True))
    return replace(entry, function=function, constants=constants)
