"""Computed dims: sizes that a node finds out, such as how many steps a loop ran.

A node *binds* a computed dim when its attribute `rows` is one; its last result, an i64 scalar, is
the value of the dim.  Result types and attributes of other nodes *mention* it.  A node that
mentions a dim needs not read anything of the node that binds it: what follows keeps such pairs
together, and in order.

Invariants: in a function a dim is bound before it is mentioned; a dim that is bound twice has the
same value both times (the loop and its tangent); a dim that a region binds is not seen outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from symc.ir.dims import Dim, Size, Source, Symbol, symbol, symbols

if TYPE_CHECKING:
    from symc.ir.core import Attr, Function, Node, Value


def bound_by(node: Node) -> Symbol | None:
    """The computed dim that a node binds."""
    if not node.regions:
        return None
    rows = node.attrs.get("rows")
    return only_symbol(rows) if isinstance(rows, Dim) else None


def only_symbol(size: Dim) -> Symbol:
    """The symbol that a plain dim is."""
    (found,) = symbols(size)
    return found


def plain_computed(size: Dim) -> bool:
    """Whether a size is one computed dim and nothing else."""
    named = list(symbols(size))
    return len(named) == 1 and named[0].computed and size == symbol(named[0].name, computed=True)


def has_computed(size: Size) -> bool:
    """Whether a size mentions a computed dim."""
    return isinstance(size, Dim) and any(s.computed for s in symbols(size))


def fresh_dim(number: int, least: int = 0) -> Dim:
    """A computed dim of its own, never below `least`; `number` is unique in this process."""
    return symbol(f"steps.{number}", computed=True, source=Source(least=least))


def at_least(size: Size, bound: int) -> bool:
    """Whether a size is a computed dim that is known not to be below `bound`."""
    if not isinstance(size, Dim) or not plain_computed(size):
        return False
    source = only_symbol(size).source
    return source is not None and source.least >= bound


def sourced(node: Node) -> Node:
    """Let the dim that a new node binds know it."""
    found = bound_by(node)
    if found is not None and found.source is not None and found.source.value is None:
        found.source.value = node.results[-1]
    return node


def _in_attr(attr: Attr) -> Iterable[Symbol]:
    if isinstance(attr, Dim):
        return (s for s in symbols(attr) if s.computed)
    if isinstance(attr, tuple):
        return (s for item in attr for s in _in_attr(item))
    return ()


def _in_types(values: Iterable[Value]) -> Iterable[Symbol]:
    return (s for value in values for s in value.type.symbols() if s.computed)


def mentioned_by(node: Node) -> set[Symbol]:
    """The computed dims that a node needs to be known before it runs."""
    found = {s for attr in node.attrs.values() for s in _in_attr(attr)}
    found.update(_in_types(node.results))
    for region in node.regions:
        found |= unbound(region.nodes)
        found.update(_in_types(region.params))
    own = bound_by(node)
    return found - {own} if own is not None else found


def unbound(nodes: Iterable[Node]) -> set[Symbol]:
    """The computed dims that nodes mention and none of them binds."""
    mentioned: set[Symbol] = set()
    bound: set[Symbol] = set()
    for node in nodes:
        mentioned |= mentioned_by(node)
        own = bound_by(node)
        if own is not None:
            bound.add(own)
    return mentioned - bound


def binders(nodes: Iterable[Node]) -> dict[Symbol, list[Node]]:
    """The nodes that bind each computed dim."""
    found: dict[Symbol, list[Node]] = {}
    for node in nodes:
        own = bound_by(node)
        if own is not None:
            found.setdefault(own, []).append(node)
    return found


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """Nodes in data order so that a dim is bound before it is mentioned; else as they stand."""
    if not any(node.regions for node in nodes):
        return list(nodes)
    bound = binders(nodes)
    if not bound:
        return list(nodes)
    place = {node: i for i, node in enumerate(nodes)}
    first = {own: min(map(place.__getitem__, made)) for own, made in bound.items()}
    needs = [
        [first[s] for s in mentioned_by(node) if first.get(s, i) != i]
        for i, node in enumerate(nodes)
    ]
    if all(j < i for i, row in enumerate(needs) for j in row):
        return list(nodes)
    return _sorted(nodes, place, needs)


def _sorted(
    nodes: Sequence[Node], place: Mapping[Node, int], needs: Sequence[Sequence[int]]
) -> list[Node]:
    followers: list[list[int]] = [[] for _ in nodes]
    waiting = [0] * len(nodes)
    for i, node in enumerate(nodes):
        data = {place[x.node] for x in node.operands if x.node is not None and x.node in place}
        for j in {*data, *needs[i]}:
            followers[j].append(i)
            waiting[i] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    found: list[Node] = []
    while ready:
        i = heappop(ready)
        found.append(nodes[i])
        for j in followers[i]:
            waiting[j] -= 1
            if not waiting[j]:
                heappush(ready, j)
    assert len(found) == len(nodes), "a computed dim is mentioned by what it depends on"
    return found


def sources(nodes: Sequence[Node]) -> list[Value]:
    """For each computed dim that nodes mention and none of them binds: the value that binds it."""
    dims = sorted(unbound(nodes), key=lambda dim: dim.name)
    found = [dim.source.value for dim in dims if dim.source is not None]
    return [value for value in found if value is not None]  # type: ignore[misc]


def bound_counts(nodes: Iterable[Node]) -> dict[Symbol, Value]:
    """The value of each computed dim that one of the nodes binds."""
    return {dim: made[0].results[-1] for dim, made in binders(nodes).items()}


def has_binders(function: Function) -> bool:
    """Whether the function, or a region in it, binds computed dims."""
    todo = [function]
    while todo:
        for node in todo.pop().nodes:
            if node.regions:
                if bound_by(node) is not None:
                    return True
                todo += node.regions
    return False


def bound_in(function: Function) -> list[Symbol]:
    """The computed dims that the function and its regions bind, in program order."""
    found: dict[Symbol, None] = {}
    todo: list[list[Node]] = [list(reversed(function.nodes))]
    while todo:
        if not todo[-1]:
            todo.pop()
            continue
        node = todo[-1].pop()
        own = bound_by(node)
        if own is not None:
            found[own] = None
        todo += [list(reversed(region.nodes)) for region in reversed(node.regions)]
    return list(found)
