"""A backward product and the update of the same weights as one kernel.

before: `d = g W^T` and `W <- f(W, x^T g)` as two steps.  after: one step whose nest has both
contractions as stages, the product first, so that W is read once and written once.

Invariants: both stages use the same g; the product has few rows, or a number of them that only the
call knows (one to 1000 rows of symbolic batches were faster than two kernels); the update reads
nothing that the product writes, and W only where it writes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from symc.ir.core import Value
from symc.ir.dims import Size, size_product
from symc.ir.nest import ContractStage, Load, Nest, Operand
from symc.passes.plan import Control, Plan, Step
from symc.passes.plan_inplace import renumbered_stage

# Rows of g up to which one pass over W serves both sums: faster or as fast as two kernels at every
# size tried, f32 with W from 500 x 10 to 1000 x 1000.
ROWS: Final = 64


def pair(plan: Plan, product: Step, update: Step, old: Value) -> Step | None:
    """One step of both, or None.  `update` overwrites `old` in place already."""
    first, second = _contraction(product.nest), _contraction(update.nest)
    if first is None or second is None or first.batch or second.batch:
        return None
    rows = _rows(plan, product, first, old)
    if rows is None or (isinstance(rows, int) and rows > ROWS) or first.order != second.order:
        return None
    if not _shares(plan, (product, first), (update, second), old):
        return None
    return _joined(product, update)


def _contraction(nest: Nest | Control) -> ContractStage | None:
    if isinstance(nest, Control) or len(nest.stages) != 1:
        return None
    (stage,) = nest.stages
    return stage if isinstance(stage, ContractStage) else None


def _value(plan: Plan, step: Step, operand: int) -> Value | None:
    value = step.values[operand]
    return None if value is None else plan.root(value)


def _rows(plan: Plan, step: Step, stage: ContractStage, weights: Value) -> Size | None:
    """Rows of the product, when `weights` is one factor, every element once, and nothing else."""
    reads = [i for i in range(len(step.values)) if _value(plan, step, i) is weights]
    if len(reads) != 1 or any(load.operand == reads[0] for load in stage.loads):
        return None
    sides = [side for side in (stage.lhs, stage.rhs) if side.operand == reads[0]]
    if len(sides) != 1 or not _each_once(step, sides[0]):
        return None
    return size_product(stage.m if sides[0] is stage.rhs else stage.n)


def _each_once(step: Step, load: Load) -> bool:
    """Whether a read meets every element of its operand in turn."""
    found = []
    shape = step.nest.operands[load.operand].type.shape
    for index, size in zip(load.map.indices, shape, strict=True):
        if size == 1:
            continue
        factors = [(axis, f) for axis, f in enumerate(index.factors) if f != 0]
        if index.offset != 0 or len(factors) != 1 or factors[0][1] != 1:
            return False
        found.append(factors[0][0])
    return len(set(found)) == len(found)


def _shares(
    plan: Plan, first: tuple[Step, ContractStage], second: tuple[Step, ContractStage], old: Value
) -> bool:
    """Whether the product's other factor is a factor of the update, read as the same matrix."""
    (product, p), (update, u) = first, second
    other: Load = p.rhs if _value(plan, product, p.lhs.operand) is old else p.lhs
    shared = product.values[other.operand]
    sides = [side for side in (u.lhs, u.rhs) if update.values[side.operand] is shared]
    return len(sides) == 1 and _each_once(update, sides[0]) and _each_once(product, other)


def _joined(product: Step, update: Step) -> Step:
    """The product's stage, then the update's, over one list of operands."""
    operands: list[Operand] = list(update.nest.operands)
    values: list[Value | None] = list(update.values)
    olds: list[Value | None] = list(update.olds)
    place: dict[Value, int] = {}
    for i, operand in enumerate(operands):
        held = values[i] if operand.role == "in" else olds[i]
        if held is not None:
            place[held] = i
    number: dict[int, int] = {}
    rows = zip(product.nest.operands, product.values, product.olds, strict=True)
    for i, (operand, value, old) in enumerate(rows):
        if operand.role == "in" and value in place:
            number[i] = place[value]
            continue
        number[i] = len(operands)
        operands.append(replace(operand, name=f"{operand.role}{len(operands)}"))
        values.append(value)
        olds.append(old)
    assert isinstance(product.nest, Nest)
    assert isinstance(update.nest, Nest)
    stages = tuple(renumbered_stage(stage, number) for stage in product.nest.stages)
    nest = Nest(
        update.nest.name,
        tuple(operands),
        (),
        (*stages, *update.nest.stages),
        tuple(sorted({*product.nest.symbols, *update.nest.symbols})),
        tuple(dict.fromkeys((*product.nest.locations, *update.nest.locations))),
    )
    traps, waits = product.traps or update.traps, (*product.waits, *update.waits)
    return Step(nest, tuple(values), tuple(olds), traps, waits)
