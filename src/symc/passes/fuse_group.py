"""Groups: sets of nodes that become one kernel, while the partition is being made.

A group has a frame of iteration axes and computes its stores over it.  Groups merge by union-find;
so do axes.  The graph of groups (who reads what another stores) must stay free of cycles, which
`Graph.reaches` answers by a search bounded by program order and by a budget: when the budget is
spent it answers "perhaps", and the merge is not made.

Invariants: `lo` is the least number of a stored value's node, `hi` the greatest of any member; an
edge goes from the group that stores a value to each group that loads it; members of a MAP group all
have its whole frame or are cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from enum import Enum
from heapq import heappop, heappush
from typing import Final

from symc.ir.core import Node, Value
from symc.ir.dims import Size
from symc.passes.fuse_index import Index
from symc.records import dataclass

BUDGET: Final = 256
MAX_STORES: Final = 32
BACK: Final = 64  # edges back beyond which searches for cycles are not bounded by program order


class Shape(Enum):
    """What a group looks like as a kernel."""

    MAP = "map"  # every store enumerates the whole frame
    ROW = "row"  # outer axes, and stages over inner axes
    CONTRACT = "contract"  # a contraction and what is computed from each element; no ramps
    FIXED = "fixed"  # writes part of a buffer; takes producers but nothing else
    CONTROL = "control"  # a loop or a choice: reads and writes whole buffers


class Apart(Enum):
    """Why a group does not compute a value that it uses, or two users of one value stay two."""

    CODE = "code size: together they pass the limit of estimated instructions of one kernel"
    STORES = "one kernel would write too many arrays"
    PLACES = "it is read at several different places there"
    REPEATED = "it has fewer elements than its reader: it would be computed again for each"
    PART = "only a part of it is read there, and others need it whole"
    WHOLE = "its other readers need it stored, and no one kernel meets each element once"
    ORDER = "a kernel between them needs the one and feeds the other"
    ROWS = "a reduction must be finished first: its rows are not the rows of its reader"
    ACROSS = "its reader sums over its leading axes: stored beside what makes it, it costs less"
    CONTRACT = "a contraction ends in elementwise work over exactly its result, with no reduction"
    SPACE = "they run over different axes"
    EFFECT = "one of them writes into a part of an array"
    OPERAND = "a contraction reads its operands from memory"
    LOOP = "a loop or a choice reads it from memory"
    GATHERED = "it is read at positions that are data"
    TARGET = "it is the array that is written into"
    PIECES = "it is put together from parts in memory, and read when all are there"
    VIEW = "it is read through a reshape that no index can express"
    FIRST = "it joined another kernel that reads it, which stores it"


@dataclass(frozen=True, slots=True)
class Store:
    """`value`, read at `index`, goes to buffer `target` at `place`.

    `target` is `value` itself, or the result of a node that assembles pieces.
    """

    value: Value
    index: Index
    target: Value
    place: Index


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction of a group: its result is read at `index`, its operand at `operand`."""

    node: Node
    index: Index
    operand: Index
    reduced: tuple[int, ...]  # frame axes, in the operand's order


@dataclass(slots=True, eq=False)
class Group:
    """A kernel in the making; merged groups point to their heir."""

    shape: Shape
    axes: list[int]
    outer: frozenset[int] | None = None
    members: set[Node] = field(default_factory=set)
    stores: list[Store] = field(default_factory=list)
    reductions: dict[Node, Reduction] = field(default_factory=dict)
    contract: tuple[Node, Index] | None = None
    effect: Node | None = None  # the node whose result a FIXED group writes
    successors: list[Group] = field(default_factory=list)
    waits: list[Value] = field(default_factory=list)  # made by others before, and not read here
    late: int = -1  # a node that it comes after, although no data leads from there
    ramps: bool = False  # some member is an index of the frame
    cost: int = 0
    lo: int = 1 << 62
    hi: int = -1
    heir: Group | None = None
    behind: int = -1  # the greatest `lo` of a group that precedes this one
    # Of all groups of a partition, those that some group precedes whose `lo` is greater.
    back: dict[Group, None] = field(default_factory=dict)

    def note(self, number: int) -> None:
        """A member with this number joins."""
        self.hi = max(self.hi, number)

    def add_store(self, store: Store, number: int) -> None:
        """Write `store`, whose target is made by the node with this number."""
        self.stores.append(store)
        self.lo = min(self.lo, number)
        self.note(number)
        self.mark()

    def precede(self, readers: Iterable[Group]) -> None:
        """Order this group before the groups that load what it stores."""
        for reader in map(current, readers):
            self.successors.append(reader)
            reader.behind = max(reader.behind, self.lo)
            reader.mark()

    def mark(self) -> None:
        """Remember a group that an edge leads back to."""
        if self.behind > self.lo:
            self.back[self] = None


