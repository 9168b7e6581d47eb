"""Forward mode: tangents of results along tangents of inputs, in one sweep in program order.

before: a graph of tensor values.  after: the same graph and a tangent graph beside it that reads
it.  Tangent rules come from the op records; there is no list of operations here.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.autodiff.linear import carries, passes, path, refuse, terms, zeros
from symc.ir.build import apply, placed_at
from symc.ir.core import Node, Value
from symc.ir.errors import SymcError, placed
from symc.ir.ops.record import Kind
from symc.ir.term import Term


def tangents(
    results: Sequence[Value],
    wrt: Sequence[Value],
    along: Sequence[Value],
    since: int | None = None,
) -> list[Value | None]:
    """Tangent of each of `results` when `wrt[i]` moves along `along[i]` (same type).

    None where a result does not depend on `wrt`.  `since`: see `linear.path`.
    """
    known: dict[Value, Value] = dict(zip(wrt, along, strict=True))
    for node in path(results, wrt, since):
        moved = [known.get(operand) for operand in node.operands]
        with placed_at(node.locations):
            pushed = zip(node.results, push(node, moved), strict=True)
            known.update((result, tangent) for result, tangent in pushed if tangent is not None)
    return [known.get(result) if carries(result.type) else None for result in results]


def push(node: Node, moved: Sequence[Value | None]) -> Sequence[Value | None]:
    """Tangents of the node's results from those of its operands."""
    if node.op.modes is not None:
        try:
            return node.op.modes.push(tangents, node, moved)
        except SymcError as error:
            raise placed(error, node.locations[0]) from None
    if len(node.results) != 1:
        raise refuse(node, "forward")
    if node.op.linear and not node.op.multilinear and not _separable(node, moved):
        return (_push_linear(node, moved),)
    total: Term | None = None
    for number, tangent in enumerate(moved):
        if tangent is None or not passes(node.op, number):
            continue
        part = push_one(node, number, tangent)
        total = part if total is None else total + part
    return (None if total is None else total.value,)


def _separable(node: Node, moved: Sequence[Value | None]) -> bool:
    """Whether operands of a jointly linear op are better pushed one by one: no zeros are made."""
    return node.op.kind is Kind.ELEMENTWISE and any(
        tangent is None for number, tangent in enumerate(moved) if number in node.op.linear
    )


def push_one(node: Node, number: int, tangent: Value) -> Term:
    """Contribution of the tangent of operand `number` alone."""
    if node.op.multilinear and number in node.op.linear:
        operands = list(node.operands)
        operands[number] = tangent
        made = apply(node.op, tuple(operands), node.attrs)
        return Term(made.results[0])
    if node.op.kind is Kind.ELEMENTWISE and node.op.transpose is not None:
        # The Jacobian is diagonal, so it is its own transpose.
        return node.op.transpose(Term(tangent), terms(node.operands), node.attrs, number)
    rule = node.op.tangents[number if node.op.arity is not None else 0]
    if rule is None:
        raise refuse(node, "forward")
    try:
        return rule(Term(tangent), Term(node.results[0]), terms(node.operands), node.attrs)
    except SymcError as error:
        raise placed(error, node.locations[0]) from None


def _push_linear(node: Node, moved: Sequence[Value | None]) -> Value:
    """A jointly linear op: the op itself, on tangents in its linear operands."""
    operands = list(node.operands)
    for number, operand in enumerate(node.operands):
        if number in node.op.linear or node.op.arity is None:
            tangent = moved[number]
            operands[number] = tangent if tangent is not None else zeros(operand.type, node)
    return apply(node.op, tuple(operands), node.attrs).results[0]
