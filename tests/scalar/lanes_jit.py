"""Compile lane functions of many widths into one module and call them on arrays (tests only)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from symc.codegen_llvm.lanes import LlvmBuilder, memory_type
from symc.codegen_llvm.text import Emitter, Module, Reg, i64

Body = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """body(builder, lanes of `inputs`...) -> lanes of `output`."""

    name: str
    body: Body
    inputs: tuple[np.dtype, ...]
    output: np.dtype
    width: int
    outline: frozenset[str] = frozenset()

    @property
    def symbol(self) -> str:
        types = "_".join(d.str[1:] for d in self.inputs)
        return f"t_{self.name}_{types}_{self.output.str[1:]}_w{self.width}{len(self.outline)}"


def define(module: Module, case: Case) -> None:
    """`void symbol(ptr in..., ptr out, i64 n)`, n a multiple of the width, unaligned arrays."""
    emitter = Emitter(module)
    b = LlvmBuilder(emitter, case.width, outline=case.outline)
    with emitter.loop(i64(0), Reg("%n", "i64"), i64(case.width)) as loop:
        lanes = []
        for k, dtype in enumerate(case.inputs):
            at = _address(emitter, f"%in{k}", dtype, loop.index)
            loaded = f"load {b.memory_type(dtype)}, ptr {at}, align {dtype.itemsize}"
            lanes.append(b.from_memory(emitter.emit(b.memory_type(dtype), loaded), dtype))
        result = b.to_memory(case.body(b, *lanes))
        at = _address(emitter, "%out", case.output, loop.index)
        emitter.line(f"store {result}, ptr {at}, align {case.output.itemsize}")
    emitter.line("ret void")
    inputs = "".join(f"ptr noalias %in{k}, " for k in range(len(case.inputs)))
    head = f"define void @{case.symbol}({inputs}ptr noalias %out, i64 %n) nounwind {{\nentry:"
    module.functions.append("\n".join([head, *emitter.lines, "}"]))


def _address(emitter: Emitter, base: str, dtype: np.dtype, index: Reg) -> str:
    return emitter.emit("ptr", f"getelementptr {memory_type(dtype)}, ptr {base}, {index}").name


class Jit:
    """The compiled cases; keeps the engine alive."""

    def __init__(self, cases: Sequence[Case]) -> None:
        module = Module()
        for case in cases:
            define(module, case)
        self.text = module.text()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        parsed = llvm.parse_assembly(self.text)
        parsed.verify()
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=2,
            jit=True,
        )
        self.assembly = ""
        self._target = target
        self._parsed = parsed
        self.engine = llvm.create_mcjit_compiler(parsed, target)
        self.engine.finalize_object()

    def __call__(self, case: Case, *arrays: np.ndarray) -> np.ndarray:
        """Run a case on 1-d arrays of equal length (padded here to the width)."""
        size = len(arrays[0])
        padded = -(-size // case.width) * case.width
        inputs = [np.resize(np.ascontiguousarray(a), padded) for a in arrays]
        out = np.empty(padded, case.output)
        self.function(case)(*(a.ctypes.data for a in inputs), out.ctypes.data, padded)
        return out[:size]

    def function(self, case: Case) -> Callable[..., None]:
        types = [ctypes.c_void_p] * (len(case.inputs) + 1) + [ctypes.c_int64]
        address = self.engine.get_function_address(case.symbol)
        return ctypes.CFUNCTYPE(None, *types)(address)


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays hold the same bits; any NaN equals any NaN."""
    if a.dtype.kind != "f":
        return a == b
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return (a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))
