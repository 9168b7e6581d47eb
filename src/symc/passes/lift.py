"""Elementwise work is done before a reshape that merges or cuts axes, not after.

before: any tensor function.  after: an elementwise op on a reshape of computed values is the
reshape of the op on those, so that one kernel does both; reductions and results take the reshape
from there at no cost.  Bits: unchanged.

Operands that are the same everywhere, or vary only along axes that the reshape leaves whole, are
spread out over the shape before it.  Reshapes with an index map (axes split, units) stay: fusion
sees through those.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.ops.record import Kind
from symc.ir.options import Options
from symc.passes.algebra_reductions import runs
from symc.passes.factors import factor
from symc.passes.sweep import Sweep


def run(function: Function, options: Options) -> Function:
    """Lift reshapes over the elementwise work on them; operands come first, so one sweep does."""
    if all(node.op is not ops.RESHAPE for node in function.nodes):
        return function
    return Sweep(function).run(_visit)


def _visit(node: Node) -> Sequence[Value] | None:
    if node.op.kind is not Kind.ELEMENTWISE or node.op.effects:
        return None
    merged = next((x for x in node.operands if _merges_computed(x)), None)
    if merged is None or merged.node is None:
        return None
    shape = merged.node.operands[0].type.shape
    operands = [_before(operand, shape) for operand in node.operands]
    known = [operand for operand in operands if operand is not None]
    if len(known) < len(operands):
        return None
    made = apply(node.op, known, node.attrs, locations=node.locations).results[0]
    attrs = {"shape": node.results[0].type.shape}
    return apply(ops.RESHAPE, (made,), attrs, locations=node.locations).results


def _merges_computed(value: Value) -> bool:
    """Whether a value is a reshape that fusion does not see through, of elementwise work."""
    node = value.node
    if node is None or node.op is not ops.RESHAPE or node.op.index_map is None:
        return False
    source = node.operands[0].node
    if source is None or source.op.kind is not Kind.ELEMENTWISE:
        return False
    return node.op.index_map([node.operands[0].type], value.type, node.attrs) is None


def _before(value: Value, shape: tuple[Size, ...]) -> Value | None:
    """An operand as it is before the reshape to its shape; None when that is not known."""
    node = value.node
    if node is not None and node.op is ops.RESHAPE and node.operands[0].type.shape == shape:
        return node.operands[0]
    found = runs(shape, value.type.shape)
    if found is None:
        return None
    whole = {theirs[0]: ours[0] for ours, theirs in found if len(ours) == len(theirs) == 1}
    spread = factor(value)
    if spread.steps or any(axis not in whole for axis in spread.axes):
        return None
    if len(spread.axes) == len([size for size in value.type.shape if size != 1]):
        return None
    places = [whole[axis] for axis in spread.axes]
    order = sorted(range(len(places)), key=places.__getitem__)
    return spread.term().permute(order).broadcast(shape, sorted(places)).value
