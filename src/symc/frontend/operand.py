"""Operands: what array functions compute with, whatever the user wrote.

before: Exprs, Dims, arrays, Python numbers.  after: a `Value` of the IR and whether its dtype is
weak.  Anything with a method `__symc_operand__` is symbolic.

Free values of a graph are told apart by class: `VarValue` (an input), `StateValue` (a shared
variable), `CapturedValue` (an array that becomes a hidden input); a plain one is a trace's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from symc.frontend import scope
from symc.frontend.convert import Scalar, as_array, is_scalar
from symc.frontend.spec import compiled_dtype
from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Value
from symc.ir.errors import DomainError, DTypeError, SymcOverflowError, message
from symc.ir.locations import Location, here
from symc.ir.types import I64, Literal, TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.frontend.shared import Shared

# Arrays of at most this many elements are part of the program; larger ones are hidden inputs.
INLINE_ELEMENTS: Final = 16


class VarValue(Value):
    """A variable of the explicit door."""

    __slots__ = ("location",)

    def __init__(self, type: TensorType, name: str) -> None:
        super().__init__(type, name=name)
        self.location: Location = here()


class StateValue(Value):
    """The contents of a shared variable at the start of a call."""

    __slots__ = ("shared",)

    def __init__(self, type: TensorType, shared: Shared) -> None:
        super().__init__(type, name=shared.name)
        self.shared = shared


class CapturedValue(Value):
    """An array of the user's, copied; `Entry.constants` carries it."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.array(array, order="C", copy=True)
        self.array.setflags(write=False)
        super().__init__(TensorType(array.dtype, array.shape), name="captured")


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A value and whether its dtype gives way to that of the array it meets."""

    value: Value
    weak: bool = False

    @property
    def type(self) -> TensorType:
        return self.value.type

    @property
    def dtype(self) -> np.dtype:
        return self.value.type.dtype


def is_symbolic(value: object) -> bool:
    """Whether `value` is an Expr, a shared variable or a Dim."""
    return hasattr(type(value), "__symc_operand__")


def mentions_symbolic(value: object) -> bool:
    """Whether `value` is symbolic, or a sequence or slice with something symbolic in it."""
    if isinstance(value, list | tuple):
        return any(map(mentions_symbolic, value))
    if isinstance(value, slice):
        return any(map(is_symbolic, (value.start, value.stop, value.step)))
    return is_symbolic(value)


def read(value: Any, subject: str) -> Operand | Scalar:
    """`value` as an operand, or as the Python number that it is."""
    if is_symbolic(value):
        operand: Operand = value.__symc_operand__()
        return operand
    if is_scalar(value):
        number: Scalar = value
        return number
    if isinstance(value, list | tuple) and any(map(is_symbolic, _leaves(value))):
        raise DTypeError(
            message(
                f"{subject}: a {type(value).__name__} with symbolic values is not an array",
                where=here(),
                advice="sc.stack([...]) of the values",
            )
        )
    return Operand(literal(as_array(value, subject), subject))


def _leaves(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    todo: list[Any] = list(value)
    while todo:
        item = todo.pop()
        if isinstance(item, list | tuple):
            todo.extend(item)
        else:
            found.append(item)
    return found


def operand(value: Any, subject: str) -> Operand:
    """`value` as an operand; a Python number becomes a weak scalar of its default dtype."""
    found = read(value, subject)
    if isinstance(found, Operand):
        return found
    return Operand(constant(found, np.result_type(found), subject), weak=True)


def constant(number: Scalar, dtype: np.dtype, subject: str) -> Value:
    """A Python number as a constant of `dtype` and rank 0."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(number, dtype)
    except OverflowError as error:
        raise SymcOverflowError(
            message(
                f"{subject}: Python number out of range",
                got=number,
                expected=f"a value that fits {dtype.name}",
                where=here(),
            )
        ) from error
    except ValueError as error:
        raise DomainError(message(f"{subject}: {error}", got=number, where=here())) from error
    return inline(array)


def inline(array: np.ndarray) -> Value:
    """A constant that is part of the program."""
    return apply(ops.CONSTANT, (), {"value": Literal(array)}).results[0]


def literal(array: np.ndarray, subject: str) -> Value:
    """An ndarray as a value: inline when small or uniform, else captured once per trace."""
    compiled_dtype(array.dtype, subject)
    trace = scope.current()
    lifts = trace is not None and trace.lifts
    if not lifts and array.size <= INLINE_ELEMENTS:
        return inline(array)
    if not lifts and _uniform(array):
        attrs = {"shape": array.shape, "axes": ()}
        first = np.asarray(array.flat[0])
        return apply(ops.BROADCAST, (inline(first),), attrs).results[0]
    if trace is None:
        return CapturedValue(array)
    known = trace.captured(array)
    if isinstance(known, CapturedValue) and _same_bytes(known.array, array):
        return known
    value = CapturedValue(array)
    trace.capture(array, value)
    return value


def _uniform(array: np.ndarray) -> bool:
    """Whether every element has the bits of the first; most arrays differ in the second."""
    first = array.flat[0].tobytes()
    if first != array.flat[1].tobytes():
        return False
    return _same_bytes(np.full(array.shape, array.flat[0], array.dtype), array)


def _same_bytes(left: np.ndarray, right: np.ndarray) -> bool:
    return left.tobytes() == right.tobytes()


def size_value(size: Any) -> Value:
    """A size as an i64 scalar."""
    if isinstance(size, int):
        return constant(size, I64, "size")
    return apply(ops.SIZE, (), {"size": size}).results[0]
