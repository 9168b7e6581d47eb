"""Log-likelihood of a Gaussian mixture with full covariances and a Wishart prior.

Source: F. Srajer, Z. Kukelova, A. Fitzgibbon, "A benchmark of selected algorithmic differentiation
tools on some problems in computer vision and machine learning" (ADBench), 2018: n points in d
dimensions, k components; each inverse covariance factor is a lower triangle whose diagonal is kept
as logarithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem

WISHART_GAMMA, WISHART_M = 1.0, 0


def objective(xp: Any, params: Any, data: Any) -> Any:
    alphas, means, logs, lower = params  # [k], [k, d], [k, d], [k, d (d - 1) / 2]
    points, place, below, eye = data
    n, d = points.shape
    k = alphas.shape[0]
    # The triangle as a matrix: entry (i, j) of each factor stands at place[i, j] of `lower`.
    spread = xp.transpose(xp.take(xp.transpose(lower, 0, 1), place.reshape(-1)), 0, 1)
    diagonal = xp.exp(logs)
    factors = spread.reshape(k, d, d) * below + diagonal[:, :, None] * eye
    centred = points[None, :, :] - means[:, None, :]
    scaled = xp.einsum("knj,kij->kni", centred, factors)
    total = xp.sum(logs, axis=1)
    inner = (alphas + total)[:, None] - 0.5 * xp.sum(scaled * scaled, axis=2)
    fit = xp.sum(xp.logsumexp(inner, axis=0)) - n * xp.logsumexp(alphas, axis=0)
    squares = xp.sum(diagonal * diagonal) + xp.sum(lower * lower)
    prior = 0.5 * WISHART_GAMMA**2 * squares - WISHART_M * xp.sum(total)
    return fit - prior


def make(rng: np.random.Generator, n: int, d: int, k: int) -> tuple[Arrays, Arrays]:
    place = np.zeros((d, d), np.int64)
    rows, columns = np.tril_indices(d, -1)
    place[rows, columns] = np.arange(len(rows))
    params = (
        rng.normal(size=k),
        rng.uniform(size=(k, d)),
        rng.normal(size=(k, d)) * 0.5,
        rng.normal(size=(k, len(rows))) * 0.5,
    )
    return params, (rng.normal(size=(n, d)), place, np.tril(np.ones((d, d)), -1), np.eye(d))


PROBLEM = Problem(
    "Gaussian mixture",
    "ADBench, Srajer et al. 2018, GMM",
    objective,
    make,
    ({"n": 1000, "d": 10, "k": 5}, {"n": 1000, "d": 20, "k": 25}, {"n": 10000, "d": 32, "k": 50}),
    {"n": 7, "d": 3, "k": 2},
)
