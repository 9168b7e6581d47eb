"""From what a user passes to arrays of a declared type.

before: any Python object.  after: an ndarray, native byte order, aligned and row-major, of the
declared dtype and rank.  Only copies; never changes the user's array.

An array is accepted when its dtype casts safely to the declared one; Python numbers and lists of
them by the weak rule of NumPy 2; objects with `__dlpack__`, `__array__`, `__array_interface__` or
the buffer protocol as arrays.  All else is a DTypeError that says what to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from symc.frontend.spec import MAX_BYTES, SHORT_NAMES, known, short_name
from symc.ir.errors import DomainError, DTypeError, ShapeError, SymcOverflowError, message
from symc.ir.locations import here
from symc.ir.types import TensorType

Scalar = bool | int | float
_RANK_OF_KIND: Final = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
NUMERIC: Final = "np.asarray(value) of a numeric dtype"


def is_scalar(value: object) -> bool:
    """Whether `value` is a Python number (NumPy scalars are arrays of rank 0)."""
    return isinstance(value, bool | int | float) and not isinstance(value, np.generic)


def as_array(value: Any, subject: str, advice: str = NUMERIC) -> np.ndarray:
    """Any array-like as a plain ndarray of a dtype that symc knows, in native byte order.

    DTypeError with `advice` for what is no array.
    """
    array = _as_ndarray(value, subject, advice)
    native = array.dtype.newbyteorder("=")
    if not known(native):
        raise DTypeError(
            message(
                f"{subject}: unsupported dtype",
                got=f"an array of {array.dtype}",
                expected=" ".join(SHORT_NAMES),
                where=here(),
                advice="astype a numeric dtype first",
            )
        )
    return array if native == array.dtype else array.astype(native)


def _as_ndarray(value: Any, subject: str, advice: str) -> np.ndarray:
    if isinstance(value, np.ndarray | np.generic):
        if type(value).__module__.startswith("numpy.ma"):
            raise _refused(subject, "a masked array", "value.filled(...) and the mask as an input")
        plain = getattr(type(value), "__symc_plain__", np.asarray)
        array: np.ndarray = plain(value)
        return array
    if isinstance(value, list | tuple) or is_scalar(value):
        return _from_list(value, subject)
    if hasattr(value, "__symc_operand__"):
        raise _refused(subject, "a symbolic value", "the concrete value, or sc.function of both")
    _check_interface(value, subject)
    try:
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
            return np.asarray(value)
        if not isinstance(value, str | bytes):
            return np.asarray(memoryview(value))
    except BufferError:
        raise
    except TypeError as error:
        raise _refused(subject, _kind(value), advice) from error
    except Exception as error:
        raise DTypeError(
            message(f"{subject}: conversion of {_kind(value)} failed: {error}", where=here())
        ) from error
    raise _refused(subject, _kind(value), advice)


def _from_list(value: Any, subject: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except OverflowError as error:
        raise SymcOverflowError(
            message(f"{subject}: {error}", got=_short(value), expected="64 bits", where=here())
        ) from error
    except ValueError as error:
        raise ShapeError(
            message(f"{subject}: rows of different lengths", got=_short(value), where=here())
        ) from error
    if array.dtype == object and all(isinstance(item, int) for item in array.flat):
        raise SymcOverflowError(
            message(
                f"{subject}: int out of range", got=_short(value), expected="64 bits", where=here()
            )
        )
    if array.dtype.kind not in _RANK_OF_KIND:
        raise _refused(subject, f"{type(value).__name__} of {array.dtype}", "a list of numbers")
    return array


def _check_interface(value: Any, subject: str) -> None:
    """Refuse an `__array_interface__` that cannot be true, before NumPy reads through it."""
    interface = getattr(value, "__array_interface__", None)
    if not isinstance(interface, dict):
        return
    total = 1
    for size in interface.get("shape", ()):
        if not isinstance(size, int) or size < 0:
            raise DomainError(
                message(f"{subject}: __array_interface__ shape", got=size, where=here())
            )
        total *= size
    data = interface.get("data")
    null = isinstance(data, tuple) and not data[0] and total > 0
    if null or total > MAX_BYTES // 16:
        raise DomainError(
            message(
                f"{subject}: __array_interface__ does not describe memory",
                got="a null pointer" if null else f"{total} elements",
                where=here(),
            )
        )


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refused(subject: str, got: str, advice: str) -> DTypeError:
    return DTypeError(
        message(
            f"{subject}: not an array", got=got, expected="an array", where=here(), advice=advice
        )
    )


def argument(value: Any, type: TensorType, subject: str) -> np.ndarray:
    """`value` for an input declared as `type`: its dtype and rank; sizes are compared later."""
    weak = is_scalar(value) or isinstance(value, list | tuple)
    array = as_array(value, subject)
    if array.ndim != type.rank:
        raise ShapeError(
            message(
                f"{subject}: wrong rank",
                got=f"{short_name(array.dtype)} of shape {array.shape}",
                expected=f"{type} (rank {type.rank})",
                where=here(),
            )
        )
    if weak:
        array = weak_cast(array, type.dtype, subject)
    elif not np.can_cast(array.dtype, type.dtype, "safe"):
        raise unsafe(array.dtype, type.dtype, subject)
    return packed(array.astype(type.dtype, copy=False))


def packed(array: np.ndarray) -> np.ndarray:
    """The array row-major and aligned: itself when it is, else a copy."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.array(array, order="C", copy=True)


def unsafe(got: np.dtype, declared: np.dtype, subject: str) -> DTypeError:
    """The error for a cast that could change values."""
    return DTypeError(
        message(
            f"{subject}: dtype does not cast safely",
            got=short_name(got),
            expected=short_name(declared),
            where=here(),
            advice=f"value.astype({declared.name!r}), or declare {short_name(got)}",
        )
    )


def weak_cast(array: np.ndarray, dtype: np.dtype, subject: str) -> np.ndarray:
    """Python numbers, already an array of their default dtype, as `dtype`, by the weak rule."""
    if array.size == 0:
        return array.astype(dtype)
    if _RANK_OF_KIND[array.dtype.kind] > _RANK_OF_KIND[dtype.kind]:
        raise unsafe(array.dtype, dtype, subject)
    if dtype.kind in "iu" and array.dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if int(array.min()) < low or int(array.max()) > high:
            raise SymcOverflowError(
                message(
                    f"{subject}: int out of range",
                    got=_short(array.tolist()),
                    expected=f"{low} to {high} ({short_name(dtype)})",
                    where=here(),
                )
            )
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def check_sizes(
    types: Sequence[TensorType], arrays: Sequence[np.ndarray], names: Sequence[str]
) -> None:
    """Compare sizes with the declared ones; ShapeError names the input, the axis and the dim."""
    bound: dict[Any, tuple[int, str]] = {}
    for type, array, name in zip(types, arrays, names, strict=True):
        for axis, (size, got) in enumerate(zip(type.shape, array.shape, strict=True)):
            place = f"{name} axis {axis}"
            if isinstance(size, int):
                if size != got:
                    raise _wrong_size(name, axis, got, f"{size}", type)
                continue
            seen = bound.setdefault(size, (got, place))
            if seen[0] != got:
                expected = f"{size} = {seen[0]} (from {seen[1]})"
                raise _wrong_size(name, axis, got, expected, type)


def _wrong_size(name: str, axis: int, got: int, expected: str, type: TensorType) -> ShapeError:
    return ShapeError(
        message(
            f"argument {name}: wrong size in axis {axis}",
            got=got,
            expected=f"{expected}, as declared: {type}",
            where=here(),
        )
    )
