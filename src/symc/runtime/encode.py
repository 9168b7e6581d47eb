"""Encoding: a `Program` as the bytes that `cpp/runtime/program.cpp` decodes.

Before: a Program (plain data, from `passes/buffers.py` or by hand).
After: bytes, the same for equal programs.

Invariants: little-endian; a list is a u32 count and its items; a string is a u32 length and UTF-8;
a reference to a size, buffer or node is a u32, and "none" is 2**32 - 1.  The text of `locations` is
not encoded, only how many there are: a process that finds a program in the cache attaches its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import assert_never

import numpy as np

from symc.ir.errors import UnsupportedError, message
from symc.ir.program import (
    CONSTRAINT_KINDS,
    Bind,
    Buffer,
    BufferKind,
    Commit,
    Constraint,
    Copy,
    Input,
    Instruction,
    Jump,
    Kernel,
    Program,
    StateSlot,
)

MAGIC = b"SYMCPROG"
VERSION = 2
ABI_VERSION = 2
NONE = 0xFFFFFFFF

DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
DTYPE_CODES = {name: code for code, name in enumerate(DTYPES)}

OPCODES: dict[type[Instruction], int] = {Kernel: 0, Copy: 1, Jump: 2, Commit: 3, Bind: 4}


class _Writer:
    """Appends the primitive pieces of the format."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def u8(self, value: int) -> None:
        self.parts.append(struct.pack("<B", value))

    def u32(self, value: int) -> None:
        self.parts.append(struct.pack("<I", value))

    def i64(self, value: int) -> None:
        self.parts.append(struct.pack("<q", value))

    def string(self, text: str) -> None:
        data = text.encode()
        self.u32(len(data))
        self.parts.append(data)

    def indices(self, values: Sequence[int]) -> None:
        self.u32(len(values))
        self.parts.append(struct.pack(f"<{len(values)}I", *values))

    def dtype(self, dtype: np.dtype) -> None:
        code = DTYPE_CODES.get(np.dtype(dtype).name)
        if code is None:
            subject = f"the runtime has no dtype {dtype}"
            raise UnsupportedError(message(subject, expected=", ".join(DTYPES)))
        self.u8(code)


def encode(program: Program) -> bytes:
    """Encode `program`; UnsupportedError for a dtype that the runtime does not have."""
    out = _Writer()
    out.string(program.name)
    out.u32(len(program.dims))
    for dim in program.dims:
        out.string(dim)
    out.u32(program.computed)
    _sizes(out, program)
    _signature(out, program)
    out.u32(len(program.constants))
    for constant in program.constants:
        _constant(out, constant)
    out.u32(len(program.buffers))
    for buffer in program.buffers:
        _buffer(out, buffer)
    out.indices(program.outputs)
    out.u32(len(program.updates))
    for slot, number in program.updates:
        out.u32(slot)
        out.u32(number)
    out.u32(program.arena)
    out.u32(len(program.code))
    for instruction in program.code:
        _instruction(out, instruction)
    out.u32(len(program.locations))
    return _with_header(out.parts)


def _with_header(parts: Iterable[bytes]) -> bytes:
    body = b"".join(parts)
    header = MAGIC + struct.pack("<II", VERSION, ABI_VERSION)
    return header + struct.pack("<Q", len(header) + 8 + len(body)) + body


def _sizes(out: _Writer, program: Program) -> None:
    out.u32(len(program.sizes))
    for expr in program.sizes:
        out.u8(expr.op)
        out.i64(expr.a)
        out.i64(expr.b)
    out.u32(len(program.constraints))
    for constraint in program.constraints:
        _constraint(out, constraint)


def _constraint(out: _Writer, constraint: Constraint) -> None:
    out.u32(constraint.left)
    out.u32(constraint.right)
    out.u32(constraint.node)
    out.u8(CONSTRAINT_KINDS.index(constraint.kind))
    out.string(constraint.message)


def _signature(out: _Writer, program: Program) -> None:
    out.u32(len(program.inputs))
    for item in program.inputs:
        _input(out, item)
    out.u32(len(program.states))
    for slot in program.states:
        _state(out, slot)


def _input(out: _Writer, item: Input) -> None:
    out.string(item.name)
    out.dtype(item.dtype)
    out.u8(item.accept)
    out.u8(item.donated)
    out.indices(item.shape)


def _state(out: _Writer, slot: StateSlot) -> None:
    out.string(slot.name)
    out.dtype(slot.dtype)
    out.indices(slot.shape)


def _constant(out: _Writer, constant: np.ndarray) -> None:
    native = np.ascontiguousarray(constant, constant.dtype.newbyteorder("="))
    out.dtype(native.dtype)
    out.u32(constant.ndim)
    for size in constant.shape:
        out.i64(size)
    out.parts.append(native.tobytes())


def _buffer(out: _Writer, buffer: Buffer) -> None:
    out.u8(buffer.kind)
    out.u32(0 if buffer.kind is BufferKind.ARENA else buffer.index)
    out.dtype(buffer.dtype)
    out.indices(buffer.shape)
    out.u32(buffer.bytes)
    out.u32(NONE if buffer.offset < 0 else buffer.offset)
    out.string(buffer.space)


def _instruction(out: _Writer, instruction: Instruction) -> None:
    out.u8(OPCODES[type(instruction)])
    match instruction:
        case Kernel():
            _kernel(out, instruction)
        case Copy(target, source, node):
            out.u32(target)
            out.u32(source)
            out.u32(node)
        case Jump(to, unless):
            out.u32(to)
            out.u32(NONE if unless < 0 else unless)
        case Commit():
            pass
        case Bind(dim, buffer, node):
            out.u32(dim)
            out.u32(buffer)
            out.u32(node)
        case _:
            assert_never(instruction)


def _kernel(out: _Writer, kernel: Kernel) -> None:
    out.string(kernel.symbol)
    out.indices(kernel.buffers)
    out.indices(kernel.dims)
    out.u32(kernel.blocks)
    out.u32(kernel.cost)
    out.u32(kernel.scratch)
    out.u32(kernel.node)
    out.u8(kernel.traps | kernel.pauses << 1 | kernel.endless << 2)
