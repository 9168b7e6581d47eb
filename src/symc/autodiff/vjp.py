"""Reverse mode: cotangents of inputs from cotangents of results, in one sweep backwards.

before: a graph of tensor values.  after: the same graph and an adjoint graph that reads it.  A
pointwise tangent rule is its own transpose (its Jacobian is diagonal); structural linear ops carry
a `transpose`; other rules are transposed by a sweep over the small linear graph that they build.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.autodiff.cotangents import Cotangents
from symc.autodiff.jvp import push_one
from symc.autodiff.linear import carries, passes, path, refuse, terms
from symc.ir.build import placed_at
from symc.ir.core import Node, Value, nodes_so_far
from symc.ir.errors import SymcError, placed
from symc.ir.ops.record import Kind, Modes
from symc.ir.term import Term


def gradient(
    results: Sequence[Value],
    cotangents: Sequence[Value],
    wrt: Sequence[Value],
    since: int | None = None,
) -> list[Value | None]:
    """Cotangent of each of `wrt`, given those of `results` (same types, in order).

    None where no result depends on it by a differentiable route.  `since`: see `linear.path`.
    """
    known = Cotangents()
    for result, cotangent in zip(results, cotangents, strict=True):
        if carries(result.type):
            known.add(result, Term(cotangent))
    wanted = set(wrt)
    nodes = path(results, wrt, since)
    active = wanted.union(*(node.results for node in nodes))
    for node in reversed(nodes):
        # Complete, since all users of the results came before.
        arrived = [known.get(r) if r in wanted else known.take(r) for r in node.results]
        if any(cotangent is not None for cotangent in arrived):
            with placed_at(node.locations):
                _pull_all(known, node, arrived, active)
    return [known.get(value) for value in wrt]


def _pull_all(
    known: Cotangents, node: Node, arrived: Sequence[Value | None], active: set[Value]
) -> None:
    """Pass the cotangents of the node's results on to its operands."""
    asked = [
        operand in active and carries(operand.type) and passes(node.op, number)
        for number, operand in enumerate(node.operands)
    ]
    if node.op.modes is not None:
        found = _pull_by_hand(node, node.op.modes, arrived, asked)
        for operand, cotangent in zip(node.operands, found, strict=True):
            if cotangent is not None:
                known.add(operand, Term(cotangent))
        return
    if len(arrived) != 1 or arrived[0] is None:
        raise refuse(node, "reverse")
    for number, operand in enumerate(node.operands):
        if asked[number]:
            known.add(operand, pull(node, number, arrived[0]))


def _pull_by_hand(
    node: Node, modes: Modes, arrived: Sequence[Value | None], asked: Sequence[bool]
) -> Sequence[Value | None]:
    try:
        return modes.pull(gradient, node, arrived, asked)
    except SymcError as error:
        raise placed(error, node.locations[0]) from None


def pull(node: Node, number: int, cotangent: Value) -> Term:
    """Cotangent of operand `number` of `node` from the cotangent of its result."""
    op = node.op
    if op.transpose is not None and (number in op.linear or op.arity is None):
        return op.transpose(Term(cotangent), terms(node.operands), node.attrs, number)
    if op.kind is Kind.ELEMENTWISE:
        return push_one(node, number, cotangent)
    return _pull_through_tangent(node, number, cotangent)


def _pull_through_tangent(node: Node, number: int, cotangent: Value) -> Term:
    """Transpose a structural op's tangent rule by a sweep over the linear graph that it builds."""
    since = nodes_so_far()
    tangent = Value(node.operands[number].type, name="tangent")
    pushed = push_one(node, number, tangent)
    (pulled,) = gradient([pushed.value], [cotangent], [tangent], since)
    if pulled is None:
        raise refuse(node, "reverse")
    return Term(pulled)
