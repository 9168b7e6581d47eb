"""Whole matrices of derivatives: `jacfwd`, `jacrev`, `jacobian`, `hessian`, on both doors.

before: a function over trees, or expressions.  after: for every result of shape S and every
variable of shape T an array of shape S + T.  The map that a derivative is, is written once for one
direction and then batched over all of them: one sweep, no loop.

A forward Jacobian costs one push per element of a variable, a reverse one a pull per element of a
result; each leaf of a tree has a batch of its own, so that no direction carries zeros for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from symc.frontend import constraints, scope, trees
from symc.frontend.entering import (
    Argnums,
    Entered,
    Made,
    chosen_arguments,
    is_function,
    made_by,
    require_function,
    transformed,
)
from symc.frontend.expr import Expr
from symc.frontend.gradients import (
    Blocks,
    connected,
    differentiable,
    each_pullback,
    listed,
    pullback,
    pushforward,
    require_choice,
    scalar_cost,
    zeros,
)
from symc.frontend.operand import Operand
from symc.ir import term
from symc.ir.batch import batched_values, repeated
from symc.ir.core import Value, nodes_so_far
from symc.ir.dims import Size, prove_le, substitute
from symc.ir.errors import DTypeError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import TensorType, is_float

# For each result: per variable, the block of the Jacobian, or None where it does not depend on it.
Rows = list[list[Value | None]]


def jacfwd(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """The Jacobian of f in forward mode: as many pushes as the arguments have elements.

    For each result of shape S, in the tree that f returns, a tree like the argument (a tuple of
    them when `argnums` is a sequence) with arrays of shape S + T.  With `has_aux`, f returns
    `(result, aux)` and this `(jacobian, aux)`.
    """
    return _jacobian_of(f, argnums, has_aux, "jacfwd", forward_blocks)


def jacrev(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """The Jacobian of f in reverse mode: as many pulls as the results have elements.

    Laid out as by `jacfwd`.
    """
    return _jacobian_of(f, argnums, has_aux, "jacrev", reverse_blocks)


def jacobian(target: Any, *args: Any, **kwargs: Any) -> Any:
    """The Jacobian, in the mode that takes fewer directions.

    Of a function: `jacobian(f, argnums=0, has_aux=False)`, laid out as by `jacfwd`.  Of an
    expression or a list of them: `jacobian(expr, wrt, disconnected="raise")`, of shape
    expr.shape + wrt.shape, in the containers that they came in.
    """
    if is_function(target):
        return _cheaper_jacobian(target, *args, **kwargs)
    return expression_jacobian(target, *args, **kwargs)


def _cheaper_jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    return _jacobian_of(f, argnums, has_aux, "jacobian", cheaper_blocks)


def hessian(target: Any, *args: Any, **kwargs: Any) -> Any:
    """Second derivatives, forward over reverse.

    Of a function: `hessian(f, argnums=0, has_aux=False)`, the trees nested as by
    `jacfwd(jacrev(f))`.  Of a scalar expression: `hessian(cost, wrt, disconnected="raise")`, of
    shape wrt.shape + wrt.shape; for a list of variables, one matrix for each.
    """
    if is_function(target):
        return _function_hessian(target, *args, **kwargs)
    return expression_hessian(target, *args, **kwargs)


def _function_hessian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    slope: Any = jacrev(f, argnums, has_aux)
    return _jacobian_of(slope, argnums, has_aux, "hessian", forward_or_reverse)


def _jacobian_of(
    f: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    subject: str,
    blocks: Callable[[Sequence[Value], Sequence[Value]], Rows],
) -> Callable[..., Any]:
    require_function(f, subject)

    @wraps(f)
    def matrix(*args: Any, **kwargs: Any) -> Any:
        entered, full = chosen_arguments(args, argnums, subject)
        made = made_by(f(*full, **kwargs), subject, has_aux=has_aux)
        _require_floats(made, subject)
        rows = [
            _laid_out(entered, row, out, single=not isinstance(argnums, Sequence))
            for row, out in zip(blocks(made.values, entered.flat), made.values, strict=True)
        ]
        found = trees.unflatten(made.tree, rows)
        return (found, made.aux) if has_aux else found

    return transformed(matrix)


def _require_floats(made: Made, subject: str) -> None:
    for value in made.values:
        if not is_float(value.type.dtype):
            raise DTypeError(
                message(
                    f"{subject}: derivatives exist for floats only",
                    got=f"a result of {value.type}",
                    expected="f32 or f64",
                    where=here(),
                    advice="has_aux=True for results without a derivative",
                )
            )


def _laid_out(entered: Entered, row: Sequence[Value | None], out: Value, *, single: bool) -> Any:
    """The blocks of one result in the trees of the arguments."""
    blocks = [
        zeros(_block_type(out, x)) if block is None else block
        for block, x in zip(row, entered.flat, strict=True)
    ]
    parts = entered.laid_out([Expr(Operand(block)) for block in blocks])
    return parts[0] if single else tuple(parts)


def _block_type(out: Value, x: Value) -> TensorType:
    return out.type.with_shape((*out.type.shape, *x.type.shape))


# --- blocks --------------------------------------------------------------------------------------


def reverse_blocks(outs: Sequence[Value], wrt: Sequence[Value]) -> Rows:
    """One batched pull per result."""
    found: Rows = []
    for out in outs:
        since, seed = nodes_so_far(), _direction(out.type)
        pulled = each_pullback([out], [seed], wrt)
        rows = _over_basis(pulled, seed, since)
        shapes = [(*out.type.shape, *x.type.shape) for x in wrt]
        found.append([_shaped(row, shape) for row, shape in zip(rows, shapes, strict=True)])
    return found


def forward_blocks(outs: Sequence[Value], wrt: Sequence[Value]) -> Rows:
    """One batched push per variable."""
    columns = []
    for x in wrt:
        since, along = nodes_so_far(), _direction(x.type)
        pushed = pushforward(outs, [x], [along])
        rows = _over_basis(pushed, along, since)
        shapes = [(*x.type.shape, *out.type.shape) for out in outs]
        columns.append(
            [
                _last_axes_first(_shaped(row, shape), x.type.rank)
                for row, shape in zip(rows, shapes, strict=True)
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in outs]


def cheaper_blocks(outs: Sequence[Value], wrt: Sequence[Value]) -> Rows:
    """Forward when the variables have at most as many elements as the results, else reverse.

    The other mode where something on the way offers only that.
    """
    few = prove_le(_example(_total(wrt)), _example(_total(outs)))
    if few:
        return forward_or_reverse(outs, wrt)
    try:
        return reverse_blocks(outs, wrt)
    except UnsupportedError:
        return forward_blocks(outs, wrt)


def forward_or_reverse(outs: Sequence[Value], wrt: Sequence[Value]) -> Rows:
    """Forward; reverse where something on the way has no forward derivative."""
    try:
        return forward_blocks(outs, wrt)
    except UnsupportedError:
        return reverse_blocks(outs, wrt)


def _total(values: Sequence[Value]) -> Size:
    total: Size = 0
    for value in values:
        total = total + value.type.elements
    return total


def _example(size: Size) -> Size:
    """The size in the call that is being traced, where that is known."""
    return substitute(size, scope.example_sizes())


def _direction(type: TensorType) -> Value:
    """What stands for any direction; of a scalar there is but one."""
    return term.full((), 1, type.dtype).value if not type.rank else Value(type, name="direction")


def _over_basis(found: Sequence[Value | None], direction: Value, since: int) -> list[Value | None]:
    """`found`, which is linear in `direction`, for every direction of the basis, along axis 0."""
    if not direction.type.rank:
        return list(found)
    basis = standard_basis(direction.type)
    size = basis.type.shape[0]
    there = [value for value in found if value is not None]
    batched = batched_values(there, {direction: basis}, size, since=since)
    for old, new in batched.now.items():
        constraints.attach(new, constraints.of(old))
    rows = {}
    for value in there:
        now, whole = batched.of(value)
        rows[value] = now if whole else repeated(now, size)
    return [None if value is None else rows[value] for value in found]


def standard_basis(type: TensorType) -> Value:
    """All arrays of `type` with a single 1, in row-major order of its place, along axis 0."""
    count = type.elements
    numbers = term.iota((count,), 0)
    shape = (count, *type.shape)
    mine = numbers.broadcast(shape, (0,))
    places = numbers.reshape(type.shape).broadcast(shape, range(1, len(shape)))
    return mine.eq(places).cast(type.dtype).value


def _shaped(rows: Value | None, shape: Sequence[Size]) -> Value | None:
    return None if rows is None else Term(rows).reshape(shape).value


def _last_axes_first(block: Value | None, rank: int) -> Value | None:
    """The first `rank` axes after the others."""
    if block is None:
        return None
    axes = range(block.type.rank)
    return Term(block).permute([*axes[rank:], *axes[:rank]]).value


# --- the expression door -------------------------------------------------------------------------


def expression_jacobian(
    expr: Any, wrt: Any, consider_constant: Sequence[Any] = (), disconnected: str = "raise"
) -> Any:
    """The Jacobian of each expression with respect to each of `wrt`: shape expr + wrt.

    `consider_constant` and `disconnected` as in `grad`.
    """
    require_choice(disconnected, "jacobian")
    outs, single_out = listed(expr)
    targets, single = listed(wrt)
    values = [differentiable(x, "jacobian: expression") for x in outs]
    over = [differentiable(x, "jacobian: wrt") for x in targets]
    blocks = Blocks(consider_constant)
    values, over = blocks.around(values, over)
    made = []
    for out, row in zip(values, cheaper_blocks(values, over), strict=True):
        found = [
            connected(x, block, disconnected, "jacobian", _block_type(out, value))
            for x, value, block in zip(targets, over, blocks.lifted(row), strict=True)
        ]
        made.append(found[0] if single else type(wrt)(found))
    return made[0] if single_out else type(expr)(made)


def expression_hessian(
    cost: Any, wrt: Any, consider_constant: Sequence[Any] = (), disconnected: str = "raise"
) -> Any:
    """The Hessian of the scalar `cost` with respect to each of `wrt` by itself.

    `consider_constant` and `disconnected` as in `grad`; a cost that is linear in a variable has
    zeros.
    """
    require_choice(disconnected, "hessian")
    targets, single = listed(wrt)
    over = [differentiable(x, "hessian: wrt") for x in targets]
    blocks = Blocks(consider_constant)
    (total,), over = blocks.around([scalar_cost(cost, "hessian")], over)
    one = term.full((), 1, total.type.dtype).value
    made = []
    for x, value in zip(targets, over, strict=True):
        (slope,) = pullback([total], [one], [value])
        block = slope
        if slope is not None:
            ((block,),) = map(blocks.lifted, forward_or_reverse([slope], [value]))
        square = _block_type(value, value)
        if slope is not None and block is None:
            block = zeros(square)
        made.append(connected(x, block, disconnected, "hessian", square))
    return made[0] if single else type(wrt)(made)
