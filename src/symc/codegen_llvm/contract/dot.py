"""Dot tiles: rows x columns of accumulators, vectors along k, for operands contiguous in k.

before: a corner of the result; both operands contiguous in k, order free.
after: the block's sums in scratch, one vector of columns a row, each handed to the epilogue.

Invariants: the bits of a sum depend on k, dtype and lanes only; columns past the last repeat the
last one and are never finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.codegen_llvm.contract.blocked import TILE_BYTES
from symc.codegen_llvm.contract.lanes import Lanes, Tail
from symc.codegen_llvm.contract.room import Corner, Room, Tile, finish_buffer
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Size
from symc.codegen_llvm.contract.tiles import dot_columns
from symc.codegen_llvm.text import Reg, i64
from symc.records import dataclass


def emit_dot_block(room: Room, corner: Corner) -> None:
    """Emit one block of dot products: `plan.rows` rows by one vector of columns."""
    e, lanes = room.e, room.lanes
    buffer = offset(e, room.scratch, TILE_BYTES)
    n = room.c.n
    ragged = not isinstance(n, int) or n % lanes.width
    valid: Size = least(e, sub(e, n, corner.col), lanes.width) if ragged else lanes.width
    start = corner.row
    for height in room.plan.row_tiles:
        stop = _multiple(room, start, corner.stop, height)
        _rows(room, corner, buffer, (start, stop, height), valid)
        start = stop
    tail = lanes.tail(valid) if ragged else None
    whole = Tile(corner.batch, corner.row, 0, corner.col, 1, tail, corner.a)
    finish_buffer(room, whole, (buffer, lanes.width * lanes.size), corner.stop)


def _multiple(room: Room, start: Size, stop: Size, height: int) -> Size:
    """The last row of [start, stop) cut into whole tiles of `height`."""
    e = room.e
    rows = sub(e, stop, start)
    if isinstance(rows, int):
        return add(e, start, rows - rows % height)
    if height == 1:
        return stop
    over = e.emit("i64", f"urem i64 {rows.name}, {height}")
    return sub(e, stop, over)


def _rows(
    room: Room, corner: Corner, buffer: Reg, rows: tuple[Size, Size, int], valid: Size
) -> None:
    """All tiles of one height: column groups outside, so that their columns stay in L1."""
    e, size = room.e, room.lanes.size
    start, stop, height = rows
    group = dot_columns(height, room.lanes.width, room.target)
    with e.loop(i64(0), as_reg(valid), i64(group)) as columns:
        pointers = []
        for i in range(group):
            inside = least(e, add(e, columns.index, i), sub(e, valid, 1))
            pointers.append(offset(e, corner.b, mul(e, inside, room.b.col)))
        column = as_reg(add(e, corner.col, columns.index))
        place = offset(e, buffer, mul(e, columns.index, size))
        with e.loop(as_reg(start), as_reg(stop), i64(height)) as tiles:
            down = sub(e, tiles.index, corner.row)
            left = offset(e, corner.a, mul(e, down, room.a.row))
            lines = offset(e, place, mul(e, down, room.lanes.width * size))
            kernel = _Kernel(room, left, pointers, height, (tiles.index, column))
            for r, value in enumerate(kernel.sums()):
                line = offset(e, lines, r * room.lanes.width * size)
                e.line(f"store {value}, ptr {line.name}, align {size}")


@dataclass(frozen=True, slots=True)
class _Kernel:
    """One dot tile; `place` is its first row and column."""

    room: Room
    left: Reg
    columns: Sequence[Reg]
    height: int
    place: tuple[Reg, Reg]

    def sums(self) -> list[Reg]:
        """One `<columns x T>` per row."""
        room, e, width = self.room, self.room.e, self.room.lanes.width
        depth, count = room.c.k, self.height * len(self.columns)
        zeros = [room.lanes.zero()] * count
        whole = as_reg(sub(e, depth, width - 1))
        with e.loop(i64(0), whole, i64(width), zeros) as loop:
            loop.carry(*self._step(loop.index, loop.carried, None))
        sums: Sequence[Reg] = loop.carried
        if not (isinstance(depth, int) and depth % width == 0):
            with e.loop(loop.index, as_reg(depth), i64(width), sums) as rest:
                tail = self._tail(depth, rest.index)
                rest.carry(*self._step(rest.index, rest.carried, tail))
            sums = rest.carried
        across = len(self.columns)
        rows = [sums[r * across : (r + 1) * across] for r in range(self.height)]
        return [lane_sums(room.lanes, row) for row in rows]

    def _tail(self, depth: Size, at: Reg) -> Tail:
        if isinstance(depth, int):
            return self.room.lanes.tail(depth % self.room.lanes.width)
        return self.room.lanes.tail(sub(self.room.e, depth, at))

    def _step(self, k: Reg, sums: Sequence[Reg], tail: Tail | None) -> list[Reg]:
        lanes, across = self.room.lanes, len(self.columns)
        mask = lanes.mask_of(tail)
        at = as_reg(mul(self.room.e, k, lanes.size))
        out = list(sums)
        if across <= self.height:
            held = [self._right(i, k, at, mask) for i in range(across)]
            for r in range(self.height):
                one = self._left(r, k, at, mask)
                for i in range(across):
                    out[r * across + i] = lanes.fma(one, held[i], out[r * across + i])
            return out
        held = [self._left(r, k, at, mask) for r in range(self.height)]
        for i in range(across):
            one = self._right(i, k, at, mask)
            for r in range(self.height):
                out[r * across + i] = lanes.fma(held[r], one, out[r * across + i])
        return out

    def _left(self, r: int, k: Reg, at: Reg, mask: Reg | None) -> Reg:
        room, e = self.room, self.room.e
        pointer = offset(e, offset(e, self.left, mul(e, room.a.row, r)), at)
        row = as_reg(add(e, self.place[0], r)) if room.hooks.load_a else i64(0)
        return room.load_a(Access(pointer, row, k, room.lanes.type, "col", mask))

    def _right(self, i: int, k: Reg, at: Reg, mask: Reg | None) -> Reg:
        room, e = self.room, self.room.e
        pointer = offset(e, self.columns[i], at)
        column = as_reg(add(e, self.place[1], i)) if room.hooks.load_b else i64(0)
        return room.load_b(Access(pointer, k, column, room.lanes.type, "row", mask))


def lane_sums(lanes: Lanes, vectors: Sequence[Reg]) -> Reg:
    """The sum over lanes of each of 2^p vectors, as one `<2^p x T>`, in a fixed order.

    Lanes are first added inside 128-bit parts (cheap shuffles), then parts are.
    """
    inner = min(16 // lanes.size, lanes.width)
    part = min(inner, len(vectors))
    row = list(vectors)
    width = lanes.width
    while len(row) * part > len(vectors):
        row = [_merge(lanes, a, b, 1, (inner, width)) for a, b in _pairs(row)]
    while width > len(vectors):
        width //= 2
        fold = _fold if width >= inner else _fold_neighbours
        row = [fold(lanes, vector, width) for vector in row]
    while len(row) > 1:
        row = [_merge(lanes, a, b, part, (width, width)) for a, b in _pairs(row)]
    return row[0]


def _pairs(row: Sequence[Reg]) -> list[tuple[Reg, Reg]]:
    return list(zip(row[0::2], row[1::2], strict=True))


def _merge(lanes: Lanes, a: Reg, b: Reg, unit: int, spans: tuple[int, int]) -> Reg:
    """In each span: neighbouring units of a added, then those of b."""
    span, width = spans
    even = [
        base + side + 2 * j * unit + u
        for base in range(0, width, span)
        for side in (0, width)
        for j in range(span // (2 * unit))
        for u in range(unit)
    ]
    odd = [p + unit for p in even]
    return lanes.plus(lanes.shuffle(a, b, even), lanes.shuffle(a, b, odd))


def _fold(lanes: Lanes, vector: Reg, half: int) -> Reg:
    """The lower half of the lanes plus the upper half."""
    low = lanes.shuffle(vector, vector, range(half))
    return lanes.plus(low, lanes.shuffle(vector, vector, range(half, 2 * half)))


def _fold_neighbours(lanes: Lanes, vector: Reg, half: int) -> Reg:
    """Each even lane plus the odd one after it."""
    low = lanes.shuffle(vector, vector, range(0, 2 * half, 2))
    return lanes.plus(low, lanes.shuffle(vector, vector, range(1, 2 * half, 2)))
