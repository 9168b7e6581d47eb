"""Elementwise array functions.

Each takes Exprs, arrays and Python numbers, promotes as NumPy 2 does and broadcasts; integers and
bools become f64 where the function is not closed over them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from symc.frontend import emit, trees
from symc.frontend.dispatch import array_function, method
from symc.frontend.expr import Expr, lift, power
from symc.frontend.operand import Operand, operand
from symc.ir import ops, term
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, is_float

F = TypeVar("F", bound=Callable[..., Any])


class Unary(Protocol):
    """An array function of one array."""

    def __call__(self, x: Any, /) -> Expr: ...


class Binary(Protocol):
    """An array function of two arrays."""

    def __call__(self, x1: Any, x2: Any, /) -> Expr: ...


# (name of the function for messages, *arguments) -> its result
Rule = Callable[..., Operand]


def _unary(rule: Rule, name: str, meaning: str, *numpy_functions: Callable[..., Any]) -> Unary:
    """The array function `name` of one array; `numpy_functions` of the same meaning lead to it."""

    def function(x: Any, /) -> Expr:
        return Expr(rule(name, x))

    return array_function(*numpy_functions)(_called(function, name, meaning))


def _binary(rule: Rule, name: str, meaning: str, *numpy_functions: Callable[..., Any]) -> Binary:
    """The array function `name` of two arrays."""

    def function(x1: Any, x2: Any, /) -> Expr:
        return Expr(rule(name, x1, x2))

    return array_function(*numpy_functions)(_called(function, name, meaning))


def _called(function: F, name: str, meaning: str) -> F:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = meaning
    return function


exp = _unary(partial(emit.on_floats, ops.EXP), "exp", "e to the power x.", np.exp)
expm1 = _unary(
    partial(emit.on_floats, ops.EXPM1), "expm1", "exp(x) - 1, accurate near 0.", np.expm1
)
log = _unary(
    partial(emit.on_floats, ops.LOG), "log", "The natural logarithm; -inf at 0, NaN below.", np.log
)
log1p = _unary(
    partial(emit.on_floats, ops.LOG1P), "log1p", "log(1 + x), accurate near 0.", np.log1p
)
exp2 = _unary(
    partial(emit.on_floats, ops.EXP2), "exp2", "2 to the power x; exact for whole x.", np.exp2
)
log2 = _unary(
    partial(emit.on_floats, ops.LOG2),
    "log2",
    "The logarithm to base 2, exact at powers of 2; -inf at 0, NaN below.",
    np.log2,
)
log10 = _unary(
    partial(emit.on_floats, ops.LOG10),
    "log10",
    "The logarithm to base 10; -inf at 0, NaN below.",
    np.log10,
)
tanh = _unary(partial(emit.on_floats, ops.TANH), "tanh", "The hyperbolic tangent.", np.tanh)
sin = _unary(partial(emit.on_floats, ops.SIN), "sin", "The sine of x radians.", np.sin)
cos = _unary(partial(emit.on_floats, ops.COS), "cos", "The cosine of x radians.", np.cos)
sqrt = _unary(partial(emit.on_floats, ops.SQRT), "sqrt", "The square root; NaN below 0.", np.sqrt)
sigmoid = _unary(partial(emit.on_floats, ops.SIGMOID), "sigmoid", "1 / (1 + exp(-x)).")
softplus = _unary(partial(emit.on_floats, ops.SOFTPLUS), "softplus", "log(1 + exp(x)).")
relu = _unary(
    partial(emit.on_numbers, ops.RELU),
    "relu",
    "max(x, 0); NaN stays NaN, the derivative at 0 is 0.",
)


def _rounded(op: Op, subject: str, x: Any) -> Operand:
    """Integers are whole already."""
    found = operand(x, subject)
    return emit.unary(op, subject, Expr(found)) if is_float(found.dtype) else found


floor = _unary(
    partial(_rounded, ops.FLOOR), "floor", "The largest whole number not above x.", np.floor
)
ceil = _unary(
    partial(_rounded, ops.CEIL), "ceil", "The smallest whole number not below x.", np.ceil
)
trunc = _unary(partial(_rounded, ops.TRUNC), "trunc", "x without its fraction.", np.trunc)
round = method(
    _unary(
        partial(_rounded, ops.RINT),
        "round",
        "The nearest whole number, halves to even.",
        np.round,
        np.rint,
    )
)


@array_function(np.sign)
def sign(x: Any, /) -> Expr:
    """-1, 0 or 1; NaN of NaN."""
    found = operand(x, "sign")
    if found.dtype == BOOL:
        raise emit.not_for("sign", BOOL, "numbers", "astype('i32') first")
    return Expr(emit.unary(ops.SIGN, "sign", Expr(found)))


@array_function(np.abs, np.fabs)
def abs(x: Any, /) -> Expr:
    """The absolute value."""
    return lift(x, "abs").__abs__()


@array_function(np.negative)
def negative(x: Any, /) -> Expr:
    """-x."""
    return -lift(x, "negative")


@array_function(np.positive)
def positive(x: Any, /) -> Expr:
    """A copy of x."""
    return +lift(x, "positive")


@array_function(np.square)
def square(x: Any, /) -> Expr:
    """x * x."""
    found: Expr = lift(x, "square")
    return found * found


@array_function(np.reciprocal)
def reciprocal(x: Any, /) -> Expr:
    """1 / x."""
    return 1 / lift(x, "reciprocal")


add = _binary(
    partial(emit.arithmetic, ops.ADD, ops.OR), "add", "x1 + x2; of two bools, or.", np.add
)
subtract = _binary(
    partial(emit.arithmetic, ops.SUB, None), "subtract", "x1 - x2; not for bools.", np.subtract
)
multiply = _binary(
    partial(emit.arithmetic, ops.MUL, ops.AND),
    "multiply",
    "x1 * x2; of two bools, and.",
    np.multiply,
)
divide = _binary(
    partial(emit.on_floats, ops.DIV), "divide", "x1 / x2 in floats.", np.divide, np.true_divide
)
floor_divide = _binary(
    partial(emit.on_numbers, ops.FLOORDIV),
    "floor_divide",
    "x1 // x2, rounded down; integers by 0 give 0.",
    np.floor_divide,
)
remainder = _binary(
    partial(emit.on_numbers, ops.MOD),
    "remainder",
    "x1 % x2, with the sign of x2; integers by 0 give 0.",
    np.remainder,
    np.mod,
)


@array_function(np.power, np.float_power)
def pow(x1: Any, x2: Any, /) -> Expr:
    """x1 ** x2."""
    return Expr(power(x1, x2))


maximum = _binary(
    partial(emit.arithmetic, ops.MAXIMUM, ops.OR),
    "maximum",
    "The larger; NaN when either is.",
    np.maximum,
)
minimum = _binary(
    partial(emit.arithmetic, ops.MINIMUM, ops.AND),
    "minimum",
    "The smaller; NaN when either is.",
    np.minimum,
)


@method
@array_function(np.clip)
def clip(x: Any, /, min: Any = None, max: Any = None) -> Expr:
    """x held between `min` and `max`, in the dtype of x; None leaves a side open."""
    found = lift(x, "clip")
    for op, bound in ((ops.MAXIMUM, min), (ops.MINIMUM, max)):
        if bound is not None:
            found = Expr(emit.arithmetic(op, None, "clip", found, bound))
    return found if found is not x else +found


equal = _binary(partial(emit.comparison, ops.EQ), "equal", "x1 == x2, elementwise.", np.equal)
not_equal = _binary(
    partial(emit.comparison, ops.NE), "not_equal", "x1 != x2, elementwise.", np.not_equal
)
less = _binary(partial(emit.comparison, ops.LT), "less", "x1 < x2, elementwise.", np.less)
less_equal = _binary(
    partial(emit.comparison, ops.LE), "less_equal", "x1 <= x2, elementwise.", np.less_equal
)
greater = _binary(partial(emit.comparison, ops.GT), "greater", "x1 > x2, elementwise.", np.greater)
greater_equal = _binary(
    partial(emit.comparison, ops.GE), "greater_equal", "x1 >= x2, elementwise.", np.greater_equal
)
logical_and = _binary(
    partial(emit.on_bools, ops.AND), "logical_and", "Whether both are not 0.", np.logical_and
)
logical_or = _binary(
    partial(emit.on_bools, ops.OR), "logical_or", "Whether either is not 0.", np.logical_or
)
logical_xor = _binary(
    partial(emit.on_bools, ops.XOR), "logical_xor", "Whether exactly one is not 0.", np.logical_xor
)
logical_not = _unary(
    partial(emit.on_bools, ops.NOT), "logical_not", "Whether x is 0.", np.logical_not
)
bitwise_and = _binary(
    partial(emit.on_bits, ops.AND),
    "bitwise_and",
    "Bits set in both, of bools or integers.",
    np.bitwise_and,
)
bitwise_or = _binary(
    partial(emit.on_bits, ops.OR),
    "bitwise_or",
    "Bits set in either, of bools or integers.",
    np.bitwise_or,
)
bitwise_xor = _binary(
    partial(emit.on_bits, ops.XOR),
    "bitwise_xor",
    "Bits set in exactly one, of bools or integers.",
    np.bitwise_xor,
)
bitwise_invert = _unary(
    partial(emit.on_bits, ops.NOT),
    "bitwise_invert",
    "Bits that are not set, of bools or integers.",
    np.invert,
)


def _tested(op: Op, others: bool, subject: str, x: Any) -> Operand:
    """A test of floats; integers and bools all answer `others`."""
    found = operand(x, subject)
    if is_float(found.dtype):
        return emit.unary(op, subject, Expr(found))
    return Operand(term.full(found.type.shape, others, BOOL).value)


isnan = _unary(partial(_tested, ops.ISNAN, False), "isnan", "Whether x is NaN.", np.isnan)
isfinite = _unary(
    partial(_tested, ops.ISFINITE, True),
    "isfinite",
    "Whether x is neither infinite nor NaN.",
    np.isfinite,
)


@array_function(np.isinf)
def isinf(x: Any, /) -> Expr:
    """Whether x is infinite."""
    found = lift(x, "isinf")
    return ~(isfinite(found) | isnan(found))


@array_function(np.where)
def where(condition: Any, x1: Any, x2: Any, /) -> Expr:
    """x1 where `condition` holds, else x2; both are evaluated."""
    values, _, weak = emit.promoted("where", x1, x2)
    chosen = emit.truth(operand(condition, "where"))
    mask, left, right = emit.together([chosen, *values], "where")
    return Expr(Operand(term.where(Term(mask), Term(left), Term(right)).value, weak))


_stopped = _unary(
    partial(emit.unary, ops.STOP_GRADIENT),
    "stop_gradient",
    "x, through which no derivative passes.",
)


def stop_gradient(x: Any, /) -> Any:
    """x, an array or a tree of arrays, through which no derivative passes."""
    return trees.mapped(_stopped, x)
