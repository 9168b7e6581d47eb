"""New arrays: NumPy's where shape and contents are known, symbolic where they hold a Dim."""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import emit
from symc.frontend.concrete import in_trace
from symc.frontend.convert import as_array
from symc.frontend.dims import Dim, as_shape, as_size
from symc.frontend.dispatch import stands_for
from symc.frontend.expr import Expr, lift
from symc.frontend.manipulation import stack
from symc.frontend.operand import Operand, is_symbolic, mentions_symbolic, operand, read
from symc.frontend.spec import as_dtype, compiled_dtype, float64
from symc.ir import dims, term
from symc.ir.errors import DomainError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import BOOL, I64


def full(shape: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    """Every element `fill_value` (a number or a scalar array)."""
    sizes = as_shape(shape, "full")
    if not mentions_symbolic((shape, fill_value)):
        chosen = None if dtype is None else as_dtype(dtype, subject="full")
        return in_trace(np.full(sizes, filling(fill_value, chosen), chosen))
    found = operand(fill_value, "full")
    if dtype is not None:
        wanted = compiled_dtype(as_dtype(dtype, subject="full"), "full")
        found = Operand(emit.cast(read(fill_value, "full"), wanted, "full"))
    return Expr(Operand(emit.stretch(found.value, sizes)))


def filling(value: Any, dtype: np.dtype | None) -> np.ndarray:
    """A concrete fill value, checked."""
    array = as_array(value, "full")
    if dtype is not None and dtype.kind in "iu" and not np.isfinite(array).all():
        raise DomainError(
            message("full: not an integer", got=value, expected=dtype.name, where=here())
        )
    return array


def zeros(shape: Any, *, dtype: Any = None) -> Any:
    """Zeros; f64 when no dtype is given."""
    return full(shape, 0, dtype=float64 if dtype is None else dtype)


def ones(shape: Any, *, dtype: Any = None) -> Any:
    """Ones; f64 when no dtype is given."""
    return full(shape, 1, dtype=float64 if dtype is None else dtype)


def empty(shape: Any, *, dtype: Any = None) -> Any:
    """Zeros: symc has no undefined contents."""
    return zeros(shape, dtype=dtype)


@stands_for(np.full_like)
def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None) -> Any:
    """`fill_value` in the shape, and unless given the dtype, of x."""
    like = x if is_symbolic(x) else as_array(x, "full_like")
    return full(like.shape, fill_value, dtype=like.dtype if dtype is None else dtype)


@stands_for(np.zeros_like)
def zeros_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Zeros in the shape, and unless given the dtype, of x."""
    return full_like(x, 0, dtype=dtype)


@stands_for(np.ones_like)
def ones_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Ones in the shape, and unless given the dtype, of x."""
    return full_like(x, 1, dtype=dtype)


