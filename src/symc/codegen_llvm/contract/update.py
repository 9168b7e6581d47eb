"""A weight matrix read and rewritten in one pass, with the backward product along the way.

before: x[m, k], g[m, n], W[k, n] and (`backward`) a use for d = g W^T with the old W.
after: for each row of W, once: d[m, row] = sum over n of g[m, n] * W[row, n], then
`revise(e, run, old)` with run.value = sum over m of x[m, row] * g[m, n], which stores the new W
(and whatever else it keeps, e.g. a momentum) at (run.row, run.col).

With few rows of x (or one, where `m` is known at the call) both sums are taken from one load of W;
with more, or in order "chain", a block of W is first multiplied, then updated while it is in the
cache.  Runs of d lie along k: TileRow(row = index of m, col = row of W).

Invariants: W comes from memory once and goes back once per call; blocks are independent; the bits
do not depend on the cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from symc.codegen_llvm.contract.blocked import TILE_BYTES
from symc.codegen_llvm.contract.emit import (
    ALL,
    Blocking,
    block_count,
    blocking,
    corner_of,
    emit_contraction,
    room_of,
)
from symc.codegen_llvm.contract.finish import element
from symc.codegen_llvm.contract.lanes import Tail
from symc.codegen_llvm.contract.room import Corner, Room, either
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
from symc.records import dataclass

_ROWS = 48  # rows of W in a block
_NARROW = 32  # columns of W below which adding lanes up costs more than a second pass


@dataclass(frozen=True, slots=True)
class Update:
    """Sizes and operands of an update; columns of `g` and `w` are contiguous."""

    dtype: Dtype
    m: Size
    k: Size
    n: Size
    x: Operand
    g: Operand
    w: Operand
    order: Literal["any", "chain"] = "any"
    backward: bool = True


@dataclass(frozen=True, slots=True)
class UpdateHooks:
    """`revise` stores the new weights; `finish` stores d (unused where it is not asked for)."""

    revise: Revise
    finish: Finish | None = None
    finish_cost: int = 4
    revise_cost: int = 8


def update_blocking(u: Update, target: VectorTarget) -> Blocking:
    """The blocks, `count(k, n)`, and the scratch of one thread."""
    rows = _gradient(u, u.k, u.x.base)
    if not u.backward:
        return blocking(rows, target)
    terms = u.m if isinstance(u.m, int) else 1
    own = TILE_BYTES + terms * _ROWS * BYTES[u.dtype]
    inner = (_gradient(u, i64(0), u.x.base), _backward(u, i64(0), u.w.base))
    return Blocking(_ROWS, ALL, max(own, *(blocking(c, target).scratch_bytes for c in inner)))


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
    if not u.backward:
        c = _gradient(u, u.k, u.x.base)
        room = room_of(e, c, Hooks(_never), target, scratch)
        emit_contraction(e, c, blocks, _revising(room, u, hooks, i64(0)), target, scratch)
        return
    one = u if isinstance(u.m, int) else replace(u, m=1)
    room = room_of(e, _gradient(one, u.k, u.x.base), Hooks(_never), target, scratch)
    narrow = isinstance(u.n, int) and u.n < _NARROW
    together = u.order == "any" and not narrow and _sums_fit(one, target)
    with e.loop(*blocks, i64(1)) as block:
        start = as_reg(mul(e, block.index, _ROWS))
        whole = corner_of(room, (), (0, 0))
        left = offset(e, whole.a, mul(e, start, room.a.row))
        corner = replace(whole, row=start, stop=least(e, add(e, start, _ROWS), u.k), a=left)
        if together and isinstance(u.m, Reg):
            single = e.emit("i1", f"icmp eq i64 {u.m.name}, 1")
            either(
                room,
                single,
                lambda: _together(room, u, corner, hooks),
                lambda: _in_turn(room, u, corner, hooks),
            )
        elif together:
            _together(room, u, corner, hooks)
        else:
            _in_turn(room, u, corner, hooks)


def _sums_fit(u: Update, target: VectorTarget) -> bool:
    return isinstance(u.m, int) and side_sums_fit(u.m, target.registers)


def _together(room: Room, u: Update, corner: Corner, hooks: UpdateHooks) -> None:
    """Both sums from one load of W."""
    sums = offset(room.e, room.scratch, TILE_BYTES)
    emit_rows(room, corner, Walked(u.w, hooks.revise, sums, _ROWS))
    _finish_sums(room, corner, hooks, sums)


def _in_turn(room: Room, u: Update, corner: Corner, hooks: UpdateHooks) -> None:
    """One sum after the other, W in the cache between them."""
    _multiply_block(room, u, corner, hooks)
    _revise_block(room, u, corner, hooks)


def _never(e: Emitter, row: TileRow) -> None:
    raise AssertionError(f"an update is finished by its revise hook: {e} {row}")


def _gradient(u: Update, rows: Size, base: Reg) -> Contraction:
    """x^T g for `rows` rows of W; `base` is the first one's x."""
    return Contraction(u.dtype, rows, u.n, u.m, Operand(base, u.x.col, u.x.row), u.g, u.order)


def _backward(u: Update, rows: Size, base: Reg) -> Contraction:
    """d for `rows` rows of W, the first of them at `base`."""
    return Contraction(u.dtype, u.m, rows, u.n, u.g, Operand(base, 1, u.w.row), u.order)


def _revising(room: Room, u: Update, hooks: UpdateHooks, first: Reg) -> Hooks:
    """The epilogue of a gradient whose row 0 is row `first` of W."""

    def finish(e: Emitter, run: TileRow) -> None:
        run = replace(run, row=as_reg(add(e, run.row, first)) if first.name != "0" else run.row)
        old = room.lanes.load(element(room.lanes, u.w, run), run.mask)
        hooks.revise(e, run, old)

    return Hooks(finish, hooks.revise_cost)


def _multiply_block(room: Room, u: Update, corner: Corner, hooks: UpdateHooks) -> None:
    """d of a block, as a contraction of its own."""
    e = room.e
    finish = hooks.finish
    assert finish is not None
    base = offset(e, u.w.base, mul(e, corner.row, mul(e, u.w.row, room.lanes.size)))
    c = _backward(u, as_reg(sub(e, corner.stop, corner.row)), base)

    def shifted(inner: Emitter, row: TileRow) -> None:
        finish(inner, replace(row, col=as_reg(add(inner, row.col, corner.row))))

    whole = (i64(0), as_reg(block_count(e, c, room.target)))
    shifting = Hooks(shifted, hooks.finish_cost)
    emit_contraction(e, c, whole, shifting, room.target, room.scratch)


def _revise_block(room: Room, u: Update, corner: Corner, hooks: UpdateHooks) -> None:
    """The update of a block, as a contraction of its own."""
    e = room.e
    count = as_reg(sub(e, corner.stop, corner.row))
    c = _gradient(u, count, corner.a)
    whole = (i64(0), as_reg(block_count(e, c, room.target)))
    revising = _revising(room, u, hooks, as_reg(corner.row))
    emit_contraction(e, c, whole, revising, room.target, room.scratch)


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
