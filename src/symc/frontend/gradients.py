"""Derivatives of expressions: Theano's `grad`, `Rop`, `Lop`.

before: a cost or expressions of the explicit door, or values inside a trace.  after: new
expressions for the derivatives, in the container that `wrt` came in.  Sizes that the cost assumes
equal are assumed by its derivatives too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np

from symc.frontend import constraints, emit
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import fit, graft
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.spec import short_name
from symc.ir import ops, term
from symc.ir.core import Value, reachable
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
    if disconnected not in DISCONNECTED:
        raise DomainError(
            message(
                "grad: disconnected", got=repr(disconnected), expected=DISCONNECTED, where=here()
            )
        )
    listed = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    targets = [_differentiable(item, "grad: wrt") for item in listed]
    results, cotangents = _seeds(cost, known_grads or {})
    blocked = {value_of(x): _stopped(x) for x in consider_constant}
    moved = graft([*results, *targets], blocked, {}) if blocked else [*results, *targets]
    count = len(results)
    wanted = [new for new, old in zip(moved[count:], targets, strict=True) if old not in blocked]
    reached = iter(_each(moved[:count], cotangents, wanted))
    found = [None if target in blocked else next(reached) for target in targets]
    made = [
        _connected(item, value, disconnected) for item, value in zip(listed, found, strict=True)
    ]
    if isinstance(wrt, list | tuple):
        return type(wrt)(made)
    return made[0]


def value_of(x: Any) -> Value:
    """The IR value of an expression."""
    if not is_symbolic(x):
        raise DTypeError(
            message(
                "not an expression", got=type(x).__name__, expected="a symbolic value", where=here()
            )
        )
    return lift(x, "expression").__symc_operand__().value


def _differentiable(x: Any, subject: str) -> Value:
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
    value = _differentiable(x, f"{subject}: cost")
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


def _seeds(cost: Any, known: Mapping[Any, Any]) -> tuple[list[Value], list[Value]]:
    """Results to pull back from, and their cotangents."""
    given = [_differentiable(key, "grad: known_grads") for key in known]
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
    if given:
        (value,) = graft([value], {key: _stop(key) for key in given}, {})
    return [value, *given], [one, *gradients]


def _stop(value: Value) -> Value:
    return emit.value_of(ops.STOP_GRADIENT, (value,))


def _stopped(x: Any) -> Value:
    return _stop(value_of(x))


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
    return _carrying(results, import_module(DERIVE).pullback(results, cotangents, wrt))


def _each(
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
    return _carrying(results, import_module(DERIVE).pushforward(results, wrt, along))


def _carrying(results: Sequence[Value], found: list[Value | None]) -> list[Value | None]:
    needed = constraints.carried_by(reachable(results)[0])
    for value in found:
        if needed and value is not None and value.node is not None:
            constraints.attach(value, needed)
    return found


def zeros(type: TensorType) -> Value:
    """Zeros of a type."""
    return term.zeros(type).value


def _connected(wrt: Any, value: Value | None, disconnected: str) -> Expr | None:
    if value is not None:
        return Expr(Operand(value))
    if disconnected == "none":
        return None
    if disconnected == "zero":
        return Expr(Operand(zeros(value_of(wrt).type)))
    raise DisconnectedGradError(
        message(
            "grad: the cost does not depend on this by a differentiable route",
            got=repr(wrt),
            where=here(),
            advice="disconnected='zero' or 'none', or leave it out of wrt",
        )
    )


def Rop(f: Any, wrt: Any, v: Any) -> Any:  # noqa: N802  (Theano's name)
    """The Jacobian of `f` times the vectors `v`: how f moves when wrt moves along v."""
    results, single = _listed(f)
    targets = [_differentiable(x, "Rop: wrt") for x in _listed(wrt)[0]]
    given = _listed(v)[0]
    if len(given) != len(targets):
        raise ShapeError(
            message(
                "Rop: vectors", got=len(given), expected=f"{len(targets)}, as in wrt", where=here()
            )
        )
    along = [like(x, t.type, "Rop: v") for x, t in zip(given, targets, strict=True)]
    values = [_differentiable(x, "Rop: f") for x in results]
    found = pushforward(values, targets, along)
    made = [
        Expr(Operand(zeros(value.type) if moved is None else moved))
        for value, moved in zip(values, found, strict=True)
    ]
    return made[0] if single else made


def Lop(f: Any, wrt: Any, u: Any, disconnected: str = "zero") -> Any:  # noqa: N802  (Theano's name)
    """The vectors `u` times the Jacobian of `f` with respect to `wrt`."""
    results, _ = _listed(f)
    given = _listed(u)[0]
    values = [_differentiable(x, "Lop: f") for x in results]
    if len(given) != len(values):
        raise ShapeError(
            message(
                "Lop: vectors", got=len(given), expected=f"{len(values)}, as in f", where=here()
            )
        )
    cotangents = [like(x, value.type, "Lop: u") for x, value in zip(given, values, strict=True)]
    listed, single = _listed(wrt)
    targets = [_differentiable(x, "Lop: wrt") for x in listed]
    found = _each(values, cotangents, targets)
    made = [_connected(x, value, disconnected) for x, value in zip(listed, found, strict=True)]
    return made[0] if single else type(wrt)(made)


def _listed(x: Any) -> tuple[list[Any], bool]:
    """A list of expressions, and whether it was one alone."""
    return (list(x), False) if isinstance(x, list | tuple) else ([x], True)
