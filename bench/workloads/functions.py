"""Elementary functions on 50,000 ordinary numbers, f32 and f64: time per element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.case import Case
from bench.peers import installed

N = 50_000
FUNCTIONS = (
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10"),
    *("tanh", "sigmoid", "softplus", "sin", "cos"),
)
POSITIVE = ("log", "log2", "log10")


def numbers(name: str, dtype: type) -> np.ndarray:
    """Numbers none of which is special for the function."""
    low = 0.01 if name in POSITIVE else -0.9 if name == "log1p" else -4.0
    return np.random.default_rng(0).uniform(low, 4.0, N).astype(dtype)


def _numpy(name: str) -> Callable[[np.ndarray], np.ndarray]:
    if name == "sigmoid":
        return lambda x: 1 / (1 + np.exp(-x))
    if name == "softplus":
        return lambda x: np.logaddexp(x, x.dtype.type(0))
    found: Callable[[np.ndarray], np.ndarray] = getattr(np, name)
    return found


def _jax(name: str, x: np.ndarray) -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    inner: Any = getattr(jnp, name, None) or getattr(jax.nn, name)
    function, array = jax.jit(inner), jnp.array(x)
    return lambda: function(array).block_until_ready()


def cases(threads: int) -> Iterator[Case]:
    import symc as sc

    for dtype, label in ((np.float32, "f32"), (np.float64, "f64")):
        for name in FUNCTIONS:
            x = numbers(name, dtype)
            ours, theirs = sc.jit(getattr(sc, name), threads=threads), _numpy(name)
            candidates: dict[str, Callable[[], object]] = {
                "symc": lambda f=ours, x=x: f(x),
                "numpy": lambda f=theirs, x=x: f(x),
            }
            if "jax" in installed():
                candidates["jax"] = _jax(name, x)
            yield Case(f"{name}, 50k {label}", candidates, N, "element", rounds=4)
