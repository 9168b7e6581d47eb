"""A backward product and the update of the same weights, from one walk over the weights.

before: two ContractStages in one nest: `d = g W^T`, then `W <- f(W, x^T g)` in place.
after: one kernel of `contract.emit_update`, where both are plain matrices over the same elements of
W; else None, and each stage becomes a kernel of its own.

Invariant: d is taken from the old W; W is read and written once per call.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.codegen_llvm.abi import BEGIN, END
from symc.codegen_llvm.contract import (
    ALL,
    TileRow,
    Update,
    UpdateHooks,
    emit_update,
    update_blocking,
)
from symc.codegen_llvm.contract import Operand as Matrix
from symc.codegen_llvm.contract.size import mul, offset
from symc.codegen_llvm.contract_shape import LEFT, RIGHT, Shape, exchanged, oriented, shape_of
from symc.codegen_llvm.contraction import Epilogue, generator_type, matrix, order_of
from symc.codegen_llvm.kernels import BLOCK_COST, Kernel, NestKernels
from symc.codegen_llvm.sizes import ceil_div
from symc.codegen_llvm.space import Access
from symc.codegen_llvm.text import Emitter, Reg
from symc.ir.affine import Affine
from symc.ir.dims import Size
from symc.ir.nest import ContractStage, Nest, Stage
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Both contractions, the right operand of `product` and the result of `update` being W."""

    product: Shape
    update: Shape
    weights: Access  # as the update writes them, over the update's axes


def paired(nest: Nest, stages: Sequence[Stage]) -> Pair | None:
    """The two stages of a nest as a pair, or None."""
    if len(stages) != 2:
        return None
    first, second = stages
    if not isinstance(first, ContractStage) or not isinstance(second, ContractStage):
        return None
    if first.dtype != second.dtype or first.order != second.order:
        return None
    update, product = oriented(shape_of(nest, second)), shape_of(nest, first)
    for write in update.work.writes:
        for side in (product, exchanged(product)):
            pair = Pair(side, update, write.access)
            if _fits(nest, pair):
                return pair
    return None


def _fits(nest: Nest, pair: Pair) -> bool:
    product, update, weights = pair.product, pair.update, pair.weights
    right = product.work.loads[RIGHT]
    shared = nest.operands[weights.operand].role == "inout" and right.operand == weights.operand
    if not shared or not (_is_plain(product) and _is_plain(update)):
        return False
    accesses = (weights, *product.work.loads[:2], *update.work.loads[:2])
    if any(access.guards or access.indirect for access in accesses):
        return False
    sides = (product.work.loads[LEFT], update.work.loads[RIGHT])
    same_g = _walk(sides[0], product, "mk") == _walk(sides[1], update, "kn")
    same_w = _walk(right, product, "nk") == _walk(weights, update, "mn")
    contiguous = _step(weights, update, "n") == 1 and _step(sides[1], update, "n") == 1
    return sides[0].operand == sides[1].operand and same_g and same_w and contiguous


def _is_plain(shape: Shape) -> bool:
    """Whether rows, columns and terms are at most one axis each, with more than one column."""
    return all(shape.tags.count(tag) <= 1 for tag in "mnk") and "b" not in shape.tags


def _step(access: Access, shape: Shape, tag: str) -> Size:
    axes = shape.axes(tag)
    return access.at.factors[axes[0]] if axes else 0


def _walk(access: Access, shape: Shape, tags: str) -> tuple[Size, ...]:
    """Where an access begins, and its size and stride along two kinds of axes."""
    parts: list[Size] = [access.at.offset]
    for tag in tags:
        parts += [shape.size(shape.axes(tag)), _step(access, shape, tag)]
    return tuple(parts)


def pair_kernel(owner: NestKernels, stages: Sequence[ContractStage], pair: Pair) -> None:
    """Write the kernel of a pair."""
    kernel = owner.open()
    update, dtype = pair.update, stages[1].dtype
    u = _update(kernel, stages[1], pair)
    back, revised = Epilogue(kernel, pair.product, dtype), Epilogue(kernel, update, dtype)
    old_at = _epilogue_access(pair.weights, update)

    def revise(e: Emitter, run: TileRow, old: Reg) -> None:
        lanes = revised.memory.builder.wrap(old, dtype)
        revised.run(e, run, {old_at: lanes})

    hooks = UpdateHooks(revise, back.finish, back.cost, revised.cost)
    cut = update_blocking(u, owner.target)
    scratch = kernel.scratch.take(cut.scratch_bytes)
    emit_update(kernel.k, u, (BEGIN, END), hooks, owner.target, scratch)
    rows, columns, terms = (update.size(update.axes(tag)) for tag in "mnk")
    panels = 1 if cut.columns == ALL else ceil_div(columns, cut.columns)
    cost = columns * (terms + revised.cost) * cut.rows + BLOCK_COST
    kernel.close(panels * ceil_div(rows, cut.rows), cost)


def _update(kernel: Kernel, stage: ContractStage, pair: Pair) -> Update:
    k, update = kernel.k, pair.update
    rows, columns, terms = (update.axes(tag) for tag in "mnk")
    x = matrix(kernel, update, LEFT, terms, rows)
    g = matrix(kernel, update, RIGHT, terms, columns)
    at = pair.weights
    start = mul(k, k.size(at.at.offset), at.dtype.itemsize)
    base = offset(k, kernel.buffer(at.operand), start)
    w = Matrix(base, k.size(_step(at, update, "m")), 1)
    m, depth, n = (k.size(update.size(axes)) for axes in (terms, rows, columns))
    return Update(generator_type(stage.dtype), m, depth, n, x, g, w, order_of(stage))


def _epilogue_access(weights: Access, update: Shape) -> Access:
    """The load of the old weights as the epilogue's body has it: over rows and columns only."""
    kept = [*update.axes("m"), *update.axes("n")]
    at = Affine(tuple(weights.at.factors[axis] for axis in kept), weights.at.offset)
    return Access(weights.operand, weights.dtype, at)