@stands_for(np.empty_like)
def empty_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Zeros in the shape, and unless given the dtype, of x."""
    return full_like(x, 0, dtype=dtype)


def asarray(obj: Any, /, *, dtype: Any = None, copy: bool | None = None) -> Any:
    """An array-like as an ndarray; symbolic values, and nested lists with such, are symbolic."""
    if mentions_symbolic(obj):
        found = _assembled(obj)
        return found if dtype is None else found.astype(dtype)
    array = as_array(obj, "asarray")
    if dtype is not None:
        array = array.astype(as_dtype(dtype, subject="asarray"), copy=False)
    return in_trace(np.array(array, copy=True) if copy else array)


def _assembled(obj: Any) -> Expr:
    """A symbolic value, or a nested list of arrays of one shape, as one array."""
    if not isinstance(obj, list | tuple):
        return lift(obj, "asarray")
    parts = [_assembled(part) if mentions_symbolic(part) else part for part in obj]
    return stack(parts)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    """start, start + step, ... below stop; sizes may be Dims, symbolic values may not."""
    if not mentions_symbolic((start, stop, step)):
        chosen: Any = None if dtype is None else as_dtype(dtype, subject="arange")
        first, last = (0, start) if stop is None else (start, stop)
        return in_trace(np.arange(first, last, step, dtype=chosen))
    first, last = (0, start) if stop is None else (start, stop)
    low, high = as_size(first, "arange"), as_size(last, "arange")
    if not isinstance(step, int) or isinstance(step, bool) or step == 0:
        raise DomainError(
            message(
                "arange: step beside symbolic sizes",
                got=repr(step),
                expected="an int, not 0",
                where=here(),
            )
        )
    extent = dims.maximum((high - low) if step > 0 else (low - high), 0)
    count = dims.floordiv(extent + (abs(step) - 1), abs(step))
    made = Expr(Operand(term.iota((count,), 0, I64).value))
    made = made * step + (Dim(low) if isinstance(low, dims.Dim) else low)
    return made if dtype is None else made.astype(dtype)


def linspace(
    start: Any, stop: Any, /, num: Any, *, dtype: Any = None, endpoint: bool = True
) -> Any:
    """`num` evenly spaced values from start to stop, in f64 unless given."""
    if not mentions_symbolic((start, stop, num)):
        chosen = None if dtype is None else as_dtype(dtype, subject="linspace")
        return in_trace(np.linspace(start, stop, num, endpoint=endpoint, dtype=chosen))
    count = as_size(num, "linspace")
    if isinstance(count, int) and count < 0:
        raise DomainError(message("linspace: num", got=count, expected=">= 0", where=here()))
    places = Expr(Operand(term.iota((count,), 0, I64).value)).astype("f64")
    gaps = dims.maximum(count - 1 if endpoint else count, 1)
    width = lift(stop, "linspace") - start
    values = places * (width / (Dim(gaps) if isinstance(gaps, dims.Dim) else gaps)) + start
    if endpoint:
        last = places == (Dim(count) - 1 if isinstance(count, dims.Dim) else count - 1)
        inner = dims.prove_le(2, count) if isinstance(count, int) else True
        if inner:
            values = _ending(values, last, stop)
    return values if dtype is None else values.astype(dtype)


def _ending(values: Expr, last: Expr, stop: Any) -> Expr:
    """`values` with exactly `stop` at the end."""
    end, _, _ = emit.promoted("linspace", values, stop)
    mask, left, right = emit.together([last.__symc_operand__().value, end[1], end[0]], "linspace")
    return Expr(Operand(term.where(Term(mask), Term(left), Term(right)).value))


def eye(n_rows: Any, n_cols: Any = None, /, *, k: int = 0, dtype: Any = None) -> Any:
    """Ones on diagonal `k`, zeros elsewhere."""
    columns = n_rows if n_cols is None else n_cols
    chosen = float64 if dtype is None else as_dtype(dtype, subject="eye")
    if not mentions_symbolic((n_rows, columns)):
        return in_trace(np.eye(n_rows, columns, k, chosen))
    shape = as_shape((n_rows, columns), "eye")
    rows = Expr(Operand(term.iota(shape, 0, I64).value))
    cols = Expr(Operand(term.iota(shape, 1, I64).value))
    return (cols == rows + k).astype(compiled_dtype(chosen, "eye"))


def _band(x: Any, k: int, subject: str, *, below: bool) -> Any:
    symbolic = is_symbolic(x)
    if not symbolic:
        array = as_array(x, subject)
        return in_trace(np.tril(array, k) if below else np.triu(array, k))
    found = lift(x, subject)
    if found.ndim < 2:
        raise DomainError(
            message(subject, got=found.type, expected="a matrix or more", where=here())
        )
    rows = term.iota(found.type.shape, found.ndim - 2, I64)
    cols = term.iota(found.type.shape, found.ndim - 1, I64)
    edge = rows + k
    inside = cols.le(edge) if below else cols.ge(edge)
    own = Term(found.__symc_operand__().value)
    zero = term.zeros(own.type) if own.dtype != BOOL else term.full(own.shape, False, BOOL)
    return Expr(Operand(term.where(inside, own, zero).value))


@stands_for(np.tril)
def tril(x: Any, /, *, k: int = 0) -> Any:
    """x with zeros above diagonal `k` of the last two axes."""
    return _band(x, k, "tril", below=True)


@stands_for(np.triu)
def triu(x: Any, /, *, k: int = 0) -> Any:
    """x with zeros below diagonal `k` of the last two axes."""
    return _band(x, k, "triu", below=False)
