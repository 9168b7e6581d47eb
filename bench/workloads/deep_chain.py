"""100,000 operations in a chain: build, print, differentiate, compile, run, let go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from bench import deep
from bench.case import Case
from bench.fresh import ROOT


def cases(threads: int) -> Iterator[Case]:
    """The exit status of the process says whether everything was freed."""
    command = [sys.executable, "-m", "bench.deep"]
    yield Case(
        f"chain of {deep.LENGTH:,} operations",
        {"symc": lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)},
        deep.LENGTH,
        "operation",
        limit=60.0,
        rounds=1,
    )
