"""Hierarchical logistic regression: the scale of the weights is inferred with them.

Source: M. Hoffman, A. Gelman, "The No-U-Turn Sampler", JMLR 15, 2014, HLR: German credit with all
two-way interactions, 1,000 applicants and 300 predictors, an exponential prior on the variance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem

RATE = 0.01


def objective(xp: Any, params: Any, data: Any) -> Any:
    bias, weights, log_variance = params
    x, sign = data
    variance = xp.exp(log_variance)
    fit = xp.sum(xp.softplus(-sign * (x @ weights + bias)))
    squares = bias * bias + xp.sum(weights * weights)
    prior = squares / (2 * variance) + 0.5 * (1 + weights.shape[0]) * log_variance
    return fit + prior + RATE * variance - log_variance


def make(rng: np.random.Generator, n: int, d: int) -> tuple[Arrays, Arrays]:
    params = (np.asarray(0.2), 0.1 * rng.normal(size=d), np.asarray(-1.0))
    return params, (rng.normal(size=(n, d)), np.sign(rng.normal(size=n)))


PROBLEM = Problem(
    "hierarchical logistic regression",
    "Hoffman and Gelman 2014, HLR",
    objective,
    make,
    ({"n": 1000, "d": 300},),
    {"n": 8, "d": 3},
)
