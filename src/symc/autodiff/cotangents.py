"""Cotangents as they arrive, one sum per value.

before: parts of the cotangent of a value, from each of its users.  after: their sum.  Cotangents of
slices of one value that do not overlap are put side by side, not added up as arrays of zeros: the
gates that are read out of one product have one cotangent, written once.

Invariant: parts that are no pieces are added in the order of their arrival; pieces come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symc.ir import ops, term
from symc.ir.build import placed_at
from symc.ir.core import Node, Value
from symc.ir.ops.attributes import integers, sizes
from symc.ir.term import Term
from symc.records import dataclass

MOST: Final = 64  # pieces of one value that are put side by side; more are added up


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a cotangent that is 0 but for [start, end) of one axis."""

    axis: int
    start: int
    end: int
    value: Value
    whole: Value


class Cotangents:
    """The cotangents of values that have some."""

    def __init__(self) -> None:
        self._sums: dict[Value, Value] = {}
        self._pieces: dict[Value, list[_Piece]] = {}

    def add(self, value: Value, part: Term) -> None:
        """One more part of the cotangent of `value`."""
        piece = _piece(part.value.node)
        if piece is not None and len(self._pieces.get(value, ())) < MOST:
            self._pieces.setdefault(value, []).append(piece)
            return
        before = self._sums.get(value)
        self._sums[value] = part.value if before is None else (Term(before) + part).value

    def get(self, value: Value) -> Value | None:
        """The sum of all parts that have arrived; None when there are none."""
        for whole in _assembled(self._pieces.pop(value, ())):
            before = self._sums.get(value)
            self._sums[value] = whole.value if before is None else (Term(before) + whole).value
        return self._sums.get(value)

    def take(self, value: Value) -> Value | None:
        """As `get`; the value is not asked for again."""
        found = self.get(value)
        self._sums.pop(value, None)
        return found


def _piece(node: Node | None) -> _Piece | None:
    """What a value set into zeros is, where it fills all axes but one."""
    if node is None or node.op is not ops.SET_SLICE:
        return None
    base, value = node.operands
    zeros = term.constant_array(Term(base))
    if zeros is None or zeros.any() or any(step != 1 for step in integers(node.attrs, "steps")):
        return None
    starts = sizes(node.attrs, "starts")
    rows = list(enumerate(zip(starts, value.type.shape, base.type.shape, strict=True)))
    partial = [(axis, row) for axis, row in rows if row[1] != row[2]]
    if len(partial) != 1:
        return None
    axis, (start, size, _) = partial[0]
    if not isinstance(start, int) or not isinstance(size, int):
        return None
    return _Piece(axis, start, start + size, value, node.results[0])


def _assembled(pieces: Sequence[_Piece]) -> list[Term]:
    """Arrays whose sum is that of the pieces; pieces that do not overlap are in one."""
    layers: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: (piece.axis, piece.start)):
        fits = (
            layer
            for layer in layers
            if layer[-1].axis == piece.axis and layer[-1].end <= piece.start
        )
        layer = next(fits, None)
        if layer is None:
            layers.append([piece])
        else:
            layer.append(piece)
    return [_whole(layer) for layer in layers]


def _whole(layer: Sequence[_Piece]) -> Term:
    """Pieces as one array."""
    node = layer[0].whole.node
    if len(layer) == 1 or node is None:
        return Term(layer[0].whole)
    with placed_at(node.locations):
        return _side_by_side(layer)


def _side_by_side(layer: Sequence[_Piece]) -> Term:
    """Pieces in one array, zeros between them."""
    first = layer[0]
    axis, type = first.axis, first.whole.type
    parts: list[Term] = []
    end = 0
    for piece in layer:
        parts += _gap(first, piece.start - end)
        parts.append(Term(piece.value))
        end = piece.end
    size = type.shape[axis]
    if not isinstance(size, int):
        filled = term.concat(parts, axis)
        starts = [0] * type.rank
        return term.zeros(type).set_slice(filled, starts, [1] * type.rank)
    return term.concat([*parts, *_gap(first, size - end)], axis)


def _gap(piece: _Piece, size: int) -> list[Term]:
    """Zeros of a size along the axis of a piece; none for size 0."""
    shape = piece.whole.type.shape
    if size == 0:
        return []
    return [
        term.zeros(
            piece.whole.type.with_shape((*shape[: piece.axis], size, *shape[piece.axis + 1 :]))
        )
    ]
