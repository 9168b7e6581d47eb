"""A block of tiles with vectors along the columns: the right operand read in place or packed.

before: a corner (batch, rows, columns) of the result.
after: its tiles, each finished in registers; or, packed, panels of k copied to scratch and the
sums kept there between panels.

Invariants: packing changes no bit: a sum is carried through memory, not split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from symc.codegen_llvm.contract.lanes import Tail
from symc.codegen_llvm.contract.pack import Strip, pack_strip
from symc.codegen_llvm.contract.room import (
    Corner,
    Room,
    Tile,
    either,
    finish_buffer,
    finish_tile,
    for_row_tiles,
)
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Size
from symc.codegen_llvm.contract.tile import Panel, tile_sums
from symc.codegen_llvm.contract.tiles import LEVEL_TWO, PACKED_DEPTH, PACKED_ROWS
from symc.codegen_llvm.text import Reg, i64

TILE_BYTES = 2048  # scratch for the sums of one tile, where the epilogue is a loop


def emit_block(room: Room, corner: Corner) -> None:
    """Emit one block, right operand in place, or copied if the sizes at hand make it worth it."""
    first, step = corner.b, room.b.row
    if room.plan.perhaps and room.hooks.load_b is None:
        first, step = _perhaps_packed(room, corner)

    def panel(vectors: int, tail: Tail | None, column: Size) -> None:
        right = offset(room.e, first, mul(room.e, sub(room.e, column, corner.col), room.b.col))
        source = Panel(right, step, room.c.k)

        def tile(row: Size, height: int) -> None:
            at = tile_at(room, corner, (row, height), (column, vectors), tail)
            finish_tile(room, at, tile_sums(room, at, source))

        for_row_tiles(room, corner.row, corner.stop, tile)

    for_panels(room, corner.col, panel)


def _perhaps_packed(room: Room, corner: Corner) -> tuple[Reg, Reg]:
    """Where the block's columns are, and the bytes from row to row: packed, or as they were."""
    e, c = room.e, room.c
    worth = _all(
        room,
        _at_least(room, sub(e, corner.stop, corner.row), PACKED_ROWS),
        _at_least(room, c.k, PACKED_DEPTH),
        _at_least(room, room.plan.depth, c.k),
        _lies_badly(room),
    )
    pack, after, before = e.new_label("pack"), e.new_label("after"), e.block
    e.branch(worth, pack, after)
    e.open(pack)
    strip = _strip(room, corner, 0, c.k)
    pack_strip(room, strip)
    packed = e.block
    e.jump(after)
    e.open(after)
    first = e.phi("ptr", [(corner.b, before), (strip.packed, packed)])
    step = e.phi("i64", [(as_reg(room.b.row), before), (i64(strip.pitch), packed)])
    return first, step


def _at_least(room: Room, a: Size, b: Size) -> Reg:
    return room.e.emit("i1", f"icmp sge i64 {as_reg(a).name}, {as_reg(b).name}")


def _all(room: Room, first: Reg, *others: Reg) -> Reg:
    for other in others:
        first = room.e.emit("i1", f"and i1 {first.name}, {other.name}")
    return first


def _lies_badly(room: Room) -> Reg:
    """With few registers (narrow panels) always; else where rows share cache sets, or are many."""
    e, c = room.e, room.c
    if room.target.registers < 32:
        return Reg("true", "i1")
    over = e.emit("i64", f"and i64 {as_reg(room.b.row).name}, 4095")
    same_sets = e.emit("i1", f"icmp eq i64 {over.name}, 0")
    many = _at_least(room, mul(e, c.k, mul(e, c.n, room.lanes.size)), LEVEL_TWO)
    return e.emit("i1", f"or i1 {same_sets.name}, {many.name}")


def tile_at(
    room: Room,
    corner: Corner,
    rows: tuple[Size, int],
    columns: tuple[Size, int],
    tail: Tail | None,
) -> Tile:
    """The tile at a row and column of a block."""
    down = mul(room.e, sub(room.e, rows[0], corner.row), room.a.row)
    left = offset(room.e, corner.a, down)
    return Tile(corner.batch, rows[0], rows[1], columns[0], columns[1], tail, left)


