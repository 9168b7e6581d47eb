"""Loops of small bodies: against C where a limit is set, against numba and JAX elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench import c_loops
from bench.case import Case
from bench.loop_algorithms import ALGORITHMS
from bench.loop_programs import PROGRAMS

STEPS = 1_000_000
SMALL = 100_000
CONTRACTED = {"strict": ("-ffp-contract=off",), "fast": ()}


def _against_c(threads: int) -> Iterator[Case]:
    import symc as sc

    x = np.random.default_rng(0).standard_normal(STEPS)
    a = np.random.default_rng(1).standard_normal((3, 3)) * 0.3
    for numerics, flags in CONTRACTED.items():
        c = c_loops.library(*flags)
        line = sc.jit(
            lambda a, x: sc.scan(lambda h, x: (a * h + x,) * 2, 0.0, x)[1],
            threads=threads,
            numerics=numerics,
        )
        square = sc.jit(
            lambda a: sc.scan(lambda h, _: (a @ h, None), np.eye(3), None, length=STEPS)[0],
            threads=threads,
            numerics=numerics,
        )
        runs = {"symc": lambda f=line: f(0.9, x), "c": c_loops.ar1(c, 0.9, x)}
        yield Case(f"AR(1), {numerics}", runs, STEPS, "step", 1 / 1.2)
        runs = {"symc": lambda f=square: f(a), "c": c_loops.matrix(c, a, STEPS)}
        yield Case(f"3x3 recurrence, {numerics}", runs, STEPS, "step", 1 / 1.5)


def _small(threads: int) -> Case:
    """Ten operations on vectors of four."""
    import symc as sc

    def step(h, x):
        a = h * 0.5 + x
        b = sc.maximum(a, -1.0) - h * h
        h = a / (1.0 + b * b)
        return h, h

    x = np.random.default_rng(0).standard_normal((SMALL, 4))
    f = sc.jit(lambda x: sc.scan(step, np.zeros(4), x)[1], threads=threads)
    runs = {"symc": lambda: f(x)}
    return Case("10 ops on 4-vectors", runs, SMALL, "step", limit=100e-9 * SMALL)


def cases(threads: int) -> Iterator[Case]:
    yield from _against_c(threads)
    yield _small(threads)
    for program in (*PROGRAMS, *ALGORITHMS):
        yield Case(program.name, program.runs(threads), program.steps, "step", 1.0, rounds=5)
