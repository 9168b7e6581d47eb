"""One row times a matrix: the matrix is read once, front to back, a few rows of k at a time.

before: a single row (m = 1), columns contiguous, many columns.
after: the sums of a run of blocks, kept in scratch while k advances, then finished.

Invariants: each sum is the ascending fma chain over k, so its bits equal those of a tile.
"""

from __future__ import annotations

from symc.codegen_llvm.contract.blocked import TILE_BYTES
from symc.codegen_llvm.contract.lanes import Tail
from symc.codegen_llvm.contract.room import Corner, Room, Tile, finish_buffer, finish_pair
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Size
from symc.codegen_llvm.text import Reg, i64
from symc.records import dataclass

STREAM_BYTES = 8192  # the sums of one run of columns
_ROWS = 8  # of a CPU with many registers, whose vectors are cache lines
_FEW_ROWS = 4  # of others, two vectors of each at once, and the next rows asked for


def emit_stream(room: Room, corner: Corner, stop: Size) -> None:
    """Emit columns [corner.col, stop) of a single row."""
    e, lanes = room.e, room.lanes
    buffer = offset(e, room.scratch, TILE_BYTES)
    columns = STREAM_BYTES // lanes.size
    with e.loop(as_reg(corner.col), as_reg(stop), i64(columns)) as runs:
        count = least(e, sub(e, stop, runs.index), columns)
        first = mul(e, sub(e, runs.index, corner.col), lanes.size)
        run = _Run(room, corner, runs.index, count, offset(e, corner.b, first), buffer)
        run.clear()
        run.sum()
        run.finish()


@dataclass(frozen=True, slots=True)
class _Run:
    """`count` columns from `col`; `right` points at (0, col) of the matrix."""

    room: Room
    corner: Corner
    col: Reg
    count: Size
    right: Reg
    buffer: Reg

    def clear(self) -> None:
        """Zero the sums, whole vectors."""
        room, lanes = self.room, self.room.lanes
        with room.e.loop(i64(0), as_reg(self.count), i64(lanes.width)) as vectors:
            place = offset(room.e, self.buffer, mul(room.e, vectors.index, lanes.size))
            lanes.store(lanes.zero(), place)

    def sum(self) -> None:
        """Add every row of k."""
        room, e = self.room, self.room.e
        start, depth = i64(0), room.c.k
        for rows in (_ROWS if room.lanes.mask_registers else _FEW_ROWS, 1):
            whole = as_reg(sub(e, depth, rows - 1))
            with e.loop(start, whole, i64(rows)) as steps:
                self._add_rows(steps.index, rows)
            start = steps.index

    def _add_rows(self, k: Reg, rows: int) -> None:
        room, e, lanes = self.room, self.room.e, self.room.lanes
        spread, pointers = [], []
        for r in range(rows):
            depth = as_reg(add(e, k, r))
            left = offset(e, self.corner.a, mul(e, depth, room.a.col))
            spread.append(lanes.splat(room.load_a(Access(left, i64(0), depth, room.c.dtype))))
            pointers.append(offset(e, self.right, mul(e, depth, room.b.row)))
        start = i64(0)
        for across in (1,) if lanes.mask_registers else (2, 1):
            run = across * lanes.width
            whole = as_reg(sub(e, self.count, run - 1))
            with e.loop(start, whole, i64(run)) as vectors:
                if across > 1 and rows > 1:
                    self._ask_for(vectors.index, pointers[0], rows)
                self._add_vectors((k, vectors.index), spread, pointers, [None] * across)
            start = vectors.index
        with e.loop(start, as_reg(self.count), i64(lanes.width)) as rest:
            tail = lanes.tail(sub(e, self.count, rest.index))
            self._add_vectors((k, rest.index), spread, pointers, [tail])

    def _ask_for(self, lane: Reg, pointer: Reg, rows: int) -> None:
        """A cache line of each of the rows that come next."""
        room, e, lanes = self.room, self.room.e, self.room.lanes
        place = offset(e, pointer, mul(e, lane, lanes.size))
        for r in range(rows, 2 * rows):
            lanes.prefetch(offset(e, place, mul(e, room.b.row, r)), 1)

    def _add_vectors(
        self,
        at: tuple[Reg, Reg],
        spread: list[Reg],
        pointers: list[Reg],
        tails: list[Tail | None],
    ) -> None:
        """Neighbouring vectors, the first at `at`, each with its tail."""
        room, e, lanes = self.room, self.room.e, self.room.lanes
        k, lane = at
        step = mul(e, lane, lanes.size)
        place = offset(e, self.buffer, step)
        nbytes = lanes.width * lanes.size
        totals = [lanes.load(offset(e, place, v * nbytes)) for v in range(len(tails))]
        masks = [lanes.mask_of(tail) for tail in tails]
        hooked = room.hooks.load_b is not None
        for r, (one, pointer) in enumerate(zip(spread, pointers, strict=True)):
            row = as_reg(add(e, k, r)) if hooked else i64(0)
            first = offset(e, pointer, step)
            for v, mask in enumerate(masks):
                beyond = v * lanes.width
                column = as_reg(add(e, add(e, self.col, lane), beyond)) if hooked else i64(0)
                right = offset(e, first, v * nbytes)
                access = Access(right, row, column, lanes.type, "col", mask)
                totals[v] = lanes.fma(one, room.load_b(access), totals[v])
        for v, total in enumerate(totals):
            lanes.store(total, offset(e, place, v * nbytes))

    def finish(self) -> None:
        """Hand the sums to the epilogue, a vector at a time."""
        e, lanes = self.room.e, self.room.lanes
        width, start = lanes.width, i64(0)
        if self.room.hooks.pair is not None:
            tile = Tile(self.corner.batch, 0, 0, self.col, 1, None, self.corner.a)
            with e.loop(start, as_reg(sub(e, self.count, 2 * width - 1)), i64(2 * width)) as pairs:
                finish_pair(self.room, tile, (i64(0), pairs.index), self.buffer)
            start = pairs.index
        whole = as_reg(sub(e, self.count, width - 1))
        with e.loop(start, whole, i64(width)) as vectors:
            self._finish(vectors.index, None)
        with e.loop(vectors.index, as_reg(self.count), i64(width)) as rest:
            self._finish(rest.index, lanes.tail(sub(e, self.count, rest.index)))

    def _finish(self, lane: Reg, tail: Tail | None) -> None:
        room, e = self.room, self.room.e
        column = add(e, self.col, lane)
        tile = Tile(self.corner.batch, 0, 0, column, 1, tail, self.corner.a)
        place = offset(e, self.buffer, mul(e, lane, room.lanes.size))
        finish_buffer(room, tile, (place, 0), 1)
