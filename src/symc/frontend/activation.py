"""What neural networks compose most: softmax and its kin, in their stable forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import axes as axis_numbers
from symc.frontend import emit
from symc.frontend.dims import Dim, as_size
from symc.frontend.dispatch import array_function
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand, operand
from symc.frontend.spec import as_dtype, compiled_dtype, float64
from symc.frontend.statistical import floating, max, sum
from symc.ir import dims, ops, term
from symc.ir.errors import DTypeError, message
from symc.ir.locations import here
from symc.ir.types import I64, is_int


def _largest(x: Any, axis: Any, subject: str) -> tuple[Expr, Expr]:
    """x in floats, and its largest along `axis`, axes kept; no derivative passes the largest."""
    data = Expr(floating(x, subject))
    largest = max(data, axis=axis, keepdims=True)
    return data, Expr(emit.unary(ops.STOP_GRADIENT, subject, largest))


def _exp(x: Expr) -> Expr:
    return Expr(emit.on_floats(ops.EXP, "exp", x))


def _log(x: Expr) -> Expr:
    return Expr(emit.on_floats(ops.LOG, "log", x))


@array_function()
def softmax(x: Any, /, axis: Any = -1) -> Expr:
    """exp(x) over its sum along `axis`."""
    data, largest = _largest(x, axis, "softmax")
    raised = _exp(data - largest)
    return raised / sum(raised, axis=axis, keepdims=True)


@array_function()
def log_softmax(x: Any, /, axis: Any = -1) -> Expr:
    """The logarithm of softmax, accurate where softmax underflows."""
    data, largest = _largest(x, axis, "log_softmax")
    away = data - largest
    return away - _log(sum(_exp(away), axis=axis, keepdims=True))


@array_function()
def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """The logarithm of the sum of exp(x) along `axis`, without overflow."""
    data, largest = _largest(x, axis, "logsumexp")
    finite = emit.unary(ops.ISFINITE, "logsumexp", largest)
    own = largest.__symc_operand__()
    shift = term.where(term.Term(finite.value), term.Term(own.value), term.zeros(own.type))
    kept_shift = Expr(Operand(shift.value, own.weak))
    made = _log(sum(_exp(data - kept_shift), axis=axis, keepdims=True)) + kept_shift
    if keepdims:
        return made
    axes = axis_numbers.several(axis, data.ndim, "logsumexp")
    total = made.__symc_operand__()
    kept = tuple(size for i, size in enumerate(total.type.shape) if i not in axes)
    return Expr(Operand(term.Term(total.value).reshape(kept).value, total.weak))


@array_function()
def one_hot(x: Any, /, num_classes: int | Dim, *, axis: int = -1, dtype: Any = None) -> Expr:
    """1 where the new `axis` equals the class x, else 0; other classes give rows of 0."""
    found = operand(x, "one_hot")
    if not is_int(found.dtype):
        raise DTypeError(
            message(
                "one_hot", got=found.type, expected="integers", where=here(), advice="astype('i64')"
            )
        )
    wanted = float64 if dtype is None else compiled_dtype(as_dtype(dtype), "one_hot")
    count: dims.Size = as_size(num_classes, "one_hot")
    rank = found.type.rank + 1
    place = axis_numbers.one(axis, rank, "one_hot")
    shape = (*found.type.shape[:place], count, *found.type.shape[place:])
    wide = term.Term(emit.cast(found, I64, "one_hot")).broadcast(
        shape, [i for i in range(rank) if i != place]
    )
    hit = term.make(ops.EQ, wide, term.iota(shape, place, I64))
    return Expr(Operand(hit.cast(np.dtype(wanted)).value))
