"""Few terms, many columns: the result (or a matrix being updated) is walked row by row, once.

before: a contraction with few terms k; optionally a matrix `w` of the result's shape that is read
on the way, and whose products with the right operand are summed along the columns.
after: every run of columns finished in memory order; the side sums in scratch.

Invariants: a result is the ascending fma chain over k; `w` is read before the epilogue of its run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from symc.codegen_llvm.contract.dot import lane_sums
from symc.codegen_llvm.contract.lanes import Tail
from symc.codegen_llvm.contract.room import Corner, Room
from symc.codegen_llvm.contract.size import add, as_reg, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Operand, TileRow
from symc.codegen_llvm.text import Emitter, Reg, i64
from symc.records import dataclass

_HELD_TERMS = 2  # vectors of the right operand held in registers, row after row
_STRAIGHT = 2  # whole vectors of a static row that need no loop

Revise: TypeAlias = Callable[[Emitter, TileRow, Reg], None]


@dataclass(frozen=True, slots=True)
class Walked:
    """A matrix read along the way: `revise` gets its old value and stores; side sums to `sums`.

    Side sum (term, row) goes to `sums` + (term * pitch + row in block) elements.
    """

    matrix: Operand
    revise: Revise
    sums: Reg
    pitch: int


def emit_rows(room: Room, corner: Corner, walked: Walked | None = None) -> None:
    """Emit rows [corner.row, corner.stop), all columns from `corner.col`."""
    e = room.e
    at = as_reg(corner.row)
    heights = heights_of(room, side=walked is not None)
    for height in heights:
        limit = as_reg(add(e, corner.stop, 1 - height))
        with e.loop(at, limit, i64(height)) as rows:
            _Strip(room, corner, walked, rows.index, height).emit()
        at = rows.index


def heights_of(room: Room, *, side: bool) -> tuple[int, ...]:
    """How many rows are walked together: the accumulators of side sums must fit."""
    terms = room.c.k
    assert isinstance(terms, int)
    height = 2
    if room.target.registers >= 32:
        height = 4
    elif not side and terms == 1:
        height = 1
    while side and height > 1 and terms * height + 2 * height + 2 > room.target.registers:
        height //= 2
    return (height, 1) if height > 1 else (1,)


def side_sums_fit(terms: int, registers: int) -> bool:
    """Whether summing along the way beats a pass of its own over cached rows."""
    return terms <= (4 if registers < 32 else 8)


@dataclass(frozen=True, slots=True)
class _Strip:
    """`height` rows from `row`."""

    room: Room
    corner: Corner
    walked: Walked | None
    row: Reg
    height: int

    @property
    def terms(self) -> int:
        terms = self.room.c.k
        assert isinstance(terms, int)
        return terms

    def emit(self) -> None:
        """All columns of the strip, then its side sums."""
        side = self.walked is not None
        first = [self.room.lanes.zero()] * (self.terms * self.height if side else 0)
        held = self._left() if self._holds(side=side) else None
        sums = self._columns(first, held)
        if side:
            self._keep(sums)

    def _holds(self, *, side: bool) -> bool:
        """Whether the left operand's splats stay in registers for the whole strip."""
        splats = self.terms * self.height
        return (2 if side else 1) * splats + self.terms + 7 <= self.room.target.registers

    def _left(self) -> list[list[Reg]]:
        return [[self._splat(r, t) for t in range(self.terms)] for r in range(self.height)]

    def _splat(self, r: int, t: int) -> Reg:
        room, e = self.room, self.room.e
        row = as_reg(add(e, self.row, r))
        down = mul(e, sub(e, row, self.corner.row), room.a.row)
        pointer = offset(e, offset(e, self.corner.a, down), mul(e, room.a.col, t))
        return room.lanes.splat(room.load_a(Access(pointer, row, i64(t), room.c.dtype)))

    def _columns(self, sums: list[Reg], held: list[list[Reg]] | None) -> list[Reg]:
        """Every vector of the rows; the side sums are carried along."""
        e, n, width = self.room.e, self.room.c.n, self.room.lanes.width
        first = self.corner.col
        if isinstance(n, int) and first == 0 and n // width <= _STRAIGHT:
            for v in range(n // width):
                sums = self._vector(i64(v * width), sums, held, None)
            start = i64(n // width * width)
        else:
            whole = as_reg(sub(e, n, width - 1))
            with e.loop(as_reg(first), whole, i64(width), sums) as vectors:
                after = self._vector(vectors.index, list(vectors.carried), held, None)
                vectors.carry(*after)
            sums, start = list(vectors.carried), vectors.index
        if isinstance(n, int):
            rest = n % width
            return self._vector(start, sums, held, self.room.lanes.tail(rest)) if rest else sums
        with e.loop(start, n, i64(width), sums) as last:
            tail = self.room.lanes.tail(sub(e, n, last.index))
            last.carry(*self._vector(last.index, list(last.carried), held, tail))
        return list(last.carried)

    def _vector(
        self, col: Reg, sums: list[Reg], held: list[list[Reg]] | None, tail: Tail | None
    ) -> list[Reg]:
        """One vector of columns of every row of the strip."""
        lanes = self.room.lanes
        mask = lanes.mask_of(tail)
        sums = list(sums)
        rows = range(self.height)
        groups = [[r] for r in rows] if self.terms <= _HELD_TERMS else [list(rows)]
        shared = [self._right(t, col, mask) for t in range(self.terms)] if len(groups) > 1 else []
        for group in groups:
            old = [self._old(r, col, mask) for r in group] if self.walked else []
            totals = [lanes.zero()] * len(group)
            for t in range(self.terms):
                right = shared[t] if shared else self._right(t, col, mask)
                for i, r in enumerate(group):
                    if sums:
                        at = t * self.height + r
                        sums[at] = lanes.fma(old[i], right, sums[at])
                    left = held[r][t] if held is not None else self._splat(r, t)
                    totals[i] = lanes.fma(left, right, totals[i])
            for i, r in enumerate(group):
                self._finish((r, col), totals[i], old[i] if old else None, (mask, tail))
        return sums

    def _finish(
        self,
        at: tuple[int, Reg],
        total: Reg,
        old: Reg | None,
        end: tuple[Reg | None, Tail | None],
    ) -> None:
        mask, tail = end
        row = as_reg(add(self.room.e, self.row, at[0]))
        count = tail.count if tail is not None else None
        run = TileRow(row, at[1], total, mask, count, self.corner.batch)
        if self.walked is not None and old is not None:
            self.walked.revise(self.room.e, run, old)
        else:
            self.room.hooks.finish(self.room.e, run)

    def _old(self, r: int, col: Reg, mask: Reg | None) -> Reg:
        assert self.walked is not None
        room, e, matrix = self.room, self.room.e, self.walked.matrix
        size = room.lanes.size
        down = mul(e, add(e, self.row, r), mul(e, matrix.row, size))
        pointer = offset(e, offset(e, matrix.base, down), mul(e, col, size))
        return room.lanes.load(pointer, mask)

    def _right(self, t: int, col: Reg, mask: Reg | None) -> Reg:
        room, e = self.room, self.room.e
        across = mul(e, sub(e, col, self.corner.col), room.lanes.size)
        pointer = offset(e, offset(e, self.corner.b, mul(e, room.b.row, t)), across)
        return room.load_b(Access(pointer, i64(t), col, room.lanes.type, "col", mask))

    def _keep(self, sums: Sequence[Reg]) -> None:
        """Store the side sums of the strip's rows, term by term."""
        assert self.walked is not None
        assert self.walked.sums is not None
        room, e, size = self.room, self.room.e, self.room.lanes.size
        place = mul(e, sub(e, self.row, self.corner.row), size)
        for t in range(self.terms):
            value = lane_sums(room.lanes, sums[t * self.height : (t + 1) * self.height])
            line = offset(e, self.walked.sums, t * self.walked.pitch * size)
            e.line(f"store {value}, ptr {offset(e, line, place).name}, align {size}")
