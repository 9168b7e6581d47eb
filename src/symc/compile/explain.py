"""The report for people: what was rewritten, fused, copied, how long it took, and the user's lines.

before: a `Report` of a finished compilation and its levels.  after: the report completed with what
only a reader needs (kernels, why not fused, copies, costs), and its text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from symc.compile.cost import cost, step_cost
from symc.compile.loop_report import loop_reports
from symc.compile.loop_text import loop_lines, moved_line, vanished_line
from symc.compile.provenance import moves_behind, rewrites_behind
from symc.compile.stages import Stages
from symc.ir.core import Value
from symc.ir.errors import DomainError, message
from symc.ir.formula import formula
from symc.ir.launch import Launches
from symc.ir.locations import UNKNOWN, Location
from symc.ir.nest import ContractStage, MapStage, Nest, Operand
from symc.ir.program import BufferKind, Copy, Program
from symc.ir.report import KernelReport, Report, Split
from symc.ir.types import dtype_name
from symc.passes import fuse
from symc.passes.fuse_reasons import splits
from symc.passes.plan import Control, Step

_SHOWN: Final = 48
_LISTED: Final = 30  # pairs of kernels that the text lists; the data has all


def complete(report: Report, stages: Stages) -> None:
    """Add what is worked out only when somebody looks."""
    known = {(fired.rule, fired.location, fired.before) for fired in report.fired}
    earlier = rewrites_behind(stages.traced.function)
    kept = [one for one in earlier if (one.rule, one.location, one.before) not in known]
    report.fired = [*kept, *report.fired]
    launches = stages.object.launches
    rows = zip(stages.plan.steps, launches, strict=True)
    report.kernels = [_kernel(step, launched) for step, launched in rows]
    report.fusion = splits(fuse.run(stages.optimized.function), stages.plan)
    traced = stages.traced.function
    found = loop_reports(
        traced, stages.optimized.function, stages.plan, moves_behind(traced), report.moves
    )
    report.loops, report.vanished, report.products = found.loops, found.vanished, found.products
    report.copies = copies(stages.program)
    spent = cost(stages.plan, stages.program, {})
    report.flops, report.bytes = str(spent.flops), str(spent.bytes)
    report.workspace = str(spent.workspace)


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
    """What a buffer is: the name of an input or a shared variable, an output's number."""
    buffer = program.buffers[number]
    shown = f"{buffer.kind.name.lower()} {buffer.index}"
    match buffer.kind:
        case BufferKind.INPUT:
            shown = f"input {program.inputs[buffer.index].name}"
        case BufferKind.STATE:
            shown = f"shared {program.states[buffer.index].name}"
        case BufferKind.STAGED:
            shown = f"the new {program.states[buffer.index].name}"
        case BufferKind.ARENA | BufferKind.SLOT | BufferKind.TAPE:
            shown = "a temporary"
        case BufferKind.CONST | BufferKind.OUTPUT:
            pass
    return f"{shown} (%{number}, {dtype_name(buffer.dtype)})"


def _kernel(step: Step, launches: Launches) -> KernelReport:
    nest = step.nest
    rows = list(zip(nest.operands, step.values, strict=True))
    flops, moved = step_cost(step)
    return KernelReport(
        name=nest.name,
        makes=tuple(formula(value, _SHOWN) for value in step.writes()),
        operations=tuple(_operations(nest)),
        locations=nest.locations,
        reads=", ".join(_operand(*row) for row in rows if row[0].role in {"in", "inout"}),
        writes=", ".join(_operand(*row) for row in rows if row[0].role in {"out", "inout"}),
        in_place=tuple(op.name for op, _ in rows if op.role == "inout"),
        flops=str(flops),
        bytes=str(moved),
        blocks=" then ".join(str(launch.blocks) for launch in launches),
        packs=tuple(_packs(nest, launches)),
    )


def _operand(operand: Operand, value: Value | None) -> str:
    """An operand with its type; an input of the program by its own name."""
    known = value is not None and value.node is None and operand.role == "in"
    name = value.name if known and value is not None else None
    return f"{name or operand.name}: {operand.type}"


def _packs(nest: Nest | Control, launches: Launches) -> Iterator[str]:
    """Memory besides operands: whole-array temporaries, and packed tiles per thread."""
    for launch in launches:
        for size in launch.temporaries:
            yield f"copies or partial results in {size} bytes"
    sums = isinstance(nest, Nest) and any(isinstance(s, ContractStage) for s in nest.stages)
    scratch = [launch.scratch for launch in launches if launch.scratch != 0]
    if sums and scratch:
        yield f"tiles of operands packed in {' and '.join(map(str, scratch))} bytes per thread"
    elif scratch:
        yield f"rows kept in {' and '.join(map(str, scratch))} bytes per thread"


def _operations(nest: Nest | Control) -> Iterator[str]:
    """What the kernel computes, stage by stage, as op names with counts."""
    if isinstance(nest, Control):
        inner = [step.nest for plan in nest.bodies for step in plan.steps]
        parts = [" ".join(_operations(part)) for part in inner]
        yield f"{nest.node.op.name} of {len(inner)} kernels: {'; '.join(parts)}"
        return
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


