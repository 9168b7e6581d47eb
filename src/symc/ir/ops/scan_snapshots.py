"""`scan_snapshots`: a `scan` of which reverse mode remembers few states and runs the others again.

Operands, region and attributes are those of `scan`; `slots` as in `snapshots`.  Results: those of
the scan; then what it remembered: per carry its rows, the places of the rows, and their number.
Since the number of steps is known when it starts, each snapshot is where a schedule with the fewest
runs has it (`binomial.split`).

It lives until it has been differentiated; `inline` puts loops in its place: the plain scan where
nobody reads what was remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far, reachable
from symc.ir.dims import Size
from symc.ir.errors import ShapeError
from symc.ir.ops import regions
from symc.ir.ops.binomial import split
from symc.ir.ops.loop_groups import Groups, Operands, groups, make_scan, stacked_type
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
from symc.ir.ops.regions import Moved, Placed, Types, closed, fresh
from symc.ir.ops.row_reads import row_of
from symc.ir.ops.scan import SCAN
from symc.ir.ops.snapshot_adjoint import Parts, seeds_of, step_back
from symc.ir.ops.snapshot_schedule import (
    Adjoint,
    Memory,
    advance_by,
    put,
    reversal,
    room_of,
    spliced_terms,
)
from symc.ir.ops.snapshots import pulled_whole, slots_of
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned
from symc.ir.types import I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

_NUMBER: Final = TensorType(I64, ())


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    assert SCAN.infer_regions is not None
    plain = SCAN.infer_regions(types, attrs, inner)
    carries = attrs["carries"]
    assert isinstance(carries, int)
    room = room_of(slots_of(attrs))
    rows = [stacked_type(type, room) for type in plain[:carries]]
    return (*plain, *rows, stacked_type(_NUMBER, room), _NUMBER)


def _plain(node: Node) -> Node:
    """The scan without its memory."""
    attrs = {name: value for name, value in node.attrs.items() if name != "slots"}
    types = tuple(result.type for result in node.results[: plain_results(node)])
    return Node(SCAN, node.operands, attrs, types, regions=node.regions, locations=node.locations)


def plain_results(node: Node) -> int:
    """How many results are those of the scan, its carries and ys."""
    return len(node.results) - groups(node).carries - 2


def _remembered(loop: Node, like: Node) -> Node:
    """A scan that derivatives or a batch made of `like`, with a memory as large."""
    attrs = {**loop.attrs, "slots": like.attrs["slots"]}
    return apply(like.op, loop.operands, attrs, regions=loop.regions, locations=like.locations)


def expanded(node: Node, read: Collection[Value]) -> Function:
    """The node as a scan over its operands; rows that nobody reads are zeros."""
    params = [Value(x.type, name=x.name) for x in node.operands]
    count = plain_results(node)
    if any(result in read for result in node.results[count:]):
        found = _swept(node, params)
    else:
        plain = _plain(node)
        loop = apply(SCAN, params, plain.attrs, regions=node.regions)
        rest = [term.zeros(result.type).value for result in node.results[count:]]
        found = [*loop.results, *rest]
    nodes, _ = reachable(found, stop=params)
    return Function(node.regions[0].name, tuple(params), tuple(nodes), tuple(found))


def _swept(node: Node, params: Sequence[Value]) -> list[Value]:
    """The scan that remembers states on its way."""
    parts, slots = groups(node), slots_of(node.attrs)
    (body,) = node.regions
    since = nodes_so_far()
    inner = fresh(body)
    consts, carries, xs = parts.split(inner)
    memory = Memory.empty([term.Term(x) for x in carries], slots)
    kept = [Value(x.type) for x in (*memory.rows, memory.places, memory.depth)]
    awaited = Value(_NUMBER)
    *rows, places, depth = (term.Term(x) for x in kept)
    at = _position(term.Term(inner[-1]), parts)
    now = at.eq(term.Term(awaited))
    index = term.where(now, depth, memory.nowhere)
    after = [put(row, index, term.Term(x)) for row, x in zip(rows, carries, strict=True)]
    after += [put(places, index, at), depth + now.cast(I64)]
    following = _following(at, after[-1], parts.length, slots, now)
    after.append(term.where(now, following, term.Term(awaited)))
    results = spliced(body, inner)
    wanted = [*results[: parts.carries], *(x.value for x in after), *results[parts.carries :]]
    given = [*consts, *carries, *kept, awaited, *xs, inner[-1]]
    made, captured = closed(body.name, given, wanted, since)
    own = parts.split(params)
    start = Memory.empty([term.Term(x) for x in own[1]], slots)
    none = term.size(0)
    first = _following(none, none, parts.length, slots, none.eq(0))
    starts = [*own[1], *(x.value for x in (*start.rows, start.places, start.depth, first))]
    operands = Operands([*captured, *own[0]], starts, own[2])
    loop = make_scan(SCAN, cloned(made), operands, parts.length, parts.reverse).results
    more = parts.carries + len(kept)
    return [
        *loop[: parts.carries],
        *loop[more + 1 :],
        *loop[parts.carries : more],
    ]


def _following(at: Term, depth: Term, length: Size, slots: Size, asked: Term) -> Term:
    """After how many steps the next snapshot is taken; never where that is the number of all."""
    left = term.size(length) - at
    free = term.size(slots) - depth
    some = asked & free.gt(1) & left.gt(1)
    ahead = split(term.where(some, left, 1), free)
    return term.where(some & (left - ahead).gt(1), at + ahead, term.size(length))


def _position(number: Term, parts: Groups) -> Term:
    """How many steps have run before step `number`, or the number of the step after so many."""
    return term.size(parts.length) - 1 - number if parts.reverse else number


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return context.run(expanded(node, node.results), arrays)


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """The same over values and tangents: reverse mode over it remembers as few states."""
    assert SCAN.modes is not None
    found = SCAN.modes.push(tangents, _plain(node), moved)
    rest: list[Value | None] = [None] * 2
    carries = groups(node).carries
    loop = next((value.node for value in found if value is not None), None)
    if loop is None:
        return [None] * len(node.results)
    made = _remembered(loop, node)
    rows = made.results[len(loop.results) :]
    along = [None if value is None else made.results[value.index] for value in found]
    along += [None if value is None else rows[value.index] for value in found[:carries]]
    return [*along, *rest]


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """Back over the steps: states that were remembered, and those between them run again."""
    parts = groups(node)
    (body,) = node.regions
    count = plain_results(node)
    if any(ct is not None for ct in cotangents[count:]):
        return pulled_whole(gradient, node, expanded(node, node.results), cotangents, wanted)
    arriving = cotangents[:count]
    split_at = Parts(parts.consts, parts.carries)
    step = step_back(gradient, body, split_at, arriving, [*wanted, False])
    consts, starts, xs = (
        [term.Term(x) for x in group] for group in parts.split(list(node.operands))
    )
    *rows, places, depth = (term.Term(x) for x in node.results[count:])
    steps = term.size(parts.length)
    memory = Memory(rows, places, depth, steps, slots_of(node.attrs))
    ys = [ct for ct in arriving[parts.carries :] if ct is not None]
    captured = [term.Term(x) for x in step.captured]

    def row(number: Term) -> list[Term]:
        return [term.take(x, number, 0, "clip") for x in xs]

    def run(state: Sequence[Term], position: Term) -> list[Term]:
        number = _position(position, parts)
        operands = [*consts, *state, *row(number), number]
        return spliced_terms(body, operands)[: parts.carries]

    def given(position: Term) -> list[Term]:
        number = _position(position, parts)
        seeds = [row_of(ct, number) for ct in ys]
        return [*captured, *consts, *row(number), number, *seeds]

    kept = parts.consts + parts.carries
    arrays = [term.zeros(xs[i - kept].type) for i in step.rows]
    totals = [term.zeros(consts[i].type) for i in step.summed]
    found, _ = reversal(
        advance_by(run),
        Adjoint(step.function, given, len(arrays), lambda number: _position(number, parts)),
        starts,
        memory,
        [*seeds_of(arriving, starts, step.moving), *totals, *arrays],
    )
    targets = [*(parts.consts + i for i in step.moving), *step.summed, *step.rows]
    answers = dict(zip(targets, found, strict=True))
    return [answers[i].value if mark and i in answers else None for i, mark in enumerate(wanted)]


def _batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """The same over the batch, whose lanes have one length."""
    assert SCAN.batch_regions is not None
    placed = SCAN.batch_regions(context, _plain(node), operands, axes)
    loop = placed[0][0].value.node
    assert loop is not None
    made = _remembered(loop, node)
    places = [axis for _, axis in placed]
    carried = places[: groups(node).carries]
    every = [*places, *(None if axis is None else axis + 1 for axis in carried), None, None]
    return [(term.Term(x), axis) for x, axis in zip(made.results, every, strict=True)]


SCAN_SNAPSHOTS: Final[Op] = Op(
    "scan_snapshots",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("scan_snapshots", 1),
    _evaluate,
    Samples(
        (),
        errors=(
            ((), {"carries": 0, "xs": 0, "length": 1, "reverse": False, "slots": 2}, ShapeError),
        ),
    ),
    derivative=Modes(_push, _pull),
    regions=1,
    infer_regions=_types,
    expand=expanded,
    batch=None,
    batch_regions=_batched,
)
