"""Common subexpression elimination.

before: any tensor function.  after: no two nodes without effects compute the same op on the same
operands, attributes and regions.  Operands of commutative ops count in either order, `x > y` is
`y < x`, and regions are equal when they are but for the names of their values.  Bits: unchanged.

`merge` does the same to all but constants, ramps and views of these: equal ones count as one, and
stay.  So nodes are made anew only below work that was written twice, not below every number that
was; what is differentiated shares its nodes with the program that it is part of.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.ops.record import Kind, Op
from symc.ir.options import Options
from symc.passes.sweep import Sweep

_KEPT = frozenset({"io", "state"})
# A comparison, and the one that it is with its operands the other way round.
_MIRRORED: Final[dict[Op, Op]] = {ops.GT: ops.LT, ops.GE: ops.LE}


def run(function: Function, options: Options) -> Function:
    """Keep the first of equal nodes."""
    return Sweep(function).run(_Merging().visit)


def merge(function: Function, options: Options) -> Function:
    """Keep the first of equal nodes, and all that compute nothing."""
    return Sweep(function).run(_KeepingSources().visit)


class _Merging:
    """The nodes of a walk by what they compute."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, Node] = {}
        self._regions = _Regions()

    def first(self, node: Node, operands: Sequence[int]) -> Node:
        """The first node that computes what `node` does from operands with these numbers."""
        if node.op.effects and node.op.effects & _KEPT:
            return node
        key = _key(node, operands)
        if node.regions:
            bodies = [self._regions.key(region) for region in node.regions]
            if None in bodies:
                return node
            key = (key, *bodies)
        return self._seen.setdefault(key, node)

    def visit(self, node: Node) -> Sequence[Value] | None:
        first = self.first(node, [id(operand) for operand in node.operands])
        return None if first is node else first.results


class _KeepingSources(_Merging):
    """The same, but for sources and views of them: `_stands[v]` is the first that equals v."""

    def __init__(self) -> None:
        super().__init__()
        self._stands: dict[Value, Value] = {}

    def visit(self, node: Node) -> Sequence[Value] | None:
        stands = self._stands
        first = self.first(node, [id(stands.get(x, x)) for x in node.operands])
        kind = node.op.kind
        if kind is Kind.SOURCE or (kind is Kind.VIEW and stands.keys() >= {*node.operands}):
            stands[node.results[0]] = first.results[0]
            return None
        return None if first is node else first.results


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
