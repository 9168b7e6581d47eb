"""The text of sizes: `n`, `2*batch + 1`, `floordiv(n, 2)`, `max(n - 1, 0)`.

Names that are not plain words stand in backquotes; computed dims have a `$` before their name.
Reading rebuilds sizes by their own arithmetic, so the canonical form is restored exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from symc.ir.dims import (
    Apply,
    Dim,
    Monomial,
    Size,
    Symbol,
    floordiv,
    maximum,
    minimum,
    mod,
    symbol,
)
from symc.ir.errors import ParseError, SymcZeroDivisionError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_TOKEN = re.compile(
    r"\s*(?:(?P<int>\d+)|(?P<name>\$?(?:`(?:[^`\\]|\\.)*`|[A-Za-z_][A-Za-z0-9_.]*))"
    r"|(?P<sign>[-+*(),]))"
)
_FUNCTIONS: dict[str, Callable[[Size, Size], Size]] = {
    "floordiv": floordiv,
    "mod": mod,
    "min": minimum,
    "max": maximum,
}
_STRENGTH = {"+": 1, "-": 1, "*": 2, "neg": 3}
_MOST_DIGITS = 30


def size_text(size: Size) -> str:
    """The text of a size."""
    if not isinstance(size, Dim):
        return str(size)
    out = ""
    for monomial, factor in size.terms:
        sign = "-" if factor < 0 else "+"
        out += f" {sign} " if out else ("-" if factor < 0 else "")
        out += _monomial_text(monomial, abs(factor))
    return out


def _monomial_text(monomial: Monomial, factor: int) -> str:
    parts = [str(factor)] if factor != 1 or not monomial else []
    for atom, power in monomial:
        parts += [_atom_text(atom)] * power
    return "*".join(parts)


def _atom_text(atom: Symbol | Apply) -> str:
    if isinstance(atom, Apply):
        return f"{atom.kind}({size_text(atom.left)}, {size_text(atom.right)})"
    name = atom.name
    if not _PLAIN.match(name):
        name = "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
    return f"${name}" if atom.computed else name


class _Reader:
    """Operator precedence with explicit stacks; `(` and function names wait on `signs`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: list[Size] = []
        self.signs: list[str] = []

    def read(self) -> Size:
        position, operand_next = 0, True
        text = self.text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise self.error()
            position = found.end()
            called = found["name"] in _FUNCTIONS and text.startswith("(", position)
            if called:
                position += 1
            operand_next = self.take(found, called=called, operand_next=operand_next)
        if operand_next:
            raise self.error()
        self.reduce(0)
        if self.signs or len(self.values) != 1:
            raise self.error()
        return self.values[0]

    def error(self) -> ParseError:
        return ParseError(f"malformed size {self.text[:80]!r}")

    def take(self, found: re.Match[str], *, called: bool, operand_next: bool) -> bool:
        """Shift one token; returns whether an operand comes next."""
        if operand_next:
            return self.operand(found, called=called)
        sign = found["sign"]
        match sign:
            case "+" | "-" | "*":
                self.reduce(_STRENGTH[sign])
                self.signs.append(sign)
                return True
            case ",":
                self.reduce(0)
                if not self.signs or self.signs[-1] not in _FUNCTIONS:
                    raise self.error()
                self.signs.append(",")
                return True
            case ")":
                self.close()
                return False
            case _:
                raise self.error()

    def operand(self, found: re.Match[str], *, called: bool) -> bool:
        if found["int"] is not None:
            if len(found["int"]) > _MOST_DIGITS:
                raise self.error()
            self.values.append(int(found["int"]))
            return False
        if called:
            self.signs.append(found["name"])
            return True
        if found["name"] is not None:
            self.values.append(_symbol(found["name"]))
            return False
        if found["sign"] in {"-", "("}:
            self.signs.append("neg" if found["sign"] == "-" else "(")
            return True
        raise self.error()

    def reduce(self, strength: int) -> None:
        """Apply waiting operators at least as strong."""
        while self.signs and _STRENGTH.get(self.signs[-1], 0) >= max(strength, 1):
            sign = self.signs.pop()
            right = self.values.pop()
            if sign == "neg":
                self.values.append(-right)
                continue
            left = self.values.pop()
            match sign:
                case "+":
                    self.values.append(left + right)
                case "-":
                    self.values.append(left - right)
                case _:
                    self.values.append(left * right)

    def close(self) -> None:
        """A closing parenthesis: of a group, or of a function's second argument."""
        self.reduce(0)
        opened = self.signs.pop() if self.signs else ""
        if opened == "(":
            return
        name = self.signs.pop() if opened == "," else ""
        if name not in _FUNCTIONS:
            raise self.error()
        right, left = self.values.pop(), self.values.pop()
        try:
            self.values.append(_FUNCTIONS[name](left, right))
        except SymcZeroDivisionError:
            raise self.error() from None


def _symbol(text: str) -> Dim:
    computed = text.startswith("$")
    name = text.removeprefix("$")
    if name.startswith("`"):
        name = re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL)
    return symbol(name, computed=computed)


def parse_size(text: str) -> Size:
    """The size that `size_text` wrote; ParseError for anything else."""
    return _Reader(text).read()
