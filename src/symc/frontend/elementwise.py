"""Elementwise array functions.

Each takes Exprs, arrays and Python numbers, promotes as NumPy 2 does and broadcasts; integers and
bools become f64 where the function is not closed over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symc.frontend import emit
from symc.frontend.dispatch import array_function, method
from symc.frontend.expr import Expr, lift, power
from symc.frontend.operand import Operand, operand
from symc.ir import ops, term
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, is_float


def _float(op: Op, subject: str, x: Any) -> Expr:
    return Expr(emit.on_floats(op, subject, x))


@array_function(np.exp)
def exp(x: Any, /) -> Expr:
    """e to the power x."""
    return _float(ops.EXP, "exp", x)


@array_function(np.expm1)
def expm1(x: Any, /) -> Expr:
    """exp(x) - 1, accurate near 0."""
    return _float(ops.EXPM1, "expm1", x)


@array_function(np.log)
def log(x: Any, /) -> Expr:
    """The natural logarithm; -inf at 0, NaN below."""
    return _float(ops.LOG, "log", x)


@array_function(np.log1p)
def log1p(x: Any, /) -> Expr:
    """log(1 + x), accurate near 0."""
    return _float(ops.LOG1P, "log1p", x)


@array_function(np.exp2)
def exp2(x: Any, /) -> Expr:
    """2 to the power x; exact for whole x."""
    return _float(ops.EXP2, "exp2", x)


@array_function(np.log2)
def log2(x: Any, /) -> Expr:
    """The logarithm to base 2, exact at powers of 2; -inf at 0, NaN below."""
    return _float(ops.LOG2, "log2", x)


@array_function(np.log10)
def log10(x: Any, /) -> Expr:
    """The logarithm to base 10; -inf at 0, NaN below."""
    return _float(ops.LOG10, "log10", x)


@array_function(np.tanh)
def tanh(x: Any, /) -> Expr:
    """The hyperbolic tangent."""
    return _float(ops.TANH, "tanh", x)


@array_function(np.sin)
def sin(x: Any, /) -> Expr:
    """The sine of x radians."""
    return _float(ops.SIN, "sin", x)


@array_function(np.cos)
def cos(x: Any, /) -> Expr:
    """The cosine of x radians."""
    return _float(ops.COS, "cos", x)


@array_function(np.sqrt)
def sqrt(x: Any, /) -> Expr:
    """The square root; NaN below 0."""
    return _float(ops.SQRT, "sqrt", x)


@array_function()
def sigmoid(x: Any, /) -> Expr:
    """1 / (1 + exp(-x))."""
    return _float(ops.SIGMOID, "sigmoid", x)


@array_function()
def softplus(x: Any, /) -> Expr:
    """log(1 + exp(x))."""
    return _float(ops.SOFTPLUS, "softplus", x)


@array_function()
def relu(x: Any, /) -> Expr:
    """max(x, 0); NaN stays NaN, the derivative at 0 is 0."""
    return Expr(emit.on_numbers(ops.RELU, "relu", x))


def _rounding(op: Op, subject: str, x: Any) -> Expr:
    """Integers are whole already."""
    found = operand(x, subject)
    return Expr(emit.unary(op, subject, Expr(found))) if is_float(found.dtype) else Expr(found)


@array_function(np.floor)
def floor(x: Any, /) -> Expr:
    """The largest whole number not above x."""
    return _rounding(ops.FLOOR, "floor", x)


@array_function(np.ceil)
def ceil(x: Any, /) -> Expr:
    """The smallest whole number not below x."""
    return _rounding(ops.CEIL, "ceil", x)


@array_function(np.trunc)
def trunc(x: Any, /) -> Expr:
    """x without its fraction."""
    return _rounding(ops.TRUNC, "trunc", x)


@method
@array_function(np.round, np.rint)
def round(x: Any, /) -> Expr:
    """The nearest whole number, halves to even."""
    return _rounding(ops.RINT, "round", x)


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


@array_function(np.add)
def add(x1: Any, x2: Any, /) -> Expr:
    """x1 + x2; of two bools, or."""
    return Expr(emit.arithmetic(ops.ADD, ops.OR, "add", x1, x2))


@array_function(np.subtract)
def subtract(x1: Any, x2: Any, /) -> Expr:
    """x1 - x2; not for bools."""
    return Expr(emit.arithmetic(ops.SUB, None, "subtract", x1, x2))


@array_function(np.multiply)
def multiply(x1: Any, x2: Any, /) -> Expr:
    """x1 * x2; of two bools, and."""
    return Expr(emit.arithmetic(ops.MUL, ops.AND, "multiply", x1, x2))


@array_function(np.divide, np.true_divide)
def divide(x1: Any, x2: Any, /) -> Expr:
    """x1 / x2 in floats."""
    return Expr(emit.on_floats(ops.DIV, "divide", x1, x2))


@array_function(np.floor_divide)
def floor_divide(x1: Any, x2: Any, /) -> Expr:
    """x1 // x2, rounded down; integers by 0 give 0."""
    return Expr(emit.on_numbers(ops.FLOORDIV, "floor_divide", x1, x2))


@array_function(np.remainder, np.mod)
def remainder(x1: Any, x2: Any, /) -> Expr:
    """x1 % x2, with the sign of x2; integers by 0 give 0."""
    return Expr(emit.on_numbers(ops.MOD, "remainder", x1, x2))


