"""Generated contractions: matrix products of every shape, with the caller's epilogue, as LLVM IR.

Use: describe a `Contraction`, ask `blocking` how it is cut, and call `emit_contraction` inside an
open function for a range of blocks.  No optimiser runs afterwards: what is emitted is final.
"""

from symc.codegen_llvm.contract.emit import Blocking, blocking, emit_contraction
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

__all__ = [
    "Access",
    "Blocking",
    "Contraction",
    "Finish",
    "Hooks",
    "Lanes",
    "Operand",
    "Size",
    "TileRow",
    "VectorTarget",
    "blocking",
    "element",
    "emit_contraction",
    "store_to",
]
