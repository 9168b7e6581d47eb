"""What nodes that are merged into one have in common, whatever they are: scans, whiles, choices.

Which of them depend on which, an order in which each set stands as one, and which carries of loops
are the same: those that start alike and are changed alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

from symc.ir.build import apply
from symc.ir.core import Function, Node, Value


class Carried(Protocol):
    """A carry of a loop: its first value, its param, and its value after a step."""

    start: Value
    param: Value
    after: Value


class Steps(Protocol):
    """A loop taken apart."""

    def nodes(self) -> list[Node]:
        """The nodes of a step, in order."""


def behind(function: Function, chosen: Sequence[Node]) -> dict[Node, int]:
    """For each node, those of `chosen` that it depends on, as bits."""
    bit = {node: 1 << i for i, node in enumerate(chosen)}
    found: dict[Node, int] = {}
    for node in function.nodes:
        bits = 0
        for operand in node.operands:
            if operand.node is not None:
                bits |= found.get(operand.node, 0) | bit.get(operand.node, 0)
        found[node] = bits
    return found


def units(nodes: Sequence[Node], member: Mapping[Node, Sequence[Node]]) -> Iterator[Sequence[Node]]:
    """Nodes, and sets as one, in an order in which operands come first."""
    number = {node: i for i, node in enumerate(nodes)}
    unit: dict[Node, Sequence[Node]] = {node: tuple(member.get(node, (node,))) for node in nodes}
    readers: dict[Sequence[Node], list[Sequence[Node]]] = {}
    waiting: dict[Sequence[Node], int] = {}
    for node in nodes:
        own = unit[node]
        waiting.setdefault(own, 0)
        for operand in node.operands:
            if operand.node in number:
                readers.setdefault(unit[operand.node], []).append(own)
                waiting[own] += 1
    ready = [(number[own[-1]], own) for own, count in waiting.items() if count == 0]
    heapify(ready)
    while ready:
        _, own = heappop(ready)
        yield own
        for reader in readers.get(own, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heappush(ready, (number[reader[-1]], reader))


def settled(
    loops: Sequence[Steps], carries: Sequence[Carried], fixed: dict[Value, Value]
) -> tuple[list[int], dict[Value, Value]]:
    """The class of each carry, and what the values of all bodies are in one."""
    classes = _numbered([(carry.start, carry.param.type) for carry in carries])
    while True:
        params = [Value(carry.param.type, name=carry.param.name) for carry in carries]
        values = dict(fixed)
        for carry, number in zip(carries, classes, strict=True):
            values[carry.param] = params[classes.index(number)]
        seen: dict[Hashable, Node] = {}
        for loop in loops:
            _numbering(loop, values, seen)
        after = [values.get(carry.after, carry.after) for carry in carries]
        refined = _numbered(list(zip(classes, after, strict=True)))
        if refined == classes:
            return classes, values
        classes = refined


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """Equal keys by equal numbers, in order of first use."""
    number: dict[Hashable, int] = {}
    return [number.setdefault(key, len(number)) for key in keys]


def _numbering(loop: Steps, values: dict[Value, Value], seen: dict[Hashable, Node]) -> None:
    """Copy the nodes of a body, equal ones once."""
    for node in loop.nodes():
        operands = tuple(values.get(x, x) for x in node.operands)
        attrs = tuple(sorted(node.attrs.items(), key=lambda item: item[0]))
        key = (node.op, operands, attrs, node.regions)
        made = seen.get(key)
        if made is None:
            made = apply(
                node.op, operands, node.attrs, regions=node.regions, locations=node.locations
            )
            seen[key] = made
        values.update(zip(node.results, made.results, strict=True))
