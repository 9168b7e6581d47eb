"""Probabilistic matrix factorisation of ratings: rows gathered, gradients scattered.

Source: R. Salakhutdinov, A. Mnih, "Probabilistic matrix factorization", NIPS 2007 (30 features),
at the sizes of MovieLens 100K and 1M (F. Harper, J. Konstan, 2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem

PENALTY = 0.01


def objective(xp: Any, params: Any, data: Any) -> Any:
    users, films = params
    user_of, film_of, ratings = data
    dots = xp.sum(xp.take(users, user_of) * xp.take(films, film_of), axis=1)
    missed = ratings - xp.sigmoid(dots)
    penalty = xp.sum(users * users) + xp.sum(films * films)
    return 0.5 * (xp.sum(missed * missed) + PENALTY * penalty)


def make(
    rng: np.random.Generator, users: int, films: int, ratings: int, features: int
) -> tuple[Arrays, Arrays]:
    params = (0.3 * rng.normal(size=(users, features)), 0.3 * rng.normal(size=(films, features)))
    seen = (rng.integers(0, users, ratings), rng.integers(0, films, ratings))
    return params, (*seen, rng.integers(0, 5, ratings) / 4)


PROBLEM = Problem(
    "matrix factorisation",
    "Salakhutdinov and Mnih 2007, MovieLens",
    objective,
    make,
    (
        {"users": 943, "films": 1682, "ratings": 100_000, "features": 30},
        {"users": 6040, "films": 3706, "ratings": 1_000_209, "features": 30},
    ),
    {"users": 3, "films": 4, "ratings": 11, "features": 2},
    dtype="float32",
)
