"""A case: one row of a benchmark: candidates that do the same work, and what must be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.timing import ROUNDS, Run

__all__ = ["Case", "Run", "Workload"]


@dataclass(frozen=True, slots=True)
class Case:
    """Candidates by name (`symc` first), the work of one call, and what must be shown.

    `work` units of `unit` are done per call (examples, elements, calls).  `target`: least allowed
    ratio best-peer time / symc time; `limit`: largest allowed seconds per call of symc.
    `rounds`: how often each candidate is timed; few for what takes long.
    """

    name: str
    candidates: dict[str, Run]
    work: float = 1.0
    unit: str = "call"
    target: float | None = None
    limit: float | None = None
    rounds: int = ROUNDS
    notes: dict[str, str] = field(default_factory=dict)


Workload = Callable[[int], Iterator[Case]]