# Text.
def render(report: Report, what: str | None = None) -> str:
    """The report as text; `what` names one section of `SECTIONS`."""
    if what is not None and what not in SECTIONS:
        raise DomainError(message("explain", got=repr(what), expected=", ".join(SECTIONS)))
    lines = [head(report)]
    for title in SECTIONS if what is None else [what]:
        found = section(report, title)
        if found:
            lines += [title, *(f"  {line}" for line in found)]
    return "\n".join(lines)


def head(report: Report) -> str:
    """One line: the name, the cache, and what a call costs."""
    start = f"{report.name}: cache {report.cache}, {len(report.kernels)} kernels"
    return f"{start}; a call: {report.cost}" if report.cost else start


def section(report: Report, title: str) -> list[str]:
    """The lines of one section."""
    return list(SECTIONS[title](report))


def _rewrites(report: Report) -> Iterator[str]:
    counts = Counter((f.rule, f.stage, f.location, f.before, f.after) for f in report.fired)
    for (rule, stage, location, before, after), times in counts.items():
        often = f" x{times}" if times > 1 else ""
        shown = f"{before}  ->  {after}" if before != after else f"{before}  (its shape)"
        yield f"{shown}{often}  [{rule}, {stage}] at {location}"


def _fusion(report: Report) -> Iterator[str]:
    for kernel in report.kernels:
        if sum(map(len, kernel.operations)):
            yield f"{kernel.name} makes {'; '.join(kernel.makes)}"
    for split in report.fusion[:_LISTED]:
        yield f"{split.producer} | {split.consumer} over {split.value}: {split.reason}"
        yield f"  {_places(split)}"
    if len(report.fusion) > _LISTED:
        yield f"and {len(report.fusion) - _LISTED} more: explain().fusion has all"


def _places(split: Split) -> str:
    made = f"made at {split.made_at}" if split.made_at != UNKNOWN else "an input"
    return f"{made}, used at {split.used_at}" if split.used_at != UNKNOWN else made


def _loops(report: Report) -> Iterator[str]:
    for loop in report.loops:
        yield from loop_lines(loop)
    for gone in report.vanished:
        yield vanished_line(gone)
        yield from (f"  moved: {moved_line(one)} at {one.location}" for one in gone.moved)


def _kernels(report: Report) -> Iterator[str]:
    for kernel in report.kernels:
        yield f"{kernel.name}: {'; '.join(kernel.operations)}"
        yield f"  reads {kernel.reads or 'nothing'}; writes {kernel.writes}"
        yield f"  {kernel.flops} operations, {kernel.bytes} bytes, parallel blocks {kernel.blocks}"
        if kernel.in_place:
            yield f"  in place: {', '.join(kernel.in_place)}"
        if kernel.packs:
            yield f"  {', '.join(kernel.packs)}"
        places = user_lines(kernel.locations)
        if places:
            yield f"  from {', '.join(places[:4])}{' ...' if len(places) > 4 else ''}"


def user_lines(locations: tuple[Location, ...]) -> list[str]:
    """The known places, sorted, each once."""
    return sorted({str(location) for location in locations if location != UNKNOWN})


def _passes(report: Report) -> Iterator[str]:
    total = sum(timing.milliseconds for timing in report.timings)
    if not report.fresh:
        yield "the code came from the cache; these are times of a compilation made for this report"
    for timing in report.timings:
        share = timing.milliseconds / total if total else 0.0
        yield (
            f"{timing.stage:<12} {timing.milliseconds:8.2f} ms {share:4.0%}"
            f"  {timing.nodes_before} -> {timing.nodes_after}"
        )
    yield f"{'total':<12} {total:8.2f} ms"


def _copies(report: Report) -> Iterator[str]:
    yield from report.copies
    for kernel in report.kernels:
        if kernel.packs:
            yield f"{kernel.name}: {', '.join(kernel.packs)}"


def _cache(report: Report) -> Iterator[str]:
    yield f"{report.cache}: {report.cache_reason}" if report.cache_reason else report.cache


def _threads(report: Report) -> Iterator[str]:
    serial = [kernel.name for kernel in report.kernels if kernel.blocks == "1"]
    yield f"at most {report.threads}"
    if serial:
        yield f"on one thread: {', '.join(serial[:8])}{' ...' if len(serial) > 8 else ''}"


def _cost(report: Report) -> Iterator[str]:
    yield f"{report.flops} operations"
    yield f"{report.bytes} bytes read and written by kernels"
    yield f"{report.workspace} bytes of workspace at the peak"


def _notes(report: Report) -> Iterator[str]:
    yield from report.notes


SECTIONS: Final[dict[str, Callable[[Report], Iterator[str]]]] = {
    "rewrites": _rewrites,
    "fusion": _fusion,
    "loops": _loops,
    "kernels": _kernels,
    "copies": _copies,
    "cost": _cost,
    "threads": _threads,
    "cache": _cache,
    "passes": _passes,
    "notes": _notes,
}
