"""Gathers: reads at positions given by integer arrays.

`take` reads whole slices along one axis; `take_along` single elements, with indices of the same
rank as the operand.  Modes, for an index i and an axis of size n:

| mode | i in [-n, 0) | other i outside [0, n) |
|---|---|---|
| raise | counts from the end | an error, at the first such position |
| wrap | i mod n | i mod n |
| clip | 0 | the nearer of 0 and n - 1 |
| fill | reads 0, writes nothing | reads 0, writes nothing |

On an axis of size 0, wrap and clip behave as fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.core import Attrs, Node
from symc.ir.dims import size_product
from symc.ir.errors import DomainError, DTypeError, ShapeError, SymcIndexError, message
from symc.ir.ops import attributes
from symc.ir.ops.define import ALL, INTS, listed, require_count, require_dtype
from symc.ir.ops.record import Arrays, EvaluateContext, Infer, Kind, Linear, Op, Samples
from symc.ir.types import F32, F64, I32, I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]
Batched = tuple["Term", int]

MODES = ("raise", "clip", "wrap", "fill")


def along_infer(name: str, types: Types, axis: int) -> None:
    """Refuse indices that differ from the operand elsewhere than along `axis`."""
    x, index = types[0], types[1]
    same = index.rank == x.rank and all(
        mine == other or i == axis
        for i, (mine, other) in enumerate(zip(index.shape, x.shape, strict=True))
    )
    if not same:
        raise ShapeError(
            message(
                f"{name} along axis {axis}",
                got=listed(types),
                expected="indices with the operand's rank, and its sizes in the other axes",
            )
        )


def _read_infer(name: str, *, along: bool) -> Infer:
    def infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
        require_count(name, types, 2)
        x, index = types
        require_dtype(f"{name} index", index, INTS)
        axis = attributes.axis_in(attrs, "axis", x.rank)
        attributes.choice(attrs, "mode", MODES)
        if along:
            along_infer(name, types, axis)
            return (x.with_shape(index.shape),)
        return (x.with_shape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])),)

    return infer


def resolve(index: np.ndarray, size: int, node: Node) -> tuple[np.ndarray, np.ndarray]:
    """Positions in [0, size), and which of them are to be used, by the node's mode."""
    mode = attributes.choice(node.attrs, "mode", MODES)
    wide = index.astype(np.int64)
    inside = np.ones(wide.shape, np.bool_)
    match mode:
        case "raise":
            place = np.where(wide < 0, wide + size, wide)
            bad = (place < 0) | (place >= size)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise SymcIndexError(
                    message(
                        f"{node.op.name}: index out of range",
                        got=f"{index[where]} at position {where}",
                        expected=f"{-size} to {size - 1}",
                        where=node.locations[0],
                        advice='mode="clip", "wrap" or "fill"',
                    )
                )
        case "wrap" if size > 0:
            place = np.remainder(wide, size)
        case "clip" if size > 0:
            place = np.clip(wide, 0, size - 1)
        case _:
            inside = (wide >= 0) & (wide < size)
            place = np.where(inside, wide, 0)
    return place, inside


def _take_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    x, index = arrays
    axis = attributes.integer(node.attrs, "axis")
    place, inside = resolve(index, x.shape[axis], node)
    shape = context.shape(node.results[0].type)
    if not inside.any():
        return (np.zeros(shape, x.dtype),)
    taken = np.take(x, place, axis)
    used = inside.reshape(inside.shape + (1,) * (x.ndim - axis - 1))
    return (np.where(used, taken, np.zeros((), x.dtype)),)


def _take_along_evaluate(
    context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node
) -> Arrays:
    x, index = arrays
    axis = attributes.integer(node.attrs, "axis")
    place, inside = resolve(index, x.shape[axis], node)
    if not inside.any():
        return (np.zeros(index.shape, x.dtype),)
    return (np.where(inside, np.take_along_axis(x, place, axis), np.zeros((), x.dtype)),)


def _take_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    x, index = operands
    return term.scatter(term.zeros(x.type), index, ct, {**attrs, "combine": "add"})


def _take_along_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    x, index = operands
    zeros = term.zeros(x.type)
    return term.scatter_along(zeros, index, ct, {**attrs, "combine": "add"})


