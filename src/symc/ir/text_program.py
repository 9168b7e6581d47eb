"""The program as text, for people and golden files.

before: a `Program`.  after: one line per buffer and instruction; sizes stand as expressions.
`generic_program.py` writes what is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from symc.ir.program import (
    Bind,
    BufferKind,
    Commit,
    Copy,
    Instruction,
    Jump,
    Kernel,
    Program,
    SizeOp,
)
from symc.ir.types import dtype_name

_SIGNS = {
    SizeOp.ADD: "+",
    SizeOp.SUB: "-",
    SizeOp.MUL: "*",
    SizeOp.FLOORDIV: "//",
    SizeOp.MOD: "%",
}


FLAGS = ("traps", "pauses", "endless")


def print_program(program: Program) -> str:
    """The whole program, ending in a newline."""
    return "\n".join(_lines(program)) + "\n"


def size_texts(program: Program) -> list[str]:
    """Each entry of the size table as an expression over the dims."""
    texts: list[str] = []
    for expr in program.sizes:
        match expr.op:
            case SizeOp.CONST:
                texts.append(str(expr.a))
            case SizeOp.DIM:
                texts.append(program.dims[expr.a])
            case SizeOp.MIN | SizeOp.MAX:
                texts.append(f"{expr.op.name.lower()}({texts[expr.a]}, {texts[expr.b]})")
            case _:
                texts.append(f"({texts[expr.a]} {_SIGNS[expr.op]} {texts[expr.b]})")
    return texts


def _lines(program: Program) -> Iterator[str]:
    sizes = size_texts(program)
    yield f"program @{program.name} ({', '.join(program.dims)})"
    for item in program.inputs:
        note = " donated" if item.donated else ""
        yield f"  input {item.name}: {_type(item.dtype.name, item.shape, sizes)}{note}"
    for slot in program.states:
        yield f"  state {slot.name}: {_type(slot.dtype.name, slot.shape, sizes)}"
    for constraint in program.constraints:
        yield f"  where {sizes[constraint.left]} == {sizes[constraint.right]}"
    yield f"  arena {sizes[program.arena]} bytes"
    for number, buffer in enumerate(program.buffers):
        place = f" at {sizes[buffer.offset]}" if buffer.kind is BufferKind.ARENA else ""
        kind = buffer.kind.name.lower()
        index = "" if buffer.kind is BufferKind.ARENA else f" {buffer.index}"
        type = _type(dtype_name(buffer.dtype), buffer.shape, sizes)
        yield f"  %{number} = {kind}{index}: {type}{place}"
    for number, instruction in enumerate(program.code):
        yield f"  {number}: {_instruction(instruction, sizes)}"
    for state, number in program.updates:
        yield f"  update {program.states[state].name} = %{number}"
    yield f"  return {', '.join(f'%{number}' for number in program.outputs)}"


def _type(dtype: str, shape: tuple[int, ...], sizes: list[str]) -> str:
    return f"{dtype}[{', '.join(sizes[entry] for entry in shape)}]"


def _instruction(instruction: Instruction, sizes: list[str]) -> str:
    match instruction:
        case Kernel():
            buffers = ", ".join(f"%{number}" for number in instruction.buffers)
            dims = ", ".join(sizes[entry] for entry in instruction.dims)
            traps = "".join(f" {name}" for name in FLAGS if getattr(instruction, name))
            return (
                f"kernel {instruction.symbol}({buffers}) [{dims}] "
                f"blocks {sizes[instruction.blocks]} cost {sizes[instruction.cost]}"
                f" scratch {sizes[instruction.scratch]}{traps}"
            )
        case Copy():
            return f"copy %{instruction.target} <- %{instruction.source}"
        case Jump():
            unless = f" unless %{instruction.unless}" if instruction.unless >= 0 else ""
            return f"jump {instruction.to}{unless}"
        case Commit():
            return "commit"
        case Bind():
            return f"bind dim {instruction.dim} <- %{instruction.buffer}"
        case _:
            assert_never(instruction)
