"""How far results may be from exact ones: units in the last place, and what inputs imply."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
import numpy as np

from passes.exact import exactly
from symc.ir.core import Function
from symc.ir.types import F64

# R2.1-4: the listed points, and 1 and -1 beside them.
POINTS = [-800.0, -40.0, -1.0, -1e-20, 0.0, 1e-20, 1.0, 40.0, 800.0]
MOST_ULP = 8

# Rows whose result is a difference of the inputs, or an exponential of one: rounding that
# difference moves the result as a change of the inputs by a unit or two would.
DIFFERENCES = frozenset(
    "log_of_exp_over log_of_over_exp log_of_exp_times log_of_sigmoid_over log_of_sum_over "
    "less_shift_first log_of_sum_of_exp log_of_two_exps exp_over_sum_of_two "
    "exp_over_sum_of_exp exp_times_reciprocal_of_sum log_of_expm1 log_of_square "
    "log_of_sum_of_exp_over log_of_weighted_sum_of_exp log_of_weighted_sum_of_exp_over "
    "log_of_sum_that_grows exp_over_sum_that_grows log_of_product_that_grows "
    "log_of_quotient_that_grows log_of_quotient_by_what_grows".split()
)


def assert_accurate(
    got: np.ndarray, wanted: np.ndarray, slack: np.ndarray | None = None, ulps: float = MOST_ULP
) -> None:
    """At most 8 units in the last place of each exact result, and `slack` beside them."""
    for index in np.ndindex(got.shape):
        allowed = float(slack[index]) if slack is not None else 0.0
        distance = ulps_between(got[index], wanted[index], allowed)
        assert distance <= ulps, (index, float(got[index]), wanted[index], distance)


def ulps_between(got: np.floating, exact: mpmath.mpf, allowed: float = 0.0) -> float:
    """Units in the last place of `exact` by which `got` misses it, `allowed` left out."""
    limits = np.finfo(got.dtype)
    result = float(got)
    if mpmath.isnan(exact):
        return 0.0 if np.isnan(result) else np.inf
    if abs(exact) > float(limits.max):
        large = abs(result) >= float(limits.max) * (1 - 8 * float(limits.eps))
        return 0.0 if large and np.sign(result) == mpmath.sign(exact) else np.inf
    if not np.isfinite(result):
        return np.inf
    ulp = max(float(np.spacing(got.dtype.type(abs(exact)))), float(limits.smallest_subnormal))
    return max(0.0, float(abs(mpmath.mpf(result) - exact)) - allowed) / ulp


def slack_of(function: Function, inputs: Sequence[np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """How far the exact result moves when an input moves by two units of the largest one."""
    total = np.zeros(wanted.shape)
    floats = [x for x in inputs if x.dtype.kind == "f"]
    size = max(float(np.abs(x).max(initial=0)) for x in floats)
    least = [function.results[0].type.dtype, *(x.dtype for x in floats)]
    eps = max(float(np.finfo(dtype).eps) for dtype in least)
    for number, array in enumerate(inputs):
        if array.dtype.kind != "f":
            continue
        moved = list(inputs)
        moved[number] = array.astype(F64) + 2 * eps * size
        for index, x in np.ndenumerate(exactly(function, moved)[0]):
            step = abs(x - wanted[index])
            total[index] = max(total[index], float(step) if mpmath.isfinite(step) else 0.0)
    return total
