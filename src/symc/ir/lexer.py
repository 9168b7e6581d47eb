"""Tokens of the text form.

before: text.  after: tokens with positions, one at a time, then `end`; ParseError at the first
character that starts none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from symc.ir.errors import ParseError

# A tensor type is one token: equal types have equal text, which is looked up.
_TOKEN = re.compile(
    r"""
    (?:\s++|//[^\n]*+)*+  # space and comments
    (?:
      (?P<sign>->|[(){}\[\]<>=:,])
    | (?P<value>%[A-Za-z0-9_$.-]+)
    | (?P<tensor>tensor<[^<>"]*(?:<\[(?:"(?:[^"\\]|\\.)*"|[^"\]])*\]>)?>)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<number>-?(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?)?))
    | (?P<word>[#^!]?[A-Za-z_][A-Za-z0-9_$.]*)
    | (?P<end>\Z)
    )
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind`: tensor, value, string, number, word, sign or end."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, then `end` for ever."""
    match = _TOKEN.match
    position = 0
    while True:
        found = match(text, position)
        if found is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise error_at(text, start, f"unexpected character {text[start]!r}")
        kind = found.lastgroup or ""
        position = found.end()
        yield Token(kind, found[kind], found.start(kind))


def error_at(text: str, position: int, problem: str) -> ParseError:
    """ParseError with the line and column of a position."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return ParseError(f"{problem}\n  at: line {line}, column {column}")
