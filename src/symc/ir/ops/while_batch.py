"""A batch of while loops as one loop.

before: the loop of one element.  after: all lanes step until the last has finished; a lane that has
finished stays as it is.

Rows of lanes that finish at different steps have no common number of rows: only loops over the same
rows may read them.  Those get `live` rows, which say for each step and lane whether the lane ran
it; whoever else asks for the rows is refused (`BatchContext.refuse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Function, Node, nodes_so_far
from symc.ir.dims import Size
from symc.ir.ops.loop_groups import WhileGroups, while_groups
from symc.ir.ops.masked import guarded, kept, of_lanes
from symc.ir.ops.record import BatchContext
from symc.ir.ops.reduce import ANY, SUM
from symc.ir.ops.regions import Placed, closed, fresh
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned
from symc.ir.types import I64

if TYPE_CHECKING:
    from symc.ir.term import Term


def batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """The loop of all lanes."""
    condition, body = node.regions
    parts = while_groups(node)
    consts, carries, xs = parts.split([axis is not None for axis in axes])
    numbered = [False] * (len(body.params) - len(operands))
    ys = [False] * (len(body.results) - parts.carries)
    while True:
        test, (tested,) = context.function(condition, [*consts, *carries], None)
        forced = [*carries, *(y or tested for y in ys)]
        step, has_axis = context.function(body, [*consts, *carries, *xs, *numbered], forced)
        found = [True] * parts.carries if tested else list(has_axis[: parts.carries])
        if found == carries:
            break
        carries = found
    marks = [*consts, *carries, *xs]
    moved = [
        _placed(x, axis, marks[i], 1 if i >= parts.consts + parts.carries else 0, context.size)
        for i, (x, axis) in enumerate(zip(operands, axes, strict=True))
    ]
    if tested:
        return _lanes(context, node, moved, (test, step), [*marks, *numbered])
    made = apply(node.op, [x.value for x in moved], node.attrs, regions=(test, step))
    places = [0 if mark else None for mark in carries]
    places += [1 if mark else None for mark in has_axis[parts.carries :]]
    places += [None] * (len(made.results) - len(places))
    return [(term.Term(r), place) for r, place in zip(made.results, places, strict=True)]


def _placed(x: Term, axis: int | None, mark: bool, place: int, size: Size) -> Term:
    """An operand with its batch axis where the batched body wants it."""
    if axis is not None:
        return x.move_axis(axis, place)
    if not mark:
        return x
    return x.broadcast((size, *x.shape), range(1, x.rank + 1))


def _lanes(
    context: BatchContext,
    node: Node,
    operands: Sequence[Term],
    regions: tuple[Function, Function],
    marks: Sequence[bool],
) -> Placed:
    """The loop whose lanes finish at different steps."""
    parts = while_groups(node)
    made = apply(
        node.op,
        [x.value for x in operands],
        node.attrs,
        regions=_masked(regions, parts, marks),
    )
    last = [(term.Term(result), 0) for result in made.results[: parts.carries]]
    if parts.rows is None:
        return last
    ys = [(term.Term(result), 1) for result in made.results[parts.carries : -2]]
    live = term.Term(made.results[-2])
    context.finish_apart(parts.rows, live)
    count = term.make(SUM, live.cast(I64), axes=(0,))
    return [*last, *ys, (count, 0)]


def _masked(
    regions: tuple[Function, Function], parts: WhileGroups, marks: Sequence[bool]
) -> tuple[Function, Function]:
    """Any lane goes on; lanes that do not keep their values.  With rows, who went on is a y."""
    test, step = regions
    since = nodes_so_far()
    params = fresh(test)
    (going,) = spliced(test, params)
    some = term.make(ANY, term.Term(going), axes=(0,)).value
    whole, _ = closed(test.name, params, [some], since)
    since = nodes_so_far()
    params = fresh(step)
    first, stop = parts.consts, parts.consts + parts.carries
    (going,) = spliced(test, params[:stop])
    given = [term.Term(param) for param in params]
    if guarded(step):
        given = of_lanes(term.Term(going), given, marks)
    changed = spliced(step, [x.value for x in given])
    ys = changed[parts.carries :]
    zeros = [term.zeros(y.type).value for y in ys]
    results = kept(term.Term(going), changed, [*params[first:stop], *zeros])
    if parts.rows is not None:
        results.append(going)
    masked, _ = closed(step.name, params, results, since)
    return cloned(whole), cloned(masked)
