"""Cotangents as they arrive, one sum per value.

before: parts of the cotangent of a value, from each of its users.  after: their sum.  Cotangents of
slices of one value are pieces: those of the same place are added up, those that do not overlap are
put side by side, and no array of zeros is made for each.  So a value that is read in n slices has a
cotangent that is written once; so have four gates that are read out of one product.  What is
scattered into zeros is scattered into the sum instead.

Invariant: parts that are no pieces are added in the order of their arrival; pieces come next, and
what is scattered comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from symc.ir import ops, term
from symc.ir.build import apply, placed_at
from symc.ir.core import Locations, Node, Value
from symc.ir.dims import Size
from symc.ir.locations import UNKNOWN
from symc.ir.ops.attributes import integers, sizes
from symc.ir.term import Term
from symc.records import dataclass

Range = tuple[int, int] | None  # positions from the first on, up to before the second; None: all
NOWHERE: Final[Range] = (0, -1)
Part = tuple[int, int, Term]  # a range, and what stands there


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a cotangent that is 0 outside a range of each axis."""

    ranges: tuple[Range, ...]
    value: Term
    shape: tuple[Size, ...]


class Cotangents:
    """The cotangents of values that have some."""

    def __init__(self) -> None:
        self._sums: dict[Value, Value] = {}
        self._pieces: dict[Value, dict[tuple[Range, ...], _Piece]] = {}
        self._scattered: dict[Value, list[Node]] = {}

    def add(self, value: Value, part: Term) -> None:
        """One more part of the cotangent of `value`."""
        node = part.value.node
        if node is not None and _is_scattered(node):
            self._scattered.setdefault(value, []).append(node)
            return
        piece = None if node is None else _piece(node)
        if piece is None:
            self._plus(value, part)
            return
        pieces = self._pieces.setdefault(value, {})
        before = pieces.get(piece.ranges)
        if before is not None:
            piece = _Piece(piece.ranges, before.value + piece.value, piece.shape)
        pieces[piece.ranges] = piece

    def get(self, value: Value) -> Value | None:
        """The sum of all parts that have arrived; None when there are none."""
        pieces = list(self._pieces.pop(value, {}).values())
        if pieces:
            for whole in _side_by_side(pieces, 0):
                self._plus(value, whole)
        for node in self._scattered.pop(value, ()):
            onto = self._sums.get(value, node.operands[0])
            operands = (onto, *node.operands[1:])
            made = apply(node.op, operands, node.attrs, locations=node.locations)
            self._sums[value] = made.results[0]
        return self._sums.get(value)

    def take(self, value: Value) -> Value | None:
        """As `get`; the value is not asked for again."""
        found = self.get(value)
        self._sums.pop(value, None)
        return found

    def _plus(self, value: Value, part: Term) -> None:
        before = self._sums.get(value)
        self._sums[value] = part.value if before is None else (Term(before) + part).value


def _is_scattered(node: Node) -> bool:
    """Whether a node adds values into zeros, at places that are data."""
    scatters = node.op is ops.SCATTER or node.op is ops.SCATTER_ALONG
    return scatters and node.attrs["combine"] == "add" and _is_zero(node.operands[0])


def _is_zero(value: Value) -> bool:
    array = term.constant_array(Term(value))
    return array is not None and not array.any()


def _piece(node: Node) -> _Piece | None:
    """What a value set into zeros is; None where its place is not known in numbers."""
    if node.op is not ops.SET_SLICE or not _is_zero(node.operands[0]):
        return None
    base, value = node.operands
    steps = integers(node.attrs, "steps")
    rows = zip(sizes(node.attrs, "starts"), steps, value.type.shape, base.type.shape, strict=True)
    ranges = [_range(*row) for row in rows]
    if any(range is NOWHERE for range in ranges):
        return None
    with placed_at(node.locations):
        return _Piece(tuple(ranges), _forwards(Term(value), steps), base.type.shape)


def _range(start: Size, step: int, size: Size, whole: Size) -> Range:
    """The positions of a slice along one axis; `NOWHERE` where they have gaps or are not known."""
    if step == 1 and size == whole:
        return None
    if abs(step) != 1 or not isinstance(start, int) or not isinstance(size, int):
        return NOWHERE
    return (start, start + size) if step == 1 else (start - size + 1, start + 1)


def _forwards(value: Term, steps: Sequence[int]) -> Term:
    """The value turned round along axes that are written backwards."""
    if all(step == 1 for step in steps):
        return value
    starts = [0 if step == 1 else size - 1 for step, size in zip(steps, value.shape, strict=True)]
    return value.slice(starts, value.shape, steps)


def _side_by_side(pieces: Sequence[_Piece], axis: int) -> list[Term]:
    """Arrays whose sum is that of the pieces, whole along `axis` and the axes after it."""
    if axis == len(pieces[0].shape):
        return [piece.value for piece in pieces]
    groups: dict[Range, list[_Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.ranges[axis], []).append(piece)
    whole: list[Term] = []
    parts: list[Part] = []
    for range, group in groups.items():
        made = _side_by_side(group, axis + 1)
        if range is None:
            whole += made
        else:
            parts += [(*range, one) for one in made]
    layers = _apart(parts)
    return [*whole, *(_filled(layer, axis, pieces[0].shape[axis]) for layer in layers)]


def _apart(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts in as few rows as may be, none of which has two that overlap."""
    layers: list[list[Part]] = []
    free: list[tuple[int, int]] = []  # where a layer ends, and which it is
    for part in sorted(parts, key=lambda part: part[:2]):
        if free and free[0][0] <= part[0]:
            _, number = heappop(free)
            layers[number].append(part)
        else:
            number = len(layers)
            layers.append([part])
        heappush(free, (part[1], number))
    return layers


def _filled(layer: Sequence[Part], axis: int, size: Size) -> Term:
    """Parts along an axis of this size, zeros between them."""
    first = layer[0][2]
    end: int = 0
    row: list[Term] = []
    with placed_at(_locations(first)):
        for start, stop, part in layer:
            row += _gap(first, axis, start - end)
            row.append(part)
            end = stop
        if isinstance(size, int):
            return term.concat([*row, *_gap(first, axis, size - end)], axis)
        shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
        base = term.zeros(first.type.with_shape(shape))
        return base.set_slice(term.concat(row, axis), [0] * base.rank, [1] * base.rank)


def _locations(part: Term) -> Locations:
    return (UNKNOWN,) if part.value.node is None else part.value.node.locations


def _gap(like: Term, axis: int, size: int) -> list[Term]:
    """Zeros of a size along an axis; none for size 0."""
    if size == 0:
        return []
    shape = (*like.shape[:axis], size, *like.shape[axis + 1 :])
    return [term.zeros(like.type.with_shape(shape))]
