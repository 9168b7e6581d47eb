"""Generated text is in the form that the oldest supported LLVM reads (llvmlite 0.47: LLVM 20)."""

from __future__ import annotations

import re

import symc as sc


def test_masked_accesses_name_their_alignment() -> None:
    """LLVM 20 aborts the process when `llvm.masked.gather` comes without its alignment operand."""
    x, i = sc.var("x", "f64[n]"), sc.var("i", "i64[n]")
    f = sc.function([x, i], [sc.sin(x) + sc.pow(x, 0.3), sc.take(x, i)])
    signatures = re.findall(r"declare [^\n]*@(llvm\.masked\.\w+)\.[^(]*\(([^)]*)\)", f.llvm())
    kinds = {name for name, _ in signatures}
    assert kinds >= {"llvm.masked.gather", "llvm.masked.load", "llvm.masked.store"}
    for name, operands in signatures:
        assert "i32" in operands.split(", "), name
