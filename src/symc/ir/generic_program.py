"""Programs in MLIR's generic form, which `parse_program.py` reads back.

before: a `Program`.  after: one `symc.program` operation.  Buffers are values, instructions are
operations on them, the outputs are returned; tables of sizes, inputs, states and constants are
attributes, and what refers to a size names its entry by number.

Invariants: the text holds everything that a program holds; equal programs print alike.
`text_program.py` writes the shorter form for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from symc.ir.core import Attr
from symc.ir.program import (
    CONSTRAINT_KINDS,
    Bind,
    Buffer,
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
from symc.ir.text import RETURN, attrs_text
from symc.ir.types import Literal

PROGRAM = "symc.program"
BUFFER = "symc.buffer"
BUFFER_TYPE = "!symc.buffer"
KERNEL = "symc.kernel"
COPY = "symc.copy"
JUMP = "symc.jump"
COMMIT = "symc.commit"
BIND = "symc.bind"


FLAGS = ("pauses", "endless")  # of a kernel, where they hold


def program_text(program: Program) -> str:
    """The program as one operation, ending in a newline."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield f'"{PROGRAM}"() ({{'
    yield "^bb0:"
    for number, buffer in enumerate(program.buffers):
        attrs = attrs_text(buffer_attrs(buffer))
        yield f'  %{number} = "{BUFFER}"() {attrs} : () -> {BUFFER_TYPE}'
    for instruction in program.code:
        yield f"  {_instruction(instruction)}"
    yield f"  {_operation(RETURN, program.outputs, {})}"
    yield f"}}) {attrs_text(_head(program))} : () -> ()"


def _head(program: Program) -> dict[str, Attr]:
    head: dict[str, Attr] = {
        "sym_name": program.name,
        "dims": program.dims,
        "sizes": tuple((expr.op.name.lower(), expr.a, expr.b) for expr in program.sizes),
        "constraints": tuple(map(_constraint, program.constraints)),
        "inputs": tuple(map(_input, program.inputs)),
        "states": tuple(map(_state, program.states)),
        "constants": tuple(map(Literal, program.constants)),
        "updates": program.updates,
        "arena": program.arena,
        "locations": program.locations,
    }
    return head | {"computed": program.computed} if program.computed else head


def _constraint(c: Constraint) -> Attr:
    kind = () if c.kind == CONSTRAINT_KINDS[0] else (c.kind,)
    return (c.left, c.right, c.node, c.message, *kind)


def _input(item: Input) -> Attr:
    return (item.name, item.dtype.name, item.shape, int(item.accept), item.donated)


def _state(slot: StateSlot) -> Attr:
    return (slot.name, slot.dtype.name, slot.shape)


def buffer_attrs(buffer: Buffer) -> dict[str, Attr]:
    """What a buffer is; `offset` only where it has one."""
    attrs: dict[str, Attr] = {
        "kind": buffer.kind.name.lower(),
        "index": buffer.index,
        "dtype": buffer.dtype.name,
        "shape": buffer.shape,
        "bytes": buffer.bytes,
        "space": buffer.space,
    }
    return attrs if buffer.offset < 0 else attrs | {"offset": buffer.offset}


def _instruction(instruction: Instruction) -> str:
    match instruction:
        case Kernel():
            attrs: dict[str, Attr] = {
                "symbol": instruction.symbol,
                "dims": instruction.dims,
                "blocks": instruction.blocks,
                "cost": instruction.cost,
                "scratch": instruction.scratch,
                "node": instruction.node,
                "traps": instruction.traps,
            }
            attrs |= {name: True for name in FLAGS if getattr(instruction, name)}
            return _operation(KERNEL, instruction.buffers, attrs)
        case Copy():
            buffers = (instruction.target, instruction.source)
            return _operation(COPY, buffers, {"node": instruction.node})
        case Jump():
            unless = (instruction.unless,) if instruction.unless >= 0 else ()
            return _operation(JUMP, unless, {"to": instruction.to})
        case Commit():
            return _operation(COMMIT, (), {})
        case Bind():
            place: dict[str, Attr] = {"dim": instruction.dim, "node": instruction.node}
            return _operation(BIND, (instruction.buffer,), place)
        case _:
            assert_never(instruction)


def _operation(name: str, buffers: Sequence[int], attrs: dict[str, Attr]) -> str:
    operands = ", ".join(f"%{number}" for number in buffers)
    types = ", ".join([BUFFER_TYPE] * len(buffers))
    shown = f" {attrs_text(attrs)}" if attrs else ""
    return f'"{name}"({operands}){shown} : ({types}) -> ()'
