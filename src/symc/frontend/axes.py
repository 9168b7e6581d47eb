"""Axis arguments: from what the user writes to sorted, distinct, non-negative numbers."""

from __future__ import annotations

import operator
from typing import Any

from symc.ir.dims import Size
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here


def one(axis: Any, rank: int, subject: str) -> int:
    """One axis number, negative ones counted from the end; ShapeError when out of range."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise DTypeError(
            message(f"{subject}: axis", got=repr(axis), expected="an int", where=here())
        )
    number = operator.index(axis)
    if not -rank <= number < rank:
        raise ShapeError(
            message(
                f"{subject}: axis out of range",
                got=number,
                expected=f"-{rank} to {rank - 1}" if rank else "no axis: the array is a scalar",
                where=here(),
            )
        )
    return number + rank if number < 0 else number


def several(axis: Any, rank: int, subject: str) -> tuple[int, ...]:
    """All axes for None, else those given, sorted; ShapeError for one given twice."""
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    found = [one(item, rank, subject) for item in given]
    if len(set(found)) != len(found):
        raise ShapeError(
            message(
                f"{subject}: an axis twice",
                got=tuple(given),
                expected="distinct axes",
                where=here(),
            )
        )
    return tuple(sorted(found))


def kept(shape: tuple[Size, ...], axes: tuple[int, ...]) -> tuple[Size, ...]:
    """The shape with `axes` of size 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
