"""A problem's timed work in each system: compiled once, then one gradient per call.

A gradient, or a Hessian-vector product along fixed directions, as a user of that system would ask
for it: compiled where the system compiles, with data on its own arrays, and waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.problems.namespaces import jax_namespace, symc_namespace, torch_namespace
from bench.problems.problem import Arrays, Problem, Sizes

Step = Callable[[], Any]


def directions(params: Arrays) -> Arrays:
    """Directions of Hessian-vector products, one per parameter."""
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=p.shape).astype(p.dtype) for p in params)


def symc_step(problem: Problem, sizes: Sizes, threads: int) -> Step:
    """`sc.jit` of `sc.grad` or `sc.hvp`; parameters are arguments of each call."""
    import symc as sc

    xp = symc_namespace()
    params, data = problem.drawn(sizes, problem.dtype)

    def cost(params: Any, data: Any) -> Any:
        return problem.objective(xp, params, data)

    if problem.along:
        along = directions(params)

        @sc.jit(threads=threads)
        def curved(params: Any, along: Any, data: Any) -> Any:
            return sc.hvp(lambda p: cost(p, data), (params,), (along,))

        return lambda: curved(params, along, data)
    sloped = sc.jit(sc.grad(cost), threads=threads)
    return lambda: sloped(params, data)


def jax_step(problem: Problem, sizes: Sizes, threads: int) -> Step:
    """`jax.jit` of `jax.grad`, or of its `jax.jvp`."""
    import jax

    jax.config.update("jax_enable_x64", True)
    xp = jax_namespace()
    params, data = jax.tree.map(jax.numpy.asarray, problem.drawn(sizes, problem.dtype))

    def cost(params: Any, data: Any) -> Any:
        return problem.objective(xp, params, data)

    if problem.along:
        along = jax.tree.map(jax.numpy.asarray, directions(params))
        curved = jax.jit(lambda p, v, d: jax.jvp(lambda q: jax.grad(cost)(q, d), (p,), (v,))[1])
        return lambda: jax.block_until_ready(curved(params, along, data))
    sloped = jax.jit(jax.grad(cost))
    return lambda: jax.block_until_ready(sloped(params, data))


def torch_step(problem: Problem, sizes: Sizes, threads: int) -> Step:
    """Eager autograd; a Hessian-vector product by differentiating twice."""
    import torch

    torch.set_num_threads(threads)
    xp = torch_namespace()
    drawn, given = problem.drawn(sizes, problem.dtype)
    params = tuple(torch.from_numpy(p.copy()).requires_grad_() for p in drawn)
    data = tuple(map(torch.from_numpy, given))
    along = tuple(map(torch.from_numpy, directions(drawn)))

    def step() -> object:
        value = problem.objective(xp, params, data)
        slopes = torch.autograd.grad(value, params, create_graph=problem.along)
        return torch.autograd.grad(slopes, params, along) if problem.along else slopes

    return step


BUILDERS: dict[str, Callable[[Problem, Sizes, int], Step]] = {
    "symc": symc_step,
    "jax": jax_step,
    "torch": torch_step,
}
