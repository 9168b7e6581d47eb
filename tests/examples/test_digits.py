"""The demo at a small size: all three models learn, and the curves are drawn."""

from __future__ import annotations

import runpy
from pathlib import Path

DIGITS = Path(__file__).parents[2] / "examples" / "digits.py"


def test_digits_learns_at_a_small_size(tmp_path: Path) -> None:
    demo = runpy.run_path(str(DIGITS))
    accuracies = demo["main"](["--epochs-scale", "0.05", "--out", str(tmp_path)])
    assert len(accuracies) == 3
    assert min(accuracies.values()) >= 0.85, accuracies
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
