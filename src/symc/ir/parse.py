"""Text to functions: the reverse of `text.py`.

before: text.  after: a function whose text is the same.  Every node goes through `build.apply`, so
its types are inferred anew and compared with the ones written.  Locations are optional; whitespace
and `//` comments are free.

Invariant: malformed text of any kind raises ParseError with line and column, and nothing else;
nothing here recurses over the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TypeGuard

from symc.ir.attr_text import Reader
from symc.ir.build import apply
from symc.ir.core import Attr, Constraint, Function, Locations, Node, Value
from symc.ir.dims import Dim, Size
from symc.ir.errors import SymcError
from symc.ir.lexer import Token
from symc.ir.locations import UNKNOWN, Location
from symc.ir.ops import OPS
from symc.ir.text import EQUAL, FUNCTION, PREFIX, REGIONS, RETURN
from symc.ir.types import TensorType
from symc.records import dataclass

KINDS = frozenset({EQUAL, "index", "empty"})


def parse_function(text: str) -> Function:
    """The function that a text describes; ParseError for anything else."""
    return Blocks(Reader(text)).function_alone()


@dataclass(slots=True)
class Block:
    """A function body being read: what its names mean, its nodes so far."""

    params: tuple[Value, ...]
    values: dict[str, Value]
    nodes: list[Node] = field(default_factory=list)
    results: tuple[Value, ...] = ()


@dataclass(slots=True)
class _Statement:
    """A node being read, up to its regions."""

    start: Token
    name: str
    results: list[Token]
    operands: tuple[Value, ...]
    regions: list[Block] = field(default_factory=list)


class Blocks:
    """Reads bodies: open blocks, and the statements whose regions they are, wait on two stacks."""

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.blocks: list[Block] = []
        self.waiting: list[_Statement] = []
        self.closed: list[Block] = []

    def region(self) -> Block:
        """A block with its nodes, from its label to the `})` behind it."""
        self.open_block()
        while self.blocks:
            self.statement()
        (body,) = self.closed
        return body

    def function_alone(self) -> Function:
        """The one function of a text."""
        read = self.read
        start = read.here
        self.name(FUNCTION)
        read.sign("(", ")", "(", "{")
        body = self.region()
        attrs = read.attrs()
        read.sign(":", "(", ")", "->", "(", ")")
        read.locations()
        if read.here.kind != "end":
            raise read.error(f"text after the end of the function: {read.here.text[:40]!r}")
        head = (attrs.get("sym_name"), attrs.get("names", ()), attrs.get("constraints", ()))
        return self.function(start, body, head)

    def name(self, expected: str) -> None:
        """Pass over an op name in quotes."""
        token = self.read.kind("string")
        if token.text != f'"{expected}"':
            raise self.read.error(f'expected "{expected}"', token)

    def open_block(self) -> None:
        """Begin a block whose nodes follow."""
        params = self.label()
        self.blocks.append(Block(tuple(params.values()), params))

    def label(self) -> dict[str, Value]:
        """`^bb0(%0: type, ...):`"""
        read = self.read
        label = read.kind("word")
        if not label.text.startswith("^"):
            raise read.error("expected a block label", label)
        params: dict[str, Value] = {}

        def param() -> None:
            token = read.kind("value")
            read.sign(":")
            if token.text in params:
                raise read.error(f"{token.text} is defined twice", token)
            params[token.text] = Value(read.type())
            read.locations()

        if read.accept("("):
            read.listed(param, ")")
        read.sign(":")
        return params

    def statement(self) -> None:
        """One node, or the beginning of one with regions, or the end of a block."""
        read = self.read
        results: list[Token] = []
        while read.here.kind == "value":
            results.append(read.take())
            read.sign("=" if read.sees("=") else ",")
            if read.here.kind == "string":
                break
        start = read.here
        name = read.string()
        read.sign("(")
        operands = tuple(read.listed(self.operand, ")"))
        if name == RETURN:
            if results:
                raise read.error("a return has no results", start)
            self.end_block(operands)
            return
        statement = _Statement(start, name.removeprefix(PREFIX), results, operands)
        if not name.startswith(PREFIX) or statement.name not in OPS:
            raise read.error(f"unknown operation {name[:40]!r}", start)
        if read.accept("("):
            read.sign("{")
            self.waiting.append(statement)
            self.open_block()
        else:
            self.finish(statement)

    def operand(self) -> Value:
        token = self.read.kind("value")
        value = self.blocks[-1].values.get(token.text)
        if value is None:
            raise self.read.error(f"{token.text} is not defined", token)
        return value

    def end_block(self, results: tuple[Value, ...]) -> None:
        """The rest of a return, and what follows the block."""
        read = self.read
        read.sign(":")
        start = read.here
        if self.types() != [value.type for value in results]:
            raise read.error("types of the returned values", start)
        read.sign("->", "(", ")")
        read.locations()
        read.sign("}")
        block = self.blocks.pop()
        block.results = results
        if not self.waiting:
            self.closed = [block]
            read.sign(")")
            return
        statement = self.waiting[-1]
        statement.regions.append(block)
        if read.accept(","):
            read.sign("{")
            self.open_block()
            return
        read.sign(")")
        self.waiting.pop()
        self.finish(statement)

    def types(self) -> list[TensorType]:
        """One type, or several in parentheses."""
        if self.read.accept("("):
            return self.read.listed(self.read.type, ")")
        return [self.read.type()]

    def finish(self, statement: _Statement) -> None:
        """Attributes, types and location of a node; makes it."""
        read = self.read
        attrs = read.attrs()
        read.sign(":")
        if self.types() != [value.type for value in statement.operands]:
            raise read.error("types of the operands differ from their definitions", statement.start)
        read.sign("->")
        declared = self.types()
        locations = read.locations()
        regions = self.regions(statement, attrs)
        node = self.make(statement, attrs, regions, locations)
        if [value.type for value in node.results] != declared:
            got = ", ".join(str(value.type) for value in node.results)
            raise read.error(f"the results of {statement.name} are {got}", statement.start)
        if len(statement.results) != len(node.results):
            raise read.error(f"{statement.name} has {len(node.results)} results", statement.start)
        block = self.blocks[-1]
        for token, value in zip(statement.results, node.results, strict=True):
            if token.text in block.values:
                raise read.error(f"{token.text} is defined twice", token)
            block.values[token.text] = value
        block.nodes.append(node)

    def make(
        self,
        statement: _Statement,
        attrs: dict[str, Attr],
        regions: tuple[Function, ...],
        locations: Locations,
    ) -> Node:
        op = OPS[statement.name]
        try:
            return apply(op, statement.operands, attrs, regions=regions, locations=locations)
        except SymcError as error:
            raise self.read.error(
                str(error).split("\n  at: ", maxsplit=1)[0], statement.start
            ) from None

    def regions(self, statement: _Statement, attrs: dict[str, Attr]) -> tuple[Function, ...]:
        """The functions of a node's regions; takes their names out of the attributes."""
        if not statement.regions:
            return ()
        heads = attrs.pop(REGIONS, ())
        if not isinstance(heads, tuple) or len(heads) != len(statement.regions):
            raise self.read.error(
                f"attribute {REGIONS} needs one entry per region", statement.start
            )
        return tuple(
            self.function(statement.start, block, head if isinstance(head, tuple) else ())
            for block, head in zip(statement.regions, heads, strict=True)
        )

    def function(self, start: Token, block: Block, head: Sequence[Attr]) -> Function:
        """A function from its body and `(name, names of params, constraints)`."""
        match head:
            case (str() as name, tuple() as names, tuple() as constraints):
                pass
            case _:
                raise self.read.error("expected a name, names of params and constraints", start)
        if names and len(names) != len(block.params):
            raise self.read.error("names of params: wrong number", start)
        for param, shown in zip(block.params, names, strict=False):
            if shown is not None and not isinstance(shown, str):
                raise self.read.error("names of params are strings", start)
            param.name = shown
        found = tuple(self.constraint(start, item) for item in constraints)
        return Function(name, block.params, tuple(block.nodes), block.results, found)

    def constraint(self, start: Token, item: Attr) -> Constraint:
        """`[left, right, message, file, line]`; the last three may be missing."""
        match item:
            case (left, right, *rest) if _is_size(left) and _is_size(right):
                pass
            case _:
                raise self.read.error("malformed constraint", start)
        place, kind = UNKNOWN, EQUAL
        match rest:
            case []:
                text = ""
            case [str() as text]:
                pass
            case [str() as text, str() as kind]:
                pass
            case [str() as text, str() as file, int() as line]:
                place = Location(file, line)
            case [str() as text, str() as kind, str() as file, int() as line]:
                place = Location(file, line)
            case _:
                raise self.read.error("malformed constraint", start)
        if kind not in KINDS:
            raise self.read.error(f"unknown kind of constraint {kind[:40]!r}", start)
        return Constraint(left, right, place, text, kind)


def _is_size(value: Attr) -> TypeGuard[Size]:
    return isinstance(value, int | Dim) and not isinstance(value, bool)
