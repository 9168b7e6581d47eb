"""The register tile: rows x vectors of accumulators, vectors along the columns, one fma chain each.

before: a tile and a panel of the right operand, in place or packed.
after: the sums of the tile in registers.

Invariants: with one accumulator set a sum is the ascending fma chain over k, whatever the tile, so
tiles of any shape agree bit for bit; several sets (free order only) are added pairwise at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.codegen_llvm.contract.room import Room, Tile
from symc.codegen_llvm.contract.size import add, as_reg, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Size
from symc.codegen_llvm.contract.tiles import UNROLLED_DEPTH, UNROLLED_STEPS, splits
from symc.codegen_llvm.text import Reg, i64
from symc.records import dataclass

_Sums = list[Reg]
_AHEAD = 16  # rows of the right operand: each lies in a page of its own, which nobody foresees
_FORESEEN = 64  # a static k below this ends before that pays


@dataclass(frozen=True, slots=True)
class Panel:
    """`depth` rows of the right operand from k = `first`, `step` bytes apart, at `pointer`."""

    pointer: Reg
    step: Size
    depth: Size
    first: Size = 0
    packed: bool = False


@dataclass(frozen=True, slots=True)
class _Kernel:
    room: Room
    tile: Tile
    panel: Panel
    row_pointers: tuple[Reg, ...]  # empty where the row step is static

    def step(self, k: Size, at: tuple[Size, Size], sums: Sequence[Reg]) -> _Sums:
        """One k: `at` holds the byte offsets of k in the left and the right operand."""
        tile, lanes = self.tile, self.room.lanes
        depth = as_reg(add(self.room.e, self.panel.first, k))
        row = offset(self.room.e, self.panel.pointer, at[1])
        if self._looks_ahead():
            later = mul(self.room.e, self.panel.step, _AHEAD)
            lanes.prefetch(offset(self.room.e, row, later), tile.vectors)
        out = list(sums)
        if tile.vectors <= tile.rows:
            held = [self._right(row, v, depth) for v in range(tile.vectors)]
            for r in range(tile.rows):
                one = lanes.splat(self._left(r, at[0], depth))
                for v in range(tile.vectors):
                    i = r * tile.vectors + v
                    out[i] = lanes.fma(one, held[v], out[i])
            return out
        spread = [lanes.splat(self._left(r, at[0], depth)) for r in range(tile.rows)]
        for v in range(tile.vectors):
            vector = self._right(row, v, depth)
            for r in range(tile.rows):
                i = r * tile.vectors + v
                out[i] = lanes.fma(spread[r], vector, out[i])
        return out

    def _looks_ahead(self) -> bool:
        depth, n = self.panel.depth, self.room.c.n
        short = isinstance(depth, int) and depth < _FORESEEN
        narrow = isinstance(n, int) and n <= self.room.plan.columns
        return not (self.panel.packed or short or narrow)

    def _left(self, r: int, at: Size, depth: Reg) -> Reg:
        room, e = self.room, self.room.e
        if self.row_pointers:
            pointer = offset(e, self.row_pointers[r], at)
        else:
            pointer = offset(e, offset(e, self.tile.a, at), mul(e, room.a.row, r))
        row = as_reg(add(e, self.tile.row, r)) if room.hooks.load_a else i64(0)
        return room.load_a(Access(pointer, row, depth, room.c.dtype))

    def _right(self, row: Reg, v: int, depth: Reg) -> Reg:
        room, lanes, tile = self.room, self.room.lanes, self.tile
        pointer = offset(room.e, row, v * lanes.width * lanes.size)
        if self.panel.packed:
            return lanes.load(pointer)
        tail = tile.tail if v == tile.vectors - 1 else None
        column = i64(0)
        if room.hooks.load_b:
            column = as_reg(add(room.e, tile.col, v * lanes.width))
        mask = lanes.mask_of(tail)
        return room.load_b(Access(pointer, depth, column, lanes.type, "col", mask))


def tile_sums(
    room: Room, tile: Tile, panel: Panel, start: Sequence[Reg] | None = None
) -> list[list[Reg]]:
    """The tile's sums over the panel, added to `start` (row by row) where given."""
    e = room.e
    pointers: tuple[Reg, ...] = ()
    if not isinstance(room.a.row, int) and tile.rows > 1:
        pointers = tuple(offset(e, tile.a, mul(e, room.a.row, r)) for r in range(tile.rows))
    kernel = _Kernel(room, tile, panel, pointers)
    count = tile.rows * tile.vectors
    first = list(start) if start is not None else [room.lanes.zero()] * count
    if isinstance(panel.depth, int) and panel.depth <= _unrolled_depth(count):
        sums = _unrolled(kernel, panel.depth, first)
    else:
        sets = 1 if panel.packed else splits(room.c, tile.rows, tile.vectors, room.target)
        sums = _looped(kernel, sets, first)
    return [sums[r * tile.vectors : (r + 1) * tile.vectors] for r in range(tile.rows)]


def _unrolled_depth(count: int) -> int:
    """How many steps of k a tile of `count` accumulators may unroll."""
    return min(UNROLLED_DEPTH, UNROLLED_STEPS // count)


def _unrolled(kernel: _Kernel, depth: int, sums: _Sums) -> _Sums:
    e = kernel.room.e
    for k in range(depth):
        at = (mul(e, kernel.room.a.col, k), mul(e, kernel.panel.step, k))
        sums = kernel.step(k, at, sums)
    return sums


def _looped(kernel: _Kernel, sets: int, first: _Sums) -> _Sums:
    """`sets` steps of k at once into as many accumulator sets, the rest into the first set."""
    e = kernel.room.e
    zero = kernel.room.lanes.zero()
    count = len(first)
    depth = kernel.panel.depth
    whole = as_reg(sub(e, depth, sets - 1))
    sums = [*first, *[zero] * (count * (sets - 1))]
    with e.loop(i64(0), whole, i64(sets), [i64(0), i64(0), *sums]) as loop:
        left, right, *sums = loop.carried
        for s in range(sets):
            at, sums[s * count : (s + 1) * count] = _advance(
                kernel, add(e, loop.index, s), (left, right), sums[s * count : (s + 1) * count]
            )
            left, right = at
        loop.carry(left, right, *sums)
    left, right, *sums = loop.carried
    head = sums[:count]
    if sets > 1 and not (isinstance(depth, int) and depth % sets == 0):
        with e.loop(loop.index, as_reg(depth), i64(1), [left, right, *head]) as rest:
            left, right, *head = rest.carried
            at, head = _advance(kernel, rest.index, (left, right), head)
            rest.carry(*at, *head)
        head = list(rest.carried[2:])
    return _add_sets(kernel, [head, *(sums[s * count : (s + 1) * count] for s in range(1, sets))])


def _advance(
    kernel: _Kernel, k: Size, at: tuple[Reg, Reg], sums: _Sums
) -> tuple[tuple[Reg, Reg], _Sums]:
    """One step, and the offsets of the next k."""
    e = kernel.room.e
    out = kernel.step(k, at, sums)
    left = as_reg(add(e, at[0], kernel.room.a.col))
    return (left, as_reg(add(e, at[1], kernel.panel.step))), out


def _add_sets(kernel: _Kernel, sets: list[_Sums]) -> _Sums:
    """The sum of the accumulator sets, pairwise."""
    while len(sets) > 1:
        pairs = zip(sets[0::2], sets[1::2], strict=True)
        sets = [[kernel.room.lanes.plus(x, y) for x, y in zip(a, b, strict=True)] for a, b in pairs]
    return sets[0]
