"""Start-up, everything in fresh processes: the import, and the way from definition to result."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.case import Case, Run
from bench.fresh import run
from bench.peers import installed

PEERS = ("jax", "pytensor")
ROUNDS = 10


def cases(threads: int) -> Iterator[Case]:
    peers = [name for name in PEERS if name in installed()]
    loads: dict[str, Run] = {name: partial(run, "import", name) for name in ("symc", *peers)}
    yield Case("import", loads, limit=0.25, rounds=ROUNDS)
    steps: dict[str, Run] = {name: partial(run, "step", name) for name in peers}
    with TemporaryDirectory() as folder:
        warm = partial(run, "step", "symc", folder)
        warm()
        title = "definition to first result"
        yield Case(f"{title}, warm cache", {"symc": warm} | steps, limit=0.3, rounds=ROUNDS)
        yield Case(
            f"{title}, cold", {"symc": partial(_cold, folder)} | steps, limit=0.6, rounds=ROUNDS
        )


def _cold(folder: str) -> None:
    with TemporaryDirectory(dir=Path(folder)) as empty:
        run("step", "symc", empty)