def current(group: Group) -> Group:
    """The group that `group` has become part of."""
    root = group
    while root.heir is not None:
        root = root.heir
    while group.heir is not None:
        group.heir, group = root, group.heir
    return root


class Axes:
    """The axes of all frames: sizes, and which have become one."""

    def __init__(self) -> None:
        self.sizes: list[Size] = []
        self._parent: list[int] = []

    def new(self, size: Size) -> int:
        """A fresh axis."""
        self.sizes.append(size)
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def find(self, axis: int) -> int:
        """The axis that `axis` has become."""
        root = axis
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[axis] != root:
            self._parent[axis], axis = root, self._parent[axis]
        return root

    def found(self, axes: Iterable[int]) -> frozenset[int]:
        """What these axes have become."""
        return frozenset(map(self.find, axes))

    def settled(self, axes: Iterable[int]) -> bool:
        """Whether these axes are still themselves."""
        parent = self._parent
        for axis in axes:  # noqa: SIM110  (a generator takes three times as long)
            if parent[axis] != axis:
                return False
        return True

    def join(self, axis: int, into: int) -> None:
        """Make `axis` the same iteration index as `into`."""
        self._parent[self.find(axis)] = self.find(into)


def reaches(sources: Iterable[Group], targets: Iterable[Group]) -> bool:
    """Whether some path of one or more edges leads from `sources` to `targets`; or perhaps."""
    goals = {current(group) for group in targets}
    if not goals:
        return False
    last = _last(goals)
    todo = [current(group) for group in sources]
    seen = set(todo)
    budget = BUDGET
    while todo:
        for successor in _successors(todo.pop()):
            if successor in goals:
                return True
            budget -= 1
            if budget < 0:
                return True
            if successor not in seen and successor.lo <= last:
                seen.add(successor)
                todo.append(successor)
    return False


def _last(goals: set[Group]) -> int:
    """No group whose `lo` is greater leads to `goals`.

    A group stores something before the last member of its reader; so only the edges to groups in
    `back` come from beyond their readers.
    """
    last = max(group.hi for group in goals)
    back = next(iter(goals)).back
    if len(back) > BACK:
        return 1 << 62
    grown = True
    while grown:
        beyond = [g.behind for g in back if g.heir is None and g.lo <= last < g.behind]
        grown = bool(beyond)
        last = max([last, *beyond])
    return last


def _successors(group: Group) -> list[Group]:
    """The groups that load what `group` stores, without itself; merged ones once."""
    found = dict.fromkeys(current(successor) for successor in group.successors)
    found.pop(group, None)
    group.successors = list(found)
    return group.successors


def absorb(keep: Group, gone: Group) -> None:
    """Move everything of `gone` into `keep`; their axes have been joined."""
    gone.heir = keep
    keep.members |= gone.members
    keep.stores += gone.stores
    keep.reductions.update(gone.reductions)
    keep.contract = keep.contract or gone.contract
    keep.successors += gone.successors
    keep.waits += gone.waits
    keep.ramps = keep.ramps or gone.ramps
    keep.cost += gone.cost
    keep.lo = min(keep.lo, gone.lo)
    keep.note(gone.hi)
    keep.late = max(keep.late, gone.late)
    keep.behind = max(keep.behind, gone.behind)
    keep.mark()
    gone.members, gone.stores, gone.successors, gone.waits = set(), [], [], []


def in_order(groups: Iterable[Group]) -> list[Group]:
    """Groups so that stores come before loads; among free ones, by their last node."""
    nodes = list(groups)
    number = {group: i for i, group in enumerate(nodes)}
    waiting = [0] * len(nodes)
    for group in nodes:
        for successor in _successors(group):
            waiting[number[successor]] += 1
    ready: list[tuple[int, int]] = []
    for i, group in enumerate(nodes):
        if waiting[i] == 0:
            heappush(ready, (group.hi, i))
    found: list[Group] = []
    while ready:
        group = nodes[heappop(ready)[1]]
        found.append(group)
        for successor in group.successors:
            i = number[successor]
            waiting[i] -= 1
            if waiting[i] == 0:
                heappush(ready, (successor.hi, i))
    assert len(found) == len(nodes), "groups form a cycle"
    return found
