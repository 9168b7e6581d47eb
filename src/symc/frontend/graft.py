"""Grafting: a graph copied onto other values and sizes.

before: results of a free graph, values to replace, and sizes for its names.  after: new results in
which each replaced value stands for its substitute; nodes that neither reach are shared, not
copied. Types are inferred anew, and constraints go along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from symc.frontend import constraints
from symc.frontend.emit import value_of
from symc.frontend.trace import attr_symbols
from symc.ir import dims, ops
from symc.ir.binding import bound_by, fresh_dim, sourced
from symc.ir.build import apply
from symc.ir.core import Attr, Constraint, Node, Value, nodes_so_far, reachable_whole
from symc.ir.dims import Size, substitute, symbols
from symc.ir.errors import ShapeError, message
from symc.ir.locations import here
from symc.ir.specialise import rebound
from symc.ir.types import TensorType

Sizes = Mapping[str, Size]


def graft(results: Sequence[Value], replaced: Mapping[Value, Value], sizes: Sizes) -> list[Value]:
    """`results` over the substitutes in `replaced`, with named sizes as in `sizes`."""
    current = dict(replaced)
    sizes = dict(sizes)
    nodes, _ = reachable_whole(results, stop=replaced)
    for node in nodes:
        if not _touched(node, current, sizes):
            continue
        own = bound_by(node)
        if own is not None:
            sizes.setdefault(own.name, fresh_dim(nodes_so_far()))
        operands = [current.get(operand, operand) for operand in node.operands]
        attrs = {name: _attr(value, sizes) for name, value in node.attrs.items()}
        regions = tuple(rebound(region, sizes) for region in node.regions)
        made = apply(node.op, operands, attrs, regions=regions, locations=node.locations)
        sourced(made)
        for old, new in zip(node.results, made.results, strict=True):
            current[old] = new
            constraints.attach(new, _moved(constraints.of(old), sizes))
    return [current.get(result, result) for result in results]


def _touched(node: Node, current: Mapping[Value, Value], sizes: Sizes) -> bool:
    if any(operand in current for operand in node.operands):
        return True
    return bool(sizes) and any(
        symbol.name in sizes for attr in node.attrs.values() for symbol in attr_symbols(attr)
    )


def _attr(value: Attr, sizes: Sizes) -> Attr:
    if isinstance(value, dims.Dim):
        return substitute(value, sizes)
    if isinstance(value, tuple):
        return tuple(_attr(item, sizes) for item in value)
    return value


def _moved(found: Sequence[Constraint], sizes: Sizes) -> list[Constraint]:
    return [
        replace(c, left=substitute(c.left, sizes), right=substitute(c.right, sizes)) for c in found
    ]


def bind_sizes(
    declared: Sequence[TensorType], given: Sequence[Value], names: Sequence[str], subject: str
) -> tuple[dict[str, Size], list[Value]]:
    """Named sizes of `declared` as `given` has them, and `given` reshaped to exactly those types.

    ShapeError for ranks or sizes that cannot agree; sizes that may agree become constraints.
    """
    sizes: dict[str, Size] = {}
    for type, value, name in zip(declared, given, names, strict=True):
        if type.rank != value.type.rank:
            raise _mismatch(f"{subject}: {name}", value.type, type)
        for size, got in zip(type.shape, value.type.shape, strict=True):
            found = symbols(size)
            if len(found) == 1 and str(size) == (own := next(iter(found)).name):
                sizes.setdefault(own, got)
    fitted = [
        fit(value, type, f"{subject}: {name}", sizes)
        for type, value, name in zip(declared, given, names, strict=True)
    ]
    return sizes, fitted


def fit(value: Value, type: TensorType, subject: str, sizes: Sizes | None = None) -> Value:
    """`value` in exactly the shape of `type`, with the names in `sizes` replaced.

    ShapeError when it cannot be; sizes that may agree become constraints.
    """
    if type.rank != value.type.rank:
        raise _mismatch(subject, value.type, type)
    shape = tuple(substitute(size, sizes or {}) for size in type.shape)
    needed = []
    for size, got in zip(shape, value.type.shape, strict=True):
        equal = dims.prove_equal(size, got)
        if equal is False:
            raise _mismatch(subject, value.type, type)
        if equal is None:
            needed.append(constraints.must_equal(size, got, subject))
    if shape == value.type.shape:
        return value
    return constraints.attach(value_of(ops.RESHAPE, (value,), {"shape": shape}), needed)


def _mismatch(subject: str, got: TensorType, declared: TensorType) -> ShapeError:
    return ShapeError(message(f"{subject}: wrong shape", got=got, expected=declared, where=here()))
