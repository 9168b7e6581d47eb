"""Copies a strip of the right operand to scratch, rows of k, so that tiles read whole vectors.

before: a right operand whose columns are not contiguous.
after: `depth` rows of `vectors` vectors in scratch.  Columns past the last hold copies of the last.

Invariants: only elements of the operand are read; where k is contiguous, W x W squares are
transposed in registers (log2 W rounds of two-input shuffles).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symc.codegen_llvm.contract.lanes import Lanes, Tail
from symc.codegen_llvm.contract.room import Corner, Room
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Size
from symc.codegen_llvm.text import Reg, i64


@dataclass(frozen=True, slots=True)
class Strip:
    """`vectors` vectors of columns from `col` of a block; `right` points at its first element."""

    corner: Corner
    col: Size
    vectors: int
    tail: Tail | None
    right: Reg

    def row_bytes(self, room: Room) -> int:
        """Bytes of one packed row."""
        return self.vectors * room.lanes.width * room.lanes.size


def pack_strip(room: Room, strip: Strip, packed: Reg, depths: tuple[Size, Size]) -> None:
    """Copy k in [first, first + depth) of the strip; `strip.right` is already at `first`.

    `packed` must hold `depth` rounded up to the lanes.
    """
    if room.c.b.col == 1:
        _copy_vectors(room, strip, packed, depths)
        return
    for v in range(strip.vectors):
        last = v == strip.vectors - 1 and strip.tail is not None
        valid = strip.tail.count if last and strip.tail is not None else room.lanes.width
        pointers = _columns(room, strip, v, valid)
        place = offset(room.e, packed, v * room.lanes.width * room.lanes.size)
        first_column = as_reg(add(room.e, strip.col, v * room.lanes.width))
        part = _Part(room, pointers, place, strip.row_bytes(room), first_column)
        if room.c.b.row == 1:
            part.transpose(depths)
        else:
            part.copy(depths)


def _copy_vectors(room: Room, strip: Strip, packed: Reg, depths: tuple[Size, Size]) -> None:
    """Contiguous columns: whole vectors, the last one masked."""
    e, lanes = room.e, room.lanes
    first, depth = depths
    with e.loop(i64(0), as_reg(depth), i64(1), [strip.right, packed]) as rows:
        at, to = rows.carried
        k = as_reg(add(e, first, rows.index)) if room.hooks.load_b else i64(0)
        for v in range(strip.vectors):
            tail = strip.tail if v == strip.vectors - 1 else None
            step = v * lanes.width * lanes.size
            column = as_reg(add(e, strip.col, v * lanes.width)) if room.hooks.load_b else i64(0)
            mask = lanes.mask_of(tail)
            value = room.load_b(Access(offset(e, at, step), k, column, lanes.type, "col", mask))
            lanes.store(value, offset(e, to, step))
        rows.carry(offset(e, at, room.b.row), offset(e, to, strip.row_bytes(room)))


def _columns(room: Room, strip: Strip, v: int, valid: Size) -> list[Reg]:
    """Where each of a vector's columns starts; past the last valid one, the last."""
    e = room.e
    out = []
    for lane in range(room.lanes.width):
        inside = least(e, lane, sub(e, valid, 1))
        column = add(e, inside, v * room.lanes.width)
        out.append(offset(e, strip.right, mul(e, column, room.b.col)))
    return out


@dataclass(frozen=True, slots=True)
class _Part:
    """One vector of columns being packed."""

    room: Room
    columns: Sequence[Reg]
    place: Reg
    step: int
    first_column: Reg

    def copy(self, depths: tuple[Size, Size]) -> None:
        """Element by element: any strides."""
        room, e, lanes = self.room, self.room.e, self.room.lanes
        first, depth = depths
        with e.loop(i64(0), as_reg(depth), i64(1), [i64(0), i64(0)]) as rows:
            at, to = rows.carried
            k = as_reg(add(e, first, rows.index))
            value = Reg("poison", lanes.type)
            for lane, column in enumerate(self.columns):
                access = Access(offset(e, column, at), k, self._column(lane), lanes.dtype)
                one = room.load_b(access)
                value = e.emit(lanes.type, f"insertelement {value}, {one}, i64 {lane}")
            lanes.store(value, offset(e, self.place, to))
            rows.carry(as_reg(add(e, at, room.b.row)), as_reg(add(e, to, self.step)))

    def transpose(self, depths: tuple[Size, Size]) -> None:
        """W x W squares; the last one masked in k."""
        first, depth = depths
        e, width = self.room.e, self.room.lanes.width
        size = self.room.lanes.size
        whole = as_reg(sub(e, depth, width - 1))
        to = i64(0)
        with e.loop(i64(0), whole, i64(width), [to]) as squares:
            at = as_reg(mul(e, squares.index, size))
            self._square(add(e, first, squares.index), at, squares.carried[0], None)
            squares.carry(as_reg(add(e, squares.carried[0], width * self.step)))
        if isinstance(depth, int) and depth % width == 0:
            return
        (to,) = squares.carried
        with e.loop(squares.index, as_reg(depth), i64(width)) as rest:
            tail = self.room.lanes.tail(sub(e, depth, rest.index))
            at = as_reg(mul(e, rest.index, size))
            self._square(add(e, first, rest.index), at, to, tail)

    def _square(self, k: Size, at: Reg, to: Reg, tail: Tail | None) -> None:
        room, e, lanes = self.room, self.room.e, self.room.lanes
        mask = lanes.mask_of(tail)
        rows = []
        for lane, column in enumerate(self.columns):
            pointer = offset(e, column, at)
            access = Access(pointer, as_reg(k), self._column(lane), lanes.type, "row", mask)
            rows.append(room.load_b(access))
        for i, row in enumerate(transposed(lanes, rows)):
            lanes.store(row, offset(e, offset(e, self.place, to), i * self.step))

    def _column(self, lane: int) -> Reg:
        if self.room.hooks.load_b is None:
            return self.first_column
        return as_reg(add(self.room.e, self.first_column, lane))


def transposed(lanes: Lanes, rows: Sequence[Reg]) -> list[Reg]:
    """The W x W square of registers, transposed."""
    width = lanes.width
    out = list(rows)
    span = 1
    while span < width:
        for i in range(width):
            if i & span:
                continue
            a, b = out[i], out[i | span]
            low = [p if not p & span else width + (p ^ span) for p in range(width)]
            high = [p | span if not p & span else width + p for p in range(width)]
            out[i] = lanes.shuffle(a, b, low)
            out[i | span] = lanes.shuffle(a, b, high)
        span *= 2
    return out
