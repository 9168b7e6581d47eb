"""Why work stays in a loop: the dependences from a carry to it, and on to the carry it changes.

before: the body of a loop, and what its params are called.  after: for any of its operations, the
shortest such chain.

Invariant: linear in the body for all operations together, apart from the links that are given out,
of which there are at most `MOST` on either side of an operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from symc.compile.loop_work import SHOWN
from symc.ir.core import Function, Node, Value
from symc.ir.formula import formula
from symc.ir.locations import Location
from symc.ir.report_loops import Link

MOST: Final = 16
_CUT: Final = "..."


class Paths:
    """Dependences of one body.

    carries: (param, result) of each; ends: other results, with what they are called.
    """

    def __init__(
        self,
        body: Function,
        carries: Sequence[tuple[Value, Value]],
        names: Mapping[Value, str],
        where: Location,
    ) -> None:
        self._names = names
        self._links: dict[Value, Link] = {}
        self._where = where
        self._before = _nearest_carry(body, [param for param, _ in carries])
        self._ends: dict[Value, str] = {}
        for i, result in enumerate(body.results[len(carries) :]):
            self._ends.setdefault(result, f"ys {i}")
        self._changes: dict[Value, str] = {}
        for param, result in carries:
            self._changes.setdefault(result, names[param])
        self._after = _nearest_result(body, list(self._changes))
        self._shown = _nearest_result(body, list(self._ends))

    def feeds_carry(self, node: Node) -> bool:
        """Whether the next step needs the node."""
        return any(result in self._after for result in node.results)

    def of(self, node: Node) -> tuple[Link, ...]:
        """From a carry to the node, and on to a carry, or to a y."""
        start = next((x for x in node.operands if x in self._before), None)
        back = [] if start is None else self._back(start)
        links = [*reversed(back), self._link(node.results[0])] if node.results else back
        result = next((r for r in node.results if r in self._after), None)
        if result is not None:
            return (*links, *self._on(result, self._after, self._changes))
        result = next((r for r in node.results if r in self._shown), None)
        return (*links, *self._on(result, self._shown, self._ends)) if result else tuple(links)

    def _back(self, value: Value) -> list[Link]:
        """Links from a value back to the carry that it is nearest to."""
        found = [self._link(value)]
        for _ in range(MOST):
            source = self._before[value]
            if source is value:
                return found
            value = source
            found.append(self._link(value))
        while self._before[value] is not value:
            value = self._before[value]
        return [*found[:-1], Link(_CUT, "", self._where), self._link(value)]

    def _on(
        self, value: Value, following: Mapping[Value, Value], ends: Mapping[Value, str]
    ) -> list[Link]:
        """Links from behind a value to the end that it is nearest to."""
        found: list[Link] = []
        for _ in range(MOST):
            if following[value] is value:
                return [*found, Link(ends[value], "", self._where)]
            value = following[value]
            found.append(self._link(value))
        while following[value] is not value:
            value = following[value]
        return [*found[:-1], Link(_CUT, "", self._where), Link(ends[value], "", self._where)]

    def _link(self, value: Value) -> Link:
        if value not in self._links:
            text, node = formula(value, SHOWN, self._names), value.node
            op, where = ("", self._where) if node is None else (node.op.name, node.locations[0])
            self._links[value] = Link(text, op, where)
        return self._links[value]


def _nearest_carry(body: Function, carries: Sequence[Value]) -> dict[Value, Value]:
    """Value -> the operand next to it on the shortest way back to a carry; a carry -> itself."""
    distance: dict[Value, int] = dict.fromkeys(carries, 0)
    found = {carry: carry for carry in carries}
    for node in body.nodes:
        near = min(
            (x for x in node.operands if x in distance), key=distance.__getitem__, default=None
        )
        if near is not None:
            found.update(dict.fromkeys(node.results, near))
            distance.update(dict.fromkeys(node.results, distance[near] + 1))
    return found


def _nearest_result(body: Function, ends: Sequence[Value]) -> dict[Value, Value]:
    """Value -> the result next to it on the shortest way on to an end; an end -> itself."""
    distance: dict[Value, int] = dict.fromkeys(ends, 0)
    found = {end: end for end in ends}
    for node in reversed(body.nodes):
        near = min(
            (x for x in node.results if x in distance), key=distance.__getitem__, default=None
        )
        if near is None:
            continue
        for x in node.operands:
            if distance.get(x, distance[near] + 2) > distance[near] + 1:
                distance[x] = distance[near] + 1
                found[x] = near
    return found
