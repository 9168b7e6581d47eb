"""The door to the compiler: an entry becomes something that runs.

before: a `Traced` program.  after: `Loaded`, whose executable a `Callable` runs natively, and whose
`compiled` answers the inspecting calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

import numpy as np

from symc.frontend.convert import weak_cast
from symc.frontend.trace import Traced
from symc.ir.binding import has_computed
from symc.ir.collector import paused
from symc.ir.core import Constraint
from symc.ir.dims import Dim, Size, substitute
from symc.ir.entry import Entry
from symc.ir.errors import (
    DomainError,
    NonFiniteError,
    ShapeError,
    SymcError,
    SymcIndexError,
    UnsupportedError,
    message,
)
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.program import Accept
from symc.runtime.executable import Callable, Structure, Tree

if TYPE_CHECKING:
    from symc.compile import Compiled

SINGLE: Final = Structure.SINGLE
TUPLE: Final = Structure.TUPLE
NONE: Final = Structure.NONE


class Loaded:
    """A compiled entry."""

    def __init__(self, traced: Traced, options: Options, compiled: Compiled) -> None:
        self.traced = traced
        self.options = options
        self.compiled = compiled
        self._targets: list[ref[Callable]] = []
        self._runner = Callable()
        self._runner.add_entry(compiled.executable, TUPLE)
        self._numbers = [
            i for i, info in enumerate(traced.entry.inputs) if not info.accept & Accept.ARRAY
        ]

    def register(
        self, target: Callable, results: Structure | Tree, arguments: Tree | None = None
    ) -> None:
        """Let calls of `target` run this program without any Python; its inputs are the arguments,
        or their leaves."""
        if not self.compiled.checks_numbers:
            target.add_entry(self.compiled.executable, results, arguments=arguments)
        self._targets.append(ref(target))

    def unregister(self) -> None:
        """Undo every `register`."""
        for target in filter(None, (reference() for reference in self._targets)):
            target.remove_entry(self.compiled.executable)
        self._targets.clear()

    def call(self, arrays: Sequence[np.ndarray], structure: Structure = TUPLE) -> Any:
        """Run on arrays of exactly the input types; results as `structure` says."""
        values: list[Any] = list(arrays)
        for number in self._numbers:
            values[number] = arrays[number].item()
        before = [s.get() for s in self.traced.states] if self.compiled.checks_numbers else []
        try:
            results = self._runner.call_matching(*values)
        except LookupError:
            require_fit(self.traced.entry, arrays)
            raise
        if self.compiled.checks_numbers:
            self._require_finite(results, before)
        if structure is NONE:
            return None
        return results[0] if structure is SINGLE else results

    def require_native(self) -> None:
        """UnsupportedError where a prepared or repeated call would leave out a check."""
        if self.compiled.checks_numbers:
            raise UnsupportedError(
                message(
                    f"{self.traced.entry.function.name}: bind or call_n with a check of results",
                    got=f"check={self.options.check!r}",
                    where=here(),
                    advice="call it as a function, or check='none'",
                )
            )

    def _require_finite(self, results: Sequence[np.ndarray], before: list[np.ndarray]) -> None:
        """check="nan": raise, and put shared variables back, for a result that is not finite."""
        states = self.traced.states
        try:
            self.compiled.require_finite(results, [shared.get(copy=False) for shared in states])
        except NonFiniteError:
            for shared, contents in zip(states, before, strict=True):
                shared.state.set(contents)
            raise


def load(traced: Traced, options: Options) -> Loaded:
    """Compile an entry, or find it in the cache.

    The compiler is loaded by the first program that needs it: `import symc` stays short.
    """
    states = [shared.state for shared in traced.states]
    compiler = import_module("symc.compile")
    with paused():
        return Loaded(traced, options, compiler.compile_entry(traced.entry, options, states))


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
    pairs = ((substitute(c.left, sizes), substitute(c.right, sizes)) for c in _known(entry))
    return all(left == right for left, right in pairs)


def _known(entry: Entry) -> list[Constraint]:
    """The constraints that can be checked before the call."""
    found = entry.function.constraints
    return [c for c in found if not has_computed(c.left) and not has_computed(c.right)]


def require_fit(entry: Entry, arrays: Sequence[np.ndarray]) -> None:
    """Raise SymcOverflowError for an int out of range, or the error of a constraint that fails."""
    for param, info, array in zip(entry.function.params, entry.inputs, arrays, strict=False):
        if not info.accept & Accept.ARRAY:
            weak_cast(array, param.type.dtype, f"argument {info.name}")
    sizes = bound_sizes(entry, arrays)
    for constraint in _known(entry):
        left, right = substitute(constraint.left, sizes), substitute(constraint.right, sizes)
        if left != right:
            raise _failed(entry.function.name, constraint, (left, right))


def _failed(title: str, constraint: Constraint, sizes: tuple[Size, Size]) -> SymcError:
    """The error of a constraint that does not hold at a call."""
    left, right = sizes
    subject, where = f"{title}: {constraint.message}", constraint.location
    if constraint.kind == "equal":
        got = f"{constraint.left} = {left}, {constraint.right} = {right}"
        return ShapeError(message(subject, got=got, expected="equal sizes", where=where))
    error = SymcIndexError if constraint.kind == "index" else DomainError
    return error(message(subject, got=left, expected=f"at least {right}", where=where))
