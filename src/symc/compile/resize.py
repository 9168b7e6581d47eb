"""Smaller copies of a function: every large static size replaced by a small one.

before: a function with static sizes.  after: the same operations over other sizes, with types
inferred anew; None where no such copy could be formed.

Equal sizes stay equal and different ones different, in the same order; a size that is a product or
a sum of sizes of params becomes the product or sum of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement, product
from typing import Final

import numpy as np

from symc.ir.build import apply
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.dims import Dim
from symc.ir.errors import SymcError
from symc.ir.types import Literal, TensorType

KEPT: Final = 4  # sizes up to this stay
_Made = tuple[str, int, int]  # "+" or "*", and what stands on its sides
# Attributes that hold sizes of results; others hold axes, starts, numbers.
_SIZES: Final = frozenset({"shape", "sizes"})


def smaller(function: Function) -> Function | None:
    """The function with each static size above `KEPT` replaced by a small one of its own."""
    given = {s for p in function.params for s in _static([p.type])}
    every = given.union(*(_static([r.type for r in node.results]) for node in function.nodes))
    bases: list[int] = []
    made: dict[int, _Made] = {}
    for size in sorted(size for size in every if size > KEPT):
        how = None if size in given else _made_of(size, bases, given)
        if how is None:
            bases.append(size)
        else:
            made[size] = how
    small = {size: KEPT + 1 + place for place, size in enumerate(bases)}
    for size, (sign, a, b) in made.items():
        left, right = small.get(a, a), small.get(b, b)
        small[size] = left * right if sign == "*" else left + right
    return resized(function, small)


def _static(types: Sequence[TensorType]) -> set[int]:
    return {size for type in types for size in type.shape if isinstance(size, int)}


def _made_of(size: int, bases: Sequence[int], given: set[int]) -> _Made | None:
    """Two sizes whose product or sum a size is; a little less than a size of a param is a sum."""
    for k in range(1, KEPT + 1):
        if size + k in given:
            return ("+", size + k, -k)
    near = bases[:64]
    for a, b in [*combinations_with_replacement(near, 2), *product(near, range(1, KEPT + 1))]:
        if a * b == size:
            return ("*", a, b)
        if a + b == size:
            return ("+", a, b)
    return None


def resized(function: Function, sizes: Mapping[int, int]) -> Function | None:
    """The function with static sizes replaced; None when the operations do not accept that."""
    if not any(sizes.get(s) not in (None, s) for s in sizes):
        return function
    try:
        return _rebuilt(function, lambda size: sizes.get(size, size))
    except SymcError:
        return None


def _rebuilt(function: Function, change: Callable[[int], int]) -> Function:
    values: dict[Value, Value] = {}
    for param in function.params:
        values[param] = Value(_type(param.type, change), name=param.name)
    nodes: list[Node] = []
    for node in function.nodes:
        made = apply(
            node.op,
            [values[operand] for operand in node.operands],
            {name: _attr(name, value, change) for name, value in node.attrs.items()},
            regions=tuple(_rebuilt(region, change) for region in node.regions),
            locations=node.locations,
        )
        nodes.append(made)
        values.update(zip(node.results, made.results, strict=True))
    params = tuple(values[param] for param in function.params)
    results = tuple(values[result] for result in function.results)
    return Function(function.name, params, tuple(nodes), results, function.constraints)


def _type(type: TensorType, change: Callable[[int], int]) -> TensorType:
    return type.with_shape(tuple(s if isinstance(s, Dim) else change(s) for s in type.shape))


def _attr(name: str, value: Attr, change: Callable[[int], int]) -> Attr:
    if isinstance(value, Literal):
        shape = tuple(change(size) for size in value.array.shape)
        return value if shape == value.array.shape else Literal(np.resize(value.array, shape))
    if name in _SIZES and isinstance(value, tuple):
        return tuple(change(s) if isinstance(s, int) else s for s in value)
    return value
