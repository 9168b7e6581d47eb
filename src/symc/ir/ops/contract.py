"""Contractions: products of two tensors summed over shared axes.

Result axes: the batch axes in the order given, then the free axes of the left operand, then those
of the right.  `order`: "any" lets each implementation sum as it likes, within 2(K+2) eps |A||B|;
"chain" is one ascending fused multiply-add chain per element, starting from +0, the contracted
axes in the order given, the last varying fastest.  Integer products wrap and have one value.
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
    NUMBERS,
    ORACLE,
    listed,
    require_count,
    require_dtype,
    require_one_dtype,
)
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, Linear, Op, Samples
from symc.ir.ops.view import inverse
from symc.ir.types import BOOL, F32, F64, I32, TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.term import Term

ORDERS = ("any", "chain")


@dataclass(frozen=True, slots=True)
class DotAxes:
    """Which axes of each operand are batch, contracted and free (ascending)."""

    lhs_batch: tuple[int, ...]
    rhs_batch: tuple[int, ...]
    lhs_contract: tuple[int, ...]
    rhs_contract: tuple[int, ...]
    lhs_free: tuple[int, ...]
    rhs_free: tuple[int, ...]

    def attrs(self, order: str) -> Attrs:
        """The attributes of a `dot` over these axes."""
        return {
            "lhs_batch": self.lhs_batch,
            "rhs_batch": self.rhs_batch,
            "lhs_contract": self.lhs_contract,
            "rhs_contract": self.rhs_contract,
            "order": order,
        }


def dot_axes(lhs_rank: int, rhs_rank: int, attrs: Attrs) -> DotAxes:
    """The axes of a `dot` from its attributes; DomainError when they are not axes."""
    lhs_batch = attributes.axes_in(attrs, "lhs_batch", lhs_rank)
    rhs_batch = attributes.axes_in(attrs, "rhs_batch", rhs_rank)
    lhs_contract = attributes.axes_in(attrs, "lhs_contract", lhs_rank)
    rhs_contract = attributes.axes_in(attrs, "rhs_contract", rhs_rank)
    lhs_used, rhs_used = {*lhs_batch, *lhs_contract}, {*rhs_batch, *rhs_contract}
    distinct = len(lhs_used) == len(lhs_batch) + len(lhs_contract)
    distinct = distinct and len(rhs_used) == len(rhs_batch) + len(rhs_contract)
    paired = len(lhs_batch) == len(rhs_batch) and len(lhs_contract) == len(rhs_contract)
    if not (distinct and paired):
        raise DomainError(
            message(
                "dot: axes",
                got=f"batch {lhs_batch} with {rhs_batch}, contracted {lhs_contract} with "
                f"{rhs_contract}",
                expected="pairs of distinct axes",
            )
        )
    return DotAxes(
        lhs_batch,
        rhs_batch,
        lhs_contract,
        rhs_contract,
        tuple(axis for axis in range(lhs_rank) if axis not in lhs_used),
        tuple(axis for axis in range(rhs_rank) if axis not in rhs_used),
    )


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("dot", types, 2)
    lhs, rhs = types
    require_dtype("dot", lhs, NUMBERS)
    require_one_dtype("dot", types)
    attributes.choice(attrs, "order", ORDERS)
    axes = dot_axes(lhs.rank, rhs.rank, attrs)
    pairs = zip(axes.lhs_batch + axes.lhs_contract, axes.rhs_batch + axes.rhs_contract, strict=True)
    for left, right in pairs:
        if lhs.shape[left] != rhs.shape[right]:
            raise ShapeError(
                message(
                    "dot: sizes differ",
                    got=f"{listed(types)}: {lhs.shape[left]} (axis {left}) and "
                    f"{rhs.shape[right]} (axis {right})",
                    expected="one size",
                )
            )
    shape = [lhs.shape[axis] for axis in axes.lhs_batch + axes.lhs_free]
    return (TensorType(lhs.dtype, (*shape, *(rhs.shape[axis] for axis in axes.rhs_free))),)


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    lhs, rhs = arrays
    axes = dot_axes(lhs.ndim, rhs.ndim, node.attrs)
    shape = [lhs.shape[axis] for axis in axes.lhs_batch + axes.lhs_free]
    shape += [rhs.shape[axis] for axis in axes.rhs_free]

    def grouped(array: np.ndarray, *groups: tuple[int, ...]) -> np.ndarray:
        sizes = [int(np.prod([array.shape[axis] for axis in group])) for group in groups]
        return array.transpose([axis for group in groups for axis in group]).reshape(sizes)

    left = grouped(lhs, axes.lhs_batch, axes.lhs_free, axes.lhs_contract)
    right = grouped(rhs, axes.rhs_batch, axes.rhs_contract, axes.rhs_free)
    chained = "chain" in {context.order, attributes.choice(node.attrs, "order", ORDERS)}
    with np.errstate(all="ignore"):
        product = chain(left, right) if chained and lhs.dtype.kind == "f" else left @ right
    return (np.asarray(product, lhs.dtype).reshape(shape),)


def chain(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Batched matrix product, each element one ascending fma chain from +0."""
    total = np.zeros((left.shape[0], left.shape[1], right.shape[2]), left.dtype)
    for k in range(left.shape[2]):
        total = ORACLE.fma(left[:, :, k, None], right[:, k, None, :], total)
    return total


