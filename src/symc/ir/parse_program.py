"""Text to programs: the reverse of `generic_program.py`.

before: text.  after: a program whose text is the same, all of whose references lead somewhere.  The
runtime verifies the rest at load: lifetimes, alignment, what may be written when.

Invariant: malformed text of any kind raises ParseError with line and column, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from symc.ir.attr_fields import Fields
from symc.ir.attr_text import Reader
from symc.ir.core import Attr
from symc.ir.generic_program import (
    BIND,
    BUFFER,
    BUFFER_TYPE,
    COMMIT,
    COPY,
    FLAGS,
    JUMP,
    KERNEL,
    PROGRAM,
)
from symc.ir.lexer import Token
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
    SizeExpr,
    SizeOp,
    StateSlot,
)
from symc.ir.text import RETURN
from symc.ir.types import DTYPE_NAMES, Literal

_DTYPES = {dtype.name: dtype for dtype in DTYPE_NAMES.values()}
_OPS = {op.name.lower(): op for op in SizeOp}
_KINDS = {kind.name.lower(): kind for kind in BufferKind}
Within = Callable[[Sequence[int], int, str], None]
_MOST = 2**31 - 1  # of a number that refers to something
_WIDE = 2**63


def parse_program(text: str) -> Program:
    """The program that a text describes; ParseError for anything else."""
    return _Reading(text).program()


class _Reading:
    """A cursor over a program."""

    def __init__(self, text: str) -> None:
        self.read = Reader(text)
        self.buffers: list[Buffer] = []
        self.code: list[Instruction] = []
        self.numbers: dict[str, int] = {}
        self.outputs: tuple[int, ...] | None = None

    def program(self) -> Program:
        """The whole text."""
        read = self.read
        start = read.kind("string")
        if start.text != f'"{PROGRAM}"':
            raise read.error(f'expected "{PROGRAM}"', start)
        read.sign("(", ")", "(", "{")
        if read.kind("word").text != "^bb0":
            raise read.error("expected a block label")
        read.sign(":")
        while self.outputs is None:
            self.statement()
        read.sign("}", ")")
        fields = _Fields(read, start, read.attrs())
        read.sign(":", "(", ")", "->", "(", ")")
        if read.here.kind != "end":
            raise read.error("text after the end of the program")
        return self.assembled(fields, self.outputs)

    def statement(self) -> None:
        """A buffer, an instruction, or the return."""
        read = self.read
        result = read.take() if read.here.kind == "value" else None
        if result is not None:
            read.sign("=")
        start = read.kind("string")
        name = start.text[1:-1]
        read.sign("(")
        operands = read.listed(self.operand, ")")
        fields = _Fields(read, start, read.attrs())
        read.sign(":", "(")
        types = read.listed(lambda: read.sign(BUFFER_TYPE), ")")
        if len(types) != len(operands):
            raise read.error("one type per operand", start)
        read.sign("->")
        if name == BUFFER:
            read.sign(BUFFER_TYPE)
        else:
            read.sign("(", ")")
        if (name == BUFFER) != (result is not None):
            raise read.error("a buffer is a value, an instruction is none", start)
        self.made(fields, name, operands, result)
        fields.done()

    def operand(self) -> int:
        token = self.read.kind("value")
        if token.text not in self.numbers:
            raise self.read.error(f"{token.text} is not defined", token)
        return self.numbers[token.text]

    def made(self, fields: _Fields, name: str, operands: list[int], result: Token | None) -> None:
        """Keep what a statement says."""
        if result is not None:
            if result.text in self.numbers:
                raise self.read.error(f"{result.text} is defined twice", result)
            self.numbers[result.text] = len(self.buffers)
            self.buffers.append(fields.buffer())
        elif name == RETURN:
            self.outputs = tuple(operands)
        else:
            self.code.append(_instruction(fields, name, operands))

    def assembled(self, fields: _Fields, outputs: tuple[int, ...]) -> Program:
        program = Program(
            name=fields.text("sym_name"),
            dims=fields.texts("dims"),
            sizes=fields.each(fields.take("sizes"), "sizes", fields.as_expression),
            constraints=fields.each(
                fields.take("constraints"), "constraints", fields.as_constraint
            ),
            inputs=fields.each(fields.take("inputs"), "inputs", fields.as_input),
            states=fields.each(fields.take("states"), "states", fields.as_state),
            constants=fields.each(fields.take("constants"), "constants", fields.as_constant),
            buffers=tuple(self.buffers),
            outputs=outputs,
            updates=fields.each(fields.take("updates"), "updates", fields.as_update),
            arena=fields.reference("arena"),
            code=tuple(self.code),
            locations=fields.texts("locations"),
            computed=fields.reference("computed") if "computed" in fields.attrs else 0,
        )
        fields.done()
        _check(program, fields)
        return program


def _instruction(fields: _Fields, name: str, operands: list[int]) -> Instruction:
    match name, operands:
        case _, _ if name == KERNEL:
            return Kernel(
                symbol=fields.text("symbol"),
                buffers=tuple(operands),
                dims=fields.references("dims"),
                blocks=fields.reference("blocks"),
                cost=fields.reference("cost"),
                scratch=fields.reference("scratch"),
                node=fields.reference("node"),
                traps=fields.flag("traps"),
                **{name: name in fields.attrs and fields.flag(name) for name in FLAGS},
            )
        case _, [target, source] if name == COPY:
            return Copy(target, source, fields.reference("node"))
        case _, [] if name == JUMP:
            return Jump(fields.reference("to"))
        case _, [unless] if name == JUMP:
            return Jump(fields.reference("to"), unless)
        case _, [] if name == COMMIT:
            return Commit()
        case _, [buffer] if name == BIND:
            return Bind(fields.reference("dim"), buffer, fields.reference("node"))
        case _:
            return fields.refuse(f"unknown instruction {name[:40]!r}, or its operands")


class _Fields(Fields):
    """The attributes of a program, a buffer or an instruction."""

    def reference(self, name: str) -> int:
        return self.as_reference(self.take(name), name)

    def references(self, name: str) -> tuple[int, ...]:
        return self.each(self.take(name), name, self.as_reference)

    def as_reference(self, value: Attr, name: str) -> int:
        found = self.as_whole(value, name)
        return found if 0 <= found <= _MOST else self.refuse(f"{name}: {found} refers to nothing")

    def as_dtype(self, value: Attr, name: str) -> np.dtype:
        found = _DTYPES.get(self.as_text(value, name))
        return found if found is not None else self.refuse(f"{name}: unknown dtype {value}")

    def as_shape(self, value: Attr, name: str) -> tuple[int, ...]:
        return self.each(value, name, self.as_reference)

    def buffer(self) -> Buffer:
        kind = _KINDS.get(self.text("kind"))
        if kind is None:
            self.refuse("unknown kind of buffer")
        return Buffer(
            kind=kind,
            index=self.reference("index"),
            dtype=self.as_dtype(self.take("dtype"), "dtype"),
            shape=self.references("shape"),
            bytes=self.reference("bytes"),
            offset=self.reference("offset") if "offset" in self.attrs else -1,
            space=self.text("space"),
        )

    def as_expression(self, value: Attr, name: str) -> SizeExpr:
        op, a, b = self.parts(value, name, 3)
        found = _OPS.get(self.as_text(op, name))
        if found is None:
            self.refuse(f"{name}: unknown operation {op}")
        left, right = self.as_whole(a, name), self.as_whole(b, name)
        if not (-_WIDE <= left < _WIDE and -_WIDE <= right < _WIDE):
            self.refuse(f"{name}: a number beyond 64 bits")
        return SizeExpr(found, left, right)

    def as_constraint(self, value: Attr, name: str) -> Constraint:
        many = isinstance(value, tuple) and len(value) == 5
        left, right, node, text, *rest = self.parts(value, name, 5 if many else 4)
        a, b = self.as_reference(left, name), self.as_reference(right, name)
        kind = self.as_text(rest[0], name) if rest else CONSTRAINT_KINDS[0]
        if kind not in CONSTRAINT_KINDS:
            self.refuse(f"{name}: unknown kind {kind}")
        where = self.as_reference(node, name)
        return Constraint(a, b, where, self.as_text(text, name), kind)

    def as_input(self, value: Attr, name: str) -> Input:
        title, dtype, shape, accept, donated = self.parts(value, name, 5)
        if not isinstance(donated, bool):
            self.refuse(f"{name}: expected true or false")
        bits = self.as_whole(accept, name)
        if not 0 <= bits < 256:
            self.refuse(f"{name}: unknown kinds of arguments {bits}")
        kind, sizes = self.as_dtype(dtype, name), self.as_shape(shape, name)
        return Input(self.as_text(title, name), kind, sizes, bits, donated)

    def as_state(self, value: Attr, name: str) -> StateSlot:
        title, dtype, shape = self.parts(value, name, 3)
        kind = self.as_dtype(dtype, name)
        return StateSlot(self.as_text(title, name), kind, self.as_shape(shape, name))

    def as_constant(self, value: Attr, name: str) -> np.ndarray:
        if not isinstance(value, Literal):
            self.refuse(f"{name}: expected literals")
        return value.array

    def as_update(self, value: Attr, name: str) -> tuple[int, int]:
        slot, buffer = self.parts(value, name, 2)
        return self.as_reference(slot, name), self.as_reference(buffer, name)


def _check(program: Program, fields: Fields) -> None:
    """Every number that refers to something refers to something that is there."""
    sizes, nodes = len(program.sizes), len(program.locations)

    def within(numbers: Sequence[int], count: int, what: str) -> None:
        for number in numbers:
            if not 0 <= number < count:
                fields.refuse(f"there is no {what} {number}")

    for place, expr in enumerate(program.sizes):
        match expr.op:
            case SizeOp.CONST:
                pass
            case SizeOp.DIM:
                within([expr.a], len(program.dims), "dim")
            case _:
                within([expr.a, expr.b], place, "earlier size")
    for shape in [given.shape for given in program.inputs] + [s.shape for s in program.states]:
        within(shape, sizes, "size")
    for constraint in program.constraints:
        within([constraint.left, constraint.right], sizes, "size")
        within([constraint.node], nodes, "location")
    within([program.arena], sizes, "size")
    _check_buffers(program, within)
    for slot, number in program.updates:
        within([slot], len(program.states), "state")
        within([number], len(program.buffers), "buffer")
    _check_code(program, within)


def _check_buffers(program: Program, within: Within) -> None:
    tables = {
        BufferKind.INPUT: len(program.inputs),
        BufferKind.STATE: len(program.states),
        BufferKind.STAGED: len(program.states),
        BufferKind.CONST: len(program.constants),
        BufferKind.OUTPUT: len(program.outputs),
    }
    sizes = len(program.sizes)
    for buffer in program.buffers:
        offset = [buffer.offset] if buffer.offset >= 0 else []
        within([*buffer.shape, buffer.bytes, *offset], sizes, "size")
        if buffer.kind in tables:
            within([buffer.index], tables[buffer.kind], buffer.kind.name.lower())


def _check_code(program: Program, within: Within) -> None:
    sizes, nodes = len(program.sizes), len(program.locations)
    for instruction in program.code:
        match instruction:
            case Kernel():
                used = (instruction.blocks, instruction.cost, instruction.scratch)
                within([*instruction.dims, *used], sizes, "size")
                within([instruction.node], nodes, "location")
            case Copy():
                within([instruction.node], nodes, "location")
            case Jump():
                within([instruction.to], len(program.code) + 1, "instruction")
            case Bind():
                within([instruction.node], nodes, "location")
                within([instruction.dim], len(program.dims), "dim")
            case Commit():
                pass
