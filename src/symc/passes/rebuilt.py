"""A function with other values in the place of its results.

before: a function, and for values of it what a pass has made to stand for them.  after: the
function of what its results have become, with the nodes that bind the computed dims which that
mentions: nobody needs to read those (`ir/binding.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from symc.ir.binding import bound_counts
from symc.ir.core import Function, Value, nodes_behind


def rebuilt(function: Function, values: Mapping[Value, Value]) -> Function:
    """The function with `values` in place of others; itself when nothing differs."""
    results = tuple(values.get(result, result) for result in function.results)
    counts = {dim: values.get(count, count) for dim, count in bound_counts(function.nodes).items()}
    nodes = nodes_behind(results, function.params, counts)
    if results == function.results and len(nodes) == len(function.nodes):
        return function
    return Function(function.name, function.params, tuple(nodes), results, function.constraints)
