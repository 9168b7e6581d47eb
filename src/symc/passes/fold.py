"""Constant folding.

before: any tensor function.  after: an op without effects on constants alone is a constant, when
its result is small or the same everywhere.  The oracle computes it, so bits are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.ops.record import EvaluateContext, Kind
from symc.ir.options import Options
from symc.ir.types import Literal
from symc.passes.sweep import Sweep
from symc.passes.uniform import scalar_constant

# Larger results are computed at run time: a constant is copied into the program.
_LARGEST = 1024


def run(function: Function, options: Options) -> Function:
    """Fold until nothing changes; operands come first, so one sweep is enough."""
    return Sweep(function).run(_fold)


def _fold(node: Node) -> Sequence[Value] | None:
    if node.op.kind is Kind.SOURCE or node.op.effects or not node.operands or node.regions:
        return None
    if node.op.kind is Kind.ELEMENTWISE:
        return _fold_uniform(node) or _fold_small(node)
    if node.op is ops.BROADCAST:
        return None
    return _fold_small(node)


def _fold_uniform(node: Node) -> Sequence[Value] | None:
    """An elementwise op on operands that are one number everywhere."""
    arrays: list[np.ndarray] = []
    for operand in node.operands:
        scalar = scalar_constant(operand)
        if scalar is None:
            return None
        arrays.append(scalar)
    if not node.results[0].type.shape:
        return None
    made = constant(node, _evaluate(node, arrays))
    shape = node.results[0].type.shape
    attrs = {"shape": shape, "axes": ()}
    return apply(ops.BROADCAST, (made,), attrs, locations=node.locations).results


def _fold_small(node: Node) -> Sequence[Value] | None:
    literals: list[np.ndarray] = []
    for operand in node.operands:
        literal = _literal(operand)
        if literal is None:
            return None
        literals.append(literal)
    sizes = [result.type.elements for result in node.results]
    if len(sizes) != 1 or not isinstance(sizes[0], int) or sizes[0] > _LARGEST:
        return None
    return (constant(node, _evaluate(node, literals)),)


def _literal(value: Value) -> np.ndarray | None:
    if value.node is None or value.node.op is not ops.CONSTANT:
        return None
    literal = value.node.attrs["value"]
    assert isinstance(literal, Literal)
    return literal.array


def _evaluate(node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
    def no_regions(*_: object) -> tuple[np.ndarray, ...]:
        raise AssertionError("a folded node has no regions")

    context = EvaluateContext({}, "chain", no_regions)
    (result,) = node.op.evaluate(context, arrays, node)
    return np.asarray(result, dtype=node.results[0].type.dtype)


def constant(node: Node, array: np.ndarray) -> Value:
    """`array` as a constant at the location of `node`."""
    attrs = {"value": Literal(array)}
    return apply(ops.CONSTANT, (), attrs, locations=node.locations).results[0]
