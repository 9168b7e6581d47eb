"""Run the benchmarks: `python -m bench.run [WORKLOAD ...] [--threads 1 2]`.

Each (workload, thread count) is a fresh process whose thread pools are fixed from outside.  Prints
a table, writes `bench/results/<workload>-<threads>.json`, and exits non-zero when a row falls
short.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TUNING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # unset: they slow down a current OpenBLAS


def workloads() -> list[str]:
    return sorted(p.stem for p in (HERE / "workloads").glob("*.py") if p.stem != "__init__")


def environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in TUNING}
    return kept | dict.fromkeys(POOLS, str(threads))


def rows(workload: str, threads: int, clock: str) -> Iterator[dict[str, object]]:
    """Rows of one workload, as they are measured in a process of their own."""
    command = [sys.executable, "-m", "bench.measure", workload, str(threads), clock]
    cores = sorted(os.sched_getaffinity(0))[:threads]
    with subprocess.Popen(
        command,
        env=environment(threads),
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  (no threads here)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"workload {workload} failed with exit status {process.returncode}")


def show(row: dict[str, object], table: Table, threads: int) -> None:
    seconds = row["seconds"]
    assert isinstance(seconds, dict)
    others = "  ".join(f"{n} {_time(s)}" for n, s in seconds.items() if n != "symc")
    ratio = f"{row['ratio']:.2f}x" if row["ratio"] is not None else "-"
    wanted = f">= {row['target']}x" if row["target"] is not None else ""
    wanted += f" <= {_time(row['limit'])}" if row["limit"] is not None else ""
    mark = "ok" if row["met"] else "SHORT"
    table.add_row(
        str(row["case"]), str(threads), _time(seconds["symc"]), others, ratio, wanted, mark
    )


def _time(seconds: object) -> str:
    value = float(seconds)  # type: ignore[arg-type]
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(workloads())}; default all")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--clock", choices=("wall", "process"), default="wall")
    options = parser.parse_args()
    console = Console(width=160)
    table = Table("case", "threads", "symc", "peers", "best peer / symc", "asked", "")
    (HERE / "results").mkdir(exist_ok=True)
    short = 0
    for name in options.workload or workloads():
        for threads in options.threads:
            found = []
            with console.status(f"{name}, {threads} thread(s)"):
                for row in rows(name, threads, options.clock):
                    found.append(row)
                    short += not row["met"]
                    show(row, table, threads)
            path = HERE / "results" / f"{name}-{threads}.json"
            path.write_text(json.dumps(found, indent=1) + "\n")
    console.print(table)
    raise SystemExit(1 if short else 0)


if __name__ == "__main__":
    main()
