"""What can be seen of a value from how it was made: that it is never negative, that it grows fast.

Both look at a bounded number of nodes; what they do not see is False.
"""

from __future__ import annotations

from typing import Final

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.ops.record import Op
from symc.passes.pattern import Match
from symc.passes.uniform import scalar_constant, transparent

# As far as anyone writes such an expression in one line.
_MOST_NODES = 64

# Never negative, whatever the operand; never negative when no operand is.
_NEVER: Final[frozenset[Op]] = frozenset(
    {ops.EXP, ops.EXP2, ops.SIGMOID, ops.SOFTPLUS, ops.ABS, ops.SQRT, ops.RELU}
)
_INHERITS: Final[frozenset[Op]] = frozenset(
    {ops.ADD, ops.MUL, ops.DIV, ops.SUM, ops.PROD, ops.MAX, ops.MIN, ops.MINIMUM}
)


def not_negative(m: Match, value: Value) -> bool:
    """Whether no element can be below 0 (an element may be NaN)."""
    todo = [value]
    for _ in range(_MOST_NODES):
        if not todo:
            return True
        value = todo.pop()
        node = m.behind(value)
        number = scalar_constant(value)
        if number is not None and number >= 0:
            continue
        if node is None:
            return False
        if node.op in _NEVER or _is_square(node):
            continue
        if transparent(node):
            todo.append(node.operands[0])
        elif node.op in _INHERITS:
            todo += node.operands
        else:
            return False
    return False


def _is_square(node: Node) -> bool:
    return node.op is ops.MUL and node.operands[0] is node.operands[1]


def grows(m: Match, *terms: Value) -> bool:
    """Whether the sum of `terms` is one with exponentials: each term has one, or is a number.

    A number alone does not grow.
    """
    todo = list(terms)
    found = False
    for _ in range(_MOST_NODES):
        if not todo:
            return found
        value = todo.pop()
        node = m.behind(value)
        number = scalar_constant(value)
        if number is not None and number > 0:
            continue
        if node is None:
            return False
        if node.op is ops.EXP:
            found = True
        elif transparent(node) or node.op is ops.SUM:
            todo.append(node.operands[0])
        elif node.op is ops.ADD:
            todo += node.operands
        elif node.op in {ops.MUL, ops.DIV}:
            factors = [x for x in node.operands if scalar_constant(x) is None]
            todo += factors[:1] if len(factors) == 1 else _exponentials(node)
        else:
            return False
    return False


def _exponentials(node: Node) -> list[Value]:
    """The operand that is an exponential, or the first: that one must grow."""
    for operand in node.operands:
        if operand.node is not None and operand.node.op is ops.EXP:
            return [operand]
    return [node.operands[0]]
