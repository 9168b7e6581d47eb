"""Reading the parts of the text form: types, attributes, literals, locations.

before: tokens.  after: Python values.  Everything malformed raises ParseError with line and column.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from symc.ir.build import check_type
from symc.ir.core import Attr, Locations
from symc.ir.dims import Size
from symc.ir.errors import ParseError, SymcError
from symc.ir.lexer import Token, error_at, tokens
from symc.ir.locations import UNKNOWN, Location
from symc.ir.size_text import parse_size
from symc.ir.text import ELEMENT_TYPES
from symc.ir.types import DTYPE_NAMES, Literal, TensorType

_ELEMENTS = {text: DTYPE_NAMES[name] for name, text in ELEMENT_TYPES.items()}
_TENSOR = re.compile(
    r"tensor<(?P<sizes>(?:(?:[0-9]+|\?)x)*)(?P<element>[a-z0-9]+)"
    r"(?:\s*,\s*#symc\.dims\s*<\[(?P<dims>.*)\]>)?>\Z",
    re.DOTALL,
)
_DIM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([0-9]+))\s*(?:,|\Z)', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_NAMED = {b"n": b"\n", b"t": b"\t", b'"': b'"', b"\\": b"\\"}

T = TypeVar("T")

MOST_DIGITS = 40
MOST_ELEMENTS = 2**22  # of one literal that is shorter than its elements written out
MOST_RANK = 64  # NumPy's own limit
MOST_NESTED = 16  # attributes inside attributes


class Reader:
    """A cursor over tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.here = next(self.tokens)
        self.types: dict[str, TensorType] = {}

    def error(self, problem: str, token: Token | None = None) -> ParseError:
        """ParseError at a token, the current one by default."""
        return error_at(self.text, (token or self.here).start, problem)

    def take(self) -> Token:
        """The current token; goes on to the next."""
        token = self.here
        self.here = next(self.tokens)
        return token

    def kind(self, kind: str) -> Token:
        """The current token, which must be of a kind."""
        if self.here.kind != kind:
            raise self.error(f"expected a {kind}, got {self.here.text[:40]!r}")
        return self.take()

    def sign(self, *signs: str) -> None:
        """Pass over these tokens."""
        for text in signs:
            if self.here.text != text or self.here.kind == "string":
                raise self.error(f"expected {text!r}, got {self.here.text[:40]!r}")
            self.take()

    def sees(self, text: str) -> bool:
        return self.here.text == text and self.here.kind != "string"

    def accept(self, text: str) -> bool:
        """Pass over this token if it comes next."""
        found = self.sees(text)
        if found:
            self.take()
        return found

    def listed(self, item: Callable[[], T], close: str) -> list[T]:
        """Items between commas up to `close`, which is passed over too."""
        found: list[T] = []
        while not self.accept(close):
            if found:
                self.sign(",")
            found.append(item())
        return found

    # Values.
    def string(self) -> str:
        """A quoted string."""
        token = self.kind("string")
        inside = unquoted(token.text[1:-1])
        if inside is None:
            raise self.error("malformed string", token)
        return inside

    def whole(self) -> int:
        """A decimal whole number."""
        return self.integer_of(self.kind("number"))

    def integer_of(self, token: Token) -> int:
        digits = token.text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > MOST_DIGITS:
            raise self.error("expected a whole number", token)
        return int(token.text)

    def real_of(self, token: Token) -> float:
        value = float(token.text) if len(token.text) <= 10 * MOST_DIGITS else math.inf
        if not math.isfinite(value):
            raise self.error("a decimal beyond the range of floats", token)
        return value

    def size(self, token: Token, text: str) -> Size:
        try:
            return parse_size(text)
        except SymcError as error:
            raise self.error(str(error), token) from None

    def type(self) -> TensorType:
        """A tensor type."""
        token = self.kind("tensor")
        found = self.types.get(token.text)
        if found is None:
            found = self.types[token.text] = self._type_of(token)
        return found

    def _type_of(self, token: Token) -> TensorType:
        match = _TENSOR.match(token.text)
        if match is None or match["element"] not in _ELEMENTS:
            raise self.error("malformed tensor type", token)
        written = match["sizes"].split("x")[:-1]
        if len(written) > MOST_RANK or any(len(size) > MOST_DIGITS for size in written):
            raise self.error("tensor type with too many axes or digits", token)
        shape = self._dims_of(token, match["dims"], len(written)) if match["dims"] else []
        if not shape:
            if "?" in written:
                raise self.error("unknown sizes need #symc.dims", token)
            shape = [int(size) for size in written]
        for size, text in zip(shape, written, strict=True):
            if isinstance(size, int) != (text != "?") or (text != "?" and size != int(text)):
                raise self.error("sizes and #symc.dims differ", token)
        type = TensorType(_ELEMENTS[match["element"]], tuple(shape))
        try:
            check_type("tensor type", type)
        except SymcError as error:
            raise self.error(str(error), token) from None
        return type

    def _dims_of(self, token: Token, text: str, count: int) -> list[Size]:
        found: list[Size] = []
        position = 0
        while position < len(text) and len(found) <= count:
            match = _DIM.match(text, position)
            if match is None:
                raise self.error("malformed #symc.dims", token)
            quoted, number = match[1], match[2]
            if quoted is not None:
                inner = unquoted(quoted)
                found.append(self.size(token, "" if inner is None else inner))
            elif len(number) <= MOST_DIGITS:
                found.append(int(number))
            position = match.end()
        if len(found) != count:
            raise self.error("#symc.dims needs one entry per axis", token)
        return found

    def attrs(self) -> dict[str, Attr]:
        """`{name = value, ...}`, or nothing."""
        found: dict[str, Attr] = {}
        if not self.accept("{"):
            return found

        def entry() -> None:
            token = self.here
            name = self.string() if token.kind == "string" else self.kind("word").text
            if name in found:
                raise self.error(f"attribute {name} twice", token)
            self.sign("=")
            found[name] = self.attr(MOST_NESTED)

        self.listed(entry, "}")
        return found

    def attr(self, depth: int) -> Attr:
        """One attribute value."""
        token = self.here
        if depth == 0:
            raise self.error("attributes nested too deeply")
        if self.accept("["):
            return tuple(self.listed(lambda: self.attr(depth - 1), "]"))
        if token.kind == "string":
            return self.string()
        if token.kind == "number":
            return self._number()
        word = self.kind("word").text
        match word:
            case "true" | "false":
                return word == "true"
            case "dense":
                return self._literal()
            case "#symc.none":
                return None
            case "#symc.dim":
                self.sign("<")
                inside = self.here
                size = self.size(inside, self.string())
                self.sign(">")
                return size
            case _ if word in _ELEMENTS:
                return _ELEMENTS[word]
            case _:
                raise self.error(f"unknown attribute {word[:40]!r}", token)

    def _number(self) -> int | float:
        token = self.take()
        kind = self.kind("word").text if self.accept(":") else ""
        if token.text.startswith("0x"):
            if len(token.text) != 18 or kind != "f64":
                raise self.error("bits of a float are 16 digits and `: f64`", token)
            bits = struct.pack(">Q", int(token.text, 16))
            return float(struct.unpack(">d", bits)[0])
        return self.real_of(token) if "." in token.text else self.integer_of(token)

    # Literals.
    def _literal(self) -> Literal:
        start = self.here
        self.sign("<")
        payload: object = None
        if self.here.kind == "string":
            payload = self.string()
        elif not self.sees(">"):
            payload = self._nested()
        self.sign(">", ":")
        type = self.type()
        shape = tuple(size for size in type.shape if isinstance(size, int))
        count = math.prod(shape)
        written = payload is not None and len(self.text) > count
        if len(shape) != type.rank or (count > MOST_ELEMENTS and not written):
            raise self.error("a literal of unknown or too large a size", start)
        if payload is None:
            if count:
                raise self.error("a literal without elements", start)
            return Literal(np.zeros(shape, type.dtype))
        if isinstance(payload, str):
            return self._from_bytes(start, payload, type.dtype, shape)
        return self._from_elements(start, payload, type.dtype, shape)

    def _nested(self) -> object:
        """One element, or lists of them: nested to any depth, read with a stack."""
        stack: list[list[object]] = [[]]
        while True:
            if self.accept("["):
                stack.append([])
                if not self.accept("]"):
                    continue
                done: object = stack.pop()
            else:
                done = self.take()
            stack[-1].append(done)
            while len(stack) > 1 and self.accept("]"):
                done = stack.pop()
                stack[-1].append(done)
            if len(stack) == 1:
                return stack[0][0]
            self.sign(",")

    def _from_bytes(
        self, start: Token, text: str, dtype: np.dtype, shape: tuple[int, ...]
    ) -> Literal:
        count = math.prod(shape)
        if dtype.kind == "b" or not re.fullmatch("0x(?:[0-9A-Fa-f]{2})+", text):
            raise self.error("malformed bytes of a literal", start)
        data = bytes.fromhex(text[2:])
        if len(data) not in {dtype.itemsize, dtype.itemsize * count}:
            raise self.error(f"{len(data)} bytes for {count} elements", start)
        little = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
        return Literal(
            np.broadcast_to(little.reshape(shape if len(little) == count else ()), shape)
        )

    def _from_elements(
        self, start: Token, payload: object, dtype: np.dtype, shape: tuple[int, ...]
    ) -> Literal:
        flat: list[object] = [payload]
        if isinstance(payload, list):
            for size in shape:
                inner: list[object] = []
                for item in flat:
                    if not isinstance(item, list) or len(item) != size:
                        raise self.error("elements do not have the shape of the type", start)
                    inner += item
                flat = inner
        values = [self._element(start, item, dtype) for item in flat]
        array = np.array(values, dtype)
        whole = isinstance(payload, list) or not shape
        return Literal(array.reshape(shape) if whole else np.broadcast_to(array[0], shape))

    def _element(self, start: Token, item: object, dtype: np.dtype) -> float | int | bool:
        if not isinstance(item, Token):
            raise self.error("elements do not have the shape of the type", start)
        match dtype.kind:
            case "b" if item.text in {"true", "false"}:
                return item.text == "true"
            case "f" if item.kind == "number" and "." in item.text:
                return self.real_of(item)
            case "i" if item.kind == "number":
                value = self.integer_of(item)
                limits = np.iinfo(dtype)
                if limits.min <= value <= limits.max:
                    return value
        raise self.error(f"not an element of {dtype.name}", item)

    # Locations.
    def locations(self) -> Locations:
        """`loc(...)`, or nothing."""
        if not self.accept("loc"):
            return (UNKNOWN,)
        self.sign("(")
        if self.accept("unknown"):
            found = [UNKNOWN]
        elif self.accept("fused"):
            self.sign("[")
            found = self.listed(self._place, "]")
        else:
            found = [self._place()]
        self.sign(")")
        return tuple(found) or (UNKNOWN,)

    def _place(self) -> Location:
        file = self.string()
        self.sign(":")
        line = self.whole()
        self.sign(":")
        self.whole()
        return Location(file, line)


def unquoted(inside: str) -> str | None:
    """The string that stands between two quotes; None when an escape is malformed."""
    try:
        data = inside.encode("utf-8", "surrogatepass")
        return _ESCAPE.sub(_unescaped, data).decode("utf-8", "surrogatepass")
    except (UnicodeError, KeyError):
        return None


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return bytes.fromhex(match[1].decode())
    return _NAMED[match[2]]
