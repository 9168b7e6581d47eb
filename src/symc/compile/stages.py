"""The stages of a compilation, in order, readable in one screen.

before: an `Entry`.  after: `Stages`: every level of the program, down to object code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from symc.codegen_llvm import Compiled as Object
from symc.codegen_llvm import compile_nests
from symc.ir.entry import Entry
from symc.ir.options import Options
from symc.ir.program import Program
from symc.ir.report import Report, Timing
from symc.passes import (
    MEANING,
    OPTIMISING,
    Observer,
    buffers,
    fuse,
    lower,
    plan_build,
    plan_order,
    run_passes,
)
from symc.passes.plan import Plan
from symc.records import dataclass
from symc.runtime.encode import encode


@dataclass(frozen=True, slots=True)
class Stages:
    """One entry at every level."""

    traced: Entry
    defined: Entry
    optimized: Entry
    plan: Plan
    object: Object
    program: Program


def run_stages(
    entry: Entry, options: Options, report: Report, observer: Observer | None = None
) -> Stages:
    """Take an entry through all levels."""
    defined = with_passes(entry, MEANING, options, report, observer)
    optimized = with_passes(defined, OPTIMISING[options.opt], options, report, observer)
    nodes = len(optimized.function.nodes)
    with timed(report, "fuse", nodes):
        fusion = fuse.run(optimized.function)
    with timed(report, "lower", nodes):
        plan = plan_order.run(lower.run(optimized, fusion, plan_build.body))
    with timed(report, "codegen", len(plan.steps)):
        made = compile_nests([step.nest for step in plan.steps])
    if made.level < 2:
        report.notes.append(f"code generated at level {made.level}: the program is very long")
    with timed(report, "buffers", len(plan.steps)):
        program = buffers.run(plan, made.launches)
    return Stages(entry, defined, optimized, plan, made, program)


def code(stages: Stages) -> tuple[bytes, bytes]:
    """What the runtime loads: the encoded program and the object code of its kernels."""
    return encode(stages.program), stages.object.object


def with_passes(
    entry: Entry,
    names: tuple[str, ...],
    options: Options,
    report: Report | None = None,
    observer: Observer | None = None,
) -> Entry:
    """The entry with its function taken through the named passes."""
    function = run_passes(entry.function, names, options, report, observer)
    return entry if function is entry.function else replace(entry, function=function)


@contextmanager
def timed(report: Report, stage: str, size: int) -> Iterator[None]:
    """Note how long a stage took."""
    start = time.perf_counter()
    yield
    report.timings.append(Timing(stage, (time.perf_counter() - start) * 1e3, size, size))
