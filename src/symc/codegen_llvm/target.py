"""The target: this machine's CPU, and LLVM text to object code.  The only importer of llvmlite.

Before: text of a module.  After: an object file, position independent, that refers to nothing
outside itself.

Invariants: no LLVM pass pipeline runs (the text is final), only code generation, at level 2 or, for
very long modules, 0; there is one target machine per process, CPU and level; a `Target` is plain
data and names everything that the bits of an object depend on.  The level changes no result.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from symc.codegen_llvm.contract.spec import VectorTarget
from symc.ir.errors import CompileError, message
from symc.records import dataclass

if TYPE_CHECKING:
    from llvmlite.binding import TargetMachine


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU: LLVM's triple, name and feature string, and the vector registers to write for."""

    triple: str
    cpu: str
    features: str
    vector: VectorTarget


@lru_cache(maxsize=1)
def _llvm() -> ModuleType:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # Addresses are final as they are written; this pass took most of the time of small loops.
    llvm.set_option("symc", "-disable-lsr")
    # So is the order of instructions; this pass undoes it where many values are alive.
    llvm.set_option("symc", "-enable-misched=false")
    return llvm


@lru_cache(maxsize=1)
def llvm_version() -> tuple[int, ...]:
    """LLVM's version; part of every cache key."""
    version: tuple[int, ...] = _llvm().llvm_version_info
    return version


@lru_cache(maxsize=1)
def host() -> Target:
    """The CPU of this process with all its features."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    names = frozenset(name for name, present in features.items() if present)
    triple = llvm.get_process_triple()
    return Target(triple, llvm.get_host_cpu_name(), features.flatten(), _vector(triple, names))


def x86(level: int) -> Target:
    """A generic x86-64 CPU of level 3 (AVX2, FMA) or 4 (AVX-512)."""
    cpu = f"x86-64-v{level}"
    vector = VectorTarget(512, 32) if level >= 4 else VectorTarget(256, 16)
    return Target("x86_64-unknown-linux-gnu", cpu, "", vector)


def _vector(triple: str, features: frozenset[str]) -> VectorTarget:
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= features:
        return VectorTarget(512, 32)
    if {"avx2", "fma"} <= features:
        return VectorTarget(256, 16)
    if triple.startswith(("aarch64", "arm64")):
        return VectorTarget(128, 32)
    if "fma" in features:
        return VectorTarget(128, 16)
    text = message("this CPU", got=triple, expected="fused multiply-add (x86-64-v3, or AArch64)")
    raise CompileError(text)


@lru_cache(maxsize=4)
def _machine(target: Target, level: int) -> TargetMachine:
    llvm = _llvm()
    machine: TargetMachine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
    )
    return machine


def emit_object(text: str, target: Target, level: int = 2) -> bytes:
    """The module `text` as an ELF object file."""
    llvm = _llvm()
    module = _parse(llvm, text, target)
    try:
        return _machine(target, level).emit_object(module)
    finally:
        module.close()


def emit_assembly(text: str, target: Target, level: int = 2) -> str:
    """The module `text` as assembly."""
    llvm = _llvm()
    module = _parse(llvm, text, target)
    try:
        return _machine(target, level).emit_assembly(module)
    finally:
        module.close()


def _parse(llvm: ModuleType, text: str, target: Target):  # type: ignore[no-untyped-def]
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        raise CompileError(message("generated code is malformed", got=str(error))) from error
    module.triple = target.triple
    module.data_layout = str(_machine(target, 2).target_data)
    return module
