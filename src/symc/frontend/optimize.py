"""`sc.optimize`: objectives in the form that optimisers of other libraries take.

before: a scalar Python function of one array, or of one pytree of arrays.  after: compiled
callables on flat f64 vectors, as `scipy.optimize.minimize` calls them.  SciPy is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from symc.frontend import trees
from symc.frontend.expr import Expr
from symc.frontend.jit import jit
from symc.frontend.manipulation import astype
from symc.frontend.products import hvp
from symc.frontend.transforms import grad
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here

_F64: Final = np.dtype(np.float64)


def _vector(x: Any, size: int | None) -> np.ndarray:
    made = np.asarray(x)
    if made.ndim != 1 or made.dtype.kind not in "fiu":
        raise ShapeError(
            message(
                "scipy_args: x",
                got=f"{made.dtype}{list(made.shape)}",
                expected="a vector of real numbers",
                where=here(),
                advice="give `example=` when the objective takes another shape or a pytree",
            )
        )
    if size is not None and made.size != size:
        raise ShapeError(message("scipy_args: x", got=made.shape, expected=(size,), where=here()))
    return made.astype(_F64, copy=False)


class Ravel:
    """The flat f64 vector of a pytree of floating arrays, and the way back.

    Leaves stand in the order of optree, each in row-major order.
    """

    __slots__ = ("_dtypes", "_offsets", "_shapes", "_structure", "size")

    def __init__(self, example: Any) -> None:
        leaves, self._structure = trees.flatten(example)
        arrays = [np.asarray(leaf) for leaf in leaves]
        for array in arrays:
            if array.dtype.kind not in "fiu":
                raise DTypeError(
                    message(
                        "scipy_args: example",
                        got=f"a leaf of {array.dtype}",
                        expected="arrays of real numbers",
                        where=here(),
                    )
                )
        self._shapes = [array.shape for array in arrays]
        self._dtypes = [array.dtype if array.dtype.kind == "f" else _F64 for array in arrays]
        self._offsets = np.cumsum([0, *(array.size for array in arrays)]).tolist()
        self.size: int = self._offsets[-1]

    def ravel(self, tree: Any) -> np.ndarray:
        """f64[size] of a tree of the example's structure; ShapeError when it is another."""
        leaves, structure = trees.flatten(tree)
        shapes = [np.shape(leaf) for leaf in leaves]
        if structure != self._structure or shapes != self._shapes:
            raise ShapeError(
                message(
                    "ravel: another tree than the example",
                    got=f"{structure} of {shapes}",
                    expected=f"{self._structure} of {self._shapes}",
                    where=here(),
                )
            )
        flat = [np.asarray(leaf, _F64).reshape(-1) for leaf in leaves]
        return np.concatenate(flat) if flat else np.zeros(0)

    def unravel(self, x: np.ndarray) -> Any:
        """The tree of the vector x, f64[size], with the example's shapes and float dtypes."""
        vector = _vector(x, self.size)
        return trees.unflatten(self._structure, list(self._split(vector, np.ndarray.astype)))

    def traced(self, x: Expr) -> Any:
        """The tree of a symbolic vector."""
        return trees.unflatten(self._structure, list(self._split(x, astype)))

    def _split(self, x: Any, convert: Callable[[Any, np.dtype], Any]) -> Iterator[Any]:
        for i, (shape, dtype) in enumerate(zip(self._shapes, self._dtypes, strict=True)):
            part = x[self._offsets[i] : self._offsets[i + 1]]
            yield convert(part.reshape(shape), dtype)


class ScipyArgs:
    """`fun`, `jac` and `hessp` of one objective; unpacks as three values, or with `**`.

    Each takes `(x, *args)`, `hessp` takes `(x, p, *args)`; x and p are f64 vectors.  Each is one
    compiled function, and nothing is remembered between calls.  `ravel` and `unravel` go between
    the vector and the pytree that the objective takes.
    """

    __slots__ = ("_curved", "_size", "_sloped", "_tree", "_valued")

    def __init__(self, objective: Callable[..., Any], tree: Ravel | None) -> None:
        def at(x: Any, args: Sequence[Any]) -> Any:
            return objective(x if tree is None else tree.traced(x), *args)

        def valued(x: Any, args: Sequence[Any]) -> Any:
            return astype(at(x, args), _F64)

        def sloped(x: Any, args: Sequence[Any]) -> Any:
            return grad(lambda moved: at(moved, args))(x)

        def curved(x: Any, p: Any, args: Sequence[Any]) -> Any:
            return hvp(lambda moved: at(moved, args), (x,), (p,))

        self._valued = jit(valued)
        self._sloped = jit(sloped)
        self._curved = jit(curved)
        self._tree = tree
        self._size = None if tree is None else tree.size

    def fun(self, x: np.ndarray, *args: Any) -> float:
        """The objective at x."""
        return float(self._valued(_vector(x, self._size), args))

    def jac(self, x: np.ndarray, *args: Any) -> np.ndarray:
        """The gradient at x, f64 and of x's shape."""
        found: np.ndarray = self._sloped(_vector(x, self._size), args)
        return found

    def hessp(self, x: np.ndarray, p: np.ndarray, *args: Any) -> np.ndarray:
        """The Hessian at x times p, f64 and of x's shape."""
        found: np.ndarray = self._curved(_vector(x, self._size), _vector(p, self._size), args)
        return found

    def ravel(self, params: Any) -> np.ndarray:
        """The vector of a pytree of parameters."""
        return np.array(params, _F64) if self._tree is None else self._tree.ravel(params)

    def unravel(self, x: np.ndarray) -> Any:
        """The pytree of parameters of a vector, such as `result.x`."""
        return np.array(x) if self._tree is None else self._tree.unravel(x)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.fun, self.jac, self.hessp))

    def keys(self) -> tuple[str, ...]:
        """The keyword arguments of `scipy.optimize.minimize` that these are."""
        return ("fun", "jac", "hessp")

    def __getitem__(self, key: str) -> Callable[..., Any]:
        if key not in self.keys():
            raise KeyError(key)
        found: Callable[..., Any] = getattr(self, key)
        return found


def scipy_args(f: Callable[..., Any], example: Any = None) -> ScipyArgs:
    """`fun, jac, hessp` of the scalar function `f` for `scipy.optimize.minimize`.

    `f(x, *args)` takes the vector x, f64[n]; with `example`, a pytree of arrays, it takes a pytree
    of the same structure, shapes and dtypes instead, and `ravel` / `unravel` convert.

        best = scipy.optimize.minimize(x0=x0, method="trust-ncg", **sc.optimize.scipy_args(f))

    Raises DTypeError when `f` is not callable or gives no float, ShapeError when it is not scalar.
    """
    if not callable(f):
        raise DTypeError(
            message(
                "scipy_args",
                got=type(f).__name__,
                expected="a function of the vector",
                where=here(),
            )
        )
    return ScipyArgs(f, None if example is None else Ravel(example))
