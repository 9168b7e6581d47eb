"""The network learns the licence text at a small size, and writes what it learnt."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

CHARACTERS = Path(__file__).parents[2] / "examples" / "characters.py"


@pytest.mark.parametrize("cell", ["tanh", "lstm"])
def test_characters_learns_at_a_small_size(cell: str) -> None:
    example = runpy.run_path(str(CHARACTERS))
    chosen = ["--cell", cell, "--epochs", "12", "--hidden", "64", "--length", "60"]
    losses, sample = example["main"](chosen)
    alphabet = example["load"]().alphabet
    codes = example["load"]().codes
    odds = np.bincount(codes) / len(codes)
    alone = -np.sum(odds * np.log(odds))  # what the frequencies of single characters give
    assert losses[0] > losses[-1]
    assert losses[-1] < alone - 0.3
    assert sample.startswith("PYTHON SOFTWARE ")
    assert len(sample) == len("PYTHON SOFTWARE ") + 60
    assert set(sample) <= set(alphabet)


def test_segments_follow_each_other() -> None:
    text = runpy.run_path(str(CHARACTERS))["load"]()
    first, second = text.segments()[:2]
    before, after = first
    assert before[1:].tolist() == after[:-1].tolist()
    assert second[0][0].tolist() == after[-1].tolist()
