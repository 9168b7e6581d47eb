"""Draw mutants and let the suite look for each: `python -m tools.mutation [--draw 60] [--seed N]`.

before: a working tree whose suite passes.  after: the seed, each mutant drawn with its end and what
caught it, and the score; the exit status is non-zero below the score asked for.

Every mutant drawn counts.  One is caught when a test fails, or cannot be collected, in a run of the
suite of at most ten minutes; the tests nearest to what is mutated come first.  Out of time is not
caught, and neither is a run that could not start.  What catches a mutant must pass without one:
the nearest tests are run so first, any other test when it has caught one.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tools.mutation.mutants import ROOT, Mutant, mutants

GUARDS = ("tests/passes/test_golden.py", "tests/passes/test_guards.py")
ROWS = "tests/passes/test_rules.py"
PLACES = "tests/passes/test_known_places.py"
LAWS = ("tests/ir/test_op_laws.py", "tests/autodiff/test_laws.py")
INDICES = ("tests/passes/test_fuse_index.py", "tests/ir/test_index_maps.py")
# What pytest is told first, in one process, about a mutant of a file; then these rooms; then all.
NEAREST = (
    ("passes/algebra_dots.py", (*GUARDS, ROWS, "-k", "algebra or contractions")),
    ("passes/algebra*.py", (*GUARDS, PLACES, ROWS, "-k", "algebra or known_places")),
    (
        "passes/contractions.py",
        (*GUARDS, ROWS, "tests/passes/test_contractions.py", "-k", "contractions"),
    ),
    ("passes/fuse_index.py", INDICES),
    ("ir/affine.py", INDICES),
    ("passes/*.py", (*GUARDS, ROWS, "-k", "stabil")),
    ("ir/ops/*.py", ("tests/ir/test_values.py", *INDICES[1:], *LAWS)),
    ("*", LAWS),
)
ROOMS = ("tests/ir", "tests/autodiff", "tests/passes")
ALL = ("tests",)
MINUTES = 10
PASSED, FAILED, INTERRUPTED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class End:
    """How the suite ended for a mutant: `killed`, `survived`, or `late`; by what, and when."""

    name: str
    by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """Tests that run together, and in how many processes (0: in pytest's own)."""

    paths: tuple[str, ...]
    jobs: int


def stages(mutant: Mutant, jobs: int, near: bool) -> list[Stage]:
    """What runs for a mutant, in order."""
    file = mutant.path.relative_to(ROOT / "src" / "symc").as_posix()
    paths = next(paths for pattern, paths in NEAREST if fnmatch(file, pattern))
    first = Stage(paths, 0)
    return [first] if near else [first, Stage(ROOMS, jobs), Stage(ALL, jobs)]


def end_of(mutant: Mutant, jobs: int, near: bool) -> End:
    """Runs the stages until one fails or the minutes are over."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        file = Path(folder) / mutant.path.name
        file.write_text(mutant.text, encoding="utf-8")
        environment = os.environ | {"SYMC_MUTANT": f"{mutant.module}={file}"}
        begin = time.monotonic()
        for stage in stages(mutant, jobs, near):
            left = begin + 60 * MINUTES - time.monotonic()
            code, said = run(stage, environment, left)
            taken = time.monotonic() - begin
            if code is None:
                return End("late", "", taken)
            if code != PASSED:
                by = _first_failure(said)
                if stage.paths in {ROOMS, ALL}:
                    must_pass(Stage((by.partition("[")[0],), 0))
                return End("killed", by, taken)
        return End("survived", "", time.monotonic() - begin)


def run(stage: Stage, environment: dict[str, str], seconds: float | None) -> tuple[int | None, str]:
    """pytest's exit status and what it printed; None when out of time.

    Raises RuntimeError when pytest saw no tests or could not start: that says nothing of a mutant.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", str(stage.jobs), "--tb=no"]
    command += ["-p", "tools.mutation.plugin", "-p", "no:cacheprovider", *stage.paths]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=seconds,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    if done.returncode < 0:
        return FAILED, ""  # by a signal: the mutant crashed it
    if done.returncode not in {PASSED, FAILED, INTERRUPTED}:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.returncode, done.stdout


def _first_failure(said: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return found[1] if found else "(crashed)"


def must_pass(stage: Stage) -> None:
    """Runs tests where nothing is mutated.  Raises RuntimeError when they fail."""
    code, said = run(stage, dict(os.environ), None)
    if code != PASSED:
        raise RuntimeError(f"fails without a mutant: {stage.paths}: {_first_failure(said)}")


def main() -> None:
    options = _options()
    everything = mutants()
    print(f"{len(everything)} mutants")
    if options.list:
        for mutant in everything:
            print(mutant)
        return
    chosen = [x for x in everything if re.search(options.only, str(x))]
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    drawn = random.Random(seed).sample(chosen, min(options.draw, len(chosen)))
    print(f"seed {seed}, {len(drawn)} drawn", flush=True)
    for stage in dict.fromkeys(stages(mutant, options.jobs, True)[0] for mutant in drawn):
        must_pass(stage)
    killed = 0
    for number, mutant in enumerate(drawn, 1):
        end = end_of(mutant, options.jobs, options.near)
        killed += end.name == "killed"
        print(f"{number:>3} {end.name:<8} {end.seconds:4.0f} s  {mutant}  [{end.by}]", flush=True)
    print(f"{killed} of {len(drawn)} caught")
    raise SystemExit(0 if killed >= options.score * len(drawn) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draw", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--score", type=float, default=0.9, help="least share to be caught")
    parser.add_argument("--list", action="store_true", help="print all mutants and stop")
    parser.add_argument("--near", action="store_true", help="only the nearest tests")
    parser.add_argument("--only", default="", help="draw only from mutants that match this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
