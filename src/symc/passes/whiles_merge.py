"""While loops that run the same steps become one.

before: while loops none of which needs a result of another.  after: those that run equally many
steps for the same reason are one loop with the operands of all.  Carries that start alike and are
changed alike are one carry (found by assuming that all which start alike are, and taking back what
a step contradicts); loops whose conditions are one value then run the same steps.

Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Final

from symc.ir import ops
from symc.ir.binding import binders, bound_by, bound_in, mentioned_by
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, substitute, symbol
from symc.ir.ops.loop_groups import while_groups
from symc.ir.specialise import renamed, specialise
from symc.passes.merging import settled
from symc.passes.whiles_form import Carry, Rebuilt, Row, While, made, taken_apart

MOST: Final = 32  # loops of one function that are compared with each other


def merged(function: Function) -> Function:
    """The function with such loops joined."""
    loops = [node for node in function.nodes if node.op is ops.WHILE][:MOST]
    if len(loops) < 2:
        return function
    behind = _behind(function, loops)
    for i, first in enumerate(loops):
        for second in loops[i + 1 :]:
            apart = not (behind[first] >> loops.index(second) | behind[second] >> i) & 1
            if apart and _alike(first, second):
                joined = _joined(function, first, second)
                if joined is not None:
                    return merged(joined)
    return function


def _behind(function: Function, loops: Sequence[Node]) -> dict[Node, int]:
    """For each node, the loops that it depends on, as bits."""
    bit = {node: 1 << i for i, node in enumerate(loops)}
    bound = {own: sum(bit.get(n, 0) for n in made) for own, made in binders(function.nodes).items()}
    found: dict[Node, int] = {}
    for node in function.nodes:
        bits = 0
        for operand in node.operands:
            if operand.node is not None:
                bits |= found.get(operand.node, 0) | bit.get(operand.node, 0)
        if bound:
            for symbol in mentioned_by(node):
                bits |= bound.get(symbol, 0)
        found[node] = bits
    return found


def _alike(first: Node, second: Node) -> bool:
    """A cheap test that two loops may run the same steps."""
    a, b = while_groups(first), while_groups(second)
    same = a.most == b.most and len(first.regions[0].nodes) == len(second.regions[0].nodes)
    starts = {first.operands[a.consts + i] for i in range(a.carries)}
    return same and not starts.isdisjoint(second.operands)


def _joined(function: Function, first: Node, second: Node) -> Function | None:
    """The function with one loop in place of two; None when they run different steps."""
    order = _order(function, first, second)
    loops = [taken_apart(node, node.operands) for node in (first, second)]
    one = _one(loops)
    if order is None or one is None:
        return None
    names: dict[str, Size] = {}
    old, new = bound_by(second), bound_by(first)
    if old is not None and new is not None and old != new:
        assert one.rows is not None
        names[old.name] = one.rows
    rebuilt = Rebuilt(function)
    for node in order:
        if node is second:
            continue
        if node is first:
            rebuilt.put(_placed(one, rebuilt))
        elif names:
            rebuilt.put(_renamed(node, rebuilt, names))
        else:
            rebuilt.keep(node)
    return _with_constraints(rebuilt.function(), names)


def _placed(one: While, rebuilt: Rebuilt) -> dict[Value, Value]:
    """The joined loop over what stands for its operands now."""
    for group in (one.consts, one.xs):
        group.update({param: rebuilt.of(x) for param, x in group.items()})
    for carry in one.carries:
        carry.start = rebuilt.of(carry.start)
    return made(one)


def _renamed(node: Node, rebuilt: Rebuilt, names: dict[str, Size]) -> dict[Value, Value]:
    """The node with a dim replaced, in its regions too."""
    again = apply(
        node.op,
        [rebuilt.of(x) for x in node.operands],
        renamed(node.attrs, names),
        regions=tuple(_region(region, names) for region in node.regions),
        locations=node.locations,
    )
    return dict(zip(node.results, again.results, strict=True))


def _region(region: Function, names: dict[str, Size]) -> Function:
    """A region with a dim replaced; what it binds keeps its name."""
    own = {s.name: symbol(s.name, computed=True, source=s.source) for s in bound_in(region)}
    return specialise(region, {**own, **names})


def _with_constraints(function: Function, names: dict[str, Size]) -> Function:
    if not names:
        return function
    constraints = tuple(
        replace(c, left=substitute(c.left, names), right=substitute(c.right, names))
        for c in function.constraints
    )
    return replace(function, constraints=constraints)


def _order(function: Function, first: Node, second: Node) -> list[Node] | None:
    """The nodes in an order in which the second loop stands beside the first; None: there is none,
    since a path leads from one to the other."""
    nodes = function.nodes
    place = {node: i for i, node in enumerate(nodes)}
    unit = {node: place[first] if node is second else i for node, i in place.items()}
    bound = {own: [unit[n] for n in made] for own, made in binders(nodes).items()}
    followers: list[list[int]] = [[] for _ in nodes]
    waiting = [0] * len(nodes)
    for node in nodes:
        needs = {unit[x.node] for x in node.operands if x.node in unit}
        if bound:
            needs |= {i for s in mentioned_by(node) for i in bound.get(s, ())}
        for i in needs - {unit[node]}:
            followers[i].append(unit[node])
            waiting[unit[node]] += 1
    ready = [i for i, count in enumerate(waiting) if not count and nodes[i] is not second]
    heapify(ready)
    found: list[Node] = []
    while ready:
        i = heappop(ready)
        found.append(nodes[i])
        for j in followers[i]:
            waiting[j] -= 1
            if not waiting[j]:
                heappush(ready, j)
    return found if len(found) == len(nodes) - 1 else None


def _one(loops: Sequence[While]) -> While | None:
    """One loop that does the work of both; None when their conditions differ."""
    first, second = loops
    number = first.number if first.number is not None else second.number
    rows = first.rows if first.rows is not None else second.rows
    count = first.count if first.count is not None else second.count
    one = While(first.node, first.most, rows, number, first.going, count)
    if first.count is not None and second.count is not None:
        one.also[second.count] = first.count
    fixed: dict[Value, Value] = {}
    for loop in loops:
        if loop.number is not None and number is not None:
            fixed[loop.number] = number
        for group, own in ((one.consts, loop.consts), (one.xs, loop.xs)):
            by_operand = {operand: param for param, operand in group.items()}
            for param, operand in own.items():
                if operand not in by_operand:
                    by_operand[operand] = Value(param.type, name=param.name)
                    group[by_operand[operand]] = operand
                fixed[param] = by_operand[operand]
    carries = [carry for loop in loops for carry in loop.carries]
    classes, values = settled(loops, carries, fixed)
    tests = {values.get(loop.going, loop.going) for loop in loops}
    if len(tests) != 1:
        return None
    (one.going,) = tests
    for loop in loops:
        counts = loop.counts.items()
        one.counts.update({dim: values.get(value, value) for dim, value in counts})
    _fill(one, loops, (carries, classes), values)
    return one


def _fill(
    one: While,
    loops: Sequence[While],
    carried: tuple[Sequence[Carry], Sequence[int]],
    values: dict[Value, Value],
) -> None:
    """One carry per class, one y per value; `also` names further readers of a result."""
    of_class: dict[int, Carry] = {}
    for carry, number in zip(*carried, strict=True):
        if number not in of_class:
            after = values.get(carry.after, carry.after)
            of_class[number] = Carry(values[carry.param], carry.start, after, carry.result)
            one.carries.append(of_class[number])
        elif carry.result is not None:
            _read(one, of_class[number], carry.result)
    of_value: dict[Value, Row] = {}
    for row in (row for loop in loops for row in loop.ys):
        value = values.get(row.value, row.value)
        if value not in of_value:
            of_value[value] = Row(value, row.result)
            one.ys.append(of_value[value])
        elif row.result is not None:
            _read(one, of_value[value], row.result)


def _read(one: While, part: Carry | Row, result: Value) -> None:
    if part.result is None:
        part.result = result
    else:
        one.also[result] = part.result
