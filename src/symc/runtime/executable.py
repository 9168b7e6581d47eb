"""Loading programs, and saying why arguments do not fit one.

Before: a Program and the object bytes of its kernels, fresh or from the cache.
After: a native `Executable`; a `Callable` (from `symc._runtime`) with it as an entry runs it.

`check` repeats in Python what the native call path decides, and says in words what does not fit: it
is called after a miss only.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from symc._runtime import Callable, Executable, Prepared, State, Tree
from symc.ir.dims import Size, symbol
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.program import Accept, Input, Program, SizeOp, size_table
from symc.runtime.encode import encode

__all__ = [
    "Callable",
    "Executable",
    "Node",
    "Prepared",
    "State",
    "Structure",
    "Tree",
    "check",
    "load",
]


class Structure(IntEnum):
    """How a Callable's entry hands out its results."""

    SINGLE = 0
    TUPLE = 1
    NONE = 2


class Node(IntEnum):
    """The kinds of nodes of a `Tree`, as cpp/python/tree.h numbers them."""

    LEAF = 0
    NONE = 1
    TUPLE = 2
    LIST = 3
    DICT = 4
    RECORD = 5
    CUSTOM = 6
    STATIC = 7


def load(
    program: Program,
    object_code: bytes,
    states: Sequence[State] = (),
    *,
    threads: int | None = None,
) -> Executable:
    """Verify and map `program`; `states` in slot order; `threads=None`: all usable CPUs.

    ParseError for a malformed program, CompileError for object code that cannot be mapped or lacks
    a kernel, ValueError when the states do not fit the slots or `threads` is not positive.
    """
    if threads is not None and threads < 1:
        raise ValueError(message("threads", got=threads, expected="a positive int or None"))
    executable = Executable(encode(program), object_code, list(states), program.locations)
    executable.threads = 0 if threads is None else threads
    return executable


def check(program: Program, args: Sequence[object], states: Sequence[State] = ()) -> None:
    """Raise the typed error for the first argument that `program` does not take; else return.

    TypeError for a wrong number, DTypeError for a wrong type, ShapeError for a rank, a size or a
    constraint.  Layout (order, alignment, byte order) is not an error: the caller packs.
    """
    if len(args) != len(program.inputs):
        subject = f"{program.name}: number of arguments"
        raise TypeError(message(subject, got=len(args), expected=len(program.inputs)))
    dims: dict[int, tuple[int, str]] = {}
    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for item, arg in zip(program.inputs, args, strict=True):
        if isinstance(arg, np.ndarray):
            _check_type(program, item, arg)
            shapes.append((item.name, item.shape, arg.shape))
        elif not _takes_scalar(item, arg):
            _refuse_scalar(program, item, arg)
    for slot, state in zip(program.states, states, strict=False):
        shapes.append((slot.name, slot.shape, state.shape))
    for name, entries, shape in shapes:
        _bind(program, (name, entries, shape), dims)
    _check_sizes(program, shapes, dims)


def _check_type(program: Program, item: Input, array: np.ndarray) -> None:
    if array.dtype.newbyteorder("=") != item.dtype or not item.accept & Accept.ARRAY:
        subject = f"{program.name}: dtype of input {item.name}"
        raise DTypeError(
            message(subject, got=array.dtype, expected=item.dtype, advice=f"astype({item.dtype})")
        )
    if array.ndim != len(item.shape):
        subject = f"{program.name}: rank of input {item.name}"
        raise ShapeError(message(subject, got=array.ndim, expected=len(item.shape)))


def _takes_scalar(item: Input, arg: object) -> bool:
    match arg:
        case bool():
            return bool(item.accept & Accept.BOOL)
        case int():
            return bool(item.accept & Accept.INT)
        case float():
            return bool(item.accept & Accept.FLOAT)
        case _:
            return False


def _refuse_scalar(program: Program, item: Input, arg: object) -> None:
    if not item.accept & Accept.ARRAY or isinstance(arg, (bool, int, float)):
        expected = f"{item.dtype} of rank {len(item.shape)}"
    else:
        expected = f"an array of {item.dtype} with rank {len(item.shape)}"
    subject = f"{program.name}: type of input {item.name}"
    raise DTypeError(message(subject, got=type(arg).__name__, expected=expected))


_Shaped = tuple[str, tuple[int, ...], tuple[int, ...]]


def _bind(program: Program, shaped: _Shaped, dims: dict[int, tuple[int, str]]) -> None:
    """Bind the dims that this shape shows first; ShapeError for a fixed or repeated size."""
    name, entries, shape = shaped
    for axis, (entry, size) in enumerate(zip(entries, shape, strict=True)):
        expr = program.sizes[entry]
        where = f"{name} axis {axis}"
        if expr.op is SizeOp.CONST and expr.a != size:
            subject = f"{program.name}: size of {where}"
            raise ShapeError(message(subject, got=size, expected=expr.a))
        if expr.op is not SizeOp.DIM:
            continue
        known, first = dims.setdefault(expr.a, (size, where))
        if known != size:
            subject = f"{program.name}: size {program.dims[expr.a]} of {where}"
            raise ShapeError(message(subject, got=size, expected=f"{known}, as {first}"))


def _check_sizes(
    program: Program, shapes: Sequence[_Shaped], dims: dict[int, tuple[int, str]]
) -> None:
    """ShapeError for computed axes and constraints."""
    known: dict[str, Size] = {name: symbol(name) for name in program.dims}
    values = size_table(program, known | {program.dims[d]: n for d, (n, _) in dims.items()})
    named = ", ".join(f"{program.dims[d]} = {size}" for d, (size, _) in sorted(dims.items()))
    for name, entries, shape in shapes:
        for axis, (entry, size) in enumerate(zip(entries, shape, strict=True)):
            if values[entry] != size:
                subject = f"{program.name}: size of {name} axis {axis}"
                raise ShapeError(message(subject, got=size, expected=f"{values[entry]} ({named})"))
    for constraint in program.constraints:
        left, right = values[constraint.left], values[constraint.right]
        if left != right and isinstance(left, int) and isinstance(right, int):
            where = program.locations[constraint.node] if program.locations else None
            raise ShapeError(
                message(
                    f"{program.name}: {constraint.message}",
                    got=f"{left} and {right} ({named})",
                    expected="equal sizes",
                    where=where,
                )
            )
