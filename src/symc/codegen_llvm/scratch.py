"""A kernel's scratch: places in the thread's memory, laid out while the code is written.

Invariants: every place is 64-byte aligned; the sum of all is what the launch asks for.
"""

from __future__ import annotations

from symc.codegen_llvm import abi
from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import as_reg
from symc.codegen_llvm.text import Reg
from symc.ir.dims import Size


class Scratch:
    """Hands out places of `ctx->scratch`."""

    def __init__(self, k: KernelEmitter) -> None:
        self.k = k
        self.bytes: Size = 0
        self._base: Reg | None = None

    def take(self, size: Size) -> Reg:
        """The address of `size` fresh bytes."""
        if self._base is None:
            self._base = self.k.context(abi.CTX_SCRATCH)
        start = as_reg(self.k.size(self.bytes))
        self.bytes = self.bytes + (size + 63) // 64 * 64
        base = self._base
        return self.k.at_entry("ptr", f"getelementptr i8, {base}, {start}")
