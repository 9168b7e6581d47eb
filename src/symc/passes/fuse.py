"""Fusion: which nodes become one kernel.

before: an optimised Function.  after: a `Fusion`: groups in launch order, each of which
`lower.py` turns into one nest, and the values that are other values' buffers (reshapes).

Nodes are visited from the last to the first, so that a node's users have their groups already.  A
producer joins its users' group when it has one place to be computed at; users that could share it
merge when no path leads from one to the other; what is cheap and reads nothing large is repeated;
all else is stored.  At the end groups that load the same values over one frame merge too.  Views
cost nothing: they are folded into the indices of what is read.

Invariants: the graph of groups has no cycle; time is near linear in the number of nodes (searches
for cycles have a budget, and answer "no fusion" when it is spent).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from symc.ir.binding import bound_by, mentioned_by
from symc.ir.core import Function, Node
from symc.ir.dims import Symbol, symbols
from symc.ir.ops.record import Kind
from symc.passes.fuse_anchor import contract, join_rows, place_pieces, place_scatter
from symc.passes.fuse_group import Group, Shape, Store, in_order
from symc.passes.fuse_index import compose
from symc.passes.fuse_merge import merged
from symc.passes.fuse_partition import Fusion, Partition, Use, is_alias, kind_of, view_map
from symc.passes.fuse_wait import wait


def run(function: Function) -> Fusion:
    """Partition `function` into groups."""
    partition = Partition(function)
    for node in reversed(function.nodes):
        _VISIT[kind_of(node)](partition, node)
    results = (value for node in function.nodes for value in node.results)
    for value in (*function.params, *results):
        if partition.is_shared(value):
            merged(partition, value, partition.split(value)[0])
    groups = in_order(partition.living())
    for group in groups:
        group.stores.sort(key=lambda store: partition.numbered(store.target))
    p = partition
    p.uses.update(p.copied)
    return Fusion(function, tuple(groups), p.axes, p.aliases, p.number, p.uses, p.refusals)


def _source(p: Partition, node: Node) -> None:
    if not p.in_body(node.results[0]):
        return
    inline, buffered = p.split(node.results[0])
    ramp = "axis" in node.attrs
    for group, uses in inline.items():
        if ramp and group.shape is Shape.CONTRACT:
            buffered += uses
            continue
        group.ramps = group.ramps or ramp
        p.join(node, group, uses)
    if buffered:
        p.own(node, buffered).ramps = ramp


def _view(p: Partition, node: Node) -> None:
    value, operand = node.results[0], node.operands[0]
    map = view_map(node)
    alias = is_alias(node)
    copied: list[Use] = []
    for use in p.uses.pop(value, []):
        wait(p, node, use)
        if use.index is not None and map is not None:
            p.use(operand, Use(use.group, compose(map, use.index), use.space, use.spent))
        elif alias:
            p.aliases[value] = operand
            p.use(operand, Use(use.group))
        else:
            copied.append(use)
    if copied:
        p.copied[value] = copied
        p.own(node, copied)


def _elementwise(p: Partition, node: Node) -> None:
    value = node.results[0]
    inline, buffered = p.split(value)
    if p.is_light(value) and p.repeat(node, inline):
        if buffered:
            p.own(node, buffered)
        return
    inline = merged(p, value, inline)
    if len(inline) > 1 and not buffered and value in p.repeatable and p.repeat(node, inline):
        return
    if not p.join_one(node, inline, buffered):
        p.own(node, [*buffered, *(use for uses in inline.values() for use in uses)])


def _control(p: Partition, node: Node) -> None:
    """A loop or a choice is a kernel of its own; its results lie in memory, read or not."""
    group = p.new_group(Shape.CONTROL, [], node)
    group.effect = node
    own = bound_by(node)
    if own is not None:
        group.precede([g for g in p.living() if g is not group and _mentions(p, g, own)])
    for value in node.results:
        inline, buffered = p.split(value)
        readers = [*buffered, *(use for uses in inline.values() for use in uses)]
        group.add_store(Store(value, (), value, ()), p.number[node])
        p.precede(group, readers)
    for operand in node.operands:
        p.use(operand, Use(group))


def _mentions(p: Partition, group: Group, dim: Symbol) -> bool:
    """Whether a group runs only when a computed dim is known."""
    if any(dim in symbols(p.axes.sizes[axis]) for axis in group.axes):
        return True
    nodes = group.members if group.effect is None else {*group.members, group.effect}
    return any(
        dim in mentioned_by(node) or any(dim in x.type.symbols() for x in node.operands)
        for node in nodes
    )


_VISIT: Final[dict[Kind, Callable[[Partition, Node], None]]] = {
    Kind.SOURCE: _source,
    Kind.VIEW: _view,
    Kind.ELEMENTWISE: _elementwise,
    Kind.GATHER: _elementwise,
    Kind.REDUCE: join_rows,
    Kind.CONTRACT: contract,
    Kind.SCATTER: place_scatter,
    Kind.ASSEMBLE: place_pieces,
    Kind.CONTROL: _control,
}
