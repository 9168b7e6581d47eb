"""Common subexpression elimination.

before: any tensor function.  after: no two nodes without effects compute the same op on the same
operands, attributes and regions.  Operands of commutative ops count in either order, `x > y` is
`y < x`, and regions are equal when they are but for the names of their values.  Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.ops.record import Op
from symc.ir.options import Options
from symc.passes.sweep import Sweep

_KEPT = frozenset({"io", "state"})
# A comparison, and the one that it is with its operands the other way round.
_MIRRORED: Final[dict[Op, Op]] = {ops.GT: ops.LT, ops.GE: ops.LE}


def run(function: Function, options: Options) -> Function:
    """Keep the first of equal nodes."""
    seen: dict[Hashable, Node] = {}
    regions = _Regions()

    def visit(node: Node) -> Sequence[Value] | None:
        if node.op.effects & _KEPT:
            return None
        key = _key(node, [id(operand) for operand in node.operands])
        if node.regions:
            bodies = [regions.key(region) for region in node.regions]
            if None in bodies:
                return None
            key = (key, *bodies)
        first = seen.setdefault(key, node)
        return None if first is node else first.results

    return Sweep(function).run(visit)


def _key(node: Node, operands: Sequence[int]) -> Hashable:
    """Equal for nodes that compute the same from operands with these numbers."""
    op, numbers = node.op, tuple(operands)
    if op.commutative:
        numbers = tuple(sorted(numbers))
    elif op in _MIRRORED:
        op, numbers = _MIRRORED[op], numbers[::-1]
    attrs = tuple(sorted(node.attrs.items(), key=_name)) if node.attrs else ()
    return (op, numbers, attrs)


def _name(item: tuple[str, Attr]) -> str:
    return item[0]


class _Regions:
    """Keys of regions: equal for those that compute the same; None where a node has effects."""

    def __init__(self) -> None:
        self._known: dict[Function, Hashable | None] = {}

    def key(self, region: Function) -> Hashable | None:
        if region not in self._known:
            self._known[region] = self._of(region)
        return self._known[region]

    def _of(self, region: Function) -> Hashable | None:
        """The nodes in order, with values numbered as they come.  Regions nest as loops do."""
        numbers = {param: i for i, param in enumerate(region.params)}
        nodes: list[Hashable] = []
        for node in region.nodes:
            bodies = tuple(self.key(body) for body in node.regions)
            if node.op.effects & _KEPT or None in bodies:
                return None
            nodes.append((_key(node, [numbers[x] for x in node.operands]), bodies))
            for result in node.results:
                numbers[result] = len(numbers)
        params = tuple(param.type for param in region.params)
        results = tuple(numbers[result] for result in region.results)
        return (params, tuple(nodes), results, region.constraints)
