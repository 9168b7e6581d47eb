"""Builds, compiles and runs one contraction on arrays, for the tests of contractions.

before: numpy arrays (any strides) and a choice of static and run-time sizes.
after: the result computed by the generated code, over any cut of the blocks.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import llvmlite.binding as llvm
import numpy as np

from symc.codegen_llvm.contract import (
    Blocking,
    Contraction,
    Hooks,
    Operand,
    VectorTarget,
    blocking,
    emit_contraction,
    store_to,
)
from symc.codegen_llvm.text import Emitter, Module, Reg

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

DTYPES = {"float": np.float32, "double": np.float64, "i32": np.int32, "i64": np.int64}
WIDE = VectorTarget(512, 32)
MIDDLE = VectorTarget(256, 16)
NARROW = VectorTarget(128, 16)


class Compiled:
    """A compiled module with one kernel `@k`; keeps its engine alive."""

    def __init__(self, text: str, cpu: str = "") -> None:
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu or llvm.get_host_cpu_name(),
            features="" if cpu else llvm.get_host_cpu_features().flatten(),
            opt=2,
        )
        module = llvm.parse_assembly(text)
        self.engine = llvm.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_int64),
            ctypes.c_int64,
            ctypes.c_int64,
        )
        self._entry = kind(self.engine.get_function_address("k"))

    def run(self, buffers: Sequence[int], dims: Sequence[int], blocks: tuple[int, int]) -> None:
        """Call the kernel on addresses and sizes."""
        bufs = (ctypes.c_void_p * max(1, len(buffers)))(*buffers)
        sizes = (ctypes.c_int64 * max(1, len(dims)))(*dims)
        assert self._entry(None, bufs, sizes, *blocks) == 0


def kernel_text(
    buffers: int, dims: int, body: Callable[[Emitter, list[Reg], list[Reg]], None]
) -> str:
    """A module with one kernel of the fixed ABI; `body(e, buffer pointers, sizes)` fills it."""
    e = Emitter(Module())
    pointers = []
    for i in range(buffers):
        place = e.emit("ptr", f"getelementptr ptr, ptr %bufs, i64 {i}")
        pointers.append(e.emit("ptr", f"load ptr, ptr {place.name}"))
    sizes = []
    for i in range(dims):
        place = e.emit("ptr", f"getelementptr i64, ptr %dims, i64 {i}")
        sizes.append(e.emit("i64", f"load i64, ptr {place.name}"))
    body(e, pointers, sizes)
    lines = "\n".join(e.lines)
    head = "define i32 @k(ptr %ctx, ptr noalias %bufs, ptr noalias %dims, i64 %begin, i64 %end)"
    return f"{e.module.text()}\n{head} nounwind {{\nentry:\n{lines}\n  ret i32 0\n}}\n"


BLOCKS = (Reg("%begin", "i64"), Reg("%end", "i64"))


@dataclass(frozen=True)
class Case:
    """Sizes, strides (elements) and what of them is known only at run time (`names`)."""

    dtype: str
    m: int
    n: int
    k: int
    a: tuple[int, int]
    b: tuple[int, int]
    names: str = ""  # letters of "mnk" that are symbolic; "s" makes the strides symbolic
    order: str = "chain"
    target: VectorTarget = MIDDLE
    batch: tuple[int, ...] = ()
    batch_a: tuple[int, ...] = ()
    batch_b: tuple[int, ...] = ()
    finish_cost: int = 4


def contraction(case: Case, bases: Sequence[Reg], sizes: Sequence[Reg]) -> Contraction:
    """The case as the generator sees it; run-time values come from `sizes` (m n k and strides)."""
    m, n, k = (
        register if letter in case.names else value
        for letter, register, value in zip("mnk", sizes, (case.m, case.n, case.k), strict=False)
    )
    steps = list(sizes[3:7]) if "s" in case.names else [*case.a, *case.b]
    b_col = case.b[1] if case.b[1] == 1 else steps[3]
    b_row = case.b[0] if case.b[0] == 1 else steps[2]
    a_col = case.a[1] if case.a[1] == 1 else steps[1]
    return Contraction(
        case.dtype,
        m,
        n,
        k,
        Operand(bases[0], steps[0], a_col, case.batch_a),
        Operand(bases[1], b_row, b_col, case.batch_b),
        case.order,
        case.batch,
    )


@dataclass(frozen=True)
class Built:
    """The module text of a case and how its result is cut into blocks."""

    text: str
    shape: Blocking

    def compile(self) -> Program:
        """Compile for this machine."""
        return Program(Compiled(self.text), self.shape)


@dataclass(frozen=True)
class Program:
    """A compiled case."""

    code: Compiled
    shape: Blocking


def build(case: Case) -> Built:
    """Emit a case."""
    shapes: list[Blocking] = []

    def body(e: Emitter, pointers: list[Reg], sizes: list[Reg]) -> None:
        c = contraction(case, pointers, sizes)
        shapes.append(blocking(c, case.target))
        rows = [case.m * case.n]
        for size in reversed(case.batch[1:]):
            rows.insert(0, rows[0] * size)
        pitch = sizes[1] if "n" in case.names else case.n
        out = Operand(pointers[2], pitch, 1, tuple(rows[: len(case.batch)]))
        hooks = Hooks(store_to(out, c, case.target), case.finish_cost)
        emit_contraction(e, c, BLOCKS, hooks, case.target, pointers[3])

    return Built(kernel_text(4, 7, body), shapes[0])


def run(
    case: Case,
    a: int,
    b: int,
    out: np.ndarray | int,
    cuts: Sequence[int] = (),
    program: Program | None = None,
) -> None:
    """Run a case on addresses; `cuts` splits the blocks into several calls, last first."""
    program = program or build(case).compile()
    shape = program.shape
    count = shape.count(case.m, case.n, int(np.prod(case.batch, dtype=int)))
    scratch = np.full(shape.scratch_bytes + 128, 0xFF, np.uint8)
    start = -scratch.ctypes.data % 64
    dims = [case.m, case.n, case.k, *case.a, *case.b]
    place = out if isinstance(out, int) else out.ctypes.data
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    for begin, end in reversed(list(pairwise(edges))):
        program.code.run([a, b, place, scratch.ctypes.data + start], dims, (begin, end))
    assert (scratch[start + shape.scratch_bytes :] == 0xFF).all()


def chain_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The ascending fma chain over k of small matrices (exact products for f32; see callers)."""
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    wide = np.float64 if a.dtype == np.float32 else a.dtype
    for k in range(a.shape[1]):
        product = a[:, k, None].astype(wide) * b[None, k, :].astype(wide)
        out = (product + out).astype(a.dtype)
    return out


