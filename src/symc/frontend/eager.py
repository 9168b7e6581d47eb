"""Array functions on concrete values: compiled once per kind of arguments, then called.

before: an array function and concrete arguments.  after: a NumPy array, with the bits that a traced
program gives.  A program is kept per function, static arguments, dtypes and ranks; its sizes are
symbolic where that can be.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import optree

from symc.frontend import scope, tracing
from symc.frontend.convert import as_array, is_scalar
from symc.frontend.jit import Variant
from symc.frontend.signature import NAMESPACE, LeafPlace, Static
from symc.frontend.spec import compiled_dtype
from symc.frontend.specialise import Leaf, Specialiser
from symc.ir.options import Options
from symc.ir.types import TensorType

_kept: Final[dict[Hashable, Specialiser[Variant]]] = {}
_OPTIONS: Final = Options()


def call(body: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`body(*args, **kwargs)` on concrete values."""
    operands = _operand_count(body)
    marked = (
        (*map(_spelled, args[:operands]), *map(_marked, args[operands:])),
        {name: _marked(value) for name, value in kwargs.items()},
    )
    given, tree = optree.tree_flatten(marked, namespace=NAMESPACE)
    name = body.__name__
    arrays = [as_array(leaf, name) for leaf in given]
    leaves = tuple(
        Leaf(compiled_dtype(array.dtype, name), array.ndim, is_scalar(leaf))
        for leaf, array in zip(given, arrays, strict=True)
    )
    key = (body, tree, leaves)
    kept = _kept.get(key)
    if kept is None:
        kept = _kept[key] = _specialiser(body, tree, leaves)
    with scope.outside():
        return kept.variant(arrays).run([np.require(a, None, ["C", "A"]).reshape(a.shape) for a in arrays])


@lru_cache(maxsize=None)
def _operand_count(body: Callable[..., Any]) -> int:
    """How many leading arguments are operands: the positional-only ones, or all."""
    kinds = [parameter.kind for parameter in inspect.signature(body).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return sys.maxsize
    return kinds.count(inspect.Parameter.POSITIONAL_ONLY)


def _spelled(argument: Any) -> Any:
    """An operand, or text such as the subscripts of einsum."""
    return Static(argument) if isinstance(argument, str) else argument


def _marked(argument: Any) -> Any:
    """An attribute as part of the program; an array is an input wherever it stands."""
    if isinstance(argument, np.ndarray | np.generic):
        return argument
    return Static(tuple(argument) if isinstance(argument, list) else argument)


def _specialiser(
    body: Callable[..., Any], tree: optree.PyTreeSpec, leaves: tuple[Leaf, ...]
) -> Specialiser[Variant]:
    places = [LeafPlace(f"{body.__name__} {i}", None, False) for i in range(len(leaves))]

    def trace(types: tuple[TensorType, ...]) -> Variant:
        made = tracing.trace(body, tree, leaves, places, types)
        return Variant(made, _OPTIONS, lambda variant: None)

    return Specialiser(leaves, trace, symbolic_first=True)
