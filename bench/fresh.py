"""One thing done once in a fresh process: `python -m bench.fresh {import,step} NAME`.

import: load a package.  step: define the one-hidden-layer training step of Figure 1, run it once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(what: str, name: str, cache: str | None = None) -> None:
    """Do it in a process of its own, imports and all; `cache`: where symc may keep code."""
    environment = dict(os.environ)
    if cache is not None:
        environment["XDG_CACHE_HOME"] = cache
    command = [sys.executable, "-m", "bench.fresh", what, name]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def main() -> None:
    what, name = sys.argv[1:3]
    if what == "import":
        import_module(name)
        return
    from bench.models import BUILDERS, Spec

    BUILDERS[name](Spec((784, 500, 10), 10), 1)()


if __name__ == "__main__":
    main()
