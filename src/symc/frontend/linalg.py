"""Products of arrays: matmul, dot, tensordot, vecdot, outer, einsum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symc.frontend import axes as axis_numbers
from symc.frontend import contract, emit
from symc.frontend.dispatch import array_function, method
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand, operand
from symc.ir import ops
from symc.ir.errors import ShapeError, message
from symc.ir.locations import here
from symc.ir.term import Term


@array_function(np.matmul)
def matmul(x1: Any, x2: Any, /) -> Expr:
    """x1 @ x2: the last axis of x1 against the second last of x2, batch axes broadcast."""
    return Expr(contract.matmul(x1, x2))


@method
@array_function(np.dot)
def dot(x1: Any, x2: Any, /) -> Expr:
    """NumPy's dot: product with a scalar, else the last axis of x1 with the second last of x2."""
    left, right = lift(x1, "dot"), lift(x2, "dot")
    if not left.ndim or not right.ndim:
        return left * right
    axes = ((left.ndim - 1,), (max(right.ndim - 2, 0),))
    return Expr(contract.tensordot(left, right, axes))


@array_function(np.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Expr:
    """The sum over paired axes: the last and first `axes` many, or two lists of them."""
    left, right = lift(x1, "tensordot"), lift(x2, "tensordot")
    if isinstance(axes, int):
        if not 0 <= axes <= min(left.ndim, right.ndim):
            raise ShapeError(
                message(
                    "tensordot: axes",
                    got=axes,
                    expected=f"0 to {min(left.ndim, right.ndim)}",
                    where=here(),
                )
            )
        pairs = (range(left.ndim - axes, left.ndim), range(axes))
    else:
        first, second = axes
        pairs = (_listed(first, left.ndim), _listed(second, right.ndim))  # type: ignore[assignment]
    return Expr(contract.tensordot(left, right, (tuple(pairs[0]), tuple(pairs[1]))))


def _listed(axes: Any, rank: int) -> list[int]:
    given: Sequence[Any] = axes if isinstance(axes, tuple | list) else [axes]
    return [axis_numbers.one(axis, rank, "tensordot") for axis in given]


@array_function(np.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Expr:
    """The sum of products along `axis`, other axes broadcast."""
    values, _, weak = emit.promoted("vecdot", x1, x2)
    ranks = [value.type.rank for value in values]
    if not all(ranks):
        raise ShapeError(message("vecdot of a scalar", expected="rank 1 or more", where=here()))
    moved = [
        Term(v).move_axis(axis_numbers.one(axis, r, "vecdot"), r - 1).value
        for v, r in zip(values, ranks, strict=True)
    ]
    for value in moved:
        if value.type.shape[-1] == 1 and moved[0].type.shape[-1] != moved[1].type.shape[-1]:
            raise ShapeError(
                message(
                    "vecdot: sizes",
                    got=f"{moved[0].type} and {moved[1].type}",
                    expected="equal sizes along the axis",
                    where=here(),
                )
            )
    left, right = emit.together(moved, "vecdot")
    lead = tuple(range(left.type.rank - 1))
    last = (left.type.rank - 1,)
    made = contract.contraction(left, right, (lead, lead), (last, last), "vecdot")
    return Expr(Operand(made.value, weak))


@array_function(np.outer)
def outer(x1: Any, x2: Any, /) -> Expr:
    """All products of elements of two arrays, which are flattened."""
    left, right = (operand(x, "outer") for x in (x1, x2))
    column = Term(left.value).reshape((left.type.elements, 1))
    row = Term(right.value).reshape((1, right.type.elements))
    product = emit.arithmetic(
        ops.MUL,
        ops.AND,
        "outer",
        Expr(Operand(column.value, left.weak)),
        Expr(Operand(row.value, right.weak)),
    )
    return Expr(product)
