"""Batching: one sweep in program order that gives every node that depends on a batch one more axis.

before: a graph written for one element, and for some of its values the values of a whole batch.
after: the same graph and a batched one beside it; nodes that depend on no batched value are shared
as they are.  Rules come from the op records; no loop is made, whatever the size of the batch.

Invariant: the batch axis of a value made here is axis 0, and element i of a result has the bits
that the graph has on element i alone (contractions in chain order).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symc.ir.build import placed_at
from symc.ir.core import Function, Node, Value, reachable
from symc.ir.dims import Size
from symc.ir.errors import UnsupportedError, message
from symc.ir.ops.record import BatchContext
from symc.ir.term import Term


def batched_values(
    results: Sequence[Value], batches: Mapping[Value, Value], size: Size, *, since: int = 0
) -> dict[Value, Value]:
    """For every value behind `results` that depends on a key of `batches`: its batch.

    `batches`: element value -> value with the batch axis, of `size`, at 0.  Values made before
    node number `since` depend on none of them and are not walked.
    """
    nodes, _ = reachable(results, stop=batches, since=since)
    return _swept(nodes, batches, size)


def _swept(nodes: Sequence[Node], batches: Mapping[Value, Value], size: Size) -> dict[Value, Value]:
    known = dict(batches)
    context = BatchContext(size, _region(size))
    for node in nodes:
        if not any(operand in known for operand in node.operands):
            continue
        operands = [Term(known.get(operand, operand)) for operand in node.operands]
        axes = [0 if operand in known else None for operand in node.operands]
        with placed_at(node.locations):
            made = _batch_node(node, operands, axes, context)
            for result, (term, axis) in zip(node.results, made, strict=True):
                if axis is not None:
                    known[result] = term.move_axis(axis, 0).value
    return known


def _batch_node(
    node: Node, operands: Sequence[Term], axes: Sequence[int | None], context: BatchContext
) -> Sequence[tuple[Term, int | None]]:
    op = node.op
    if op.batch_regions is not None:
        return op.batch_regions(context, node, operands, axes)
    if op.batch is None:
        raise UnsupportedError(message(f"{op.name} of a batch", where=node.locations[0]))
    return [op.batch(operands, axes, node.attrs)]


def batch_function(
    function: Function,
    in_batched: Sequence[bool],
    size: Size,
    out_batched: Sequence[bool] | None = None,
) -> tuple[Function, tuple[bool, ...]]:
    """`function` over a batch of `size`, and which of its results have a batch axis.

    Params marked in `in_batched` and results marked in what is returned have the batch axis at 0;
    results marked in `out_batched` are repeated along it when they depend on no batched param.
    """
    params = [
        Value(param.type.with_shape((size, *param.type.shape)), name=param.name)
        if batched
        else param
        for param, batched in zip(function.params, in_batched, strict=True)
    ]
    pairs = zip(function.params, params, strict=True)
    known = _swept(function.nodes, {old: new for old, new in pairs if old is not new}, size)
    forced = out_batched if out_batched is not None else (False,) * len(function.results)
    results, marks = [], []
    for result, asked in zip(function.results, forced, strict=True):
        marks.append(asked or result in known)
        results.append(known.get(result, repeated(result, size) if asked else result))
    nodes, _ = reachable(results, stop=params)
    made = Function(
        function.name, tuple(params), tuple(nodes), tuple(results), function.constraints
    )
    return made, tuple(marks)


def repeated(value: Value, size: Size) -> Value:
    """`value` for each of `size` elements, along a new axis 0."""
    return Term(value).broadcast((size, *value.type.shape), range(1, value.type.rank + 1)).value


def _region(
    size: Size,
) -> Callable[[Function, Sequence[bool], Sequence[bool] | None], tuple[Function, tuple[bool, ...]]]:
    return lambda function, in_batched, out_batched: batch_function(
        function, in_batched, size, out_batched
    )
