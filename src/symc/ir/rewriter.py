"""Rebuilding functions.

before: a function, and what to put in place of some of its nodes.  after: a new function, or the
same object when nothing changed.

Invariants: nodes stay in program order; nodes that became unused stay (removing them is a pass of
its own); new nodes carry the locations of the node that they replace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from symc.ir.build import apply, placed_at
from symc.ir.core import Function, Locations, Node, Value, reachable
from symc.ir.errors import OpContractError, message
from symc.ir.locations import UNKNOWN

# The node with its new operands -> values in place of its results, or None to keep it.
Replace = Callable[[Node], Sequence[Value] | None]

MOST_LOCATIONS = 8
NOTHING: Final[Mapping[Value, Value]] = MappingProxyType({})


def rewrite(function: Function, replace: Replace) -> Function:
    """Offer every node to `replace`, in program order, regions first.

    `replace` may build nodes from the operands of the node that it is given; they are placed before
    whatever used the results.  Values in place must have the types of the results.
    """
    changed = False
    values: dict[Value, Value] = {}
    placed: dict[Node, None] = {}
    for node in function.nodes:
        regions = tuple(rewrite(region, replace) for region in node.regions)
        now = remake(node, [values.get(x, x) for x in node.operands], regions)
        with placed_at(node.locations):
            instead = replace(now)
        results = now.results if instead is None else tuple(instead)
        _check_types(node, results)
        if instead is None:
            placed[now] = None
        else:
            place_new(results, placed)
        if results != node.results:
            changed = True
            values.update(zip(node.results, results, strict=True))
    if not changed:
        return function
    results = tuple(values.get(result, result) for result in function.results)
    return Function(function.name, function.params, tuple(placed), results, function.constraints)


def _check_types(node: Node, results: Sequence[Value]) -> None:
    got, expected = [x.type for x in results], [x.type for x in node.results]
    if got != expected:
        raise OpContractError(
            message(
                f"replacement of {node.op.name}",
                got=got,
                expected=expected,
                where=node.locations[0],
            )
        )


def place_new(results: Iterable[Value], placed: dict[Node, None]) -> None:
    """Append the nodes behind `results` that are not in `placed` yet, operands first."""
    found: set[Node] = set()
    todo = list(results)
    while todo:
        node = todo.pop().node
        if node is not None and node not in placed and node not in found:
            found.add(node)
            todo.extend(node.operands)
    placed.update(dict.fromkeys(sorted(found, key=lambda node: node.serial)))


def remake(node: Node, operands: Sequence[Value], regions: tuple[Function, ...]) -> Node:
    """`node` on other operands and regions; itself when they are the same."""
    same_operands = all(a is b for a, b in zip(operands, node.operands, strict=True))
    if same_operands and all(a is b for a, b in zip(regions, node.regions, strict=True)):
        return node
    made = apply(node.op, operands, node.attrs, regions=regions, locations=node.locations)
    for old, new in zip(node.results, made.results, strict=True):
        new.name = old.name
    return made


def substituted(function: Function, instead: Mapping[Value, Value]) -> Function:
    """`function` with results of nodes replaced by values that are available before their uses."""
    return rewrite(
        function,
        lambda node: (
            [instead.get(x, x) for x in node.results]
            if any(x in instead for x in node.results)
            else None
        ),
    )


def spliced(
    function: Function, operands: Sequence[Value], instead: Mapping[Value, Value] = NOTHING
) -> tuple[Value, ...]:
    """The results of a copy of the function's nodes that reads `operands` in place of its params.

    Types are inferred anew; named dims keep their names (see `specialise`).  `instead`: results of
    nodes -> what to read in their place; their nodes are not copied.
    """
    if len(operands) != len(function.params):
        raise OpContractError(
            message(f"{function.name}: operands", got=len(operands), expected=len(function.params))
        )
    values: dict[Value, Value] = dict(zip(function.params, operands, strict=True))
    values.update(instead)
    for node in function.nodes:
        if all(result in instead for result in node.results):
            continue
        made = apply(
            node.op,
            [values[x] for x in node.operands],
            node.attrs,
            regions=node.regions,
            locations=node.locations,
        )
        for old, new in zip(node.results, made.results, strict=True):
            values.setdefault(old, new)
    return tuple(values[result] for result in function.results)


def merged_locations(*sets: Locations) -> Locations:
    """The union in order, without unknown places if there are others; at most `MOST_LOCATIONS`."""
    found = dict.fromkeys(place for places in sets for place in places)
    known = tuple(place for place in found if place != UNKNOWN)
    return known[:MOST_LOCATIONS] or (UNKNOWN,)


def closed_over(
    name: str, params: Sequence[Value], results: Sequence[Value], since: int
) -> tuple[Function, list[Value]]:
    """The graph from `params` to `results` as a closed function, and what else it reads.

    Values made before node number `since`, and free ones, become params after `params`, in the
    order of the second result; constants among them are copied into the function.
    """
    nodes, free = reachable(results, stop=params, since=since)
    values: dict[Value, Value] = {}
    made: list[Node] = []
    captured = []
    for value in free:
        source = value.node
        if source is not None and not source.operands and not source.regions:
            copy = _copied(source, {})
            made.append(copy)
            values[value] = copy.results[value.index]
        else:
            captured.append(value)
            values[value] = Value(value.type, name=value.name)
    for node in nodes:
        copy = node if values.keys().isdisjoint(node.operands) else _copied(node, values)
        made.append(copy)
        if copy is not node:
            values.update(zip(node.results, copy.results, strict=True))
    inner = (*params, *(values[value] for value in captured))
    outer = tuple(values.get(result, result) for result in results)
    return Function(name, inner, tuple(made), outer), captured


def _copied(node: Node, values: Mapping[Value, Value]) -> Node:
    """The node on other operands of the same types."""
    operands = tuple(values.get(operand, operand) for operand in node.operands)
    types = tuple(result.type for result in node.results)
    return Node(
        node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
    )
