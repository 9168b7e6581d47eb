"""Elementwise operations on what the user wrote: promotion, broadcasting, constraints.

before: operands of any dtypes and shapes.  after: IR operands of one dtype and exactly one shape,
with
`cast` and `broadcast` nodes where NumPy 2 converts by itself.

Rules: weak dtypes (Python numbers, Dims) give way; a size 1 stretches only when it is static; two
sizes that cannot be proved equal are taken as equal under a constraint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symc.frontend import constraints
from symc.frontend.convert import Scalar
from symc.frontend.operand import Operand, constant, operand, read
from symc.frontend.spec import short_name
from symc.ir import dims, ops
from symc.ir.build import apply
from symc.ir.core import Attrs, Constraint, Value
from symc.ir.dims import Size
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.ops.record import Op
from symc.ir.types import BOOL, F64, is_float, is_int

Shape = tuple[Size, ...]
Read = Operand | Scalar


def value_of(op: Op, operands: Sequence[Value], attrs: Attrs | None = None) -> Value:
    """The single result of `op`."""
    return apply(op, operands, attrs).results[0]


def result_dtype(operands: Sequence[Read]) -> tuple[np.dtype, bool]:
    """NumPy 2 promotion: the common dtype, and whether it is weak (all operands were)."""
    strong = {x.dtype for x in operands if isinstance(x, Operand) and not x.weak}
    if len(strong) == 1:
        (dtype,) = strong
        if len(operands) == 1 or is_float(dtype):  # which no weak operand can change
            return dtype, False
    samples: list[Any] = [
        (x.dtype.type(0).item() if x.weak else x.dtype) if isinstance(x, Operand) else x
        for x in operands
    ]
    weak = all(isinstance(sample, bool | int | float) for sample in samples)
    return np.result_type(*samples), weak


def cast(x: Read, dtype: np.dtype, subject: str) -> Value:
    """An operand as a value of `dtype`."""
    if not isinstance(x, Operand):
        return constant(x, dtype, subject)
    return x.value if x.dtype == dtype else value_of(ops.CAST, (x.value,), {"dtype": dtype})


def broadcast_shapes(shapes: Sequence[Shape], subject: str) -> tuple[Shape, list[Constraint]]:
    """The common shape, axes matched from the right, and what must hold for it."""
    rank = max(map(len, shapes), default=0)
    needed: list[Constraint] = []
    common: list[Size] = []
    for axis in range(-rank, 0):
        sizes = [shape[axis] for shape in shapes if len(shape) >= -axis]
        common.append(_common_size(sizes, shapes, subject, needed))
    return tuple(common), needed


def _common_size(
    sizes: Sequence[Size], shapes: Sequence[Shape], subject: str, needed: list[Constraint]
) -> Size:
    wide = [size for size in dict.fromkeys(sizes) if size != 1]
    if not wide:
        return 1
    chosen = next((size for size in wide if isinstance(size, int)), wide[0])
    for size in wide:
        equal = dims.prove_equal(chosen, size)
        if equal is False:
            raise ShapeError(
                message(
                    f"{subject}: shapes do not broadcast",
                    got=" and ".join(map(shape_text, shapes)),
                    expected=f"equal sizes or 1 where {chosen} meets {size}",
                    where=here(),
                )
            )
        if equal is None:
            reason = f"{subject}: {chosen} meets {size}"
            needed.append(constraints.must_equal(chosen, size, reason))
    return chosen


def shape_text(shape: Shape) -> str:
    """A shape as messages show it."""
    return f"[{','.join(map(str, shape))}]"


def stretch(value: Value, shape: Shape) -> Value:
    """Broadcast to `shape`, of which every size is 1, equal, or taken as equal."""
    own = value.type.shape
    if own == shape:
        return value
    lead = len(shape) - len(own)
    agreed = tuple(1 if size == 1 else shape[lead + i] for i, size in enumerate(own))
    if agreed != own:
        value = value_of(ops.RESHAPE, (value,), {"shape": agreed})
    if agreed == shape:
        return value
    return value_of(
        ops.BROADCAST, (value,), {"shape": shape, "axes": tuple(range(lead, len(shape)))}
    )


def together(values: Sequence[Value], subject: str) -> list[Value]:
    """Values of one shape, each broadcast to the common one."""
    first = values[0].type.shape
    if all(value.type.shape == first for value in values):
        return list(values)
    shape, needed = broadcast_shapes([value.type.shape for value in values], subject)
    stretched = [stretch(value, shape) for value in values]
    if needed:
        changed = [new for old, new in zip(values, stretched, strict=True) if new is not old]
        constraints.attach(changed[0], needed)
    return stretched


def elementwise(op: Op, operands: Sequence[Value], subject: str) -> Value:
    """`op` on values of one dtype, broadcast together."""
    return value_of(op, together(operands, subject))


def promoted(subject: str, *args: Any) -> tuple[list[Value], np.dtype, bool]:
    """Arguments as values of their common dtype, not yet of one shape."""
    found = [read(arg, subject) for arg in args]
    dtype, weak = result_dtype(found)
    return [cast(x, dtype, subject) for x in found], dtype, weak


def binary(op: Op, subject: str, left: Any, right: Any) -> Operand:
    """`op` on two arguments after promotion; the result has the promoted dtype."""
    values, _, weak = promoted(subject, left, right)
    return Operand(elementwise(op, values, subject), weak)


def comparison(op: Op, subject: str, left: Any, right: Any) -> Operand:
    """A comparison after promotion; the result is bool and not weak."""
    values, _, _ = promoted(subject, left, right)
    return Operand(elementwise(op, values, subject))


def arithmetic(op: Op, logical: Op | None, subject: str, left: Any, right: Any) -> Operand:
    """`op` on numbers; on two bools `logical`, which NumPy uses there, or DTypeError."""
    values, dtype, weak = promoted(subject, left, right)
    if dtype == BOOL:
        if logical is None:
            raise not_for(subject, dtype, "integers or floats", "astype('i32') first")
        op = logical
    return Operand(elementwise(op, values, subject), weak)


def on_numbers(op: Op, subject: str, *args: Any) -> Operand:
    """`op` on numbers, bools as i32 (NumPy's i8)."""
    values, dtype, weak = promoted(subject, *args)
    if dtype == BOOL:
        values = [value_of(ops.CAST, (value,), {"dtype": np.dtype(np.int32)}) for value in values]
    return Operand(elementwise(op, values, subject), weak)


def on_floats(op: Op, subject: str, *args: Any) -> Operand:
    """`op` on floats; integers and bools become f64."""
    values, dtype, weak = promoted(subject, *args)
    if not is_float(dtype):
        values = [value_of(ops.CAST, (value,), {"dtype": F64}) for value in values]
    return Operand(elementwise(op, values, subject), weak)


def on_bits(op: Op, subject: str, *args: Any) -> Operand:
    """A bitwise `op` on bools or integers; floats are a DTypeError."""
    values, dtype, weak = promoted(subject, *args)
    if dtype != BOOL and not is_int(dtype):
        raise not_for(subject, dtype, "bools or integers", "a comparison, or astype an integer")
    return Operand(elementwise(op, values, subject), weak)


def on_bools(op: Op, subject: str, *args: Any) -> Operand:
    """A logical `op`; anything that is not bool is compared with 0."""
    values = [truth(operand(arg, subject)) for arg in args]
    return Operand(elementwise(op, values, subject))


def truth(x: Operand) -> Value:
    """Whether each element is not 0."""
    if x.dtype == BOOL:
        return x.value
    zero = constant(0, x.dtype, "truth")
    return value_of(ops.NE, (x.value, stretch(zero, x.type.shape)))


def unary(op: Op, subject: str, x: Any) -> Operand:
    """`op` on one argument of any dtype that it takes."""
    found = operand(x, subject)
    return Operand(value_of(op, (found.value,)), found.weak)


def not_for(subject: str, dtype: np.dtype, expected: str, advice: str) -> DTypeError:
    """The error for an operation that a dtype does not have."""
    return DTypeError(
        message(
            f"{subject}: not defined for {short_name(dtype)}",
            expected=expected,
            where=here(),
            advice=advice,
        )
    )
