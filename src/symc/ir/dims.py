"""Sizes: ints, or exact integer expressions over named dims.

A `Dim` is a polynomial with integer coefficients over *atoms*: named symbols, and applications of
floordiv, mod, min and max that could not be simplified.  The form is canonical, so structural
equality is a sound (not complete) proof of equality.  Every symbol is a size and so at least 0.

Invariants: a Dim is never constant (constants are Python ints); terms are sorted; immutable.
Structural `==` never raises: the frontend wraps sizes in its own type, whose comparisons ask
`prove` and raise when undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from itertools import product
from math import gcd

from symc.ir.errors import SymcZeroDivisionError, message
from symc.ir.locations import here
from symc.records import dataclass


@dataclass(slots=True, eq=False)
class Source:
    """Where a computed dim comes from: the value that binds it, once it is made.

    least: a number that the dim is never below.
    """

    value: object = None
    least: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Symbol:
    """A named dim: bound by an input's axis, or (`computed`) by an i64 result of a node.

    source: what first bound a computed dim, for graphs that mention it and read nothing of that;
    no part of what the dim is.
    """

    name: str
    computed: bool = False
    source: Source | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Symbol)
            and self.name == other.name
            and self.computed == other.computed
        )

    def __hash__(self) -> int:
        return hash((self.name, self.computed))

    def __repr__(self) -> str:
        return f"Symbol({self.name!r}, computed={self.computed})"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Apply:
    """`floordiv`, `mod`, `min` or `max` of two sizes that did not simplify."""

    kind: str
    left: Size
    right: Size

    def __str__(self) -> str:
        sign = {"floordiv": "//", "mod": "%"}.get(self.kind)
        if sign is None:
            return f"{self.kind}({self.left}, {self.right})"
        return f"({self.left}) {sign} ({self.right})"


Atom = Symbol | Apply
Monomial = tuple[tuple[Atom, int], ...]
_Terms = dict[Monomial, int]


class Dim:
    """A symbolic size; build with `symbol` and arithmetic."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Dim({self})"

    def __str__(self) -> str:
        out = ""
        for monomial, factor in self.terms:
            sign = "-" if factor < 0 else "+"
            out += f" {sign} " if out else ("-" if factor < 0 else "")
            out += _monomial_text(monomial, abs(factor))
        return out

    def __add__(self, other: Size) -> Size:
        return _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        return _combine(self, other, -1)

    def __rsub__(self, other: Size) -> Size:
        return _combine(-self, other, 1)

    def __neg__(self) -> Size:
        return _make({m: -c for m, c in self.terms})

    def __mul__(self, other: Size) -> Size:
        out: _Terms = {}
        for (m1, c1), (m2, c2) in product(self.terms, _terms(other)):
            key = _times(m1, m2)
            out[key] = out.get(key, 0) + c1 * c2
        return _make(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        return mod(self, other)

    def __rmod__(self, other: Size) -> Size:
        return mod(other, self)


Size = int | Dim


def symbol(name: str, *, computed: bool = False, source: Source | None = None) -> Dim:
    """The dim called `name`."""
    return Dim(((((Symbol(name, computed, source), 1),), 1),))


def _monomial_text(monomial: Monomial, factor: int) -> str:
    parts = [str(factor)] if factor != 1 or not monomial else []
    for atom, power in monomial:
        divides = isinstance(atom, Apply) and atom.kind in {"floordiv", "mod"}
        parts += [f"({atom})" if divides else f"{atom}"] * power
    return "*".join(parts)


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), size),) if size else ()


def _make(terms: _Terms) -> Size:
    kept = {m: c for m, c in terms.items() if c}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Dim(tuple(sorted(kept.items(), key=lambda item: (not item[0], str(item[0])))))


def _combine(left: Size, right: Size, sign: int) -> Size:
    out: _Terms = dict(_terms(left))
    for monomial, factor in _terms(right):
        out[monomial] = out.get(monomial, 0) + sign * factor
    return _make(out)


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _atom(kind: str, left: Size, right: Size) -> Dim:
    return Dim(((((Apply(kind, left, right), 1),), 1),))


