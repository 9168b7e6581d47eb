"""Functions one change away from a given one: what a guard is there to tell apart.

before: a straight function of tensor ops.  after: functions that infer, each with one attribute,
element of a constant, operand, size or dtype changed.  Nothing here knows any op or rule: what
does not fit together is left out by inference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from symc.ir.build import apply
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.errors import SymcError
from symc.ir.types import BOOL, DTYPE_NAMES, Literal, TensorType

_WORDS = ("raise", "wrap", "clip", "fill", "any", "chain", "set", "add", "mul", "min", "max")
_DTYPES = tuple(DTYPE_NAMES.values())
_TAME = (0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 0.5, -2.5)
_FLOATS = (*_TAME, 65.0, 1e-310, 2.0**-1074, 2.0**1023, np.inf, -np.inf, np.nan)
_INTEGERS = (0, 1, -1, 2, 5, 64, 65, -7)


@dataclass(frozen=True, slots=True)
class Edit:
    """How a copy differs: other attributes of nodes, other operands, other types of params."""

    what: str
    attrs: dict[Node, dict[str, Attr]]
    operands: dict[tuple[Node, int], Value | TensorType]
    types: dict[Value, TensorType]


def neighbours(
    function: Function, seed: int, count: int, *, tame: bool
) -> Iterator[tuple[Function, str]]:
    """The function in other dtypes, and `count` more drawn from all that are one change away.

    With each, what was changed.  `tame`: no constant is so large or small that a product of two is
    out of range.
    """
    for edit in _whole_dtypes(function):
        made = _copied(function, edit)
        if made is not None:
            yield made, edit.what
    edits = list(_edits(function, _TAME if tame else _FLOATS))
    for number in np.random.default_rng(seed).permutation(len(edits)):
        made = _copied(function, edits[number])
        if made is not None:
            count -= 1
            yield made, edits[number].what
        if count == 0:
            return


def _edits(function: Function, floats: Sequence[float]) -> Iterator[Edit]:
    for node in function.nodes:
        for name, attr in node.attrs.items():
            for other in _other_attrs(attr, floats):
                yield Edit(f"{name}={other} for {attr}", {node: {name: other}}, {}, {})
        for number, operand in enumerate(node.operands):
            for other in (operand.type, *_alike(function, operand)):
                yield Edit(f"operand {number} of {node.op.name}", {}, {(node, number): other}, {})
    yield from _other_sizes(function)
    yield from _other_dtypes(function)


def _read(function: Function) -> list[Value]:
    """The params that some node reads: others only name dims."""
    read = {operand for node in function.nodes for operand in node.operands}
    return [param for param in function.params if param in read]


def _alike(function: Function, value: Value) -> Iterator[Value]:
    """Other params of the same type."""
    for param in function.params:
        if param is not value and param.type == value.type:
            yield param


def _other_attrs(attr: Attr, floats: Sequence[float]) -> Iterator[Attr]:
    match attr:
        case Literal(array=array):
            yield from map(Literal, _other_arrays(array, floats))
        case bool():
            yield not attr
        case int():
            yield from (attr + 1, attr - 1)
        case str():
            yield from (word for word in _WORDS if word != attr)
        case np.dtype():
            yield from (dtype for dtype in _DTYPES if dtype != attr)
        case tuple():
            yield from _other_tuples(attr)
        case _:
            pass


def _other_tuples(attr: tuple[Attr, ...]) -> Iterator[tuple[Attr, ...]]:
    for place, part in enumerate(attr):
        if isinstance(part, int):
            for other in {part + 1, part - 1, -part, 0, 1} - {part}:
                yield (*attr[:place], other, *attr[place + 1 :])
        for later in range(place + 1, len(attr)):
            if attr[later] != part:
                swapped = list(attr)
                swapped[place], swapped[later] = swapped[later], swapped[place]
                yield tuple(swapped)


def _other_arrays(array: np.ndarray, floats: Sequence[float]) -> Iterator[np.ndarray]:
    """Every element another number, or one element."""
    if array.dtype == BOOL:
        yield ~array
        return
    with np.errstate(over="ignore"):
        for number in floats if array.dtype.kind == "f" else _INTEGERS:
            yield np.full_like(array, number)
    for place in range(min(array.size, 4)) if array.ndim else ():
        for step in (1, -1, 2):
            other = array.copy()
            other.flat[place] += step
            yield other


def _other_sizes(function: Function) -> Iterator[Edit]:
    """A size changed wherever it stands, or along one axis of one param."""
    found = {s for param in function.params for s in param.type.shape if isinstance(s, int)}
    for old in sorted(found):
        for new in sorted({0, 1, 2, old + 1} - {old}):
            types = {p: _resized(p.type, old, new) for p in function.params}
            attrs = {
                node: {name: _shape(node.attrs[name], old, new)
                       for name in ("shape", "sizes") if name in node.attrs}
                for node in function.nodes
            }  # fmt: skip
            yield Edit(f"size {new} for {old}", attrs, {}, types)
    for param in _read(function):
        for axis, size in enumerate(param.type.shape):
            for new in (1, 2) if isinstance(size, int) else ():
                shape = (*param.type.shape[:axis], new, *param.type.shape[axis + 1 :])
                types = {param: param.type.with_shape(shape)}
                yield Edit(f"size {new} of axis {axis} of {param.name}", {}, {}, types)


def _resized(type: TensorType, old: int, new: int) -> TensorType:
    return type.with_shape(tuple(new if size == old else size for size in type.shape))


def _shape(attr: Attr, old: int, new: int) -> Attr:
    assert isinstance(attr, tuple)
    return tuple(new if size == old else size for size in attr)


def _whole_dtypes(function: Function) -> Iterator[Edit]:
    """All params and constants of one dtype of another."""
    for old in {param.type.dtype: 0 for param in _read(function)}:
        for new in _DTYPES:
            types = {p: p.type.with_dtype(new) for p in function.params if p.type.dtype == old}
            attrs = {node: _cast_attrs(node, old, new) for node in function.nodes}
            if new != old:
                yield Edit(f"{new} for {old}", attrs, {}, types)


def _other_dtypes(function: Function) -> Iterator[Edit]:
    """Another dtype of one param."""
    for param in _read(function):
        for new in _DTYPES:
            if new != param.type.dtype:
                yield Edit(f"{new} for {param.name}", {}, {}, {param: param.type.with_dtype(new)})


def _cast_attrs(node: Node, old: np.dtype, new: np.dtype) -> dict[str, Attr]:
    value = node.attrs.get("value")
    if isinstance(value, Literal) and value.array.dtype == old:
        with np.errstate(all="ignore"):
            return {"value": Literal(value.array.astype(new))}
    return {}


def _copied(function: Function, edit: Edit) -> Function | None:
    """The function with one change; None where it does not infer."""
    values = {p: Value(edit.types.get(p, p.type), name=p.name) for p in function.params}
    fresh: list[Value] = []

    def operand(node: Node, number: int) -> Value:
        wanted = edit.operands.get((node, number), node.operands[number])
        if isinstance(wanted, TensorType):
            fresh.append(Value(wanted, name="fresh"))
            return fresh[-1]
        return values[wanted]

    nodes = []
    for node in function.nodes:
        operands = [operand(node, number) for number in range(len(node.operands))]
        try:
            made = apply(node.op, operands, {**node.attrs, **edit.attrs.get(node, {})})
        except SymcError:
            return None
        nodes.append(made)
        values.update(zip(node.results, made.results, strict=True))
    params = (*(values[p] for p in function.params), *fresh)
    results = tuple(values[result] for result in function.results)
    return replace(function, params=params, nodes=tuple(nodes), results=results)
