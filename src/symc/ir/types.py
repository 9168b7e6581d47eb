"""Types of values: dtype and shape, with symbolic sizes.

A type is made of *parts*: a dense tensor is one buffer; sparse tensors, random keys and complex
numbers will be several.  Types have structural equality and a cached hash.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from symc.ir.dims import Size, Symbol, size_product, symbols
from symc.records import dataclass

DTYPE_NAMES: dict[str, np.dtype] = {
    "bool": np.dtype(np.bool_),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
_SHORT = {dtype: name for name, dtype in DTYPE_NAMES.items()}

BOOL, I32, I64, F32, F64 = DTYPE_NAMES.values()


def dtype_name(dtype: np.dtype) -> str:
    """The short name: `f32`, `i64`, ..."""
    return _SHORT.get(dtype, dtype.name)


def is_float(dtype: np.dtype) -> bool:
    """Whether values of this dtype are IEEE 754 floats."""
    return dtype.kind == "f"


def is_int(dtype: np.dtype) -> bool:
    """Whether values of this dtype are integers; bool is not."""
    return dtype.kind in "iu"


@lru_cache(maxsize=4096)
def _bytes(shape: tuple[Size, ...], itemsize: int) -> Size:
    return size_product(shape) * itemsize


@lru_cache(maxsize=4096)
def _symbols(shape: tuple[Size, ...]) -> frozenset[Symbol]:
    return frozenset().union(*[symbols(size) for size in shape])


class TensorType:
    """A dense tensor: `dtype` and `shape` (ints and Dims, outermost first)."""

    __slots__ = ("_hash", "dtype", "shape")

    def __init__(self, dtype: np.dtype, shape: tuple[Size, ...] = ()) -> None:
        self.dtype = dtype
        self.shape = shape
        self._hash = hash((dtype, shape))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorType)
            and self.dtype == other.dtype
            and self.shape == other.shape
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(map(str, self.shape))}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Size:
        return size_product(self.shape)

    @property
    def bytes(self) -> Size:
        return _bytes(self.shape, self.dtype.itemsize)

    def parts(self) -> tuple[TensorType, ...]:
        """The buffers that a value of this type consists of."""
        return (self,)

    def symbols(self) -> frozenset[Symbol]:
        return _symbols(self.shape)

    def with_shape(self, shape: tuple[Size, ...]) -> TensorType:
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: np.dtype) -> TensorType:
        return TensorType(dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant's payload: a read-only C-contiguous array compared by its bytes."""

    array: np.ndarray

    def __post_init__(self) -> None:
        array = np.array(self.array, order="C", copy=True)
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, tuple[int, ...], bytes]:
        return (self.array.dtype.str, self.array.shape, self.array.tobytes())
