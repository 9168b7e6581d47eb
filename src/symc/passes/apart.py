"""What stands side by side is reduced part by part: `sum(concat(a, b))` as `sum(a) + sum(b)`.

before: any tensor function.  after: a reduction of a concatenation, or of elementwise work on one,
that nothing else needs is made of the reductions of its parts, which are then never put together.
Bits: unchanged along an axis that is kept, for `max`, `min`, `any` and `all`, and for integers; a
sum or product of floats over the axis of the parts takes another tree, with the licence `reassoc`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final

from symc.ir import ops, term
from symc.ir.build import apply, placed_at
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, prove_le
from symc.ir.ops.attributes import integer, integers
from symc.ir.ops.record import Kind, Op
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes import dce
from symc.passes.share import Note
from symc.passes.sweep import Sweep

REASSOC: Final = "reassoc"
DEEP: Final = 8  # elementwise steps between a reduction and what stands side by side
MOST: Final = 4  # parts; each costs a kernel
# What combines the reductions of two parts.
BOTH: Final[dict[Op, Op]] = {
    ops.SUM: ops.ADD,
    ops.PROD: ops.MUL,
    ops.MAX: ops.MAXIMUM,
    ops.MIN: ops.MINIMUM,
    ops.ANY: ops.OR,
    ops.ALL: ops.AND,
}

Once = Callable[[Value], bool]


def run(function: Function, options: Options, note: Note | None = None) -> Function:
    """Take reductions apart."""
    if not _has_both(function):
        return function
    live = dce.run(function, options)
    uses = live.uses()
    results = frozenset(live.results)

    def once(value: Value) -> bool:
        return len(uses.get(value, ())) == 1 and value not in results

    def visit(node: Node) -> Sequence[Value] | None:
        made = _taken_apart(node, once, options.licences)
        if made is None:
            return None
        if note is not None:
            note("apart", node.results[0], made)
        return (made,)

    after = Sweep(live).run(visit)
    return function if after is live else after


def _has_both(function: Function) -> bool:
    nodes = function.nodes
    return any(n.op is ops.CONCAT for n in nodes) and any(n.op in BOTH for n in nodes)


def _taken_apart(node: Node, once: Once, licences: frozenset[str]) -> Value | None:
    """The reduction from those of the parts of its operand; None where it stays."""
    if node.op not in BOTH:
        return None
    whole = _concat(node.operands[0], once)
    if whole is None or not 2 <= len(whole.operands) <= MOST:
        return None
    axis, axes = integer(whole.attrs, "axis"), integers(node.attrs, "axes")
    sizes = [part.type.shape[axis] for part in whole.operands]
    if axis in axes and not _may_combine(node, sizes, licences):
        return None
    with placed_at(node.locations):
        parts = [
            term.make(node.op, _part(node.operands[0], whole, number), axes=axes)
            for number in range(len(sizes))
        ]
        if axis in axes:
            return reduce(lambda a, b: term.make(BOTH[node.op], a, b), parts).value
        return term.concat(parts, axis - sum(reduced < axis for reduced in axes)).value


def _may_combine(node: Node, sizes: Sequence[Size], licences: frozenset[str]) -> bool:
    """Whether the reductions of parts of these sizes give that of all."""
    if node.op in (ops.MAX, ops.MIN):
        return all(prove_le(1, size) for size in sizes)
    return node.results[0].type.dtype.kind in "iub" or REASSOC in licences


def _concat(value: Value, once: Once) -> Node | None:
    """The concatenation that `value` is computed from by elementwise steps, each used once."""
    level = [value]
    for _ in range(DEEP):
        below: list[Value] = []
        for one in level:
            node = one.node
            if node is None or not once(one):
                continue
            if node.op is ops.CONCAT:
                return node
            if node.op.kind is Kind.ELEMENTWISE:
                below += dict.fromkeys(node.operands)
        level = below
    return None


def _part(value: Value, whole: Node, number: int) -> Term:
    """The part of `value` that is computed from one part of a concatenation."""
    node = value.node
    if node is whole:
        return Term(whole.operands[number])
    if node is not None and node.op.kind is Kind.ELEMENTWISE and _is_from(node, whole):
        operands = [_part(operand, whole, number).value for operand in node.operands]
        made = apply(node.op, operands, node.attrs, locations=node.locations)
        return Term(made.results[0])
    axis = integer(whole.attrs, "axis")
    begin: Size = 0
    for part in whole.operands[:number]:
        begin = begin + part.type.shape[axis]
    starts = [begin if i == axis else 0 for i in range(value.type.rank)]
    shape = list(value.type.shape)
    shape[axis] = whole.operands[number].type.shape[axis]
    return Term(value).slice(starts, shape, [1] * len(shape))


def _is_from(node: Node, whole: Node) -> bool:
    """Whether an elementwise node is computed from a concatenation by elementwise steps."""
    level = [node]
    for _ in range(DEEP):
        below = {x.node for one in level for x in one.operands if x.node is not None}
        if whole in below:
            return True
        level = [one for one in below if one.op.kind is Kind.ELEMENTWISE]
    return False
