"""`sc.einsum`: sums of products named by letters, as contractions of two operands at a time.

before: `"ij,jk->ik"` and operands.  after: repeated letters of one operand read along the diagonal,
letters of one operand alone summed first, then one `dot` per operand, left to right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from symc.frontend import constraints, contract, emit
from symc.frontend.dispatch import array_function
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand
from symc.ir import ops, term
from symc.ir.core import Constraint, Value
from symc.ir.dims import Size, prove_equal
from symc.ir.errors import DomainError, ShapeError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import BOOL, I32, I64
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class _Named:
    """A value with one letter per axis."""

    value: Value
    letters: str


@array_function(np.einsum)
def einsum(subscripts: str, /, *operands: Any) -> Expr:
    """Sum of products: letters name axes, the result's are kept; `...` for the rest."""
    if not isinstance(subscripts, str):
        raise DomainError(
            message(
                "einsum: subscripts", got=type(subscripts).__name__, expected="a str", where=here()
            )
        )
    values, dtype, weak = emit.promoted("einsum", *operands)
    if dtype == BOOL:
        values = [emit.value_of(ops.CAST, (value,), {"dtype": I32}) for value in values]
    inputs, output = _parsed(subscripts, [value.type.rank for value in values])
    named = [_diagonal(value, letters) for value, letters in zip(values, inputs, strict=True)]
    named = _agreed(named, subscripts)
    total = named[0]
    for i, other in enumerate(named[1:], 1):
        later = "".join(n.letters for n in named[i + 1 :]) + output
        total = _product(
            _summed(total, other.letters + later), _summed(other, total.letters + later), later
        )
    total = _summed(total, output)
    order = [total.letters.index(letter) for letter in output]
    return Expr(Operand(Term(total.value).permute(order).value, weak))


def _parsed(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of each operand and of the result, `...` as capital Greek letters from the right."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise _bad(subscripts, f"{len(ranks)} operands", f"{len(terms)} terms")
    widest = 0
    for part, rank in zip(terms, ranks, strict=True):
        _check_term(part, subscripts)
        if "..." in part:
            widest = max(widest, rank - len(part) + 3)
    rest = "".join(chr(0x391 + i) for i in range(widest))
    inputs = []
    for part, rank in zip(terms, ranks, strict=True):
        own = rank - len(part.replace("...", ""))
        full = part.replace("...", rest[len(rest) - own :] if own > 0 else "")
        if len(full) != rank:
            raise _bad(subscripts, f"an operand of rank {rank}", f"term {part!r}")
        inputs.append(full)
    counts = Counter("".join(inputs))
    if not arrow:
        free = sorted(letter for letter, n in counts.items() if n == 1 and letter not in rest)
        return inputs, rest + "".join(free)
    _check_term(right, subscripts)
    output = right.replace("...", rest)
    unknown = [letter for letter in output if letter not in counts]
    if unknown or len(set(output)) != len(output):
        wrong = f"unknown letter {unknown[0]!r}" if unknown else "a repeated letter"
        raise _bad(subscripts, f"{wrong} in the result", "letters of the operands, each once")
    if rest and "..." not in right:
        raise _bad(subscripts, "no `...` in the result", "`...` as in the operands")
    return inputs, output


def _check_term(part: str, subscripts: str) -> None:
    letters = part.replace("...", "", 1)
    if letters and not (letters.isascii() and letters.isalpha()):
        raise _bad(subscripts, f"term {part!r}", "letters and at most one `...`")


def _bad(subscripts: str, got: str, expected: str) -> DomainError:
    return DomainError(message(f"einsum {subscripts!r}", got=got, expected=expected, where=here()))


def _diagonal(value: Value, letters: str) -> _Named:
    """Repeated letters of one operand become one axis."""
    while len(set(letters)) != len(letters):
        letter = next(x for x, n in Counter(letters).items() if n > 1)
        i, j = [k for k, x in enumerate(letters) if x == letter][:2]
        shape = value.type.shape
        needed = _same_size(shape[i], shape[j])
        rest = [k for k in range(len(shape)) if k not in {i, j}]
        moved = Term(value).permute([i, j, *rest])
        kept = tuple(shape[k] for k in rest)
        flat = moved.reshape((shape[i] * shape[j], *kept))
        places = term.iota((shape[i],), 0, I64)
        stride = term.size(shape[j]).broadcast((shape[i],), ()) + 1
        value = constraints.attach(term.take(flat, places * stride, 0, "raise").value, needed)
        letters = letter + "".join(letters[k] for k in rest)
    return _Named(value, letters)


def _same_size(left: Size, right: Size) -> list[Constraint]:
    """What must hold for one letter to stand for two axes of one operand."""
    subject = "einsum: a repeated letter"
    equal = prove_equal(left, right)
    if equal is False:
        got = f"{left} and {right}"
        raise ShapeError(message(subject, got=got, expected="equal sizes", where=here()))
    return [] if equal else [constraints.must_equal(left, right, subject)]


def _agreed(named: Sequence[_Named], subscripts: str) -> list[_Named]:
    """Axes of one letter written with one size; those of size 1 stretch."""
    sizes: dict[str, Any] = {}
    for item in named:
        for letter, size in zip(item.letters, item.value.type.shape, strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = size
    made = []
    for item in named:
        wanted = tuple(sizes[letter] for letter in item.letters)
        common, needed = emit.broadcast_shapes(
            [wanted, item.value.type.shape], f"einsum {subscripts!r}"
        )
        value = emit.stretch(item.value, common)
        made.append(_Named(constraints.attach(value, needed) if needed else value, item.letters))
    return made


def _summed(item: _Named, keep: str) -> _Named:
    """Without the axes whose letters nothing else needs."""
    axes = tuple(i for i, letter in enumerate(item.letters) if letter not in keep)
    if not axes:
        return item
    letters = "".join(letter for letter in item.letters if letter in keep)
    return _Named(emit.value_of(ops.SUM, (item.value,), {"axes": axes}), letters)


def _product(a: _Named, b: _Named, later: str) -> _Named:
    """One contraction: letters of both that nothing needs later are summed."""
    both = [letter for letter in a.letters if letter in b.letters]
    batch = [letter for letter in both if letter in later]
    summed = [letter for letter in both if letter not in later]
    made = contract.contraction(
        a.value,
        b.value,
        ([a.letters.index(x) for x in batch], [b.letters.index(x) for x in batch]),
        ([a.letters.index(x) for x in summed], [b.letters.index(x) for x in summed]),
        "einsum",
    )
    free = [x for x in a.letters if x not in both] + [x for x in b.letters if x not in both]
    return _Named(made.value, "".join([*batch, *free]))
