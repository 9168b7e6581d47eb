"""Inline calls.

before: a function that may hold `call` nodes with a region.  after: none; each body stands in place
of its call.  Bits: unchanged.
"""

from __future__ import annotations

from symc.ir import ops
from symc.ir.core import Function, Node, Value
from symc.ir.options import Options


def run(function: Function, options: Options) -> Function:
    """Replace every call by the body of its region, to any depth."""
    if not any(node.op is ops.CALL for node in function.nodes):
        return function
    replaced: dict[Value, Value] = {}
    placed: list[Node] = []
    # Work items, last first: a node to copy, or the results of a finished body to bind.
    todo: list[Node | tuple[Node, tuple[Value, ...]]] = list(reversed(function.nodes))
    while todo:
        item = todo.pop()
        if isinstance(item, tuple):
            call, results = item
            replaced.update(
                (old, replaced.get(new, new))
                for old, new in zip(call.results, results, strict=True)
            )
        elif item.op is ops.CALL:
            (body,) = item.regions
            actual = [replaced.get(operand, operand) for operand in item.operands]
            replaced.update(zip(body.params, actual, strict=True))
            todo.append((item, body.results))
            todo.extend(reversed(body.nodes))
        else:
            placed.append(_copy(item, replaced))
    results = tuple(replaced.get(value, value) for value in function.results)
    return Function(function.name, function.params, tuple(placed), results, function.constraints)


def _copy(node: Node, replaced: dict[Value, Value]) -> Node:
    """The node over current operands; always a new node, since a body may be inlined twice."""
    operands = tuple(replaced.get(operand, operand) for operand in node.operands)
    types = tuple(result.type for result in node.results)
    copy = Node(
        node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
    )
    replaced.update(zip(node.results, copy.results, strict=True))
    return copy
