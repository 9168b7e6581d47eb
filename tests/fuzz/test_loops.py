"""Random loops: run as loops they are what they are when written out, derivatives included.

Each program is traced once with its number of steps symbolic (or, one in four, static), taken
through the meaning passes and evaluated; beside it the same program is written out without loops
and evaluated as it was traced.  Values and forward derivatives agree bit for bit under
`contract="chain"`, all derivatives of exact programs too; other slopes add up in another order, and
agree to what that explains.  Some are optimised, compiled, or batched as well.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from fuzz.loop_programs import draw
from fuzz.loop_runs import Program, Traced
from fuzz.test_programs import run, same_bits
from symc.ir.core import Function
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.passes import MEANING, OPTIMISING, define, run_passes

PROGRAMS = int(os.environ.get("SYMC_FUZZ_LOOPS", os.environ.get("SYMC_FUZZ_EXAMPLES", "1000")))
FIRST = int(os.environ.get("SYMC_FUZZ_FIRST", "0"))
PARTS = 4  # tests that run in parallel

CHAIN = Options(contract="chain")
WRITTEN_OUT = tuple(name for name in MEANING if name != "contractions")
LENGTHS = ((0, 4), (1, 3), (2, 4), (0, 2), (1, 4))
# What of a program is compared, and at how many lengths: derivatives take longer.
COMPARED: tuple[tuple[str, ...], ...] = (
    ("values", "steps"),
    ("values", "steps"),
    ("jvp", "grad"),
    ("values", "steps"),
    ("hvp", "jvp"),
    ("jvp2", "grad"),
    ("third",),
    ("values", "steps"),
    ("jvp3",),
    ("grad",),
)
ROWS = frozenset({"values", "jvp", "jvp2", "jvp3"})
FORWARD = frozenset({"values", "steps", "jvp", "jvp2", "jvp3"})
EXACT = 2.0**50  # integers up to here, in sums of thousands, are exact
REORDERED = 1e-10  # of the largest result: sums of some hundred terms in another order


def outcome(function: Function, traced: Traced, arrays: Sequence[np.ndarray]) -> list:
    return list(evaluate(function, [*arrays, *traced.entry.constants], order="chain"))


def agree(got: np.ndarray, want: np.ndarray, *, exact: bool) -> bool:
    """Equal numbers (0 equals -0), or nearly so."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    if np.array_equal(got, want, equal_nan=got.dtype.kind == "f"):
        return True
    scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
    if exact and scale < EXACT:
        return False
    return np.allclose(got, want, rtol=REORDERED, atol=REORDERED * scale, equal_nan=True)


