"""Copies of nodes and functions, over other operands.

before: nodes or a function, and what to read in place of some values.  after: new ones that carry
the locations of those that they are made from.  Replacing nodes of a function is `passes/sweep.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from symc.ir.binding import bound_by, fresh_dim, has_binders, sourced
from symc.ir.build import apply
from symc.ir.core import Function, Locations, Node, Value, nodes_so_far, reachable_whole
from symc.ir.dims import Size
from symc.ir.errors import OpContractError, message
from symc.ir.locations import UNKNOWN
from symc.ir.specialise import rebound, renamed

MOST_LOCATIONS = 8
NOTHING: Final[Mapping[Value, Value]] = MappingProxyType({})


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


def spliced(
    function: Function, operands: Sequence[Value], instead: Mapping[Value, Value] = NOTHING
) -> tuple[Value, ...]:
    """The results of a copy of the function's nodes that reads `operands` in place of its params.

    Types are inferred anew; named dims keep their names (see `specialise`), and what the function
    binds becomes a dim of its own.  `instead`: results of nodes -> what to read in their place;
    their nodes are not copied.
    """
    if has_binders(function):
        return _spliced_anew(function, operands, instead)
    return _spliced(function, operands, instead)


def _spliced(
    function: Function, operands: Sequence[Value], instead: Mapping[Value, Value]
) -> tuple[Value, ...]:
    _check_count(function, operands)
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


def _check_count(function: Function, operands: Sequence[Value]) -> None:
    if len(operands) != len(function.params):
        raise OpContractError(
            message(f"{function.name}: operands", got=len(operands), expected=len(function.params))
        )


def _spliced_anew(
    function: Function, operands: Sequence[Value], instead: Mapping[Value, Value]
) -> tuple[Value, ...]:
    """The same where dims are bound: other dims in place of those."""
    _check_count(function, operands)
    values: dict[Value, Value] = dict(zip(function.params, operands, strict=True))
    values.update(instead)
    dims: dict[str, Size] = {}
    for node in function.nodes:
        if all(result in instead for result in node.results):
            continue
        own = bound_by(node)
        if own is not None and own.name not in dims:
            dims[own.name] = fresh_dim(nodes_so_far())
        made = apply(
            node.op,
            [values[x] for x in node.operands],
            renamed(node.attrs, dims),
            regions=tuple(rebound(region, dims) for region in node.regions),
            locations=node.locations,
        )
        for old, new in zip(node.results, sourced(made).results, strict=True):
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
    nodes, free = reachable_whole(results, stop=params, since=since)
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
    copy = Node(
        node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
    )
    for old, new in zip(node.results, copy.results, strict=True):
        new.name = old.name
    return copy
