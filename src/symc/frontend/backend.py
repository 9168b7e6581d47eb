"""The door to the compiler: an entry becomes something that runs.

before: a `Traced` program.  after: `Loaded`, whose executable a `Callable` runs natively, and whose
`compiled` answers the inspecting calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symc.frontend.trace import Traced
from symc.ir.dims import Dim, Size, substitute
from symc.ir.entry import Entry
from symc.ir.errors import ShapeError, message
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.runtime.executable import Callable, Structure

SINGLE, TUPLE, NONE = Structure.SINGLE, Structure.TUPLE, Structure.NONE


@dataclass(frozen=True, slots=True)
class Loaded:
    """A compiled entry."""

    traced: Traced
    options: Options

    @property
    def compiled(self) -> Any:
        return None

    def register(self, target: Callable, structure: int) -> None:
        """Let `target` run this program natively."""

    def call(self, arrays: Sequence[np.ndarray], structure: int = TUPLE) -> Any:
        """Run; the outputs as `structure` says."""
        require_fit(self.traced.entry, arrays)
        results = self.run(*arrays)
        if structure == NONE:
            return None
        return results[0] if structure == SINGLE else results

    def run(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        """The outputs; updates are committed."""
        entry, states = self.traced.entry, self.traced.states
        inputs = [*arrays, *(s.get() for s in states), *entry.constants]
        results = evaluate(entry.function, inputs)
        for number, value in zip(entry.updates, results[entry.outputs :], strict=True):
            states[number].set(value)
        return tuple(results[: entry.outputs])


def load(traced: Traced, options: Options) -> Loaded:
    """Compile an entry."""
    return Loaded(traced, options)


def bound_sizes(entry: Entry, arrays: Sequence[np.ndarray]) -> dict[str, Size]:
    """The named sizes as the arrays have them; the first axis of a name decides."""
    sizes: dict[str, Size] = {}
    for param, array in zip(entry.function.params, arrays, strict=False):
        for size, got in zip(param.type.shape, array.shape, strict=True):
            if isinstance(size, Dim):
                sizes.setdefault(str(size), got)
    return sizes


def accepts(entry: Entry, arrays: Sequence[np.ndarray]) -> bool:
    """Whether the sizes of inputs fit an entry and its constraints hold."""
    sizes = bound_sizes(entry, arrays)
    for param, array in zip(entry.function.params, arrays, strict=False):
        if tuple(substitute(size, sizes) for size in param.type.shape) != array.shape:
            return False
    return all(
        substitute(c.left, sizes) == substitute(c.right, sizes) for c in entry.function.constraints
    )


def require_fit(entry: Entry, arrays: Sequence[np.ndarray]) -> None:
    """Raise ShapeError for the first constraint that does not hold."""
    sizes = bound_sizes(entry, arrays)
    for constraint in entry.function.constraints:
        left, right = substitute(constraint.left, sizes), substitute(constraint.right, sizes)
        if left != right:
            raise ShapeError(
                message(
                    f"{entry.function.name}: {constraint.message}",
                    got=f"{constraint.left} = {left}, {constraint.right} = {right}",
                    expected="equal sizes",
                    where=constraint.location,
                )
            )
