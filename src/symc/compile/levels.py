"""Everything for looking at a program's levels, behind one import: printers, pictures, report.

The driver loads this module when somebody asks to see a level; compiling does without.
"""

from __future__ import annotations

from collections.abc import Callable

from symc.compile.cost import cost
from symc.compile.dot import write_dot
from symc.compile.explain import complete, render
from symc.compile.page import body, render_page
from symc.compile.picture import Picture, function_picture, plan_picture, result_names
from symc.compile.stages import Stages
from symc.compile.svg import write_svg
from symc.ir.core import Function
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import DomainError, message
from symc.ir.generic_nest import nest_text
from symc.ir.generic_program import program_text
from symc.ir.nest import Nest
from symc.ir.options import Options
from symc.ir.report import Report
from symc.ir.text import print_function
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.passes import define, plan_build
from symc.passes.plan import Control

__all__ = [
    "STAGES",
    "complete",
    "cost",
    "draw",
    "draw_function",
    "render",
    "report_page",
    "stage_text",
]

STAGES = ("traced", "defined", "optimized", "kernels", "program")
LARGE = 500  # boxes beyond which a picture shows kernels instead of operations
_WRITERS: dict[str, Callable[[Picture], str]] = {"svg": write_svg, "dot": write_dot}


def stage_text(stages: Stages, stage: str) -> str:
    """The text of one level, which reads back; DomainError when there is no such level.

    Kernels and the program have their short form before them, as comments.
    """
    match stage:
        case "traced":
            return print_function(stages.traced.function)
        case "defined":
            return print_function(stages.defined.function)
        case "optimized":
            return print_function(stages.optimized.function)
        case "kernels":
            return "\n".join(_kernel_text(step.nest) for step in stages.plan.steps)
        case "program":
            return _commented(print_program(stages.program)) + program_text(stages.program)
        case _:
            raise DomainError(message("ir stage", got=repr(stage), expected=", ".join(STAGES)))


def _kernel_text(nest: Nest | Control) -> str:
    """A kernel in short and in full; a loop as a comment and the kernels of its bodies."""
    if isinstance(nest, Nest):
        return _commented(print_nest(nest)) + nest_text(nest)
    inner = [_kernel_text(step.nest) for plan in nest.bodies for step in plan.steps]
    return f"// {nest.node.op.name} {nest.name}: {len(inner)} kernels\n" + "\n".join(inner)


def _commented(text: str) -> str:
    return "".join(f"// {line}\n" for line in text.splitlines())


# Pictures.
def draw(stages: Stages, stage: str, form: str) -> str:
    """The picture of one level as "svg" or "dot"; very large functions by kernels."""
    match stage:
        case "traced":
            picture = _of_entry(stages, stages.traced)
        case "defined":
            picture = _of_entry(stages, stages.defined)
        case "optimized":
            picture = _of_entry(stages, stages.optimized)
        case "kernels" | "program":
            picture = plan_picture(stages.plan)
        case _:
            raise DomainError(message("draw: stage", got=repr(stage), expected=", ".join(STAGES)))
    return _written(picture, form)


def _of_entry(stages: Stages, entry: Entry) -> Picture:
    if _small(entry.function):
        return function_picture(entry.function, result_names(entry))
    return plan_picture(stages.plan)


def _small(function: Function) -> bool:
    return len(function.nodes) + len(function.params) <= LARGE


def draw_function(function: Function, form: str) -> str:
    """The picture of a function that was not compiled."""
    if _small(function):
        return _written(function_picture(function), form)
    options = Options()
    inputs = tuple(InputInfo(param.name or "") for param in function.params)
    return _written(plan_picture(plan_build.run(Entry(define(function, options), inputs))), form)


def _written(picture: Picture, form: str) -> str:
    if form not in _WRITERS:
        raise DomainError(message("draw: format", got=repr(form), expected="svg, dot"))
    return _WRITERS[form](picture)


def report_page(report: Report, stages: Stages, *, whole: bool = True) -> str:
    """The report as a page, or as what stands inside one."""
    pictures = [("kernels", draw(stages, "kernels", "svg"))]
    if _small(stages.optimized.function):
        pictures.append(("graph after all passes", draw(stages, "optimized", "svg")))
    return render_page(report, pictures) if whole else body(report, pictures)
