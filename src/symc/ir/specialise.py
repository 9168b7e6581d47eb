"""Replace named dims by sizes throughout a function.

before: a function over symbolic sizes.  after: a new function in which each named dim is the size
given for it, regions included; types are inferred anew, so a size that does not fit raises
ShapeError.  What a copy binds is a dim of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symc.ir.binding import bound_by, bound_counts, fresh_dim, has_binders, sourced
from symc.ir.build import apply
from symc.ir.core import Attr, Attrs, Function, Value, nodes_behind, nodes_so_far
from symc.ir.dims import Dim, Size, substitute
from symc.ir.types import TensorType


def specialise(function: Function, sizes: Mapping[str, Size]) -> Function:
    """`function` with the dims named in `sizes` replaced; itself when there are none."""
    return _copied(function, sizes) if sizes else function


def rebound(region: Function, sizes: Mapping[str, Size]) -> Function:
    """The same for a region that stands in two places: it binds dims of its own in each."""
    return _copied(region, sizes) if sizes or has_binders(region) else region


def cloned(function: Function) -> Function:
    """A copy with values of its own, without nodes that nothing needs."""
    copy = _copied(function, {})
    nodes = nodes_behind(copy.results, copy.params, bound_counts(copy.nodes))
    return replace(copy, nodes=tuple(nodes))


def _copied(function: Function, sizes: Mapping[str, Size]) -> Function:
    known = dict(sizes)
    replaced: dict[Value, Value] = {}
    for param in function.params:
        replaced[param] = Value(_type(param.type, sizes), name=param.name)
    nodes = []
    for node in function.nodes:
        own = bound_by(node)
        if own is not None and own.name not in known:
            known[own.name] = fresh_dim(nodes_so_far())
        made = apply(
            node.op,
            [replaced[operand] for operand in node.operands],
            renamed(node.attrs, known),
            regions=tuple(rebound(region, known) for region in node.regions),
            locations=node.locations,
        )
        nodes.append(sourced(made))
        replaced.update(zip(node.results, made.results, strict=True))
    constraints = tuple(
        replace(c, left=substitute(c.left, known), right=substitute(c.right, known))
        for c in function.constraints
    )
    params = tuple(replaced[param] for param in function.params)
    results = tuple(replaced[result] for result in function.results)
    return Function(function.name, params, tuple(nodes), results, constraints)


def renamed(attrs: Attrs, sizes: Mapping[str, Size]) -> dict[str, Attr]:
    """Attributes with dims replaced."""
    return {name: _attr(value, sizes) for name, value in attrs.items()}


def _type(type: TensorType, sizes: Mapping[str, Size]) -> TensorType:
    return type.with_shape(tuple(substitute(size, sizes) for size in type.shape))


def _attr(value: Attr, sizes: Mapping[str, Size]) -> Attr:
    if isinstance(value, Dim):
        return substitute(value, sizes)
    if isinstance(value, tuple):
        return tuple(_attr(item, sizes) for item in value)
    return value
