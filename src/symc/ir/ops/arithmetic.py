"""Arithmetic: exact or correctly rounded elementwise operations.

Derivatives where they do not exist are fixed here, in forward and reverse mode alike:

| where | derivative |
|---|---|
| abs at 0 | 0 |
| maximum, minimum at a tie | half to each operand |
| relu at 0 | 0, as in the other frameworks |
| maximum, minimum with a NaN operand | 0 |
| floor, ceil, rint, trunc, sign, floordiv at a jump | 0, as everywhere |
| mod at a jump | that of the piece: 1 for x, -floor(x/y) for y |
| sqrt at 0 | infinite, times the tangent; 0 for a tangent of 0 |
| x / 0 | infinite or NaN, times the tangent; 0 for a tangent of 0 |

docs/subgradients.md has the whole table, with what other frameworks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from symc.ir import term
from symc.ir.core import Attrs
from symc.ir.errors import DomainError, ShapeError
from symc.ir.ops import attributes
from symc.ir.ops.define import (
    ALL,
    FLOATS,
    NUMBERS,
    PIECEWISE_CONSTANT,
    Points,
    binary,
    elementwise,
    require_count,
    require_dtype,
    same_shape,
    unary,
)
from symc.ir.ops.record import Linear, NoDerivative, Samples, Tangents
from symc.ir.ops.remainder import floordiv, mod
from symc.ir.types import F32, F64, I32, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


def _zero(b: Any, x: Any) -> Any:
    return b.const(0, b.dtype(x))


def _sign(b: Any, x: Any) -> Any:
    one, zero = b.const(1, b.dtype(x)), _zero(b, x)
    below = b.select(b.lt(x, zero), b.neg(one), b.select(b.eq(x, zero), zero, x))
    return b.select(b.gt(x, zero), one, below)


def _scale(b: Any, t: Any, a: Any) -> Any:
    zero = _zero(b, t)
    none = b.bor(b.eq(t, zero), b.eq(a, zero))
    return b.select(none, zero, b.mul(t, a))


def _tie(t: Term, wins: Term, ties: Term) -> Term:
    return term.where(wins, t, term.where(ties, t * 0.5, 0.0))


NEG: Final = unary(
    "neg",
    lambda b, x: b.neg(x),
    dtypes=NUMBERS,
    derivative=Linear((0,), lambda ct, operands, attrs, number: -ct),
)
ABS: Final = unary(
    "abs",
    lambda b, x: b.abs(x),
    dtypes=NUMBERS,
    tangent=lambda t, y, x: term.scale(t, term.sign(x)),
)
SIGN: Final = unary("sign", _sign, dtypes=NUMBERS, derivative=PIECEWISE_CONSTANT)
SQRT: Final = unary(
    "sqrt",
    lambda b, x: b.sqrt(x),
    tangent=lambda t, y, x: term.scale(t, 0.5 / y),
    points=Points((0.1, 5.0), (0.0, -1.0)),
)
FLOOR: Final = unary("floor", lambda b, x: b.floor(x), derivative=PIECEWISE_CONSTANT)
CEIL: Final = unary("ceil", lambda b, x: b.ceil(x), derivative=PIECEWISE_CONSTANT)
RINT: Final = unary("rint", lambda b, x: b.rint(x), derivative=PIECEWISE_CONSTANT)
TRUNC: Final = unary("trunc", lambda b, x: b.trunc(x), derivative=PIECEWISE_CONSTANT)
STOP_GRADIENT: Final = unary(
    "stop_gradient",
    lambda b, x: x,
    dtypes=ALL,
    derivative=NoDerivative("stops derivatives on purpose"),
)


def _cast_infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("cast", types, 1)
    require_dtype("cast", types[0], ALL)
    return (types[0].with_dtype(attributes.dtype(attrs)),)


CAST: Final = elementwise(
    "cast",
    arity=1,
    scalar=lambda b, x, attrs: b.cast(x, attributes.dtype(attrs)),
    infer=_cast_infer,
    samples=Samples(
        ALL,
        cases=(
            ((TensorType(F32, (3,)),), {"dtype": F64}),
            ((TensorType(F64, (2, 3)),), {"dtype": F32}),
            ((TensorType(F64, (5,)),), {"dtype": I32}),
        ),
        errors=(((TensorType(F32, (3,)),), {}, DomainError),),
    ),
    derivative=Linear((0,), lambda ct, operands, attrs, number: ct.cast(operands[number].dtype)),
)

ADD: Final = binary(
    "add",
    lambda b, x, y: b.add(x, y),
    derivative=Linear((0, 1), lambda ct, operands, attrs, number: ct),
    commutative=True,
)
SUB: Final = binary(
    "sub",
    lambda b, x, y: b.sub(x, y),
    derivative=Linear((0, 1), lambda ct, operands, attrs, number: -ct if number else ct),
)
# A product's own tangent rules keep infinities of one operand away from zero tangents of the other,
# so `mul` and `div` do not claim linearity.
MUL: Final = binary(
    "mul",
    lambda b, x, y: b.mul(x, y),
    tangents=(lambda t, z, x, y: term.scale(t, y), lambda t, z, x, y: term.scale(t, x)),
    commutative=True,
)
DIV: Final = binary(
    "div",
    lambda b, x, y: b.div(x, y),
    dtypes=FLOATS,
    tangents=(
        lambda t, z, x, y: term.scale(t, 1.0 / y),
        lambda t, z, x, y: term.scale(t, -(z / y)),
    ),
    points=Points((0.5, 3.0)),
)
# The product of derivatives: along a path with a slope of 0 nothing passes, whatever else is on it.
# It is linear in each operand, so that it is closed under differentiation, and forward and reverse
# mode, which multiply a path's slopes from its two ends, agree also at infinite slopes.
SCALE: Final = binary(
    "scale",
    _scale,
    dtypes=FLOATS,
    tangents=(lambda t, z, x, y: term.scale(t, y), lambda t, z, x, y: term.scale(x, t)),
    commutative=True,
)
FLOORDIV: Final = binary("floordiv", floordiv, derivative=PIECEWISE_CONSTANT)
MOD: Final = binary(
    "mod",
    mod,
    tangents=(
        lambda t, z, x, y: t,
        lambda t, z, x, y: term.scale(t, -term.make(FLOORDIV, x, y)),
    ),
    points=Points((0.3, 2.9)),
)
MAXIMUM: Final = binary(
    "maximum",
    lambda b, x, y: b.maximum(x, y),
    tangents=(
        lambda t, z, x, y: _tie(t, x.gt(y), x.eq(y)),
        lambda t, z, x, y: _tie(t, y.gt(x), x.eq(y)),
    ),
    commutative=True,
)
RELU: Final = unary(
    "relu",
    lambda b, x: b.maximum(x, _zero(b, x)),
    dtypes=NUMBERS,
    tangent=lambda t, y, x: term.where(x.gt(0), t, 0.0),
)
MINIMUM: Final = binary(
    "minimum",
    lambda b, x, y: b.minimum(x, y),
    tangents=(
        lambda t, z, x, y: _tie(t, x.lt(y), x.eq(y)),
        lambda t, z, x, y: _tie(t, y.lt(x), x.eq(y)),
    ),
    commutative=True,
)
FMA: Final = elementwise(
    "fma",
    arity=3,
    scalar=lambda b, x, y, z, attrs: b.fma(x, y, z),
    infer=same_shape("fma", 3, FLOATS),
    samples=Samples(FLOATS, errors=(((TensorType(F32, (3,)),) * 2, {}, ShapeError),)),
    derivative=Tangents(
        (
            lambda t, w, operands, attrs: term.scale(t, operands[1]),
            lambda t, w, operands, attrs: term.scale(t, operands[0]),
            lambda t, w, operands, attrs: t,
        )
    ),
)
