"""Code generation: nests to LLVM text, explicit vectors included, and text to object bytes.

Nothing here imports llvmlite until code is generated; `target` is the only place that does.
"""

from symc.codegen_llvm.compile import Compiled, compile_nests, generate
from symc.codegen_llvm.target import Target, host, x86

__all__ = ["Compiled", "Target", "compile_nests", "generate", "host", "x86"]
