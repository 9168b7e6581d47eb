"""Contractions as LLVM IR: the loop over blocks, and which kernel fills a block.

before: a `Contraction` (sizes, strides, operands), `Hooks`, a range of blocks.
after: loops in the open function that hand every finished sum to `hooks.finish` exactly once.

A block is `Blocking.rows` x `Blocking.columns` of one batch element's result; blocks are numbered
with row groups fastest, then column panels, then the batch indices (last fastest):
`count = prod(batch) * ceil(n / columns) * ceil(m / rows)`.  The range [begin, end) decides nothing
but which blocks are done, never a bit of a result.

Invariants: no memory outside the operands' elements and the declared scratch is touched; no
external symbol is needed; k = 0 gives zeros (the epilogue still runs); m = 0 or n = 0 does nothing.
"""

from __future__ import annotations

from symc.codegen_llvm.contract.blocked import (
    TILE_BYTES,
    emit_block,
    emit_packed_block,
    packed_bytes,
)
from symc.codegen_llvm.contract.dot import emit_dot_block
from symc.codegen_llvm.contract.lanes import Lanes
from symc.codegen_llvm.contract.room import Corner, Room, Steps, either
from symc.codegen_llvm.contract.rows import emit_rows
from symc.codegen_llvm.contract.size import add, as_reg, ceil_div, least, mul, offset, split
from symc.codegen_llvm.contract.spec import BYTES, Contraction, Hooks, Operand, Size, VectorTarget
from symc.codegen_llvm.contract.stream import STREAM_BYTES, emit_stream
from symc.codegen_llvm.contract.tiles import may_stream, plan
from symc.codegen_llvm.text import Emitter, Reg, i64
from symc.records import dataclass

ALL = 0  # as the columns of a block: all of them, one panel


@dataclass(frozen=True, slots=True)
class Blocking:
    """The parallel cut of a contraction: see the module's docstring for the count of blocks.

    `columns` is `ALL` where a block spans every column (`ceil(n / columns)` is then 1).
    """

    rows: int
    columns: int
    scratch_bytes: int

    def count(self, m: int, n: int, batch: int = 1) -> int:
        """The number of blocks for given sizes."""
        panels = 1 if self.columns == ALL else -(-n // self.columns)
        return batch * -(-m // self.rows) * panels


def blocking(c: Contraction, target: VectorTarget) -> Blocking:
    """The cut of a contraction, and the scratch one thread needs (64-byte aligned)."""
    p = plan(c, target)
    vector = target.bits // 8
    if p.kind == "rows":
        return Blocking(p.rows, ALL, TILE_BYTES)
    if p.kind == "dot":
        scratch = TILE_BYTES + p.rows * vector
    elif p.kind == "stream":
        scratch = TILE_BYTES + STREAM_BYTES
    elif p.packed or p.perhaps:
        scratch = packed_bytes(p.vectors, p.depth + target.lanes(c.dtype), p.rows, vector)
    else:
        scratch = TILE_BYTES
    if may_stream(c, target):
        scratch = max(scratch, TILE_BYTES + STREAM_BYTES)
    return Blocking(p.rows, p.columns, scratch)


def block_count(e: Emitter, c: Contraction, target: VectorTarget) -> Size:
    """The number of all blocks, emitted where sizes are known only at run time."""
    cut = blocking(c, target)
    panels = 1 if cut.columns == ALL else ceil_div(e, c.n, cut.columns)
    count = mul(e, panels, ceil_div(e, c.m, cut.rows))
    for size in c.batch:
        count = mul(e, count, size)
    return count


def emit_contraction(
    e: Emitter,
    c: Contraction,
    blocks: tuple[Reg, Reg],
    hooks: Hooks,
    target: VectorTarget,
    scratch: Reg,
) -> None:
    """Compute blocks [begin, end) of the contraction; each sum goes to `hooks.finish`.

    `scratch` points at `blocking(c, target).scratch_bytes` bytes of this thread.
    """
    if 0 in (c.m, c.n, *c.batch):
        return
    room = room_of(e, c, hooks, target, scratch)
    if room.plan.kind == "stream":
        _emit_stream(room, blocks)
        return
    if isinstance(c.m, Reg) and may_stream(c, target):
        one = e.emit("i1", f"icmp eq i64 {c.m.name}, 1")
        either(room, one, lambda: _emit_stream(room, blocks), lambda: _emit_blocks(room, blocks))
        return
    _emit_blocks(room, blocks)


def _emit_blocks(room: Room, blocks: tuple[Reg, Reg]) -> None:
    """The loop over blocks."""
    e, c = room.e, room.c
    groups = ceil_div(e, c.m, room.plan.rows)
    panels = 1 if room.plan.columns == ALL else ceil_div(e, c.n, room.plan.columns)
    with e.loop(blocks[0], blocks[1], i64(1)) as block:
        rest, group = split(e, block.index, groups)
        rest, panel = split(e, rest, panels)
        corner = corner_of(room, _batch(room, rest), (group, panel))
        if room.plan.kind == "rows":
            emit_rows(room, corner)
        elif room.plan.kind == "dot":
            emit_dot_block(room, corner)
        elif room.plan.packed:
            emit_packed_block(room, corner)
        else:
            emit_block(room, corner)


def _emit_stream(room: Room, blocks: tuple[Reg, Reg]) -> None:
    """All blocks of a range are neighbouring columns of one row: one run."""
    e = room.e
    last = mul(e, blocks[1], room.plan.columns)
    corner = corner_of(room, (), (0, blocks[0]))
    emit_stream(room, corner, least(e, last, room.c.n))


def room_of(e: Emitter, c: Contraction, hooks: Hooks, target: VectorTarget, scratch: Reg) -> Room:
    """What the kernels of a contraction share; emits its byte strides."""
    lanes = Lanes(e, c.dtype, target.lanes(c.dtype), target.mask_registers)
    steps = [_steps(e, operand, BYTES[c.dtype]) for operand in (c.a, c.b)]
    return Room(e, c, hooks, target, plan(c, target), lanes, scratch, *steps)


def _steps(e: Emitter, operand: Operand, size: int) -> Steps:
    batch = tuple(mul(e, stride, size) for stride in operand.batch)
    return Steps(mul(e, operand.row, size), mul(e, operand.col, size), batch)


def _batch(room: Room, index: Size) -> tuple[Size, ...]:
    """The batch indices of a flat one; the first dimension takes what is left."""
    out: list[Size] = []
    for place, size in reversed(list(enumerate(room.c.batch))):
        if place == 0:
            out.append(index)
        else:
            index, low = split(room.e, index, size)
            out.append(low)
    return tuple(reversed(out))


def corner_of(room: Room, batch: tuple[Size, ...], cut: tuple[Size, Size]) -> Corner:
    """The corner of a block: `cut` is its row group and its column panel."""
    e = room.e
    a, b = room.c.a.base, room.c.b.base
    for index, down, across in zip(batch, room.a.batch, room.b.batch, strict=True):
        a = offset(e, a, mul(e, index, down))
        b = offset(e, b, mul(e, index, across))
    row, col = mul(e, cut[0], room.plan.rows), mul(e, cut[1], room.plan.columns)
    stop = least(e, add(e, row, room.plan.rows), room.c.m)
    a = offset(e, a, mul(e, row, room.a.row))
    b = offset(e, b, mul(e, col, room.b.col))
    return Corner(tuple(as_reg(i) for i in batch), row, stop, col, a, b)
