"""A weight matrix read and rewritten in one pass, with the backward product along the way.

before: x[m, k], g[m, n], W[k, n] and (optionally) a use for d = g W^T with the old W.
after: for each row of W, once: d[m, row] = sum over n of g[m, n] * W[row, n], then
`revise(e, run, old)` with run.value = sum over m of x[m, row] * g[m, n], which stores the new W
(and whatever else it keeps, e.g. a momentum) at (run.row, run.col).

A block is `update_blocking(..).rows` rows of W and all columns; d of those rows is finished in
runs along k: TileRow(row = index of m, col = row of W).

Invariants: W is read once and written once per call; blocks are independent; the bits do not
depend on the cut.  Order "chain" sums d in a chain as well, reading W twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from symc.codegen_llvm.contract.blocked import TILE_BYTES
from symc.codegen_llvm.contract.emit import (
    ALL,
    Blocking,
    blocking,
    corner_of,
    emit_contraction,
    room_of,
)
from symc.codegen_llvm.contract.lanes import Tail
from symc.codegen_llvm.contract.room import Corner, Room
from symc.codegen_llvm.contract.rows import Revise, Walked, emit_rows, side_sums_fit
from symc.codegen_llvm.contract.size import add, as_reg, least, mul, offset, sub
from symc.codegen_llvm.contract.spec import (
    BYTES,
    Contraction,
    Dtype,
    Finish,
    Hooks,
    Operand,
    Size,
    TileRow,
    VectorTarget,
)
from symc.codegen_llvm.text import Emitter, Reg, i64

_ROWS = 32  # rows of W in a block


@dataclass(frozen=True, slots=True)
class Update:
    """Sizes and operands of an update; `m` is static, columns of `g` and `w` are contiguous."""

    dtype: Dtype
    m: int
    k: Size
    n: Size
    x: Operand
    g: Operand
    w: Operand
    order: Literal["any", "chain"] = "any"


@dataclass(frozen=True, slots=True)
class UpdateHooks:
    """`revise` stores the new weights; `finish` (None: d is not wanted) stores d."""

    revise: Revise
    finish: Finish | None = None
    finish_cost: int = 4


def update_blocking(u: Update, target: VectorTarget) -> Blocking:
    """Blocks of rows of W: `count(k, n)`; and the scratch of one thread."""
    own = TILE_BYTES + u.m * _ROWS * BYTES[u.dtype]
    inner = blocking(_backward(u, i64(0), u.w.base), target).scratch_bytes
    return Blocking(_ROWS, ALL, max(own, inner))


def emit_update(
    e: Emitter,
    u: Update,
    blocks: tuple[Reg, Reg],
    hooks: UpdateHooks,
    target: VectorTarget,
    scratch: Reg,
) -> None:
    """Compute blocks [begin, end): see the module's docstring."""
    if u.k == 0:
        return
    turned = Operand(u.x.base, u.x.col, u.x.row)
    c = Contraction(u.dtype, u.k, u.n, u.m, turned, u.g, u.order)
    room = room_of(e, c, Hooks(_never), target, scratch)
    together = u.order == "any" and side_sums_fit(u.m, target.registers)
    with e.loop(*blocks, i64(1)) as block:
        start = as_reg(mul(e, block.index, _ROWS))
        corner = replace(corner_of(room, (), (0, 0)), row=start)
        corner = replace(
            corner,
            stop=least(e, add(e, start, _ROWS), u.k),
            a=offset(e, corner.a, mul(e, start, room.a.row)),
        )
        if hooks.finish is not None and not together:
            _backward_rows(room, u, corner, hooks)
        sums = None
        if hooks.finish is not None and together:
            sums = offset(e, scratch, TILE_BYTES)
        emit_rows(room, corner, Walked(u.w, hooks.revise, sums, _ROWS))
        if sums is not None:
            _finish_sums(room, corner, hooks, sums)


def _never(e: Emitter, row: TileRow) -> None:
    raise AssertionError(f"an update is finished by its revise hook: {e} {row}")


def _backward(u: Update, rows: Size, base: Reg) -> Contraction:
    """d for `rows` rows of W, the first of them at `base`."""
    weights = Operand(base, 1, u.w.row)
    return Contraction(u.dtype, u.m, rows, u.n, u.g, weights, u.order)


def _backward_rows(room: Room, u: Update, corner: Corner, hooks: UpdateHooks) -> None:
    """d of a block before its update, as a contraction of its own."""
    e = room.e
    finish = hooks.finish
    assert finish is not None
    base = offset(e, u.w.base, mul(e, corner.row, mul(e, u.w.row, room.lanes.size)))
    count = as_reg(sub(e, corner.stop, corner.row))
    c = _backward(u, count, base)

    def shifted(inner: Emitter, row: TileRow) -> None:
        finish(inner, replace(row, col=as_reg(add(inner, row.col, corner.row))))

    cut = blocking(c, room.target)
    whole = i64(-(-u.m // cut.rows) * -(-_ROWS // cut.columns))
    inner_hooks = Hooks(shifted, hooks.finish_cost)
    emit_contraction(e, c, (i64(0), whole), inner_hooks, room.target, room.scratch)


def _finish_sums(room: Room, corner: Corner, hooks: UpdateHooks, sums: Reg) -> None:
    """Hand d of a block to its epilogue, row of m by row."""
    e, lanes = room.e, room.lanes
    terms = room.c.k
    count = sub(e, corner.stop, corner.row)
    with e.loop(i64(0), as_reg(terms), i64(1), [sums]) as rows:
        (line,) = rows.carried
        whole = as_reg(sub(e, count, lanes.width - 1))
        with e.loop(i64(0), whole, i64(lanes.width)) as vectors:
            _finish_run(room, corner, hooks, (rows.index, line, vectors.index), None)
        with e.loop(vectors.index, as_reg(count), i64(lanes.width)) as rest:
            tail = lanes.tail(sub(e, count, rest.index))
            _finish_run(room, corner, hooks, (rows.index, line, rest.index), tail)
        rows.carry(offset(e, line, _ROWS * lanes.size))


def _finish_run(
    room: Room, corner: Corner, hooks: UpdateHooks, at: tuple[Reg, Reg, Reg], tail: Tail | None
) -> None:
    e, lanes = room.e, room.lanes
    index, line, lane = at
    value = lanes.load(offset(e, line, mul(e, lane, lanes.size)))
    column = as_reg(add(e, corner.row, lane))
    count = tail.count if tail is not None else None
    assert hooks.finish is not None
    hooks.finish(e, TileRow(index, column, value, lanes.mask_of(tail), count))
