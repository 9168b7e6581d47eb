"""One elementwise expression, row softmax, and a sum of squares on large float32 arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.case import Case
from bench.peers import installed

N = 4_000_000


def _expression(np_like: Any) -> Callable[[Any, Any], Any]:
    def f(x: Any, y: Any) -> Any:
        return np_like.tanh(x) * y + np_like.exp(-x * x) * np_like.log1p(y) - np_like.sqrt(x)

    return f


def _softmax(np_like: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        e = np_like.exp(x - np_like.max(x, axis=1, keepdims=True))
        return e / np_like.sum(e, axis=1, keepdims=True)

    return f


def _squares(np_like: Any) -> Callable[[Any], Any]:
    return lambda x: np_like.sum(x * x)


def _candidates(
    make: Callable[[Any], Callable[..., Any]], data: tuple[np.ndarray, ...], threads: int
) -> dict[str, Callable[[], object]]:
    import symc as sc

    ours = sc.jit(make(sc), threads=threads)
    mine = make(np)
    found: dict[str, Callable[[], object]] = {
        "symc": lambda: ours(*data),
        "numpy": lambda: mine(*data),
    }
    if "jax" in installed():
        import jax
        import jax.numpy as jnp

        theirs = jax.jit(make(jnp))
        arrays = [jnp.array(a) for a in data]
        found["jax"] = lambda: theirs(*arrays).block_until_ready()
    return found


def cases(threads: int) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.1, 3.0, N).astype(np.float32) for _ in range(2))
    rows = rng.standard_normal((2000, 1000)).astype(np.float32)
    yield Case(
        "tanh(x)*y + exp(-x*x)*log1p(y) - sqrt(x), 4M f32",
        _candidates(_expression, (x, y), threads),
        N,
        "element",
        target=2.0 if threads == 1 else None,
    )
    yield Case(
        "row softmax f32[2000,1000]",
        _candidates(_softmax, (rows,), threads),
        rows.size,
        "element",
        1.0,
    )
    yield Case(
        "sum of squares, 4M f32", _candidates(_squares, (x,), threads), N, "element", 1 / 1.1
    )
