"""Control flow: operations with regions.

A region is a closed function; it sees its params only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node
from symc.ir.errors import DomainError, ShapeError, UnsupportedError, message
from symc.ir.ops.record import Arrays, BatchContext, EvaluateContext, Kind, Op, Samples, Tangents
from symc.ir.types import TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]


def _no_region(types: Types, attrs: Attrs) -> NoReturn:
    raise ShapeError(message("call: regions", got=0, expected=1))


def _call_types(
    types: Types, attrs: Attrs, regions: tuple[Function, ...]
) -> tuple[TensorType, ...]:
    (callee,) = regions
    if not isinstance(attrs.get("name"), str):
        raise DomainError(message("attribute name", got=attrs.get("name"), expected="a string"))
    wanted = tuple(param.type for param in callee.params)
    if tuple(types) != wanted:
        raise ShapeError(message(f"call of {callee.name}", got=list(types), expected=list(wanted)))
    return tuple(result.type for result in callee.results)


def _call_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return context.run(node.regions[0], arrays)


def _call_batch(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Sequence[tuple[Term, int | None]]:
    """A call of the batched callee."""
    callee, batched = context.function(node.regions[0], [axis is not None for axis in axes], None)
    moved = [
        x if axis is None else x.move_axis(axis, 0) for x, axis in zip(operands, axes, strict=True)
    ]
    made = apply(node.op, [x.value for x in moved], node.attrs, regions=(callee,))
    marked = zip(made.results, batched, strict=True)
    return [(term.Term(result), 0 if has_axis else None) for result, has_axis in marked]


def _inline_first(t: Term, y: Term, operands: Sequence[Term], attrs: Attrs) -> Term:
    raise UnsupportedError(
        message(f"derivative of a call of {attrs['name']}", advice="inline it first")
    )


CALL: Final = Op(
    "call",
    Kind.CONTROL,
    None,
    _no_region,
    _call_evaluate,
    Samples((), errors=(((), {"name": "f"}, ShapeError),)),
    derivative=Tangents((_inline_first,)),
    regions=1,
    infer_regions=_call_types,
    batch=None,
    batch_regions=_call_batch,
)
