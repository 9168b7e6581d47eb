"""Conjugate gradients at a small size: SciPy's answers, and a classifier that works."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "conjugate_gradient.py"


def test_answers_are_those_of_scipy() -> None:
    accuracy, apart = runpy.run_path(str(EXAMPLE))["main"](["--images", "200"])
    assert accuracy >= 0.9
    assert apart < 1e-4


def test_each_system_stops_when_it_is_solved() -> None:
    example = runpy.run_path(str(EXAMPLE))
    matrix = np.diag(np.arange(1.0, 21.0))
    targets = np.zeros((3, 20))
    targets[0, 0] = targets[1, :2] = targets[2, :5] = 1.0
    found, steps = example["solve"](matrix, targets, 1e-10)
    assert steps.tolist() == [1, 2, 5]
    np.testing.assert_allclose(found, targets / np.arange(1.0, 21.0), atol=1e-9)
    loops = example["solve"].explain().loops
    assert [loop.kind for loop in loops] == ["while"]
