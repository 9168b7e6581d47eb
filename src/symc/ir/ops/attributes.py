"""Typed reading of node attributes.

Attributes arrive from the frontend, from passes and from parsed text; a missing or mistyped one
is a DomainError that names it.
"""

from __future__ import annotations

import numpy as np

from symc.ir.core import Attrs
from symc.ir.dims import Dim, Size
from symc.ir.errors import DomainError, message
from symc.ir.types import DTYPE_NAMES, Literal, dtype_name


def _refuse(attrs: Attrs, name: str, expected: str) -> DomainError:
    got = repr(attrs[name]) if name in attrs else "nothing"
    return DomainError(message(f"attribute {name}", got=got, expected=expected))


def integer(attrs: Attrs, name: str) -> int:
    """An int attribute."""
    value = attrs.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(attrs, name, "an integer")
    return value


def integers(attrs: Attrs, name: str) -> tuple[int, ...]:
    """A tuple of ints."""
    value = attrs.get(name)
    if not isinstance(value, tuple):
        raise _refuse(attrs, name, "a tuple of integers")
    found = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int):
            raise _refuse(attrs, name, "a tuple of integers")
        found.append(item)
    return tuple(found)


def size(attrs: Attrs, name: str) -> Size:
    """A size: an int or a Dim."""
    value = attrs.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Dim):
        raise _refuse(attrs, name, "a size")
    return value


def sizes(attrs: Attrs, name: str) -> tuple[Size, ...]:
    """A tuple of sizes."""
    value = attrs.get(name)
    if not isinstance(value, tuple):
        raise _refuse(attrs, name, "a tuple of sizes")
    found: list[Size] = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | Dim):
            raise _refuse(attrs, name, "a tuple of sizes")
        found.append(item)
    return tuple(found)


def dtype(attrs: Attrs, name: str = "dtype") -> np.dtype:
    """One of the dtypes that tensors may have."""
    value = attrs.get(name)
    if not isinstance(value, np.dtype) or value not in DTYPE_NAMES.values():
        raise _refuse(attrs, name, "one of " + " ".join(DTYPE_NAMES))
    return value


def literal(attrs: Attrs, name: str = "value") -> Literal:
    """A constant's payload."""
    value = attrs.get(name)
    if not isinstance(value, Literal):
        raise _refuse(attrs, name, "a literal")
    if value.array.dtype not in DTYPE_NAMES.values():
        kind = dtype_name(value.array.dtype)
        raise DomainError(message("constant", got=kind, expected="one of " + " ".join(DTYPE_NAMES)))
    return value


def choice(attrs: Attrs, name: str, choices: tuple[str, ...]) -> str:
    """A string attribute with a fixed set of values."""
    value = attrs.get(name)
    if not isinstance(value, str) or value not in choices:
        raise _refuse(attrs, name, "one of " + " ".join(choices))
    return value


def axis_in(attrs: Attrs, name: str, rank: int) -> int:
    """An axis number in 0..rank-1."""
    value = integer(attrs, name)
    if not 0 <= value < rank:
        raise _refuse(attrs, name, f"an axis of a rank {rank} operand, 0 or more")
    return value


def axes_in(attrs: Attrs, name: str, rank: int, *, ascending: bool = False) -> tuple[int, ...]:
    """Distinct axis numbers in 0..rank-1, ascending when asked."""
    value = integers(attrs, name)
    if any(not 0 <= axis < rank for axis in value) or len(set(value)) != len(value):
        raise _refuse(attrs, name, f"distinct axes of a rank {rank} operand, 0 or more")
    if ascending and list(value) != sorted(value):
        raise _refuse(attrs, name, "ascending axes")
    return value
