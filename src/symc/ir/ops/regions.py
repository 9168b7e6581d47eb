"""What operations that run a closed region on their operands share.

Before differentiation such an op keeps its region apart; afterwards `inline` puts the region in its
place.  Its types and its value are those of region 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far
from symc.ir.errors import ShapeError, message
from symc.ir.ops.record import Arrays, BatchContext, Derive, EvaluateContext
from symc.ir.rewriter import closed_over, spliced
from symc.ir.types import TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]
Moved = Sequence[Value | None]
Placed = Sequence[tuple["Term", int | None]]


def no_region(name: str, expected: int) -> NoReturn:
    """Refuse a node without its regions."""
    raise ShapeError(message(f"{name}: regions", got=0, expected=expected))


def region_types(types: Types, region: Function) -> tuple[TensorType, ...]:
    """The types of the region's results; ShapeError unless the operands are what it takes."""
    wanted = tuple(param.type for param in region.params)
    if tuple(types) != wanted:
        raise ShapeError(message(f"call of {region.name}", got=list(types), expected=list(wanted)))
    return tuple(result.type for result in region.results)


def fresh(region: Function) -> list[Value]:
    """New params like those of a region."""
    return [Value(param.type, name=param.name) for param in region.params]


def present(row: Iterable[Value | None]) -> list[Value]:
    """The values that are there."""
    return [value for value in row if value is not None]


def closed(
    name: str, params: Sequence[Value], results: Sequence[Value], since: int
) -> tuple[Function, list[Value]]:
    """As `closed_over`, the captured values as leading params."""
    made, captured = closed_over(name, params, results, since)
    count = len(params)
    moved = (*made.params[count:], *made.params[:count])
    return Function(made.name, moved, made.nodes, made.results, made.constraints), captured


def evaluated(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    """The oracle: region 0 on the operands."""
    return context.run(node.regions[0], arrays)


def pushed(tangents: Derive, node: Node, moved: Moved, attrs: Attrs) -> Sequence[Value | None]:
    """The tangents as one node of the same op, with `attrs`, over values and tangents."""
    (region,) = node.regions
    since = nodes_so_far()
    params = [Value(param.type, name=param.name) for param in region.params]
    moving = [i for i, tangent in enumerate(moved) if tangent is not None]
    along = [Value(params[i].type, name="tangent") for i in moving]
    found = tangents(spliced(region, params), [params[i] for i in moving], along, since)
    kept = [tangent for tangent in found if tangent is not None]
    inner, captured = closed_over(region.name, (*params, *along), kept, since)
    operands = [*node.operands, *(t for t in moved if t is not None), *captured]
    made = iter(apply(node.op, operands, attrs, regions=(inner,)).results)
    return [None if tangent is None else next(made) for tangent in found]


def batched(
    context: BatchContext,
    node: Node,
    operands: Sequence[Term],
    axes: Sequence[int | None],
    attrs: Attrs | None = None,
    every: bool = False,
) -> Placed:
    """The op on the batched region; with `every`, all results have the batch axis."""
    marks = [axis is not None for axis in axes]
    forced = (True,) * len(node.results) if every else None
    region, has_axis = context.function(node.regions[0], marks, forced)
    moved = [
        x if axis is None else x.move_axis(axis, 0) for x, axis in zip(operands, axes, strict=True)
    ]
    made = apply(
        node.op,
        [x.value for x in moved],
        node.attrs if attrs is None else attrs,
        regions=(region,),
    )
    pairs = zip(made.results, has_axis, strict=True)
    return [(term.Term(result), 0 if mark else None) for result, mark in pairs]
