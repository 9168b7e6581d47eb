"""`while`: a body run as long as a condition on the carried values holds, zero or more times.

Operands stand in three groups: `consts | carries | xs`.  Regions: the condition takes consts and
carries and gives a bool scalar; the body takes all, each x without its leading axis, and then,
where it has one param more, the number of the step; it gives the new carries and then the ys.
`most`, if any, is the largest number of steps; xs have that many rows.

Results: the last carries; then, where `rows` names the computed dim that the loop binds, each y
stacked along a new leading axis of that size, and the number of steps that ran, an i64 scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir.core import Attrs, Function, Node
from symc.ir.errors import ShapeError, UnsupportedError, message
from symc.ir.ops import regions
from symc.ir.ops.loop_groups import read_while, stacked_type, while_groups
from symc.ir.ops.masked import ENDLESS
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, Modes, Op, Samples
from symc.ir.ops.regions import Types
from symc.ir.ops.while_batch import batched
from symc.ir.ops.while_modes import pull, push
from symc.ir.types import BOOL, I64, TensorType

NUMBER: Final = TensorType(I64, ())


def carries_of(node: Node) -> int:
    """How many operands are carried."""
    return while_groups(node).carries


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    condition, body = inner
    parts = read_while(len(types), attrs)
    consts, carries, xs = parts.split(types)
    found = regions.region_types([*consts, *carries], condition)
    if found != (TensorType(BOOL, ()),):
        raise ShapeError(message("while: the condition", got=found, expected="one bool"))
    for x in xs:
        if not x.rank or x.shape[0] != parts.most:
            raise ShapeError(
                message("while: a sequence", got=x, expected=f"leading axis {parts.most}")
            )
    steps = [x.with_shape(x.shape[1:]) for x in xs]
    number = [NUMBER] * (len(body.params) - len(types))
    changed = list(regions.region_types([*consts, *carries, *steps, *number[:1]], body))
    if changed[: parts.carries] != carries:
        got = changed[: parts.carries]
        raise ShapeError(message("while: the carries change type", got=got, expected=carries))
    ys = changed[parts.carries :]
    if parts.rows is None:
        if ys:
            raise ShapeError(message("while: ys", got=ys, expected="none without rows"))
        return tuple(carries)
    rows = parts.rows
    return (*carries, *(stacked_type(y, rows) for y in ys), NUMBER)


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    condition, body = node.regions
    parts = while_groups(node)
    consts, carries, xs = parts.split(arrays)
    numbered = len(body.params) > len(arrays)
    most = None if parts.most is None else context.sizes((parts.most,))[0]
    rows: list[Arrays] = []
    t = 0
    while (most is None or t < most) and bool(context.run(condition, [*consts, *carries])[0]):
        if t == context.most_steps:
            raise UnsupportedError(
                message("while: more steps than were asked for", got=t, where=node.locations[0])
            )
        number = [np.array(t, np.int64)] if numbered else []
        found = context.run(body, [*consts, *carries, *(x[t] for x in xs), *number])
        carries = list(found[: parts.carries])
        rows.append(found[parts.carries :])
        t += 1
    if parts.rows is None:
        return tuple(carries)
    context.bind(parts.rows, t)
    types = [result.type for result in node.results[parts.carries : -1]]
    ys = [np.zeros(context.shape(type), type.dtype) for type in types]
    for i, y in enumerate(ys):
        for t, row in enumerate(rows):
            y[t] = row[i]
    return (*carries, *ys, np.array(len(rows), np.int64))


WHILE: Final = Op(
    "while",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("while", 2),
    _evaluate,
    Samples((), errors=(((), {"carries": 0}, ShapeError),)),
    derivative=Modes(push, pull),
    effects=frozenset({ENDLESS}),
    regions=2,
    infer_regions=_types,
    batch=None,
    batch_regions=batched,
)
