"""Points at which the math library is tested, and reference values from mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

from symc.scalar import math

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
FLOATS = (F32, F64)

# Functions of one argument, with references of unlimited precision.
REFERENCES: dict[str, Callable[[Any], Any]] = {
    "cos": mp.cos,
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": mp.log10,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "sin": mp.sin,
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "tanh": mp.tanh,
}
POSITIVE = {"log", "log2", "log10"}
# Bounds of docs/math-library.md, in units in the last place.
BOUNDS = dict.fromkeys(REFERENCES, (1.0, 1.0)) | {
    "sigmoid": (1.0, 1.5),
    "softplus": (1.0, 1.5),
    "tanh": (1.0, 1.5),
    "pow": (1.0, 1.0),
}
FUNCTIONS = {name: getattr(math, name) for name in REFERENCES}


def specials(dtype: np.dtype) -> np.ndarray:
    """Zeros, ones, limits, and the seams of the library's case distinctions."""
    info = np.finfo(dtype)
    seams = [
        0.9,
        0.65,
        0.25,
        0.5,
        0.75,
        1.5,
        2 / 3,
        0.5**0.5,
        2**0.5,
        1e5,
        2.0**28,
        88.0,
        709.0,
        17.33,
        38.0,
    ]
    ends = [
        87.3,
        708.3,
        43 / 64,
        43 / 32,
        88.7228,
        88.7229,
        103.9,
        104.5,
        709.782,
        709.783,
        745.1,
        746.5,
        1024.0,
        1075.0,
        128.0,
    ]
    sizes = [info.max, info.tiny, info.smallest_subnormal, info.tiny * 0.75, info.eps, np.inf, 0.0]
    angles = [np.pi * k / 4 for k in range(1, 12)] + [np.pi * 1e4, 1e22, 2.0**100, 2.0**120 * 1.3]
    with np.errstate(over="ignore"):
        values = np.array([1.0, 2.0, 3.0, *seams, *ends, *sizes, *angles], np.float64).astype(dtype)
        around = np.concatenate(
            [values, np.nextafter(values, dtype.type(0)), np.nextafter(values, dtype.type(np.inf))]
        )
    return np.concatenate([around, -around, np.array([np.nan], dtype)])


def stratified(dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Random points: every binade alike, then ordinary sizes, both signs."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    exponents = rng.integers(info.minexp - 5, info.maxexp, count // 4)
    wide = np.ldexp(rng.uniform(1, 2, count // 4), exponents)
    usual = [rng.standard_normal(count // 4) * size for size in (0.5, 3.0, 40.0)]
    points = np.concatenate([wide, *usual]).astype(dtype)
    return points * rng.choice(np.array([-1, 1], dtype), len(points))


def ulps(got: np.ndarray, want: list[Any]) -> np.ndarray:
    """|got - want| in units in the last place of `want`; infinity where only one is finite."""
    with mp.workprec(200):
        return np.array(_ulps(got, want))


def _ulps(got: np.ndarray, want: list[Any]) -> list[float]:
    info = np.finfo(got.dtype)
    errors = []
    for value, exact in zip(got.tolist(), want, strict=True):
        limit = mp.mpf(2) ** info.maxexp
        if np.isnan(value) or not mp.isfinite(exact):
            errors.append(0.0 if _same(value, exact) else float("inf"))
            continue
        # Rounding to infinity is right from half a unit below the limit.
        value, exact = (mp.sign(v) * min(abs(mp.mpf(v)), limit) for v in (value, exact))
        exponent = max(mp.frexp(exact)[1], info.minexp + 1)
        unit = mp.ldexp(1, exponent - info.nmant - 1)
        errors.append(float(abs(value - exact) / unit))
    return errors


def _same(value: float, exact: Any) -> bool:
    return bool(np.isnan(value) and mp.isnan(exact)) or value == exact
