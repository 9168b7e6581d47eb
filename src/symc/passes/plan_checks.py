"""Indices that are looked at before anything is written.

before: a step that writes into a state, or a donated input, at places that are data, and may trap
on a place out of range.  after: steps that only look at the places, and the step without traps.

What may trap has to come before Commit, and what writes over a state after it, or a call that is
refused would leave the state half written.  So such a step could not write in place, and copied
all of the state for the few rows that it changes.

Invariants: the new steps trap where the old one did, at the same places and at no others; in range,
mode "wrap" reads and writes what "raise" does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Function, Value
from symc.ir.dims import Size, prove_le
from symc.ir.nest import Gather, Load, MapStage, Nest, Operand, Store
from symc.ir.types import TensorType
from symc.passes.lower import nest_symbols
from symc.passes.plan import Control, Plan, Step

RAISE, WRAP = "raise", "wrap"


def run(plan: Plan, targets: Collection[Value]) -> Plan:
    """Put checks before the steps that write `targets`, the values of states and donated inputs."""
    roots = {plan.root(target) for target in targets}
    steps: list[Step] = []
    for step in plan.steps:
        if step.traps and not roots.isdisjoint(map(plan.root, step.writes())):
            steps += _checked(step)
        else:
            steps.append(step)
    return plan if len(steps) == len(plan.steps) else replace(plan, steps=tuple(steps))


def _checked(step: Step) -> list[Step]:
    """The step without traps, behind what looks at its indices."""
    nest = step.nest
    if isinstance(nest, Control) or len(nest.stages) != 1:
        return [step]
    (stage,) = nest.stages
    if not isinstance(stage, MapStage):
        return [step]
    looks = [_look(step, nest, access, gather) for access, gather in _raising(stage)]
    quiet = replace(nest, stages=(_quiet(stage),))
    return [*looks, replace(step, nest=quiet, traps=False)]


def _raising(stage: MapStage) -> Iterator[tuple[Load | Store, Gather]]:
    """The indices that may trap, each once."""
    seen: set[tuple[int, Gather]] = set()
    accesses: list[Load | Store] = [*stage.loads, *stage.stores]
    for access in accesses:
        for gather in access.gathers:
            if gather.mode == RAISE and (access.operand, gather) not in seen:
                seen.add((access.operand, gather))
                yield access, gather


def _quiet(stage: MapStage) -> MapStage:
    def gathers(found: tuple[Gather, ...]) -> tuple[Gather, ...]:
        return tuple(replace(g, mode=WRAP) if g.mode == RAISE else g for g in found)

    loads = tuple(replace(load, gathers=gathers(load.gathers)) for load in stage.loads)
    stores = tuple(replace(store, gathers=gathers(store.gathers)) for store in stage.stores)
    return replace(stage, loads=loads, stores=stores)


def _look(step: Step, nest: Nest, access: Load | Store, gather: Gather) -> Step:
    """A step that reads one element at each of the places."""
    (stage,) = nest.stages
    assert isinstance(stage, MapStage)
    table, places = nest.operands[access.operand], nest.operands[gather.operand]
    space = (*nest.outer, *stage.inner)
    axes = _axes(gather, space, table.type.shape)
    inner = tuple(space[axis] for axis in axes)
    rows = [Affine((0,) * len(axes))] * table.type.rank
    if len(axes) == len(space):
        rows = list(access.map.indices)
        rows[gather.axis] = Affine((0,) * len(axes))
    look = Load(0, IndexMap(len(axes), tuple(rows)), (_over(gather, axes, operand=1),))
    element = Value(TensorType(table.type.dtype))
    seen = Value(TensorType(table.type.dtype, inner), name="seen")
    store = Store(2, IndexMap(len(axes), tuple(_over_one(axes, i) for i in range(len(axes)))))
    body = Function("look", (element,), (), (element,))
    operands = (
        Operand("in0", table.type, "in"),
        Operand("in1", places.type, "in"),
        Operand("out2", seen.type, "out"),
    )
    only = MapStage(inner, (look,), (), body, (store,))
    made = Nest(f"{nest.name}_check", operands, (), (only,), (), nest.locations)
    made = replace(made, symbols=nest_symbols(made))
    before = step.olds[access.operand] if table.role == "inout" else step.values[access.operand]
    values = (before, step.values[gather.operand], seen)
    return Step(made, values, (None, None, None), True, step.waits)


def _over_one(axes: tuple[int, ...], number: int) -> Affine:
    return Affine(tuple(int(i == number) for i in range(len(axes))))


def _over(gather: Gather, axes: tuple[int, ...], operand: int) -> Gather:
    """The gather over some of the axes, outside which it does not change."""
    indices = tuple(
        Affine(tuple(affine.factors[axis] for axis in axes), affine.offset)
        for affine in gather.map.indices
    )
    return replace(gather, operand=operand, map=IndexMap(len(axes), indices, gather.map.valid))


def _axes(gather: Gather, space: tuple[Size, ...], shape: tuple[Size, ...]) -> tuple[int, ...]:
    """The axes to look over: those that the places depend on; all where the rest may be empty."""
    used = {axis for row in gather.map.indices for axis, f in enumerate(row.factors) if f != 0}
    others = [space[axis] for axis in range(len(space)) if axis not in used]
    others += [size for axis, size in enumerate(shape) if axis != gather.axis]
    if all(prove_le(1, size) for size in others):
        return tuple(sorted(used))
    return tuple(range(len(space)))
