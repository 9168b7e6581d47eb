"""Making nodes: the one place where operands are typed, attributes normalised and places recorded.

before: an op record, operand values and attributes.  after: a Node with inferred result types.
Nothing is simplified here.

Invariant: a node's locations are the ones asked for; else those of the enclosing `placed_at`; else
the innermost user frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from symc.ir.binding import binders
from symc.ir.core import Attr, Attrs, Function, Locations, Node, Value
from symc.ir.dims import Size
from symc.ir.errors import ShapeError, SymcError, SymcOverflowError, message, placed
from symc.ir.locations import here
from symc.ir.ops.record import Op
from symc.ir.types import TensorType

LIMIT = 2**63

_place: ContextVar[Locations | None] = ContextVar("place", default=None)


def apply(
    op: Op,
    operands: Sequence[Value],
    attrs: Attrs | None = None,
    *,
    regions: tuple[Function, ...] = (),
    locations: Locations | None = None,
) -> Node:
    """A node of `op`.

    Raises ShapeError, DTypeError or DomainError when the operands or attributes do not fit, and
    SymcOverflowError when a result would have 2**63 bytes or more; each names the user's line.
    """
    if locations is None:
        locations = _place.get() or (here(),)
    normal = {name: normalised(value) for name, value in (attrs or {}).items()}
    try:
        types = infer(op, tuple(operand.type for operand in operands), normal, regions)
    except SymcError as error:
        raise placed(error, locations[0]) from None
    return Node(op, tuple(operands), normal, types, regions=regions, locations=locations)


def infer(
    op: Op, types: Sequence[TensorType], attrs: Attrs, regions: tuple[Function, ...] = ()
) -> tuple[TensorType, ...]:
    """Result types of `op`, checked to be sizes that exist."""
    if len(regions) != op.regions and (op.regions >= 0 or not regions):
        raise ShapeError(message(f"{op.name}: regions", got=len(regions), expected=op.regions))
    if op.infer_regions is not None:
        for region in regions:
            _check_inner(op, region)
        results = op.infer_regions(types, attrs, regions)
    else:
        results = op.infer(types, attrs)
    for type in results:
        check_type(op.name, type)
    return results


def _check_inner(op: Op, region: Function) -> None:
    """Refuse a result as large as only the region knows."""
    bound = binders(region.nodes)
    for result in region.results if bound else ():
        if not bound.keys().isdisjoint(result.type.symbols()):
            raise ShapeError(
                message(
                    f"{op.name}: a result of {region.name} has as many rows as steps ran inside",
                    got=result.type,
                    expected="sizes that are the same each time it runs",
                    advice="reduce the rows inside, or return their last one",
                )
            )


def check_type(subject: str, type: TensorType) -> None:
    """Refuse negative static sizes and tensors of 2**63 bytes or more."""
    total = type.dtype.itemsize
    for size in type.shape:
        if isinstance(size, int):
            if size < 0:
                raise ShapeError(message(f"{subject}: negative size", got=type))
            total *= size if size else 1
    if total >= LIMIT and 0 not in type.shape:
        raise SymcOverflowError(
            message(f"{subject}: too large", got=type, expected="below 2**63 bytes")
        )
    if any(isinstance(size, int) and size >= LIMIT for size in type.shape):
        raise SymcOverflowError(message(f"{subject}: size above 64 bits", got=type))


def normalised(value: object) -> Attr:
    """An attribute value in its one form: Python numbers, tuples, dtypes."""
    if isinstance(value, list | tuple):
        return tuple(normalised(item) for item in value)
    if isinstance(value, np.generic):
        return normalised(value.item())
    if isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value)
    return value  # type: ignore[return-value]


@contextmanager
def placed_at(locations: Locations) -> Iterator[None]:
    """Nodes made inside without locations of their own get `locations`."""
    token = _place.set(locations)
    try:
        yield
    finally:
        _place.reset(token)


def parameter(name: str | None, dtype: np.dtype, shape: Sequence[Size] = ()) -> Value:
    """A function parameter."""
    type = TensorType(dtype, tuple(shape))
    check_type(name or "parameter", type)
    return Value(type, name=name)
