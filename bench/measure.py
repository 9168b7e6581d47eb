"""Measure one workload in this process: `python -m bench.measure WORKLOAD THREADS [CLOCK]`.

Prints one JSON object per case.  Started by `bench.run` with the thread count fixed in the
environment and, for one thread, the process bound to one core, so that every peer obeys it.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module

from bench.case import Case
from bench.timing import SETTLE, Clock, Timed, interleaved

CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "process": time.process_time}


def measure(case: Case, threads: int, clock: Clock) -> dict[str, object]:
    """Time a case and relate symc to the best peer."""
    timed = interleaved(case.candidates, case.rounds, SETTLE if threads > 1 else 0, clock)
    return {
        **describe(case, timed),
        "seconds": {name: t.least for name, t in timed.items()},
        "medians": {name: t.median for name, t in timed.items()},
    }


def describe(case: Case, timed: dict[str, Timed]) -> dict[str, object]:
    """The row of a case: ratio against the best peer, and whether what is asked for holds.

    Least times are compared: what else runs on the machine can only add to them.
    """
    ours = timed["symc"].least
    peers = {name: t.least for name, t in timed.items() if not name.startswith("symc")}
    best = min(peers, key=lambda name: peers[name]) if peers else None
    ratio = peers[best] / ours if best is not None else None
    met = (case.target is None or (ratio is not None and ratio >= case.target)) and (
        case.limit is None or ours <= case.limit
    )
    return {
        "case": case.name,
        "unit": case.unit,
        "work": case.work,
        "best_peer": best,
        "ratio": ratio,
        "target": case.target,
        "limit": case.limit,
        "met": met,
        "notes": case.notes,
    }


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    clock = CLOCKS[sys.argv[3]] if len(sys.argv) > 3 else time.perf_counter
    workload = import_module(f"bench.workloads.{name}")
    for case in workload.cases(threads):
        print(json.dumps(measure(case, threads, clock)), flush=True)


if __name__ == "__main__":
    main()
