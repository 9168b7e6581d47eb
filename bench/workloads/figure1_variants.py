"""Figure 1 with other sizes, activations and updates, and through `jit`: none is special."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case
from bench.models import BUILDERS, Spec, symc_jit_step
from bench.peers import installed

VARIANTS = {
    "sizes 700-450-13": ((700, 450, 13), "tanh", 0.0, False),
    "sigmoid": ((784, 500, 10), "sigmoid", 0.0, False),
    "relu": ((784, 500, 10), "relu", 0.0, False),
    "momentum": ((784, 500, 10), "tanh", 0.9, False),
    "loss written by hand": ((784, 500, 10), "tanh", 0.0, True),
}


def cases(threads: int) -> Iterator[Case]:
    peers = [name for name in installed() if name in BUILDERS]
    for title, (sizes, activation, momentum, by_hand) in VARIANTS.items():
        for batch in (1, 10, 60):
            spec = Spec(sizes, batch, activation, momentum, by_hand)
            steps = {name: BUILDERS[name](spec, threads) for name in ("symc", *peers)}
            yield Case(f"{title}, batch {batch}", steps, batch, "example", 1.0)
    for batch in (1, 10, 60):
        spec = Spec((784, 500, 10), batch)
        steps = {name: BUILDERS[name](spec, threads) for name in peers}
        ours = {"symc": symc_jit_step(spec, threads)}
        yield Case(f"jit with pytrees, batch {batch}", ours | steps, batch, "example", 1.0)
