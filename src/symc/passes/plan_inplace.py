"""One step writing a new value over the old one: when it may, and the step that does.

before: a step that reads `old` and writes `new` through different operands.  after: one "inout"
operand stands for both.

A write is safe when no other point of the kernel still needs the old element: reads in the storing
stage are at the very place that is written; reads in earlier stages stay in the same row (the outer
indices pick the row in both); later stages and indirect reads do not read the old value at all.
"""

from __future__ import annotations

from dataclasses import replace

from symc.ir.affine import IndexMap
from symc.ir.core import Value
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Operand, Stage, Store
from symc.passes.plan import Control, Plan, Step


def overwrite(plan: Plan, step: Step, old: Value, new: Value) -> Step | None:
    """`step` writing `new` into the buffer of `old`, or None when that would change results."""
    target = _written(step, new)
    if target is None or isinstance(step.nest, Control):
        return None
    if step.nest.operands[target].role == "inout":
        previous = step.olds[target]
        same = previous is not None and plan.root(previous) is old
        return step if same and not _other_reads(plan, step, old, target) else None
    sources = _other_reads(plan, step, old, target)
    if any(step.values[i] is not old for i in sources):
        return None
    if any(not _safe(step.nest, source, target) for source in sources):
        return None
    return merge_operands(step, sources, target, old)


def read_through(plan: Plan, step: Step) -> Step:
    """`step` with "inout" operands also standing for other safe reads of the same old value."""
    for target, old in enumerate(step.olds):
        if old is None or isinstance(step.nest, Control):
            continue
        sources = _other_reads(plan, step, plan.root(old), target)
        same = all(step.values[i] is old for i in sources)
        if sources and same and all(_safe(step.nest, source, target) for source in sources):
            return read_through(plan, merge_operands(step, sources, target, old))
    return step


def _written(step: Step, new: Value) -> int | None:
    """The operand through which the step writes `new` itself."""
    for i, (operand, value) in enumerate(zip(step.nest.operands, step.values, strict=True)):
        if value is new and operand.role in {"out", "inout"}:
            return i
    return None


def _other_reads(plan: Plan, step: Step, old: Value, target: int) -> list[int]:
    """Operands other than `target` that read the buffer of `old`."""
    found = []
    rows = zip(step.nest.operands, step.values, step.olds, strict=True)
    for i, (operand, value, previous) in enumerate(rows):
        read = value if operand.role == "in" else previous
        if i != target and read is not None and plan.root(read) is old:
            found.append(i)
    return found


def _safe(nest: Nest, source: int, target: int) -> bool:
    """Whether reads of `source` never meet an element that `target` has already got."""
    if nest.operands[source].type != nest.operands[target].type:
        return False
    storing = [
        (number, store)
        for number, stage in enumerate(nest.stages)
        for store in stage.stores
        if store.operand == target
    ]
    if len(storing) != 1 or storing[0][1].gathers:
        return False
    at, store = storing[0]
    rank = len(nest.outer)
    for number, stage in enumerate(nest.stages):
        if isinstance(stage, ContractStage) and source in (stage.lhs.operand, stage.rhs.operand):
            return False
        for load in stage.loads:
            if any(gather.operand == source for gather in load.gathers):
                return False
            if load.operand != source:
                continue
            same_point = number == at and not store.reduced and load.map == store.map
            if load.gathers or not (
                same_point or (number < at and _same_row(load.map, store.map, rank))
            ):
                return False
    return True


def _same_row(load: IndexMap, store: IndexMap, outer: int) -> bool:
    """Whether reads of an outer point stay among the elements that the same point writes."""
    for axis in range(outer):
        picked = [
            i
            for i, (a, b) in enumerate(zip(load.indices, store.indices, strict=True))
            if a.offset == b.offset == 0
            and [f for f in enumerate(a.factors) if f[1] != 0] == [(axis, 1)]
            and [f for f in enumerate(b.factors) if f[1] != 0] == [(axis, 1)]
        ]
        if not picked:
            return False
    return True


def merge_operands(step: Step, sources: list[int], target: int, old: Value) -> Step:
    """Read through `target` what `sources` read, and drop those operands."""
    kept = [i for i in range(len(step.values)) if i not in sources]
    number = {i: kept.index(i) for i in kept}
    number.update((i, number[target]) for i in sources)
    roles = ["inout" if i == target else step.nest.operands[i].role for i in kept]
    operands = tuple(
        replace(step.nest.operands[i], role=role, name=f"{role}{place}")
        for place, (i, role) in enumerate(zip(kept, roles, strict=True))
    )
    assert isinstance(step.nest, Nest)
    nest = renumbered(step.nest, operands, number)
    values = tuple(step.values[i] for i in kept)
    olds = tuple(old if i == target else step.olds[i] for i in kept)
    return Step(nest, values, olds, step.traps, step.waits)


def renumbered(nest: Nest, operands: tuple[Operand, ...], number: dict[int, int]) -> Nest:
    """The nest with other operands: operand i becomes operand `number[i]`."""
    stages = tuple(renumbered_stage(stage, number) for stage in nest.stages)
    return replace(nest, operands=operands, stages=stages)


def renumbered_stage(stage: Stage, number: dict[int, int]) -> Stage:
    """The stage with operand i become operand `number[i]`."""

    def gathers(found: tuple[Gather, ...]) -> tuple[Gather, ...]:
        return tuple(replace(g, operand=number[g.operand]) for g in found)

    def load(found: Load) -> Load:
        return replace(found, operand=number[found.operand], gathers=gathers(found.gathers))

    def store(found: Store) -> Store:
        return replace(found, operand=number[found.operand], gathers=gathers(found.gathers))

    loads = tuple(map(load, stage.loads))
    stores = tuple(map(store, stage.stores))
    if isinstance(stage, MapStage):
        return replace(stage, loads=loads, stores=stores)
    return replace(stage, loads=loads, stores=stores, lhs=load(stage.lhs), rhs=load(stage.rhs))
