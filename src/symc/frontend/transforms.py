"""Derivatives of Python functions: `grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`.

before: a function over trees of arrays.  after: a function over the same trees that traces it and
differentiates the trace.  Inside a trace the result is part of that trace; on concrete values it is
traced at each call, and its code found by the content of its IR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from symc.frontend import constraints, trees
from symc.frontend.entering import (
    Argnums,
    Made,
    as_expressions,
    chosen_arguments,
    entering,
    filled,
    filled_values,
    is_function,
    made_by,
    matching,
    require_function,
    runs_symbolic,
    transformed,
)
from symc.frontend.gradients import expression_grad, pullback, pushforward, scalar_cost
from symc.frontend.linear import Split, on_arrays
from symc.ir import term
from symc.ir.core import Value
from symc.ir.errors import ShapeError, message
from symc.ir.locations import here


def grad(target: Any, *args: Any, **kwargs: Any) -> Any:
    """The gradient of a function, `grad(f, argnums=0, has_aux=False)`, or of an expression.

    For `grad(cost, wrt, ...)` see `gradients.expression_grad`.
    """
    if is_function(target):
        return function_grad(target, *args, **kwargs)
    return expression_grad(target, *args, **kwargs)


def function_grad(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`gradient(*args)`: of the scalar f with respect to the arguments `argnums`.

    One tree like the argument, or a tuple of them when `argnums` is a sequence; with `has_aux`, f
    returns `(cost, aux)` and the gradient comes as `(gradient, aux)`.
    """

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        made, found = _value_and_grad(f, argnums, has_aux, args, kwargs)
        return (found, made.aux) if has_aux else found

    return transformed(gradient)


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`(f(...), gradient)`; with `has_aux`, f returns `(cost, aux)` and so does the first part."""
    require_function(f, "value_and_grad")

    @wraps(f)
    def both(*args: Any, **kwargs: Any) -> Any:
        made, found = _value_and_grad(f, argnums, has_aux, args, kwargs)
        return ((made.result(), made.aux) if has_aux else made.result()), found

    return transformed(both)


def _value_and_grad(
    f: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Made, Any]:
    entered, full = chosen_arguments(args, argnums, "grad")
    made = made_by(f(*full, **kwargs), "grad", has_aux=has_aux)
    if not made.tree.is_leaf():
        raise ShapeError(
            message(
                "grad: the cost is not a scalar",
                got=f"a tree of {len(made.leaves)} arrays",
                expected="one float",
                where=here(),
                advice="has_aux=True for a pair (cost, aux), or sc.vjp with a cotangent",
            )
        )
    total = scalar_cost(made.leaves[0], "grad")
    one = term.full((), 1, total.type.dtype).value
    flat = entered.flat
    parts = entered.laid_out(filled(pullback([total], [one], flat), flat))
    return made, tuple(parts) if isinstance(argnums, Sequence) else parts[0]


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`(f(*primals), tangent)`: how the results move when the primals move along `tangents`."""
    require_function(f, "jvp")
    made: tuple[Any, Any] = transformed(_pushed(f))(
        listed(primals, "jvp: primals"), listed(tangents, "jvp: tangents")
    )
    return made


def listed(given: Any, subject: str) -> tuple[Any, ...]:
    """Primals or tangents as a tuple; ShapeError for what is not a sequence of them."""
    if not isinstance(given, list | tuple):
        raise ShapeError(
            message(
                subject,
                got=type(given).__name__,
                expected="a tuple, one per positional argument",
                where=here(),
                advice="(x,) for one argument",
            )
        )
    return tuple(given)


def _pushed(f: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    @wraps(f)
    def pushed(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        own = entering(primals, "jvp")
        moves = matching(tangents, own.structures, own.flat, "jvp: tangents")
        made = made_by(f(*own.trees), "jvp")
        moved = filled_values(pushforward(made.values, own.flat, moves), made.values)
        moved = constraints.handed_on(moves, moved)
        return made.result(), trees.unflatten(made.tree, as_expressions(moved))

    return pushed


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """`(f(*primals), pull)`: `pull(cotangent)` gives a tuple of cotangents, one per primal.

    With `has_aux`, f returns `(result, aux)` and so does this, with `pull` between them.  On
    concrete values f is computed once: `pull` starts from what was kept of it.
    """
    require_function(f, "vjp")

    def split(*primals: Any) -> Split:
        own = entering(primals, "vjp")
        made = made_by(f(*own.trees), "vjp", has_aux=has_aux)
        seeds = [Value(value.type) for value in made.values]
        found = filled_values(pullback(made.values, seeds, own.flat), own.flat)
        result = (made.result(), made.aux) if has_aux else made.result()
        return Split(
            result, seeds, [made.tree], found, lambda x: tuple(own.laid_out(x)), "vjp: cotangent"
        )

    result, pull = _split_at(split, primals)
    return (result[0], pull, result[1]) if has_aux else (result, pull)


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`(f(*primals), push)`: `push(*tangents)` gives the tangent of the results.

    f is computed once: `push` starts from what was kept of it, and may be called many times.
    """
    require_function(f, "linearize")

    def split(*primals: Any) -> Split:
        own = entering(primals, "linearize")
        made = made_by(f(*own.trees), "linearize")
        moves = [Value(value.type) for value in own.flat]
        found = filled_values(pushforward(made.values, own.flat, moves), made.values)
        laid_out = partial(trees.unflatten, made.tree)
        subject = "linearize: tangents"
        return Split(made.result(), moves, own.structures, found, laid_out, subject)

    return _split_at(split, primals)


def _split_at(
    split: Callable[..., Split], primals: tuple[Any, ...]
) -> tuple[Any, Callable[..., Any]]:
    """A function's results at its primals, and a linear map there."""
    if not runs_symbolic(primals):
        return on_arrays(split, primals)
    made = split(*primals)
    return made.result, lambda *arguments: made.called(arguments)
