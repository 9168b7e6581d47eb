"""Bundle adjustment: half the squared reprojection residuals of points seen by cameras.

Source: ADBench (Srajer, Kukelova, Fitzgibbon 2018), problem BA with the sizes of its first and
fourth data set: n cameras of 11 numbers (rotation vector, centre, focal length, principal point,
two radial distortions), m points, p observations, each with a weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem


def residuals(xp: Any, cameras: Any, points: Any, weights: Any, seen: Any) -> Any:
    """Weighted reprojection errors [p, 2] of cameras [p, 11] and points [p, 3] at `seen` [p, 2]."""
    rotation, centre = cameras[:, 0:3], cameras[:, 3:6]
    moved = rotate(xp, rotation, points - centre)
    plane = moved[:, 0:2] / moved[:, 2:3]
    radius = xp.sum(plane * plane, axis=1)
    distortion = 1 + cameras[:, 9] * radius + cameras[:, 10] * radius * radius
    projected = cameras[:, 6:7] * plane * distortion[:, None] + cameras[:, 7:9]
    return weights[:, None] * (projected - seen)


def rotate(xp: Any, rotation: Any, x: Any) -> Any:
    """Rodrigues' formula, with its first-order form at no rotation."""
    squared = xp.sum(rotation * rotation, axis=1)
    still = squared.real == 0 if hasattr(squared, "real") else squared == 0
    angle = xp.sqrt(xp.where(still, 1.0 + 0 * squared, squared))
    cosine, sine = xp.cos(angle), xp.sin(angle)
    axis = rotation / angle[:, None]
    along = xp.sum(axis * x, axis=1) * (1 - cosine)
    turned = x * cosine[:, None] + cross(xp, axis, x) * sine[:, None] + axis * along[:, None]
    return xp.where(still[:, None], x + cross(xp, rotation, x), turned)


def cross(xp: Any, a: Any, b: Any) -> Any:
    parts = [
        a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
        a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
        a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
    ]
    return xp.stack(parts, 1)


def objective(xp: Any, params: Any, data: Any) -> Any:
    cameras, points, weights = params
    camera_of, point_of, seen = data
    errors = residuals(xp, xp.take(cameras, camera_of), xp.take(points, point_of), weights, seen)
    slack = 1 - weights * weights
    return 0.5 * (xp.sum(errors * errors) + xp.sum(slack * slack))


def make(rng: np.random.Generator, n: int, m: int, p: int) -> tuple[Arrays, Arrays]:
    cameras = np.concatenate(
        [
            0.1 * rng.normal(size=(n, 3)),
            0.1 * rng.normal(size=(n, 3)) - [0, 0, 5],
            1 + 0.01 * rng.normal(size=(n, 1)),
            0.01 * rng.normal(size=(n, 4)),
        ],
        axis=1,
    )
    params = (cameras, rng.normal(size=(m, 3)), 1 + 0.1 * rng.normal(size=p))
    data = (rng.integers(0, n, p), rng.integers(0, m, p), 0.1 * rng.normal(size=(p, 2)))
    return params, data


PROBLEM = Problem(
    "bundle adjustment",
    "ADBench, Srajer et al. 2018, BA1 and BA4",
    objective,
    make,
    ({"n": 49, "m": 7776, "p": 31843}, {"n": 372, "m": 47423, "p": 204472}),
    {"n": 3, "m": 4, "p": 9},
)
