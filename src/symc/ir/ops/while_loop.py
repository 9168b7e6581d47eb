"""`while`: a body run as long as a condition on the carried values holds, zero or more times.

Operands `consts | carries`; regions: the condition, to a bool scalar, and the body, to new carries;
both take all operands.  Results: the last carries.  Forward mode carries tangents beside values;
reverse mode is refused: how many steps there are to go back over is known at run time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far
from symc.ir.errors import DomainError, ShapeError, UnsupportedError, message
from symc.ir.ops import regions
from symc.ir.ops.masked import may_trap, of_lanes
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
from symc.ir.ops.reduce import ANY
from symc.ir.ops.regions import Moved, Placed, Types
from symc.ir.ops.scan_modes import cloned, closed, fresh, present
from symc.ir.rewriter import spliced
from symc.ir.types import BOOL, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


def _carries(attrs: Attrs, operands: int) -> int:
    carries = attrs.get("carries")
    if not isinstance(carries, int) or not 0 <= carries <= operands:
        raise DomainError(message("while: carries", got=carries, expected=f"0 to {operands}"))
    return carries


def carries_of(node: Node) -> int:
    """How many operands are carried."""
    return _carries(node.attrs, len(node.operands))


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    condition, body = inner
    carried = tuple(types[len(types) - _carries(attrs, len(types)) :])
    found = regions.region_types(types, condition)
    if found != (TensorType(BOOL, ()),):
        raise ShapeError(message("while: the condition", got=found, expected="one bool"))
    changed = regions.region_types(types, body)
    if changed != carried:
        raise ShapeError(message("while: the carries change type", got=changed, expected=carried))
    return carried


def _evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    condition, body = node.regions
    first = len(arrays) - carries_of(node)
    consts, carries = list(arrays[:first]), tuple(arrays[first:])
    while bool(context.run(condition, [*consts, *carries])[0]):
        carries = tuple(context.run(body, [*consts, *carries]))
    return carries


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """One loop over values and tangents, as long as the condition holds for the values."""
    condition, body = node.regions
    first = len(node.operands) - carries_of(node)
    moving = [tangent is not None for tangent in moved]
    while True:
        since = nodes_so_far()
        params = fresh(body)
        results = spliced(body, params)
        targets = [p for p, mark in zip(params, moving, strict=True) if mark]
        along = [Value(p.type, name="tangent") for p in targets]
        found = tangents(results, targets, along)
        gained = [i for i, t in enumerate(found) if t is not None and not moving[first + i]]
        if not gained:
            break
        for i in gained:
            moving[first + i] = True
    seeds = iter(along)
    row = [next(seeds) if mark else None for mark in moving]
    carried = moving[first:]
    outs = [
        (term.zeros(r.type).value if t is None else t) if mark else None
        for r, t, mark in zip(results, found, carried, strict=True)
    ]
    inner = [*params[:first], *present(row[:first]), *params[first:], *present(row[first:])]
    made, captured = closed(body.name, inner, [*results, *present(outs)], since)
    starts = [
        term.zeros(x.type).value if t is None else t
        for x, t, mark in zip(node.operands[first:], moved[first:], carried, strict=True)
        if mark
    ]
    operands = [
        *captured,
        *node.operands[:first],
        *present(moved[:first]),
        *node.operands[first:],
        *starts,
    ]
    test = _widened(condition, made, len(captured), first, len(present(row[:first])))
    count = len(node.results) + len(starts)
    loop = apply(node.op, operands, {"carries": count}, regions=(test, made))
    rest = iter(loop.results[len(node.results) :])
    return [next(rest) if mark else None for mark in carried]


def _widened(
    condition: Function, body: Function, captured: int, consts: int, extra: int
) -> Function:
    """The condition over the params of a wider body."""
    params = fresh(body)
    carries = len(condition.params) - consts
    start = captured + consts + extra
    own = [*params[captured : captured + consts], *params[start : start + carries]]
    since = nodes_so_far()
    results = spliced(condition, own)
    made, more = closed(condition.name, params, results, since)
    assert not more
    return made


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    raise UnsupportedError(
        message(
            "reverse mode through while_loop",
            got="a number of steps that is known at run time only",
            expected="forward mode, or a loop with a length",
            where=node.locations[0],
            advice="sc.scan or sc.fori_loop with the largest number of steps",
        )
    )


def _batched(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """All lanes step until the last has finished; a lane that has finished stays as it is."""
    condition, body = node.regions
    first = len(operands) - carries_of(node)
    marks = [axis is not None for axis in axes]
    while True:
        test, tested = context.function(condition, marks, None)
        step, has_axis = context.function(body, marks, marks[first:])
        found = [*has_axis] if not tested[0] else [True] * len(has_axis)
        if found == marks[first:]:
            break
        marks[first:] = found
    moved = [
        _placed(x, axis, mark, context.size).value
        for x, axis, mark in zip(operands, axes, marks, strict=True)
    ]
    if tested[0]:
        test, step = _masked(test, step, first, marks)
    made = apply(node.op, moved, node.attrs, regions=(test, step))
    pairs = zip(made.results, marks[first:], strict=True)
    return [(term.Term(result), 0 if mark else None) for result, mark in pairs]


def _placed(x: Term, axis: int | None, mark: bool, size: object) -> Term:
    if axis is not None:
        return x.move_axis(axis, 0)
    if not mark:
        return x
    return x.broadcast((size, *x.shape), range(1, x.rank + 1))  # type: ignore[arg-type]


def _masked(
    test: Function, step: Function, first: int, marks: Sequence[bool]
) -> tuple[Function, Function]:
    """Any lane goes on; lanes that do not keep their values."""
    since = nodes_so_far()
    params = fresh(test)
    (going,) = spliced(test, params)
    some = term.make(ANY, term.Term(going), axes=(0,)).value
    whole, _ = closed(test.name, params, [some], since)
    since = nodes_so_far()
    params = fresh(step)
    (going,) = spliced(test, params)
    given = [term.Term(param) for param in params]
    if may_trap(step):
        given = of_lanes(term.Term(going), given, marks)
    changed = spliced(step, [x.value for x in given])
    kept = []
    for old, new in zip(params[first:], changed, strict=True):
        mask = term.Term(going).broadcast(new.type.shape, (0,))
        kept.append(term.where(mask, term.Term(new), term.Term(old)).value)
    masked, _ = closed(step.name, params, kept, since)
    return cloned(whole), cloned(masked)


WHILE: Final = Op(
    "while",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("while", 2),
    _evaluate,
    Samples((), errors=(((), {"carries": 0}, ShapeError),)),
    derivative=Modes(_push, _pull),
    regions=2,
    infer_regions=_types,
    batch=None,
    batch_regions=_batched,
)
