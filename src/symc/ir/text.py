"""Functions as text, in MLIR's generic form, which `mlir-opt` and xDSL read too.

before: a function.  after: text that `parse.py` turns into an equal function.  Values are numbered
in order of appearance, attributes sorted by name, so equal programs have equal text in every
process.  `canonical_bytes` leaves out what does not change results: locations and names.

Sizes that are not numbers ride as an encoding: `tensor<?x784xf32, #symc.dims<["batch", 784]>>`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Final

import numpy as np

from symc.ir.binding import bound_in
from symc.ir.core import Attr, Constraint, Function, Locations, Node, Value
from symc.ir.dims import Dim, symbol
from symc.ir.errors import DomainError, message
from symc.ir.locations import UNKNOWN, Location
from symc.ir.size_text import size_text
from symc.ir.specialise import specialise
from symc.ir.types import DTYPE_NAMES, Literal, TensorType, dtype_name
from symc.records import dataclass

FUNCTION = "symc.func"
RETURN = "symc.return"
PREFIX = "symc."
EQUAL = "equal"  # the kind of most constraints
REGIONS = "regions"  # the attribute with the names and constraints of a node's regions
SHORT_LITERAL = 16  # elements; longer literals are written as bytes

# MLIR's names of element types, where they are not ours.
ELEMENT_TYPES = {"bool": "i1"} | {name: name for name in DTYPE_NAMES if name != "bool"}

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]*\Z")


def print_function(function: Function, locations: bool = False) -> str:
    """The text of a function; with `locations`, each node's user lines."""
    return "\n".join(Printer(locations=locations).function(_counted(function))) + "\n"


def canonical_bytes(function: Function) -> bytes:
    """What identifies the function's meaning: its text without locations and names of params."""
    return ("\n".join(Printer(names=False).function(_counted(function))) + "\n").encode()


def _counted(function: Function) -> Function:
    """The function with computed dims named by the order in which they are bound."""
    bound = bound_in(function)
    names = {s.name: symbol(f"rows.{i}", computed=True) for i, s in enumerate(bound)}
    return specialise(function, names)


