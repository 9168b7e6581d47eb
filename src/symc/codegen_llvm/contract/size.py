"""Integer arithmetic on sizes: folded where both sides are static, emitted where one is not.

Invariants: sizes are not negative; nothing is emitted for static operands.
"""

from __future__ import annotations

from symc.codegen_llvm.contract.spec import Size
from symc.codegen_llvm.text import Emitter, Reg, i64


def as_reg(size: Size) -> Reg:
    """The size as an i64 register or constant."""
    return i64(size) if isinstance(size, int) else size


def add(e: Emitter, a: Size, b: Size) -> Size:
    """a + b."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if a == 0:
        return b
    if b == 0:
        return a
    return e.emit("i64", f"add nsw i64 {as_reg(a).name}, {as_reg(b).name}")


def sub(e: Emitter, a: Size, b: Size) -> Size:
    """a - b."""
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    if b == 0:
        return a
    return e.emit("i64", f"sub nsw i64 {as_reg(a).name}, {as_reg(b).name}")


def mul(e: Emitter, a: Size, b: Size) -> Size:
    """a * b."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if a == 0 or b == 0:
        return 0
    if a == 1:
        return b
    if b == 1:
        return a
    return e.emit("i64", f"mul nsw i64 {as_reg(a).name}, {as_reg(b).name}")


def least(e: Emitter, a: Size, b: Size) -> Size:
    """min(a, b)."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    test = e.emit("i1", f"icmp slt i64 {as_reg(a).name}, {as_reg(b).name}")
    return e.emit("i64", f"select i1 {test.name}, {as_reg(a)}, {as_reg(b)}")


def ceil_div(e: Emitter, a: Size, b: int) -> Size:
    """ceil(a / b), b > 0."""
    if isinstance(a, int):
        return -(-a // b)
    if b == 1:
        return a
    up = e.emit("i64", f"add nsw i64 {a.name}, {b - 1}")
    return e.emit("i64", f"udiv i64 {up.name}, {b}")


def split(e: Emitter, index: Size, count: Size) -> tuple[Size, Size]:
    """(index // count, index % count); nothing is emitted where count is 1."""
    if count == 1:
        return index, 0
    if isinstance(index, int) and isinstance(count, int):
        return index // count, index % count
    high = e.emit("i64", f"udiv i64 {as_reg(index).name}, {as_reg(count).name}")
    return high, sub(e, index, mul(e, high, count))


def offset(e: Emitter, pointer: Reg, nbytes: Size) -> Reg:
    """pointer + nbytes."""
    if nbytes == 0:
        return pointer
    return e.emit("ptr", f"getelementptr i8, ptr {pointer.name}, {as_reg(nbytes)}", "p")
