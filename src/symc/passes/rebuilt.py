"""A function with other values in the place of its results.

before: a function, and for values of it what a pass has made to stand for them.  after: the
function of what its results have become, with the nodes that bind the computed dims which that
mentions: nobody needs to read those (`ir/binding.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from symc.ir.binding import binders, unbound
from symc.ir.core import Function, Node, Value, reachable
from symc.ir.dims import Symbol


def rebuilt(function: Function, values: Mapping[Value, Value]) -> Function:
    """The function with `values` in place of others; itself when nothing differs."""
    results = tuple(values.get(result, result) for result in function.results)
    counts = {dim: values.get(count, count) for dim, count in bound_counts(function.nodes).items()}
    nodes = nodes_behind(results, function.params, counts)
    if results == function.results and len(nodes) == len(function.nodes):
        return function
    return Function(function.name, function.params, tuple(nodes), results, function.constraints)


def bound_counts(nodes: Sequence[Node]) -> dict[Symbol, Value]:
    """The value of each dim that one of the nodes binds."""
    return {dim: made[0].results[-1] for dim, made in binders(nodes).items()}


def nodes_behind(
    results: Iterable[Value], params: Sequence[Value], counts: Mapping[Symbol, Value]
) -> list[Node]:
    """The nodes that results need, those that bind the dims of `counts` included."""
    nodes, _ = reachable(results, stop=params)
    roots, left = list(results), dict(counts)
    while left:
        missing = sorted(unbound(nodes) & left.keys(), key=lambda dim: dim.name)
        if not missing:
            break
        roots += [left.pop(dim) for dim in missing]
        nodes, _ = reachable(roots, stop=params)
    return nodes