@dataclass(slots=True)
class Printer:
    """Writes lines; remembers the line of each node, for windows in error messages."""

    locations: bool = False
    names: bool = True
    numbers: dict[Value, int] = field(default_factory=dict)
    lines: dict[Node, int] = field(default_factory=dict)
    types: dict[TensorType, str] = field(default_factory=dict)
    count: int = 0

    def function(self, function: Function) -> list[str]:
        """All lines of a function."""
        out = [f'"{FUNCTION}"() ({{']
        out += self.body(function)
        heads = {name: value for name, value in self.head(function).items() if value != ()}
        shown = {"sym_name": function.name if self.names else "", **heads}
        out.append(f"}}) {attrs_text(shown)} : () -> ()")
        return out

    def head(self, function: Function) -> dict[str, Attr]:
        """What a function is besides its body: names of params, and constraints."""
        names: tuple[Attr, ...] = tuple(param.name for param in function.params)
        known = self.names and any(name is not None for name in names)
        constraints = tuple(self.constraint(c) for c in function.constraints)
        return {"names": names if known else (), "constraints": constraints}

    def constraint(self, constraint: Constraint) -> Attr:
        """`[left, right, message]`, its kind unless "equal", and its place when asked for."""
        sizes: tuple[Attr, ...] = (constraint.left, constraint.right)
        if not self.names:
            return sizes
        place = constraint.location
        kind = () if constraint.kind == EQUAL else (constraint.kind,)
        shown = (place.file, place.line) if self.locations and place != UNKNOWN else ()
        return (*sizes, constraint.message, *kind, *shown)

    def body(self, function: Function) -> Iterator[str]:
        """Lines of the block of a function; regions wait on a stack, there is no recursion."""
        yield self.block(function, 1)
        stack = [_Frame(function, iter(function.nodes))]
        count = 2
        while stack:
            frame = stack[-1]
            node = next(frame.nodes, None)
            line, inner = self.line(node, frame, len(stack))
            if node is not None:
                self.lines[node] = count
            elif frame.rest:
                stack[-1] = inner or frame
            else:
                stack.pop()
            yield line
            count += line.count("\n") + 1
            if node is not None and inner is not None:
                stack.append(inner)

    def line(self, node: Node | None, frame: _Frame, depth: int) -> tuple[str, _Frame | None]:
        """The text of a node up to its first region, or of the end of a frame; the next frame."""
        indent = "  " * depth
        if node is not None and not node.regions:
            return indent + self.before(node) + self.after(node), None
        if node is not None:
            inner = _Frame.of(node, node.regions)
            opened = self.block(node.regions[0], depth + 1)
            return f"{indent}{self.before(node)} ({{\n{opened}", inner
        text = indent + self.returned(frame.function)
        outer = "  " * (depth - 1)
        if frame.rest and frame.node is not None:
            opened = self.block(frame.rest[0], depth)
            return f"{text}\n{outer}}}, {{\n{opened}", _Frame.of(frame.node, frame.rest)
        if frame.node is not None:
            text += f"\n{outer}}}){self.after(frame.node)}"
        return text, None

    def block(self, function: Function, depth: int) -> str:
        """The line that names the params."""
        params = []
        for param in function.params:
            self.number(param)
            params.append(f"{self.name(param)}: {self.type(param.type)}")
        listed = f"({', '.join(params)})" if params else ""
        return "  " * (depth - 1) + f"^bb0{listed}:"

    def returned(self, function: Function) -> str:
        names = ", ".join(map(self.name, function.results))
        types = ", ".join(self.type(result.type) for result in function.results)
        return f'"{RETURN}"({names}) : ({types}) -> ()'

    def before(self, node: Node) -> str:
        """Up to the regions: `%2 = "symc.add"(%0, %1)`."""
        operands = ", ".join(map(self.name, node.operands))
        for result in node.results:
            self.number(result)
        results = ", ".join(map(self.name, node.results))
        given = f"{results} = " if results else ""
        return f'{given}"{PREFIX}{node.op.name}"({operands})'

    def after(self, node: Node) -> str:
        """From the attributes on."""
        shown = dict(node.attrs)
        if node.regions:
            heads = [(region.name, self.head(region)) for region in node.regions]
            shown[REGIONS] = tuple((name, h["names"], h["constraints"]) for name, h in heads)
        attrs = f" {attrs_text(shown)}" if shown else ""
        operands = ", ".join(self.type(x.type) for x in node.operands)
        results = ", ".join(self.type(x.type) for x in node.results)
        results = results if len(node.results) == 1 else f"({results})"
        place = f" {location_text(node.locations)}" if self.locations else ""
        return f"{attrs} : ({operands}) -> {results}{place}"

    def number(self, value: Value) -> int:
        """Give a value the next number; a region that is used twice is numbered twice."""
        self.numbers[value] = self.count
        self.count += 1
        return self.numbers[value]

    def type(self, type: TensorType) -> str:
        """The text of a type, made once."""
        text = self.types.get(type)
        if text is None:
            text = self.types[type] = type_text(type)
        return text

    def name(self, value: Value) -> str:
        """`%3`; a value that nothing defined before is `%undefined`."""
        number = self.numbers.get(value)
        return "%undefined" if number is None else f"%{number}"


@dataclass(frozen=True, slots=True)
class _Frame:
    """A block being printed: its remaining nodes, and the regions of `node` that follow it."""

    function: Function
    nodes: Iterator[Node]
    node: Node | None = None
    rest: tuple[Function, ...] = ()

    @staticmethod
    def of(node: Node, regions: tuple[Function, ...]) -> _Frame:
        return _Frame(regions[0], iter(regions[0].nodes), node, regions[1:])


# --- types, attributes, locations -----------------------------------------------------------------


def type_text(type: TensorType) -> str:
    """`tensor<2x3xf32>`."""
    sizes = "".join(f"{'?' if isinstance(size, Dim) else size}x" for size in type.shape)
    element = ELEMENT_TYPES[dtype_name(type.dtype)]
    if not any(isinstance(size, Dim) for size in type.shape):
        return f"tensor<{sizes}{element}>"
    dims = ", ".join(
        quoted(size_text(size)) if isinstance(size, Dim) else str(size) for size in type.shape
    )
    return f"tensor<{sizes}{element}, #symc.dims<[{dims}]>>"


