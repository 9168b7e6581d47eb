"""The report of one compilation, as data: what `explain` prints and what tests assert on."""

from __future__ import annotations

from dataclasses import dataclass, field

from symc.ir.locations import Location


@dataclass(frozen=True, slots=True)
class Fired:
    """A rewrite that was applied: its rule, the pass, the user's line, before and after."""

    rule: str
    stage: str
    location: Location
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Timing:
    """One pass or stage: milliseconds, and the nodes before and after."""

    stage: str
    milliseconds: float
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel: what it computes, where from, and what it costs (texts of Size expressions)."""

    name: str
    operations: tuple[str, ...]
    locations: tuple[Location, ...]
    reads: str
    writes: str
    in_place: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """Everything that one compilation has to say."""

    name: str
    fired: list[Fired] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    kernels: list[KernelReport] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost: str = ""
    cache: str = "off"
