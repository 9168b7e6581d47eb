"""Replace named dims by sizes throughout a function.

before: a function over symbolic sizes.  after: a new function in which each named dim is the size
given for it, regions included; types are inferred anew, so a size that does not fit raises
ShapeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symc.ir.build import apply
from symc.ir.core import Attr, Function, Value
from symc.ir.dims import Dim, Size, substitute
from symc.ir.types import TensorType


def specialise(function: Function, sizes: Mapping[str, Size]) -> Function:
    """`function` with the dims named in `sizes` replaced; itself when there are none."""
    if not sizes:
        return function
    replaced: dict[Value, Value] = {}
    for param in function.params:
        replaced[param] = Value(_type(param.type, sizes), name=param.name)
    nodes = []
    for node in function.nodes:
        made = apply(
            node.op,
            [replaced[operand] for operand in node.operands],
            {name: _attr(value, sizes) for name, value in node.attrs.items()},
            regions=tuple(specialise(region, sizes) for region in node.regions),
            locations=node.locations,
        )
        nodes.append(made)
        replaced.update(zip(node.results, made.results, strict=True))
    constraints = tuple(
        replace(c, left=substitute(c.left, sizes), right=substitute(c.right, sizes))
        for c in function.constraints
    )
    params = tuple(replaced[param] for param in function.params)
    results = tuple(replaced[result] for result in function.results)
    return Function(function.name, params, tuple(nodes), results, constraints)


def _type(type: TensorType, sizes: Mapping[str, Size]) -> TensorType:
    return type.with_shape(tuple(substitute(size, sizes) for size in type.shape))


def _attr(value: Attr, sizes: Mapping[str, Size]) -> Attr:
    if isinstance(value, Dim):
        return substitute(value, sizes)
    if isinstance(value, tuple):
        return tuple(_attr(item, sizes) for item in value)
    return value
