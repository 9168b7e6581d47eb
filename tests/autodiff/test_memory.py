"""What gradients cost: operations, and the peak of the workspace in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symc as sc

STEPS = (
    sc.tanh,
    lambda y: y * 0.9,
    lambda y: y + 0.1,
    sc.sin,
    lambda y: 0.3 - y,
    sc.sigmoid,
    lambda y: y * y,
    lambda y: sc.maximum(y, -0.5),
)
# Steps whose derivative reads a value of the forward run.
READING = 5


def network(weights: Sequence[Any], x: Any) -> Any:
    for w in weights[:-1]:
        x = sc.tanh(x @ w)
    return sc.sum((x @ weights[-1]) ** 2)


def chain(x: Any, length: int = 200) -> Any:
    for i in range(length):
        x = STEPS[i % len(STEPS)](x)
    return sc.sum(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "width", "layers"), [(64, 64, 8), (16, 128, 3), (128, 64, 1)])
def test_a_network_stores_its_activations(rows: int, width: int, layers: int, dtype: type) -> None:
    """One array per hidden layer, the last layer's result, and one cotangent beside them."""
    rng = np.random.default_rng(0)
    weights = [(rng.normal(size=(width, width)) / 8).astype(dtype) for _ in range(layers)]
    x = rng.normal(size=(rows, width)).astype(dtype)
    f, g = sc.jit(network), sc.jit(sc.grad(network))
    f(weights, x), g(weights, x)
    unit = rows * width * np.dtype(dtype).itemsize
    activations = layers - 1
    assert f.cost().workspace <= 2 * unit
    assert g.cost().workspace <= (activations + 2) * unit
    if layers > 1:
        assert g.cost().workspace >= activations * unit
    # The function takes one product per layer, its gradient at most three.
    assert g.cost().flops <= 3.1 * f.cost().flops


def test_a_network_with_symbolic_rows_and_updates_in_place() -> None:
    """Weights are updated as soon as their cotangents are there, not all at the end."""
    layers, width, rows = 12, 32, 256
    rng = np.random.default_rng(0)
    weights = [sc.shared(rng.normal(size=(width, width)) / 6) for _ in range(layers)]
    x = sc.var("x", "f64[batch,32]")
    cost = network(weights, x)
    updates = {w: w - 0.01 * g for w, g in zip(weights, sc.grad(cost, weights), strict=True)}
    step = sc.function([x], cost, updates=updates)
    unit = rows * width * 8
    # Activations, a cotangent, the next one, and the partial sums of the loss.
    assert step.cost(batch=rows).workspace <= (layers + 2) * unit
    before = step(rng.normal(size=(rows, width)))
    assert np.isfinite(before)


@pytest.mark.parametrize("order", [1, 2])
def test_a_chain_stores_what_its_derivatives_read(order: int) -> None:
    x = np.linspace(-1, 1, 4096)
    function: Any = chain
    for _ in range(order - 1):
        inner = sc.grad(function)
        function = lambda x, inner=inner: sc.sum(inner(x))  # noqa: E731
    g = sc.jit(sc.grad(function))
    g(x)
    values = 200 * READING // len(STEPS)
    if order == 1:
        assert g.cost().workspace <= values * x.nbytes
    # Each further order reads the values of the one before: three times as many at most.
    assert g.cost().workspace <= values * x.nbytes * 3 ** (order - 1)
    assert g.cost().flops <= 4**order * sc_flops(x)


def sc_flops(x: np.ndarray) -> int:
    f = sc.jit(chain)
    f(x)
    found: int = f.cost().flops
    return found


def test_a_scalar_of_one_kernel_needs_no_workspace() -> None:
    """A short chain and its gradient is one pass over the data."""
    x = np.linspace(-1, 1, 4096)
    g = sc.jit(sc.grad(lambda x: sc.sum(sc.tanh(sc.sin(x) * x) * 0.5)))
    g(x)
    assert g.cost().workspace == 0


def test_checkpointed_chain_of_blocks() -> None:
    """One value per block, and those of the two blocks that one kernel meets."""
    x = np.linspace(-1, 1, 4096)

    def loss(block: Any) -> Any:
        def total(x: Any) -> Any:
            for _ in range(10):
                x = block(x)
            return sc.sum(x)

        return total

    def block(x: Any) -> Any:
        for i in range(40):
            x = STEPS[i % len(STEPS)](x)
        return x

    plain, saving = sc.jit(sc.grad(loss(block))), sc.jit(sc.grad(loss(sc.checkpoint(block))))
    np.testing.assert_array_equal(plain(x), saving(x))
    assert plain.cost().workspace <= 400 * READING // len(STEPS) * x.nbytes
    assert saving.cost().workspace <= (10 + 2 * 40 * READING // len(STEPS)) * x.nbytes
