"""Indices that are data: brought into range by mode, and the first bad one reported.

before: an index read from an integer operand, as lanes of a builder of any width.
after: an index in [0, size), a mask of lanes that may be accessed, and, in raise mode, a record of
the smallest (indirection, position) that was out of range.

Invariants: nothing is accessed where the axis is empty; lanes outside a tail never report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from symc.codegen_llvm import abi
from symc.codegen_llvm.contract.size import as_reg
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder
from symc.codegen_llvm.space import Indirect
from symc.codegen_llvm.text import Reg
from symc.ir.dims import prove_le
from symc.ir.program import Trap
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.codegen_llvm.abi import KernelEmitter

I64 = np.dtype(np.int64)
_PARAMETERS = "ptr %status, i32 %node, i64 %index, i64 %value"


@dataclass(frozen=True, slots=True)
class Checked:
    """Lanes of an index in range; `usable` (None: all) may be accessed; `offends` are to report."""

    index: Lanes
    usable: Lanes | None
    offends: Lanes | None


def check(builder: LlvmBuilder, term: Indirect, index: Lanes, size: Lanes) -> Checked:
    """Bring i64 lanes into [0, size) as the mode says."""
    zero = builder.const(0, I64)
    last = builder.sub(size, builder.const(1, I64))
    some = None if prove_le(1, term.size) else builder.gt(size, zero)
    match term.mode:
        case "wrap":
            return Checked(builder.mod(index, size), some, None)
        case "fill":
            inside = builder.band(builder.ge(index, zero), builder.lt(index, size))
            return Checked(builder.select(inside, index, zero), inside, None)
        case "raise":
            negative = builder.lt(index, zero)
            moved = builder.select(negative, builder.add(index, size), index)
            offends = builder.bor(builder.lt(moved, zero), builder.ge(moved, size))
            return Checked(_clamp(builder, moved, last), some, offends)
        case _:
            return Checked(_clamp(builder, index, last), some, None)


def _clamp(builder: LlvmBuilder, index: Lanes, last: Lanes) -> Lanes:
    return builder.maximum(builder.minimum(index, last), builder.const(0, I64))


def checked_scalar(
    k: KernelEmitter, term: Indirect, read: tuple[Reg, Extent], runs: Reg | None
) -> tuple[Reg, Reg | None]:
    """A scalar index in range as i64, and the i1 condition under which it may be accessed.

    `read`: the index and its position; `runs`: whether it is used at all, so that it may trap.
    """
    builder = LlvmBuilder(k, 1)
    number, point = read
    index = builder.cast(Lanes(number.name, term.index.dtype), I64)
    size = Lanes(as_reg(k.size(term.size)).name, I64)
    checked = check(builder, term, index, size)
    if checked.offends is not None:
        offends = builder.reg(checked.offends)
        if runs is not None:
            offends = k.emit("i1", f"and {offends}, {runs.name}")
        with k.when(offends):
            report(k, term, as_reg(point), builder.reg(index))
    usable = None if checked.usable is None else builder.reg(checked.usable)
    return builder.reg(checked.index), usable


def inside_scalar(k: KernelEmitter, value: Extent, size: Extent) -> Reg:
    """0 <= value < size, for a size that is not negative."""
    return k.emit("i1", f"icmp ult i64 {as_reg(value).name}, {as_reg(size).name}")


def report(k: KernelEmitter, term: Indirect, point: Reg, value: Reg) -> None:
    """Write an index out of range to the status record, unless an earlier one is there."""
    status = k.context(abi.CTX_STATUS)
    name = k.module.internal("symc.trap", _trap_function)
    k.line(f"call void {name}({status}, i32 {term.number}, {point}, {value})")
    k.line(f"store i32 {abi.TRAPPED}, ptr {k.trap_flag().name}")


def _trap_function() -> str:
    """Keeps the smallest (node, index) of a kernel."""
    fields = {"node": abi.STATUS_NODE, "index": abi.STATUS_INDEX, "value": abi.STATUS_VALUE}
    lines = [
        f"  %p{name} = getelementptr i8, ptr %status, i64 {offset}"
        for name, offset in fields.items()
    ]
    return "\n".join(
        [
            f"define internal void @symc.trap({_PARAMETERS}) cold noinline nounwind {{",
            "entry:",
            *lines,
            "  %code = load i32, ptr %status",
            "  %none = icmp eq i32 %code, 0",
            "  %oldnode = load i32, ptr %pnode",
            "  %oldindex = load i64, ptr %pindex",
            "  %nodebelow = icmp slt i32 %node, %oldnode",
            "  %nodesame = icmp eq i32 %node, %oldnode",
            "  %indexbelow = icmp slt i64 %index, %oldindex",
            "  %samebelow = and i1 %nodesame, %indexbelow",
            "  %below = or i1 %nodebelow, %samebelow",
            "  %take = or i1 %none, %below",
            "  br i1 %take, label %write, label %done",
            "write:",
            f"  store i32 {Trap.INDEX.value}, ptr %status",
            "  store i32 %node, ptr %pnode",
            "  store i64 %index, ptr %pindex",
            "  store i64 %value, ptr %pvalue",
            "  br label %done",
            "done:",
            "  ret void",
            "}",
        ]
    )
