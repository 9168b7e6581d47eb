"""Comparisons, logic and selection.

Comparisons with NaN are false, but for `ne`.  `and or xor not` work bit by bit; on bool that is
logic.  `where` evaluates both sides; a derivative passes only the side that was selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from symc.ir import term
from symc.ir.core import Attrs
from symc.ir.errors import DTypeError, ShapeError
from symc.ir.ops.define import (
    BITS,
    FLOATS,
    NOT_A_FLOAT,
    binary,
    comparison,
    elementwise,
    require_count,
    require_dtype,
    require_one_dtype,
    require_one_shape,
    unary,
)
from symc.ir.ops.record import Linear, Op, Samples
from symc.ir.types import BOOL, F32, I32, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

EQ: Final = comparison("eq", lambda b, x, y: b.eq(x, y), commutative=True)
NE: Final = comparison("ne", lambda b, x, y: b.ne(x, y), commutative=True)
LT: Final = comparison("lt", lambda b, x, y: b.lt(x, y))
LE: Final = comparison("le", lambda b, x, y: b.le(x, y))
GT: Final = comparison("gt", lambda b, x, y: b.gt(x, y))
GE: Final = comparison("ge", lambda b, x, y: b.ge(x, y))


def _bitwise(name: str, scalar: Any) -> Op:
    return binary(name, scalar, dtypes=BITS, derivative=NOT_A_FLOAT, commutative=True)


AND: Final = _bitwise("and", lambda b, x, y: b.band(x, y))
OR: Final = _bitwise("or", lambda b, x, y: b.bor(x, y))
XOR: Final = _bitwise("xor", lambda b, x, y: b.bxor(x, y))
NOT: Final = unary("not", lambda b, x: b.bnot(x), dtypes=BITS, derivative=NOT_A_FLOAT)


def _finite(b: Any, x: Any) -> Any:
    return b.lt(b.abs(x), b.const(float("inf"), b.dtype(x)))


ISNAN: Final = unary(
    "isnan", lambda b, x: b.ne(x, x), dtypes=FLOATS, result=BOOL, derivative=NOT_A_FLOAT
)
ISFINITE: Final = unary("isfinite", _finite, result=BOOL, derivative=NOT_A_FLOAT)


def _where_infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("where", types, 3)
    require_dtype("where", types[0], ("bool",))
    require_one_dtype("where", types[1:])
    require_one_shape("where", types)
    return (types[1],)


def _where_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    mask = operands[0]
    return term.where(mask, ct, 0) if number == 1 else term.where(mask, 0, ct)


_MASK, _X = TensorType(BOOL, (3,)), TensorType(F32, (3,))
WHERE: Final = elementwise(
    "where",
    arity=3,
    scalar=lambda b, mask, x, y, attrs: b.select(mask, x, y),
    infer=_where_infer,
    samples=Samples(
        (BOOL.name,),
        cases=(
            ((_MASK, _X, _X), {}),
            ((TensorType(BOOL), TensorType(I32), TensorType(I32)), {}),
            ((_MASK, _MASK, _MASK), {}),
        ),
        errors=(
            ((_X, _X, _X), {}, DTypeError),
            ((_MASK, _X, TensorType(I32, (3,))), {}, DTypeError),
            ((_MASK, _X, TensorType(F32, (4,))), {}, ShapeError),
        ),
    ),
    derivative=Linear((1, 2), _where_transpose),
)
