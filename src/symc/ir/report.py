"""The report of one compilation, as data: what `explain` prints and what tests assert on."""

from __future__ import annotations

from dataclasses import field

from symc.ir.core import Value
from symc.ir.formula import formula
from symc.ir.locations import Location
from symc.ir.moves import Move
from symc.ir.report_loops import LoopReport, Product, Vanished
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Fired:
    """A rewrite that was applied: its rule, the pass, the user's line, what it replaced by what.

    licence: what the rule takes leave to change, None when it keeps every bit.
    """

    rule: str
    stage: str
    location: Location
    replaced: Value
    made: Value
    licence: str | None = None

    @property
    def before(self) -> str:
        """What stood there, in the user's names."""
        return formula(self.replaced)

    @property
    def after(self) -> str:
        """What stands there now."""
        return formula(self.made)


@dataclass(frozen=True, slots=True)
class Timing:
    """One pass or stage: milliseconds, and the nodes before and after."""

    stage: str
    milliseconds: float
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel: what it computes, where from, and what it costs (texts of Size expressions).

    makes: the values that it stores, as expressions.  packs: what it copies or keeps besides its
    operands, in words with the bytes.  blocks: how many parts run in parallel.
    """

    name: str
    makes: tuple[str, ...]
    operations: tuple[str, ...]
    locations: tuple[Location, ...]
    reads: str
    writes: str
    in_place: tuple[str, ...]
    flops: str
    bytes: str
    blocks: str
    packs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Two kernels that are not one: `producer` stores what `consumer` loads, or both use it.

    reason: why they stayed apart, in words; kind: the same as a word for tests.
    """

    producer: str
    consumer: str
    value: str
    kind: str
    reason: str
    made_at: Location
    used_at: Location


@dataclass(slots=True)
class Report:
    """Everything that one compilation has to say.

    fresh: milliseconds and rewrites are those of the compilation that made the code that runs;
    False after a cache hit, when they are of a compilation made for this report.
    """

    name: str
    fired: list[Fired] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    kernels: list[KernelReport] = field(default_factory=list)
    fusion: list[Split] = field(default_factory=list)
    loops: list[LoopReport] = field(default_factory=list)
    vanished: list[Vanished] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flops: str = ""
    bytes: str = ""
    workspace: str = ""
    threads: int = 1
    cache: str = "off"
    cache_reason: str = ""
    fresh: bool = True

    @property
    def rewrites(self) -> list[Fired]:
        """What fired, in order."""
        return self.fired

    @property
    def passes(self) -> list[Timing]:
        """Passes and stages in the order in which they ran."""
        return self.timings

    @property
    def cost(self) -> str:
        """What a call costs, in one line."""
        if not self.flops:
            return ""
        moved = f"{self.bytes} bytes moved"
        return f"{self.flops} operations, {moved}, workspace {self.workspace} bytes"
