"""Gradients of published problems from statistics and vision, against JAX and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case
from bench.peers import installed
from bench.problems.builders import BUILDERS
from bench.problems.registry import PROBLEMS

ROUNDS = 15


def cases(threads: int) -> Iterator[Case]:
    peers = [name for name in installed() if name in BUILDERS]
    for problem in PROBLEMS:
        for sizes in problem.sizes:
            steps = {name: BUILDERS[name](problem, sizes, threads) for name in ("symc", *peers)}
            title = ", ".join(f"{name}={size}" for name, size in sizes.items())
            notes = {"source": problem.source, "dtype": problem.dtype}
            yield Case(
                f"{problem.name}: {title}",
                steps,
                unit="gradient",
                target=1.0,
                rounds=ROUNDS,
                notes=notes,
            )
