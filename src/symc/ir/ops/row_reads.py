"""One row of an array that is not made for it: of slices set into zeros, of what is broadcast.

before: an array, and the number of a row, which a step knows.  after: that row, with the bits that
it has in the array.  The cotangent of `ys[-100:]` has 100 rows that are not 0: a step reads them
from those, and no array of all rows is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from symc.ir import term
from symc.ir.core import Node, Value
from symc.ir.ops import attributes
from symc.ir.ops.arithmetic import ADD, FLOORDIV
from symc.ir.ops.assemble import CONCAT, SET_SLICE
from symc.ir.ops.view import BROADCAST

if TYPE_CHECKING:
    from symc.ir.term import Term

_DEEP: Final = 16
_PARTS: Final = 8  # of a concatenation


def row_of(array: Value, number: Term, deep: int = _DEEP) -> Term:
    """Row `number` (an i64 scalar, in range) of an array."""
    node = array.node
    whole = term.Term(array)
    if node is None or not _is_assembled(node) or not deep:
        return term.take(whole, number, 0, "fill")
    if node.op is BROADCAST:
        axes = [axis - 1 for axis in attributes.integers(node.attrs, "axes")]
        return term.Term(node.operands[0]).broadcast(whole.shape[1:], axes)
    if node.op is ADD:
        left, right = (row_of(x, number, deep - 1) for x in node.operands)
        return left + right
    if node.op is SET_SLICE:
        return _of_slice(node, number, deep)
    found = row_of(node.operands[0], number, deep - 1)
    start = node.operands[0].type.shape[0]
    for part in node.operands[1:]:
        behind = number - term.size(start)
        found = _either(behind.ge(0), row_of(part, behind, deep - 1), found)
        start = start + part.type.shape[0]
    return found


def _is_assembled(node: Node) -> bool:
    """Whether a row is read from what the array is made of."""
    if node.op is BROADCAST:
        return 0 not in attributes.integers(node.attrs, "axes")
    if node.op is ADD:
        return any(x.node is not None and _is_made_of_rows(x.node) for x in node.operands)
    return _is_made_of_rows(node)


def _is_made_of_rows(node: Node) -> bool:
    if node.op is CONCAT:
        return attributes.integer(node.attrs, "axis") == 0 and len(node.operands) <= _PARTS
    if node.op is not SET_SLICE:
        return False
    rest = node.operands[1].type.shape[1:] == node.operands[0].type.shape[1:]
    return rest and set(attributes.integers(node.attrs, "steps")[1:]) <= {1}


def _of_slice(node: Node, number: Term, deep: int) -> Term:
    base, rows = node.operands
    start = attributes.sizes(node.attrs, "starts")[0]
    step = attributes.integers(node.attrs, "steps")[0]
    ahead = number - term.size(start)
    by = term.size(step)
    place = ahead if step == 1 else term.make(FLOORDIV, ahead, by)
    inside = place.ge(0) & place.lt(term.size(rows.type.shape[0]))
    if step != 1:
        inside = inside & (place * by).eq(ahead)
    return _either(inside, row_of(rows, place, deep - 1), row_of(base, number, deep - 1))


def _either(mask: Term, left: Term, right: Term) -> Term:
    return term.where(mask.broadcast(left.shape, ()), left, right)
