"""What loops read step by step, and the regions that they run.

before: `xs`, a tree of arrays that share their leading axis, and a traced step.  after: the leaves
as values with exactly as many rows as there are steps; the step as a closed function with what it
captured as leading params.
"""

from __future__ import annotations

from typing import Any

from symc.frontend import constraints, emit, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import Region
from symc.frontend.trees import Structure
from symc.ir import dims, ops
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Sequences:
    """The leaves of `xs`, one step of each, and the number of steps."""

    values: list[Value]
    steps: list[Operand]
    tree: Structure
    length: Size


def sequences(xs: Any, length: Size | None, title: str) -> Sequences:
    """The sequences of a loop; ShapeError when they have no common number of rows."""
    leaves, tree = trees.flatten(xs)
    found = [lift(leaf, f"{title}: xs").__symc_operand__() for leaf in leaves]
    size = length
    for x in found:
        if not x.value.type.rank:
            raise ShapeError(
                message(f"{title}: xs", got=x.value.type, expected="a leading axis", where=here())
            )
        size = x.value.type.shape[0] if size is None else size
    if size is None:
        raise ShapeError(message(title, got="neither xs nor length", where=here()))
    if isinstance(size, int) and size < 0:
        raise ShapeError(message(f"{title}: length", got=size, expected=">= 0", where=here()))
    values, steps = [], []
    for x in found:
        type = x.value.type
        values.append(_of_length(x.value, size, title))
        steps.append(Operand(Value(type.with_shape(type.shape[1:])), x.weak))
    return Sequences(values, steps, tree, size)


def _of_length(x: Value, length: Size, title: str) -> Value:
    """A sequence with exactly `length` rows; a constraint where that cannot be proved."""
    own = x.type.shape[0]
    equal = dims.prove_equal(own, length)
    if equal is False:
        raise ShapeError(
            message(f"{title}: xs", got=f"{own} rows", expected=f"{length} rows", where=here())
        )
    if own == length:
        return x
    shape = (length, *x.type.shape[1:])
    made = emit.value_of(ops.RESHAPE, (x,), {"shape": shape})
    return constraints.attach(made, [constraints.must_equal(own, length, title)])


def pair_of(made: Any, title: str) -> tuple[Any, Any]:
    """What a step returned: (carry, y); DTypeError for anything else."""
    if not isinstance(made, tuple) or len(made) != 2:
        raise DTypeError(
            message(
                f"{title}: what the step returned",
                got=type(made).__name__,
                expected="a pair (carry, y)",
                where=here(),
            )
        )
    return made


def captured_first(region: Region, own: int) -> tuple[Function, list[Value]]:
    """The function with its captured params leading, and what they stand for."""
    function = region.function
    params = (*function.params[own:], *function.params[:own])
    moved = Function(function.name, params, function.nodes, function.results, function.constraints)
    return moved, region.operands[own:]


def placed(node: Node, region: Region) -> list[Expr]:
    """The node's results as expressions; what the region assumes is assumed of them."""
    for value in node.results:
        constraints.attach(value, region.constraints)
    return [Expr(Operand(value)) for value in node.results]
