"""Bayesian logistic regression: gradient, and Hessian-vector product.

Source: M. Hoffman, A. Gelman, "The No-U-Turn Sampler", JMLR 15, 2014 (German credit: 1,000
applicants, 24 predictors; with all two-way interactions, 300); D. Phan et al., "Composable effects
for flexible and accelerated probabilistic programming in NumPyro", 2019 (CoverType: 581,012 cells,
54 predictors).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem

PRIOR_VARIANCE = 100.0


def objective(xp: Any, params: Any, data: Any) -> Any:
    bias, weights = params
    x, sign = data
    margin = sign * (x @ weights + bias)
    prior = (bias * bias + xp.sum(weights * weights)) / (2 * PRIOR_VARIANCE)
    return xp.sum(xp.softplus(-margin)) + prior


def make(rng: np.random.Generator, n: int, d: int) -> tuple[Arrays, Arrays]:
    params = (np.asarray(0.1 * rng.normal()), 0.3 * rng.normal(size=d))
    return params, (rng.normal(size=(n, d)), np.sign(rng.normal(size=n)))


PROBLEM = Problem(
    "logistic regression",
    "Hoffman and Gelman 2014; Phan et al. 2019",
    objective,
    make,
    ({"n": 1000, "d": 24}, {"n": 1000, "d": 300}, {"n": 581012, "d": 54}),
    {"n": 9, "d": 4},
)
CURVED = replace(PROBLEM, name="logistic regression, Hessian-vector product", along=True)
