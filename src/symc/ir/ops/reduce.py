"""Reductions, and the one order in which their elements combine.

The order, over the row-major index i of the reduced axes: element i belongs to lane `i mod LANES`
of block `i div BLOCK`; lanes combine in order within a block; blocks combine pairwise lane by lane:
neighbours first, level by level, an odd one passing up; then the lanes combine by halving, lane j
with lane j + half.  Absent elements are the reducer's identity, which changes nothing.  An empty
sum is +0.

Generated code does exactly this for every layout, thread count and chunk, so all agree bit for bit.
`max` and `min` give NaN when an element is; `argmax` and `argmin` the first NaN, else the first
of the largest or smallest elements, and -1 where there is none.

Derivatives: `max` and `min` share the tangent equally among the elements that are equal to the
result (none when it is NaN); `prod` obeys the product rule for zeros too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Node
from symc.ir.dims import size_product
from symc.ir.errors import DomainError, DTypeError, ShapeError, message
from symc.ir.ops import attributes
from symc.ir.ops.define import NOT_A_FLOAT, NUMBERS, ORACLE, require_count, require_dtype
from symc.ir.ops.products import others
from symc.ir.ops.record import (
    Arrays,
    Derivative,
    EvaluateContext,
    Infer,
    Kind,
    Linear,
    Op,
    Reducer,
    Samples,
    Tangents,
)
from symc.ir.types import BOOL, F32, F64, I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

LANES: Final = 64
BLOCK: Final = 4096

Lanes = tuple[np.ndarray, ...]
Types = Sequence[TensorType]

_LAST_INDEX = 2**63 - 1


# --- reducers ------------------------------------------------------------------------------------


def _lowest(dtype: np.dtype) -> float | int:
    return -float("inf") if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _highest(dtype: np.dtype) -> float | int:
    return float("inf") if dtype.kind == "f" else int(np.iinfo(dtype).max)


def _single(
    name: str,
    identity: Callable[[np.dtype], float | int | bool],
    combine: Callable[[Any, Any, Any], Any],
    *,
    exact: bool = False,
) -> Reducer:
    """A reducer that carries the running value alone."""
    return Reducer(
        name,
        identity=lambda dtype: (identity(dtype),),
        combine=lambda b, left, right: (combine(b, left[0], right[0]),),
        start=lambda b, x, index: (x,),
        finish=lambda b, carried: carried[0],
        carried=lambda dtype: (dtype,),
        exact=exact,
    )


def _winner(
    name: str,
    identity: Callable[[np.dtype], float | int],
    beats: Callable[[Any, Any, Any], Any],
) -> Reducer:
    """A reducer that carries the winning value and its index; the first of equals wins."""

    def combine(b: Any, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        (x, i), (y, j) = left, right
        wins, ties = beats(b, x, y), b.eq(x, y)
        if b.dtype(x).kind == "f":
            x_nan, y_nan = b.ne(x, x), b.ne(y, y)
            wins = b.bor(wins, b.band(x_nan, b.bnot(y_nan)))
            ties = b.bor(ties, b.band(x_nan, y_nan))
        stays = b.bor(wins, b.band(ties, b.lt(i, j)))
        return b.select(stays, x, y), b.select(stays, i, j)

    def finish(b: Any, carried: tuple[Any, ...]) -> Any:
        index = carried[1]
        none = b.eq(index, b.const(_LAST_INDEX, I64))
        return b.select(none, b.const(-1, I64), index)

    return Reducer(
        name,
        identity=lambda dtype: (identity(dtype), _LAST_INDEX),
        combine=combine,
        start=lambda b, x, index: (x, index),
        finish=finish,
        carried=lambda dtype: (dtype, I64),
        exact=True,
    )


ADDED: Final = _single(
    "sum", lambda dtype: -0.0 if dtype.kind == "f" else 0, lambda b, x, y: b.add(x, y)
)
MULTIPLIED: Final = _single("prod", lambda dtype: 1, lambda b, x, y: b.mul(x, y))
LARGEST: Final = _single("max", _lowest, lambda b, x, y: b.maximum(x, y), exact=True)
SMALLEST: Final = _single("min", _highest, lambda b, x, y: b.minimum(x, y), exact=True)
SOME: Final = _single("any", lambda dtype: False, lambda b, x, y: b.bor(x, y), exact=True)
EVERY: Final = _single("all", lambda dtype: True, lambda b, x, y: b.band(x, y), exact=True)
FIRST_LARGEST: Final = _winner("argmax", _lowest, lambda b, x, y: b.gt(x, y))
FIRST_SMALLEST: Final = _winner("argmin", _highest, lambda b, x, y: b.lt(x, y))


# --- the tree ------------------------------------------------------------------------------------


def combine_tree(reducer: Reducer, x: np.ndarray) -> np.ndarray:
    """Reduce the last axis of `x` (rows, n) in the order of this module; n may be 0."""
    rows, n = x.shape
    index = np.broadcast_to(np.arange(n, dtype=np.int64), x.shape)
    started = reducer.start(ORACLE, x, index)
    # With fewer elements than lanes, the lanes beyond the next power of two stay empty.
    lanes = min(LANES, 1 << max(n - 1, 0).bit_length())
    block = BLOCK if n > BLOCK else max(1, -(-n // lanes)) * lanes
    blocks = max(1, -(-n // block))
    acc = tuple(
        _padded(part, value, blocks * block).reshape(rows, blocks, block // lanes, lanes)
        for part, value in zip(started, reducer.identity(x.dtype), strict=True)
    )
    acc = _in_order(reducer, acc)
    while acc[0].shape[1] > 1:
        acc = _neighbours(reducer, acc)
    while (half := acc[0].shape[2] // 2) > 0:
        low, high = tuple(a[..., :half] for a in acc), tuple(a[..., half:] for a in acc)
        acc = reducer.combine(ORACLE, low, high)
    result = np.asarray(reducer.finish(ORACLE, tuple(a[:, 0, 0] for a in acc)))
    return result + result.dtype.type(0) if n == 0 and result.dtype.kind == "f" else result


def _padded(part: np.ndarray, identity: float, length: int) -> np.ndarray:
    rows, n = part.shape
    if n == length:
        return part
    whole = np.full((rows, length), identity, part.dtype)
    whole[:, :n] = part
    return whole


def _in_order(reducer: Reducer, acc: Lanes) -> Lanes:
    """Combine axis 2 from first to last."""
    steps = acc[0].shape[2]
    total: Lanes = tuple(a[:, :, 0] for a in acc)
    for step in range(1, steps):
        total = reducer.combine(ORACLE, total, tuple(a[:, :, step] for a in acc))
    return total


def _neighbours(reducer: Reducer, acc: Lanes) -> Lanes:
    """Combine blocks 0 and 1, 2 and 3, ...; a last odd one stays."""
    even = acc[0].shape[1] // 2 * 2
    left = tuple(a[:, 0:even:2] for a in acc)
    merged = reducer.combine(ORACLE, left, tuple(a[:, 1:even:2] for a in acc))
    return tuple(np.concatenate([m, a[:, even:]], axis=1) for m, a in zip(merged, acc, strict=True))


# --- records -------------------------------------------------------------------------------------


def _infer(
    name: str, accepted: Sequence[str], result: np.dtype | None, *, needs_element: bool
) -> Infer:
    def infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
        require_count(name, types, 1)
        require_dtype(name, types[0], accepted)
        axes = attributes.axes_in(attrs, "axes", types[0].rank, ascending=True)
        if needs_element and any(types[0].shape[axis] == 0 for axis in axes):
            raise DomainError(
                message(f"{name} of no elements", got=types[0], expected="one or more")
            )
        shape = tuple(size for axis, size in enumerate(types[0].shape) if axis not in axes)
        return (TensorType(result or types[0].dtype, shape),)

    return infer


def kept_axes(rank: int, axes: Sequence[int]) -> list[int]:
    """The axes that a reduction over `axes` leaves."""
    return [axis for axis in range(rank) if axis not in axes]


def _reduction(
    reducer: Reducer,
    derivative: Derivative,
    *,
    accepted: Sequence[str] = NUMBERS,
    result: np.dtype | None = None,
    needs_element: bool = False,
) -> Op:
    def evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
        axes = attributes.integers(node.attrs, "axes")
        kept = kept_axes(arrays[0].ndim, axes)
        x = arrays[0].transpose([*kept, *axes])
        shape = x.shape[: len(kept)]
        count = int(np.prod(x.shape[len(kept) :], dtype=np.int64))
        rows = int(np.prod(shape, dtype=np.int64))
        return (combine_tree(reducer, x.reshape(rows, count)).reshape(shape),)

    def batch(
        operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs
    ) -> tuple[Term, int]:
        (x,) = term.batched(operands, axes)
        reduced = tuple(axis + 1 for axis in attributes.integers(attrs, "axes"))
        return term.Term(apply(op, (x.value,), {"axes": reduced}).results[0]), 0

    op = Op(
        reducer.name,
        Kind.REDUCE,
        1,
        _infer(reducer.name, accepted, result, needs_element=needs_element),
        evaluate,
        _samples(accepted, needs_element=needs_element),
        reducer=lambda attrs: reducer,
        derivative=derivative,
        batch=batch,
    )
    return op


def _samples(accepted: Sequence[str], *, needs_element: bool) -> Samples:
    a = TensorType(BOOL if "bool" in accepted else F32, (3, 4))
    b = TensorType(BOOL if "bool" in accepted else F64, (2, 3, 2))
    wrong = TensorType(F32 if "bool" in accepted else BOOL, (3,))
    empty = a.with_shape((0, 2))
    cases: list[tuple[tuple[TensorType, ...], Attrs]] = [
        ((a,), {"axes": (0,)}),
        ((a,), {"axes": (0, 1)}),
        ((b,), {"axes": (1,)}),
        ((b,), {"axes": (0, 2)}),
        ((a,), {"axes": ()}),
        ((empty,), {"axes": (1,)}),
    ]
    errors: list[tuple[tuple[TensorType, ...], Attrs, type[Exception]]] = [
        ((a,), {"axes": (2,)}, DomainError),
        ((a,), {"axes": (0, 0)}, DomainError),
        ((a,), {"axes": (1, 0)}, DomainError),
        ((a,), {}, DomainError),
        ((a, a), {"axes": (0,)}, ShapeError),
        ((wrong,), {"axes": (0,)}, DTypeError),
    ]
    if needs_element:
        errors.append(((empty,), {"axes": (0,)}, DomainError))
    else:
        cases.append(((empty,), {"axes": (0,)}))
    return Samples(tuple(accepted), cases=tuple(cases), errors=tuple(errors))


def _sum_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    shape = operands[0].shape
    return ct.broadcast(shape, kept_axes(len(shape), attributes.integers(attrs, "axes")))


def _extreme_tangent(t: Term, y: Term, operands: Sequence[Term], attrs: Attrs) -> Term:
    (x,) = operands
    axes = attributes.integers(attrs, "axes")
    chosen = x.eq(y.broadcast(x.shape, kept_axes(x.rank, axes)))
    total = term.where(chosen, t, 0).sum(axes)
    return term.scale(total, 1 / chosen.cast(t.dtype).sum(axes))


def _product_tangent(t: Term, y: Term, operands: Sequence[Term], attrs: Attrs) -> Term:
    """The product rule, to any order, also where factors are 0."""
    (x,) = operands
    axes = attributes.integers(attrs, "axes")
    if 0 in (x.shape[axis] for axis in axes):
        return t.sum(axes)
    kept = kept_axes(x.rank, axes)
    count = size_product(tuple(x.shape[axis] for axis in axes))
    shape = tuple(x.shape[axis] for axis in kept)
    x = x.permute([*kept, *axes]).reshape((*shape, count))
    t = t.permute([*kept, *axes]).reshape((*shape, count))
    if isinstance(count, int):
        return _tree_tangent(x, t, count).reshape(shape)
    return term.scale(t, _others(x)).sum([x.rank - 1])


def _tree_tangent(x: Term, t: Term, count: int) -> Term:
    """The product rule over a balanced tree along the last axis, which becomes 1 long."""
    last = x.rank - 1
    while count > 1:
        half = count // 2
        left, right = x.narrow(last, 0, half), x.narrow(last, half, half)
        t_left, t_right = t.narrow(last, 0, half), t.narrow(last, half, half)
        product, moved = left * right, term.scale(t_left, right) + term.scale(t_right, left)
        if count % 2:
            product = term.concat([product, x.narrow(last, count - 1, 1)], last)
            moved = term.concat([moved, t.narrow(last, count - 1, 1)], last)
        x, t, count = product, moved, half + count % 2
    return t


def _others(x: Term) -> Term:
    """The product of the other elements along the last axis, whose size is not known."""
    last = x.rank - 1

    def everywhere(reduced: Term) -> Term:
        return reduced.broadcast(x.shape, range(last))

    def first(mask: Term) -> Term:
        place = term.make(ARGMAX, mask.cast(I64), axes=(last,))
        return mask & term.iota(x.shape, last).eq(everywhere(place))

    return others(
        x,
        lambda factors: everywhere(term.make(PROD, factors, axes=(last,))),
        lambda parts: everywhere(parts.sum([last])),
        first,
    )


SUM: Final = _reduction(ADDED, Linear((0,), _sum_transpose))
PROD: Final = _reduction(MULTIPLIED, Tangents((_product_tangent,)))
MAX: Final = _reduction(LARGEST, Tangents((_extreme_tangent,)), needs_element=True)
MIN: Final = _reduction(SMALLEST, Tangents((_extreme_tangent,)), needs_element=True)
ANY: Final = _reduction(SOME, NOT_A_FLOAT, accepted=("bool",))
ALL: Final = _reduction(EVERY, NOT_A_FLOAT, accepted=("bool",))
ARGMAX: Final = _reduction(FIRST_LARGEST, NOT_A_FLOAT, result=I64, needs_element=True)
ARGMIN: Final = _reduction(FIRST_SMALLEST, NOT_A_FLOAT, result=I64, needs_element=True)
