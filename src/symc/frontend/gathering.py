"""Array functions that read at positions given by integer arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import axes as axis_numbers
from symc.frontend import constraints, emit
from symc.frontend.dispatch import array_function, method
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand, operand
from symc.ir import ops
from symc.ir.core import Attrs, Constraint
from symc.ir.errors import DomainError, DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import is_int

MODES = ("raise", "clip", "wrap", "fill")


def _checked(index: Operand, mode: str, subject: str) -> Operand:
    if not is_int(index.dtype):
        raise DTypeError(
            message(
                f"{subject}: indices",
                got=index.type,
                expected="integers",
                where=here(),
                advice="astype('i64')",
            )
        )
    if mode not in MODES:
        raise DomainError(message(f"{subject}: mode", got=repr(mode), expected=MODES, where=here()))
    return index


@method
@array_function(np.take)
def take(x: Any, indices: Any, /, *, axis: int | None = None, mode: str = "raise") -> Expr:
    """Whole slices of x at `indices` along `axis` (None: of the flattened x).

    Shape: x[:axis] + indices + x[axis+1:].  `mode` for positions outside: "raise" counts negative
    ones from the end and raises IndexError for the rest; "clip", "wrap"; "fill" reads 0.
    """
    found = operand(x, "take")
    index = _checked(operand(indices, "take"), mode, "take")
    value = found.value
    if axis is None:
        value = Term(value).reshape((found.type.elements,)).value
        axis = 0
    place = axis_numbers.one(axis, value.type.rank, "take")
    attrs: Attrs = {"axis": place, "mode": mode}
    return Expr(Operand(emit.value_of(ops.TAKE, (value, index.value), attrs), found.weak))


@array_function(np.take_along_axis)
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1, mode: str = "raise") -> Expr:
    """Elements of x at `indices` along `axis`; both have one rank, other axes broadcast."""
    found = operand(x, "take_along_axis")
    index = _checked(operand(indices, "take_along_axis"), mode, "take_along_axis")
    if index.type.rank != found.type.rank:
        raise ShapeError(
            message(
                "take_along_axis: ranks",
                got=f"{found.type} and {index.type}",
                expected="one rank",
                where=here(),
            )
        )
    place = axis_numbers.one(axis, found.type.rank, "take_along_axis")
    x_rest = (*found.type.shape[:place], 1, *found.type.shape[place + 1 :])
    i_rest = (*index.type.shape[:place], 1, *index.type.shape[place + 1 :])
    needed: list[Constraint]
    common, needed = emit.broadcast_shapes([x_rest, i_rest], "take_along_axis")
    size, count = found.type.shape[place], index.type.shape[place]
    data = emit.stretch(found.value, (*common[:place], size, *common[place + 1 :]))
    chosen = emit.stretch(index.value, (*common[:place], count, *common[place + 1 :]))
    made = emit.value_of(ops.TAKE_ALONG, (data, chosen), {"axis": place, "mode": mode})
    return Expr(Operand(constraints.attach(made, needed), found.weak))
