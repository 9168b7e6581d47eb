"""The scipy example finds what scikit-learn's own solver finds."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

LOGISTIC = Path(__file__).parents[2] / "examples" / "logistic.py"


def test_trust_ncg_agrees_with_scikit_learn() -> None:
    example = runpy.run_path(str(LOGISTIC))
    found = example["main"](["--penalty", "1.0"])
    assert found.result.success
    data, _ = example["load"]()
    train = data.part(np.arange(len(data.sign)) % 5 != 0)
    peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(train.x, train.sign)
    np.testing.assert_allclose(found.weights, peer.coef_[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.bias, peer.intercept_[0], rtol=1e-4)
    assert found.accuracy >= 0.95
