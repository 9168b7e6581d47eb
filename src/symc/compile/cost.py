"""What a compiled function costs, as expressions of its named sizes.

before: the plan and the program.  after: a `Cost`.

Operations are counted on the kernels that run: one per elementwise operation and element, one per
element that a reduction takes in, two per product of a contraction.  A transcendental counts one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symc.ir import ops
from symc.ir.affine import IndexMap
from symc.ir.dims import Size, maximum, prove_le, size_product, substitute, symbol
from symc.ir.errors import DomainError, message
from symc.ir.locations import here
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Stage, Store
from symc.ir.ops.loop_groups import groups
from symc.ir.ops.record import Kind
from symc.ir.program import BufferKind, Program, size_table
from symc.passes.plan import Control, Plan, Step
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Sizes: numbers, or expressions of the sizes that were not given.

    flops: arithmetic operations of one call; one step of a while loop, all branches of a choice.
    bytes: read and written by kernels, each element that a kernel may meet once.  workspace: bytes
    that a call needs besides inputs, outputs and shared variables.
    """

    flops: Size
    bytes: Size
    workspace: Size

    def at(self, dims: Mapping[str, int]) -> Cost:
        """The cost at the given sizes."""
        return Cost(*(substitute(size, dims) for size in (self.flops, self.bytes, self.workspace)))


def cost(plan: Plan, program: Program, dims: Mapping[str, int]) -> Cost:
    """The cost of one call; DomainError for a size that the program does not have."""
    unknown = sorted(set(dims) - set(program.dims))
    if unknown:
        raise DomainError(
            message(
                f"{program.name}: cost at size {unknown[0]}",
                expected=", ".join(program.dims) or "no named sizes",
                where=here(),
            )
        )
    flops, moved = _spent(plan)
    names = {name: symbol(name) for name in program.dims}
    return Cost(flops, moved, _workspace(program, size_table(program, names))).at(dims)


def _workspace(program: Program, sizes: Sequence[Size]) -> Size:
    """The arena, and slots, each as large as the largest that it holds."""
    slots: dict[int, Size] = {}
    for buffer in program.buffers:
        if buffer.kind is BufferKind.SLOT:
            slots[buffer.index] = maximum(slots.get(buffer.index, 0), sizes[buffer.bytes])
    total = sizes[program.arena]
    for size in slots.values():
        total = total + size
    return total


def _spent(plan: Plan) -> tuple[Size, Size]:
    """Operations, and bytes moved, of one run of a plan."""
    flops: Size = 0
    moved: Size = 0
    for step in plan.steps:
        own, traffic = step_cost(step)
        flops, moved = flops + own, moved + traffic
    return flops, moved


def step_cost(step: Step) -> tuple[Size, Size]:
    """Operations of one kernel, and the bytes that it reads and writes."""
    nest = step.nest
    flops: Size = 0
    moved: Size = 0
    if isinstance(nest, Control):
        steps = groups(nest.node).length if nest.node.op is ops.SCAN else 1
        for own, traffic in map(_spent, nest.bodies):
            flops, moved = flops + steps * own, moved + steps * traffic
        return flops, moved
    for stage in nest.stages:
        flops = flops + _flops(nest, stage)
    for number, operand in enumerate(nest.operands):
        if operand.role != "scratch":
            times = 2 if operand.role == "inout" else 1
            moved = moved + _met(nest, number) * operand.type.dtype.itemsize * times
    return flops, moved


def _met(nest: Nest, number: int) -> Size:
    """Elements of an operand that are read or written: at most all of them."""
    elements = nest.operands[number].type.elements
    places: dict[tuple[IndexMap, tuple[Gather, ...]], Size] = {}
    for stage in nest.stages:
        if isinstance(stage, ContractStage):
            if any(number in _operands(access) for access in _accesses(stage)):
                return elements
            continue
        space = (*nest.outer, *stage.inner)
        for access in _accesses(stage):
            for gather in access.gathers:
                if gather.operand == number:
                    places[gather.map, ()] = _points(space, gather.map)
            if access.operand == number:
                maps = (access.map, *(gather.map for gather in access.gathers))
                places[access.map, access.gathers] = _points(space, *maps)
    points = sum(places.values(), start=0)
    return points if prove_le(points, elements) else elements


def _accesses(stage: Stage) -> list[Load | Store]:
    plain: list[Load | Store] = [*stage.loads, *stage.stores]
    return [*plain, stage.lhs, stage.rhs] if isinstance(stage, ContractStage) else plain


def _operands(access: Load | Store) -> list[int]:
    return [access.operand, *(gather.operand for gather in access.gathers)]


def _points(space: Sequence[Size], *maps: IndexMap) -> Size:
    """How many places an access has: the points of the axes that it depends on."""
    used = {
        axis
        for map in maps
        for affine in map.indices
        for axis, factor in enumerate(affine.factors)
        if factor != 0
    }
    return size_product(tuple(space[axis] for axis in sorted(used)))


def _flops(nest: Nest, stage: Stage) -> Size:
    arithmetic = sum(node.op.kind is Kind.ELEMENTWISE for node in stage.body.nodes)
    match stage:
        case MapStage(inner=inner, stores=stores):
            reductions = sum(store.reducer is not None for store in stores)
            return size_product((*nest.outer, *inner)) * (arithmetic + reductions)
        case ContractStage(batch=batch, m=m, n=n, k=k):
            points = size_product((*nest.outer, *batch, *m, *n))
            return points * (size_product(k) * 2 + arithmetic)
