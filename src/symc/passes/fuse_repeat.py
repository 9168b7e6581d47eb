"""What is computed again in each kernel that reads it, instead of being stored and loaded.

before: an optimised function.  after: the values that cost less to compute again: a few cheap
elementwise steps on one input of the function (and on what is smaller), for which each kernel loads
that input in place of the stored value.  The write is saved, and a temporary.

Not so for steps on what a kernel makes (the result of a contraction, say): they are done where it
is made, and storing either moves the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from symc.ir.core import Function, Node, Value
from symc.ir.dims import prove_le
from symc.ir.ops.record import Kind
from symc.passes.fuse_cost import CHEAP


def repeatable(function: Function, costs: Mapping[Node, int]) -> frozenset[Value]:
    """The values that are cheap steps away from one input; `costs`: instructions of each node."""
    params = frozenset(function.params)
    found: dict[Value, tuple[Value, int]] = {}  # the input, and the instructions since
    small: dict[Value, bool] = {}
    for node in function.nodes:
        if len(node.results) != 1:
            continue
        (value,) = node.results
        if node.op.kind is Kind.ELEMENTWISE and value.type.rank:
            behind = _source(node, found, params, small)
            if behind is not None and behind[1] + costs[node] <= CHEAP:
                found[value] = behind[0], behind[1] + costs[node]
        small[value] = node.op.kind is Kind.SOURCE or not value.type.rank or _spread(node, small)
    return frozenset(found)


def _spread(node: Node, small: dict[Value, bool]) -> bool:
    """Whether a node only spreads out something small or surely smaller."""
    if node.op.kind is not Kind.VIEW:
        return False
    operand = node.operands[0]
    less = prove_le(operand.type.elements + 1, node.results[0].type.elements)
    return small.get(operand, False) or less or not operand.type.rank


def _source(
    node: Node,
    found: dict[Value, tuple[Value, int]],
    params: frozenset[Value],
    small: dict[Value, bool],
) -> tuple[Value, int] | None:
    """The one input behind a node, and the cost of its operands; None when there is none."""
    total = 0
    sources: set[Value] = set()
    for operand in node.operands:
        if small.get(operand, False):
            continue
        if operand in params:
            sources.add(operand)
        elif operand in found:
            source, before = found[operand]
            sources.add(source)
            total += before
        else:
            return None
    if len(sources) != 1:
        return None
    (source,) = sources
    return source, total
