"""Index maps: where in an operand an element of an iteration space is read or written.

A map sends a point of an iteration space (one index per axis) to one index per operand axis, each
an affine expression of the iteration indices with integer or Dim coefficients.  Permutations,
broadcasts, slices with any step, and unflattening are affine; flattening is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir.dims import Size
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Affine:
    """`offset + sum(factors[i] * index[i])`; one factor per axis of the iteration space."""

    factors: tuple[Size, ...]
    offset: Size = 0

    def __str__(self) -> str:
        parts = [f"i{i}" if f == 1 else f"({f})*i{i}" for i, f in enumerate(self.factors) if f != 0]
        if self.offset != 0 or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)

    def after(self, inner: IndexMap) -> Affine:
        """This expression with each index `i` replaced by `inner.indices[i]`."""
        rank = inner.rank
        factors: list[Size] = [0] * rank
        offset: Size = self.offset
        for factor, index in zip(self.factors, inner.indices, strict=True):
            if factor == 0:
                continue
            offset = offset + factor * index.offset
            for axis, f in enumerate(index.factors):
                factors[axis] = factors[axis] + factor * f
        return Affine(tuple(factors), offset)


@dataclass(frozen=True, slots=True)
class IndexMap:
    """From an iteration space of `rank` axes to operand indices.

    `valid`: axes of the operand whose index may fall outside [0, size): such reads give the
    fill value of the access instead (padding).
    """

    rank: int
    indices: tuple[Affine, ...]
    valid: tuple[int, ...] = ()

    def __str__(self) -> str:
        axes = ", ".join(f"i{i}" for i in range(self.rank))
        guard = f" guard {list(self.valid)}" if self.valid else ""
        return f"({axes}) -> ({', '.join(map(str, self.indices))}){guard}"

    def after(self, inner: IndexMap) -> IndexMap:
        """The map `point -> self(inner(point))`; `inner` must have no guarded axes."""
        assert not inner.valid
        return IndexMap(inner.rank, tuple(a.after(inner) for a in self.indices), self.valid)


def unit(rank: int, axis: int) -> Affine:
    """The index `i_axis` in an iteration space of `rank` axes."""
    return Affine(tuple(1 if i == axis else 0 for i in range(rank)))


def identity(rank: int) -> IndexMap:
    """Each operand index is the iteration index of the same number."""
    return IndexMap(rank, tuple(unit(rank, i) for i in range(rank)))


def select(rank: int, axes: Sequence[int]) -> IndexMap:
    """Operand index j is iteration index `axes[j]` (permutations, broadcasts)."""
    return IndexMap(rank, tuple(unit(rank, axis) for axis in axes))
