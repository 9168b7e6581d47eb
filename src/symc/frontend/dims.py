"""The public `Dim`: a size that is known only at the call.

before: `ir.dims` sizes, whose `==` is structural.  after: sizes with exact arithmetic whose
comparisons give a bool when it can be proved for every value of the names, else `TracerError`.
A Dim also serves as a value: it is then a weakly typed i64 scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from symc.ir import dims
from symc.ir.errors import DTypeError, ShapeError, TracerError, message
from symc.ir.locations import here


class Dim:
    """A symbolic size: `x.shape[0]`.  Never an int; sizes that are known are Python ints."""

    __slots__ = ("size",)

    # What makes a scalar Expr of a Dim; set by expr.py, which knows Expr.
    as_expr: ClassVar[Callable[[Dim], Any]]
    __array_ufunc__ = None  # NumPy scalars and arrays leave the operation to `Dim` and `Expr`

    def __init__(self, size: dims.Dim) -> None:
        self.size = size

    def __repr__(self) -> str:
        return f"Dim({self.size})"

    def __str__(self) -> str:
        return str(self.size)

    def __hash__(self) -> int:
        return hash(self.size)

    @staticmethod
    def min(left: int | Dim, right: int | Dim) -> int | Dim:
        """The smaller of two sizes."""
        return public(dims.minimum(as_size(left), as_size(right)))

    @staticmethod
    def max(left: int | Dim, right: int | Dim) -> int | Dim:
        """The larger of two sizes."""
        return public(dims.maximum(as_size(left), as_size(right)))

    def __add__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: a + b, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: b + a, lambda a, b: b + a)

    def __sub__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: a - b, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: b - a, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: a * b, lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: b * a, lambda a, b: b * a)

    def __floordiv__(self, other: Any) -> Any:
        return self._exact(other, dims.floordiv, lambda a, b: a // b)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: dims.floordiv(b, a), lambda a, b: b // a)

    def __mod__(self, other: Any) -> Any:
        return self._exact(other, dims.mod, lambda a, b: a % b)

    def __rmod__(self, other: Any) -> Any:
        return self._exact(other, lambda a, b: dims.mod(b, a), lambda a, b: b % a)

    def __truediv__(self, other: Any) -> Any:
        return self._as_value(other, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> Any:
        return self._as_value(other, lambda a, b: b / a)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int) and not isinstance(other, bool) and other >= 0:
            total: dims.Size = 1
            for _ in range(other):
                total = total * self.size
            return public(total)
        return self._as_value(other, lambda a, b: a**b)

    def __rpow__(self, other: Any) -> Any:
        return self._as_value(other, lambda a, b: b**a)

    def __neg__(self) -> int | Dim:
        return public(-self.size)

    def __pos__(self) -> Dim:
        return self

    def __eq__(self, other: object) -> Any:
        size = _size_or_none(other)
        if size is None:
            return NotImplemented
        found = dims.prove_equal(self.size, size)
        return self._undecided("==", other) if found is None else found

    def __ne__(self, other: object) -> Any:
        size = _size_or_none(other)
        if size is None:
            return NotImplemented
        found = dims.prove_equal(self.size, size)
        return self._undecided("!=", other) if found is None else not found

    def __lt__(self, other: Any) -> Any:
        return self._ordered("<", other, lambda a, b: (a + 1, b), lambda a, b: (b, a))

    def __le__(self, other: Any) -> Any:
        return self._ordered("<=", other, lambda a, b: (a, b), lambda a, b: (b + 1, a))

    def __gt__(self, other: Any) -> Any:
        return self._ordered(">", other, lambda a, b: (b + 1, a), lambda a, b: (a, b))

    def __ge__(self, other: Any) -> Any:
        return self._ordered(">=", other, lambda a, b: (b, a), lambda a, b: (a + 1, b))

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __index__(self) -> NoReturn:
        raise TracerError(
            message(
                f"size {self} has no Python value while the program is built",
                expected="an int",
                where=here(),
                advice="sc.fori_loop or sc.scan for loops over it, or a static size in the spec",
            )
        )

    __int__ = __index__

    def __float__(self) -> NoReturn:
        self.__index__()

    def __symc_operand__(self) -> Any:
        """The size as a weakly typed i64 scalar."""
        return type(self).as_expr(self).__symc_operand__()

    def _exact(
        self,
        other: Any,
        combine: Callable[[Any, Any], dims.Size],
        as_value: Callable[[Any, Any], Any],
    ) -> Any:
        size = _size_or_none(other)
        if size is None:
            return self._as_value(other, as_value)
        return public(combine(self.size, size))

    def _as_value(self, other: Any, combine: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, list | tuple) or (
            hasattr(other, "__symc_operand__") and not isinstance(other, Dim)
        ):
            return NotImplemented
        return combine(type(self).as_expr(self), other)

    def _ordered(
        self,
        sign: str,
        other: Any,
        holds: Callable[[Any, Any], tuple[dims.Size, dims.Size]],
        fails: Callable[[Any, Any], tuple[dims.Size, dims.Size]],
    ) -> Any:
        size = _size_or_none(other)
        if size is None:
            return NotImplemented
        if dims.prove_le(*holds(self.size, size)):
            return True
        if dims.prove_le(*fails(self.size, size)):
            return False
        return self._undecided(sign, other)

    def _undecided(self, sign: str, other: object) -> NoReturn:
        raise TracerError(
            message(
                f"{self} {sign} {other} cannot be decided for every size",
                where=here(),
                advice="sc.cond or sc.where on values, or a static size in the spec",
            )
        )


def public(size: dims.Size) -> int | Dim:
    """A size as the user sees it."""
    return size if isinstance(size, int) else Dim(size)


def as_size(size: Any, subject: str = "size") -> dims.Size:
    """An int, NumPy integer or Dim as a size of the IR; else DTypeError."""
    found = _size_or_none(size)
    if found is None:
        raise DTypeError(
            message(
                f"{subject}: not a size", got=repr(size), expected="an int or a Dim", where=here()
            )
        )
    return found


def as_shape(shape: Any, subject: str) -> tuple[dims.Size, ...]:
    """A size or a sequence of sizes as a shape of the IR; negative sizes are ShapeError."""
    parts = shape if isinstance(shape, tuple | list) else (shape,)
    sizes = tuple(as_size(part, subject) for part in parts)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError(
            message(f"{subject}: negative size", got=shape, expected="sizes >= 0", where=here())
        )
    return sizes


def _size_or_none(size: Any) -> dims.Size | None:
    if isinstance(size, Dim):
        return size.size
    if isinstance(size, int | np.integer) and not isinstance(size, bool):
        return int(size)
    return None
