"""`switch`: one of several branches is run; the others are not.

Operands: the number of the branch (an i64 scalar, clamped into range), then what every branch
takes.  One region per branch, all of the same types.  Derivatives run the derivative of the branch
that was taken, and of no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far, reachable
from symc.ir.errors import ShapeError, message
from symc.ir.ops import regions
from symc.ir.ops.masked import guarded, of_lanes, some
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
from symc.ir.rewriter import spliced
from symc.ir.types import I64, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

NUMBER: Final = TensorType(I64, ())


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    if not types or types[0] != NUMBER:
        raise ShapeError(message("switch: the number", got=list(types[:1]), expected=NUMBER))
    found = [regions.region_types(types[1:], branch) for branch in inner]
    if not found or any(row != found[0] for row in found):
        raise ShapeError(message("switch: the branches differ", got=found, expected="one type"))
    return found[0]


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    taken = min(max(int(arrays[0]), 0), len(node.regions) - 1)
    return context.run(node.regions[taken], arrays[1:])


def joined(
    branches: Sequence[tuple[Function, Sequence[Value]]], number: int
) -> tuple[tuple[Function, ...], list[Value]]:
    """Branches with captured leading params as branches that all take all that any captured.

    `number`: of the params that they share, which come last.
    """
    captured = list(dict.fromkeys(value for _, values in branches for value in values))
    made = []
    for function, values in branches:
        own = dict(zip(values, function.params, strict=False))
        lead = [own.get(value) or Value(value.type, name=value.name) for value in captured]
        params = (*lead, *function.params[len(function.params) - number :])
        made.append(
            Function(function.name, params, function.nodes, function.results, function.constraints)
        )
    return tuple(made), captured


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    moving = [t is not None for t in moved[1:]]

    def inside(region: Function) -> tuple[list[Value], list[Value | None], int]:
        since = nodes_so_far()
        params = fresh(region)
        targets = [p for p, mark in zip(params, moving, strict=True) if mark]
        along = [Value(p.type, name="tangent") for p in targets]
        return [*params, *along], tangents(spliced(region, params), targets, along), since

    found = [inside(region) for region in node.regions]
    given = [*node.operands[1:], *present(moved[1:])]
    return _of_branches(node, found, given)


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    arrives = [ct is not None for ct in cotangents]

    def inside(region: Function) -> tuple[list[Value], list[Value | None], int]:
        since = nodes_so_far()
        params = fresh(region)
        results = spliced(region, params)
        reached = [r for r, mark in zip(results, arrives, strict=True) if mark]
        seeds = [Value(r.type, name="cotangent") for r in reached]
        targets = [p for p, mark in zip(params, wanted[1:], strict=True) if mark]
        answers = iter(gradient(reached, seeds, targets))
        return [*params, *seeds], [next(answers) if m else None for m in wanted[1:]], since

    found = [inside(region) for region in node.regions]
    given = [*node.operands[1:], *present(cotangents)]
    return [None, *_of_branches(node, found, given, node.operands[1:])]


def _of_branches(
    node: Node,
    found: Sequence[tuple[list[Value], list[Value | None], int]],
    given: Sequence[Value],
    like: Sequence[Value] | None = None,
) -> list[Value | None]:
    """A switch over derivatives; zeros where only some branches have one."""
    models = node.results if like is None else like
    some = [any(row[i] is not None for _, row, _ in found) for i in range(len(models))]
    if not any(some):
        return [None] * len(models)
    branches = []
    for (params, row, since), region in zip(found, node.regions, strict=True):
        results = [
            term.zeros(model.type).value if value is None else value
            for value, model, mark in zip(row, models, some, strict=True)
            if mark
        ]
        branches.append(closed(region.name, params, results, since))
    made, captured = joined(branches, len(given))
    operands = [node.operands[0], *captured, *given]
    answers = iter(apply(node.op, operands, node.attrs, regions=made).results)
    return [next(answers) if mark else None for mark in some]


def _batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """A common number keeps one branch; numbers of its own for each lane select among all."""
    marks = [axis is not None for axis in axes[1:]]
    moved = [
        x if axis is None else x.move_axis(axis, 0)
        for x, axis in zip(operands[1:], axes[1:], strict=True)
    ]
    every = axes[0] is not None
    has = [context.function(region, marks, None)[1] for region in node.regions]
    forced = [every or any(row[i] for row in has) for i in range(len(node.results))]
    batched = tuple(context.function(region, marks, forced)[0] for region in node.regions)
    if not every:
        values = [operands[0].value, *(x.value for x in moved)]
        made = apply(node.op, values, node.attrs, regions=batched)
        pairs = zip(made.results, forced, strict=True)
        return [(term.Term(result), 0 if mark else None) for result, mark in pairs]
    number = operands[0]
    rows = [
        _masked_branch(node, region, _taken(number, i, len(batched)), moved, marks)
        if guarded(region)
        else spliced(region, [x.value for x in moved])
        for i, region in enumerate(batched)
    ]
    chosen = [term.Term(value) for value in rows[-1]]
    for i in reversed(range(len(rows) - 1)):
        chosen = [
            term.where(_lanes(number, i).broadcast(old.shape, (0,)), term.Term(new), old)
            for new, old in zip(rows[i], chosen, strict=True)
        ]
    return [(x, 0) for x in chosen]


def _masked_branch(
    node: Node, region: Function, mask: Term, operands: Sequence[Term], marks: Sequence[bool]
) -> Sequence[Value]:
    """A batched branch on the lanes that take it; not run when none does."""
    params = fresh(region)
    zeros = [term.zeros(result.type).value for result in region.results]
    nodes, _ = reachable(zeros)
    nothing = Function("nothing", tuple(params), tuple(nodes), tuple(zeros))
    given = [some(mask), *of_lanes(mask, operands, marks)]
    return apply(node.op, [x.value for x in given], node.attrs, regions=(nothing, region)).results


def _taken(number: Term, branch: int, branches: int) -> Term:
    """The lanes that take a branch and no other."""
    if branch == 0:
        return number.le(0)
    return number.ge(branch) if branch == branches - 1 else number.eq(branch)


def _lanes(number: Term, branch: int) -> Term:
    """The lanes that take a branch; numbers below 0 take the first."""
    return number.le(branch)


SWITCH: Final = Op(
    "switch",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("switch", 1),
    _evaluate,
    Samples((), errors=(((), {}, ShapeError),)),
    derivative=Modes(_push, _pull),
    regions=-1,
    infer_regions=_types,
    batch=None,
    batch_regions=_batched,
)
