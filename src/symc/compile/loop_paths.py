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
from symc.records import dataclass

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
        self._cut = Link(_CUT, "", where)
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
        return any(result in self._after.next for result in node.results)

    def of(self, node: Node) -> tuple[Link, ...]:
        """From a carry to the node, and on to a carry, or to a y."""
        start = next((x for x in node.operands if x in self._before.next), None)
        back = [] if start is None else self._back(start)
        links = [*reversed(back), self._link(node.results[0])] if node.results else back
        result = next((r for r in node.results if r in self._after.next), None)
        if result is not None:
            return (*links, *self._on(result, self._after, self._changes))
        result = next((r for r in node.results if r in self._shown.next), None)
        return (*links, *self._on(result, self._shown, self._ends)) if result else tuple(links)

    def _back(self, value: Value) -> list[Link]:
        """Links from a value back to the carry that it is nearest to."""
        found = [self._link(value)]
        for _ in range(MOST):
            source = self._before.next[value]
            if source is value:
                return found
            value = source
            found.append(self._link(value))
        last = self._before.end[value]
        return found if last is value else [*found, self._cut, self._link(last)]

    def _on(self, value: Value, following: _Ways, ends: Mapping[Value, str]) -> list[Link]:
        """Links from behind a value to the end that it is nearest to."""
        found: list[Link] = []
        for _ in range(MOST):
            if following.next[value] is value:
                return [*found, Link(ends[value], "", self._where)]
            value = following.next[value]
            found.append(self._link(value))
        last = following.end[value]
        cut = [] if last is value else [self._cut]
        return [*found, *cut, Link(ends[last], "", self._where)]

    def _link(self, value: Value) -> Link:
        if value not in self._links:
            text, node = formula(value, SHOWN, self._names), value.node
            op, where = ("", self._where) if node is None else (node.op.name, node.locations[0])
            self._links[value] = Link(text, op, where)
        return self._links[value]


@dataclass(frozen=True, slots=True)
class _Ways:
    """For each value, the next one on the shortest way to an end, and that end; ends lead to
    themselves."""

    next: dict[Value, Value]
    end: dict[Value, Value]


def _nearest_carry(body: Function, carries: Sequence[Value]) -> _Ways:
    """The ways back from values to carries."""
    distance: dict[Value, int] = dict.fromkeys(carries, 0)
    found = _Ways({x: x for x in carries}, {x: x for x in carries})
    for node in body.nodes:
        known = (x for x in node.operands if x in distance)
        near = min(known, key=distance.__getitem__, default=None)
        if near is not None:
            for result in node.results:
                found.next[result], found.end[result] = near, found.end[near]
                distance[result] = distance[near] + 1
    return found


def _nearest_result(body: Function, ends: Sequence[Value]) -> _Ways:
    """The ways on from values to results."""
    distance: dict[Value, int] = dict.fromkeys(ends, 0)
    found = _Ways({x: x for x in ends}, {x: x for x in ends})
    for node in reversed(body.nodes):
        known = (x for x in node.results if x in distance)
        near = min(known, key=distance.__getitem__, default=None)
        if near is None:
            continue
        for x in node.operands:
            if distance.get(x, distance[near] + 2) > distance[near] + 1:
                distance[x] = distance[near] + 1
                found.next[x], found.end[x] = near, found.end[near]
    return found
