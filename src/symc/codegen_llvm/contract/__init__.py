"""Generated contractions: matrix products of every shape, with the caller's epilogue, as LLVM IR.

Use: describe a `Contraction`, ask `blocking` how it is cut, and call `emit_contraction` inside an
open function for a range of blocks.  No optimiser runs afterwards: what is emitted is final.
"""

from symc.codegen_llvm.contract.emit import ALL, Blocking, block_count, blocking, emit_contraction
from symc.codegen_llvm.contract.finish import element, store_to
from symc.codegen_llvm.contract.lanes import Lanes
from symc.codegen_llvm.contract.spec import (
    Access,
    Contraction,
    Finish,
    Hooks,
    Operand,
    Size,
    TileRow,
    VectorTarget,
)
from symc.codegen_llvm.contract.update import Update, UpdateHooks, emit_update, update_blocking

__all__ = [
    "ALL",
    "Access",
    "Blocking",
    "Contraction",
    "Finish",
    "Hooks",
    "Lanes",
    "Operand",
    "Size",
    "TileRow",
    "Update",
    "UpdateHooks",
    "VectorTarget",
    "block_count",
    "blocking",
    "element",
    "emit_contraction",
    "emit_update",
    "store_to",
    "update_blocking",
]
