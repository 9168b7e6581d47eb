"""Assembling: values placed side by side (`concat`), or over part of another (`set_slice`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.core import Attrs, Node
from symc.ir.dims import Size
from symc.ir.errors import DomainError, DTypeError, ShapeError, SymcIndexError, message
from symc.ir.ops import attributes
from symc.ir.ops.define import ALL, listed, require_count, require_one_dtype
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, Linear, Op, Samples
from symc.ir.ops.view import check_inside, check_slice, ranges
from symc.ir.types import F32, F64, I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]
Batched = tuple["Term", int]


def _concat_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    if not types:
        raise ShapeError(message("concat of nothing", expected="one operand or more"))
    require_one_dtype("concat", types)
    axis = attributes.axis_in(attrs, "axis", types[0].rank)
    total: Size = 0
    for type in types:
        rest = type.shape[:axis] + type.shape[axis + 1 :]
        if type.rank != types[0].rank or rest != types[0].shape[:axis] + types[0].shape[axis + 1 :]:
            raise ShapeError(
                message(
                    f"concat along axis {axis}: shapes differ elsewhere",
                    got=listed(types),
                    expected="equal sizes in every other axis",
                )
            )
        total = total + type.shape[axis]
    return (types[0].with_shape((*types[0].shape[:axis], total, *types[0].shape[axis + 1 :])),)


def _concat_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return (np.concatenate(arrays, attributes.integer(node.attrs, "axis")),)


def _concat_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    axis = attributes.integer(attrs, "axis")
    start: Size = 0
    for operand in operands[:number]:
        start = start + operand.shape[axis]
    return ct.narrow(axis, start, operands[number].shape[axis])


def _concat_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    axis = attributes.integer(attrs, "axis")
    return term.concat(term.batched(operands, axes), axis + 1), 0


def _set_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("set_slice", types, 2)
    require_one_dtype("set_slice", types)
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    subject = f"set_slice of {types[1]} in {types[0]}"
    check_slice(subject, types[0].shape, starts, types[1].shape, steps)
    return (types[0],)


def _set_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    starts = context.sizes(attributes.sizes(node.attrs, "starts"))
    steps = attributes.integers(node.attrs, "steps")
    result, value = np.array(arrays[0]), arrays[1]
    check_inside(result.shape, starts, value.shape, steps, node)
    result[ranges(starts, value.shape, steps)] = value
    return (result,)


def _set_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    if number == 0:
        return ct.set_slice(term.zeros(operands[1].type), starts, steps)
    return ct.slice(starts, operands[1].shape, steps)


def _set_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    x, value = term.batched(operands, axes)
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    return x.set_slice(value, (0, *starts), (1, *steps)), 0


_A, _B = TensorType(F32, (3, 4)), TensorType(F64, (6,))
CONCAT: Final = Op(
    "concat",
    Kind.ASSEMBLE,
    None,
    _concat_infer,
    _concat_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A, TensorType(F32, (2, 4))), {"axis": 0}),
            ((_A, _A, TensorType(F32, (3, 0))), {"axis": 1}),
            ((_B,), {"axis": 0}),
        ),
        errors=(
            ((), {"axis": 0}, ShapeError),
            ((_A, _B), {"axis": 0}, DTypeError),
            ((_A, TensorType(F32, (2, 3))), {"axis": 0}, ShapeError),
            ((_A, TensorType(F32, (3,))), {"axis": 0}, ShapeError),
            ((_A,), {"axis": 2}, DomainError),
        ),
    ),
    derivative=Linear((0,), _concat_transpose),
    batch=_concat_batch,
)
SET_SLICE: Final = Op(
    "set_slice",
    Kind.ASSEMBLE,
    2,
    _set_infer,
    _set_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A, TensorType(F32, (2, 2))), {"starts": (1, 0), "steps": (1, 3)}),
            ((_B, TensorType(F64, (3,))), {"starts": (5,), "steps": (-2,)}),
            ((_B, TensorType(F64, (0,))), {"starts": (0,), "steps": (1,)}),
        ),
        errors=(
            ((_B, TensorType(F64, (3,))), {"starts": (4,), "steps": (1,)}, SymcIndexError),
            ((_B, TensorType(F64, (3,))), {"starts": (0,), "steps": (0,)}, DomainError),
            ((_B, TensorType(F64, (3, 1))), {"starts": (0,), "steps": (1,)}, ShapeError),
            ((_B, TensorType(I64, (3,))), {"starts": (0,), "steps": (1,)}, DTypeError),
        ),
    ),
    derivative=Linear((0, 1), _set_transpose),
    batch=_set_batch,
)
