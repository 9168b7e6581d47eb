"""Array functions that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from symc.frontend import axes as axis_numbers
from symc.frontend import constraints, emit
from symc.frontend.dims import Dim, as_shape, as_size
from symc.frontend.dispatch import array_function, method
from symc.frontend.emit import shape_text
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand, operand, read
from symc.ir import dims, term
from symc.ir.core import Constraint, Value
from symc.ir.dims import Size, prove_equal, size_product
from symc.ir.errors import DomainError, DTypeError, ShapeError, TracerError, message
from symc.ir.locations import here
from symc.ir.term import Term


def _same(made: Term, like: Operand) -> Expr:
    return Expr(Operand(made.value, like.weak))


@array_function(np.reshape)
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Expr:
    """The elements in row-major order as `shape`; one size may be -1."""
    found = operand(x, "reshape")
    wanted, needed = _completed(found, shape)
    made = Term(found.value).reshape(wanted)
    if needed:
        constraints.attach(made.value, needed)
    return _same(made, found)


def _completed(x: Operand, shape: Any) -> tuple[tuple[Size, ...], list[Constraint]]:
    """The new shape without -1, and what must hold for it."""
    parts = list(shape) if isinstance(shape, tuple | list) else [shape]
    sizes = [as_size(part, "reshape") for part in parts]
    open_axes = [i for i, size in enumerate(sizes) if size == -1]
    total = x.type.elements
    if len(open_axes) > 1 or any(isinstance(s, int) and s < -1 for s in sizes):
        raise _cannot(x, shape, "sizes >= 0, at most one of them -1")
    if open_axes:
        rest = size_product(tuple(size for size in sizes if size != -1))
        if rest == 0:
            raise _cannot(x, shape, "no -1 beside a size 0")
        sizes[open_axes[0]] = dims.floordiv(total, rest)
    new = size_product(tuple(sizes))
    equal = prove_equal(total, new)
    if equal is False:
        raise _cannot(x, shape, f"{total} elements")
    reason = f"reshape of {x.type} to {shape_text(tuple(sizes))}"
    return tuple(sizes), [] if equal else [constraints.must_equal(total, new, reason)]


def _cannot(x: Operand, shape: Any, expected: str) -> ShapeError:
    text = ", ".join(map(str, shape)) if isinstance(shape, tuple | list) else str(shape)
    return ShapeError(message(f"reshape of {x.type} to ({text})", expected=expected, where=here()))


@array_function(np.transpose)
def permute_dims(x: Any, /, axes: Sequence[int] | None = None) -> Expr:
    """Axes in another order: axis i of the result is axis `axes[i]` of x; None reverses them."""
    found = operand(x, "permute_dims")
    rank = found.type.rank
    order = (
        tuple(reversed(range(rank)))
        if axes is None
        else tuple(axis_numbers.one(axis, rank, "permute_dims") for axis in axes)
    )
    if sorted(order) != list(range(rank)):
        raise ShapeError(
            message(
                "permute_dims: axes",
                got=axes,
                expected=f"each of 0 to {rank - 1} once",
                where=here(),
            )
        )
    return _same(Term(found.value).permute(order), found)


transpose = permute_dims


@array_function(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Expr:
    """The last two axes exchanged."""
    return lift(x, "matrix_transpose").mT


@array_function(np.moveaxis)
def moveaxis(x: Any, /, source: int, destination: int) -> Expr:
    """Axis `source` at place `destination`, the others in their order."""
    found = operand(x, "moveaxis")
    rank = found.type.rank
    start = axis_numbers.one(source, rank, "moveaxis")
    end = axis_numbers.one(destination, rank, "moveaxis")
    return _same(Term(found.value).move_axis(start, end), found)


@method
@array_function(np.swapaxes)
def swapaxes(x: Any, /, axis1: int, axis2: int) -> Expr:
    """Two axes exchanged."""
    found = operand(x, "swapaxes")
    order = list(range(found.type.rank))
    i = axis_numbers.one(axis1, len(order), "swapaxes")
    j = axis_numbers.one(axis2, len(order), "swapaxes")
    order[i], order[j] = j, i
    return _same(Term(found.value).permute(order), found)


@array_function(np.expand_dims)
def expand_dims(x: Any, /, axis: int | Sequence[int] = 0) -> Expr:
    """New axes of size 1 at the places `axis` of the result."""
    found = operand(x, "expand_dims")
    count = len(axis) if isinstance(axis, tuple | list) else 1
    places = axis_numbers.several(axis, found.type.rank + count, "expand_dims")
    sizes = iter(found.type.shape)
    shape = tuple(1 if i in places else next(sizes) for i in range(found.type.rank + count))
    return _same(Term(found.value).reshape(shape), found)


@method
@array_function(np.squeeze)
def squeeze(x: Any, /, axis: int | Sequence[int] | None = None) -> Expr:
    """Without the given axes, whose sizes must be 1; None: all axes of size 1."""
    found = operand(x, "squeeze")
    shape = found.type.shape
    if axis is None:
        if not all(isinstance(size, int) for size in shape):
            raise TracerError(
                message(
                    "squeeze without axis, of sizes that are not known before the call",
                    got=found.type,
                    where=here(),
                    advice="squeeze(x, axis=...)",
                )
            )
        chosen = tuple(i for i, size in enumerate(shape) if size == 1)
    else:
        chosen = axis_numbers.several(axis, len(shape), "squeeze")
    needed = []
    for i in chosen:
        equal = prove_equal(shape[i], 1)
        if equal is False:
            raise ShapeError(
                message(
                    f"squeeze: axis {i}", got=f"size {shape[i]}", expected="size 1", where=here()
                )
            )
        if equal is None:
            needed.append(constraints.must_equal(shape[i], 1, f"squeeze: axis {i}"))
    kept = tuple(size for i, size in enumerate(shape) if i not in chosen)
    made = Term(found.value).reshape(kept)
    constraints.attach(made.value, needed)
    return _same(made, found)


@array_function(np.broadcast_to)
def broadcast_to(x: Any, /, shape: Any) -> Expr:
    """Repeated along axes of size 1 and new leading axes, to `shape`."""
    found = operand(x, "broadcast_to")
    wanted = as_shape(shape, "broadcast_to")
    common, needed = emit.broadcast_shapes([wanted, found.type.shape], "broadcast_to")
    if len(common) != len(wanted) or any(
        w == 1 and c != 1 for w, c in zip(wanted, common, strict=True)
    ):
        raise ShapeError(
            message(
                "broadcast_to",
                got=found.type,
                expected=f"what stretches to {shape_text(wanted)}",
                where=here(),
            )
        )
    made = emit.stretch(found.value, wanted)
    return Expr(Operand(constraints.attach(made, needed) if needed else made, found.weak))


@array_function(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any) -> list[Expr]:
    """All arrays at their common shape."""
    found = [operand(array, "broadcast_arrays") for array in arrays]
    made = emit.together([x.value for x in found], "broadcast_arrays")
    return [Expr(Operand(value, x.weak)) for value, x in zip(made, found, strict=True)]


def _promoted(arrays: Any, subject: str) -> list[Value]:
    if not isinstance(arrays, tuple | list):
        raise DTypeError(
            message(
                f"{subject}: arrays",
                got=type(arrays).__name__,
                expected="a list or tuple",
                where=here(),
            )
        )
    if not arrays:
        raise ShapeError(
            message(f"{subject} of nothing", expected="one array or more", where=here())
        )
    found = [read(array, subject) for array in arrays]
    dtype, _ = emit.result_dtype(found)
    return [emit.cast(x, dtype, subject) for x in found]


def _alike(values: Sequence[Value], axis: int | None, subject: str) -> list[Value]:
    """Values whose sizes agree in every axis but `axis`, written alike."""
    first = values[0].type.shape
    made = []
    for value in values:
        shape = value.type.shape
        agreed = list(shape)
        needed = []
        for i, (a, b) in enumerate(zip(first, shape, strict=False)):
            equal = True if i == axis else prove_equal(a, b)
            if len(shape) != len(first) or equal is False:
                raise ShapeError(
                    message(
                        f"{subject}: shapes differ",
                        got=" and ".join(shape_text(v.type.shape) for v in values[:4]),
                        expected="one rank, and equal sizes"
                        + ("" if axis is None else f" in every axis but {axis}"),
                        where=here(),
                    )
                )
            if equal is None:
                needed.append(constraints.must_equal(a, b, f"{subject}: axis {i}"))
            if i != axis:
                agreed[i] = a
        if len(shape) != len(first):
            raise ShapeError(
                message(
                    f"{subject}: ranks differ",
                    got=" and ".join(shape_text(v.type.shape) for v in values[:4]),
                    expected="one rank",
                    where=here(),
                )
            )
        if tuple(agreed) != shape:
            value = constraints.attach(Term(value).reshape(agreed).value, needed)
        made.append(value)
    return made


@array_function(np.concatenate)
def concat(arrays: Any, /, axis: int | None = 0) -> Expr:
    """Arrays one after the other along `axis`; None flattens them first."""
    values = _promoted(arrays, "concat")
    if axis is None:
        values = [Term(value).reshape((value.type.elements,)).value for value in values]
        axis = 0
    place = axis_numbers.one(axis, values[0].type.rank, "concat")
    terms = [Term(value) for value in _alike(values, place, "concat")]
    return Expr(Operand(term.concat(terms, place).value))


@array_function(np.stack)
def stack(arrays: Any, /, axis: int = 0) -> Expr:
    """Arrays of one shape side by side along a new axis."""
    values = _alike(_promoted(arrays, "stack"), None, "stack")
    place = axis_numbers.one(axis, values[0].type.rank + 1, "stack")
    terms = [Term(value).expand(place) for value in values]
    return Expr(Operand(term.concat(terms, place).value))


@array_function(np.unstack)
def unstack(x: Any, /, axis: int = 0) -> tuple[Expr, ...]:
    """The slices along `axis`, whose size must be static."""
    found = lift(x, "unstack")
    place = axis_numbers.one(axis, found.ndim, "unstack")
    size = found.shape[place]
    if isinstance(size, Dim):
        raise TracerError(
            message(
                f"unstack of {size} slices, not known before the call",
                where=here(),
                advice="sc.scan or sc.map over the axis",
            )
        )
    lead = (slice(None),) * place
    return tuple(found[(*lead, i)] for i in range(size))


@array_function(np.split, np.array_split)
def split(x: Any, /, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    """Parts along `axis`: that many equal ones (an int), or those between the positions given."""
    found = lift(x, "split")
    place = axis_numbers.one(axis, found.ndim, "split")
    size = found.type.shape[place]
    lead = (slice(None),) * place
    if isinstance(indices_or_sections, tuple | list):
        cuts = [None, *indices_or_sections, None]
        return [found[(*lead, slice(a, b))] for a, b in pairwise(cuts)]
    count = as_size(indices_or_sections, "split")
    if not isinstance(count, int) or count < 1:
        raise DomainError(message("split: parts", got=count, expected="an int >= 1", where=here()))
    part = dims.floordiv(size, count)
    if prove_equal(part * count, size) is not True:
        if isinstance(size, int):
            raise ShapeError(
                message(
                    f"split of {size} into {count} equal parts",
                    expected="a divisor of the size",
                    where=here(),
                    advice="positions: split(x, [i, j])",
                )
            )
        needed = [constraints.must_equal(part * count, size, f"split into {count} equal parts")]
    else:
        needed = []
    base = Term(found.__symc_operand__().value)
    made = [base.narrow(place, part * i, part) for i in range(count)]
    return [Expr(Operand(constraints.attach(piece.value, needed))) for piece in made]


@array_function(np.flip)
def flip(x: Any, /, axis: Any = None) -> Expr:
    """The order of elements reversed along `axis` (None: along all)."""
    found = lift(x, "flip")
    chosen = axis_numbers.several(axis, found.ndim, "flip")
    if not chosen:
        return +found
    return found[tuple(slice(None, None, -1 if i in chosen else 1) for i in range(found.ndim))]


@array_function(np.roll)
def roll(x: Any, /, shift: Any, axis: Any = None) -> Expr:
    """Elements moved by `shift` places along `axis`, the last ones to the front."""
    found = lift(x, "roll")
    if axis is None:
        flat = reshape(found, (-1,)) if found.ndim != 1 else found
        return reshape(_rolled(flat, shift, 0), found.shape)
    pairs = zip(
        shift if isinstance(shift, tuple | list) else [shift],
        axis if isinstance(axis, tuple | list) else [axis],
        strict=True,
    )
    for count, place in pairs:
        found = _rolled(found, count, axis_numbers.one(place, found.ndim, "roll"))
    return found


def _rolled(x: Expr, shift: Any, axis: int) -> Expr:
    own = x.__symc_operand__()
    size = own.type.shape[axis]
    if size == 0:
        return x
    count = dims.mod(as_size(shift, "roll"), size)
    base = Term(own.value)
    head, tail = base.narrow(axis, size - count, count), base.narrow(axis, 0, size - count)
    return _same(term.concat([head, tail], axis), own)


@array_function(np.tile)
def tile(x: Any, /, repetitions: Any) -> Expr:
    """The whole array repeated along each axis."""
    found = lift(x, "tile")
    counts = as_shape(repetitions, "tile")
    rank = len(counts) if len(counts) > found.ndim else found.ndim
    counts = (*(1,) * (rank - len(counts)), *counts)
    base = Term(found.__symc_operand__().value).reshape(
        (*(1,) * (rank - found.ndim), *found.type.shape)
    )
    spread = tuple(
        part for count, size in zip(counts, base.shape, strict=True) for part in (count, size)
    )
    wide = base.broadcast(spread, [2 * i + 1 for i in range(rank)])
    shape = tuple(count * size for count, size in zip(counts, base.shape, strict=True))
    return _same(wide.reshape(shape), found.__symc_operand__())


@method
@array_function(np.repeat)
def repeat(x: Any, /, repeats: Any, axis: int | None = None) -> Expr:
    """Each element repeated `repeats` times (one number for all) along `axis`; None flattens."""
    found = lift(x, "repeat")
    if axis is None:
        found = reshape(found, (-1,)) if found.ndim != 1 else found
        axis = 0
    place = axis_numbers.one(axis, found.ndim, "repeat")
    count = as_size(repeats, "repeat")
    base = Term(found.__symc_operand__().value)
    shape = base.shape
    wide = base.broadcast(
        (*shape[: place + 1], count, *shape[place + 1 :]),
        [i if i <= place else i + 1 for i in range(len(shape))],
    )
    merged = (*shape[:place], shape[place] * count, *shape[place + 1 :])
    return _same(wide.reshape(merged), found.__symc_operand__())


@array_function(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Expr:
    """The elements in another dtype."""
    return lift(x, "astype").astype(dtype, copy=copy)