class Check:
    """One program, checked; `seen` counts what programs were made of and compared."""

    def __init__(self, number: int, seen: Counter[str]) -> None:
        drawn = draw(number, until=True)
        self.number, self.seen = number, seen
        self.program = Program(drawn)
        self.parts = COMPARED[number % len(COMPARED)]
        self.static = number % 4 == 3
        lengths = LENGTHS[number // len(COMPARED) % len(LENGTHS)]
        self.lengths = lengths if "values" in self.parts else lengths[-1:]
        seen.update(set(drawn.used))
        seen.update(self.parts)
        seen["programs"] += 1
        seen["exact"] += drawn.exact
        seen["choice"] += bool({"cond", "outside"} & set(drawn.used))
        seen["contraction"] += "dot" in drawn.used
        gathers = {"take", "take checked", "put", "put more"}
        seen["gather"] += bool(gathers & set(drawn.used))

    def arrays(self, n: int) -> list[np.ndarray]:
        return self.program.arrays(np.random.default_rng(self.number), n)

    def run(self) -> None:
        symbolic = None if self.static else self.program.traced(None, False, self.parts)
        for n in self.lengths:
            traced = symbolic or self.program.traced(n, False, self.parts)
            self.seen[f"{min(n, 3)} steps"] += 1
            self.written_out(traced, n)
            if symbolic is None:
                break
        if symbolic is None:
            return
        if self.number % 6 == 0:
            self.optimised(symbolic)
        if self.number % 13 == 0:
            self.compiled(symbolic)
        if self.number % 10 == 1:
            self.batched()

    def written_out(self, traced: Traced, n: int) -> None:
        arrays = self.arrays(n)
        defined = run_passes(traced.function, WRITTEN_OUT, CHAIN)
        plain = self.program.traced(n, True, self.parts)
        got = traced.split(outcome(defined, traced, arrays))
        want = plain.split(outcome(plain.function, plain, arrays))
        for part, left, right in zip(self.parts, got, want, strict=True):
            exact = self.program.exact or part in FORWARD
            for i, (x, y) in enumerate(zip(left, right, strict=part != "steps")):
                kept = y[: len(x)] if part in ROWS and self.stops and y.ndim else y
                title = f"program {self.number}, {n} steps, {part} {i}"
                assert agree(x, kept, exact=exact), f"{title}: {x!r} {kept!r}"
                self.seen["results"] += 1

    @property
    def stops(self) -> bool:
        return self.program.loop.stop is not None

    def optimised(self, traced: Traced) -> None:
        defined = define(traced.function, CHAIN)
        made = run_passes(defined, OPTIMISING[3], CHAIN)
        arrays = self.arrays(self.lengths[-1])
        pairs = zip(outcome(made, traced, arrays), outcome(defined, traced, arrays), strict=True)
        for i, (x, y) in enumerate(pairs):
            assert same_bits(x, y), f"program {self.number} optimised, result {i}: {x!r} {y!r}"
        self.seen["optimised"] += 1

    def compiled(self, traced: Traced) -> None:
        """One compilation serves all numbers of steps."""
        defined = define(traced.function, CHAIN)
        for n in (0, 1, 2, 5):
            arrays = self.arrays(n)
            got = run(traced.entry, CHAIN, arrays)
            for i, (x, y) in enumerate(zip(got, outcome(defined, traced, arrays), strict=True)):
                title = f"program {self.number} compiled, {n} steps, result {i}"
                assert same_bits(x, y), f"{title}: {x!r} {y!r}"
        self.seen["compiled"] += 1

    def batched(self) -> None:
        """Elements of a batch are what they are alone; rows of a loop that stops are refused."""
        if self.stops and self.program.loop.ys:
            return
        one = self.program.traced(None, False, ["values"])
        many = self.program.batch(None, 2)
        n, count = self.lengths[-1], len(self.program.inputs)
        lanes = [self.program.arrays(np.random.default_rng([self.number, i]), n) for i in range(2)]
        whole = [np.stack(pair) for pair in zip(*(lane[:count] for lane in lanes), strict=True)]
        defined = define(many.function, CHAIN)
        got = outcome(defined, many, [*whole, *lanes[0][-2:]])
        single = define(one.function, CHAIN)
        alone = [outcome(single, one, lane) for lane in lanes]
        for i, (x, *rows) in enumerate(zip(got, *alone, strict=True)):
            title = f"program {self.number} batched, result {i}"
            assert same_bits(x, np.stack(rows)), f"{title}: {x!r} {rows!r}"
        self.seen["batched"] += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_loops_are_what_they_are_written_out(part: int) -> None:
    seen: Counter[str] = Counter()
    share = -(-PROGRAMS // PARTS)
    for number in range(share):
        Check(FIRST + part * share + number, seen).run()
    print(dict(sorted(seen.items())))
    total = seen["programs"]
    least = {"contraction": 0.3, "gather": 0.2, "choice": 0.2, "exact": 0.4, "compiled": 0.04}
    least |= {"optimised": 0.1, "batched": 0.04, "stops by itself": 0.1, "depth 3": 0.05}
    least |= {f"{n} steps": 0.1 for n in range(4)} | {"grad": 0.25, "hvp": 0.08, "third": 0.08}
    least |= dict.fromkeys(("scan", "reverse", "fori", "while", "map", "taps"), 0.05)
    least |= {f"taps to {tap}": 0.01 for tap in (-1, -2, -3)}
    if total >= 200:
        found = {name: seen[name] / total for name in least}
        assert not {name: x for name, x in found.items() if x < least[name]}
