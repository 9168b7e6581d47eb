"""Both derivatives of a while loop, built from its regions.

Forward mode is one loop over values and tangents, as long as the condition holds for the values.
Reverse mode runs the loop once more with rows: it stores what the adjoint of a step reads of it,
and binds how many steps ran; a scan of that length reads the rows backwards.  Both are ordinary
nodes, so derivatives of derivatives follow from their rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import term
from symc.ir.core import Function, Node, Value, nodes_so_far
from symc.ir.dims import Dim
from symc.ir.ops.loop_groups import Operands, WhileGroups, make_while, own_dim, while_groups
from symc.ir.ops.record import Derive
from symc.ir.ops.regions import Moved, closed, fresh, present
from symc.ir.ops.scan import SCAN
from symc.ir.ops.scan_modes import Adjoint, Steps, adjoint, backwards, needed
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned


def push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """Tangents of the results: one loop over values and tangents."""
    condition, body = node.regions
    parts = while_groups(node)
    first, count = parts.consts, parts.carries
    moving = [tangent is not None for tangent in moved]
    while True:
        since = nodes_so_far()
        params = fresh(body)
        results = spliced(body, params)
        targets = [p for p, mark in zip(params, moving, strict=False) if mark]
        along = [Value(p.type, name="tangent") for p in targets]
        found = tangents(results, targets, along)
        gained = [i for i in range(count) if found[i] is not None and not moving[first + i]]
        if not gained:
            break
        for i in gained:
            moving[first + i] = True
    seeds = iter(along)
    row = [next(seeds) if mark else None for mark in moving]
    outs = [
        term.zeros(r.type).value if t is None and i < count and moving[first + i] else t
        for i, (r, t) in enumerate(zip(results, found, strict=True))
    ]
    consts, carries, xs = parts.split(params)
    moved_consts, moved_carries, moved_xs = (present(part) for part in parts.split(row))
    number = params[first + count + parts.xs :]
    inner = [*consts, *moved_consts, *carries, *moved_carries, *xs, *moved_xs, *number]
    wanted = [*results[:count], *present(outs[:count]), *present(outs[count:])]
    made, captured = closed(body.name, inner, wanted, since)
    own, given = parts.split(node.operands), parts.split(list(moved))
    starts = [
        term.zeros(x.type).value if t is None else t
        for x, t, mark in zip(own[1], given[1], parts.split(moving)[1], strict=True)
        if mark
    ]
    operands = Operands(
        [*captured, *own[0], *present(given[0])],
        [*own[1], *starts],
        [*own[2], *present(given[2])],
    )
    before, behind = len(captured), len(moved_consts)
    own_places = [*range(before, before + first)]
    own_places += range(before + first + behind, before + first + behind + count)
    test = _widened(condition, own_places, [*operands.consts, *operands.carries])
    loop = make_while(node.op, (test, made), operands, parts.most, parts.rows)
    rest = iter(loop.results[count:])
    answers = [None if t is None else next(rest) for t in outs]
    return answers if parts.rows is None else [*answers, None]


def _widened(condition: Function, own: Sequence[int], operands: Sequence[Value]) -> Function:
    """The condition over the consts and carries of a wider loop; its own are those at `own`."""
    params = [Value(x.type) for x in operands]
    since = nodes_so_far()
    results = spliced(condition, [params[i] for i in own])
    made, captured = closed(condition.name, params, results, since)
    assert not captured
    return made


def pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """Cotangents of the wanted operands."""
    parts = while_groups(node)
    body = node.regions[1]
    arriving = cotangents[: len(body.results)]
    step = adjoint(gradient, body, parts, arriving, wanted)
    values = needed(parts, step)
    rows, length = _rows(node, parts, step, values)
    consts_carries = parts.consts + parts.carries
    xs = [term.Term(x) for x in node.operands[consts_carries:]]
    run = [x.slice((0,) * x.rank, (length, *x.shape[1:]), (1,) * x.rank).value for x in xs]
    steps = Steps(body.name, parts, node.operands, run, length, reverse=False)
    stored = [(value, rows[value]) for value in values]
    answers = list(backwards(SCAN, steps, step, arriving, stored))
    for i, x in enumerate(xs, consts_carries):
        answers[i] = _whole(answers[i], x, length)
    return answers


def _rows(
    node: Node, parts: WhileGroups, step: Adjoint, values: Sequence[Value]
) -> tuple[dict[Value, Value], Dim]:
    """The rows of values of a step, and how many there are: those of the node, or of the loop run
    once more."""
    rows: dict[Value, Value] = {}
    if parts.rows is not None:
        ys = node.results[parts.carries : -1]
        rows = dict(zip(step.results[parts.carries :], ys, strict=True))
        if all(value in rows for value in values):
            return rows, parts.rows
    condition, body = node.regions
    extra = [value for value in values if value not in rows]
    wanted = [*step.results[: parts.carries], *extra]
    shared, captured = closed(body.name, step.params, wanted, step.since)
    consts, carries, xs = parts.split(node.operands)
    operands = Operands([*captured, *consts], carries, xs)
    own = range(len(captured), len(captured) + parts.consts + parts.carries)
    test = _widened(condition, own, [*operands.consts, *operands.carries])
    dim = own_dim() if parts.rows is None else parts.rows
    made = make_while(node.op, (test, cloned(shared)), operands, parts.most, dim)
    rows.update(zip(extra, made.results[parts.carries : -1], strict=True))
    return rows, dim


def _whole(rows: Value | None, x: term.Term, length: Dim) -> Value | None:
    """Rows of the steps that ran, and zeros for those that did not."""
    if rows is None:
        return None
    (rest, *_) = (x.shape[0] - length,)
    idle = term.zeros(x.type.with_shape((rest, *x.shape[1:])))
    return term.concat([term.Term(rows), idle], 0).value
