"""check="nan": after a call, every output and every new state must be finite.

before: the results of a call, updates included.  after: nothing, or a NonFiniteError that names the
first one which is not, and the user's line that made it.  The caller puts shared variables back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.ir.entry import Entry
from symc.ir.errors import NonFiniteError, message


def require_finite(
    entry: Entry, outputs: Sequence[np.ndarray], states: Sequence[np.ndarray]
) -> None:
    """`outputs` of one call of `entry`, and the contents of all its states after the call."""
    for number, array in enumerate(outputs):
        _require(entry, number, f"output {number}", array)
    for position, state in enumerate(entry.updates):
        name = f"the new value of {entry.states[state]}"
        _require(entry, entry.outputs + position, name, states[state])


def _require(entry: Entry, number: int, name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "fc" or bool(np.all(np.isfinite(array))):
        return
    at = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
    node = entry.function.results[number].node
    raise NonFiniteError(
        message(
            f"{entry.function.name}: {name} is not finite",
            got=f"{array[at]} at index {at}",
            expected="finite numbers, as check asks",
            where=node.locations[0] if node is not None else None,
            advice="f.ir() shows the program; check='none' lets NaN and infinities pass",
        )
    )
