"""Which compiled variant serves a call: specialisation first, then sizes become symbolic.

before: concrete argument types of one signature (structure, dtypes, ranks, static arguments).
after: a
`Variant` that takes them.  The first call is compiled for its sizes; when later calls differ only
in sizes, the axes that varied become symbolic, those whose sizes were equal in all calls under one
name. What cannot be traced or does not hold with symbolic sizes is compiled for the sizes of the
call and kept among the last `STATIC_LIMIT` of these.

Sizes 0 and 1 make a class of their own, since they broadcast: a call with a new pattern of them
first tries the symbolic variant of another pattern, and is specialised when that does not hold.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from symc.ir import dims
from symc.ir.dims import Size
from symc.ir.types import TensorType
from symc.records import dataclass

STATIC_LIMIT: Final = 16

Shapes = tuple[tuple[int, ...], ...]
Labels = tuple[tuple[Hashable, ...], ...]
Mask = tuple[tuple[int, ...], ...]


class Variant(Protocol):
    """A traced program that may be compiled and called."""

    def accepts(self, arrays: Sequence[np.ndarray]) -> bool:
        """Whether sizes fit and constraints hold; needs no compilation."""

    def compile(self) -> None:
        """Make it callable."""

    def retire(self) -> None:
        """Forget it: no call reaches it any more."""


V = TypeVar("V", bound=Variant)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array argument: its dtype, rank, whether it is a Python number, and a declared type."""

    dtype: np.dtype
    rank: int
    weak: bool
    declared: TensorType | None = None


@dataclass(slots=True)
class _Pattern:
    """What was seen of one pattern of sizes 0 and 1.  A label is a size, or the history of one."""

    labels: Labels
    opaque: bool = False  # tracing with symbolic sizes failed


class Specialiser(Generic[V]):
    """The variants of one signature.  `trace(types)` makes one; it may raise anything."""

    def __init__(
        self,
        leaves: tuple[Leaf, ...],
        trace: Callable[[tuple[TensorType, ...]], V],
        *,
        symbolic_first: bool = False,
    ) -> None:
        self.leaves = leaves
        self.variants: list[V] = []
        self.static: OrderedDict[Shapes, V] = OrderedDict()
        self.compiles = 0
        self._trace = trace
        self._symbolic_first = symbolic_first
        self._patterns: dict[Mask, _Pattern] = {}
        self._asked: dict[tuple[TensorType, ...], V] = {}

    def of_types(self, types: tuple[TensorType, ...]) -> V:
        """The variant for exactly these types, whose sizes may be symbolic; compiled once."""
        if types not in self._asked:
            self._asked[types] = self._commit(self._trace(types))
        return self._asked[types]

    def variant(self, arrays: Sequence[np.ndarray]) -> V:
        """The variant that serves `arrays`, compiled now if there is none yet."""
        for known in self.variants:
            if known.accepts(arrays):
                return known
        shapes = tuple(array.shape for array in arrays)
        fallback = self.static.get(shapes)
        if fallback is not None:
            self.static.move_to_end(shapes)
            return fallback
        if all(leaf.declared is not None for leaf in self.leaves):
            return self._commit(self._trace(self._types(shapes)))
        return self._new_sizes(arrays, shapes)

    def _new_sizes(self, arrays: Sequence[np.ndarray], shapes: Shapes) -> V:
        mask = tuple(tuple(size if size in {0, 1} else -1 for size in shape) for shape in shapes)
        pattern = self._patterns.get(mask)
        if pattern is None:
            return self._new_pattern(arrays, shapes, mask)
        if not pattern.opaque:
            labels = merged(pattern.labels, shapes)
            found = self._symbolic(labels, arrays, pattern)
            if found is not None:
                pattern.labels = labels
                return found
        return self._fallback(shapes)

    def _new_pattern(self, arrays: Sequence[np.ndarray], shapes: Shapes, mask: Mask) -> V:
        """First try one variant for this pattern and another: an axis of size 1 may be ordinary."""
        for pattern in self._patterns.values():
            if pattern.opaque or any(0 in shape for shape in shapes):
                continue
            labels = merged(pattern.labels, shapes)
            found = self._symbolic(labels, arrays, None)
            if found is not None:
                pattern.labels = labels
                return found
        made = _Pattern(shapes)
        if self._symbolic_first:
            labels = histories(shapes)
            found = self._symbolic(labels, arrays, made)
            if found is not None:
                made.labels = labels
                self._patterns[mask] = made
                return found
        found = self._commit(self._trace(self._types(shapes)))
        self._patterns[mask] = made
        return found

    def _symbolic(
        self, labels: Labels, arrays: Sequence[np.ndarray], pattern: _Pattern | None
    ) -> V | None:
        """A variant with symbolic sizes that takes `arrays`, or None."""
        try:
            found = self._trace(self._types(labels))
            if not found.accepts(arrays):
                return None
            return self._commit(found)
        except Exception:  # noqa: BLE001  (the static specialisation decides what is an error)
            if pattern is not None:
                pattern.opaque = True
            return None

    def _fallback(self, shapes: Shapes) -> V:
        found = self._trace(self._types(shapes))
        found.compile()
        self.compiles += 1
        self.static[shapes] = found
        if len(self.static) > STATIC_LIMIT:
            self.static.popitem(last=False)[1].retire()
        return found

    def _commit(self, found: V) -> V:
        found.compile()
        self.compiles += 1
        self.variants.insert(0, found)
        return found

    def _types(self, labels: Labels) -> tuple[TensorType, ...]:
        """Argument types: ints are static sizes, each history is one symbol."""
        names: dict[Hashable, Size] = {}
        types = []
        for leaf, axes in zip(self.leaves, labels, strict=True):
            if leaf.declared is not None:
                types.append(leaf.declared)
                continue
            sizes = [
                label
                if isinstance(label, int)
                else names.setdefault(label, dims.symbol(f"_{len(names)}"))
                for label in axes
            ]
            types.append(TensorType(leaf.dtype, tuple(sizes)))
        return tuple(types)


def merged(labels: Labels, shapes: Shapes) -> Labels:
    """Labels after one more call: an axis that varied becomes its history."""
    return tuple(
        tuple(label if label == size else (label, size) for label, size in zip(*pair, strict=True))
        for pair in zip(labels, shapes, strict=True)
    )


def histories(shapes: Shapes) -> Labels:
    """Labels that make every size but 0 and 1 symbolic, equal sizes under one name."""
    return tuple(
        tuple(size if size in {0, 1} else ("size", size) for size in shape) for shape in shapes
    )
