"""Figure 2 of Theano's 2012 paper: training a recurrent network, elements per second."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case
from bench.peers import installed
from bench.recurrent import BUILDERS, STEPS

TARGETS = {
    1: {16: 4.0, 64: 4.0, 128: 1.8, 256: 1.6, 512: 1.3},
    2: {16: 4.0, 64: 4.0, 128: 2.5, 256: 2.5, 512: 2.0},
}


def cases(threads: int) -> Iterator[Case]:
    peers = [name for name in installed() if name in BUILDERS]
    for n in (16, 64, 128, 256, 512):
        steps = {name: BUILDERS[name](n, threads) for name in ("symc", *peers)}
        target = TARGETS[min(threads, 2)][n]
        yield Case(f"recurrent network, N = {n}", steps, STEPS, "element", target, rounds=15)
