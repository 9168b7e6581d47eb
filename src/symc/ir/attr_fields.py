"""The attributes of one operation, taken out one by one with the types that they must have.

before: attributes as read.  after: typed values, or ParseError at the operation's position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeGuard, TypeVar

import numpy as np

from symc.ir.attr_text import Reader
from symc.ir.core import Attr
from symc.ir.dims import Dim, Size
from symc.ir.lexer import Token

T = TypeVar("T")


class Fields:
    """What is left of the attributes of an operation that began at `start`."""

    def __init__(self, read: Reader, start: Token, attrs: dict[str, Attr]) -> None:
        self.read = read
        self.start = start
        self.attrs = attrs

    def refuse(self, problem: str) -> NoReturn:
        """ParseError at the operation."""
        raise self.read.error(problem, self.start)

    def done(self) -> None:
        """Nothing may be left."""
        for name in self.attrs:
            self.refuse(f"unknown attribute {name[:40]}")

    def take(self, name: str) -> Attr:
        """An attribute that must be there."""
        if name not in self.attrs:
            self.refuse(f"attribute {name} is missing")
        return self.attrs.pop(name)

    def text(self, name: str) -> str:
        return self.as_text(self.take(name), name)

    def whole(self, name: str) -> int:
        return self.as_whole(self.take(name), name)

    def flag(self, name: str) -> bool:
        value = self.take(name)
        return value if isinstance(value, bool) else self.refuse(f"{name}: expected true or false")

    def dtype(self, name: str) -> np.dtype:
        value = self.take(name)
        if not isinstance(value, np.dtype):
            self.refuse(f"{name}: expected a dtype")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        return self.each(self.take(name), name, self.as_text)

    def wholes(self, name: str) -> tuple[int, ...]:
        return self.each(self.take(name), name, self.as_whole)

    def sizes(self, name: str) -> tuple[Size, ...]:
        return self.each(self.take(name), name, self.as_size)

    # Values inside values.
    def each(self, value: Attr, name: str, item: Callable[[Attr, str], T]) -> tuple[T, ...]:
        """A list whose items `item` reads."""
        if not isinstance(value, tuple):
            self.refuse(f"{name}: expected a list")
        return tuple([item(part, name) for part in value])

    def parts(self, value: Attr, name: str, count: int) -> tuple[Attr, ...]:
        """A list of a fixed length."""
        if not isinstance(value, tuple) or len(value) != count:
            self.refuse(f"{name}: expected a list of {count}")
        return value

    def as_text(self, value: Attr, name: str) -> str:
        return value if isinstance(value, str) else self.refuse(f"{name}: expected a string")

    def as_whole(self, value: Attr, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(f"{name}: expected a whole number")
        return value

    def as_size(self, value: Attr, name: str) -> Size:
        return value if _is_size(value) else self.refuse(f"{name}: expected a size")


def _is_size(value: Attr) -> TypeGuard[Size]:
    return isinstance(value, int | Dim) and not isinstance(value, bool)
