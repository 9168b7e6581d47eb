"""Ready-made epilogues.

before: a finished run of columns.
after: it is stored in a matrix whose columns are contiguous.
"""

from __future__ import annotations

from symc.codegen_llvm.contract.lanes import Lanes
from symc.codegen_llvm.contract.size import mul, offset
from symc.codegen_llvm.contract.spec import Contraction, Finish, Operand, TileRow, VectorTarget
from symc.codegen_llvm.text import Emitter, Reg


def store_to(out: Operand, c: Contraction, target: VectorTarget) -> Finish:
    """An epilogue that stores the sums to `out` (column stride 1)."""
    if out.col != 1:
        raise ValueError(f"store_to needs contiguous columns, got a step of {out.col}")

    def finish(e: Emitter, row: TileRow) -> None:
        lanes = Lanes(e, c.dtype, target.lanes(c.dtype), target.mask_registers)
        place = element(lanes, out, row)
        lanes.store_tail(row.value, place, row.mask, row.count)

    return finish


def element(lanes: Lanes, out: Operand, row: TileRow) -> Reg:
    """Where the first lane of a run is in a matrix."""
    e, size = lanes.e, lanes.size
    place = out.base
    for index, step in zip(row.batch, out.batch, strict=True):
        place = offset(e, place, mul(e, index, mul(e, step, size)))
    place = offset(e, place, mul(e, row.row, mul(e, out.row, size)))
    return offset(e, place, mul(e, row.col, size))
