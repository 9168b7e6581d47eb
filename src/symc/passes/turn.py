"""Small matrices that each step of a scan reads along their rows are transposed before it.

before: any tensor function.  after: where every step multiplies a vector by a matrix that all steps
share, and sums along the matrix's last axis, the scan is given the transposed matrix.

A product with contiguous columns adds whole vectors; sums along contiguous rows end in a sum over
lanes for each element.  That shows where the matrix is in the first cache all the time; one that is
larger is read at the speed of the next cache either way.  The licence is `contraction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.loop_groups import groups
from symc.ir.options import CONTRACTION, Options
from symc.ir.types import TensorType
from symc.passes.sweep import Sweep

LARGEST: Final = 32 << 10  # bytes of the matrix
SMALLEST: Final = 8  # of both its sizes
STEPS: Final = 16  # that pay for a copy


def run(function: Function, options: Options) -> Function:
    """Transpose before each scan what its steps read along rows."""
    if CONTRACTION not in options.licences or all(n.op is not ops.SCAN for n in function.nodes):
        return function
    return Sweep(function).run(_visit)


def _visit(node: Node) -> Sequence[Value] | None:
    if node.op is not ops.SCAN:
        return None
    parts, (body,) = groups(node), node.regions
    if isinstance(parts.length, int) and parts.length < STEPS:
        return None
    turned = [i for i in range(parts.consts) if _is_turned(body, body.params[i])]
    if not turned:
        return None
    operands = list(node.operands)
    for i in turned:
        attrs = {"axes": (1, 0)}
        made = apply(ops.PERMUTE, (operands[i],), attrs, locations=node.locations)
        operands[i] = made.results[0]
    inside = _over(body, [body.params[i] for i in turned])
    made = apply(node.op, operands, node.attrs, regions=(inside,), locations=node.locations)
    return made.results


def _is_turned(body: Function, param: Value) -> bool:
    """Whether a matrix is only read by products with vectors, along its last axis."""
    type = param.type
    if type.rank != 2 or not all(isinstance(s, int) and s >= SMALLEST for s in type.shape):
        return False
    if not isinstance(type.bytes, int) or type.bytes > LARGEST or param in body.results:
        return False
    users = [node for node in body.nodes if param in node.operands]
    return bool(users) and all(_reads_rows(node, param) for node in users)


def _reads_rows(node: Node, param: Value) -> bool:
    if node.op is not ops.DOT or node.attrs["order"] != "any":
        return False
    left, right = node.operands
    axes = dot_axes(left.type.rank, right.type.rank, node.attrs)
    if left is param:
        return right is not param and right.type.rank == 1 and axes.lhs_contract == (1,)
    return left.type.rank == 1 and axes.rhs_contract == (1,)


def _over(body: Function, matrices: Sequence[Value]) -> Function:
    """The body with transposed params in place of `matrices`."""
    instead = {param: _transposed(param) for param in matrices}
    turned = frozenset(instead.values())
    sweep = Sweep(body)
    sweep.replaced.update(instead)

    def visit(node: Node) -> Sequence[Value] | None:
        if turned.isdisjoint(node.operands):
            return None
        attrs = _along_columns(node, turned)
        return apply(node.op, node.operands, attrs, locations=node.locations).results

    made = sweep.run(visit)
    return replace(made, params=tuple(instead.get(param, param) for param in body.params))


def _transposed(param: Value) -> Value:
    rows, columns = param.type.shape
    return Value(TensorType(param.type.dtype, (columns, rows)), name=param.name)


def _along_columns(node: Node, turned: frozenset[Value]) -> Attrs:
    """The attributes of a product whose matrix is transposed."""
    left, right = node.operands
    axes = dot_axes(left.type.rank, right.type.rank, node.attrs)
    if left in turned:
        axes = DotAxes((), (), (0,), axes.rhs_contract, (), ())
    else:
        axes = DotAxes((), (), axes.lhs_contract, (0,), (), ())
    return axes.attrs("any")
