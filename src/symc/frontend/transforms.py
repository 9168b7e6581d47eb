"""Derivatives of Python functions: `grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`, `hvp`.

before: a function over trees of arrays.  after: a function over the same trees that traces it and
differentiates the trace.  Inside a trace the result is part of that trace; on concrete values it is
traced at each call, and its code found by the content of its IR.

Every differentiated leaf enters as a value of its own, so that an argument which the function also
captures is not differentiated twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from symc.frontend import emit, gradients, scope, trees
from symc.frontend.eager import call_traced
from symc.frontend.expr import Expr, lift
from symc.frontend.gradients import expression_grad, like, pullback, pushforward, scalar_cost
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.spec import short_name
from symc.frontend.trees import Structure
from symc.ir import ops, term
from symc.ir.core import Value
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.types import is_float


def transformed(symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """A function of symbolic values, which also takes concrete ones."""

    @wraps(symbolic)
    def function(*args: Any, **kwargs: Any) -> Any:
        leaves = trees.leaves_of((args, kwargs))
        if scope.current() is not None or any(map(is_symbolic, leaves)):
            return symbolic(*args, **kwargs)
        return call_traced(symbolic, args, kwargs)

    return function


def grad(target: Any, *args: Any, **kwargs: Any) -> Any:
    """The gradient of a function, `grad(f, argnums=0, has_aux=False)`, or of an expression.

    For `grad(cost, wrt, ...)` see `gradients.expression_grad`.
    """
    if _is_function(target):
        return _function_grad(target, *args, **kwargs)
    return expression_grad(target, *args, **kwargs)


def _is_function(target: Any) -> bool:
    return callable(target) and not is_symbolic(target)


def _require_function(target: Any, subject: str) -> None:
    if not _is_function(target):
        raise DTypeError(
            message(subject, got=type(target).__name__, expected="a function", where=here())
        )


def _function_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        (_, aux), found = _value_and_grad(f, argnums, has_aux, args, kwargs)
        return (found, aux) if has_aux else found

    return transformed(gradient)


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`(f(...), gradient)`; with `has_aux`, f returns `(cost, aux)` and so does the first part."""
    _require_function(f, "value_and_grad")

    @wraps(f)
    def both(*args: Any, **kwargs: Any) -> Any:
        (value, aux), found = _value_and_grad(f, argnums, has_aux, args, kwargs)
        return ((value, aux) if has_aux else value), found

    return transformed(both)


def _value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, Any], Any]:
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    for number in chosen:
        if not -len(args) <= number < len(args):
            raise ShapeError(
                message(
                    "grad: argnums",
                    got=number,
                    expected=f"below {len(args)}, the positional arguments",
                    where=here(),
                )
            )
    chosen = [number % len(args) for number in chosen]
    own, structures, values = _entering([args[number] for number in chosen], "grad")
    full = list(args)
    for number, tree in zip(chosen, own, strict=True):
        full[number] = tree
    made = f(*full, **kwargs)
    cost, aux = _with_aux(made) if has_aux else (made, None)
    result = lift(cost, "grad: cost")
    total = scalar_cost(result, "grad")
    one = term.full((), 1, total.type.dtype).value
    flat = [value for part in values for value in part]
    found = iter(_filled(pullback([total], [one], flat), flat))
    parts = [
        trees.unflatten(tree, [next(found) for _ in part])
        for tree, part in zip(structures, values, strict=True)
    ]
    return (result, aux), parts[0] if isinstance(argnums, int) else tuple(parts)


def _with_aux(made: Any) -> tuple[Any, Any]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise ShapeError(
            message(
                "has_aux: what the function returned",
                got=type(made).__name__,
                expected="a pair (cost, aux)",
                where=here(),
            )
        )
    return made


def _entering(
    arguments: Sequence[Any], subject: str
) -> tuple[list[Any], list[Structure], list[list[Value]]]:
    """Arguments whose leaves are values of their own, their structures and those values."""
    own: list[Any] = []
    structures: list[Structure] = []
    values: list[list[Value]] = []
    for argument in arguments:
        leaves, tree = trees.flatten(argument)
        entered = [_entered(leaf, subject) for leaf in leaves]
        own.append(trees.unflatten(tree, entered))
        structures.append(tree)
        values.append([leaf.__symc_operand__().value for leaf in entered])
    return own, structures, values


