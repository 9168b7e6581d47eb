"""Entry to executable, through the disk cache.

before: an `Entry` from either door, its shared variables, options.  after: `Compiled`: a native
executable, and the text of every level on request.

Invariants: what is found in the cache is what would have been compiled; a cache that cannot be read
or written never fails a call; the levels of a function that came from the cache are made again only
when somebody asks to see them, and only then are passes and code generators loaded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.compile import places
from symc.compile.finite import require_finite
from symc.compile.key import entry_key
from symc.ir.collector import paused
from symc.ir.entry import Entry
from symc.ir.errors import SymcError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.report import Report
from symc.runtime.cache import DiskCache, default_directory
from symc.runtime.cache import Entry as Stored
from symc.runtime.executable import Executable, State

if TYPE_CHECKING:
    from symc.compile.cost import Cost
    from symc.compile.stages import Stages

# Values of `check` that compare the program with the oracle after every pass.
VALIDATED: Final = frozenset({"passes", "all"})

# What `recording` collects into, on this thread and in this context.
_recorded: ContextVar[list[Compiled] | None] = ContextVar("recorded", default=None)


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
        self._complete = False

    @property
    def stages(self) -> Stages:
        """Every level; made again when the code came from the cache."""
        if self._stages is None:
            made = Report(self.report.name, fresh=False)
            self._stages = _generate(self.entry, self.options, made)
            made.cache, made.cache_reason = self.report.cache, self.report.cache_reason
            self.report = made
        return self._stages

    @property
    def checks_numbers(self) -> bool:
        """Whether a call must be followed by `require_finite`."""
        return self.options.check in {"nan", "all"}

    def require_finite(self, outputs: Sequence[np.ndarray], states: Sequence[np.ndarray]) -> None:
        """NonFiniteError for a NaN or an infinity in what a call returned or in a new state."""
        require_finite(self.entry, outputs, states)

    def ir(self, stage: str = "optimized") -> str:
        """The text of one level: traced, defined, optimized, kernels or program."""
        text: str = _levels().stage_text(self.stages, stage)
        return text

    def llvm(self) -> str:
        """The LLVM IR of all kernels."""
        return self.stages.object.llvm

    def asm(self) -> str:
        """The assembly of all kernels for this machine."""
        return self.stages.object.assembly()

    def explain(self, what: str | None = None, html: bool = False) -> str:
        """The report as text or as one HTML page; `what` names one section of it."""
        report, levels = self.full_report(), _levels()
        text: str = levels.render(report, what)
        return levels.report_page(report, self.stages) if html else text

    def page_part(self) -> str:
        """The report as HTML to stand inside a page."""
        part: str = _levels().report_page(self.full_report(), self.stages, whole=False)
        return part

    def draw(self, stage: str = "optimized", form: str = "svg") -> str:
        """The picture of one level: "svg" or "dot"."""
        text: str = _levels().draw(self.stages, stage, form)
        return text

    def cost(self, **dims: int) -> Cost:
        """Operations, bytes moved and workspace, at the given sizes or as expressions of them."""
        stages = self.stages
        found: Cost = _levels().cost(stages.plan, stages.program, dims)
        return found

    def full_report(self) -> Report:
        """The report with its kernels, also after a cache hit."""
        stages = self.stages
        if not self._complete:
            _levels().complete(self.report, stages)
            self.report.threads = self.options.threads or len(os.sched_getaffinity(0))
            self._complete = True
        return self.report


def compile_entry(entry: Entry, options: Options, states: Sequence[State]) -> Compiled:
    """Compile `entry`, or load it from the disk cache.

    states: the shared variables, in the order of `entry.states`.
    """
    _require_offered(entry, options)
    compiled = _cached(entry, options, states)
    recorded = _recorded.get()
    if recorded is not None:
        recorded.append(compiled)
    return compiled


def _require_offered(entry: Entry, options: Options) -> None:
    """UnsupportedError for an option that this version would have to ignore."""
    if options.device != "cpu":
        raise UnsupportedError(
            message(
                f"{entry.function.name}: option device is not offered yet",
                got=repr(options.device),
                where=here(),
                advice="leave device out",
            )
        )


@contextmanager
def recording() -> Iterator[list[Compiled]]:
    """Collect everything that is compiled inside."""
    found: list[Compiled] = []
    token = _recorded.set(found)
    try:
        yield found
    finally:
        _recorded.reset(token)


@lru_cache(maxsize=8)
def disk(directory: Path) -> DiskCache:
    """The cache in `directory`; one per process, so that a defect is reported once."""
    return DiskCache(directory)


def _cached(entry: Entry, options: Options, states: Sequence[State]) -> Compiled:
    report = Report(entry.function.name)
    if not options.cache or options.check != "none":
        asked = f"check={options.check!r}" if options.cache else "cache=False"
        report.cache_reason = f"{asked} was asked for"
        return _fresh(entry, options, states, report)[0]
    start = time.perf_counter()
    cache, key = disk(default_directory()), entry_key(entry, options)
    stored = cache.get(key)
    loaded = None if stored is None else _load_stored(entry, options, states, stored)
    if loaded is not None:
        spent = (time.perf_counter() - start) * 1e3
        report.cache, report.cache_reason = "hit", f"loaded in {spent:.2f} ms"
        return Compiled(entry, options, loaded, report)
    report.cache = "miss"
    report.cache_reason = "no entry for this program, its options, this compiler and this CPU"
    if stored is not None:
        report.cache_reason = "the entry that was found does not load"
    compiled, made = _fresh(entry, options, states, report)
    if not cache.put(key, made):
        report.notes.append(f"not kept in the cache: {cache.directory} cannot be written to")
    return compiled


def _fresh(
    entry: Entry, options: Options, states: Sequence[State], report: Report
) -> tuple[Compiled, Stored]:
    """Compile; also what the cache is to keep."""
    stages = _generate(entry, options, report)
    code: tuple[bytes, bytes] = _stages().code(stages)
    locations = stages.program.locations
    compiled = Compiled(entry, options, _load(code, locations, states, options), report)
    compiled._stages = stages
    return compiled, Stored(*code, places.numbers(entry.function, locations))


def _generate(entry: Entry, options: Options, report: Report) -> Stages:
    with paused():
        run = _validated() if options.check in VALIDATED else _stages().run_stages
        stages: Stages = run(entry, options, report)
    return stages


def _stages() -> ModuleType:
    """Passes and code generators: loaded at the first miss, not by a warm start."""
    from symc.compile import stages  # noqa: PLC0415  (loaded late on purpose)

    return stages


def _validated() -> Callable[[Entry, Options, Report], Stages]:
    """The stages, each compared with the oracle: loaded when that is asked for."""
    from symc.compile.validate import run_stages  # noqa: PLC0415  (loaded late on purpose)

    return run_stages


def _levels() -> ModuleType:
    """Printers, pictures and the report: loaded when somebody looks."""
    from symc.compile import levels  # noqa: PLC0415  (loaded late on purpose)

    return levels


def _load_stored(
    entry: Entry, options: Options, states: Sequence[State], stored: Stored
) -> Executable | None:
    """What the cache holds, made ready; None when it turns out not to be a program."""
    try:
        locations = places.attach(entry.function, stored.metadata)
        return _load((stored.program, stored.object_code), locations, states, options)
    except SymcError:
        return None


def _load(
    code: tuple[bytes, bytes],
    locations: Sequence[str],
    states: Sequence[State],
    options: Options,
) -> Executable:
    executable = Executable(*code, list(states), tuple(locations))
    executable.threads = options.threads or 0
    return executable
