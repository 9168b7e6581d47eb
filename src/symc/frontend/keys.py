"""Index keys: from what stands in brackets to one entry per axis.

before: ints, Dims, slices, `...`, None, arrays, in any mixture that NumPy takes.  after: a list of
`At` (a known position), `Span` (a slice with exact symbolic start and size), `New` (an axis of size
1) and `Picked` (positions from an integer array), one entry per axis of the operand besides `New`.

Python's clipping of slices is exact for symbolic sizes; where the sign of a bound is not known it
is taken as non-negative, under a constraint.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from symc.frontend import constraints
from symc.frontend.convert import as_array
from symc.frontend.dims import Dim
from symc.frontend.emit import shape_text
from symc.frontend.operand import is_symbolic, literal, operand
from symc.ir import dims
from symc.ir.core import Constraint, Value
from symc.ir.dims import Size
from symc.ir.errors import DomainError, DTypeError, SymcIndexError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.types import is_int
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class At:
    """A known position; the axis disappears."""

    position: Size


@dataclass(frozen=True, slots=True)
class Span:
    """`size` positions from `start` on, `step` apart."""

    start: Size
    size: Size
    step: int

    def whole(self, size: Size) -> bool:
        return self.start == 0 and self.step == 1 and self.size == size


@dataclass(frozen=True, slots=True)
class New:
    """An axis of size 1 that the operand does not have."""


@dataclass(frozen=True, slots=True)
class Picked:
    """Positions from an integer array, negative ones counted from the end when `wraps`."""

    index: Value
    wraps: bool
    group: int  # equal for arrays with nothing but arrays and ints between them in the key


Entry = At | Span | New | Picked


@dataclass(slots=True)
class Key:
    """A whole key: its entries, and what must hold at the call."""

    entries: list[Entry]
    needed: list[Constraint]

    @property
    def advanced(self) -> bool:
        return any(isinstance(entry, Picked) for entry in self.entries)


def parse(key: Any, shape: tuple[Size, ...], subject: str) -> Key:
    """The key as entries; raises as NumPy does, with symc's classes."""
    items = _normal(list(key) if isinstance(key, tuple) else [key], subject)
    items = _fill(items, shape, subject)
    found = Key([], [])
    arrays = any(_is_array(item) for item in items)
    axis = group = 0
    for item in items:
        if item is None:
            found.entries.append(New())
            group += 1
            continue
        if item is Ellipsis:
            group += 1
            continue
        place = f"{subject}: axis {axis}"
        if isinstance(item, slice):
            found.entries.append(_span(item, shape[axis], found.needed, place))
            group += 1
        elif _is_mask(item):
            _check_mask(item, shape[axis : axis + item.ndim], found.needed, place)
            sizes = zip(item.nonzero(), shape[axis : axis + item.ndim], strict=True)
            found.entries += [_picked(part, size, group, place) for part, size in sizes]
            axis += item.ndim
            continue
        elif _is_array(item):
            found.entries.append(_picked(item, shape[axis], group, place))
        else:
            position = _position(item, shape[axis], found.needed, place)
            found.entries.append(_fixed(position, group, place) if arrays else At(position))
        axis += 1
    return found


def _normal(items: list[Any], subject: str) -> list[Any]:
    """Lists as arrays; bools and symbolic masks refused."""
    out: list[Any] = []
    for item in items:
        if isinstance(item, bool | np.bool_):
            raise DTypeError(message(f"{subject}: a bool is not an index", got=item, where=here()))
        if is_symbolic(item) and not isinstance(item, Dim) and item.dtype == np.bool_:
            raise UnsupportedError(
                message(
                    f"{subject}: indexing by a symbolic mask has no size known before the call",
                    where=here(),
                    advice="sc.where(mask, x, other), or a reduction of it",
                )
            )
        if isinstance(item, list):
            item = as_array(item, subject) if item else np.empty(0, np.int64)
        out.append(item)
    return out


def _is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == np.bool_


def _check_mask(
    mask: np.ndarray, sizes: tuple[Size, ...], needed: list[Constraint], place: str
) -> None:
    """A mask has the sizes of the axes that it stands for."""
    for got, size in zip(mask.shape, sizes, strict=True):
        equal = dims.prove_equal(size, got)
        if equal is False:
            raise SymcIndexError(
                message(
                    f"{place}: mask of another shape",
                    got=mask.shape,
                    expected=shape_text(sizes),
                    where=here(),
                )
            )
        if equal is None:
            needed.append(constraints.must_equal(size, got, f"{place}: mask"))


def _fill(items: list[Any], shape: tuple[Size, ...], subject: str) -> list[Any]:
    """The ellipsis, or the missing end, as full slices (after an Ellipsis that marks the place)."""
    marks = [i for i, item in enumerate(items) if item is Ellipsis]
    used = sum(
        item.ndim if _is_mask(item) else item is not None and item is not Ellipsis for item in items
    )
    if len(marks) > 1 or used > len(shape):
        what = "two ellipses" if len(marks) > 1 else f"{used} indices"
        raise SymcIndexError(
            message(
                f"{subject}: bad index",
                got=what,
                expected=f"at most {len(shape)} indices and one ellipsis for {shape_text(shape)}",
                where=here(),
            )
        )
    place = marks[0] if marks else len(items)
    return [*items[: place + 1], *[slice(None)] * (len(shape) - used), *items[place + 1 :]]