_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def quoted(text: str) -> str:
    """A string attribute; what does not print is written as bytes."""
    return '"' + "".join(map(_char_text, text)) + '"'


def _char_text(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isprintable():
        return char
    return "".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def attrs_text(attrs: Mapping[str, Attr]) -> str:
    """`{axes = [0, 1], mode = "clip"}`, sorted by name."""
    parts = []
    for name in sorted(attrs):
        shown = name if _WORD.match(name) else quoted(name)
        parts.append(f"{shown} = {attr_text(attrs[name])}")
    return "{" + ", ".join(parts) + "}"


def attr_text(value: Attr) -> str:
    """One attribute value."""
    match value:
        case None:
            return "#symc.none"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value)
        case str():
            return quoted(value)
        case Dim():
            return f"#symc.dim<{quoted(size_text(value))}>"
        case np.dtype():
            return ELEMENT_TYPES[dtype_name(value)]
        case Literal():
            return literal_text(value)
        case tuple():
            return "[" + ", ".join(map(attr_text, value)) + "]"
    raise DomainError(message("attribute", got=repr(value), expected="a value with a text form"))


def float_text(value: float) -> str:
    """A decimal that reads back exactly, or the bits of what has none."""
    if not math.isfinite(value):
        return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X} : f64"
    return decimal_text(repr(value))


def decimal_text(text: str) -> str:
    """A decimal with the point that MLIR's grammar wants: `1.0e-05`."""
    mantissa, e, exponent = text.partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + e + exponent


def literal_text(literal: Literal) -> str:
    """`dense<[1.0, 2.0]> : tensor<2xf32>`; equal elements once, long arrays as bytes."""
    return _short_text(literal) if literal.array.size <= 1 else _literal_text(literal)


def _literal_text(literal: Literal) -> str:
    array = literal.array
    type = type_text(TensorType(array.dtype, array.shape))
    data = array.tobytes()
    one = data[: array.itemsize]
    splat = array.ndim > 0 and array.size > 1 and data == one * array.size
    shown = array.reshape(-1)[0] if splat else array
    short = splat or array.size <= SHORT_LITERAL or array.dtype.kind == "b"
    exact = array.dtype.kind != "f" or (short and _reads_back(np.asarray(shown)))
    if array.size == 0:
        return f"dense<> : {type}"
    if short and exact:
        return f"dense<{_nested(np.asarray(shown))}> : {type}"
    swapped = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    shown_bytes = swapped[: array.itemsize] if splat else swapped
    return f'dense<"0x{shown_bytes.hex().upper()}"> : {type}'


# A long program has the same few numbers, over and over.
_short_text: Final = lru_cache(maxsize=1024)(_literal_text)


def _reads_back(array: np.ndarray) -> bool:
    """Whether the decimals of finite floats give the same bits again, by way of f64."""
    if not np.all(np.isfinite(array)):
        return False
    read = np.array([float(str(x)) for x in array.reshape(-1)], array.dtype)
    return read.tobytes() == array.tobytes()


def _nested(array: np.ndarray) -> str:
    if array.ndim > 0:
        return "[" + ", ".join(_nested(part) for part in array) + "]"
    match array.dtype.kind:
        case "b":
            return "true" if array else "false"
        case "f":
            return decimal_text(str(array[()]))
        case _:
            return str(int(array))


def location_text(locations: Locations) -> str:
    """`loc("model.py":12:1)`, several as `loc(fused[...])`."""
    shown = [_place_text(place) for place in locations if place != UNKNOWN]
    match len(shown):
        case 0:
            return "loc(unknown)"
        case 1:
            return f"loc({shown[0]})"
        case _:
            return f"loc(fused[{', '.join(shown)}])"


def _place_text(place: Location) -> str:
    return f"{quoted(place.file)}:{place.line}:1"