def _divide_exactly(left: Size, right: Size) -> Size | None:
    """`left / right` when it is an exact polynomial for a single-term divisor, else None."""
    terms = _terms(right)
    if len(terms) != 1:
        return 1 if left == right else None
    (monomial, factor) = terms[0]
    out: _Terms = {}
    for m, c in _terms(left):
        powers = dict(m)
        for atom, power in monomial:
            powers[atom] = powers.get(atom, 0) - power
        if c % factor or any(p < 0 for p in powers.values()):
            return None
        key = tuple((a, p) for a, p in sorted(powers.items(), key=lambda i: str(i[0])) if p)
        out[key] = c // factor
    return _make(out)


def _by_zero(subject: str) -> SymcZeroDivisionError:
    return SymcZeroDivisionError(message(subject, expected="a divisor other than 0", where=here()))


def floordiv(left: Size, right: Size) -> Size:
    """`left // right`, rounding down as Python does."""
    if isinstance(right, int) and right == 0:
        raise _by_zero(f"size {left} // 0")
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    exact = _divide_exactly(left, right)
    return exact if exact is not None else _atom("floordiv", left, right)


def mod(left: Size, right: Size) -> Size:
    """`left % right`, with the sign of `right` as in Python."""
    if isinstance(right, int) and right == 0:
        raise _by_zero(f"size {left} % 0")
    if isinstance(left, int) and isinstance(right, int):
        return left % right
    if _divide_exactly(left, right) is not None:
        return 0
    return _atom("mod", left, right)


def minimum(left: Size, right: Size) -> Size:
    """The smaller of two sizes."""
    if prove_le(left, right):
        return left
    return right if prove_le(right, left) else _atom("min", *_ordered(left, right))


def maximum(left: Size, right: Size) -> Size:
    """The larger of two sizes."""
    if prove_le(left, right):
        return right
    return left if prove_le(right, left) else _atom("max", *_ordered(left, right))


def _ordered(left: Size, right: Size) -> tuple[Size, Size]:
    return (left, right) if str(left) <= str(right) else (right, left)


def lower_bound(size: Size) -> int | None:
    """A number that `size` is never below, or None; uses only that symbols are >= 0."""
    total = 0
    for monomial, factor in _terms(size):
        if not monomial:
            total += factor
        elif factor < 0 or not all(_atom_nonnegative(a) for a, _ in monomial):
            return None
    return total


def _atom_nonnegative(atom: Atom) -> bool:
    if isinstance(atom, Symbol):
        return True
    bounds = [lower_bound(size) for size in (atom.left, atom.right)]
    low = [bound is not None and bound >= 0 for bound in bounds]
    if atom.kind == "mod":
        return low[1]
    return any(low) if atom.kind == "max" else all(low)


def prove_le(left: Size, right: Size) -> bool:
    """True when `left <= right` for every value of the symbols (sound, not complete)."""
    low = lower_bound(_combine(right, left, -1))
    return low is not None and low >= 0


def prove_equal(left: Size, right: Size) -> bool | None:
    """True or False when decided for every value of the symbols, else None."""
    if left == right:
        return True
    if prove_le(left + 1, right) or prove_le(right + 1, left):
        return False
    terms = _terms(_combine(left, right, -1))
    constant = dict(terms).get((), 0)
    factors = [c for m, c in terms if m]
    if factors and constant % reduce(gcd, factors):
        return False
    return None


def symbols(size: Size) -> frozenset[Symbol]:
    """All symbols that occur in `size`."""
    if isinstance(size, int):
        return frozenset()
    found: set[Symbol] = set()
    todo: list[Size] = [size]
    while todo:
        for atom in (a for monomial, _ in _terms(todo.pop()) for a, _ in monomial):
            if isinstance(atom, Symbol):
                found.add(atom)
            else:
                todo += [atom.left, atom.right]
    return frozenset(found)


_APPLY: dict[str, Callable[[Size, Size], Size]] = {
    "floordiv": floordiv,
    "mod": mod,
    "min": minimum,
    "max": maximum,
}


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """`size` with symbols replaced; an int when all are given as ints."""
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, factor in size.terms:
        term: Size = factor
        for atom, power in monomial:
            if isinstance(atom, Symbol):
                value: Size = values.get(atom.name, Dim(((((atom, 1),), 1),)))
            else:
                value = _APPLY[atom.kind](
                    substitute(atom.left, values), substitute(atom.right, values)
                )
            for _ in range(power):
                term = term * value
        total = total + term
    return total


@lru_cache(maxsize=4096)
def size_product(sizes: tuple[Size, ...]) -> Size:
    """The number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total
