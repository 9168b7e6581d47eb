"""What a gradient costs beside its function: at most four times, for scalar functions.

Rows: a multilayer perceptron at several sizes, and a chain of 200 elementwise operations.  The
notes give the ratio of times and the peak workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bench.case import Case

# The reverse of "at most 4 times": the function takes at least a quarter of the gradient's time.
TARGET = 0.25
LAYERS = ((10, 256, 4), (64, 64, 8), (128, 512, 4), (1024, 256, 3))  # rows, width, layers
LENGTHS = (100, 10_000, 1_000_000)
OPERATIONS = 200


def network(sc: Any) -> Callable[..., Any]:
    def loss(weights: Sequence[Any], x: Any, y: Any) -> Any:
        for w in weights[:-1]:
            x = sc.tanh(x @ w)
        return sc.mean((x @ weights[-1] - y) ** 2)

    return loss


def chain(sc: Any) -> Callable[..., Any]:
    """Four transcendental functions, two products and two sums in turn."""
    steps = (
        sc.tanh,
        lambda y: y * 0.9,
        lambda y: y + 0.1,
        sc.sin,
        lambda y: 0.3 - y,
        sc.sigmoid,
        lambda y: y * y,
        sc.exp,
    )

    def loss(x: Any) -> Any:
        for i in range(OPERATIONS):
            x = steps[i % len(steps)](x)
        return sc.sum(x)

    return loss


def cases(threads: int) -> Iterator[Case]:
    import symc as sc

    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        short = np.dtype(dtype).name
        for rows, width, layers in LAYERS:
            weights = [
                (rng.normal(size=(width, width)) / np.sqrt(width)).astype(dtype)
                for _ in range(layers)
            ]
            x, y = (rng.normal(size=(rows, width)).astype(dtype) for _ in range(2))
            name = f"MLP {rows} x {width}, {layers} layers, {short}"
            yield _case(sc, name, network(sc), (weights, x, y), threads)
        for length in LENGTHS:
            x = rng.normal(size=length).astype(dtype)
            name = f"{OPERATIONS} operations on {length:,} elements, {short}"
            yield _case(sc, name, chain(sc), (x,), threads)


def _case(
    sc: Any, name: str, loss: Callable[..., Any], args: tuple[Any, ...], threads: int
) -> Case:
    function = sc.jit(loss, threads=threads)
    gradient = sc.jit(sc.grad(loss), threads=threads)
    function(*args), gradient(*args)
    return Case(
        f"gradient of {name}",
        {"symc": lambda: gradient(*args), "function": lambda: function(*args)},
        target=TARGET,
        notes={"workspace": f"{gradient.cost().workspace} bytes"},
    )
