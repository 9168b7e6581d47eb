"""One sweep over a function, node by node, with replacements.

A `Sweep` walks the nodes in program order.  For each node a visitor may give values that replace
its results (built with the mapped operands); otherwise the node is kept, re-made only when an
operand changed.  Nodes that a visitor built are placed before the node that they replace.  When
nothing was replaced the same Function object comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from symc.ir.core import Function, Node, Value

Visit = Callable[[Node], Sequence[Value] | None]


class Sweep:
    """The state of one walk: what replaces what, and the nodes placed so far."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.replaced: dict[Value, Value] = {}
        self.nodes: list[Node] = []
        self.placed: set[Node] = set()
        self.known: set[Value] = set(function.params)
        self.fresh: set[Value] = set()  # what visitors gave, and made on the way

    def current(self, value: Value) -> Value:
        """What stands for `value` now."""
        return self.replaced.get(value, value)

    def run(self, visit: Visit) -> Function:
        """Walk all nodes, asking `visit` about each (with its operands already mapped)."""
        replaced, placed, nodes = self.replaced, self.placed, self.nodes
        for original in self.function.nodes:
            node = original
            if replaced and not replaced.keys().isdisjoint(original.operands):
                node = self._mapped(original)
            found = visit(node)
            results: Sequence[Value] = node.results
            if found is None:
                if node not in placed:
                    placed.add(node)
                    nodes.append(node)
                if node is original:
                    continue
            else:
                results = [self.current(value) for value in found]
                self._place_new(results)
                self.fresh.update(results)
            for old, new in zip(original.results, results, strict=True):
                if old is not new:
                    self.replaced[old] = new
        if not self.replaced and len(self.nodes) == len(self.function.nodes):
            return self.function
        results = tuple(self.current(value) for value in self.function.results)
        return replace(self.function, nodes=tuple(self.nodes), results=results)

    def _mapped(self, node: Node) -> Node:
        current = self.replaced.get
        operands = tuple([current(operand, operand) for operand in node.operands])
        types = tuple([result.type for result in node.results])
        return Node(
            node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
        )

    def _place(self, node: Node) -> None:
        if node not in self.placed:
            self.placed.add(node)
            self.nodes.append(node)

    def _place_new(self, results: Sequence[Value]) -> None:
        """Place the nodes behind `results` that are not placed yet, operands first."""
        todo = [(value.node, False) for value in reversed(results)]
        while todo:
            node, ready = todo.pop()
            if node is None or node in self.placed or self.known.issuperset(node.results):
                continue
            if ready:
                self._place(node)
                self.fresh.update(node.results)
                continue
            todo.append((node, True))
            todo.extend((operand.node, False) for operand in reversed(node.operands))
