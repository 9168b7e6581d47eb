"""The math library: every function once, against the builder protocol.

What it is: one door to the families.  Functions take a builder and lanes of f32 or f64 and give
lanes of the same dtype; the bits do not depend on the builder, the width or the target.
Accuracy: docs/math-library.md.
"""

from __future__ import annotations

from symc.scalar.exponential import exp, exp2, expm1
from symc.scalar.hyperbolic import sigmoid, tanh
from symc.scalar.logarithm import log, log1p, log2, log10
from symc.scalar.power import pow
from symc.scalar.softplus import softplus
from symc.scalar.trigonometric import cos, sin

__all__ = [
    "cos",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "pow",
    "sigmoid",
    "sin",
    "softplus",
    "tanh",
]
