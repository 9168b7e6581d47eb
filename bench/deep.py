"""A chain of 100,000 operations through every stage: `python -m bench.deep [LENGTH]`.

Builds it, prints it, differentiates it, compiles both, runs them and lets go of everything, under a
recursion limit of 200.  Prints seconds per stage; the exit status says whether all of it was freed.
"""

from __future__ import annotations

import gc
import sys
import time
import weakref
from itertools import pairwise

import numpy as np

import symc as sc

LENGTH = 100_000


def chain(x: sc.Expr, length: int) -> sc.Expr:
    """Eight kinds of operation in turn, three of them transcendental; values stay near 1."""
    steps = (
        sc.tanh,
        lambda y: y * 1.5,
        sc.exp,
        lambda y: y - 1.25,
        sc.sin,
        sc.negative,
        sc.abs,
        lambda y: sc.maximum(y, 0.125),
    )
    y = x
    for number in range(length):
        y = steps[number % len(steps)](y)
    return y


def main() -> int:
    length = int(sys.argv[1]) if len(sys.argv) > 1 else LENGTH
    sys.setrecursionlimit(200)
    marks = [("start", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    x = sc.var("x", "f64")
    y = chain(x, length)
    mark("build")
    slope = sc.grad(y, x)
    mark("differentiate")
    f = sc.function([x], [y, slope], cache=False)
    mark("compile")
    results = f(0.5)
    mark("run")
    lines = f.ir("traced").count("\n")
    mark("print")
    kept = weakref.ref(y.__symc_operand__().value)
    del y, slope, f
    gc.collect()
    mark("free")
    for (_, before), (name, after) in pairwise(marks):
        print(f"{name:<14} {after - before:7.2f} s")
    print(f"{'all':<14} {marks[-1][1] - marks[0][1]:7.2f} s, {lines} lines", results)
    return 0 if kept() is None and np.all(np.isfinite(results)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