def _is_array(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return True
    return is_symbolic(item) and not isinstance(item, Dim)


def _picked(item: Any, size: Size, group: int, place: str) -> Picked:
    if isinstance(item, np.ndarray):
        _require_int(item.dtype, place)
        fixed, wraps = _in_range(item.astype(np.int64), size, place)
        return Picked(literal(fixed, place), wraps, group)
    index = operand(item, place)
    _require_int(index.dtype, place)
    return Picked(index.value, True, group)


def _require_int(dtype: np.dtype, place: str) -> None:
    if not is_int(dtype):
        raise DTypeError(
            message(
                f"{place}: not an index",
                got=f"values of {dtype.name}",
                expected="integers",
                where=here(),
                advice="astype('i64')",
            )
        )


def _in_range(index: np.ndarray, size: Size, place: str) -> tuple[np.ndarray, bool]:
    """Constant positions, checked and made non-negative when the size is static."""
    if not isinstance(size, int):
        return index, bool((index < 0).any())
    wrong = (index < -size) | (index >= size)
    if wrong.any():
        raise out_of_range(index[wrong].flat[0], size, place)
    return np.where(index < 0, index + size, index), False


def out_of_range(position: object, size: Size, place: str) -> SymcIndexError:
    """The error for a position that the axis does not have."""
    return SymcIndexError(
        message(
            f"{place}: index out of range",
            got=position,
            expected=f"-{size} to {size} - 1",
            where=here(),
        )
    )


def _fixed(position: Size, group: int, place: str) -> Picked:
    """A known position among arrays: NumPy treats it as one more array."""
    if isinstance(position, int):
        return Picked(literal(np.asarray(position, np.int64), place), False, group)
    return Picked(operand(Dim(position), place).value, False, group)


def _position(item: Any, size: Size, needed: list[Constraint], place: str) -> Size:
    index = _size_or_raise(item, place)
    reason = f"{place}: index {index}"
    if isinstance(index, int) and isinstance(size, int) and not -size <= index < size:
        raise out_of_range(index, size, place)
    if isinstance(index, int) and index < 0:
        _require(needed, size, -index, reason)
        return size + index
    _require(needed, index, 0, reason)
    _require(needed, size, index + 1, reason)
    return index


def _require(needed: list[Constraint], size: Size, bound: Size, reason: str) -> None:
    """Require `size >= bound` at the call, unless it is certain."""
    if not dims.prove_le(bound, size):
        needed.append(constraints.at_least(size, bound, reason, "index"))


def _size_or_raise(item: Any, place: str) -> Size:
    if isinstance(item, Dim):
        return item.size
    if isinstance(item, bool) or not hasattr(item, "__index__"):
        raise DTypeError(
            message(
                f"{place}: not an index",
                got=f"{item!r} of {type(item).__name__}",
                expected="an int, a slice, `...`, None or an integer array",
                where=here(),
            )
        )
    return operator.index(item)


def _bound(item: Any, needed: list[Constraint], place: str) -> Size | None:
    if item is None:
        return None
    if is_symbolic(item) and not isinstance(item, Dim):
        raise UnsupportedError(
            message(
                f"{place}: a slice with symbolic bounds has no size known before the call",
                where=here(),
                advice="sc.take(x, start + sc.arange(length))",
            )
        )
    found = _size_or_raise(item, place)
    if isinstance(found, dims.Dim):
        _require(needed, found, 0, f"{place}: slice bound {found}")
    return found


def _span(item: slice, size: Size, needed: list[Constraint], place: str) -> Span:
    step = 1 if item.step is None else _size_or_raise(item.step, place)
    if not isinstance(step, int) or step == 0:
        raise DomainError(
            message(f"{place}: slice step", got=step, expected="an int other than 0", where=here())
        )
    start, stop = _bound(item.start, needed, place), _bound(item.stop, needed, place)
    first, extent = _forward(start, stop, size) if step > 0 else _backward(start, stop, size)
    count = dims.floordiv(extent + (abs(step) - 1), abs(step))
    return Span(0 if count == 0 else first, count, step)


def _from_end(bound: Size, size: Size, low: int) -> Size:
    """A negative bound counts from the end, clipped below."""
    return dims.maximum(size + bound, low) if isinstance(bound, int) and bound < 0 else bound


def _forward(start: Size | None, stop: Size | None, size: Size) -> tuple[Size, Size]:
    """First position and extent for a positive step; the extent clips to 0 from below."""
    low = _from_end(0 if start is None else start, size, 0)
    if stop is None:
        high: Size = size
    elif isinstance(stop, int) and stop < 0:
        high = size + stop
    else:
        high = dims.minimum(stop, size)
    return low, dims.maximum(high - low, 0)


def _backward(start: Size | None, stop: Size | None, size: Size) -> tuple[Size, Size]:
    """First position and extent for a negative step."""
    last = size - 1
    high = last if start is None else dims.minimum(_from_end(start, size, -1), last)
    low = -1 if stop is None else _from_end(stop, size, -1)
    return high, dims.maximum(high - low, 0)
