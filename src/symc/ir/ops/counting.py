"""Loops that only count: how a value becomes a size.

before: an i64 scalar.  after: a `while` without ys that takes as many steps as the value says, none
where it is negative, and so binds a computed dim of that size.  To every pass it is a loop; code of
it is a subtraction.
"""

from __future__ import annotations

from typing import Final

from symc.ir import term
from symc.ir.core import Function, Node, Value, nodes_so_far
from symc.ir.ops.arithmetic import ADD
from symc.ir.ops.logic import LT
from symc.ir.ops.loop_groups import Operands, make_while, own_dim, while_groups
from symc.ir.ops.regions import closed
from symc.ir.ops.while_loop import WHILE
from symc.ir.term import Term
from symc.ir.types import I64, Literal, TensorType

NUMBER: Final = TensorType(I64, ())


def count(number: Term) -> Value:
    """How many steps there are from 0 to `number`; its node binds a dim of that size."""
    params, since = _params()
    limit, t = params
    test, _ = closed("counted", params, [Term(t).lt(Term(limit)).value], since)
    params, since = _params()
    step, _ = closed("counted", params, [(Term(params[1]) + 1).value], since)
    given = Operands([number.value], [term.size(0).value], [])
    return make_while(WHILE, (test, step), given, None, own_dim()).results[-1]


def _params() -> tuple[list[Value], int]:
    return [Value(NUMBER, name="n"), Value(NUMBER, name="t")], nodes_so_far()


def is_count(node: Node) -> bool:
    """Whether a node is such a loop: `while (t < n) t = t + 1`, for operands n and the first t."""
    if node.op is not WHILE or len(node.results) != 2 or len(node.operands) != 2:
        return False
    parts = while_groups(node)
    plain = parts.consts == parts.carries == 1 and parts.most is None and parts.rows is not None
    return plain and _tests(node.regions[0]) and _adds_one(node.regions[1])


def _tests(condition: Function) -> bool:
    (going,) = condition.results
    limit, t = condition.params
    return going.node is not None and going.node.op is LT and going.node.operands == (t, limit)


def _adds_one(body: Function) -> bool:
    made = body.results[0].node
    if made is None or made.op is not ADD or len(body.params) != 2:
        return False
    t, one = made.operands
    literal = None if one.node is None else one.node.attrs.get("value")
    return t is body.params[1] and isinstance(literal, Literal) and literal.array.tolist() == 1
