"""Dead code elimination.

before: any tensor function.  after: no node whose results are unused, except those with an `io` or
`state` effect (a `trap` goes with its unused result).  Bits: unchanged.
"""

from __future__ import annotations

from dataclasses import replace

from symc.ir.core import Function, Node, Value
from symc.ir.options import Options

_KEPT = frozenset({"io", "state"})


def run(function: Function, options: Options) -> Function:
    """Drop nodes that nothing needs."""
    needed: set[Value] = set(function.results)
    kept: list[Node] = []
    for node in reversed(function.nodes):
        if node.op.effects & _KEPT or not needed.isdisjoint(node.results):
            kept.append(node)
            needed.update(node.operands)
    if len(kept) == len(function.nodes):
        return function
    return replace(function, nodes=tuple(reversed(kept)))