@array_function(np.power, np.float_power)
def pow(x1: Any, x2: Any, /) -> Expr:
    """x1 ** x2."""
    return Expr(power(x1, x2))


@array_function(np.maximum)
def maximum(x1: Any, x2: Any, /) -> Expr:
    """The larger; NaN when either is."""
    return Expr(emit.arithmetic(ops.MAXIMUM, ops.OR, "maximum", x1, x2))


@array_function(np.minimum)
def minimum(x1: Any, x2: Any, /) -> Expr:
    """The smaller; NaN when either is."""
    return Expr(emit.arithmetic(ops.MINIMUM, ops.AND, "minimum", x1, x2))


@method
@array_function(np.clip)
def clip(x: Any, /, min: Any = None, max: Any = None) -> Expr:
    """x held between `min` and `max`, in the dtype of x; None leaves a side open."""
    found = lift(x, "clip")
    for op, bound in ((ops.MAXIMUM, min), (ops.MINIMUM, max)):
        if bound is not None:
            found = Expr(emit.arithmetic(op, None, "clip", found, bound))
    return found if found is not x else +found


def _compare(op: Op, subject: str, x1: Any, x2: Any) -> Expr:
    return Expr(emit.comparison(op, subject, x1, x2))


@array_function(np.equal)
def equal(x1: Any, x2: Any, /) -> Expr:
    """x1 == x2, elementwise."""
    return _compare(ops.EQ, "equal", x1, x2)


@array_function(np.not_equal)
def not_equal(x1: Any, x2: Any, /) -> Expr:
    """x1 != x2, elementwise."""
    return _compare(ops.NE, "not_equal", x1, x2)


@array_function(np.less)
def less(x1: Any, x2: Any, /) -> Expr:
    """x1 < x2, elementwise."""
    return _compare(ops.LT, "less", x1, x2)


@array_function(np.less_equal)
def less_equal(x1: Any, x2: Any, /) -> Expr:
    """x1 <= x2, elementwise."""
    return _compare(ops.LE, "less_equal", x1, x2)


@array_function(np.greater)
def greater(x1: Any, x2: Any, /) -> Expr:
    """x1 > x2, elementwise."""
    return _compare(ops.GT, "greater", x1, x2)


@array_function(np.greater_equal)
def greater_equal(x1: Any, x2: Any, /) -> Expr:
    """x1 >= x2, elementwise."""
    return _compare(ops.GE, "greater_equal", x1, x2)


@array_function(np.logical_and)
def logical_and(x1: Any, x2: Any, /) -> Expr:
    """Whether both are not 0."""
    return Expr(emit.on_bools(ops.AND, "logical_and", x1, x2))


@array_function(np.logical_or)
def logical_or(x1: Any, x2: Any, /) -> Expr:
    """Whether either is not 0."""
    return Expr(emit.on_bools(ops.OR, "logical_or", x1, x2))


@array_function(np.logical_xor)
def logical_xor(x1: Any, x2: Any, /) -> Expr:
    """Whether exactly one is not 0."""
    return Expr(emit.on_bools(ops.XOR, "logical_xor", x1, x2))


@array_function(np.logical_not)
def logical_not(x: Any, /) -> Expr:
    """Whether x is 0."""
    return Expr(emit.on_bools(ops.NOT, "logical_not", x))


@array_function(np.bitwise_and)
def bitwise_and(x1: Any, x2: Any, /) -> Expr:
    """Bits set in both, of bools or integers."""
    return Expr(emit.on_bits(ops.AND, "bitwise_and", x1, x2))


@array_function(np.bitwise_or)
def bitwise_or(x1: Any, x2: Any, /) -> Expr:
    """Bits set in either, of bools or integers."""
    return Expr(emit.on_bits(ops.OR, "bitwise_or", x1, x2))


@array_function(np.bitwise_xor)
def bitwise_xor(x1: Any, x2: Any, /) -> Expr:
    """Bits set in exactly one, of bools or integers."""
    return Expr(emit.on_bits(ops.XOR, "bitwise_xor", x1, x2))


@array_function(np.invert)
def bitwise_invert(x: Any, /) -> Expr:
    """Bits that are not set, of bools or integers."""
    return Expr(emit.on_bits(ops.NOT, "bitwise_invert", x))


def _test(op: Op, subject: str, x: Any, *, of_others: bool) -> Expr:
    """A test of floats; integers and bools all answer `of_others`."""
    found = operand(x, subject)
    if is_float(found.dtype):
        return Expr(emit.unary(op, subject, Expr(found)))
    answer = term.full(found.type.shape, of_others, BOOL)
    return Expr(Operand(answer.value))


@array_function(np.isnan)
def isnan(x: Any, /) -> Expr:
    """Whether x is NaN."""
    return _test(ops.ISNAN, "isnan", x, of_others=False)


@array_function(np.isfinite)
def isfinite(x: Any, /) -> Expr:
    """Whether x is neither infinite nor NaN."""
    return _test(ops.ISFINITE, "isfinite", x, of_others=True)


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


@array_function()
def stop_gradient(x: Any, /) -> Expr:
    """x, through which no derivative passes."""
    return Expr(emit.unary(ops.STOP_GRADIENT, "stop_gradient", x))
