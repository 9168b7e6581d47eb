"""Choices by one number become one.

before: switches on the same number, none of which needs a result of another.  after: one switch
whose branches do the work of all; work that they share is done once, and what only like branches of
several need can go into those.  A choice and its tangents are the common case.

Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.binding import has_binders
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value, reachable
from symc.ir.rewriter import merged_locations, remake, spliced
from symc.passes.merging import behind as behind_of
from symc.passes.merging import units

MOST: Final = 64  # choices of one function that are compared with each other


def merged(function: Function) -> Function:
    """The function with choices by one number as one."""
    switches = [node for node in function.nodes if node.op is ops.SWITCH][:MOST]
    if len(switches) < 2 or has_binders(function):
        return function
    sets = _sets(function, switches)
    if not sets:
        return function
    member = {node: chosen for chosen in sets for node in chosen}
    values: dict[Value, Value] = {}
    for unit in units(function.nodes, member):
        operands = [[values.get(x, x) for x in node.operands] for node in unit]
        if len(unit) > 1:
            values.update(_joined(unit, operands))
            continue
        kept = remake(unit[0], operands[0], unit[0].regions)
        values.update(zip(unit[0].results, kept.results, strict=True))
    results = tuple(values.get(result, result) for result in function.results)
    nodes, _ = reachable(results, stop=function.params)
    return Function(function.name, function.params, tuple(nodes), results, function.constraints)


def _sets(function: Function, switches: Sequence[Node]) -> list[list[Node]]:
    """Sets of switches that can become one: the same number, and no path between them."""
    behind = behind_of(function, switches)
    bit = {node: 1 << i for i, node in enumerate(switches)}
    by_number: dict[Hashable, list[list[Node]]] = {}
    for node in switches:
        sets = by_number.setdefault((node.operands[0], len(node.regions)), [])
        chosen = next((s for s in sets if not behind[node] & bit[s[0]]), None)
        chosen = chosen if chosen is None or not behind[chosen[0]] & bit[node] else None
        if chosen is None:
            sets.append([node])
            continue
        chosen.append(node)
        own = sum(bit[one] for one in chosen)
        needs = behind[node] | behind[chosen[0]]
        for other in switches:
            if other in chosen:
                behind[other] = needs
            elif behind[other] & own:
                behind[other] |= needs | own
    return [chosen for sets in by_number.values() for chosen in sets if len(chosen) > 1]


def _joined(unit: Sequence[Node], operands: Sequence[Sequence[Value]]) -> dict[Value, Value]:
    """One switch for several: old results -> new ones."""
    given = list(dict.fromkeys(x for row in operands for x in row[1:]))
    regions = []
    for number, first in enumerate(unit[0].regions):
        params = [Value(x.type, name=x.name) for x in given]
        own = dict(zip(given, params, strict=True))
        results: list[Value] = []
        for node, row in zip(unit, operands, strict=True):
            results += spliced(node.regions[number], [own[x] for x in row[1:]])
        nodes, _ = reachable(results, stop=params)
        constraints = [c for node in unit for c in node.regions[number].constraints]
        known = tuple(dict.fromkeys(constraints))
        region = Function(first.name, tuple(params), tuple(nodes), tuple(results), known)
        regions.append(region)
    where = merged_locations(*(node.locations for node in unit))
    values = [operands[0][0], *given]
    made = apply(ops.SWITCH, values, unit[0].attrs, regions=tuple(regions), locations=where)
    old = [result for node in unit for result in node.results]
    return dict(zip(old, made.results, strict=True))
