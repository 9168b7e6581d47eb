"""Timing: candidates of one case are measured in interleaved rounds; medians and minima are kept.

The machine is shared and noisy.  A round gives each candidate enough calls to last `ROUND` seconds,
one candidate after the other, so that a slow moment hits them all; rounds are short and many, so
that each candidate also sees quiet ones.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]
Clock = Callable[[], float]

ROUND = 0.005  # seconds per candidate and round
ROUNDS = 60
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per call of one candidate: the median and the least over the rounds."""

    median: float
    least: float


def _calls_per_round(run: Run, clock: Clock) -> int:
    """Warm up (the first call may compile), then find how many calls last about `ROUND` seconds."""
    for _ in range(WARM_UP):
        run()
    calls = 1
    while True:
        start = clock()
        for _ in range(calls):
            run()
        spent = clock() - start
        if spent > ROUND / 4:
            return max(1, round(calls * ROUND / spent))
        calls *= 4


def interleaved(
    candidates: Mapping[str, Run], rounds: int = ROUNDS, clock: Clock = time.perf_counter
) -> dict[str, Timed]:
    """Seconds per call of each candidate.

    clock: on a crowded machine and one thread, `time.process_time` leaves out the time in which
    other processes ran.
    """
    calls = {name: _calls_per_round(run, clock) for name, run in candidates.items()}
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in candidates.items():
                start = clock()
                for _ in range(calls[name]):
                    run()
                samples[name].append((clock() - start) / calls[name])
    finally:
        gc.enable()
    return {name: Timed(statistics.median(s), min(s)) for name, s in samples.items()}
