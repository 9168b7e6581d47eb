"""How operations are declared: shared shape and dtype rules, and one-call elementwise records.

`unary("tanh", scalar=lambda b, x: ..., tangent=lambda t, y, x: ...)` is a complete operation: type
inference, the oracle, batching and code generation follow from it.

Invariant: elementwise operands have exactly one shape and, but for the condition of a selection,
one dtype; broadcasting and promotion are explicit nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Node
from symc.ir.errors import DTypeError, OpContractError, ShapeError, message
from symc.ir.ops.record import (
    Arrays,
    Derivative,
    EvaluateContext,
    Infer,
    Kind,
    NoDerivative,
    Op,
    Samples,
    Tangent,
    Tangents,
)
from symc.ir.types import BOOL, DTYPE_NAMES, TensorType
from symc.records import dataclass
from symc.scalar.numpy_builder import NumpyBuilder

FLOATS = ("f32", "f64")
INTS = ("i32", "i64")
NUMBERS = (*INTS, *FLOATS)
BITS = ("bool", *INTS)
ALL = tuple(DTYPE_NAMES)

ORACLE = NumpyBuilder()
PIECEWISE_CONSTANT = NoDerivative("piecewise constant: its derivative is zero wherever it exists")
NOT_A_FLOAT = NoDerivative("its result is not a float")

Scalar = Callable[..., Any]
Refused = tuple[tuple[TensorType, ...], Attrs, type[Exception]]


@dataclass(frozen=True, slots=True)
class Points:
    """Where an elementwise op is tried: an open interval of ordinary inputs, and its edges."""

    domain: tuple[float, float] = (-3.0, 3.0)
    edges: tuple[float, ...] = (0.0,)


ORDINARY = Points()


def listed(types: Sequence[TensorType]) -> str:
    """Operand types for a message: `f32[3] and f32[4]`."""
    return " and ".join(map(str, types)) or "nothing"


def require_count(name: str, types: Sequence[TensorType], count: int) -> None:
    """Refuse a wrong number of operands."""
    if len(types) != count:
        raise ShapeError(message(f"{name} takes {count} operands", got=listed(types)))


def require_dtype(name: str, type: TensorType, accepted: Sequence[str]) -> None:
    """Refuse an operand whose dtype is not one of the named ones."""
    if all(type.dtype != DTYPE_NAMES[short] for short in accepted):
        raise DTypeError(
            message(
                f"{name} does not take this dtype",
                got=type,
                expected=" ".join(accepted),
                advice="convert with astype first",
            )
        )


def require_one_dtype(name: str, types: Sequence[TensorType]) -> None:
    """Refuse operands of different dtypes."""
    if any(type.dtype != types[0].dtype for type in types):
        raise DTypeError(
            message(
                f"{name}: operands have different dtypes",
                got=listed(types),
                expected="one dtype",
                advice="convert one side with astype",
            )
        )


def require_one_shape(name: str, types: Sequence[TensorType]) -> None:
    """Refuse operands of different shapes."""
    if any(type.shape != types[0].shape for type in types):
        raise ShapeError(
            message(
                f"{name}: operands have different shapes",
                got=listed(types),
                expected="equal sizes in every axis",
                advice="broadcast or reshape one side",
            )
        )


def same_shape(
    name: str, arity: int, accepted: Sequence[str], result: np.dtype | None = None
) -> Infer:
    """The type rule of most elementwise ops: one dtype, one shape; `result` dtype if it differs."""
    allowed = frozenset(DTYPE_NAMES[short] for short in accepted)

    def infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
        require_count(name, types, arity)
        for type in types:
            if type.dtype not in allowed:
                require_dtype(name, type, accepted)
        require_one_dtype(name, types)
        require_one_shape(name, types)
        return (types[0] if result is None else types[0].with_dtype(result),)

    return infer


def elementwise(
    name: str,
    *,
    arity: int,
    scalar: Scalar,
    infer: Infer,
    samples: Samples,
    derivative: Derivative,
    **fields: Any,
) -> Op:
    """An elementwise op from its scalar meaning `scalar(builder, *lanes, attrs)`."""

    def evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
        return (np.asarray(scalar(ORACLE, *arrays, node.attrs), node.results[0].type.dtype),)

    def batch(
        operands: Sequence[term.Term], axes: Sequence[int | None], attrs: Attrs
    ) -> tuple[term.Term, int]:
        moved = term.batched(operands, axes)
        return term.Term(apply(op, tuple(x.value for x in moved), attrs).results[0]), 0

    op = Op(
        name,
        Kind.ELEMENTWISE,
        arity,
        infer,
        evaluate,
        samples,
        scalar=scalar,
        derivative=derivative,
        batch=batch,
        **fields,
    )
    return op


def unary(
    name: str,
    scalar: Scalar,
    *,
    dtypes: Sequence[str] = FLOATS,
    tangent: Callable[[term.Term, term.Term, term.Term], term.Term] | None = None,
    points: Points = ORDINARY,
    **fields: Any,
) -> Op:
    """An elementwise op of one operand: `scalar(b, x)` and `tangent(t, y, x)`.

    Without a tangent, `derivative` is required.  `fields`: `result` dtype if it differs from the
    operand's, and any field of `Op`.
    """
    if tangent is not None:
        rule = tangent
        fields["derivative"] = Tangents((lambda t, y, operands, attrs: rule(t, y, operands[0]),))
    one = _example(dtypes[0])
    errors: list[Refused] = [((one, one), {}, ShapeError)]
    errors += [((_example(short),), {}, DTypeError) for short in ALL if short not in dtypes]
    return elementwise(
        name,
        arity=1,
        scalar=lambda b, x, attrs: scalar(b, x),
        infer=same_shape(name, 1, dtypes, fields.pop("result", None)),
        samples=Samples(tuple(dtypes), points.domain, points.edges, tuple(errors)),
        **_decided(name, fields),
    )


def binary(
    name: str,
    scalar: Scalar,
    *,
    dtypes: Sequence[str] = NUMBERS,
    tangents: tuple[Callable[..., term.Term], ...] = (),
    points: Points = ORDINARY,
    **fields: Any,
) -> Op:
    """An elementwise op of two operands: `scalar(b, x, y)`, each tangent `(t, z, x, y)`.

    Without tangents, `derivative` is required.  `fields`: `result` dtype if it differs from the
    operands', and any field of `Op`.
    """
    if tangents:
        fields["derivative"] = Tangents(tuple(map(_unpacked, tangents)))
    one = _example(dtypes[0])
    errors: list[Refused] = [
        ((one, _example(dtypes[0], 4)), {}, ShapeError),
        ((one, one.with_shape((3, 1))), {}, ShapeError),
        ((one, _example(next(short for short in ALL if short != dtypes[0]))), {}, DTypeError),
        ((one,), {}, ShapeError),
    ]
    return elementwise(
        name,
        arity=2,
        scalar=lambda b, x, y, attrs: scalar(b, x, y),
        infer=same_shape(name, 2, dtypes, fields.pop("result", None)),
        samples=Samples(tuple(dtypes), points.domain, points.edges, tuple(errors)),
        **_decided(name, fields),
    )


def comparison(name: str, scalar: Scalar, **fields: Any) -> Op:
    """A comparison of two operands of any one dtype; the result is bool."""
    return binary(name, scalar, dtypes=ALL, result=BOOL, derivative=NOT_A_FLOAT, **fields)


def _decided(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an op, among which its derivative must be."""
    if "derivative" not in fields:
        raise OpContractError(
            message(f"op {name}: derivative", got="nothing", expected="a tangent, or why none")
        )
    return fields


def _unpacked(rule: Callable[..., term.Term]) -> Tangent:
    return lambda t, y, operands, attrs: rule(t, y, *operands)


def _example(short: str, size: int = 3) -> TensorType:
    return TensorType(DTYPE_NAMES[short], (size,))
