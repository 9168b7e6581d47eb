"""Scatters: writes at positions given by integer arrays.

`scatter` writes whole slices along one axis, `scatter_along` single elements; positions and modes
are those of `gather.py`.  Writes happen in the row-major order of the indices: of several `set`
writes to one place the last stays.  `set` and `add` are linear in the operand and the values
together; the combinations `mul`, `min` and `max` are the ops `scatter_fold` and
`scatter_fold_along`.

Derivatives: of several `set` writes to one place the last has the derivative; for `min` and `max`
all that attain the result, what was there before among them, share it equally (none when it is
NaN); `mul` obeys the product rule, for zeros and repeated indices too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.core import Attrs, Node
from symc.ir.errors import DomainError, DTypeError, ShapeError, message
from symc.ir.ops import attributes
from symc.ir.ops.define import (
    ALL,
    INTS,
    NUMBERS,
    ORACLE,
    require_count,
    require_dtype,
    require_one_dtype,
)
from symc.ir.ops.gather import MODES, TAKE, TAKE_ALONG, along_infer, resolve, rows_first
from symc.ir.ops.products import others
from symc.ir.ops.record import (
    Arrays,
    EvaluateContext,
    Infer,
    Kind,
    Linear,
    Op,
    Samples,
    Tangent,
    Tangents,
)
from symc.ir.ops.view import inverse
from symc.ir.types import BOOL, F32, F64, I32, I64, TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]
Batched = tuple["Term", int]

LINEAR = ("set", "add")
FOLDS = ("mul", "min", "max")


def _write_infer(name: str, combines: tuple[str, ...], *, along: bool) -> Infer:
    def infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
        require_count(name, types, 3)
        x, index, values = types
        require_dtype(f"{name} index", index, INTS)
        require_one_dtype(name, (x, values))
        axis = attributes.axis_in(attrs, "axis", x.rank)
        attributes.choice(attrs, "mode", MODES)
        if attributes.choice(attrs, "combine", combines) != "set":
            require_dtype(name, x, NUMBERS)
        if along:
            along_infer(name, types, axis)
        shape = index.shape
        if not along:
            shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        if values.shape != shape:
            raise ShapeError(
                message(
                    f"{name} in axis {axis} of {x} at indices {index}",
                    got=values,
                    expected=f"values of {x.with_shape(shape)}",
                )
            )
        return (x,)

    return infer


def write(rows: np.ndarray, place: np.ndarray, values: np.ndarray, combine: str) -> None:
    """Combine `values[j]` into `rows[place[j]]` in the order of j, in place.

    Writes to one row are numbered; round r makes all writes with number r at once.
    """
    order = np.argsort(place, kind="stable")
    sorted_place = place[order]
    first = np.searchsorted(sorted_place, sorted_place)
    number = np.arange(len(order)) - first
    if combine == "set":
        last = np.append(number[1:] == 0, [True]) if len(order) else np.zeros(0, np.bool_)
        rows[sorted_place[last]] = values[order[last]]
        return
    operation = {
        "add": ORACLE.add,
        "mul": ORACLE.mul,
        "min": ORACLE.minimum,
        "max": ORACLE.maximum,
    }[combine]
    by_round = order[np.argsort(number, kind="stable")]
    start = 0
    for count in np.bincount(number):
        chosen = by_round[start : start + count]
        rows[place[chosen]] = operation(rows[place[chosen]], values[chosen])
        start += count


def _scatter_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    x, index, values = arrays
    axis = attributes.integer(node.attrs, "axis")
    place, inside = resolve(index, x.shape[axis], node)
    rows = np.array(np.moveaxis(x, axis, 0), order="C")
    rest = rows.shape[1:]
    indexed = range(axis, axis + index.ndim)
    moved = np.moveaxis(values, indexed, range(index.ndim))
    used = inside.reshape(-1)
    width = int(np.prod(rest, dtype=np.int64))
    flat = moved.reshape(index.size, width)[used]
    combine = attributes.choice(node.attrs, "combine", LINEAR + FOLDS)
    write(rows.reshape(x.shape[axis], width), place.reshape(-1)[used], flat, combine)
    return (np.array(np.moveaxis(rows, 0, axis), order="C"),)


def _scatter_along_evaluate(
    context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node
) -> Arrays:
    x, index, values = arrays
    axis = attributes.integer(node.attrs, "axis")
    place, inside = resolve(index, x.shape[axis], node)
    points: list[np.ndarray] = list(np.indices(index.shape))
    points[axis] = place
    flat = np.ravel_multi_index(points, x.shape) if inside.any() else place
    result = np.array(x, order="C")
    combine = attributes.choice(node.attrs, "combine", LINEAR + FOLDS)
    write(result.reshape(-1), flat[inside], values[inside], combine)
    return (result,)


def _reading(attrs: Attrs) -> Attrs:
    return {"axis": attrs["axis"], "mode": attrs["mode"]}


def _scatter_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    """What was overwritten gets no cotangent: elements of x, and all but the last write."""
    _, index, values = operands
    if attrs["combine"] == "add":
        return ct if number == 0 else term.apply_op(TAKE, (ct, index), _reading(attrs))
    if number == 0:
        return term.scatter(ct, index, term.zeros(values.type), attrs)
    axis = attributes.integer(attrs, "axis")
    count = term.element_count(index)
    numbers = term.iota((count,), 0).reshape(index.shape)
    along_one = {**attrs, "axis": 0}
    unwritten = term.full((ct.shape[axis],), -1, I64)
    writer = term.scatter(unwritten, index, numbers, along_one)
    last = term.apply_op(TAKE, (writer, index), _reading(along_one)).eq(numbers)
    mask = last.broadcast(values.shape, range(axis, axis + index.rank))
    return term.where(mask, term.apply_op(TAKE, (ct, index), _reading(attrs)), 0)


def _scatter_along_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    _, index, values = operands
    if attrs["combine"] == "add":
        return ct if number == 0 else term.apply_op(TAKE_ALONG, (ct, index), _reading(attrs))
    if number == 0:
        zeros = term.zeros(values.type)
        return term.apply_op(SCATTER_ALONG, (ct, index, zeros), attrs)
    numbers = term.iota(index.shape, attributes.integer(attrs, "axis"))
    unwritten = term.full(ct.shape, -1, I64)
    writer = term.apply_op(SCATTER_ALONG, (unwritten, index, numbers), attrs)
    last = term.apply_op(TAKE_ALONG, (writer, index), _reading(attrs)).eq(numbers)
    return term.where(last, term.apply_op(TAKE_ALONG, (ct, index), _reading(attrs)), 0)


@dataclass(frozen=True, slots=True)
class _Fold:
    """One use of `scatter_fold` or `scatter_fold_along`: (x, index, values) with attributes."""

    index: Term
    attrs: Attrs
    along: bool

    def read(self, x: Term) -> Term:
        """What `x` has where each value is written."""
        return term.apply_op(TAKE_ALONG if self.along else TAKE, (x, self.index), self._reading())

    def added(self, values: Term, like: Term) -> Term:
        """The sums of `values` at the places where they are written, else 0; the type of `like`."""
        attrs = {**self._reading(), "combine": "add"}
        into = term.zeros(like.type.with_dtype(values.dtype))
        return term.apply_op(
            SCATTER_ALONG if self.along else SCATTER, (into, self.index, values), attrs
        )

    def folded(self, x: Term, values: Term, combine: str) -> Term:
        """`values` combined into `x`."""
        op = SCATTER_FOLD_ALONG if self.along else SCATTER_FOLD
        attrs = {**self._reading(), "combine": combine}
        return term.apply_op(op, (x, self.index, values), attrs)

    def _reading(self) -> Attrs:
        return _reading(self.attrs)

    def numbers(self, values: Term) -> Term:
        """A number for each value, distinct among those written to one place."""
        axis = attributes.integer(self.attrs, "axis")
        if self.along:
            return term.iota(values.shape, axis)
        ramp = term.iota((term.element_count(self.index),), 0).reshape(self.index.shape)
        return ramp.broadcast(values.shape, range(axis, axis + self.index.rank))

    def last(self, mask: Term, like: Term) -> Term:
        """Of the values that `mask` marks, the last one written to each place of `like`."""
        numbers = self.numbers(mask)
        none = term.full(like.shape, -1, I64)
        written = self.folded(none, term.where(mask, numbers, -1), "max")
        return mask & self.read(written).eq(numbers)


def _fold_tangent(number: int, *, along: bool) -> Tangent:
    """The tangent along `x` (number 0) or the values (number 2)."""

    def rule(t: Term, y: Term, operands: Sequence[Term], attrs: Attrs) -> Term:
        x, index, values = operands
        fold = _Fold(index, attrs, along)
        if attrs["combine"] != "mul":
            return _extreme_fold_tangent(fold, (t, y, x, values), number)
        if number == 0:
            return term.scale(t, fold.folded(term.full(x.shape, 1, x.dtype), values, "mul"))
        slope = others(
            values,
            lambda factors: fold.read(fold.folded(x, factors, "mul")),
            lambda parts: fold.read(fold.added(parts, x)),
            lambda mask: fold.last(mask, x),
        )
        return fold.added(term.scale(t, slope), x)

    return rule


def _extreme_fold_tangent(fold: _Fold, terms: tuple[Term, Term, Term, Term], number: int) -> Term:
    """What attains the extreme shares the tangent equally: elements of x and values alike."""
    t, y, x, values = terms
    attains, written = x.eq(y), values.eq(fold.read(y))
    count = attains.cast(t.dtype) + fold.added(written.cast(t.dtype), x)
    moved = (
        term.where(attains, t, 0.0) if number == 0 else fold.added(term.where(written, t, 0.0), x)
    )
    return term.scale(moved, 1.0 / count)


def _slices_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    slices, elements = _family(attrs)
    axis = attributes.integer(attrs, "axis")
    if axes[1] is None:
        x, values = term.batched((operands[0], operands[2]), (axes[0], axes[2]))
        moved = {**attrs, "axis": axis + 1}
        return term.apply_op(slices, (x, operands[1], values), moved), 0
    x, index, values = term.batched(operands, axes)
    rows, spread, order = rows_first(x, axis, index)
    indexed = list(range(axis + 1, axis + index.rank))
    rest = [i for i in range(1, values.rank) if i not in indexed]
    flat = values.permute([0, *indexed, *rest]).reshape(spread.shape)
    written = term.apply_op(elements, (rows, spread, flat), {**attrs, "axis": 1})
    shaped = written.reshape([x.shape[i] for i in order])
    return shaped.permute(inverse(order)), 0


def _elements_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    moved = {**attrs, "axis": attributes.integer(attrs, "axis") + 1}
    return term.apply_op(_family(attrs)[1], term.batched(operands, axes), moved), 0


def _family(attrs: Attrs) -> tuple[Op, Op]:
    """The op that writes slices and the op that writes elements, for a way to combine."""
    if attrs["combine"] in LINEAR:
        return SCATTER, SCATTER_ALONG
    return SCATTER_FOLD, SCATTER_FOLD_ALONG


_A, _B = TensorType(F32, (3, 4)), TensorType(F64, (2, 3, 4))
_I, _J = TensorType(I64, (5,)), TensorType(I32, (2, 2))
_SLICES = (_A, _I, TensorType(F32, (5, 4)))
_ELEMENTS = (_A, TensorType(I64, (3, 2)), TensorType(F32, (3, 2)))


def _write_samples(combines: tuple[str, ...], *, along: bool) -> Samples:
    """Valid and invalid uses of a scatter, for each way to combine."""
    if along:
        shapes = [
            (_ELEMENTS, 1),
            ((_B, TensorType(I32, (5, 3, 4)), TensorType(F64, (5, 3, 4))), 0),
            ((_A, TensorType(I64, (0, 4)), TensorType(F32, (0, 4))), 0),
        ]
    else:
        shapes = [
            (_SLICES, 0),
            ((_A, _J, TensorType(F32, (3, 2, 2))), 1),
            ((_B, TensorType(I64), TensorType(F64, (2, 4))), 1),
        ]
    cases: list[tuple[tuple[TensorType, ...], Attrs]] = [
        (types, {"axis": axis, "mode": mode, "combine": combine})
        for combine in combines
        for (types, axis), mode in zip(shapes, ("raise", "wrap", "fill"), strict=True)
    ]
    (x, index, values), axis = shapes[0]
    good: Attrs = {"axis": axis, "mode": "clip", "combine": combines[0]}
    errors: list[tuple[tuple[TensorType, ...], Attrs, type[Exception]]] = [
        ((x, index, x), good, ShapeError),
        ((x, values, values), good, DTypeError),
        ((x, index, values.with_dtype(F64)), good, DTypeError),
        ((x, index, values), {**good, "combine": "xor"}, DomainError),
        ((x, index, values), {**good, "axis": 2}, DomainError),
        ((x, index), good, ShapeError),
    ]
    if "add" in combines:
        bools = (x.with_dtype(BOOL), index, values.with_dtype(BOOL))
        cases.append((bools, {**good, "combine": "set"}))
        errors.append((bools, {**good, "combine": "add"}, DTypeError))
    return Samples(ALL if "set" in combines else NUMBERS, cases=tuple(cases), errors=tuple(errors))


def _linear(name: str, *, along: bool) -> Op:
    return Op(
        name,
        Kind.SCATTER,
        3,
        _write_infer(name, LINEAR, along=along),
        _scatter_along_evaluate if along else _scatter_evaluate,
        _write_samples(LINEAR, along=along),
        derivative=Linear((0, 2), _scatter_along_transpose if along else _scatter_transpose),
        batch=_elements_batch if along else _slices_batch,
        effects=frozenset({"trap"}),
    )


def _fold(name: str, *, along: bool) -> Op:
    return Op(
        name,
        Kind.SCATTER,
        3,
        _write_infer(name, FOLDS, along=along),
        _scatter_along_evaluate if along else _scatter_evaluate,
        _write_samples(FOLDS, along=along),
        derivative=Tangents((_fold_tangent(0, along=along), None, _fold_tangent(2, along=along))),
        batch=_elements_batch if along else _slices_batch,
        effects=frozenset({"trap"}),
    )


SCATTER: Final = _linear("scatter", along=False)
SCATTER_ALONG: Final = _linear("scatter_along", along=True)
SCATTER_FOLD: Final = _fold("scatter_fold", along=False)
SCATTER_FOLD_ALONG: Final = _fold("scatter_fold_along", along=True)
