"""The oracle: runs a function on NumPy arrays, op by op, with the bits that generated code has.

before: a function and one array per param.  after: one new array per result.  Dims are bound from
the arrays; sizes and constraints are checked.  Values are dropped after their last use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symc.ir.binding import has_computed
from symc.ir.core import Constraint, Function, Value
from symc.ir.dims import Dim, Symbol, substitute
from symc.ir.errors import DTypeError, OpContractError, ShapeError, message
from symc.ir.ops.record import Arrays, EvaluateContext
from symc.ir.types import dtype_name
from symc.records import dataclass


def evaluate(
    function: Function,
    arrays: Sequence[np.ndarray],
    order: str = "any",
    most_steps: int | None = None,
) -> Arrays:
    """Results of `function`, as new arrays.

    `order`: "chain" sums every contraction in chain order; "any" only those that ask for it.
    `most_steps`: UnsupportedError for a loop without a length that runs longer.
    Raises ShapeError or DTypeError for arrays that are not of the params' types, and what the
    operations themselves raise.
    """
    how = _How(order, most_steps)
    return tuple(np.array(result) for result in _run(function, arrays, {}, how))


@dataclass(frozen=True, slots=True)
class _How:
    """How contractions are summed, and how many steps a loop may run."""

    order: str
    most_steps: int | None


def _run(
    function: Function, arrays: Sequence[np.ndarray], outer: Mapping[str, int], how: _How
) -> Arrays:
    dims = {**outer, **bind(function, arrays)}
    later = check_constraints(function.constraints, dims)
    context = EvaluateContext(dims, how.order, _region_runner(dims, how), how.most_steps)
    values: dict[Value, np.ndarray] = dict(zip(function.params, arrays, strict=True))
    for node, dead in zip(function.nodes, last_uses(function), strict=True):
        results = node.op.evaluate(context, [values[x] for x in node.operands], node)
        for value, result in zip(node.results, results, strict=True):
            _check_result(value, result, context)
            values[value] = result
        if later and node.regions:
            later = check_constraints(later, dims)
        for value in dead:
            del values[value]
    return tuple(values[result] for result in function.results)


def _region_runner(dims: Mapping[str, int], how: _How) -> Callable[..., Arrays]:
    return lambda function, arrays: _run(function, arrays, dims, how)


def last_uses(function: Function) -> list[list[Value]]:
    """For each node, the values that nothing needs after it."""
    needed = set(function.results)
    dead: list[list[Value]] = []
    for node in reversed(function.nodes):
        ending: list[Value] = []
        for value in (*node.results, *node.operands):
            if value not in needed:
                needed.add(value)
                ending.append(value)
        dead.append(ending)
    return dead[::-1]


def bind(function: Function, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """The dims that the arrays give to a function; ShapeError or DTypeError if they do not fit."""
    if len(arrays) != len(function.params):
        raise ShapeError(
            message(f"{function.name}: arguments", got=len(arrays), expected=len(function.params))
        )
    dims: dict[str, int] = {}
    for param, array in zip(function.params, arrays, strict=True):
        if array.dtype != param.type.dtype:
            got = dtype_name(array.dtype)
            raise DTypeError(message(f"input {param.name}", got=got, expected=param.type))
        if array.ndim != param.type.rank:
            got = f"shape {array.shape}"
            raise ShapeError(message(f"input {param.name}", got=got, expected=param.type))
        for size, actual in zip(param.type.shape, array.shape, strict=True):
            name = dim_name(size)
            if name is not None:
                dims.setdefault(name, actual)
    for param, array in zip(function.params, arrays, strict=True):
        for axis, size in enumerate(param.type.shape):
            if substitute(size, dims) != array.shape[axis]:
                raise ShapeError(
                    message(
                        f"input {param.name}, axis {axis}",
                        got=array.shape[axis],
                        expected=f"{size} = {substitute(size, dims)}",
                    )
                )
    return dims


def dim_name(size: int | Dim) -> str | None:
    """The name, when a size is one named dim and nothing else."""
    if isinstance(size, Dim) and len(size.terms) == 1:
        monomial, factor = size.terms[0]
        if factor == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            atom = monomial[0][0]
            return atom.name if isinstance(atom, Symbol) else None
    return None


def check_constraints(
    constraints: Sequence[Constraint], dims: Mapping[str, int]
) -> tuple[Constraint, ...]:
    """ShapeError when a constraint does not hold for these dims; those that need dims which are
    computed later."""
    later = []
    for constraint in constraints:
        left = substitute(constraint.left, dims)
        right = substitute(constraint.right, dims)
        if has_computed(left) or has_computed(right):
            later.append(constraint)
        elif left != right:
            raise ShapeError(
                message(
                    constraint.message,
                    got=f"{constraint.left} = {left}, {constraint.right} = {right}",
                    expected="equal sizes",
                    where=constraint.location,
                )
            )
    return tuple(later)


def _check_result(value: Value, result: np.ndarray, context: EvaluateContext) -> None:
    shape = context.shape(value.type)
    if result.dtype != value.type.dtype or result.shape != shape:
        op = value.node.op.name if value.node is not None else "?"
        raise OpContractError(
            message(
                f"{op} evaluated to another type than it declared",
                got=f"{dtype_name(result.dtype)}{list(result.shape)}",
                expected=f"{value.type} = {list(shape)}",
            )
        )
