"""The published problems of bench/problems: derivatives against complex steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bench.problems.builders import directions
from bench.problems.namespaces import numpy_namespace, symc_namespace
from bench.problems.problem import Problem
from bench.problems.registry import PROBLEMS

import symc as sc

STEP = 1e-30


def complex_slopes(value: Callable[[list[np.ndarray]], complex], at: list[np.ndarray]) -> list:
    """The gradient of an analytic function, one complex step per element: no subtraction."""
    found = []
    for number, array in enumerate(at):
        slope = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            moved = [x.astype(complex) for x in at]
            moved[number][place] += 1j * STEP
            slope[place] = value(moved).imag / STEP
        found.append(slope)
    return found


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_derivatives_against_complex_steps(problem: Problem) -> None:
    params, data = problem.drawn(problem.small, "float64")
    numpy, symbolic = numpy_namespace(), symc_namespace()

    def cost(params: tuple, data: tuple) -> object:
        return problem.objective(symbolic, params, data)

    golden = complex_slopes(lambda at: problem.objective(numpy, at, data), list(params))
    value, slopes = sc.jit(sc.value_and_grad(cost))(params, data)
    np.testing.assert_allclose(value, problem.objective(numpy, params, data), rtol=1e-12)
    for found, expected in zip(slopes, golden, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    along = directions(params)
    _, pushed = sc.jvp(lambda p: cost(p, data), (params,), (along,))
    inner = sum(float(np.sum(g * v)) for g, v in zip(golden, along, strict=True))
    np.testing.assert_allclose(pushed, inner, rtol=1e-10)


def test_hessian_products_against_complex_steps() -> None:
    """A Hessian-vector product is the complex step of the gradient along the vector."""
    (problem,) = [p for p in PROBLEMS if p.along]
    params, data = problem.drawn(problem.small, "float64")
    along = directions(params)
    symbolic = symc_namespace()
    x, sign = data
    found = sc.jit(lambda p, v: sc.hvp(lambda q: problem.objective(symbolic, q, data), (p,), (v,)))(
        params, along
    )
    bias, weights = (p + 1j * STEP * v for p, v in zip(params, along, strict=True))
    pull = -sign / (1 + np.exp(sign * (x @ weights + bias)))
    expected = ((pull.sum() + bias / 100).imag / STEP, (x.T @ pull + weights / 100).imag / STEP)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)
