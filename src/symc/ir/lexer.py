"""Tokens of the text form.

before: text.  after: a list of tokens with positions, ended by an `end` token; ParseError at the
first character that starts none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from symc.ir.errors import ParseError

# A tensor type is one token: equal types have equal text, which is looked up.
_TOKEN = re.compile(
    r"""
      (?P<space>(?:\s+|//[^\n]*)+)
    | (?P<tensor>tensor<[^<>"]*(?:<\[(?:"(?:[^"\\]|\\.)*"|[^"\]])*\]>)?>)
    | (?P<value>%[A-Za-z0-9_$.-]+)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<number>-?(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?)?))
    | (?P<word>[#^]?[A-Za-z_][A-Za-z0-9_$.]*)
    | (?P<sign>->|[-(){}\[\]<>=:,])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: tensor, value, string, number, word, sign or end."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> list[Token]:
    """All tokens of a text."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise error_at(text, position, f"unexpected character {text[position]!r}")
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, match.group(), position))
        position = match.end()
    found.append(Token("end", "end of text", len(text)))
    return found


def error_at(text: str, position: int, problem: str) -> ParseError:
    """ParseError with the line and column of a position."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return ParseError(f"{problem}\n  at: line {line}, column {column}")
