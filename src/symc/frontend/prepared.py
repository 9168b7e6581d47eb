"""Why `bind` and `call_n` refuse: typed errors, with what was given and what is expected.

before: arguments that fit a compiled program, and what its results are to be written into.  after:
nothing, or the error.  The native call checks again, and what only it can see (overlap, ownership)
keeps its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from symc.frontend import backend, trees
from symc.frontend.spec import short_name
from symc.frontend.trees import Structure
from symc.ir.dims import substitute
from symc.ir.errors import (
    DomainError,
    DTypeError,
    ShapeError,
    SymcError,
    UnsupportedError,
    message,
)
from symc.ir.locations import here
from symc.ir.types import TensorType
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Serving:
    """The program for some arguments, those, whether its result is a single array, and the tree of
    results that are neither that nor a tuple."""

    loaded: backend.Loaded
    arrays: Sequence[np.ndarray]
    single: bool
    tree: Structure | None = None

    @property
    def title(self) -> str:
        """The function's name."""
        return self.loaded.traced.entry.function.name

    def require_fit(self) -> None:
        """Raise the error of a constraint that the arguments do not meet."""
        backend.require_fit(self.loaded.traced.entry, self.arrays)

    def results(self) -> list[TensorType]:
        """The types of the results; sizes that shared variables decide stay symbolic."""
        entry = self.loaded.traced.entry
        sizes = backend.bound_sizes(entry, self.arrays)
        types = [value.type for value in entry.function.results[: entry.outputs]]
        return [TensorType(t.dtype, tuple(substitute(s, sizes) for s in t.shape)) for t in types]


def check_out(serving: Serving, out: Any) -> None:
    """Compare `out` with the results: DTypeError, ShapeError, DomainError for their number."""
    subject = f"{serving.title}: bind: out"
    types = serving.results()
    outs = _listed(serving, out, len(types), subject)
    for number, (array, wanted) in enumerate(zip(outs, types, strict=True)):
        _check_one(array, wanted, subject if serving.single else f"{subject} of result {number}")


def _listed(serving: Serving, out: Any, count: int, subject: str) -> list[Any]:
    """The parts of `out`, one per result."""
    if serving.single:
        return [out]
    if serving.tree is not None:
        leaves, tree = trees.flatten(out)
        if tree != serving.tree:
            raise DomainError(message(subject, got=tree, expected=serving.tree, where=here()))
        return leaves
    if not isinstance(out, list | tuple):
        got = type(out).__name__
        raise DTypeError(message(subject, got=got, expected="a tuple of arrays", where=here()))
    outs = list(out)
    if len(outs) != count:
        expected = f"{count}, one per result"
        raise DomainError(message(subject, got=len(outs), expected=expected, where=here()))
    return outs


def _check_one(array: Any, wanted: TensorType, subject: str) -> None:
    if type(array) is not np.ndarray:
        got = type(array).__name__
        raise DTypeError(message(subject, got=got, expected="an ndarray", where=here()))
    if array.dtype != wanted.dtype:
        got, expected = short_name(array.dtype), short_name(wanted.dtype)
        raise DTypeError(message(f"{subject}: dtype", got=got, expected=expected, where=here()))
    pairs = zip(array.shape, wanted.shape, strict=False)
    wrong = any(isinstance(size, int) and size != given for given, size in pairs)
    if wrong or array.ndim != wanted.rank:
        raise ShapeError(
            message(f"{subject}: shape", got=array.shape, expected=wanted.shape, where=here())
        )


def count(n: Any) -> int:
    """How often `call_n` calls: DTypeError unless an integer, DomainError below 1."""
    subject = "call_n: number of calls"
    try:
        found = index(n)
    except TypeError:
        got = type(n).__name__
        raise DTypeError(message(subject, got=got, expected="an int", where=here())) from None
    if found < 1:
        raise DomainError(message(subject, got=found, expected="at least 1", where=here()))
    return found


def unmatched(serving: Serving) -> SymcError:
    """Why no program runs natively on converted arguments: raises what a constraint says first."""
    serving.require_fit()
    return UnsupportedError(
        message(
            f"{serving.title}: bind or call_n",
            got="arguments or results in containers that cannot be formed from leaves of any kind",
            expected="arrays, and containers whose registered functions only put leaves together",
            where=here(),
            advice="call it as a function",
        )
    )
