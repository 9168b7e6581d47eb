"""What loops ask of the runtime while they run: whether to go on, and room for rows.

A loop counts down the steps that the runtime granted (`symc.h`: steps_left) and pauses when they
are gone; so a step costs a subtraction, and a loop that may never end is stopped.  Nested loops
count down the same number.  Tapes hold the rows of loops whose number of steps is not known before.

Invariants: the count lies in memory whenever something else is called; a loop that is told to leave
returns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symc.codegen_llvm.abi import (
    CANCELLED,
    CTX_GROW,
    CTX_PAUSE,
    CTX_STEPS_LEFT,
    NO_MEMORY,
    TAPE_BYTES,
    TAPE_DATA,
    KernelEmitter,
)
from symc.codegen_llvm.contract.size import as_reg
from symc.codegen_llvm.text import Reg, i64
from symc.ir.dims import Size

FIRST_ROWS = 64  # that a tape has room for at first


class Pauses:
    """The count of one loop, in a register between `entered` and `left`."""

    def __init__(self, k: KernelEmitter) -> None:
        self._k = k
        self._place = k.context(CTX_STEPS_LEFT)
        self._call = k.context(CTX_PAUSE)

    def entered(self) -> Reg:
        """The count, from memory."""
        return self._k.emit("i64", f"load i64, {self._place}, align 8")

    def left(self, count: Reg) -> None:
        """The count, to memory."""
        self._k.line(f"store {count}, {self._place}, align 8")

    def step(self, count: Reg) -> Reg:
        """One step less; pauses when there is none."""
        k = self._k
        less = k.emit("i64", f"sub i64 {count.name}, 1")
        gone = k.emit("i1", f"icmp slt {less}, 0")
        return k.either(gone, self._paused, lambda: [less])[0]

    def _paused(self) -> Sequence[Reg]:
        k = self._k
        status = k.emit("i32", f"call i32 {self._call.name}(ptr %ctx)")
        with k.when(k.emit("i1", f"icmp ne {status}, 0")):
            leave(k, CANCELLED)
        return [self.entered()]


def leave(k: KernelEmitter, code: int) -> None:
    """Return `code` from here."""
    k.line(f"ret i32 {code}")
    k.open(k.new_label("after"))


def grow(k: KernelEmitter, tape: Reg, used: Reg, bytes: Reg) -> None:
    """Make room on a tape, keeping what is used; leave the kernel when there is no memory."""
    call = k.context(CTX_GROW)
    status = k.emit("i32", f"call i32 {call.name}(ptr %ctx, {tape}, {used}, {bytes})")
    with k.when(k.emit("i1", f"icmp ne {status}, 0")):
        leave(k, NO_MEMORY)


def data_of(k: KernelEmitter, tape: Reg) -> Reg:
    """Where a tape lies now."""
    at = k.emit("ptr", f"getelementptr i8, {tape}, i64 {TAPE_DATA}")
    return k.emit("ptr", f"load ptr, {at}, align 8")


def reserve(k: KernelEmitter, tape: Reg, bytes: Reg) -> None:
    """Make a tape hold `bytes`, whatever was on it."""
    at = k.emit("ptr", f"getelementptr i8, {tape}, i64 {TAPE_BYTES}")
    have = k.emit("i64", f"load i64, {at}, align 8")
    here = k.emit("ptr", f"load ptr, {tape}, align 8")
    short = k.emit("i1", f"icmp slt {have}, {bytes.name}")
    none = k.emit("i1", f"icmp eq {here}, null")
    with k.when(k.emit("i1", f"or i1 {short.name}, {none.name}")):
        grow(k, tape, i64(0), bytes)


class Rows:
    """The rows that a loop writes: tapes, and the bytes of a row on each."""

    def __init__(self, k: KernelEmitter, tapes: Sequence[Reg], sizes: Sequence[Size]) -> None:
        self._k = k
        self._tapes = tapes
        self._sizes = sizes

    def room(self, step: Reg, rows: Reg) -> Reg:
        """Room for row `step` on all tapes, which hold `rows`; how many they hold then."""
        k = self._k
        if not self._tapes:
            return rows
        full = k.emit("i1", f"icmp eq {step}, {rows.name}")
        return k.either(full, self._grown(step), lambda: [rows])[0]

    def _grown(self, step: Reg) -> Callable[[], Sequence[Reg]]:
        def arm() -> Sequence[Reg]:
            k = self._k
            double = k.emit("i64", f"shl i64 {step.name}, 1")
            small = k.emit("i1", f"icmp slt {double}, {FIRST_ROWS}")
            wanted = k.emit("i64", f"select i1 {small.name}, i64 {FIRST_ROWS}, {double}")
            for tape, size in zip(self._tapes, self._sizes, strict=True):
                bytes = as_reg(k.size(size))
                used = k.emit("i64", f"mul i64 {step.name}, {bytes.name}")
                grow(k, tape, used, k.emit("i64", f"mul i64 {wanted.name}, {bytes.name}"))
            return [wanted]

        return arm

    def place(self, number: int, step: Reg) -> Reg:
        """Where row `step` of a tape lies."""
        k = self._k
        bytes = as_reg(k.size(self._sizes[number]))
        offset = k.emit("i64", f"mul i64 {step.name}, {bytes.name}")
        return k.emit("ptr", f"getelementptr i8, {data_of(k, self._tapes[number])}, {offset}")
