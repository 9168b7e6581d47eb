"""Fifty batch sizes through one jitted function: two compiles, whatever comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.case import Case, Run
from bench.peers import installed

SIZES = range(1, 51)
MOST = 2


def predict(np_like: Any) -> Callable[[Any, Any], Any]:
    return lambda x, w: np_like.tanh(x @ w)


def symc_run(batches: list[np.ndarray], weights: np.ndarray, threads: int) -> int:
    """How many programs were compiled."""
    import symc as sc

    f = sc.jit(predict(sc), threads=threads, cache=False)
    for batch in batches:
        f(batch, weights)
    if f.compiles > MOST:
        raise AssertionError(f"{f.compiles} compiles over {len(batches)} sizes, at most {MOST}")
    return int(f.compiles)


def cases(threads: int) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((size, 64)).astype(np.float32) for size in SIZES]
    weights = rng.standard_normal((64, 10)).astype(np.float32)
    runs: dict[str, Run] = {"symc": lambda: symc_run(batches, weights, threads)}
    if "jax" in installed():
        import jax

        def theirs() -> None:
            f = jax.jit(predict(jax.numpy))
            for batch in batches:
                f(batch, weights).block_until_ready()

        runs["jax"] = theirs
    notes = {"compiles": str(symc_run(batches, weights, threads))}
    yield Case("50 batch sizes", runs, len(batches), "size", notes=notes, rounds=3)
