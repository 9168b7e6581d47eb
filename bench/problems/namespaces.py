"""The few array functions in which the problems are written, for each system.

NumPy's also takes complex numbers, for derivatives by complex steps.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

NAMES = ("exp", "log", "sqrt", "sin", "cos", "tanh", "where", "sum", "stack", "concat", "einsum")


def numpy_namespace() -> SimpleNamespace:
    def logsumexp(x: Any, axis: int) -> Any:
        largest = np.max(x.real, axis=axis, keepdims=True)
        return np.squeeze(largest, axis) + np.log(np.sum(np.exp(x - largest), axis=axis))

    found = {name: getattr(np, name) for name in NAMES}
    found |= {
        "take": lambda x, i: x[i],
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "softplus": lambda x: np.where(x.real > 0, x, 0) + np.log1p(np.exp(-_far(x))),
        "logsumexp": logsumexp,
        "transpose": np.swapaxes,
    }
    return SimpleNamespace(**found)


def _far(x: Any) -> Any:
    """|x| with the sign taken from the real part, so that it is analytic on each side."""
    return np.where(x.real > 0, x, -x)


def symc_namespace() -> SimpleNamespace:
    import symc as sc

    found = {name: getattr(sc, name) for name in (*NAMES, "sigmoid", "softplus", "logsumexp")}
    return SimpleNamespace(**found, take=lambda x, i: sc.take(x, i, axis=0), transpose=sc.swapaxes)


def jax_namespace() -> SimpleNamespace:
    import jax
    import jax.numpy as jnp

    found = {name: getattr(jnp, name) for name in NAMES}
    found |= {"sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus}
    found |= {"logsumexp": jax.nn.logsumexp, "transpose": jnp.swapaxes}
    return SimpleNamespace(**found, take=lambda x, i: x[i])


def torch_namespace() -> SimpleNamespace:
    import torch

    found = {name: getattr(torch, name) for name in NAMES}
    found |= {"sigmoid": torch.sigmoid, "softplus": torch.nn.functional.softplus}
    found |= {"logsumexp": torch.logsumexp, "transpose": torch.transpose}
    return SimpleNamespace(**found, take=lambda x, i: x[i])