def for_panels(room: Room, column: Size, body: Callable[[int, Tail | None, Size], None]) -> None:
    """Emit `body(vectors, tail, column)` for what the block at `column` may be.

    A full panel, or the last one: of a static size, or (run-time sizes) one vector at a time.
    """
    n, wide, width = room.c.n, room.plan.vectors, room.lanes.width
    columns = wide * width
    if not isinstance(n, int):
        _run_time_panels(room, column, body)
        return
    full, rest = divmod(n, columns)
    last = -(-rest // width)
    count = rest - (last - 1) * width
    tail = room.lanes.tail(count) if rest and count < width else None
    if not full:
        body(last, tail, column)
    elif not rest:
        body(wide, None, column)
    elif last == wide and tail is not None and (room.target.mask_registers or room.plan.packed):
        inside = sub(room.e, n - (wide - 1) * width, column)
        either_tail = room.lanes.tail(least(room.e, inside, width))
        body(wide, replace(either_tail, last=count), column)
    else:
        test = room.e.emit("i1", f"icmp slt i64 {as_reg(column).name}, {full * columns}")
        either(room, test, lambda: body(wide, None, column), lambda: body(last, tail, column))


def _run_time_panels(
    room: Room, column: Size, body: Callable[[int, Tail | None, Size], None]
) -> None:
    e, n, width = room.e, room.c.n, room.lanes.width
    columns = room.plan.vectors * width
    end = as_reg(add(e, column, columns))
    test = e.emit("i1", f"icmp sle i64 {end.name}, {as_reg(n).name}")

    def narrow() -> None:
        with e.loop(as_reg(column), as_reg(n), i64(width)) as vectors:
            count = least(e, sub(e, n, vectors.index), width)
            body(1, room.lanes.tail(count), vectors.index)

    either(room, test, lambda: body(room.plan.vectors, None, column), narrow)


def packed_bytes(vectors: int, depth: int, rows: int, vector_bytes: int) -> int:
    """Scratch of a packed block: one tile, one panel of k, and the block's sums."""
    return TILE_BYTES + (depth + rows) * vectors * vector_bytes


def emit_packed_block(room: Room, corner: Corner) -> None:
    """Emit one block whose right operand is packed, `plan.depth` of k at a time."""
    if isinstance(room.c.k, int) and room.c.k <= room.plan.depth:
        _packed_once(room, corner)
    else:
        _packed_in_chunks(room, corner)


def _strip(room: Room, corner: Corner, first: Size, depth: Size) -> Strip:
    e, width = room.e, room.plan.vectors * room.lanes.width
    count = least(e, sub(e, room.c.n, corner.col), width)
    if isinstance(room.c.n, int) and room.c.n % width == 0:
        count = width
    right = offset(e, corner.b, mul(e, first, room.b.row))
    packed = offset(e, room.scratch, TILE_BYTES)
    return Strip(right, packed, width * room.lanes.size, corner.col, count, first, depth)


def _packed_once(room: Room, corner: Corner) -> None:
    """All of k at once: sums never leave registers unfinished."""
    strip = _strip(room, corner, 0, room.c.k)
    pack_strip(room, strip)

    def panel(vectors: int, tail: Tail | None, column: Size) -> None:
        across = mul(room.e, sub(room.e, column, corner.col), room.lanes.size)
        packed = offset(room.e, strip.packed, across)
        source = Panel(packed, strip.pitch, room.c.k, 0, packed=True)

        def tile(row: Size, height: int) -> None:
            at = tile_at(room, corner, (row, height), (column, vectors), tail)
            finish_tile(room, at, tile_sums(room, at, source))

        for_row_tiles(room, corner.row, corner.stop, tile)

    for_panels(room, corner.col, panel)


def _packed_in_chunks(room: Room, corner: Corner) -> None:
    """k in chunks; between them the block's sums live in scratch."""
    e = room.e
    pitch = room.plan.vectors * room.lanes.width * room.lanes.size
    buffer = offset(e, room.scratch, TILE_BYTES + (room.plan.depth + room.lanes.width) * pitch)
    _clear(room, buffer, mul(e, sub(e, corner.stop, corner.row), pitch))
    with e.loop(i64(0), as_reg(room.c.k), i64(room.plan.depth)) as chunk:
        depth = least(e, sub(e, room.c.k, chunk.index), room.plan.depth)
        strip = _strip(room, corner, chunk.index, depth)
        pack_strip(room, strip)
        left = replace(corner, a=offset(e, corner.a, mul(e, chunk.index, room.a.col)))

        def panel(vectors: int, tail: Tail | None, column: Size) -> None:
            across = mul(e, sub(e, column, corner.col), room.lanes.size)
            packed = offset(e, strip.packed, across)
            source = Panel(packed, pitch, depth, chunk.index, packed=True)

            def tile(row: Size, height: int) -> None:
                at = tile_at(room, left, (row, height), (column, vectors), tail)
                line = offset(e, buffer, mul(e, sub(e, row, corner.row), pitch))
                _accumulate(room, at, source, (offset(e, line, across), pitch))

            for_row_tiles(room, corner.row, corner.stop, tile)

        for_panels(room, corner.col, panel)

    def finish(vectors: int, tail: Tail | None, column: Size) -> None:
        across = mul(e, sub(e, column, corner.col), room.lanes.size)
        whole = Tile(corner.batch, corner.row, 0, column, vectors, tail, corner.a)
        finish_buffer(room, whole, (offset(e, buffer, across), pitch), corner.stop)

    for_panels(room, corner.col, finish)


def _accumulate(room: Room, tile: Tile, panel: Panel, buffer: tuple[Reg, int]) -> None:
    """Add the panel's products to the sums in memory, rows `buffer[1]` bytes apart."""
    lanes = room.lanes
    size = lanes.width * lanes.size
    line, pitch = buffer
    places = [
        offset(room.e, line, r * pitch + v * size)
        for r in range(tile.rows)
        for v in range(tile.vectors)
    ]
    sums = tile_sums(room, tile, panel, [lanes.load(place) for place in places])
    for value, place in zip(chain.from_iterable(sums), places, strict=True):
        lanes.store(value, place)


def _clear(room: Room, buffer: Reg, nbytes: Size) -> None:
    lanes = room.lanes
    with room.e.loop(i64(0), as_reg(nbytes), i64(lanes.width * lanes.size)) as vectors:
        lanes.store(lanes.zero(), offset(room.e, buffer, vectors.index))
