"""`snapshots`: a `while` of which reverse mode remembers few states and runs the others again.

Operands and regions are those of `while`: `consts | carries`, a condition and a body.  `slots`: how
many states may be remembered at a time, the first among them.  Results: the last carries; then what
the sweep remembered: per carry its rows, the places of the rows, their number, and the number of
steps (see `snapshot_schedule`).

It lives until it has been differentiated; `inline` puts loops in its place: the plain one where
nobody reads what was remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far, reachable
from symc.ir.dims import Dim, Size
from symc.ir.errors import DomainError, ShapeError, message
from symc.ir.ops import regions
from symc.ir.ops.loop_groups import stacked_type
from symc.ir.ops.record import (
    Arrays,
    BatchContext,
    Derive,
    EvaluateContext,
    Kind,
    Modes,
    Op,
    Samples,
)
from symc.ir.ops.regions import Moved, Placed, Types, closed, fresh, present
from symc.ir.ops.snapshot_adjoint import Parts, seeds_of, step_back
from symc.ir.ops.snapshot_schedule import (
    Adjoint,
    Memory,
    advance_by,
    reversal,
    room_of,
    spliced_terms,
    sweep,
)
from symc.ir.ops.while_loop import WHILE, carries_of
from symc.ir.rewriter import spliced
from symc.ir.types import I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


def slots_of(attrs: Attrs) -> Size:
    """How many states may be remembered; DomainError when the attribute does not say so."""
    slots = attrs.get("slots")
    if isinstance(slots, bool) or not isinstance(slots, int | Dim) or slots == 0:
        raise DomainError(message("snapshots: slots", got=slots, expected="a size >= 1"))
    return slots


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    assert WHILE.infer_regions is not None
    carried = WHILE.infer_regions(types, {"carries": attrs.get("carries")}, inner)
    room = room_of(slots_of(attrs))
    number = TensorType(I64, ())
    rows = [stacked_type(type, room) for type in carried]
    return (*carried, *rows, stacked_type(number, room), number, number)


def _consts(node: Node) -> int:
    return len(node.operands) - carries_of(node)


def expanded(node: Node, read: Collection[Value]) -> Function:
    """The node as plain loops over its operands; rows that nobody reads are zeros."""
    condition, body = node.regions
    params = fresh(body)
    operands = [term.Term(param) for param in params]
    count = carries_of(node)
    if any(result in read for result in node.results[count:]):
        found = [x.value for x in sweep(condition, body, operands, slots_of(node.attrs))]
    else:
        loop = apply(WHILE, params, {"carries": count}, regions=node.regions)
        rest = [term.zeros(result.type).value for result in node.results[count:]]
        found = [*loop.results, *rest]
    nodes, _ = reachable(found, stop=params)
    return Function(body.name, tuple(params), tuple(nodes), tuple(found))


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return context.run(expanded(node, node.results), arrays)


def _plain(node: Node) -> Node:
    """The loop without its memory."""
    count = carries_of(node)
    types = tuple(result.type for result in node.results[:count])
    attrs = {"carries": count}
    return Node(WHILE, node.operands, attrs, types, regions=node.regions, locations=node.locations)


def _remembered(loop: Node, like: Node) -> Node:
    """A loop that derivatives or a batch made of `like`, with a memory as large."""
    attrs = {**loop.attrs, "slots": like.attrs["slots"]}
    return apply(like.op, loop.operands, attrs, regions=loop.regions, locations=like.locations)


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """The same over values and tangents: reverse mode over it remembers as few states."""
    assert WHILE.modes is not None
    found = WHILE.modes.push(tangents, _plain(node), moved)
    rest: list[Value | None] = [None] * 3
    loop = next((value.node for value in found if value is not None), None)
    if loop is None:
        return [None] * len(node.results)
    made = _remembered(loop, node)
    rows = made.results[len(loop.results) :]
    along = [None if value is None else made.results[value.index] for value in found]
    along += [None if value is None else rows[value.index] for value in found]
    return [*along, *rest]


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """Back over the steps: states that were remembered, and those between them run again."""
    count, first = carries_of(node), _consts(node)
    if any(ct is not None for ct in cotangents[count:]):
        return pulled_whole(gradient, node, expanded(node, node.results), cotangents, wanted)
    body = node.regions[1]
    step = step_back(gradient, body, Parts(first, count), cotangents[:count], wanted)
    operands = [term.Term(x) for x in node.operands]
    consts, starts = operands[:first], operands[first:]
    memory = Memory.of([term.Term(x) for x in node.results[count:]], slots_of(node.attrs))
    given = [*(term.Term(x) for x in step.captured), *consts]
    totals = [term.zeros(consts[i].type) for i in step.summed]
    found, _ = reversal(
        advance_by(lambda state, number: spliced_terms(body, [*consts, *state])),
        Adjoint(step.function, lambda number: given),
        starts,
        memory,
        [*seeds_of(cotangents, starts, step.moving), *totals],
    )
    places = [*(first + i for i in step.moving), *step.summed]
    answers = dict(zip(places, found, strict=True))
    return [answers[i].value if mark and i in answers else None for i, mark in enumerate(wanted)]


def pulled_whole(
    gradient: Derive, node: Node, whole: Function, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """Through the loops that stand for the node, as any loop: what was remembered is read too.

    So it is where a derivative in reverse mode is taken of one: its steps are stored.
    """
    since = nodes_so_far()
    params = fresh(whole)
    results = spliced(whole, params)
    given = present(cotangents)
    seeds = [Value(ct.type, name="cotangent") for ct in given]
    reached = [x for x, ct in zip(results, cotangents, strict=True) if ct is not None]
    targets = [param for param, asked in zip(params, wanted, strict=True) if asked]
    found = gradient(reached, seeds, targets, since)
    adjoint, captured = closed(whole.name, [*params, *seeds], present(found), since)
    made = iter(spliced(adjoint, [*captured, *node.operands, *given]))
    answers = iter([None if value is None else next(made) for value in found])
    return [next(answers) if mark else None for mark in wanted]


def _batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """The same over the batch; lanes that finish at different steps each have their own memory.

    Then the carries come from a loop in which lanes that have finished stay as they are, of which
    reverse mode remembers few states as well.
    """
    assert WHILE.batch_regions is not None
    count = carries_of(node)
    placed = WHILE.batch_regions(context, _plain(node), operands, axes)
    loop = placed[0][0].value.node
    assert loop is not None
    made = _remembered(loop, node)
    places = [axis for _, axis in placed]
    marks = [axis is not None for axis in axes]
    carried = [axis is not None for axis in places]
    if not context.function(node.regions[0], [*marks[: _consts(node)], *carried], None)[1][0]:
        every = [*places, *(None if a is None else a + 1 for a in places), None, None, None]
        return [(term.Term(x), axis) for x, axis in zip(made.results, every, strict=True)]
    whole = expanded(node, node.results)
    region, has_axis = context.function(whole, marks, None)
    moved = [
        x if axis is None else x.move_axis(axis, 0) for x, axis in zip(operands, axes, strict=True)
    ]
    found = spliced(region, [x.value for x in moved])
    memory = [
        (term.Term(x), 0 if mark else None)
        for x, mark in zip(found[count:], has_axis[count:], strict=True)
    ]
    kept = zip(made.results, places, strict=False)
    return [*((term.Term(x), axis) for x, axis in kept), *memory]


SNAPSHOTS: Final = Op(
    "snapshots",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("snapshots", 2),
    _evaluate,
    Samples((), errors=(((), {"carries": 0, "slots": 2}, ShapeError),)),
    derivative=Modes(_push, _pull),
    effects=WHILE.effects,
    regions=2,
    infer_regions=_types,
    expand=expanded,
    batch=None,
    batch_regions=_batched,
)
