"""A chain of 100,000 operations through every stage: `python -m bench.deep [LENGTH] [--drawn]`.

Builds it, prints it, differentiates it, compiles both, runs them and lets go of everything, under a
recursion limit of 200.  The operations come in turn, on one f64, or `--drawn` at random, on an
f32[100]: then no two kernels are alike and all of the code is generated.  Prints seconds per stage
and the passes that take longest; the exit status says whether all of it was freed.  A crowded
machine is left out of the figures by `--clock process`.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import symc as sc
from symc.compile import recording

LENGTH = 100_000
SEED = 7
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}
Step = Callable[[Any], Any]
STEPS: tuple[Step, ...] = (
    sc.tanh,
    lambda y: y * 1.5,
    sc.exp,
    lambda y: y - 1.25,
    sc.sin,
    sc.negative,
    sc.abs,
    lambda y: sc.maximum(y, 0.125),
)
# The same kinds of steps, of which any order leaves values near 1.
DRAWN: tuple[Step, ...] = (
    sc.tanh,
    lambda y: y * 0.9,
    lambda y: y + 0.1,
    sc.sin,
    lambda y: 0.3 - y,
    sc.sigmoid,
    lambda y: y * y,
    lambda y: sc.maximum(y, -0.5),
)


class Marks:
    """Seconds of each stage."""

    def __init__(self, clock: str) -> None:
        self.clock = CLOCKS[clock]
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[name] = self.clock() - start

    def show(self) -> None:
        for name, seconds in (self.seconds | {"all": sum(self.seconds.values())}).items():
            print(f"{name:<14} {seconds:7.2f} s")


def chain(x: sc.Expr, steps: Iterable[Step]) -> sc.Expr:
    """The steps one after the other."""
    y = x
    for step in steps:
        y = step(y)
    return y


def in_turn(length: int) -> Iterator[Step]:
    """Eight kinds of operation in turn, three of them transcendental."""
    return (STEPS[number % len(STEPS)] for number in range(length))


def on_a_scalar(length: int) -> tuple[sc.Expr, sc.Expr]:
    """A scalar, and the steps in turn."""
    x = sc.var("x", "f64")
    return x, chain(x, in_turn(length))


def drawn(length: int) -> tuple[sc.Expr, sc.Expr]:
    """A vector, and as many steps in an order that does not repeat."""
    x = sc.var("x", "f32[100]")
    numbers = np.random.default_rng(SEED).integers(0, len(DRAWN), length)
    return x, sc.mean(chain(x, (DRAWN[number] for number in numbers)))


def longest(report: object, count: int = 8) -> str:
    """The passes of a compilation that took longest."""
    spent: Counter[str] = Counter()
    for timing in report.timings:  # type: ignore[attr-defined]
        spent[timing.stage] += timing.milliseconds
    return ", ".join(f"{name} {ms / 1e3:.1f}" for name, ms in spent.most_common(count))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("length", nargs="?", type=int, default=LENGTH)
    parser.add_argument("--drawn", action="store_true", help="at random, on an f32[100]")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    options = parser.parse_args()
    sys.setrecursionlimit(200)
    marks = Marks(options.clock)
    with marks.stage("build"):
        x, y = (drawn if options.drawn else on_a_scalar)(options.length)
    with marks.stage("differentiate"):
        slope = sc.grad(y, x)
    with marks.stage("compile"), recording() as found:
        f = sc.function([x], [y, slope], cache=False)
    shape = x.shape
    with marks.stage("run"):
        results = f(np.full(shape, 0.5, x.dtype))
    with marks.stage("print"):
        lines = f.ir("traced").count("\n")
    passes = longest(found[-1].report)
    kept = weakref.ref(y.__symc_operand__().value)
    with marks.stage("free"):
        del y, slope, f, found
        gc.collect()
    marks.show()
    print(f"{lines} lines; longest: {passes} s;", *(np.ravel(result)[0] for result in results))
    return 0 if kept() is None and all(np.all(np.isfinite(r)) for r in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
