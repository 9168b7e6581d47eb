"""Derivatives of expressions: Theano's `grad`, `Rop`, `Lop`.

before: a cost or expressions of the explicit door, or values inside a trace.  after: new
expressions for the derivatives, in the container that `wrt` came in.  Sizes that the cost assumes
equal are assumed by its derivatives too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np

from symc.frontend import constraints, emit
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import fit, graft
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.settings import current
from symc.frontend.spec import short_name
from symc.ir import ops, term
from symc.ir.core import Value, reachable_whole
from symc.ir.errors import DisconnectedGradError, DomainError, DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.types import TensorType, is_float

# Loaded by the first derivative, as the compiler is by the first program.
DERIVE: Final = "symc.compile.derive"
DISCONNECTED: Final = ("raise", "zero", "none")


def expression_grad(
    cost: Any,
    wrt: Any,
    consider_constant: Sequence[Any] = (),
    known_grads: Mapping[Any, Any] | None = None,
    disconnected: str = "raise",
) -> Any:
    """The gradient of the scalar `cost` with respect to `wrt`, an expression or a list of them.

    `consider_constant`: expressions through which no derivative passes.  `known_grads`: expression
    -> its gradient, used instead of what `cost` would give it (`cost` may then be None).
    `disconnected`: what to give for a `wrt` that the cost does not depend on.
    """
    require_choice(disconnected, "grad")
    targets, single = listed(wrt)
    over = [differentiable(item, "grad: wrt") for item in targets]
    blocks = Blocks(consider_constant, known_grads or {})
    results, cotangents = _seeds(cost, known_grads or {}, blocks)
    results, over = blocks.around(results, over)
    found = blocks.lifted(each_pullback(results, cotangents, over))
    made = [
        connected(item, value, disconnected, "grad")
        for item, value in zip(targets, found, strict=True)
    ]
    return made[0] if single else type(wrt)(made)


def require_choice(disconnected: str, subject: str) -> None:
    """DomainError for a `disconnected=` that is none of the three."""
    if disconnected not in DISCONNECTED:
        raise DomainError(
            message(
                f"{subject}: disconnected",
                got=repr(disconnected),
                expected=DISCONNECTED,
                where=here(),
            )
        )


class Blocks:
    """Values through which one derivative is not to pass; later derivatives of it may.

    `constants`: expressions to hold constant.  `known`: expressions whose gradients are given, so
    that the cost gives them none.
    """

    def __init__(self, constants: Sequence[Any], known: Iterable[Any] = ()) -> None:
        self._constant = {x: _stop(x) for x in map(value_of, constants)}
        self._known = {x: _stop(x) for x in map(value_of, known)}

    def behind_known(self, value: Value) -> Value:
        """A cost over a graph in which the expressions of known gradients are constant."""
        return graft([value], self._known, {})[0] if self._known else value

    def around(
        self, results: Sequence[Value], wrt: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        """Results and variables over a graph in which no derivative passes the constants.

        A variable that is itself constant becomes one that nothing depends on.
        """
        if not self._constant:
            return list(results), list(wrt)
        moved = graft([*results, *wrt], self._constant, {})
        variables = [
            Value(old.type) if old in self._constant else new
            for old, new in zip(wrt, moved[len(results) :], strict=True)
        ]
        return moved[: len(results)], variables

    def lifted(self, found: Sequence[Value | None]) -> list[Value | None]:
        """Derivatives over the values themselves again."""
        back = {new: old for old, new in (*self._constant.items(), *self._known.items())}
        there = [value for value in found if value is not None]
        moved = iter(graft(there, back, {}) if back else there)
        return [None if value is None else next(moved) for value in found]


def value_of(x: Any) -> Value:
    """The IR value of an expression."""
    if not is_symbolic(x):
        raise DTypeError(
            message(
                "not an expression", got=type(x).__name__, expected="a symbolic value", where=here()
            )
        )
    return lift(x, "expression").__symc_operand__().value


def differentiable(x: Any, subject: str) -> Value:
    """The value of an expression of floats; DTypeError for others."""
    value = value_of(x)
    if not is_float(value.type.dtype):
        raise DTypeError(
            message(
                f"{subject}: derivatives exist for floats only",
                got=value.type,
                expected="f32 or f64",
                where=here(),
                advice="astype('f64') before it is used",
            )
        )
    return value


def scalar_cost(x: Any, subject: str) -> Value:
    """The value of a cost, which must be one float."""
    value = differentiable(x, f"{subject}: cost")
    if value.type.rank:
        raise ShapeError(
            message(
                f"{subject}: the cost is not a scalar",
                got=value.type,
                expected="rank 0",
                where=here(),
                advice="sc.sum(cost), or sc.Lop / sc.vjp with a cotangent",
            )
        )
    return value


def _seeds(cost: Any, known: Mapping[Any, Any], blocks: Blocks) -> tuple[list[Value], list[Value]]:
    """Results to pull back from, and their cotangents."""
    given = [differentiable(key, "grad: known_grads") for key in known]
    gradients = [
        like(new, value.type, "grad: known_grads")
        for new, value in zip(known.values(), given, strict=True)
    ]
    if cost is None:
        if not known:
            raise DomainError(
                message("grad: neither cost nor known_grads", expected="one of them", where=here())
            )
        return given, gradients
    value = scalar_cost(cost, "grad")
    one = term.full((), 1, value.type.dtype).value
    return [blocks.behind_known(value), *given], [one, *gradients]


def _stop(value: Value) -> Value:
    return emit.value_of(ops.STOP_GRADIENT, (value,))


def like(x: Any, type: TensorType, subject: str) -> Value:
    """A tangent or cotangent of exactly `type`; safe casts and size constraints allowed."""
    made = lift(x, subject).__symc_operand__()
    fits = made.weak or np.can_cast(made.dtype, type.dtype, "safe")
    if not fits:
        raise DTypeError(
            message(
                f"{subject}: dtype",
                got=short_name(made.dtype),
                expected=type,
                where=here(),
                advice=f"astype({short_name(type.dtype)!r})",
            )
        )
    return fit(emit.cast(made, type.dtype, subject), type, subject)


def pullback(
    results: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
) -> list[Value | None]:
    """Cotangents of `wrt`, which carry the constraints of the results."""
    made = import_module(DERIVE).pullback(results, cotangents, wrt, current())
    return _carrying(results, made)


def each_pullback(
    results: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
) -> list[Value | None]:
    """As `pullback`, where one of `wrt` may depend on another: such get sweeps of their own."""
    leaves = [value for value in dict.fromkeys(wrt) if value.node is None]
    found = dict(zip(leaves, pullback(results, cotangents, leaves), strict=True))
    for value in wrt:
        if value not in found:
            (found[value],) = pullback(results, cotangents, [value])
    return [found[value] for value in wrt]


def pushforward(
    results: Sequence[Value], wrt: Sequence[Value], along: Sequence[Value]
) -> list[Value | None]:
    """Tangents of `results`, which carry the constraints of the results."""
    return _carrying(results, import_module(DERIVE).pushforward(results, wrt, along, current()))


def _carrying(results: Sequence[Value], found: list[Value | None]) -> list[Value | None]:
    needed = constraints.carried_by(reachable_whole(results)[0])
    for value in found:
        if needed and value is not None and value.node is not None:
            constraints.attach(value, needed)
    return found


def zeros(type: TensorType) -> Value:
    """Zeros of a type."""
    return term.zeros(type).value


def connected(
    wrt: Any, value: Value | None, disconnected: str, subject: str, type: TensorType | None = None
) -> Expr | None:
    """A derivative with respect to `wrt`, or what `disconnected` asks for where there is none.

    `type`: of zeros, when it is not the type of `wrt`.
    """
    if value is not None:
        return Expr(Operand(value))
    if disconnected == "none":
        return None
    if disconnected == "zero":
        return Expr(Operand(zeros(type or value_of(wrt).type)))
    what = "expression" if type is not None else "cost"
    raise DisconnectedGradError(
        message(
            f"{subject}: the {what} does not depend on this by a differentiable route",
            got=repr(wrt),
            where=here(),
            advice="disconnected='zero' or 'none', or leave it out of wrt",
        )
    )


def Rop(f: Any, wrt: Any, v: Any) -> Any:  # noqa: N802  (Theano's name)
    """The Jacobian of `f` times the vectors `v`: how f moves when wrt moves along v."""
    results, single = listed(f)
    targets = [differentiable(x, "Rop: wrt") for x in listed(wrt)[0]]
    given = listed(v)[0]
    if len(given) != len(targets):
        raise ShapeError(
            message(
                "Rop: vectors", got=len(given), expected=f"{len(targets)}, as in wrt", where=here()
            )
        )
    along = [like(x, t.type, "Rop: v") for x, t in zip(given, targets, strict=True)]
    values = [differentiable(x, "Rop: f") for x in results]
    found = pushforward(values, targets, along)
    made = [
        Expr(Operand(zeros(value.type) if moved is None else moved))
        for value, moved in zip(values, found, strict=True)
    ]
    return made[0] if single else made


def Lop(f: Any, wrt: Any, u: Any, disconnected: str = "zero") -> Any:  # noqa: N802  (Theano's name)
    """The vectors `u` times the Jacobian of `f` with respect to `wrt`."""
    results, _ = listed(f)
    given = listed(u)[0]
    values = [differentiable(x, "Lop: f") for x in results]
    if len(given) != len(values):
        raise ShapeError(
            message(
                "Lop: vectors", got=len(given), expected=f"{len(values)}, as in f", where=here()
            )
        )
    cotangents = [like(x, value.type, "Lop: u") for x, value in zip(given, values, strict=True)]
    require_choice(disconnected, "Lop")
    targets, single = listed(wrt)
    over = [differentiable(x, "Lop: wrt") for x in targets]
    found = each_pullback(values, cotangents, over)
    made = [
        connected(x, value, disconnected, "Lop") for x, value in zip(targets, found, strict=True)
    ]
    return made[0] if single else type(wrt)(made)


def listed(x: Any) -> tuple[list[Any], bool]:
    """A list of expressions, and whether it was one alone."""
    return (list(x), False) if isinstance(x, list | tuple) else ([x], True)
