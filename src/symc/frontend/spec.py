"""Specs: dtype and shape as the user writes them, `f32[batch,784]`.

before: text, dtype objects.  after: `Spec`, and from it a `TensorType` in which every name is a
symbol and every `_` a fresh one.  Names that symc invents start with `_` and a digit, which no
spec can spell.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from itertools import count
from typing import Any, Final

import numpy as np

from symc.ir import dims
from symc.ir.errors import DTypeError, ParseError, ShapeError, SymcOverflowError, message
from symc.ir.locations import here
from symc.ir.types import DTYPE_NAMES, TensorType
from symc.records import dataclass

bool_ = np.dtype(np.bool_)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)

SHORT_NAMES: Final[dict[str, np.dtype]] = {
    "bool": bool_,
    "i8": int8,
    "i16": int16,
    "i32": int32,
    "i64": int64,
    "u8": uint8,
    "u16": uint16,
    "u32": uint32,
    "u64": uint64,
    "f16": float16,
    "f32": float32,
    "f64": float64,
    "c64": complex64,
    "c128": complex128,
}
_CANONICAL: Final = {dtype: dtype for dtype in SHORT_NAMES.values()}
_NAMES: Final = {dtype: name for name, dtype in SHORT_NAMES.items()}
_BFLOAT16: Final = ("bf16", "bfloat16")
COMPILED: Final = frozenset(DTYPE_NAMES.values())
MAX_BYTES: Final = 2**63 - 1

_TEXT = re.compile(r"\s*([A-Za-z]\w*)\s*(?:\[(.*)\]\s*)?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z]\w*|_[A-Za-z_]\w*")
_fresh = count()


@dataclass(frozen=True, slots=True)
class Spec:
    """A dtype and a shape whose dims are ints, names, or `_` (a size of its own)."""

    dtype: np.dtype
    shape: tuple[int | str, ...] = ()

    def __str__(self) -> str:
        return f"{short_name(self.dtype)}[{','.join(map(str, self.shape))}]"

    @property
    def ndim(self) -> int:
        return len(self.shape)


def spec(text: str | Spec | np.dtype | type) -> Spec:
    """Parse `dtype[dim,...]`; a bare dtype is a scalar.  ParseError, DTypeError, ShapeError."""
    if isinstance(text, Spec):
        return text
    if not isinstance(text, str):
        return Spec(as_dtype(text))
    found = _TEXT.fullmatch(text)
    if found is None:
        raise _malformed(text, "a dtype, then dims in brackets")
    dtype = as_dtype(found[1])
    inner = found[2]
    if inner is None or not inner.strip():
        return Spec(dtype)
    return Spec(dtype, tuple(_parse_dim(part.strip(), text) for part in inner.split(",")))


def _parse_dim(part: str, text: str) -> int | str:
    if part.isascii() and part.isdigit():
        return int(part)
    if re.fullmatch(r"-\d+", part):
        raise ShapeError(
            message(f"spec {text!r}: negative size", got=part, expected="a size >= 0", where=here())
        )
    if part == "_" or _NAME.fullmatch(part):
        return part
    raise _malformed(text, f"an int, a name or `_` instead of {part!r}")


def _malformed(text: str, expected: str) -> ParseError:
    return ParseError(
        message(
            f"malformed spec {text!r}",
            expected=expected,
            where=here(),
            advice='a form like sc.spec("f32[batch,784]")',
        )
    )


@cache
def _bfloat16() -> np.dtype:
    """The dtype of ml_dtypes, which is loaded by the first use of the name."""
    found: np.dtype = np.dtype(import_module("ml_dtypes").bfloat16)
    return found


def __getattr__(name: str) -> np.dtype:
    if name == "bfloat16":
        return _bfloat16()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_dtype(dtype: Any, *, subject: str = "dtype") -> np.dtype:
    """The NumPy dtype named by a short name, a NumPy name, a scalar type or a dtype object."""
    if isinstance(dtype, str) and dtype in SHORT_NAMES:
        return SHORT_NAMES[dtype]
    if isinstance(dtype, str) and dtype in _BFLOAT16:
        return _bfloat16()
    try:
        found: np.dtype = np.dtype(dtype).newbyteorder("=")
    except TypeError as error:
        raise _unknown(subject, dtype) from error
    if dtype is None or not known(found):
        raise _unknown(subject, dtype)
    return _CANONICAL.get(found, found)


def known(dtype: np.dtype) -> bool:
    """Whether symc has a name for a dtype in native byte order."""
    return dtype in _CANONICAL or dtype.name == _BFLOAT16[1]


def short_name(dtype: np.dtype) -> str:
    """`f32`, `u8`, ...; NumPy's name for dtypes that symc does not know."""
    return _BFLOAT16[0] if dtype.name == _BFLOAT16[1] else _NAMES.get(dtype, dtype.name)


def _unknown(subject: str, dtype: Any) -> DTypeError:
    return DTypeError(
        message(
            f"{subject}: unsupported dtype",
            got=repr(dtype),
            expected=" ".join(SHORT_NAMES),
            where=here(),
            advice="astype one of these first",
        )
    )


def compiled_dtype(dtype: np.dtype, subject: str) -> np.dtype:
    """`dtype` when code can be generated for it, else DTypeError."""
    if dtype in COMPILED:
        return dtype
    raise DTypeError(
        message(
            f"{subject}: dtype that symc does not compile",
            got=short_name(dtype),
            expected=" ".join(DTYPE_NAMES),
            where=here(),
            advice="astype one of these first",
        )
    )


def fresh_dim() -> dims.Dim:
    """A symbol of its own, with a name that no spec can spell."""
    return dims.symbol(f"_{next(_fresh)}")


def tensor_type(declared: Spec, subject: str) -> TensorType:
    """The type that a spec declares; every `_` becomes a fresh symbol."""
    dtype = compiled_dtype(declared.dtype, subject)
    shape = tuple(_as_size(part) for part in declared.shape)
    return checked_type(TensorType(dtype, shape), subject)


def _as_size(part: int | str) -> dims.Size:
    if isinstance(part, int):
        return part
    return fresh_dim() if part == "_" else dims.symbol(part)


def checked_type(type: TensorType, subject: str) -> TensorType:
    """`type`, when its bytes can be addressed, else SymcOverflowError (ShapeError if negative)."""
    total = type.dtype.itemsize
    for size in type.shape:
        if isinstance(size, int):
            if size < 0:
                raise ShapeError(message(f"{subject}: negative size", got=type, where=here()))
            total *= size
    if total > MAX_BYTES:
        raise SymcOverflowError(message(f"{subject}: too large to address", got=type, where=here()))
    return type