def rows_first(x: Term, axis: int, index: Term) -> tuple[Term, Term, list[int]]:
    """Batched x as [B, n, R], batched index as [B, M, R], and the axes order that did it to x."""
    order = [0, axis + 1, *(i for i in range(1, x.rank) if i != axis + 1)]
    moved = x.permute(order)
    width = size_product(moved.shape[2:])
    count = size_product(index.shape[1:])
    rows = moved.reshape((moved.shape[0], moved.shape[1], width))
    spread = index.reshape((index.shape[0], count)).broadcast(
        (index.shape[0], count, width), (0, 1)
    )
    return rows, spread, order


def _take_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    x, index = operands
    axis = attributes.integer(attrs, "axis")
    if axes[1] is None and axes[0] is not None:
        moved = {**attrs, "axis": axis + 1}
        return term.apply_op(TAKE, (x.move_axis(axes[0], 0), index), moved), 0
    if axes[0] is None and axes[1] is not None:
        taken = term.apply_op(TAKE, (x, index.move_axis(axes[1], 0)), attrs)
        return taken.move_axis(axis, 0), 0
    x, index = term.batched(operands, axes)
    rows, spread, order = rows_first(x, axis, index)
    taken = term.apply_op(TAKE_ALONG, (rows, spread), {**attrs, "axis": 1})
    rest = [x.shape[i] for i in order[2:]]
    shaped = taken.reshape((x.shape[0], *index.shape[1:], *rest))
    lead = [index.rank + i for i in range(axis)]
    indexed = list(range(1, index.rank))
    tail = list(range(index.rank + axis, shaped.rank))
    return shaped.permute([0, *lead, *indexed, *tail]), 0


def _take_along_batch(
    operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs
) -> Batched:
    moved = {**attrs, "axis": attributes.integer(attrs, "axis") + 1}
    return term.apply_op(TAKE_ALONG, term.batched(operands, axes), moved), 0


_A, _B = TensorType(F32, (3, 4)), TensorType(F64, (2, 3, 4))
_I, _J = TensorType(I64, (5,)), TensorType(I32, (2, 2))
TAKE: Final = Op(
    "take",
    Kind.GATHER,
    2,
    _read_infer("take", along=False),
    _take_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A, _I), {"axis": 0, "mode": "raise"}),
            ((_A, _J), {"axis": 1, "mode": "wrap"}),
            ((_B, _I), {"axis": 1, "mode": "clip"}),
            ((_B, TensorType(I64)), {"axis": 2, "mode": "fill"}),
            ((_A, TensorType(I64, (0,))), {"axis": 0, "mode": "raise"}),
            ((TensorType(F32, (0, 2)), _I), {"axis": 0, "mode": "fill"}),
        ),
        errors=(
            ((_A, _A), {"axis": 0, "mode": "raise"}, DTypeError),
            ((_A, _I), {"axis": 2, "mode": "raise"}, DomainError),
            ((_A, _I), {"axis": 0, "mode": "fast"}, DomainError),
            ((_A,), {"axis": 0, "mode": "raise"}, ShapeError),
        ),
    ),
    derivative=Linear((0,), _take_transpose),
    batch=_take_batch,
    effects=frozenset({"trap"}),
)
TAKE_ALONG: Final = Op(
    "take_along",
    Kind.GATHER,
    2,
    _read_infer("take_along", along=True),
    _take_along_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A, TensorType(I64, (3, 2))), {"axis": 1, "mode": "raise"}),
            ((_B, TensorType(I32, (5, 3, 4))), {"axis": 0, "mode": "wrap"}),
            ((_B, TensorType(I64, (2, 3, 4))), {"axis": 1, "mode": "clip"}),
            ((_A, TensorType(I64, (3, 4))), {"axis": 0, "mode": "fill"}),
            ((TensorType(F32, (0, 2)), TensorType(I64, (3, 2))), {"axis": 0, "mode": "clip"}),
        ),
        errors=(
            ((_A, _A), {"axis": 0, "mode": "raise"}, DTypeError),
            ((_A, _I), {"axis": 0, "mode": "raise"}, ShapeError),
            ((_A, TensorType(I64, (5, 3))), {"axis": 0, "mode": "raise"}, ShapeError),
            ((_A, TensorType(I64, (5, 4))), {"axis": -1, "mode": "raise"}, DomainError),
        ),
    ),
    derivative=Linear((0,), _take_along_transpose),
    batch=_take_along_batch,
    effects=frozenset({"trap"}),
)
