"""What every kernel of one contraction shares: emitter, sizes, byte strides, tails, the epilogue.

before: a `Contraction`, its `Hooks` and its `Plan`.
after: a `Room` that the kernels read; the two ways in which sums leave registers.

Invariants: everything in a room is loop-invariant and was emitted before the block loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from symc.codegen_llvm.contract.lanes import Lanes, Tail
from symc.codegen_llvm.contract.size import add, as_reg, mul, offset
from symc.codegen_llvm.contract.spec import (
    Access,
    Contraction,
    Hooks,
    Load,
    Size,
    TileRow,
    VectorTarget,
)
from symc.codegen_llvm.contract.tiles import Plan
from symc.codegen_llvm.text import Emitter, Reg, i64
from symc.records import dataclass

_INLINE_FINISH = 400  # LLVM instructions of epilogue that a tile may hold unrolled


@dataclass(frozen=True, slots=True)
class Steps:
    """Byte strides of an operand."""

    row: Size
    col: Size
    batch: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """Everything a kernel of one contraction needs."""

    e: Emitter
    c: Contraction
    hooks: Hooks
    target: VectorTarget
    plan: Plan
    lanes: Lanes
    scratch: Reg
    a: Steps
    b: Steps

    def load_a(self, access: Access) -> Reg:
        """Load from the left operand through its hook."""
        return self._load(self.hooks.load_a, access)

    def load_b(self, access: Access) -> Reg:
        """Load from the right operand through its hook."""
        return self._load(self.hooks.load_b, access)

    def _load(self, hook: Load | None, access: Access) -> Reg:
        if hook is not None:
            return hook(self.e, access)
        if access.along == "none":
            text = f"load {access.type}, ptr {access.pointer.name}, align {self.lanes.size}"
            return self.e.emit(access.type, text)
        return self.lanes.load(access.pointer, access.mask)


@dataclass(frozen=True, slots=True)
class Corner:
    """One block's place: batch indices, first row and column, the row to stop at, operand bases.

    `a` points at (row, 0) of the left operand and `b` at (0, col) of the right one.
    """

    batch: tuple[Reg, ...]
    row: Size
    stop: Size
    col: Size
    a: Reg
    b: Reg


@dataclass(frozen=True, slots=True)
class Tile:
    """A register tile: `rows` rows from `row`, `vectors` vectors from `col`, perhaps a tail.

    `a` points at the tile's first row of the left operand.
    """

    batch: tuple[Reg, ...]
    row: Size
    rows: int
    col: Size
    vectors: int
    tail: Tail | None
    a: Reg


def for_row_tiles(room: Room, start: Size, stop: Size, body: Callable[[Size, int], None]) -> None:
    """Cut rows [start, stop) into tiles, the tallest first, and emit `body(row, height)` for each.

    Which rows share a tile depends on `start` and `stop` only.
    """
    e = room.e
    tiles = room.plan.row_tiles
    if isinstance(start, int) and isinstance(stop, int) and len(tiles) == 1 and stop <= tiles[0]:
        body(start, tiles[0])
        return
    at = as_reg(start)
    for height in tiles:
        limit = as_reg(add(e, stop, 1 - height))
        with e.loop(at, limit, i64(height)) as rows:
            body(rows.index, height)
        at = rows.index


def either(room: Room, test: Reg, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    """Emit `if test: then() else: otherwise()`."""
    e = room.e
    yes, no, after = (e.new_label(hint) for hint in ("then", "else", "after"))
    e.branch(test, yes, no)
    for label, side in ((yes, then), (no, otherwise)):
        e.open(label)
        side()
        e.jump(after)
    e.open(after)


def finish_tile(room: Room, tile: Tile, sums: Sequence[Sequence[Reg]]) -> None:
    """Hand the finished sums of a tile to the epilogue: unrolled if cheap, else in a loop."""
    if room.hooks.finish_cost * tile.rows * tile.vectors <= _INLINE_FINISH:
        _finish_unrolled(room, tile, sums)
        return
    pitch = tile.vectors * room.lanes.width * room.lanes.size
    for r, vectors in enumerate(sums):
        for v, value in enumerate(vectors):
            step = r * pitch + v * room.lanes.width * room.lanes.size
            room.lanes.store(value, offset(room.e, room.scratch, step))
    finish_buffer(room, tile, (room.scratch, pitch), add(room.e, tile.row, tile.rows))


def _finish_unrolled(room: Room, tile: Tile, sums: Sequence[Sequence[Reg]]) -> None:
    """Without mask registers, a panel that may be the last one is finished in one of two ways."""

    def finish(tail: Tail | None) -> None:
        at = replace(tile, tail=tail)
        together = 0
        if room.hooks.pair is not None:
            together = (tile.vectors - (tail is not None)) // 2 * 2
        for r, vectors in enumerate(sums):
            row = as_reg(add(room.e, tile.row, r))
            for v in range(0, together, 2):
                both = room.lanes.joined(vectors[v], vectors[v + 1])
                _finish_pair(room, at, (row, v * room.lanes.width), both)
            for v in range(together, tile.vectors):
                _finish(room, at, (row, v), vectors[v])

    tail = tile.tail
    if tail is None or tail.last is None or room.target.mask_registers:
        finish(tail)
        return
    last = room.lanes.tail(tail.last)
    inside = as_reg(tail.count).name
    whole = room.e.emit("i1", f"icmp sge i64 {inside}, {room.lanes.width}")
    either(room, whole, lambda: finish(None), lambda: finish(last))


def finish_buffer(room: Room, tile: Tile, buffer: tuple[Reg, int], stop: Size) -> None:
    """Hand rows [tile.row, stop) of sums kept in memory to the epilogue, in a loop.

    `buffer` is the place of the tile's first sum and the bytes from row to row.
    """
    e, lanes = room.e, room.lanes
    place, pitch = buffer
    first = as_reg(tile.row)
    with e.loop(first, as_reg(stop), i64(1), [place]) as rows:
        (line,) = rows.carried
        if tile.vectors == 1 or room.hooks.finish_cost * tile.vectors <= _INLINE_FINISH // 4:
            for v in range(tile.vectors):
                value = lanes.load(offset(e, line, v * lanes.width * lanes.size))
                _finish(room, tile, (rows.index, v), value)
        else:
            _finish_vectors(room, tile, line, rows.index)
        rows.carry(offset(e, line, pitch))


def _finish_vectors(room: Room, tile: Tile, line: Reg, row: Reg) -> None:
    """One copy of the epilogue for all vectors of a row, the tail included; or for pairs first."""
    e, lanes = room.e, room.lanes
    done = 0
    if room.hooks.pair is not None:
        done = (tile.vectors - (tile.tail is not None)) // 2 * 2
        with e.loop(i64(0), i64(done), i64(2)) as pairs:
            finish_pair(room, tile, (row, as_reg(mul(e, pairs.index, lanes.width))), line)
    if done == tile.vectors:
        return
    with e.loop(i64(done), i64(tile.vectors), i64(1)) as vectors:
        lane = as_reg(mul(e, vectors.index, lanes.width))
        value = lanes.load(offset(e, line, mul(e, lane, lanes.size)))
        column = as_reg(add(e, tile.col, lane))
        mask: Reg | None = None
        count: Size | None = None
        if tile.tail is not None:
            before_tail = (tile.vectors - 1) * lanes.width
            inside = add(e, tile.tail.count, before_tail)
            count = e.emit("i64", f"sub nsw i64 {as_reg(inside).name}, {lane.name}")
            tail = lanes.tail(count)
            mask = lanes.mask_of(tail)
        room.hooks.finish(e, TileRow(as_reg(row), column, value, mask, count, tile.batch))


def finish_pair(room: Room, tile: Tile, at: tuple[Reg, Size], line: Reg) -> None:
    """Two vectors of sums from `line` on, the first at (row, lane after the tile's column)."""
    lanes = replace(room.lanes, width=2 * room.lanes.width)
    both = lanes.load(offset(room.e, line, mul(room.e, at[1], lanes.size)))
    _finish_pair(room, tile, at, both)


def _finish_pair(room: Room, tile: Tile, at: tuple[Reg, Size], both: Reg) -> None:
    column = as_reg(add(room.e, tile.col, at[1]))
    assert room.hooks.pair is not None
    room.hooks.pair(room.e, TileRow(at[0], column, both, None, None, tile.batch))


def _finish(room: Room, tile: Tile, at: tuple[Size, int], value: Reg) -> None:
    row, v = at
    last = v == tile.vectors - 1 and tile.tail is not None
    tail = tile.tail if last else None
    mask = room.lanes.mask_of(tail)
    column = as_reg(add(room.e, tile.col, v * room.lanes.width))
    count = tail.count if tail is not None else None
    room.hooks.finish(room.e, TileRow(as_reg(row), column, value, mask, count, tile.batch))
