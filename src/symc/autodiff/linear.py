"""What both modes share: which nodes a derivative passes through, and zeros.

Only floating dtypes carry derivatives; a missing tangent or cotangent is `None`, never an array of
zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Node, Value, reachable
from symc.ir.errors import UnsupportedError, message
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import Literal, TensorType, is_float


def carries(type: TensorType) -> bool:
    """Whether values of this type have derivatives."""
    return is_float(type.dtype)


def path(results: Iterable[Value], wrt: Sequence[Value], since: int | None = None) -> list[Node]:
    """Nodes through which `results` depend on `wrt` by a differentiable route, in program order.

    Nodes older than number `since` do not depend on `wrt` and are not walked; by default those that
    are older than `wrt` itself, since a node is made after its operands.
    """
    nodes, _ = reachable(results, stop=wrt, since=oldest(wrt) if since is None else since)
    active = set(wrt)
    found = []
    for node in nodes:
        if any(passes(node.op, i) and operand in active for i, operand in enumerate(node.operands)):
            moved = [result for result in node.results if carries(result.type)]
            if moved:
                active.update(moved)
                found.append(node)
    return found


def oldest(wrt: Sequence[Value]) -> int:
    """A number that no node which depends on `wrt` is below."""
    return min((0 if value.node is None else value.node.serial for value in wrt), default=0)


def passes(op: Op, operand: int) -> bool:
    """Whether a derivative may pass operand number `operand` of `op`."""
    if op.no_derivative is not None:
        return False
    if op.modes is not None:
        return True
    if operand in op.linear or (op.arity is None and bool(op.linear)):
        return True
    if op.arity is None:
        return bool(op.tangents)
    return operand < len(op.tangents) and op.tangents[operand] is not None


def zeros(type: TensorType, like: Node) -> Value:
    """A tensor of zeros of `type`, placed at the location of `like`."""
    zero = Literal(np.zeros((), type.dtype))
    scalar = apply(ops.CONSTANT, (), {"value": zero}, locations=like.locations).results[0]
    if not type.shape:
        return scalar
    attrs = {"shape": type.shape, "axes": ()}
    return apply(ops.BROADCAST, (scalar,), attrs, locations=like.locations).results[0]


def terms(values: Iterable[Value]) -> list[Term]:
    """Values with operators."""
    return [Term(value) for value in values]


def refuse(node: Node, mode: str) -> UnsupportedError:
    """The error for a node that offers no derivative in `mode`."""
    return UnsupportedError(
        message(
            f"{node.op.name} has no {mode}-mode derivative",
            where=node.locations[0],
            advice="sc.stop_gradient around it, or a custom rule",
        )
    )
