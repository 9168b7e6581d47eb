"""Dead code elimination.

before: any tensor function.  after: no node whose results are unused, except those with an `io` or
`state` effect (a `trap` goes with its unused result); what binds a size that is still mentioned is
used.  Bits: unchanged.
"""

from __future__ import annotations

from dataclasses import replace

from symc.ir.binding import binders, bound_by, mentioned_by
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Symbol, symbols
from symc.ir.options import Options

_KEPT = frozenset({"io", "state"})


def run(function: Function, options: Options) -> Function:
    """Drop nodes that nothing needs."""
    needed: set[Value] = set(function.results)
    bound = binders(function.nodes)
    mentioned = _mentioned(function) if bound else set()
    kept: list[Node] = []
    for node in reversed(function.nodes):
        used = not needed.isdisjoint(node.results) or (bound and bound_by(node) in mentioned)
        if node.op.effects & _KEPT or used:
            kept.append(node)
            needed.update(node.operands)
            if bound:
                mentioned |= mentioned_by(node)
    if len(kept) == len(function.nodes):
        return function
    return replace(function, nodes=tuple(reversed(kept)))


def _mentioned(function: Function) -> set[Symbol]:
    """The computed dims that the results and constraints of a function need."""
    sizes = [size for c in function.constraints for size in (c.left, c.right)]
    sizes += [size for result in function.results for size in result.type.shape]
    return {symbol for size in sizes for symbol in symbols(size) if symbol.computed}
