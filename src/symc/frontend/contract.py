"""Contractions at the level of operands: matmul and tensordot as one `dot` each.

before: two operands.  after: `dot` with batch, contracted and free axes, and a permutation when the
result's axes are asked for in another order.  bools are refused, integers stay integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symc.frontend import constraints, emit
from symc.frontend.emit import shape_text
from symc.frontend.operand import Operand
from symc.ir import dims, ops
from symc.ir.core import Attrs, Constraint, Value
from symc.ir.dims import Size
from symc.ir.errors import ShapeError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import BOOL, I32


def contraction(
    left: Value,
    right: Value,
    batch: tuple[Sequence[int], Sequence[int]],
    contracted: tuple[Sequence[int], Sequence[int]],
    subject: str,
) -> Term:
    """`dot` with result axes batch, left free, right free.  Sizes that must agree are compared."""
    needed: list[Constraint] = []
    pairs = [*zip(*batch, strict=True), *zip(*contracted, strict=True)]
    for i, j in pairs:
        right = _agree(left, right, (i, j), needed, subject)
    attrs: Attrs = {
        "lhs_batch": tuple(batch[0]),
        "rhs_batch": tuple(batch[1]),
        "lhs_contract": tuple(contracted[0]),
        "rhs_contract": tuple(contracted[1]),
        "order": "any",
    }
    result = emit.value_of(ops.DOT, (left, right), attrs)
    return Term(constraints.attach(result, needed))


def _agree(
    left: Value, right: Value, axes: tuple[int, int], needed: list[Constraint], subject: str
) -> Value:
    """`right` with the size of axis `axes[1]` written as that of `left`'s axis `axes[0]`."""
    a, b = left.type.shape[axes[0]], right.type.shape[axes[1]]
    equal = dims.prove_equal(a, b)
    if equal is False:
        raise ShapeError(
            message(
                f"{subject}: sizes that are summed over or paired differ",
                got=f"{left.type} axis {axes[0]} and {right.type} axis {axes[1]}",
                expected=f"equal sizes, not {a} and {b}",
                where=here(),
                advice="transpose or reshape one side",
            )
        )
    if a == b:
        return right
    if equal is None:
        needed.append(constraints.must_equal(a, b, f"{subject}: {a} meets {b}"))
    shape = (*right.type.shape[: axes[1]], a, *right.type.shape[axes[1] + 1 :])
    return emit.value_of(ops.RESHAPE, (right,), {"shape": shape})


def numbers(subject: str, left: Any, right: Any) -> tuple[Value, Value, bool]:
    """Two arguments of one numeric dtype (bools as i32)."""
    values, dtype, weak = emit.promoted(subject, left, right)
    if dtype == BOOL:
        values = [emit.value_of(ops.CAST, (value,), {"dtype": I32}) for value in values]
    return values[0], values[1], weak


def matmul(left: Any, right: Any) -> Operand:
    """`left @ right` with NumPy's rule: batch axes broadcast, vectors lose their added axis."""
    a, b, weak = numbers("matmul", left, right)
    for value in (a, b):
        if not value.type.shape:
            raise ShapeError(
                message(
                    "matmul: a scalar operand",
                    got=f"{a.type} and {b.type}",
                    expected="rank 1 or more",
                    where=here(),
                    advice="`*` for products with a scalar",
                )
            )
    lead_a, lead_b = a.type.shape[:-2], b.type.shape[:-2]
    contracted_b = max(b.type.rank - 2, 0)
    if not lead_b:
        result = contraction(a, b, ((), ()), ((a.type.rank - 1,), (contracted_b,)), "matmul")
        return Operand(result.value, weak)
    if not lead_a:
        return Operand(_shared_left(a, b).value, weak)
    a, b, count = _paired(a, b, lead_a, lead_b)
    axes = tuple(range(count))
    result = contraction(a, b, (axes, axes), ((count + 1,), (count,)), "matmul")
    return Operand(result.value, weak)


def _shared_left(a: Value, b: Value) -> Term:
    """A vector or matrix times a batch of matrices: one contraction, batch axes free."""
    rank = b.type.rank
    result = contraction(a, b, ((), ()), ((a.type.rank - 1,), (rank - 2,)), "matmul")
    if a.type.rank == 1:
        return result
    lead = rank - 2
    return result.permute((*range(1, lead + 1), 0, lead + 1))


def _paired(
    a: Value, b: Value, lead_a: Sequence[Size], lead_b: Sequence[Size]
) -> tuple[Value, Value, int]:
    """Both operands over their common batch axes."""
    lead, needed = emit.broadcast_shapes([tuple(lead_a), tuple(lead_b)], "matmul")
    wide_a = emit.stretch(a, (*lead, *a.type.shape[-2:]))
    wide_b = emit.stretch(b, (*lead, *b.type.shape[-2:]))
    if needed:
        constraints.attach(wide_b if wide_b is not b else wide_a, needed)
    return wide_a, wide_b, len(lead)


def tensordot(left: Any, right: Any, axes: tuple[Sequence[int], Sequence[int]]) -> Operand:
    """The sum over paired axes; result axes are the free ones, left then right."""
    a, b, weak = numbers("tensordot", left, right)
    if len(axes[0]) != len(axes[1]):
        raise ShapeError(
            message(
                "tensordot: axes",
                got=f"{shape_text(tuple(axes[0]))} and {shape_text(tuple(axes[1]))}",
                expected="as many axes on either side",
                where=here(),
            )
        )
    return Operand(contraction(a, b, ((), ()), axes, "tensordot").value, weak)
