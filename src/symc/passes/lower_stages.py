"""Stages of a group that is computed row by row.

before: a ROW group: its stores and reductions with their indices.  after: an ordered list of
stages, each with its inner axes and what it writes, and the values that are kept between stages.

A reduction is available from the stage after its own.  What is dear and needed in several stages,
or needed per element but computed per row, is kept: in the output when it is one, else in scratch.
Cheap values are computed again.

Invariants: a stage reads only what stages before it kept; everything kept is written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from symc.ir.core import Value
from symc.ir.ops.record import Kind
from symc.passes.fuse_cost import CHEAP, cost
from symc.passes.fuse_group import Group, Reduction, Store
from symc.passes.fuse_index import Index, axes_of, compose, renamed
from symc.passes.fuse_partition import Fusion, kind_of, view_map
from symc.records import dataclass

Space = frozenset[int]


@dataclass(frozen=True, slots=True)
class Item:
    """One result of a stage: `value` at `index`, reduced when `reduction` is given.

    store: where it goes; None for scratch.
    """

    value: Value
    index: Index
    store: Store | None = None
    reduction: Reduction | None = None


@dataclass(slots=True)
class StagePlan:
    """A stage in the making: its depth, its inner axes in order, its results."""

    depth: int
    inner: list[int]
    reduced: bool = False
    items: list[Item] = field(default_factory=list)


class Rows:
    """The analysis of one group; `stages()` is the result."""

    def __init__(self, fusion: Fusion, group: Group) -> None:
        find = fusion.axes.find
        self._fusion = fusion
        self._group = group
        self._outer: Space = frozenset(map(find, group.outer or ()))
        self.stores = [
            Store(s.value, renamed(s.index, find), s.target, renamed(s.place, find))
            for s in group.stores
        ]
        self._reductions = {
            node: Reduction(
                node,
                renamed(r.index, find),
                renamed(r.operand, find),
                tuple(map(find, r.reduced)),
            )
            for node, r in group.reductions.items()
        }
        self._index: dict[Value, Index] = {}
        self._spread: set[Value] = set()  # needed at several indices: always computed in place
        self._children: dict[Value, list[Value]] = {}
        self._depth: dict[Value, int] = {}
        self._chain: dict[Value, int] = {}
        self._forced: set[Value] = set()
        self._needs: dict[Value, set[int]] = {}
        self.kept: dict[Value, int] = {}  # the depth at which a kept value is computed
        self._walk()
        self._earliest()
        self._settle()

    # Where members are needed.
    def _walk(self) -> None:
        todo: list[tuple[Value, Index]] = [(s.value, s.index) for s in self.stores]
        todo += [(r.node.results[0], r.index) for r in self._reductions.values()]
        seen: set[tuple[Value, Index]] = set()
        while todo:
            key = todo.pop()
            value, index = self._behind_views(*key)
            if (value, index) in seen or not self._inside(value):
                continue
            seen.add((value, index))
            if self._index.setdefault(value, index) != index:
                self._spread.add(value)
            todo += self._reads(value, index)

    def _behind_views(self, value: Value, index: Index) -> tuple[Value, Index]:
        while value.node is not None and kind_of(value.node) is Kind.VIEW:
            map = view_map(value.node)
            if map is None:
                break
            value, index = value.node.operands[0], compose(map, index)
        return value, index

    def _inside(self, value: Value) -> bool:
        return value.node is not None and value.node in self._group.members

    def _reads(self, value: Value, index: Index) -> list[tuple[Value, Index]]:
        node = value.node
        assert node is not None
        if node.op.kind is Kind.REDUCE:
            return [(node.operands[0], self._reductions[node].operand)]
        if node.op.kind is Kind.ELEMENTWISE:
            return [(operand, index) for operand in node.operands]
        return []

    def _space(self, value: Value) -> Space:
        """The inner axes over which a member is evaluated."""
        assert value.node is not None
        reduction = self._reductions.get(value.node)
        index = self._index[value] if reduction is None else reduction.operand
        axes = axes_of(index) - self._outer
        return axes if reduction is None else axes | set(reduction.reduced)

    # The earliest stage of each member.
    def _sorted(self) -> list[Value]:
        number = self._fusion.number
        return sorted(self._index, key=lambda v: number[v.node] if v.node is not None else -1)

    def _earliest(self) -> None:
        for value in self._sorted():
            reads = self._reads(value, self._index[value])
            inside = [v for v, _ in (self._behind_views(*r) for r in reads) if self._inside(v)]
            self._children[value] = list(dict.fromkeys(inside))
            depth = 0
            chain = cost(value.node) if value.node is not None else 0
            for child in self._children[value]:
                depth = max(depth, self._after(child, value))
                if not self._is_kept_anyway(child):
                    chain += self._chain[child]
            self._depth[value] = depth
            self._chain[value] = min(chain, CHEAP + 1)

    def _after(self, child: Value, user: Value) -> int:
        """The first depth at which `user` can read `child`."""
        assert child.node is not None
        if child.node.op.kind is Kind.REDUCE:
            return self._depth[child] + 1
        dear = self._chain[child] > CHEAP and child not in self._spread
        if dear and self._space(child) != self._space(user):
            self._forced.add(child)
        return self._depth[child] + (child in self._forced and dear)

    def _is_kept_anyway(self, value: Value) -> bool:
        assert value.node is not None
        return value.node.op.kind is Kind.REDUCE or value in self._forced

    # What is kept, and where it is computed.
    def _settle(self) -> None:
        stored = {store.value for store in self.stores}
        for value in reversed(self._sorted()):
            assert value.node is not None
            needs = self._needs.setdefault(value, set())
            depth = self._depth[value]
            if value.node.op.kind is Kind.REDUCE or value in self._forced:
                self._keep(value, depth)
            elif value in stored and value not in self._spread:
                self._keep(value, min(needs, default=depth))
            elif self._chain[value] > CHEAP and len(needs) > 1 and value not in self._spread:
                self._keep(value, min(needs))
            at = {self.kept[value]} if value in self.kept else needs
            for child in self._children[value]:
                self._needs.setdefault(child, set()).update(at)

    def _keep(self, value: Value, depth: int) -> None:
        self.kept[value] = depth

    # The result.
    def stages(self) -> list[StagePlan]:
        """The stages in order; each item is one result of its stage's body."""
        plans: list[StagePlan] = []
        open_plans: dict[tuple[int, Space], StagePlan] = {}
        for item, depth, inner, reduced in self._items():
            key = (depth, frozenset(inner))
            plan = open_plans.get(key)
            if plan is None or not _fits(plan, inner, reduced):
                plan = StagePlan(depth, inner)
                plans.append(plan)
                open_plans[key] = plan
            if reduced and not plan.reduced:
                plan.inner, plan.reduced = inner, True
            plan.items.append(item)
        return self._delayed(sorted(plans, key=lambda plan: plan.depth))

    def _delayed(self, plans: list[StagePlan]) -> list[StagePlan]:
        """Stages that only make results join a later stage over the same axes."""
        latest = {frozenset(plan.inner): plan for plan in plans}
        kept: list[StagePlan] = []
        for plan in plans:
            target = latest[frozenset(plan.inner)]
            if target is plan or not all(self._is_final(item, plan.depth) for item in plan.items):
                kept.append(plan)
                continue
            target.items += plan.items
            self.kept.update((i.value, target.depth) for i in plan.items if i.value in self.kept)
        return kept

    def _is_final(self, item: Item, depth: int) -> bool:
        """Whether no stage after the one at `depth` reads what the item stores."""
        if item.reduction is not None or item.store is None:
            return False
        return self._needs.get(item.value, set()) <= {depth}

    def _items(self) -> Iterable[tuple[Item, int, list[int], tuple[int, ...]]]:
        """Items with their depth, inner axes in order, and which of those are reduced."""
        first: dict[Value, Store] = {}
        more: list[Store] = []
        for store in self.stores:
            if store.value in first:
                more.append(store)
            else:
                first[store.value] = store
        for value in self._sorted():
            if value in self.kept:
                yield self._kept_item(value, first.pop(value, None))
        for store in [*first.values(), *more]:
            value = self._behind_views(store.value, store.index)[0]
            depth = self.kept[value] + 1 if value in self.kept else self._depth.get(value, 0)
            yield Item(store.value, store.index, store), depth, self._inner(store.place), ()

    def _kept_item(
        self, value: Value, store: Store | None
    ) -> tuple[Item, int, list[int], tuple[int, ...]]:
        assert value.node is not None
        reduction = self._reductions.get(value.node)
        index, depth = self._index[value], self.kept[value]
        if reduction is None:
            place = index if store is None else store.place
            return Item(value, index, store), depth, self._inner(place), ()
        inner = [axis for axis in self._inner(reduction.operand) if axis not in reduction.reduced]
        item = Item(value, index, store, reduction)
        return item, depth, [*inner, *reduction.reduced], reduction.reduced

    def _inner(self, index: Index) -> list[int]:
        axes = [axis for _, terms in index for axis, _ in terms if axis not in self._outer]
        return list(dict.fromkeys(axes))


def _fits(plan: StagePlan, inner: list[int], reduced: tuple[int, ...]) -> bool:
    """Whether the reduced axes come in the stage's order."""
    if not reduced or not plan.reduced:
        return True
    return [axis for axis in plan.inner if axis in reduced] == list(reduced)
