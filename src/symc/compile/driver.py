"""Entry to executable, through the disk cache.

before: an `Entry` from either door, its shared variables, options.  after: `Compiled`: a native
executable, and the text of every level on request.

Invariants: what is found in the cache is what would have been compiled; a cache that cannot be read
or written never fails a call; the levels of a function that came from the cache are made again only
when somebody asks to see them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from symc.compile.explain import kernel_reports
from symc.compile.key import entry_key
from symc.compile.stages import Stages, run_stages
from symc.ir.entry import Entry
from symc.ir.errors import DomainError, message
from symc.ir.locations import UNKNOWN
from symc.ir.options import Options
from symc.ir.report import Report
from symc.ir.text import print_function
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.runtime.cache import DiskCache, default_directory
from symc.runtime.cache import Entry as Stored
from symc.runtime.encode import encode
from symc.runtime.executable import Executable, State

# What `recording` collects into, on this thread and in this context.
_recorded: ContextVar[list[Compiled] | None] = ContextVar("recorded", default=None)

STAGES = ("traced", "defined", "optimized", "kernels", "program")


class Compiled:
    """A compiled entry: `executable` runs it; the rest is for looking at."""

    def __init__(
        self, entry: Entry, options: Options, executable: Executable, report: Report
    ) -> None:
        self.entry = entry
        self.options = options
        self.executable = executable
        self.report = report
        self._stages: Stages | None = None

    @property
    def stages(self) -> Stages:
        """Every level; made again when the code came from the cache."""
        if self._stages is None:
            fresh = Report(self.report.name)
            self._stages = run_stages(self.entry, self.options, fresh)
            fresh.kernels = kernel_reports(self._stages.plan)
            fresh.cache = self.report.cache
            self.report = fresh
        return self._stages

    def ir(self, stage: str = "optimized") -> str:
        """The text of one level: traced, defined, optimized, kernels or program."""
        return stage_text(self.stages, stage)

    def llvm(self) -> str:
        """The LLVM IR of all kernels."""
        return self.stages.object.llvm

    def asm(self) -> str:
        """The assembly of all kernels for this machine."""
        return self.stages.object.assembly()

    def full_report(self) -> Report:
        """The report with its kernels, also after a cache hit."""
        _ = self.stages
        return self.report


def stage_text(stages: Stages, stage: str) -> str:
    """The text of one level of `stages`."""
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


def compile_entry(entry: Entry, options: Options, states: Sequence[State]) -> Compiled:
    """Compile `entry`, or load it from the disk cache.

    states: the shared variables, in the order of `entry.states`.
    """
    compiled = _compile(entry, options, states)
    recorded = _recorded.get()
    if recorded is not None:
        recorded.append(compiled)
    return compiled


@contextmanager
def recording() -> Iterator[list[Compiled]]:
    """Collect everything that is compiled inside."""
    token = _recorded.set([])
    try:
        found = _recorded.get()
        assert found is not None
        yield found
    finally:
        _recorded.reset(token)


def _compile(entry: Entry, options: Options, states: Sequence[State]) -> Compiled:
    report = Report(entry.function.name)
    key = entry_key(entry, options) if options.cache and options.check == "none" else None
    stored = disk(default_directory()).get(key) if key is not None else None
    if stored is not None:
        report.cache = "hit"
        locations = _attach(entry, stored.metadata)
        loaded = _load(stored.program, stored.object_code, states, locations, options)
        return Compiled(entry, options, loaded, report)
    report.cache = "off" if key is None else "miss"
    stages = run_stages(entry, options, report)
    report.kernels = kernel_reports(stages.plan)
    program, code = encode(stages.program), stages.object.object
    found = stages.program.locations
    if key is not None:
        disk(default_directory()).put(key, Stored(program, code, _numbers(entry, found)))
    loaded = _load(program, code, states, found, options)
    compiled = Compiled(entry, options, loaded, report)
    compiled._stages = stages
    return compiled


@lru_cache(maxsize=8)
def disk(directory: Path) -> DiskCache:
    """The cache in `directory`; one per process, so that a defect is reported once."""
    return DiskCache(directory)


def _load(
    program: bytes,
    code: bytes,
    states: Sequence[State],
    locations: Sequence[str],
    options: Options,
) -> Executable:
    executable = Executable(program, code, list(states), tuple(locations))
    executable.threads = options.threads or 0
    return executable


def _numbers(entry: Entry, locations: Sequence[str]) -> dict[str, object]:
    """For each location of a program, the first traced node that has it; -1 when none does."""
    first: dict[str, int] = {}
    for number, node in enumerate(entry.function.nodes):
        for location in node.locations:
            first.setdefault(str(location), number)
    return {"nodes": [first.get(text, -1) for text in locations]}


def _attach(entry: Entry, metadata: Mapping[str, object]) -> list[str]:
    """This process's own locations for the node numbers of a cache entry."""
    nodes = entry.function.nodes
    numbers = metadata.get("nodes")
    found = []
    for number in numbers if isinstance(numbers, list) else []:
        known = isinstance(number, int) and 0 <= number < len(nodes)
        found.append(str(nodes[number].locations[0] if known else UNKNOWN))
    return found
