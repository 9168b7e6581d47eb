"""What a tensor function means over the real numbers: evaluated in mpmath, to any precision.

before: a function and arrays.  after: its results as object arrays of mpf, with casts between
floats as identities.  A number that does not exist is nan; divisions by zero and logarithms of zero
are infinite, as in IEEE arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

from symc.ir import ops
from symc.ir.core import Function, Node, Value
from symc.ir.evaluate import bind
from symc.ir.ops.attributes import integers
from symc.ir.ops.record import EvaluateContext, Kind, Op
from symc.ir.types import Literal, is_float

# e^-800 beside 1 needs 1155 bits.
PRECISION = 1400

mpf = mpmath.mpf
_INF, _NAN = mpmath.inf, mpmath.nan


def exactly(function: Function, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The results of `function` over the reals, as object arrays; inputs may be of any float."""
    pairs = zip(function.params, arrays, strict=True)
    typed = [np.asarray(array, param.type.dtype) for param, array in pairs]
    context = EvaluateContext(bind(function, typed), "any", lambda *_: ())
    values: dict[Value, np.ndarray] = {}
    for param, array in zip(function.params, arrays, strict=True):
        values[param] = _lifted(array)
    with mpmath.workprec(PRECISION):
        for node in function.nodes:
            operands = [values[operand] for operand in node.operands]
            values[node.results[0]] = _apply(context, node, operands)
    return tuple(values[result] for result in function.results)


def _lifted(array: np.ndarray) -> np.ndarray:
    if not is_float(array.dtype):
        return array
    made = np.empty(array.shape, object)
    for index, number in np.ndenumerate(array):
        made[index] = mpf(float(number))
    return made


def _apply(context: EvaluateContext, node: Node, operands: list[np.ndarray]) -> np.ndarray:
    op = node.op
    if op is ops.CONSTANT:
        literal = node.attrs["value"]
        assert isinstance(literal, Literal)
        return _lifted(literal.array)
    if op is ops.CAST:
        return _cast(node, operands[0])
    if op in _ELEMENTWISE:
        made = np.frompyfunc(_ELEMENTWISE[op], len(operands), 1)(*operands)
        to = node.results[0].type.dtype
        return np.asarray(made, object if is_float(to) else to)
    if op in _REDUCTIONS:
        return _reduced(node, operands[0])
    if op is ops.MAX:
        return np.asarray(np.max(operands[0], axis=integers(node.attrs, "axes")), object)
    assert op.kind is not Kind.ELEMENTWISE, f"{op.name} has no exact meaning here yet"
    return np.asarray(op.evaluate(context, operands, node)[0])


def _cast(node: Node, x: np.ndarray) -> np.ndarray:
    to = node.results[0].type.dtype
    if not is_float(to):
        return x.astype(to)
    return x if x.dtype == object else _lifted(x.astype(np.float64))


def _reduced(node: Node, x: np.ndarray) -> np.ndarray:
    combine, start = _REDUCTIONS[node.op]
    axes = integers(node.attrs, "axes")
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    made = np.empty(shape, object)
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim)).reshape(*shape, -1)
    for index in np.ndindex(shape):
        total: Any = start
        for item in moved[index]:
            total = combine(total, item)
        made[index] = total
    return made


def _guarded(function: Callable[..., Any], low: float, pole: Any) -> Callable[[Any], Any]:
    def at(x: Any) -> Any:
        if mpmath.isnan(x) or x < low:
            return _NAN
        return pole if x == low else function(x)

    return at


def _divided(x: Any, y: Any) -> Any:
    if y == 0:
        return _NAN if x == 0 or mpmath.isnan(x) else mpmath.sign(x) * _INF
    return x / y


def _scaled(t: Any, a: Any) -> Any:
    return mpf(0) if t == 0 or a == 0 else t * a


def _power(x: Any, y: Any) -> Any:
    if x == 0:
        return mpf(1) if y == 0 else (_INF if y < 0 else mpf(0))
    if x < 0 and y != int(y):
        return _NAN
    return x**y if x > 0 else x ** int(y)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


_ELEMENTWISE: dict[Op, Callable[..., Any]] = {
    ops.NEG: lambda x: -x,
    ops.ABS: abs,
    ops.SIGN: mpmath.sign,
    ops.SQRT: _guarded(mpmath.sqrt, 0, mpf(0)),
    ops.EXP: mpmath.exp,
    ops.EXP2: lambda x: mpf(2) ** x,
    ops.EXPM1: lambda x: mpmath.exp(x) - 1,
    ops.LOG: _guarded(mpmath.log, 0, -_INF),
    ops.LOG1P: _guarded(lambda x: mpmath.log(1 + x), -1, -_INF),
    ops.TANH: lambda x: (mpmath.exp(2 * x) - 1) / (mpmath.exp(2 * x) + 1),
    ops.SIGMOID: _sigmoid,
    ops.SOFTPLUS: lambda x: mpmath.log(1 + mpmath.exp(x)),
    ops.STOP_GRADIENT: lambda x: x,
    ops.ISFINITE: lambda x: bool(mpmath.isfinite(x)),
    ops.ADD: lambda x, y: x + y,
    ops.SUB: lambda x, y: x - y,
    ops.MUL: lambda x, y: x * y,
    ops.DIV: _divided,
    ops.SCALE: _scaled,
    ops.POW: _power,
    ops.MAXIMUM: lambda x, y: _NAN if mpmath.isnan(x) or mpmath.isnan(y) else max(x, y),
    ops.MINIMUM: lambda x, y: _NAN if mpmath.isnan(x) or mpmath.isnan(y) else min(x, y),
    ops.EQ: lambda x, y: bool(x == y),
    ops.NE: lambda x, y: bool(x != y),
    ops.LT: lambda x, y: bool(x < y),
    ops.LE: lambda x, y: bool(x <= y),
    ops.GT: lambda x, y: bool(x > y),
    ops.GE: lambda x, y: bool(x >= y),
    ops.AND: lambda x, y: x & y,
    ops.OR: lambda x, y: x | y,
    ops.NOT: lambda x: not x,
    ops.WHERE: lambda c, x, y: x if c else y,
}

_REDUCTIONS: dict[Op, tuple[Callable[[Any, Any], Any], Any]] = {
    ops.SUM: (lambda x, y: x + y, mpf(0)),
    ops.PROD: (lambda x, y: x * y, mpf(1)),
}
