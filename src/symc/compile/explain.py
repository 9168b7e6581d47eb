"""The report for people: what was rewritten, fused, copied, how long it took, and the user's lines.

before: a `Report` and, for kernels, the `Plan`.  after: text, or one self-contained HTML page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from html import escape

from symc.ir.errors import DomainError, message
from symc.ir.locations import UNKNOWN
from symc.ir.nest import ContractStage, MapStage, Nest
from symc.ir.program import Copy, Program
from symc.ir.report import KernelReport, Report
from symc.ir.types import dtype_name
from symc.passes.plan import Plan, Step


def kernel_reports(plan: Plan) -> list[KernelReport]:
    """One report per kernel of the plan, in launch order."""
    return [_kernel(step) for step in plan.steps]


def copies(program: Program) -> list[str]:
    """Buffers that are copied at each call, with the lines that ask for it."""
    found = []
    for step in program.code:
        if isinstance(step, Copy):
            text = f"{_name(program, step.source)} is copied to {_name(program, step.target)}"
            place = program.locations[step.node]
            found.append(text if place == str(UNKNOWN) else f"{text} at {place}")
    return found


def _name(program: Program, number: int) -> str:
    buffer = program.buffers[number]
    return f"%{number} ({buffer.kind.name.lower()}, {dtype_name(buffer.dtype)})"


def _kernel(step: Step) -> KernelReport:
    nest = step.nest
    rows = list(zip(nest.operands, step.values, strict=True))
    return KernelReport(
        name=nest.name,
        operations=tuple(_operations(nest)),
        locations=nest.locations,
        reads=", ".join(f"{op.name}: {op.type}" for op, _ in rows if op.role in {"in", "inout"}),
        writes=", ".join(f"{op.name}: {op.type}" for op, _ in rows if op.role in {"out", "inout"}),
        in_place=tuple(op.name for op, _ in rows if op.role == "inout"),
    )


def _operations(nest: Nest) -> Iterator[str]:
    """What the kernel computes, stage by stage, as op names with counts."""
    for stage in nest.stages:
        counts = Counter(node.op.name for node in stage.body.nodes)
        names = [f"{name} x{n}" if n > 1 else name for name, n in counts.items()]
        match stage:
            case ContractStage(m=m, n=n, k=k):
                yield f"contract m={_sizes(m)} n={_sizes(n)} k={_sizes(k)} [{' '.join(names)}]"
            case MapStage(stores=stores):
                reducers = [store.reducer.name for store in stores if store.reducer is not None]
                yield " ".join([*(f"reduce:{name}" for name in reducers), *names]) or "copy"


def _sizes(sizes: tuple[object, ...]) -> str:
    return "x".join(map(str, sizes)) or "1"


def render(report: Report, what: str | None = None) -> str:
    """The report as text; `what` names one section: rewrites, kernels, passes, copies, notes."""
    sections: dict[str, Callable[[Report], Iterator[str]]] = {
        "rewrites": _rewrites,
        "kernels": _kernels,
        "passes": _passes,
        "copies": _copies,
        "notes": _notes,
    }
    if what is not None and what not in sections:
        raise DomainError(message("explain", got=repr(what), expected=", ".join(sections)))
    chosen = sections if what is None else {what: sections[what]}
    head = f"{report.name}: cache {report.cache}, {len(report.kernels)} kernels"
    lines = [f"{head}; a call: {report.cost}" if report.cost else head]
    for title, section in chosen.items():
        found = list(section(report))
        if found:
            lines += [title, *(f"  {line}" for line in found)]
    return "\n".join(lines)


def _rewrites(report: Report) -> Iterator[str]:
    for fired in report.fired:
        yield f"{fired.rule}: {fired.before} -> {fired.after} at {fired.location}"


def _kernels(report: Report) -> Iterator[str]:
    for kernel in report.kernels:
        lines = sorted({str(location) for location in kernel.locations})
        yield f"{kernel.name}: {'; '.join(kernel.operations)}"
        yield f"  reads {kernel.reads or 'nothing'}; writes {kernel.writes}"
        if kernel.in_place:
            yield f"  in place: {', '.join(kernel.in_place)}"
        if lines:
            yield f"  from {', '.join(lines[:4])}{' ...' if len(lines) > 4 else ''}"


def _passes(report: Report) -> Iterator[str]:
    total = sum(timing.milliseconds for timing in report.timings)
    for timing in report.timings:
        share = timing.milliseconds / total if total else 0.0
        yield (
            f"{timing.stage:<12} {timing.milliseconds:8.2f} ms {share:4.0%}"
            f"  {timing.nodes_before} -> {timing.nodes_after}"
        )
    yield f"{'total':<12} {total:8.2f} ms"


def _copies(report: Report) -> Iterator[str]:
    yield from report.copies


def _notes(report: Report) -> Iterator[str]:
    yield from report.notes


def render_html(report: Report) -> str:
    """The report as one self-contained page."""
    style = "body{font:14px/1.5 system-ui;margin:2em}pre{background:#f5f5f5;padding:1em}"
    return (
        "<!doctype html><html><head><meta charset='utf-8'>"
        f"<title>{escape(report.name)}</title><style>{style}</style></head>"
        f"<body><h1>{escape(report.name)}</h1><pre>{escape(render(report))}</pre></body></html>"
    )
