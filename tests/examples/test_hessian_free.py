"""Hessian-free steps at a small size: the loss falls, and a product costs two loops."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "hessian_free.py"


def test_hessian_free_learns_at_a_small_size() -> None:
    example = runpy.run_path(str(EXAMPLE))
    curved, plain = example["main"](["--images", "250", "--hidden", "16", "--steps", "12"])
    assert curved.losses == sorted(curved.losses, reverse=True)
    assert curved.losses[-1] < 0.3 * curved.losses[0]
    assert curved.accuracy > 0.6
    assert np.isfinite(plain.losses[-1])
    loops = example["hessian_free"].explain().loops
    (number,) = [i for i, loop in enumerate(loops) if loop.kind == "while"]
    # Conjugate gradients: value and tangent together, and the adjoint.
    inner = [loop for loop in loops if loop.inside == number]
    assert [loop.reverse for loop in inner] == [False, True]
