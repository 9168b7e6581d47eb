"""What was done to loops, looked up by loop: records of passes as data for the report.

before: `Move`s of the passes before a derivative was taken, and of the compilation.  after: for a
loop of the program, what left it and which loops it was merged with; loops that are no more.

Invariant: a move that was recorded in two runs of a pass (of a loop, and of the copy that a
derivative stores values with) is reported once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from symc.compile.loop_work import SHOWN, called, made_work, products
from symc.ir import moves, ops
from symc.ir.core import Node, Value, reachable
from symc.ir.formula import formula
from symc.ir.locations import Location
from symc.ir.moves import Move, place
from symc.ir.ops.loop_groups import groups
from symc.ir.report_loops import Moved, Vanished, Work

# The identity of the place of a loop, and whether it runs backwards.
Key = tuple[int, bool]
_FORMS: Final = frozenset({moves.JOINED, moves.SPLIT})
_ENDS: Final = frozenset({moves.ONCE, moves.GONE})


def key_of(node: Node) -> Key:
    """The key of a loop."""
    return id(place(node)), node.op is ops.SCAN and groups(node).reverse


class History:
    """Moves by loop; loops that were merged share theirs."""

    def __init__(self, behind: Sequence[Move], during: Sequence[Move]) -> None:
        self._parent: dict[Key, Key] = {}
        self._places: dict[Key, Location] = {}
        everything = [*behind, *during]
        for move in everything:
            own = (id(move.loop), move.reverse)
            self._places.setdefault(own, move.loop)
            if move.other is not None:
                other = (id(move.other), move.reverse)
                self._places.setdefault(other, move.other)
                self._parent[self.root(other)] = self.root(own)
        self._moves: dict[Key, list[Move]] = {}
        self._behind: dict[Key, list[Move]] = {}
        for found, several in ((self._moves, everything), (self._behind, behind)):
            for move in several:
                found.setdefault(self.root((id(move.loop), move.reverse)), []).append(move)

    def root(self, key: Key) -> Key:
        """The key of the loop that this one became part of."""
        while self._parent.get(key, key) != key:
            key = self._parent[key]
        return key

    def moved(self, key: Key) -> tuple[Moved, ...]:
        """What left a loop."""
        return _each_once(self._moves.get(self.root(key), ()))

    def merged(self, key: Key) -> tuple[Location, ...]:
        """The places of the other loops that a loop does the work of."""
        root = self.root(key)
        members = [k for k in self._places if self.root(k) == root and k != key]
        return tuple(self._places[k] for k in members if k in self._parent or k == root)

    def before_tracing(self, key: Key) -> Work:
        """The work of a step that was moved before a derivative was taken."""
        total = Work()
        for move in self._behind.get(self.root(key), ()):
            if move.value is not None and move.kind not in _FORMS:
                nodes, free = reachable([move.value], stop=move.stops)
                total = total + made_work(nodes, [*free, *move.stops], [move.value])
        return total

    def vanished(self, kept: Iterable[Key]) -> list[Vanished]:
        """Loops that ended, but for those with a key in `kept`."""
        there = set(kept)
        found: dict[Key, Vanished] = {}
        for key, several in self._moves.items():
            ends = [move for move in several if move.kind in _ENDS]
            if ends and key not in there:
                last = ends[-1]
                found[key] = Vanished(last.loop, last.reverse, last.kind, _each_once(several))
        return list(found.values())


def _each_once(several: Sequence[Move]) -> tuple[Moved, ...]:
    """Moves as data; as many of a kind as one run of a pass made."""
    runs: dict[int, Counter[Moved]] = {}
    order: dict[Moved, None] = {}
    counted: dict[int, set[Node]] = {}
    for move in several:
        if move.made is None:
            continue
        seen = counted.setdefault(move.since, set())
        one = _moved(move, move.made, seen)
        order.setdefault(one)
        runs.setdefault(move.since, Counter())[one] += 1
    most = {one: max(run[one] for run in runs.values()) for one in order}
    return tuple(one for one in order for _ in range(most[one]))


def _moved(move: Move, made: Value, seen: set[Node]) -> Moved:
    """One move; the nodes in `seen` are counted already."""
    nodes, free = reachable([made], since=move.since)
    own = [node for node in nodes if node not in seen]
    seen.update(own)
    names = {**called(free), **(move.names or {})}
    where = move.loop
    if move.value is not None and move.value.node is not None:
        where = move.value.node.locations[0]
    return Moved(
        move.kind,
        formula(made, SHOWN, names),
        where,
        tuple(products(own, names)),
        made_work(own, free, [made]) if move.kind not in _FORMS else Work(),
        move.memory,
        move.depth,
    )
