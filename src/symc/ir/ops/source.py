"""Operations without tensor operands: constants, index ramps, sizes as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir.core import Attrs, Node
from symc.ir.errors import DomainError, DTypeError, ShapeError, SymcOverflowError
from symc.ir.ops import attributes
from symc.ir.ops.define import NUMBERS, require_count, require_dtype
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, NoDerivative, Op, Samples
from symc.ir.types import BOOL, F32, F64, I32, I64, Literal, TensorType

_NO_OPERANDS = NoDerivative("it has no operands")


def _constant_infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("constant", types, 0)
    array = attributes.literal(attrs).array
    return (TensorType(array.dtype, array.shape),)


def _constant_evaluate(
    context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node
) -> Arrays:
    return (attributes.literal(node.attrs).array,)


def _iota_infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("iota", types, 0)
    shape = attributes.sizes(attrs, "shape")
    attributes.axis_in(attrs, "axis", len(shape))
    type = TensorType(attributes.dtype(attrs), shape)
    require_dtype("iota", type, NUMBERS)
    return (type,)


def _iota_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    type = node.results[0].type
    axis = attributes.axis_in(node.attrs, "axis", type.rank)
    shape = context.shape(type)
    along = [1] * type.rank
    along[axis] = shape[axis]
    # Generated code converts the 64-bit index, so large indices wrap in i32 and round in f32.
    ramp = np.arange(shape[axis], dtype=np.int64).astype(type.dtype)
    return (np.array(np.broadcast_to(ramp.reshape(along), shape)),)


def _size_infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("size", types, 0)
    attributes.size(attrs, "size")
    return (TensorType(I64),)


def _size_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return (np.array(context.sizes((attributes.size(node.attrs, "size"),))[0], np.int64),)


# No source has a `batch` rule: without operands there is no batch axis to carry.
CONSTANT: Final = Op(
    "constant",
    Kind.SOURCE,
    0,
    _constant_infer,
    _constant_evaluate,
    Samples(
        (),
        cases=(
            ((), {"value": Literal(np.array(1.5, np.float32))}),
            ((), {"value": Literal(np.array([[True, False]]))}),
            ((), {"value": Literal(np.array([np.nan, -0.0, np.inf]))}),
        ),
        errors=(
            ((), {}, DomainError),
            ((), {"value": Literal(np.zeros(2, np.int8))}, DomainError),
        ),
    ),
    derivative=_NO_OPERANDS,
    batch=None,
)
IOTA: Final = Op(
    "iota",
    Kind.SOURCE,
    0,
    _iota_infer,
    _iota_evaluate,
    Samples(
        (),
        cases=tuple(
            ((), {"shape": (2, 3), "axis": axis, "dtype": dtype})
            for axis, dtype in ((0, I32), (1, I64), (1, F32), (0, F64))
        ),
        errors=(
            ((), {"shape": (2,), "axis": 1, "dtype": I64}, DomainError),
            ((), {"shape": (-2,), "axis": 0, "dtype": I64}, ShapeError),
            ((), {"shape": (2**62,), "axis": 0, "dtype": I64}, SymcOverflowError),
            ((), {"shape": (2,), "axis": 0, "dtype": BOOL}, DTypeError),
        ),
    ),
    derivative=_NO_OPERANDS,
    batch=None,
)
SIZE: Final = Op(
    "size",
    Kind.SOURCE,
    0,
    _size_infer,
    _size_evaluate,
    Samples((), cases=(((), {"size": 7}),), errors=(((), {"size": 1.5}, DomainError),)),
    derivative=_NO_OPERANDS,
    batch=None,
)
