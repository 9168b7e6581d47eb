"""What a problem is: an objective, where its sizes come from, and data of a size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Sizes = dict[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """`objective(xp, params, data)` is a scalar; the gradient is taken over all of `params`.

    `make(rng, **sizes)` draws parameters and data in f64; `dtype` is what is timed.  `source`: the
    paper or benchmark that states objective and sizes.  `small` is for the golden test.  `along`:
    the timed work is a Hessian-vector product instead of a gradient.
    """

    name: str
    source: str
    objective: Callable[[Any, Any, Any], Any]
    make: Callable[..., tuple[Arrays, Arrays]]
    sizes: tuple[Sizes, ...]
    small: Sizes
    dtype: str = "float64"
    along: bool = False

    def drawn(self, sizes: Sizes, dtype: str) -> tuple[Arrays, Arrays]:
        """Parameters and data of these sizes; floating arrays in `dtype`."""
        params, data = self.make(np.random.default_rng(0), **sizes)
        return tuple(cast(x, dtype) for x in params), tuple(cast(x, dtype) for x in data)


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    """Floating arrays in another dtype; integers as they are."""
    array = np.asarray(array)
    return array.astype(dtype) if array.dtype.kind == "f" else array
