"""Loops over vectors: whole ones first, then a tail whose lanes are partly outside.

Invariants: every element of [low, high) is covered once, in ascending order; a body that is dear to
compile is written once, with a branch around its loads and stores where a vector may be partial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import add, as_reg, least, sub
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.memory import Position
from symc.codegen_llvm.text import Reg, i64

CHEAP = 24  # instructions of a body that may be written more than once

Visit = Callable[[Position], None]
Attempt = Callable[[Position], tuple[Reg, Callable[[], None]]]


def attempted(
    k: KernelEmitter, bounds: tuple[Extent, Extent], width: int, attempt: Attempt, visit: Visit
) -> None:
    """`attempt` for whole vectors, `visit` for a partial one and where the attempt was in vain.

    An attempt writes what it takes and gives the condition that it was in vain, and what to write
    where it was not.
    """
    low, high = bounds
    with k.loop(as_reg(low), as_reg(high), i64(width)) as loop:
        end = k.emit("i64", f"add nsw {loop.index}, {width}")
        full = k.emit("i1", f"icmp sle {end}, {as_reg(high).name}")
        whole, usual, other, done = (k.new_label(n) for n in ("whole", "usual", "other", "done"))
        k.branch(full, whole, other, rare=False)
        k.open(whole)
        in_vain, store = attempt(Position(loop.index))
        k.branch(in_vain, other, usual, rare=True)
        k.open(usual)
        store()
        k.jump(done)
        k.open(other)
        visit(Position(loop.index, least(k, sub(k, high, loop.index), width), full))
        k.jump(done)
        k.open(done)


def each_vector(
    k: KernelEmitter, bounds: tuple[Extent, Extent], width: int, cost: int, visit: Visit
) -> None:
    """Call `visit` for vectors of `width` elements that cover [low, high)."""
    low, high = bounds
    if width == 1:
        _scalars(k, bounds, visit)
    elif isinstance(low, int) and isinstance(high, int):
        _static(k, (low, high), width, cost, visit)
    else:
        _dynamic(k, bounds, width, cost, visit)


def _scalars(k: KernelEmitter, bounds: tuple[Extent, Extent], visit: Visit) -> None:
    low, high = bounds
    if isinstance(low, int) and high == low + 1:
        visit(Position(low))
        return
    with k.loop(as_reg(low), as_reg(high), i64(1)) as loop:
        visit(Position(loop.index))


def _unrolled(cost: int, count: int | None, width: int) -> int:
    """How many vectors the body of the main loop holds."""
    unroll = 4 if cost <= CHEAP // 4 else 2 if cost <= CHEAP // 2 else 1
    while count is not None and unroll > 1 and count % (unroll * width) >= width:
        unroll //= 2
    return unroll


def _static(k: KernelEmitter, bounds: tuple[int, int], width: int, cost: int, visit: Visit) -> None:
    low, high = bounds
    count = high - low
    rest = count % width
    if rest and count > width and cost > CHEAP:
        _mixed(k, (low, high), width, visit, rest)
        return
    unroll = _unrolled(cost, count, width)
    _whole(k, (low, high - rest), width, unroll, visit)
    if rest:
        visit(Position(high - rest, rest))


def _dynamic(
    k: KernelEmitter, bounds: tuple[Extent, Extent], width: int, cost: int, visit: Visit
) -> None:
    low, high = bounds
    if cost > CHEAP:
        _mixed(k, bounds, width, visit)
        return
    unroll = _unrolled(cost, None, width)
    step = unroll * width
    rest = k.emit("i64", f"and {as_reg(sub(k, high, low))}, {step - 1}")
    middle = k.emit("i64", f"sub nsw {as_reg(high)}, {rest.name}")
    _whole(k, (low, middle), width, unroll, visit)
    if unroll > 1:
        _mixed(k, (middle, high), width, visit)
        return
    with k.when(k.emit("i1", f"icmp slt {middle}, {as_reg(high).name}")):
        visit(Position(middle, rest))


def _whole(
    k: KernelEmitter, bounds: tuple[Extent, Extent], width: int, unroll: int, visit: Visit
) -> None:
    low, high = bounds
    step = unroll * width
    if isinstance(low, int) and isinstance(high, int) and high - low <= step:
        for index in range(low, high, width):
            visit(Position(index))
        return
    with k.loop(as_reg(low), as_reg(high), i64(step)) as loop:
        for part in range(unroll):
            visit(Position(add(k, loop.index, part * width)))


def _mixed(
    k: KernelEmitter,
    bounds: tuple[Extent, Extent],
    width: int,
    visit: Visit,
    rest: int | None = None,
) -> None:
    """One body for whole and partial vectors; `rest`: lanes of the partial one where known."""
    low, high = bounds
    with k.loop(as_reg(low), as_reg(high), i64(width)) as loop:
        end = k.emit("i64", f"add nsw {loop.index}, {width}")
        full = k.emit("i1", f"icmp sle {end}, {as_reg(high).name}")
        inside = least(k, sub(k, high, loop.index), width)
        visit(Position(loop.index, inside, full, rest))


@contextmanager
def loop_over(k: KernelEmitter, low: Extent, high: Extent) -> Iterator[Extent]:
    """A loop of step 1; no loop where there is exactly one step."""
    if isinstance(low, int) and high == low + 1:
        yield low
        return
    with k.loop(as_reg(low), as_reg(high), i64(1)) as loop:
        yield loop.index


def decomposed(k: KernelEmitter, index: Extent, sizes: Sequence[Extent]) -> list[Extent]:
    """The row-major indices of `index` along axes of these sizes."""
    found: list[Extent] = []
    for size in reversed(sizes[1:]):
        high, low = _divided(k, index, size)
        found.append(low)
        index = high
    return [index, *reversed(found)] if sizes else []


def _divided(k: KernelEmitter, index: Extent, size: Extent) -> tuple[Extent, Extent]:
    if isinstance(index, int) and isinstance(size, int):
        return index // size, index % size
    safe = as_reg(size)
    if isinstance(size, Reg):
        empty = k.emit("i1", f"icmp eq {size}, 0")
        safe = k.emit("i64", f"select {empty}, i64 1, {size}")
    high = k.emit("i64", f"udiv {as_reg(index)}, {safe.name}")
    product = k.emit("i64", f"mul {high}, {safe.name}")
    return high, k.emit("i64", f"sub {as_reg(index)}, {product.name}")
