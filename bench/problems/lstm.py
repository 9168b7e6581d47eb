"""One step of a long short-term memory cell, differentiated in weights, input and state.

Source: W. Zaremba, I. Sutskever, O. Vinyals, "Recurrent neural network regularization", 2014:
batch 20; small, medium and large models of 200, 650 and 1,500 units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Arrays, Problem


def objective(xp: Any, params: Any, data: Any) -> Any:
    from_input, from_state, bias, x, h, c = params
    (weights,) = data
    units = h.shape[1]
    gates = x @ from_input + h @ from_state + bias
    admit, forget, give = (xp.sigmoid(gates[:, i * units : (i + 1) * units]) for i in range(3))
    new = forget * c + admit * xp.tanh(gates[:, 3 * units :])
    return xp.sum(give * xp.tanh(new) * weights)


def make(rng: np.random.Generator, batch: int, units: int) -> tuple[Arrays, Arrays]:
    scale = 1 / np.sqrt(units)
    params = (
        scale * rng.normal(size=(units, 4 * units)),
        scale * rng.normal(size=(units, 4 * units)),
        0.1 * rng.normal(size=4 * units),
        *(rng.normal(size=(batch, units)) for _ in range(3)),
    )
    return params, (rng.normal(size=(batch, units)),)


PROBLEM = Problem(
    "LSTM cell",
    "Zaremba et al. 2014",
    objective,
    make,
    tuple({"batch": 20, "units": units} for units in (200, 650, 1500)),
    {"batch": 2, "units": 3},
    dtype="float32",
)
