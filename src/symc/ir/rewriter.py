"""Rebuilding functions.

before: a function, and what to put in place of some of its nodes.  after: a new function, or the
same object when nothing changed.

Invariants: nodes stay in program order; nodes that became unused stay (removing them is a pass of
its own); new nodes carry the locations of the node that they replace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from symc.ir.build import apply, placed_at
from symc.ir.core import Function, Locations, Node, Value
from symc.ir.errors import OpContractError, message
from symc.ir.locations import UNKNOWN

# The node with its new operands -> values in place of its results, or None to keep it.
Replace = Callable[[Node], Sequence[Value] | None]

MOST_LOCATIONS = 8


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
            _place_new(results, placed)
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


def _place_new(results: Iterable[Value], placed: dict[Node, None]) -> None:
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


def spliced(function: Function, operands: Sequence[Value]) -> tuple[Value, ...]:
    """The results of a copy of the function's nodes that reads `operands` in place of its params.

    Types are inferred anew; named dims keep their names (see `specialise`).
    """
    if len(operands) != len(function.params):
        raise OpContractError(
            message(f"{function.name}: operands", got=len(operands), expected=len(function.params))
        )
    values: dict[Value, Value] = dict(zip(function.params, operands, strict=True))
    for node in function.nodes:
        made = apply(
            node.op,
            [values[x] for x in node.operands],
            node.attrs,
            regions=node.regions,
            locations=node.locations,
        )
        values.update(zip(node.results, made.results, strict=True))
    return tuple(values[result] for result in function.results)


def merged_locations(*sets: Locations) -> Locations:
    """The union in order, without unknown places if there are others; at most `MOST_LOCATIONS`."""
    found = dict.fromkeys(place for places in sets for place in places)
    known = tuple(place for place in found if place != UNKNOWN)
    return known[:MOST_LOCATIONS] or (UNKNOWN,)