class Guarded:
    """Bytes that end (or begin) exactly at a page that may not be touched."""

    def __init__(self, nbytes: int, *, at_end: bool = True) -> None:
        page = mmap.PAGESIZE
        pages = -(-max(nbytes, 1) // page)
        self._map = mmap.mmap(-1, (pages + 2) * page)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for forbidden in (self._base, self._base + (pages + 1) * page):
            assert libc.mprotect(forbidden, page, 0) == 0
        self.address = self._base + page + (pages * page - nbytes if at_end else 0)

    def view(self, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
        """The bytes as an array."""
        count = int(np.prod(shape, dtype=int))
        kind = ctypes.c_char * (count * np.dtype(dtype).itemsize)
        return np.frombuffer(kind.from_address(self.address), dtype, count).reshape(shape)


def undefined_symbols(text: str, cpu: str) -> list[str]:
    """Names an object file of the module leaves to the linker."""
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, opt=2)
    code = machine.emit_object(llvm.parse_assembly(text))
    (table,) = struct.unpack_from("<Q", code, 0x28)
    entry, count = struct.unpack_from("<HH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, table + i * entry) for i in range(count)]
    names = []
    for section in sections:
        if section[1] != 2:
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _, _, where = struct.unpack_from("<IBBH", code, at)
            if where == 0 and name:
                end = code.index(b"\0", strings + name)
                names.append(code[strings + name : end].decode())
    return names


def assembly(text: str, cpu: str) -> str:
    """The module as assembly."""
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, opt=2)
    return machine.emit_assembly(llvm.parse_assembly(text))