def _transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    lhs, rhs = operands
    order = attributes.choice(attrs, "order", ORDERS)
    axes = dot_axes(lhs.rank, rhs.rank, attrs)
    batch = tuple(range(len(axes.lhs_batch)))
    first_rhs = len(batch) + len(axes.lhs_free)
    from_lhs, from_rhs = tuple(range(len(batch), first_rhs)), tuple(range(first_rhs, ct.rank))
    if number == 0:
        # ct [batch, lhs free, rhs free] with rhs over its free axes: [batch, lhs free, contracted].
        pairing = DotAxes(batch, axes.rhs_batch, from_rhs, axes.rhs_free, (), ())
        product = term.apply_op(DOT, (ct, rhs), pairing.attrs(order))
        contracted = _partners(axes.rhs_contract, axes.lhs_contract)
        return product.permute(inverse((*axes.lhs_batch, *axes.lhs_free, *contracted)))
    # lhs with ct over the free axes of lhs: [batch, contracted, rhs free].
    pairing = DotAxes(axes.lhs_batch, batch, axes.lhs_free, from_lhs, (), ())
    product = term.apply_op(DOT, (lhs, ct), pairing.attrs(order))
    contracted = _partners(axes.lhs_contract, axes.rhs_contract)
    return product.permute(inverse((*axes.rhs_batch, *contracted, *axes.rhs_free)))


def _partners(here: Sequence[int], there: Sequence[int]) -> list[int]:
    """The axes of `there`, in the ascending order of their partners in `here`."""
    return [partner for _, partner in sorted(zip(here, there, strict=True))]


def _batch(operands: Sequence[Term], where: Sequence[int | None], attrs: Attrs) -> tuple[Term, int]:
    lhs, rhs = operands
    lhs_rank = lhs.rank - (where[0] is not None)
    rhs_rank = rhs.rank - (where[1] is not None)
    axes = dot_axes(lhs_rank, rhs_rank, attrs)
    order = attributes.choice(attrs, "order", ORDERS)
    lhs = lhs if where[0] is None else lhs.move_axis(where[0], 0)
    rhs = rhs if where[1] is None else rhs.move_axis(where[1], 0)
    left, right = int(where[0] is not None), int(where[1] is not None)
    both = (0,) if left and right else ()
    moved = DotAxes(
        (*both, *(axis + left for axis in axes.lhs_batch)),
        (*both, *(axis + right for axis in axes.rhs_batch)),
        tuple(axis + left for axis in axes.lhs_contract),
        tuple(axis + right for axis in axes.rhs_contract),
        (),
        (),
    )
    product = term.apply_op(DOT, (lhs, rhs), moved.attrs(order))
    # The batch axis is the first batch axis, else the first free axis of the side that has it.
    if left and right:
        return product, 0
    place = len(axes.lhs_batch) + (0 if left else len(axes.lhs_free))
    return product.move_axis(place, 0), 0


def _attrs(
    lhs_contract: tuple[int, ...],
    rhs_contract: tuple[int, ...],
    batch: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
    order: str = "any",
) -> Attrs:
    return DotAxes(batch[0], batch[1], lhs_contract, rhs_contract, (), ()).attrs(order)


_A, _B = TensorType(F32, (3, 4)), TensorType(F32, (4, 5))
_C, _D = TensorType(F64, (2, 3, 4)), TensorType(F64, (4, 2, 3))
DOT: Final = Op(
    "dot",
    Kind.CONTRACT,
    2,
    _infer,
    _evaluate,
    Samples(
        NUMBERS,
        cases=(
            ((_A, _B), _attrs((1,), (0,))),
            ((_A, _A), _attrs((0,), (0,), order="chain")),
            ((_C, _D), _attrs((2,), (0,), ((0,), (1,)))),
            ((_C, _D), _attrs((2, 1), (0, 2), ((0,), (1,)))),
            ((_C, _D), _attrs((), (), ((1, 0), (2, 1)))),
            ((_C, _D), _attrs((2, 0, 1), (0, 1, 2))),
            ((TensorType(I32, (3, 0)), TensorType(I32, (0, 2))), _attrs((1,), (0,))),
            ((TensorType(F32, (3, 0)), TensorType(F32, (0, 2))), _attrs((1,), (0,))),
        ),
        errors=(
            ((_A, _A), _attrs((1,), (0,)), ShapeError),
            ((_A, _B), _attrs((1,), (2,)), DomainError),
            ((_A, _B), _attrs((1, 1), (0, 0)), DomainError),
            ((_A, _B), _attrs((1,), ()), DomainError),
            ((_A, _B), _attrs((1,), (0,), order="fast"), DomainError),
            ((_A, TensorType(F64, (4, 5))), _attrs((1,), (0,)), DTypeError),
            ((TensorType(BOOL, (3,)),) * 2, _attrs((0,), (0,)), DTypeError),
            ((TensorType(F32), _A), _attrs((0,), (0,)), DomainError),
        ),
    ),
    derivative=Linear((0, 1), _transpose, multilinear=True),
    batch=_batch,
)
