"""From a long program to something that runs, cold: no cache, a process that compiled little yet.

Each kind has gradients of some thousand nodes.  Peers do not take part: the limit is absolute.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case
from bench.compiling import KINDS, compile_one


def cases(threads: int) -> Iterator[Case]:
    for kind in KINDS:
        f, _ = compile_one(kind)
        timings = f.explain().timings
        whole = sum(t.milliseconds for t in timings)
        shares = {
            t.stage: f"{t.milliseconds:.0f} ms, {t.milliseconds / whole:.0%}" for t in timings
        }
        notes = {"nodes": str(timings[0].nodes_before), **shares}
        yield Case(
            f"compile {kind}",
            {"symc": lambda kind=kind: compile_one(kind)},
            timings[0].nodes_before,
            "node",
            limit=2.0,
            rounds=2,
            notes=notes,
        )
