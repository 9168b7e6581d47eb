"""Timing: candidates of one case are measured in interleaved rounds; medians and minima are kept.

The machine is shared and noisy.  A round gives each candidate `SAMPLES` samples of enough calls to
last `SAMPLE` seconds, one candidate after the other, so that a slow moment hits them all; samples
are short and many, so that each candidate also sees quiet ones.  Its threads go on spinning for a
while after its last call (OpenBLAS: 0.1 s): the next one starts when they sleep.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]
Clock = Callable[[], float]

SAMPLE = 0.005  # seconds
SAMPLES = 6
ROUNDS = 10
SETTLE = 0.12  # seconds between candidates that have threads
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per call of one candidate: the median and the least over the rounds."""

    median: float
    least: float


def _calls_per_round(run: Run, clock: Clock) -> int:
    """Warm up (a first call may compile), then find how many calls last about `SAMPLE` seconds."""
    began = time.perf_counter()
    for _ in range(WARM_UP):
        run()
        if time.perf_counter() - began > 1:
            break
    calls = 1
    while True:
        start = clock()
        for _ in range(calls):
            run()
        spent = clock() - start
        if spent > SAMPLE / 4:
            return max(1, round(calls * SAMPLE / spent))
        calls *= 4


def _samples(run: Run, calls: int, clock: Clock) -> list[float]:
    """Seconds per call, several times; once where a call takes long."""
    found: list[float] = []
    while len(found) < SAMPLES and sum(found) * calls < SAMPLE * SAMPLES:
        start = clock()
        for _ in range(calls):
            run()
        found.append((clock() - start) / calls)
    return found


def interleaved(
    candidates: Mapping[str, Run],
    rounds: int = ROUNDS,
    settle: float = 0,
    clock: Clock = time.perf_counter,
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
                if settle:
                    time.sleep(settle)
                    run()
                samples[name] += _samples(run, calls[name], clock)
    finally:
        gc.enable()
    return {name: Timed(statistics.median(s), min(s)) for name, s in samples.items()}
