"""Common subexpression elimination.

before: any tensor function.  after: no two nodes without effects compute the same op on the same
operands and attributes (operands of commutative ops in either order).  Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from symc.ir.core import Attr, Function, Node, Value
from symc.ir.options import Options
from symc.passes.sweep import Sweep

_KEPT = frozenset({"io", "state"})


def run(function: Function, options: Options) -> Function:
    """Keep the first of equal nodes."""
    seen: dict[Hashable, Node] = {}

    def visit(node: Node) -> Sequence[Value] | None:
        if node.op.effects & _KEPT or node.regions:
            return None
        first = seen.setdefault(_key(node), node)
        if first is node:
            return None
        return first.results

    return Sweep(function).run(visit)


def _key(node: Node) -> Hashable:
    operands: tuple[int, ...] = tuple(id(operand) for operand in node.operands)
    if node.op.commutative:
        operands = tuple(sorted(operands))
    attrs = tuple(sorted(node.attrs.items(), key=_name)) if node.attrs else ()
    return (node.op, operands, attrs)


def _name(item: tuple[str, Attr]) -> str:
    return item[0]
