"""All problems: every one is timed and reported, and compared with complex steps."""

from __future__ import annotations

from bench.problems import (
    bundle,
    factors,
    hierarchy,
    logistic,
    lstm,
    mixture,
    volatility,
)

PROBLEMS = (
    mixture.PROBLEM,
    bundle.PROBLEM,
    logistic.PROBLEM,
    logistic.CURVED,
    hierarchy.PROBLEM,
    volatility.PROBLEM,
    factors.PROBLEM,
    lstm.PROBLEM,
)
