"""Programs that are long to compile: `python -m bench.compiling [KIND ...]`, each from nothing.

Prints, for each kind, nodes of the traced program, seconds to build and differentiate it and to
compile it, and the stages of the compilation in ms.  With one kind it is what a fresh process does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import symc as sc
from bench import deep

Program = tuple[list[Any], list[Any]]  # inputs, outputs


def chain(length: int = 1000) -> Program:
    """Elementwise operations one after the other, and the slope."""
    x = sc.var("x", "f64[n]")
    total = sc.sum(deep.chain(x, deep.in_turn(length)))
    return [x], [total, sc.grad(total, x)]


def layers(depth: int = 60, width: int = 32) -> Program:
    """A perceptron of many layers and the gradient of its loss."""
    x = sc.var("x", f"f32[batch,{width}]")
    weights = [sc.var(f"w{i}", f"f32[{width},{width}]") for i in range(depth)]
    biases = [sc.var(f"b{i}", f"f32[{width}]") for i in range(depth)]
    h = x
    for w, b in zip(weights, biases, strict=True):
        h = sc.tanh(h @ w + b)
    loss = sc.mean(h * h)
    parameters = [*weights, *biases]
    return [x, *parameters], [loss, *sc.grad(loss, parameters)]


def wide(count: int = 200) -> Program:
    """Many small products side by side, combined by pairs, and the gradient."""
    x = sc.var("x", "f64[8,8]")
    weights = [sc.var(f"w{i}", "f64[8,8]") for i in range(count)]
    level = [sc.tanh(x @ w) for w in weights]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        rest = level[len(level) // 2 * 2 :]
        level = [a * b + a for a, b in pairs] + rest
    total = sc.sum(level[0])
    return [x, *weights], [total, *sc.grad(total, weights)]


def scalars(count: int = 2000) -> Program:
    """Arithmetic of single numbers, each from two earlier ones."""
    rng = np.random.default_rng(0)
    inputs = [sc.var(f"x{i}", "f64") for i in range(16)]
    values: list[Any] = list(inputs)
    forms = (lambda a, b: a * b, lambda a, b: a + b, lambda a, b: sc.sin(a) - b)
    for number in range(count):
        a, b = rng.integers(max(0, len(values) - 50), len(values), 2)
        values.append(forms[number % len(forms)](values[a], values[b]))
    return inputs, [sum(values[-50:])]


KINDS: dict[str, Callable[[], Program]] = {
    "chain": chain,
    "layers": layers,
    "wide": wide,
    "scalars": scalars,
}


def compile_one(kind: str) -> tuple[sc.Function, float]:
    """The compiled program and the seconds that it took to compile."""
    inputs, outputs = KINDS[kind]()
    start = time.perf_counter()
    f = sc.function(inputs, outputs, cache=False, on_unused_input="ignore")
    return f, time.perf_counter() - start


def main() -> None:
    for kind in sys.argv[1:] or KINDS:
        start = time.perf_counter()
        f, compiling = compile_one(kind)
        building = time.perf_counter() - start - compiling
        timings = f.explain().timings
        nodes = timings[0].nodes_before
        print(f"{kind}: {nodes} nodes, built in {building:.2f} s, compiled in {compiling:.2f} s")
        print("  " + "  ".join(f"{t.stage} {t.milliseconds:.0f}" for t in timings))


if __name__ == "__main__":
    main()
