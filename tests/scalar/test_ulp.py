"""Errors of the math library, in units in the last place, against mpmath.

Run with `-s` to see the largest errors.  `SYMC_EXHAUSTIVE=16` adds a sweep of every sixteenth f32
bit pattern (20 s per function), `SYMC_EXHAUSTIVE=1` one of all.
"""

from __future__ import annotations

import functools
import os

import mpmath as mp
import numpy as np
import pytest

from scalar.lanes_jit import Case, Jit
from scalar.math_points import (
    BOUNDS,
    F32,
    F64,
    FLOATS,
    FUNCTIONS,
    POSITIVE,
    REFERENCES,
    specials,
    stratified,
    ulps,
)
from symc.scalar import math

# Known hard cases for the reduction modulo pi/2, f64 and f32 (near a multiple of pi/2).
HARD_ANGLES = (6381956970095103.0 * 2.0**797, 5.3762460700000e16, 16367173 * 2.0**72, 2.2e7)


@functools.cache
def jit() -> Jit:
    cases = [Case(name, FUNCTIONS[name], (d,), d, 8) for name in FUNCTIONS for d in FLOATS]
    return Jit([*cases, *(Case("pow", math.pow, (d, d), d, 8) for d in FLOATS)])


def evaluate(name: str, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    dtype = x.dtype
    function = FUNCTIONS.get(name, math.pow)
    return jit()(Case(name, function, (dtype,) * (1 + len(others)), dtype, 8), x, *others)


def report(name: str, dtype: np.dtype, errors: np.ndarray, x: np.ndarray) -> float:
    worst = int(np.argmax(errors))
    print(f"{name:9}{dtype!s:8} {errors[worst]:.4f} ULP at {x[worst]!r}")
    return float(errors[worst])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_is_within_the_promise(name: str, dtype: np.dtype) -> None:
    x = np.concatenate([specials(dtype), stratified(dtype, 1600, 11)])
    x = x[np.isfinite(x)]
    if name in POSITIVE:
        x = np.concatenate([np.abs(x), 1 + stratified(dtype, 400, 12) * dtype.type(1e-3)])
        x = x[x > 0]
    if name == "log1p":
        x = x[x > -1]
    if name in ("sin", "cos"):
        hard = [angle for angle in HARD_ANGLES if angle < float(np.finfo(dtype).max)]
        x = np.concatenate([x, np.array(hard, dtype)])
    with mp.workprec(150):
        want = [REFERENCES[name](mp.mpf(v)) for v in x.tolist()]
    assert report(name, dtype, ulps(evaluate(name, x), want), x) <= BOUNDS[name][dtype == F64]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pow_error_is_within_the_promise(dtype: np.dtype) -> None:
    rng = np.random.default_rng(13)
    wide = 80.0 if dtype == F32 else 600.0
    base = np.exp(np.concatenate([rng.uniform(-wide, wide, 600), rng.standard_normal(1200)]))
    near = 1 + rng.standard_normal(600) * 1e-3
    x = np.concatenate([base, near]).astype(dtype)
    reach = wide / np.maximum(np.abs(np.log(x.astype(np.float64))), 1e-6)
    y = (rng.uniform(-1.1, 1.1, len(x)) * reach).astype(dtype)
    with mp.workprec(200):
        want = [mp.power(mp.mpf(a), mp.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert report("pow", dtype, ulps(evaluate("pow", x, y), want), x) <= BOUNDS["pow"][dtype == F64]


REFERENCES_F64 = {
    "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}


STRIDE = int(os.environ.get("SYMC_EXHAUSTIVE", "0"))


@pytest.mark.skipif(not STRIDE, reason="set SYMC_EXHAUSTIVE=16, or 1 for all bit patterns")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_f32_sweep(name: str) -> None:
    """Every STRIDE-th f32 against NumPy's f64 functions (error below 2^-26 ULP of f32)."""
    reference = REFERENCES_F64.get(name) or getattr(np, name)
    worst, at = 0.0, np.float32(0)
    block = 2**22 * STRIDE
    for start in range(0, 2**32, block):
        patterns = np.arange(start + 5 % STRIDE, min(start + block, 2**32), STRIDE, dtype=np.int64)
        x = patterns.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            got = evaluate(name, x).astype(np.float64)
            want = reference(x.astype(np.float64))
            rounded = want.astype(np.float32)
            exponent = np.maximum(np.frexp(np.abs(want))[1], -125)
            errors = np.abs(got - want) * np.ldexp(1.0, 24 - exponent)
        outside = ~np.isfinite(rounded)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded)) | (np.isinf(rounded))
        assert same[outside].all()
        errors[outside] = 0
        place = int(np.argmax(errors))
        if errors[place] > worst:
            worst, at = float(errors[place]), x[place]
    print(f"{name:9} sweep {worst:.4f} ULP at {at!r}")
    assert worst <= BOUNDS[name][0]
