"""Methods of ndarrays whose arguments differ from those of the array function of that name."""

from __future__ import annotations

from typing import Any

from symc.frontend import manipulation
from symc.frontend.dispatch import method
from symc.frontend.expr import Expr
from symc.frontend.statistical import variance


def _together(parts: tuple[Any, ...]) -> Any:
    """One tuple or several numbers: the same."""
    return parts[0] if len(parts) == 1 and isinstance(parts[0], tuple | list) else parts


@method
def reshape(x: Expr, *shape: Any) -> Expr:
    """`x.reshape(2, -1)` or `x.reshape((2, -1))`."""
    return manipulation.reshape(x, _together(shape))


@method
def transpose(x: Expr, *axes: Any) -> Expr:
    """`x.transpose()`, `x.transpose(1, 0)` or `x.transpose((1, 0))`."""
    chosen = _together(axes)
    return manipulation.permute_dims(x, None if chosen in {(), (None,)} else chosen)


@method
def flatten(x: Expr) -> Expr:
    """All elements in row-major order, in one axis."""
    return manipulation.reshape(x, x.size)


@method
def ravel(x: Expr) -> Expr:
    """All elements in row-major order, in one axis."""
    return manipulation.reshape(x, x.size)


@method
def copy(x: Expr) -> Expr:
    """The same value in an object of its own."""
    return +x


@method
def var(x: Expr, axis: Any = None, ddof: float = 0.0, keepdims: bool = False) -> Expr:
    """The variance over `n - ddof`."""
    return variance(x, axis=axis, correction=ddof, keepdims=keepdims)
