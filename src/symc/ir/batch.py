"""Batching: one sweep in program order that gives every node that depends on a batch one more axis.

before: a graph written for one element, and for some of its values the values of a whole batch.
after: the same graph and a batched one beside it; nodes that depend on no batched value are shared
as they are.  Rules come from the op records; no loop is made, whatever the size of the batch.

Invariant: the batch axis of a value made here is axis 0, and element i of a result has the bits
that the graph has on element i alone (contractions in chain order).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symc.ir.binding import bound_counts
from symc.ir.build import apply, placed_at
from symc.ir.core import Function, Node, Value, nodes_behind, reachable_whole
from symc.ir.dims import Size, Symbol
from symc.ir.errors import UnsupportedError, message
from symc.ir.ops.record import BatchContext
from symc.ir.ragged import check_node, check_results, over_ragged
from symc.ir.term import Term
from symc.records import dataclass


@dataclass(slots=True)
class Batched:
    """What became of the values of a graph: `now` has the new value of each that was replaced, and
    `whole` those of them that have a batch axis, at 0."""

    now: dict[Value, Value]
    whole: set[Value]

    def of(self, value: Value) -> tuple[Value, bool]:
        """The value to use in place of `value`, and whether it has a batch axis."""
        return self.now.get(value, value), value in self.whole


def batched_values(
    results: Sequence[Value], batches: Mapping[Value, Value], size: Size, *, since: int = 0
) -> Batched:
    """The graph behind `results` over batches of some of its values.

    `batches`: element value -> value with the batch axis, of `size`, at 0.  Values made before
    node number `since` depend on none of them and are not walked.
    """
    nodes, _ = reachable_whole(results, stop=batches, since=since)
    ragged: dict[Symbol, Term] = {}
    found = _swept(nodes, batches, size, ragged)
    check_results((found.of(result)[0] for result in results), ragged)
    return found


def _swept(
    nodes: Sequence[Node],
    batches: Mapping[Value, Value],
    size: Size,
    ragged: dict[Symbol, Term],
) -> Batched:
    found = Batched(dict(batches), set(batches))
    context = BatchContext(size, _region(size), ragged)
    for node in nodes:
        check_node(node, ragged)
        apart = over_ragged(node, ragged)
        if not apart and not any(operand in found.now for operand in node.operands):
            continue
        pairs = [found.of(operand) for operand in node.operands]
        operands = [Term(value) for value, _ in pairs]
        axes = [0 if whole else None for _, whole in pairs]
        with placed_at(node.locations):
            made = _batch_node(node, operands, axes, context, apart)
            for result, (term, axis) in zip(node.results, made, strict=True):
                found.now[result] = (term if axis is None else term.move_axis(axis, 0)).value
                if axis is not None:
                    found.whole.add(result)
    return found


def _batch_node(
    node: Node,
    operands: Sequence[Term],
    axes: Sequence[int | None],
    context: BatchContext,
    apart: bool,
) -> Sequence[tuple[Term, int | None]]:
    op = node.op
    if not apart and all(axis is None for axis in axes):
        made = apply(op, [x.value for x in operands], node.attrs, regions=node.regions)
        return [(Term(result), None) for result in made.results]
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
    changed = {old: new for old, new in pairs if old is not new}
    found = _swept(function.nodes, changed, size, {})
    forced = out_batched if out_batched is not None else (False,) * len(function.results)
    results, marks = [], []
    for result, asked in zip(function.results, forced, strict=True):
        value, whole = found.of(result)
        results.append(repeated(value, size) if asked and not whole else value)
        marks.append(asked or whole)
    counts = {dim: found.of(count)[0] for dim, count in bound_counts(function.nodes).items()}
    nodes = nodes_behind(results, params, counts)
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
