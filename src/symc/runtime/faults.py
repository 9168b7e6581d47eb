"""Run-time faults: the typed errors for what the native runtime reports.

Before: the first trap of a call in program order, or the words in which the runtime refuses.
After: an exception of `symc.ir.errors`, with the user's `file:line`; the call has changed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import errors
from symc.ir.errors import (
    DomainError,
    NonFiniteError,
    SymcError,
    SymcIndexError,
    SymcOverflowError,
    SymcZeroDivisionError,
    message,
)
from symc.ir.locations import here
from symc.ir.program import Trap

_Record = tuple[int, int, int, int, int]

_RULES: dict[Trap, tuple[type[SymcError], str, str]] = {
    Trap.INDEX: (SymcIndexError, "index out of range", "check the index, or use a mode that clips"),
    Trap.ZERO_DIVISION: (
        SymcZeroDivisionError,
        "integer division by zero",
        "guard the divisor with where",
    ),
    Trap.NON_FINITE: (NonFiniteError, "a NaN or an infinity", "look at the operands of this line"),
    Trap.OVERFLOW: (SymcOverflowError, "a number does not fit its type", "use a wider type"),
    Trap.DOMAIN: (DomainError, "a value outside the domain", "check the operands of this line"),
}


def trap(record: _Record, program: str, locations: Sequence[str] | None) -> SymcError:
    """The error for `record` = (kind, node, step, index, value) of a call of `program`."""
    kind, node, step, index, value = record
    where = locations[node] if locations is not None and 0 <= node < len(locations) else None
    if kind not in _RULES:
        return SymcError(message(f"{program}: trap {kind} at run time", got=value, where=where))
    error, subject, advice = _RULES[Trap(kind)]
    at_step = f", step {step}" if step else ""
    got = f"{_offender(Trap(kind), value)} at position {index}{at_step}"
    return error(message(f"{program}: {subject}", got=got, where=where, advice=advice))


def failure(
    name: str,
    text: str,
    program: str,
    node: int = 0,
    locations: Sequence[str] | None = None,
) -> SymcError:
    """The error of class `name` for what the runtime says of a call of `program` ("": of none).

    `node`: the operation that it is about, 0 when that is not known.
    """
    kind: type[SymcError] = getattr(errors, name)
    where: object = here()
    if locations is not None and 0 < node < len(locations):
        where = locations[node]
    return kind(message(f"{program}: {text}" if program else text, where=where))


def _offender(kind: Trap, value: int) -> str:
    if kind is not Trap.NON_FINITE:
        return str(value)
    return "nan" if value == 0 else "inf" if value > 0 else "-inf"
