"""Concrete arrays inside a trace.

before: an ndarray that a creation function made while a function is traced, or that was computed
from such.  after: the same ndarray with `.at` and symbolic indices, as a symbolic value has them;
so `x = sc.zeros(3); x = x.at[i].set(v)` and `x[i]` are written alike wherever x comes from.

Invariant: outside a trace array functions return plain ndarrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import scope
from symc.frontend.expr import Places, lift
from symc.frontend.operand import mentions_symbolic
from symc.ir.errors import TracerError, message
from symc.ir.locations import here


class Concrete(np.ndarray):
    """An ndarray with `.at` and symbolic indices."""

    _plain: np.ndarray | None

    def __array_finalize__(self, made_from: object) -> None:
        self._plain = None

    def __getitem__(self, key: Any) -> Any:
        """As of an ndarray; symbolic indices give a symbolic value."""
        return lift(self, "index")[key] if mentions_symbolic(key) else super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if mentions_symbolic((key, value)):
            raise TracerError(
                message(
                    "`x[i] = v` of a symbolic value on a concrete array",
                    got=f"an ndarray of shape {self.shape}",
                    where=here(),
                    advice="a new value: x = x.at[i].set(v)",
                )
            )
        super().__setitem__(key, value)

    @property
    def at(self) -> Places:
        """`x.at[key].set(v)` and the like: a new symbolic array with some elements changed."""
        return Places(lift(self, "at"))

    def __symc_plain__(self) -> np.ndarray:
        """The same memory as a plain ndarray, one object for the life of this one."""
        if self._plain is None or self._plain.shape != self.shape:
            self._plain = self.view(np.ndarray)
        return self._plain


def in_trace(result: Any) -> Any:
    """A new array, or a sequence of them, as it is returned here and now."""
    if scope.current() is None:
        return result
    if type(result) is np.ndarray:
        made = result.view(Concrete)
        made._plain = result
        return made
    if isinstance(result, list | tuple):
        parts = [in_trace(part) for part in result]
        return getattr(type(result), "_make", type(result))(parts)
    return result
