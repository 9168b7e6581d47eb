"""Draw mutants and let the suite look for each: `python -m tools.mutation [--draw 60] [--seed N]`.

Every mutant drawn counts.  One is caught when a run of the suite of at most ten minutes fails; the
tests nearest to what is mutated come first.  Prints the seed, each mutant and its end, and the
score; exits non-zero below the score asked for.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.mutation.mutants import ROOT, Mutant, mutants

# The tests that look at a kind of mutant first; then these rooms; then all.
NEAREST = {
    "guard": ("tests/passes/test_rules.py", "tests/passes/test_golden.py"),
    "identity": ("tests/ir/test_op_laws.py",),
    "index": ("tests/ir/test_op_laws.py", "tests/ir/test_index_maps.py", "tests/passes"),
    "adjoint": ("tests/ir/test_op_laws.py", "tests/autodiff/test_laws.py"),
}
ROOMS = ("tests/ir", "tests/autodiff", "tests/passes")
MINUTES = 10


def caught(mutant: Mutant, jobs: int) -> str:
    """How the suite ended: `killed`, or `survived`."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        file = Path(folder) / mutant.path.name
        file.write_text(mutant.text, encoding="utf-8")
        environment = os.environ | {"SYMC_MUTANT": f"{mutant.module}={file}"}
        deadline = time.monotonic() + 60 * MINUTES
        for paths in (NEAREST[mutant.kind], ROOMS, ("tests",)):
            if not _passes(paths, environment, jobs, deadline):
                return "killed"
        return "survived"


def _passes(paths: Sequence[str], environment: dict[str, str], jobs: int, deadline: float) -> bool:
    """Whether the tests pass; out of time counts as passing, since nothing was seen."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", str(jobs)]
    command += ["-p", "tools.mutation.plugin", "-p", "no:cacheprovider", *paths]
    left = deadline - time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=left, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draw", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--score", type=float, default=0.9, help="least share to be caught")
    parser.add_argument("--list", action="store_true", help="print all mutants and stop")
    options = parser.parse_args()
    everything = mutants()
    print(f"{len(everything)} mutants")
    if options.list:
        for mutant in everything:
            print(str(mutant), flush=True)
        return
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    drawn = random.Random(seed).sample(everything, options.draw)
    print(f"seed {seed}, {len(drawn)} drawn")
    killed = 0
    for number, mutant in enumerate(drawn, 1):
        end = caught(mutant, options.jobs)
        killed += end == "killed"
        print(f"{number:>3} {end:<8} {mutant}", flush=True)
    print(f"{killed} of {len(drawn)} caught")
    raise SystemExit(0 if killed >= options.score * len(drawn) else 1)


if __name__ == "__main__":
    main()
