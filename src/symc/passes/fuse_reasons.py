"""Why kernels are not one kernel: what fusion noted, for each pair that stayed apart.

before: a `Fusion` and the plan made of it.  after: one `Split` per value that one kernel stores and
another loads, and per pair of kernels that use one value and could have shared it.

Invariant: a pair that became one step after all (`plan_pairs.py`) is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from symc.ir.core import Node, Value
from symc.ir.formula import formula
from symc.ir.locations import UNKNOWN, Location
from symc.ir.ops.record import Kind
from symc.ir.report import Split
from symc.passes.fuse_group import Apart, Group, current
from symc.passes.fuse_partition import Fusion, Use, kind_of
from symc.passes.plan import Plan

_SHOWN = 48  # characters of a value


def splits(fusion: Fusion, plan: Plan) -> list[Split]:
    """Every pair that stayed apart, in launch order of the readers."""
    return _Reasons(fusion, plan).listed()


class _Reasons:
    """The fusion, and which kernel each group became."""

    def __init__(self, fusion: Fusion, plan: Plan) -> None:
        self.fusion = fusion
        self.users = fusion.function.uses()
        self.names: dict[Value, str] = {}
        self.order: dict[str, int] = {}
        for place, step in enumerate(plan.steps):
            self.order[step.nest.name] = place
            self.names.update((value, step.nest.name) for value in step.writes())
        self.owners: dict[Value, Group] = {}
        for group in fusion.groups:
            self.owners.update((store.target, group) for store in group.stores)

    def listed(self) -> list[Split]:
        """The splits of stored values, then of siblings."""
        found = [*self.stored(), *self.siblings()]
        unique = {(s.producer, s.consumer, s.value, s.kind): s for s in found}
        return sorted(unique.values(), key=lambda s: self.order[s.consumer])

    def kernel(self, group: Group | None) -> str | None:
        """The name of the kernel that a group became."""
        if group is None:
            return None
        named = (self.names.get(store.target) for store in current(group).stores)
        return next(filter(None, named), None)

    def stored(self) -> Iterator[Split]:
        """Values that one kernel stores and another loads."""
        for value, owner in self.owners.items():
            producer = self.kernel(owner)
            for use in self.fusion.uses.get(value, ()):
                consumer = self.kernel(use.group)
                if use.group is None or consumer is None or producer is None:
                    continue
                if consumer != producer:
                    reader = self.reader(value, current(use.group))
                    reason = self.reason(value, use, reader)
                    yield self.split(value, (producer, consumer), reason, reader)

    def siblings(self) -> Iterator[Split]:
        """Kernels that read the same input and did not become one."""
        for (value, group), reason in self.fusion.refusals.items():
            if value.node is not None:
                continue  # what is stored is listed already, the rest is computed in both
            second = self.kernel(group)
            for use in self.fusion.uses.get(value, ()):
                first = self.kernel(use.group)
                if None not in (first, second) and first != second:
                    assert first is not None
                    assert second is not None
                    pair = sorted((first, second), key=self.order.__getitem__)
                    reader = self.reader(value, current(group))
                    yield self.split(value, (pair[0], pair[1]), reason, reader)
                    break

    def reader(self, value: Value, group: Group) -> Node | None:
        """A node of `group` that reads `value`, through views if need be."""
        own = {store.target.node for store in group.stores} | {group.effect}
        if group.contract is not None:
            own.add(group.contract[0])
        todo, seen = [value], {value}
        while todo:
            for node in self.users.get(todo.pop(), ()):
                if node in group.members or node in own or node in group.reductions:
                    return node
                if kind_of(node) is Kind.VIEW and node.results[0] not in seen:
                    seen.add(node.results[0])
                    todo.append(node.results[0])
        return None

    def reason(self, value: Value, use: Use, reader: Node | None) -> Apart:
        """What was noted, or what follows from how the value is used."""
        assert use.group is not None
        noted = self.fusion.refusals.get((value, use.group))
        noted = noted or self.fusion.refusals.get((value, current(use.group)))
        made = None if value.node is None else value.node.op.kind
        if made in {Kind.SCATTER, Kind.ASSEMBLE}:
            noted = Apart.PIECES
        if use.index is not None or reader is None:
            return noted or Apart.FIRST
        match reader.op.kind:
            case Kind.CONTRACT:
                return Apart.OPERAND
            case Kind.CONTROL:
                return Apart.LOOP
            case Kind.GATHER:
                return Apart.GATHERED
            case Kind.SCATTER | Kind.ASSEMBLE:
                return Apart.TARGET
            case _:
                return noted or Apart.VIEW

    def split(
        self, value: Value, kernels: tuple[str, str], reason: Apart, reader: Node | None
    ) -> Split:
        return Split(
            producer=kernels[0],
            consumer=kernels[1],
            value=formula(value, _SHOWN),
            kind=reason.name.lower(),
            reason=reason.value,
            made_at=_place(value.node),
            used_at=_place(reader),
        )


def _place(node: Node | None) -> Location:
    return UNKNOWN if node is None else node.locations[0]
