"""Stochastic volatility: returns whose log-variance is an autoregression.

Source: S. Kim, N. Shephard, S. Chib, "Stochastic volatility: likelihood inference and comparison
with ARCH models", Review of Economic Studies 65, 1998 (945 daily pound/dollar returns); the larger
size is the 3,000 days of Hoffman and Gelman, JMLR 15, 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem


def objective(xp: Any, params: Any, data: Any) -> Any:
    level, shape, log_scale, h = params  # mean of h, its persistence tanh(shape), log deviation
    (returns,) = data
    persistence = xp.tanh(shape)
    precision = xp.exp(-2 * log_scale)
    centred = h - level
    steps = centred[1:] - persistence * centred[:-1]
    stationary = 1 - persistence * persistence
    prior = precision * (stationary * centred[0] * centred[0] + xp.sum(steps * steps))
    fit = xp.sum(h + returns * returns * xp.exp(-h))
    return 0.5 * (prior + fit - xp.log(stationary)) + h.shape[0] * log_scale


def make(rng: np.random.Generator, days: int) -> tuple[Arrays, Arrays]:
    start = (np.asarray(-0.5), np.asarray(1.5), np.asarray(-1.8), 0.3 * rng.normal(size=days))
    return start, (rng.normal(size=days),)


PROBLEM = Problem(
    "stochastic volatility",
    "Kim, Shephard and Chib 1998; Hoffman and Gelman 2014",
    objective,
    make,
    ({"days": 945}, {"days": 3000}),
    {"days": 6},
)
