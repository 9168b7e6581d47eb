"""The entry: what a compiled function is made from, whichever door it came through."""

from __future__ import annotations

import numpy as np

from symc.ir.core import Function
from symc.ir.program import Accept
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class InputInfo:
    """A positional input: its name, what it accepts unconverted, and whether it is donated."""

    name: str
    accept: int = Accept.ARRAY
    donated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """`function` with the roles of its params and results.

    params: the inputs, then the states, then the hidden constants (captured arrays above 16
    elements), in that order.  results: the outputs, then one new value per entry of `updates`,
    which holds state numbers.
    """

    function: Function
    inputs: tuple[InputInfo, ...]
    states: tuple[str, ...] = ()
    constants: tuple[np.ndarray, ...] = ()
    updates: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        """Number of results that are outputs rather than updates."""
        return len(self.function.results) - len(self.updates)
