"""Inline what stands for other nodes: calls, custom functions, checkpoints, loops with snapshots.

before: a function that may hold nodes which compute region 0 on their operands, or say themselves
what computes their results.  after: none; each body stands in place of its node, which has no rules
of differentiation from here on.  Bits: unchanged.

`calls` leaves the nodes whose rules differ from those of their bodies: it is for functions that are
about to be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable

from symc.ir.core import Function, Node, Value
from symc.ir.ops.record import Op
from symc.ir.options import Options
from symc.ir.specialise import rebound


def run(function: Function, options: Options) -> Function:
    """Replace every node that stands for other nodes by those, to any depth."""
    return _without(function, lambda op: op.runs_region or op.expand is not None)


def calls(function: Function, options: Options) -> Function:
    """Replace what runs its region and has no derivative of its own, to any depth."""
    return _without(function, lambda op: op.runs_region and op.modes is None)


def _without(function: Function, gone: Callable[[Op], bool]) -> Function:
    if not any(gone(node.op) for node in function.nodes):
        return function
    replaced: dict[Value, Value] = {}
    placed: list[Node] = []
    # Work items, last first: a node to copy, or the results of a finished body to bind.
    todo: list[Node | tuple[Node, tuple[Value, ...]]] = list(reversed(function.nodes))
    read = _read(function)
    while todo:
        item = todo.pop()
        if isinstance(item, tuple):
            call, results = item
            replaced.update(
                (old, replaced.get(new, new))
                for old, new in zip(call.results, results, strict=True)
            )
        elif gone(item.op):
            body = item.regions[0] if item.op.expand is None else item.op.expand(item, read)
            body = rebound(body, {})
            read |= _read(body)
            actual = [replaced.get(operand, operand) for operand in item.operands]
            replaced.update(zip(body.params, actual, strict=True))
            todo.append((item, body.results))
            todo.extend(reversed(body.nodes))
        else:
            placed.append(_copy(item, replaced))
    results = tuple(replaced.get(value, value) for value in function.results)
    return Function(function.name, function.params, tuple(placed), results, function.constraints)


def _read(function: Function) -> set[Value]:
    """What nodes of the function read, and its results."""
    return {*function.results, *(x for node in function.nodes for x in node.operands)}


def _copy(node: Node, replaced: dict[Value, Value]) -> Node:
    """The node over current operands; always a new node, since a body may be inlined twice."""
    operands = tuple(replaced.get(operand, operand) for operand in node.operands)
    types = tuple(result.type for result in node.results)
    copy = Node(
        node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
    )
    replaced.update(zip(node.results, copy.results, strict=True))
    return copy