def _entered(leaf: Any, subject: str) -> Expr:
    """A leaf as a new value with the same contents."""
    made = lift(leaf, subject).__symc_operand__()
    if not is_float(made.dtype):
        raise DTypeError(
            message(
                f"{subject}: derivatives exist for floats only",
                got=f"an argument of {short_name(made.dtype)}",
                expected="f32 or f64",
                where=here(),
                advice="pass a float, or choose other argnums",
            )
        )
    same = emit.value_of(ops.RESHAPE, (made.value,), {"shape": made.type.shape})
    return Expr(Operand(same, made.weak))


def _filled(found: Sequence[Value | None], like_values: Sequence[Value]) -> list[Expr]:
    """Derivatives as expressions, zeros where there is no dependence."""
    return [
        Expr(Operand(gradients.zeros(value.type) if made is None else made))
        for made, value in zip(found, like_values, strict=True)
    ]


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`(f(*primals), tangent)`: how the results move when the primals move along `tangents`."""
    _require_function(f, "jvp")
    made: tuple[Any, Any] = transformed(_pushed(f))(tuple(primals), tuple(tangents))
    return made


def _pushed(f: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    @wraps(f)
    def pushed(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        own, structures, values = _entering(primals, "jvp")
        flat = [value for part in values for value in part]
        moves = _matching(tangents, structures, flat, "jvp: tangents")
        leaves, tree = trees.flatten(f(*own))
        results = [lift(leaf, "jvp: result") for leaf in leaves]
        outputs = [result.__symc_operand__().value for result in results]
        moved = _filled(pushforward(outputs, flat, moves), outputs)
        return trees.unflatten(tree, results), trees.unflatten(tree, moved)

    return pushed


def _matching(
    given: Sequence[Any], structures: Sequence[Structure], flat: Sequence[Value], subject: str
) -> list[Value]:
    """Leaves of `given` in the types of `flat`; the structures must agree."""
    leaves, found = [], []
    for item in given:
        own, structure = trees.flatten(item)
        leaves += own
        found.append(structure)
    if found != list(structures):
        raise ShapeError(
            message(
                subject,
                got=" ".join(map(str, found)),
                expected=" ".join(map(str, structures)),
                where=here(),
            )
        )
    return [like(leaf, value.type, subject) for leaf, value in zip(leaves, flat, strict=True)]


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """`(f(*primals), pull)`: `pull(cotangent)` gives a tuple of cotangents, one per primal.

    With `has_aux`, f returns `(result, aux)` and so does this, with `pull` between them.
    """
    _require_function(f, "vjp")
    if scope.current() is None and not any(map(is_symbolic, trees.leaves_of(primals))):
        return _vjp_at_call(f, primals, has_aux)
    own, structures, values = _entering(primals, "vjp")
    made = f(*own)
    out, aux = _with_aux(made) if has_aux else (made, None)
    leaves, tree = trees.flatten(out)
    results = [lift(leaf, "vjp: result") for leaf in leaves]
    outputs = [result.__symc_operand__().value for result in results]
    flat = [value for part in values for value in part]

    def pull(cotangent: Any) -> tuple[Any, ...]:
        seeds = _matching([cotangent], [tree], outputs, "vjp: cotangent")
        found = iter(_filled(pullback(outputs, seeds, flat), flat))
        return tuple(
            trees.unflatten(structure, [next(found) for _ in part])
            for structure, part in zip(structures, values, strict=True)
        )

    value = trees.unflatten(tree, results)
    return (value, pull, aux) if has_aux else (value, pull)


def _vjp_at_call(f: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool) -> tuple[Any, ...]:
    """On concrete values: the pull traces the function again, with the cotangent."""
    made = transformed(f)(*primals)

    def pulled(primals: tuple[Any, ...], cotangent: Any) -> Any:
        return vjp(f, *primals, has_aux=has_aux)[1](cotangent)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = transformed(pulled)(primals, cotangent)
        return found

    if not has_aux:
        return made, pull
    value, aux = _with_aux(made)
    return value, pull, aux


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`(f(*primals), push)`: `push(*tangents)` gives the tangent of the results."""
    _require_function(f, "linearize")
    value = transformed(f)(*primals)
    return value, lambda *tangents: jvp(f, primals, tangents)[1]


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of the scalar function f times `tangents`: one part per primal, alone if one."""
    _require_function(f, "hvp")
    numbers = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(_function_grad(f, numbers), primals, tangents)[1]
