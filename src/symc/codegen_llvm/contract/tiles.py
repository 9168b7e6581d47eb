"""Which tiles a contraction is cut into: a function of sizes, strides, dtype and target only.

before: a `Contraction` and a `VectorTarget`.
after: a `Plan`: the kind of kernel, its register tiles, and the rows and columns of a block.

Invariants: nothing here depends on threads or chunks, so neither do the bits of a result; a tile's
accumulators and the operands it holds fit the vector registers (wider IR spills silently).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from symc.codegen_llvm.contract.spec import BYTES, Contraction, Size, VectorTarget
from symc.records import dataclass

_LATENCY = 4  # cycles of one fma
_NOMINAL_ROWS = 96  # a run-time number of rows is planned as if it were this
_NOMINAL_COLUMNS = 1024
_NOMINAL_DEPTH = 512
_BLOCK_ROWS = 128  # above, rows are cut into groups
_PACKED_BLOCK_ROWS = 256
_SHORT_DEPTH = 96  # below, a dot product ends in more shuffles than products
_TINY_DEPTH = 32  # below, even for one row
_LONG_DEPTH = 384  # from here on, they are no matter
_FEW_ROWS = 4
_LITTLE_REUSE = 16  # rows that a transposed copy of the right operand serves
_MUCH_REUSE = 96
_STREAM_COLUMNS = 64
_STREAMED_DEPTH = 64
_FEW_TERMS = 4
_WALKED_ROWS = 32
_DEPTH_BYTES = 4096  # of one packed column: k per panel is this over the element size
PACKED_ROWS = 24  # rows that pay for packing
PACKED_DEPTH = 32
LEVEL_TWO = 2 << 20  # bytes of right operand above which AVX-512 code packs as well
UNROLLED_DEPTH = 8  # a static k up to this needs no loop ...
UNROLLED_STEPS = 32  # ... if a tile takes no more multiply-adds than this: longer code spills


@dataclass(frozen=True, slots=True)
class Plan:
    """How a contraction is cut.

    `tile`: rows x vectors accumulators with vectors along the columns, B read in place or packed
    (`packed`; `perhaps`: the sizes of the call decide).  `dot`: rows x columns accumulators with
    vectors along k.  `rows`: few terms, whole rows of the result.  `stream`: one row, all columns
    of a range of blocks at once.
    A block is `rows` x `columns`; in it, row tiles are `row_tiles` high, the tallest first.
    """

    kind: Literal["tile", "dot", "stream", "rows"]
    row_tiles: tuple[int, ...]
    vectors: int
    rows: int
    columns: int
    packed: bool = False
    perhaps: bool = False
    depth: int = 0


def plan(c: Contraction, target: VectorTarget) -> Plan:
    """The plan of a contraction."""
    if _streams(c, target):
        return Plan("stream", (1,), 1, 1, _STREAM_COLUMNS)
    if _walks_rows(c, target):
        return Plan("rows", (1,), 1, _WALKED_ROWS, 0)
    if c.b.col == 1:
        return _tile_plan(c, target, packed=_packs(c, target))
    if _dots(c):
        return _dot_plan(c, target)
    return _tile_plan(c, target, packed=True)


def splits(c: Contraction, rows: int, vectors: int, target: VectorTarget) -> int:
    """Interleaved accumulator sets of a tile over k: 1 unless the order is free and few fit."""
    if c.order == "chain" or rows * vectors >= _busy(target):
        return 1
    if not isinstance(c.m, int) or not isinstance(c.n, int):
        return 1  # many tiles are compiled: keep each small
    if isinstance(c.k, int) and c.k <= 2 * UNROLLED_DEPTH:
        return 1
    count = 1
    while count * rows * vectors < _busy(target):
        count *= 2
    return count


def _busy(target: VectorTarget) -> int:
    """Independent accumulators that keep the multiply-add units full."""
    return 8 if target.registers >= 16 else 4


def _dots(c: Contraction) -> bool:
    if c.order == "chain" or c.b.row != 1 or c.a.col != 1:
        return False
    if isinstance(c.k, int) and c.k < _TINY_DEPTH:
        return False
    m = c.m if isinstance(c.m, int) else _LITTLE_REUSE - 1
    k = c.k if isinstance(c.k, int) else _LONG_DEPTH
    if m < _FEW_ROWS or k >= _LONG_DEPTH:
        return m < _MUCH_REUSE
    return k >= _SHORT_DEPTH and m < _LITTLE_REUSE


def _streams(c: Contraction, target: VectorTarget) -> bool:
    """One row and more columns than one tile has."""
    if c.m != 1 or c.b.col != 1 or c.batch:
        return False
    return not isinstance(c.n, int) or c.n > 8 * target.lanes(c.dtype)


def may_stream(c: Contraction, target: VectorTarget) -> bool:
    """Whether a number of rows known at the call is worth a kernel of its own where it is one."""
    if isinstance(c.m, int) or not isinstance(c.k, int) or c.k < _STREAMED_DEPTH:
        return False
    return _streams(replace(c, m=1), target)


def _walks_rows(c: Contraction, target: VectorTarget) -> bool:
    """Few terms and more columns than a tile has: bound by the memory of the result."""
    if c.b.col != 1 or c.m == 1 or not isinstance(c.k, int) or c.k > _FEW_TERMS:
        return False
    return not isinstance(c.n, int) or c.n > 4 * target.lanes(c.dtype)


def _packs(c: Contraction, target: VectorTarget) -> bool:
    """Whether contiguous columns are better copied: aligned, in few pages, in few cache sets."""
    if not (isinstance(c.m, int) and isinstance(c.k, int) and isinstance(c.n, int)):
        return False
    if c.m < PACKED_ROWS or c.k < PACKED_DEPTH:
        return False
    size = BYTES[c.dtype]
    same_sets = isinstance(c.b.row, int) and c.b.row * size % 4096 == 0
    return target.registers < 32 or same_sets or c.k * c.n * size > LEVEL_TWO


def _may_pack(c: Contraction) -> bool:
    """Whether only the sizes of the call can tell if a copy is worth it."""
    if all(isinstance(size, int) for size in (c.m, c.n, c.k)):
        return False
    few = isinstance(c.m, int) and c.m < PACKED_ROWS
    return not few and not (isinstance(c.k, int) and not PACKED_DEPTH <= c.k <= _depth(c))


def _depth(c: Contraction) -> int:
    """k per packed panel."""
    most = _DEPTH_BYTES // BYTES[c.dtype]
    return min(most, max(c.k, 1)) if isinstance(c.k, int) else most


def _row_tiles(m: Size, tall: int) -> tuple[int, ...]:
    if not isinstance(m, int):
        return tuple(sorted({tall, min(2, tall), 1}, reverse=True))
    if m <= tall:
        return (max(m, 1),)
    return (tall, m % tall) if m % tall else (tall,)


def _block_rows(m: Size, tall: int, most: int = _BLOCK_ROWS) -> int:
    if isinstance(m, int) and m <= most:
        return max(m, 1)
    return tall * max(1, most // tall)


def _tile_cycles(c: Contraction, rows: int, vectors: int, target: VectorTarget) -> float:
    """Estimated cycles of one step of k of a tile."""
    wide = target.bits >= 512
    sums = rows * vectors
    issue = sums / (1 if wide else 2)
    latency = _LATENCY / splits(c, rows, vectors, target)
    loads = vectors + rows / 2 if wide else (vectors + rows) / 2
    if wide:
        return max(issue, latency, loads) + 0.35 * vectors + 0.1  # the panel comes from L2
    return max(issue, latency, loads, 1.75 * vectors) + 0.5


def _fits(rows: int, vectors: int, target: VectorTarget) -> bool:
    held = rows * vectors + min(rows, vectors) + 1
    return held <= target.registers and not (rows == 1 and vectors > 8)


def _tile_plan(c: Contraction, target: VectorTarget, *, packed: bool) -> Plan:
    width = target.lanes(c.dtype)
    m = c.m if isinstance(c.m, int) else _NOMINAL_ROWS
    n = c.n if isinstance(c.n, int) else _NOMINAL_COLUMNS
    best: tuple[float, int, int] | None = None
    for rows in range(1, 15):
        for vectors in range(1, 9):
            if not _fits(rows, vectors, target) or rows > max(m, 1):
                continue
            if vectors > max(1, -(-n // width)):
                continue
            cost = _grid_cost(c, (rows, vectors), target, (m, n))
            if best is None or cost < best[0]:
                best = (cost, rows, vectors)
    assert best is not None
    _, rows, vectors = best
    return Plan(
        "tile",
        _row_tiles(c.m, rows),
        vectors,
        _block_rows(c.m, rows, _PACKED_BLOCK_ROWS if packed else _BLOCK_ROWS),
        vectors * width,
        packed=packed,
        perhaps=c.b.col == 1 and not packed and _may_pack(c),
        depth=_depth(c),
    )


def _grid_cost(
    c: Contraction, tile: tuple[int, int], target: VectorTarget, sizes: tuple[int, int]
) -> float:
    """Estimated cycles per step of k over all tiles, a little more for each kernel to compile."""
    (rows, vectors), (m, n) = tile, sizes
    total = -(-n // target.lanes(c.dtype))
    cycles = 0.0
    kernels = 0
    for wide, panels in ((vectors, total // vectors), (total % vectors, 1)):
        if not wide or not panels:
            continue
        for tall, count in ((rows, m // rows), (m % rows, 1)):
            if tall and count:
                kernels += 1
                cycles += panels * count * _tile_cycles(c, tall, wide, target)
    narrow = (0.02 if target.bits >= 512 else 0.002) * max(0, 4 - vectors)
    return cycles * (1 + 0.015 * (kernels - 1)) * (1 + narrow)


def _dot_plan(c: Contraction, target: VectorTarget) -> Plan:
    tall = 6 if target.registers >= 32 else 3
    if isinstance(c.m, int):
        count = -(-max(c.m, 1) // tall)
        tall = -(-max(c.m, 1) // count)
    width = target.lanes(c.dtype)
    return Plan("dot", _row_tiles(c.m, tall), 1, _block_rows(c.m, tall), width)


def dot_columns(rows: int, width: int, target: VectorTarget) -> int:
    """Columns of a dot tile of `rows` rows: a power of two, at most the lanes."""
    few = 8 if rows == 1 or (rows == 2 and target.registers >= 32) else 4
    return min(few, width)
