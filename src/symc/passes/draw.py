"""Random choices from which the rows of rule tables make instances of themselves.

A row gives `examples` and `near` as functions of a `Draw`: each builds a small graph on fresh
inputs, one that the row rewrites or one that it must leave alone.  Tests draw many; the same seed
draws the same graphs.

Invariant: every choice comes from the seed; `inputs` lists the free values in the order made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Value
from symc.ir.dims import Size, size_product, symbol
from symc.ir.term import Number, Term
from symc.ir.types import BOOL, F64, TensorType

T = TypeVar("T")

_NAMES = ("m", "n", "k")


class Draw:
    """Choices of one instance; `dtype` is the one that its float or integer inputs have."""

    def __init__(self, seed: int, dtype: np.dtype = F64, *, symbolic: bool = True) -> None:
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        self.symbolic = symbolic
        self.inputs: list[Value] = []

    def choose(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.integer(0, len(options) - 1)]

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.random.integers(low, high + 1))

    def flip(self) -> bool:
        """Either, as likely."""
        return self.integer(0, 1) == 1

    def number(self, *avoid: float) -> float:
        """A small number that is none of `avoid`, exact in every float dtype."""
        options = (0.0, 0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -0.25, 1.0 + 2.0**-20, 10.0)
        return self.choose([number for number in options if number not in avoid])

    def size(self) -> Size:
        """A small size, now and then symbolic."""
        if self.symbolic and self.integer(0, 3) == 0:
            return symbol(self.choose(_NAMES))
        return self.integer(2, 4)

    def shape(self, rank: int | None = None) -> tuple[Size, ...]:
        """A shape; of rank 1 to 3 unless told."""
        return tuple(self.size() for _ in range(self.integer(1, 3) if rank is None else rank))

    def axes(self, rank: int) -> tuple[int, ...]:
        """At least one axis of `rank`, ascending."""
        chosen = self.random.permutation(rank)[: self.integer(1, rank)]
        return tuple(sorted(int(axis) for axis in chosen))

    def permutation(self, rank: int) -> tuple[int, ...]:
        """An order of `rank` axes."""
        return tuple(int(axis) for axis in self.random.permutation(rank))

    def input(self, shape: Sequence[Size], dtype: np.dtype | None = None) -> Term:
        """A fresh input."""
        type = TensorType(self.dtype if dtype is None else dtype, tuple(shape))
        self.inputs.append(Value(type, name=f"x{len(self.inputs)}"))
        return Term(self.inputs[-1])

    def mask(self, shape: Sequence[Size]) -> Term:
        """A fresh bool input."""
        return self.input(shape, BOOL)

    def constant(self, number: Number, like: Term) -> Term:
        """`number` in the type of `like`, written as a scalar spread out or as an array of it."""
        shape = like.shape
        if not all(isinstance(size, int) for size in shape) or self.flip():
            return term.full(shape, number, like.dtype)
        sizes = [size for size in shape if isinstance(size, int)]
        return term.constant(np.full(sizes, number, like.dtype))

    def view(self, x: Term) -> Term:
        """`x` under a random view that keeps every element, and may repeat them."""
        kinds = [self._broadcast, self._flat, self._permute, self._unit]
        return self.choose(kinds)(x)

    def _broadcast(self, x: Term) -> Term:
        place = self.integer(0, x.rank)
        shape = (*x.shape[:place], self.size(), *x.shape[place:])
        return x.broadcast(shape, [axis for axis in range(len(shape)) if axis != place])

    def _flat(self, x: Term) -> Term:
        return term.make(ops.RESHAPE, x, shape=(size_product(x.shape),))

    def _unit(self, x: Term) -> Term:
        place = self.integer(0, x.rank)
        return term.make(ops.RESHAPE, x, shape=(*x.shape[:place], 1, *x.shape[place:]))

    def _permute(self, x: Term) -> Term:
        return term.make(ops.PERMUTE, x, axes=self.permutation(x.rank))
