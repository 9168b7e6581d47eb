"""The math library: every function once, against the builder protocol.

What it is: one door to the families.  Functions take a builder and lanes of f32 or f64 and give
lanes of the same dtype; the bits do not depend on the builder, the width or the target.
Accuracy: docs/math-library.md.
"""

from __future__ import annotations

from symc.scalar.exponential import exp
from symc.scalar.hyperbolic import tanh

__all__ = ["exp", "tanh"]
