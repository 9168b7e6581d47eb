"""Copies a strip of the right operand to scratch, rows of k, so that tiles read whole vectors.

before: a right operand whose columns are not contiguous, or lie badly in pages and cache sets.
after: `depth` rows of the block's columns in scratch, `pitch` bytes apart.  What lies past the last
column is never finished and may be anything.

Invariants: only elements of the operand are read; where k is contiguous, W x W squares are
transposed in registers.  One copy of the code serves every column and every tail: squares are
large, and so is the time to compile them.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.codegen_llvm.contract.lanes import Lanes
from symc.codegen_llvm.contract.room import Room
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import Access, Size
from symc.codegen_llvm.text import Reg, i64
from symc.records import dataclass

_AHEAD = 16  # rows that are asked for before they are copied


@dataclass(frozen=True, slots=True)
class Strip:
    """`count` columns from `col`, k in [first, first + depth); `right` points at the first of all.

    They go to `packed`, which must hold `depth` rounded up to the lanes.
    """

    right: Reg
    packed: Reg
    pitch: int
    col: Size
    count: Size
    first: Size
    depth: Size


def pack_strip(room: Room, strip: Strip) -> None:
    """Emit the copy of a strip."""
    if room.c.b.col == 1:
        _copy_vectors(room, strip)
    elif room.c.b.row == 1:
        _transpose(room, strip)
    else:
        _copy_elements(room, strip)


def _copy_vectors(room: Room, strip: Strip) -> None:
    """Contiguous columns: whole vectors; where columns may be missing, masked ones."""
    e, lanes = room.e, room.lanes
    vectors = strip.pitch // (lanes.width * lanes.size)
    n = room.c.n
    ragged = not isinstance(n, int) or n % (vectors * lanes.width) != 0
    tails = [
        lanes.tail(as_reg(sub(e, strip.count, v * lanes.width))) if ragged else None
        for v in range(vectors)
    ]
    with e.loop(i64(0), as_reg(strip.depth), i64(1), [strip.right, strip.packed]) as rows:
        at, to = rows.carried
        k = as_reg(add(e, strip.first, rows.index)) if room.hooks.load_b else i64(0)
        lanes.prefetch(offset(e, at, mul(e, room.b.row, _AHEAD)), vectors)
        for v, tail in enumerate(tails):
            step = v * lanes.width * lanes.size
            column = as_reg(add(e, strip.col, v * lanes.width)) if room.hooks.load_b else i64(0)
            mask = lanes.mask_of(tail)
            value = room.load_b(Access(offset(e, at, step), k, column, lanes.type, "col", mask))
            lanes.store(value, offset(e, to, step))
        rows.carry(offset(e, at, room.b.row), offset(e, to, strip.pitch))


def _copy_elements(room: Room, strip: Strip) -> None:
    """Element by element: any strides."""
    e, size = room.e, room.lanes.size
    with e.loop(i64(0), as_reg(strip.depth), i64(1), [strip.right, strip.packed]) as rows:
        k = as_reg(add(e, strip.first, rows.index))
        with e.loop(i64(0), as_reg(strip.count), i64(1), rows.carried) as columns:
            at, to = columns.carried
            column = as_reg(add(e, strip.col, columns.index))
            value = room.load_b(Access(at, k, column, room.c.dtype))
            e.line(f"store {value}, ptr {to.name}, align {size}")
            columns.carry(offset(e, at, room.b.col), offset(e, to, size))
        at, to = rows.carried
        rows.carry(offset(e, at, room.b.row), offset(e, to, strip.pitch))


def _transpose(room: Room, strip: Strip) -> None:
    """W x W squares; past the last column, the last one again; past the last k, zeros."""
    e, lanes = room.e, room.lanes
    width, size = lanes.width, lanes.size
    with e.loop(i64(0), as_reg(strip.count), i64(width)) as vectors:
        columns = []
        for lane in range(width):
            inside = least(e, add(e, vectors.index, lane), sub(e, strip.count, 1))
            columns.append(offset(e, strip.right, mul(e, inside, room.b.col)))
        place = offset(e, strip.packed, mul(e, vectors.index, size))
        with e.loop(i64(0), as_reg(strip.depth), i64(width), [place]) as squares:
            (to,) = squares.carried
            rest = as_reg(sub(e, strip.depth, squares.index))
            mask = lanes.mask_of(lanes.tail(rest))
            at = as_reg(mul(e, squares.index, size))
            first = as_reg(add(e, strip.first, squares.index))
            rows = []
            for lane, column in enumerate(columns):
                index = i64(0)
                if room.hooks.load_b:
                    index = as_reg(add(e, add(e, strip.col, vectors.index), lane))
                access = Access(offset(e, column, at), first, index, lanes.type, "row", mask)
                rows.append(room.load_b(access))
            for i, row in enumerate(transposed(lanes, rows)):
                lanes.store(row, offset(e, to, i * strip.pitch))
            squares.carry(offset(e, to, width * strip.pitch))


def transposed(lanes: Lanes, rows: Sequence[Reg]) -> list[Reg]:
    """The W x W square of registers, transposed.

    First inside 128-bit parts (unpacks), then the parts are dealt out, evens and odds: every step
    is one instruction of AVX2 and AVX-512.
    """
    part = 16 // lanes.size
    out = list(rows)
    span = 1
    while span < part:
        out = _unpacked(lanes, out, span)
        span *= 2
    stride = part
    while stride < lanes.width:
        after = list(out)
        for i in range(lanes.width):
            if i & stride:
                continue
            a, b = out[i], out[i | stride]
            after[i] = lanes.shuffle(a, b, _units(lanes, part, 0))
            after[i | stride] = lanes.shuffle(a, b, _units(lanes, part, 1))
        out = after
        stride *= 2
    ordered = [out[0]] * lanes.width
    for i, row in enumerate(out):
        ordered[i - i % part + _reversed_bits(i % part, part)] = row
    return ordered


def _unpacked(lanes: Lanes, rows: list[Reg], span: int) -> list[Reg]:
    """Rows `span` apart interleaved in units of `span`, low halves of parts, then high halves."""
    part = 16 // lanes.size
    after = list(rows)
    halves = []
    for start in (0, part // 2):
        picks = []
        for base in range(0, lanes.width, part):
            for unit in range(start, start + part // 2, span):
                picks += [base + unit + u for u in range(span)]
                picks += [lanes.width + base + unit + u for u in range(span)]
        halves.append(picks)
    for i in range(lanes.width):
        if i & span:
            continue
        after[i] = lanes.shuffle(rows[i], rows[i | span], halves[0])
        after[i | span] = lanes.shuffle(rows[i], rows[i | span], halves[1])
    return after


def _units(lanes: Lanes, part: int, odd: int) -> list[int]:
    """Every other 128-bit part of a, then of b."""
    starts = range(odd * part, 2 * lanes.width, 2 * part)
    return [start + u for start in starts for u in range(part)]


def _reversed_bits(value: int, count: int) -> int:
    out = 0
    bit = 1
    while bit < count:
        out = out * 2 + (1 if value & bit else 0)
        bit *= 2
    return out
