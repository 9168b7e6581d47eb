"""Structural identity of nests: equal keys, equal code.

Functions have identity equality, so a body is described by its nodes in order, values by number.
"""

from __future__ import annotations

from collections.abc import Hashable

from symc.ir.core import Function, Value
from symc.ir.nest import Load, MapStage, Nest, Stage


def nest_key(nest: Nest) -> Hashable:
    """What the code of a nest depends on; names and locations are not part of it."""
    operands = tuple((operand.type, operand.role) for operand in nest.operands)
    stages = tuple(_stage_key(stage) for stage in nest.stages)
    return (operands, nest.outer, stages, nest.symbols)


def _stage_key(stage: Stage) -> Hashable:
    body = _function_key(stage.body), tuple(map(_fill_key, stage.loads))
    if isinstance(stage, MapStage):
        return (stage.inner, stage.loads, stage.indices, body, stage.stores)
    sizes = (stage.batch, stage.m, stage.n, stage.k)
    sums = (stage.lhs, stage.rhs, stage.dtype, stage.order)
    return (sizes, sums, stage.loads, body, stage.stores)


def _fill_key(load: Load) -> Hashable:
    """-0.0 equals 0.0 and True equals 1, but they are not the same constants."""
    return repr(load.fill)


def _function_key(function: Function) -> Hashable:
    numbers: dict[Value, int] = {}
    for value in function.params:
        numbers[value] = len(numbers)
    nodes = []
    for node in function.nodes:
        operands = tuple([numbers[operand] for operand in node.operands])
        attrs = tuple(sorted(node.attrs.items())) if node.attrs else ()
        nodes.append((node.op, operands, attrs, tuple([r.type for r in node.results])))
        for result in node.results:
            numbers[result] = len(numbers)
    types = tuple(param.type for param in function.params)
    return (types, tuple(nodes), tuple(numbers[result] for result in function.results))
