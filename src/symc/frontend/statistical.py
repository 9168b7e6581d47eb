"""Reductions over axes, and what is composed of them.

`axis`: None for all axes, an int, or a tuple of distinct ints.  `keepdims`: reduced axes stay, of
size 1. Sums of bools and integers are i64, those of floats keep their dtype, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import axes as axis_numbers
from symc.frontend import constraints, emit
from symc.frontend.dispatch import array_function, method
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand, operand, size_value
from symc.frontend.spec import as_dtype, compiled_dtype
from symc.ir import ops
from symc.ir.core import Value
from symc.ir.dims import Size, prove_le, size_product
from symc.ir.errors import DomainError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, F64, I64, is_float, is_int


def reduction(op: Op, value: Value, axes: tuple[int, ...], keepdims: bool) -> Value:
    """`op` over `axes`; without axes the value itself, where the op has nothing to combine."""
    if not axes:
        return value
    reduced = emit.value_of(op, (value,), {"axes": axes})
    if not keepdims:
        return reduced
    return Term(reduced).reshape(axis_numbers.kept(value.type.shape, axes)).value


def _accumulated(subject: str, x: Any, dtype: Any) -> Operand:
    found = operand(x, subject)
    if dtype is not None:
        wanted = compiled_dtype(as_dtype(dtype, subject=subject), subject)
        return Operand(emit.cast(found, wanted, subject))
    if found.dtype == BOOL or is_int(found.dtype):
        return Operand(emit.cast(found, I64, subject), found.weak)
    return found


@method
@array_function(np.sum)
def sum(x: Any, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Expr:
    """The sum over `axis`; 0 over nothing."""
    found = _accumulated("sum", x, dtype)
    axes = axis_numbers.several(axis, found.type.rank, "sum")
    return Expr(Operand(reduction(ops.SUM, found.value, axes, keepdims), found.weak))


@method
@array_function(np.prod)
def prod(x: Any, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Expr:
    """The product over `axis`; 1 over nothing."""
    found = _accumulated("prod", x, dtype)
    axes = axis_numbers.several(axis, found.type.rank, "prod")
    return Expr(Operand(reduction(ops.PROD, found.value, axes, keepdims), found.weak))


def _needs_element(x: Operand, axes: tuple[int, ...], subject: str) -> list[Any]:
    """What must hold so that there is something to choose from."""
    needed = []
    for axis in axes:
        size = x.type.shape[axis]
        if size == 0:
            raise DomainError(
                message(
                    f"{subject} over an empty axis",
                    got=f"{x.type}, axis {axis}",
                    expected="one element or more",
                    where=here(),
                )
            )
        if not prove_le(1, size):
            needed.append(
                constraints.at_least(size, 1, f"{subject}: axis {axis} must not be empty", "empty")
            )
    return needed


def _extreme(op: Op, logical: Op, subject: str, x: Any, axis: Any, keepdims: bool) -> Expr:
    found = operand(x, subject)
    axes = axis_numbers.several(axis, found.type.rank, subject)
    needed = _needs_element(found, axes, subject)
    made = reduction(logical if found.dtype == BOOL else op, found.value, axes, keepdims)
    return Expr(Operand(constraints.attach(made, needed), found.weak))


@method
@array_function(np.max, np.amax)
def max(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """The largest over `axis`, NaN when one is; DomainError over nothing."""
    return _extreme(ops.MAX, ops.ANY, "max", x, axis, keepdims)


@method
@array_function(np.min, np.amin)
def min(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """The smallest over `axis`, NaN when one is; DomainError over nothing."""
    return _extreme(ops.MIN, ops.ALL, "min", x, axis, keepdims)


def _position(op: Op, subject: str, x: Any, axis: Any, keepdims: bool) -> Expr:
    found = operand(x, subject)
    if isinstance(axis, tuple | list):
        raise UnsupportedError(
            message(f"{subject} over several axes", where=here(), advice="reshape, or axis=None")
        )
    axes = axis_numbers.several(axis, found.type.rank, subject)
    needed = _needs_element(found, axes, subject)
    value = found.value
    if found.dtype == BOOL:
        value = emit.cast(found, I64, subject)
    if not axes:
        return lift(np.zeros((), np.int64), subject)
    return Expr(Operand(constraints.attach(reduction(op, value, axes, keepdims), needed)))


@method
@array_function(np.argmax)
def argmax(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Expr:
    """Where the largest is (the first of equals, the first NaN), as i64; axis=None: row-major."""
    return _position(ops.ARGMAX, "argmax", x, axis, keepdims)


@method
@array_function(np.argmin)
def argmin(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Expr:
    """Where the smallest is (the first of equals, the first NaN), as i64; axis=None: row-major."""
    return _position(ops.ARGMIN, "argmin", x, axis, keepdims)


@method
@array_function(np.any)
def any(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """Whether some element is not 0."""
    value = emit.truth(operand(x, "any"))
    axes = axis_numbers.several(axis, value.type.rank, "any")
    return Expr(Operand(reduction(ops.ANY, value, axes, keepdims)))


@method
@array_function(np.all)
def all(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """Whether every element is not 0."""
    value = emit.truth(operand(x, "all"))
    axes = axis_numbers.several(axis, value.type.rank, "all")
    return Expr(Operand(reduction(ops.ALL, value, axes, keepdims)))


def floating(x: Any, subject: str) -> Operand:
    """An operand in floats: integers and bools become f64."""
    found = operand(x, subject)
    return found if is_float(found.dtype) else Operand(emit.cast(found, F64, subject), found.weak)


def count_of(sizes: tuple[Size, ...]) -> Expr:
    """The number of elements of some axes, as a weak scalar."""
    return Expr(Operand(size_value(size_product(sizes)), weak=True))


@method
@array_function(np.mean)
def mean(x: Any, /, axis: Any = None, keepdims: bool = False) -> Expr:
    """The mean over `axis`; NaN over nothing."""
    found = floating(x, "mean")
    axes = axis_numbers.several(axis, found.type.rank, "mean")
    total = Expr(Operand(reduction(ops.SUM, found.value, axes, keepdims), found.weak))
    return total / count_of(tuple(found.type.shape[axis] for axis in axes))


@array_function(np.var)
def variance(x: Any, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Expr:
    """The mean squared distance from the mean, over `n - correction`; two passes."""
    found = floating(x, "var")
    axes = axis_numbers.several(axis, found.type.rank, "var")
    data = Expr(found)
    away = data - mean(data, axis=axes, keepdims=True)
    total = sum(away * away, axis=axes, keepdims=keepdims)
    count = count_of(tuple(found.type.shape[axis] for axis in axes))
    return total / (count - correction if correction else count)


@method
@array_function(np.std)
def std(x: Any, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Expr:
    """The square root of the variance."""
    spread = variance(Expr(floating(x, "std")), axis=axis, correction=correction, keepdims=keepdims)
    return Expr(emit.on_floats(ops.SQRT, "std", spread))
