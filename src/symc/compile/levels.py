"""Everything that a warm start does without, behind one import: stages, printers, encoder, report.

The driver loads this module at the first cache miss, or when somebody asks to see a level.
"""

from __future__ import annotations

from symc.compile.cost import cost
from symc.compile.explain import copies, kernel_reports, render, render_html
from symc.compile.stages import Stages
from symc.compile.stages import run_stages as run
from symc.compile.validate import validate
from symc.ir.entry import Entry
from symc.ir.errors import DomainError, message
from symc.ir.options import Options
from symc.ir.report import Report
from symc.ir.text import print_function
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.runtime.encode import encode

__all__ = ["STAGES", "cost", "encode", "render", "render_html", "run_stages", "stage_text"]

VALIDATED = frozenset({"passes", "all"})
STAGES = ("traced", "defined", "optimized", "kernels", "program")


def run_stages(entry: Entry, options: Options, report: Report) -> Stages:
    """All levels of an entry; the report gets its kernels, copies and cost."""
    stages = run(entry, options, report, validate if options.check in VALIDATED else None)
    report.kernels = kernel_reports(stages.plan)
    report.copies += copies(stages.program)
    spent = cost(stages.plan, stages.program, {})
    report.cost = (
        f"{spent.flops} operations, {spent.bytes} bytes moved, workspace {spent.workspace} bytes"
    )
    return stages


def stage_text(stages: Stages, stage: str) -> str:
    """The text of one level; DomainError when there is no such level."""
    match stage:
        case "traced":
            return print_function(stages.traced.function)
        case "defined":
            return print_function(stages.defined.function)
        case "optimized":
            return print_function(stages.optimized.function)
        case "kernels":
            return "\n".join(print_nest(step.nest) for step in stages.plan.steps)
        case "program":
            return print_program(stages.program)
        case _:
            raise DomainError(message("ir stage", got=repr(stage), expected=", ".join(STAGES)))
