"""A batch of scans as one scan.

before: the scan of one element.  after: the scan of the batched body: a carry gets the batch axis
when some step gives it one.

A scan over the rows of a loop that stops at another step for each lane runs as many steps as the
longest lane; a lane that is not there keeps its carries, and its ys are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value, nodes_so_far
from symc.ir.dims import Dim, Size, symbols
from symc.ir.ops.loop_groups import Groups, Operands, groups, make_scan
from symc.ir.ops.masked import guarded, kept, of_lanes
from symc.ir.ops.record import BatchContext
from symc.ir.ops.regions import Placed, closed, fresh
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned
from symc.ir.types import BOOL, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


def batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """The scan of all lanes."""
    parts = groups(node)
    live = _live(context, parts)
    (body,) = node.regions
    consts, carries, xs = parts.split([axis is not None for axis in axes])
    ys = [live is not None] * (len(node.results) - parts.carries)
    carries = [live is not None or mark for mark in carries]
    while True:
        region, has_axis = context.function(body, [*consts, *carries, *xs, False], [*carries, *ys])
        found = list(has_axis[: parts.carries])
        if found == carries:
            break
        carries = found
    moved = [
        _placed(x, axis, number, parts, carries, context.size)
        for number, (x, axis) in enumerate(zip(operands, axes, strict=True))
    ]
    if live is None:
        made = apply(node.op, [x.value for x in moved], node.attrs, regions=(region,))
    else:
        made = _masked(node, region, moved, live, [*consts, *carries, *xs, False])
    places = [0 if mark else None for mark in carries]
    places += [1 if mark else None for mark in has_axis[parts.carries :]]
    return [(term.Term(r), place) for r, place in zip(made.results, places, strict=True)]


def _live(context: BatchContext, parts: Groups) -> Term | None:
    """Which lanes are there at each step, where that differs."""
    if not context.live or not isinstance(parts.length, Dim):
        return None
    return next((context.live[s] for s in symbols(parts.length) if s in context.live), None)


def _placed(
    x: Term, axis: int | None, number: int, parts: Groups, carries: Sequence[bool], size: Size
) -> Term:
    """An operand with its batch axis where the batched body wants it."""
    first = parts.consts
    if first <= number < first + parts.carries and carries[number - first] and axis is None:
        return x.broadcast((size, *x.shape), range(1, x.rank + 1))
    if axis is None:
        return x
    return x.move_axis(axis, 1 if number >= first + parts.carries else 0)


def _masked(
    node: Node, region: Function, operands: Sequence[Term], live: Term, marks: Sequence[bool]
) -> Node:
    """The scan with `live` as one more sequence."""
    parts = groups(node)
    since = nodes_so_far()
    params = fresh(region)
    there = Value(TensorType(BOOL, live.shape[1:]), name="there")
    given = [term.Term(param) for param in params]
    if guarded(region):
        given = of_lanes(term.Term(there), given, marks)
    changed = spliced(region, [x.value for x in given])
    carried = parts.split(params)[1]
    zeros = [term.zeros(y.type).value for y in changed[parts.carries :]]
    results = kept(term.Term(there), changed, [*carried, *zeros])
    body, captured = closed(region.name, [*params[:-1], there, params[-1]], results, since)
    assert not captured
    consts, carries, xs = parts.split([x.value for x in operands])
    given_values = Operands(consts, carries, [*xs, live.value])
    return make_scan(node.op, cloned(body), given_values, parts.length, parts.reverse)
