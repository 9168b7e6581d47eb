"""`scan`: a body run once per step, with values carried from step to step.

Operands stand in three groups: `consts | carries | xs`.  The region takes the same three, each x
without its leading axis, and then the number of the step (an i64 scalar); it gives the new carries
and then the ys.  Results: the last carries, and each y stacked along a new leading axis.
`reverse`: step t, for t = length - 1 ... 0, reads xs[t] and writes ys[t].  `kept`, which the
compiler sets when derivatives have been taken, says which rows of each y there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir.core import Attrs, Function, Node
from symc.ir.errors import ShapeError, message
from symc.ir.ops import regions
from symc.ir.ops.loop_groups import Groups, groups, read_groups, stacked_type
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, Modes, Op, Samples
from symc.ir.ops.regions import Types
from symc.ir.ops.scan_batch import batched
from symc.ir.ops.scan_modes import pull, push
from symc.ir.types import I64, TensorType


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    (body,) = inner
    parts = read_groups(len(types), attrs)
    consts, carries, xs = parts.split(types)
    for x in xs:
        if not x.rank or x.shape[0] != parts.length:
            raise ShapeError(
                message("scan: a sequence", got=x, expected=f"leading axis {parts.length}")
            )
    step = [x.with_shape(x.shape[1:]) for x in xs]
    wanted = [*consts, *carries, *step, TensorType(I64, ())]
    found = [param.type for param in body.params]
    if found != wanted:
        raise ShapeError(message(f"scan: params of {body.name}", got=found, expected=wanted))
    results = [result.type for result in body.results]
    if results[: parts.carries] != carries:
        raise ShapeError(
            message("scan: the carries change type", got=results[: parts.carries], expected=carries)
        )
    rows = results[parts.carries :]
    if parts.kept and len(parts.kept) != len(rows):
        raise ShapeError(message("scan: kept", got=len(parts.kept), expected=f"{len(rows)} ys"))
    sizes = [w.size for w in parts.kept] or [parts.length] * len(rows)
    ys = [stacked_type(type, size) for type, size in zip(rows, sizes, strict=True)]
    return (*carries, *ys)


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    parts = groups(node)
    (body,) = node.regions
    consts, carries, xs = parts.split(arrays)
    (length,) = context.sizes((parts.length,))
    ys = [
        np.zeros(context.shape(result.type), result.type.dtype)
        for result in node.results[parts.carries :]
    ]
    steps = range(length)
    for t in reversed(steps) if parts.reverse else steps:
        number = np.array(t, np.int64)
        found = context.run(body, [*consts, *carries, *(x[t] for x in xs), number])
        carries = list(found[: parts.carries])
        for i, (y, row) in enumerate(zip(ys, found[parts.carries :], strict=True)):
            place = _place(context, parts, i, t)
            if place is not None:
                y[place] = row
    return (*carries, *ys)


def _place(context: EvaluateContext, parts: Groups, y: int, row: int) -> int | None:
    """Where a row of a y goes, if it is kept."""
    if not parts.kept:
        return row
    window = parts.kept[y]
    start, size = context.sizes((window.start, window.size))
    return window.place(row, start, size)


SCAN: Final = Op(
    "scan",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("scan", 1),
    _evaluate,
    Samples(
        (),
        errors=(((), {"carries": 0, "xs": 0, "length": 1, "reverse": False}, ShapeError),),
    ),
    derivative=Modes(push, pull),
    regions=1,
    infer_regions=_types,
    batch=None,
    batch_regions=batched,
)
