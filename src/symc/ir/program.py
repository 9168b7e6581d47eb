"""The program: what the C++ VM runs, as plain data.

A program is a table of size expressions, a table of buffers, and a flat list of instructions.  It
is made by `passes/buffers.py`, encoded by `runtime/encode.py`, printed, cached, or emitted ahead of
time; nothing in it refers to Python objects.

Invariants (checked by `cpp/runtime/program.cpp` at load):
- a size expression refers only to entries before it; sizes are computed once at the start of a call
  from the dims, with overflow checked; those that need a computed dim when `Bind` gives it;
- an arena buffer's [offset, offset + bytes) lies inside the arena and is 64-byte aligned;
- two arena buffers whose lifetimes meet do not overlap;
- instructions that can raise come before `Commit`; instructions that write a state buffer in place
  come after it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, overload

import numpy as np

from symc.ir.dims import Size, floordiv, maximum, minimum, mod
from symc.records import dataclass


class SizeOp(IntEnum):
    """Operations of the size table; `CONST` and `DIM` read `a`, the others entries `a` and `b`."""

    CONST = 0
    DIM = 1
    ADD = 2
    SUB = 3
    MUL = 4
    FLOORDIV = 5
    MOD = 6
    MIN = 7
    MAX = 8


@dataclass(frozen=True, slots=True)
class SizeExpr:
    """One entry of the size table."""

    op: SizeOp
    a: int
    b: int = 0


class Accept(IntEnum):
    """What a positional input takes without conversion, as bits."""

    ARRAY = 1
    FLOAT = 2
    INT = 4
    BOOL = 8


@dataclass(frozen=True, slots=True)
class Input:
    """A positional input: an array of `dtype` whose axes have the sizes `shape` (size entries).

    An axis whose entry is `SizeOp.DIM` for the first time in input order *binds* that dim; every
    other axis is compared with its entry.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    accept: int = Accept.ARRAY
    donated: bool = False


@dataclass(frozen=True, slots=True)
class StateSlot:
    """A shared variable read or updated by the program; `shape` as for inputs."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


class Trap(IntEnum):
    """What a kernel's status record says happened (`symc_status.code`)."""

    INDEX = 1  # value: the index that was out of range
    ZERO_DIVISION = 2  # value: the dividend
    NON_FINITE = 3  # value: 0 for NaN, else the sign of the infinity
    OVERFLOW = 4  # value: the number or size that does not fit
    DOMAIN = 5  # value: the argument outside the domain


class BufferKind(IntEnum):
    """Where a buffer lives."""

    INPUT = 0  # index: positional input; written only when that input is donated
    STATE = 1  # index: state slot, the current contents
    STAGED = 2  # index: state slot, its new contents; becomes current at the end of the call
    CONST = 3  # index: constant
    OUTPUT = 4  # index: position in `Program.outputs`; fresh memory at every call
    ARENA = 5  # index: unused; at `offset` in this call's arena
    SLOT = 6  # index: slot; memory of its own, allocated when the computed dims are known
    TAPE = 7  # index: slot; the same memory while it grows: what a kernel gets is a `symc_tape`


@dataclass(frozen=True, slots=True)
class Buffer:
    """A row-major contiguous buffer; `shape`, `bytes` and `offset` are size entries."""

    kind: BufferKind
    index: int
    dtype: np.dtype
    shape: tuple[int, ...]
    bytes: int
    offset: int = -1
    space: str = "host"


@dataclass(frozen=True, slots=True)
class Kernel:
    """Run a kernel of the object code over `blocks` parallel blocks.

    `symbol`: name in the object.  `buffers`: buffer numbers, the kernel's `buf`.  `dims`: size
    entries, the kernel's `dim`.  `cost`: size entry, estimated nanoseconds of one block times 16,
    from which the VM takes the chunk size (never from the number of threads).  `scratch`: size
    entry, bytes of per-thread scratch.  `node`: entry of `Program.locations`.  `pauses`: it asks
    by itself, often, whether to go on.  `endless`: nobody knows how long it runs.
    """

    symbol: str
    buffers: tuple[int, ...]
    dims: tuple[int, ...]
    blocks: int
    cost: int
    scratch: int
    node: int
    traps: bool = False
    pauses: bool = False
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy all bytes of buffer `source` to buffer `target` (same size)."""

    target: int
    source: int
    node: int = 0


@dataclass(frozen=True, slots=True)
class Jump:
    """Go to instruction `to`; with `unless`, only when that bool buffer's first byte is 0."""

    to: int
    unless: int = -1


@dataclass(frozen=True, slots=True)
class Commit:
    """Raise what has trapped so far.  From here to the end nothing raises; Ctrl-C is deferred."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Dim number `dim`, one of the computed ones, is what the i64 scalar in `buffer` says.

    Sizes, constraints and slots that need it, and no later dim, follow.  Dims are bound in order.
    """

    dim: int
    buffer: int
    node: int = 0


Instruction = Kernel | Copy | Jump | Commit | Bind


@dataclass(frozen=True, slots=True)
class Constraint:
    """Sizes `left` and `right` must be equal at each call; `node` names the operation, `kind` (as
    in `core.Constraint`) the error."""

    left: int
    right: int
    node: int
    message: str
    kind: str = "equal"


CONSTRAINT_KINDS: Final = ("equal", "index", "empty")


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program.  `outputs[i]` and `updates` name buffers.

    `outputs`: buffer numbers; an output that names a donated input's buffer returns that ndarray.
    `updates`: (state slot, buffer number): the buffer is STAGED, or the slot's own STATE buffer
    when the update is done in place.  `arena`: size entry, bytes.  `constants`: payloads, C order.
    `locations`: text of the user's `file:line` per node number.
    """

    name: str
    dims: tuple[str, ...]
    sizes: tuple[SizeExpr, ...]
    constraints: tuple[Constraint, ...]
    inputs: tuple[Input, ...]
    states: tuple[StateSlot, ...]
    constants: tuple[np.ndarray, ...]
    buffers: tuple[Buffer, ...]
    outputs: tuple[int, ...]
    updates: tuple[tuple[int, int], ...]
    arena: int
    code: tuple[Instruction, ...]
    locations: tuple[str, ...]
    computed: int = 0  # how many of `dims`, the last ones, `Bind` sets


_COMPUTED: Final[dict[SizeOp, Callable[[Size, Size], Size]]] = {
    SizeOp.ADD: operator.add,
    SizeOp.SUB: operator.sub,
    SizeOp.MUL: operator.mul,
    SizeOp.FLOORDIV: floordiv,
    SizeOp.MOD: mod,
    SizeOp.MIN: minimum,
    SizeOp.MAX: maximum,
}


@overload
def size_table(program: Program, dims: Mapping[str, int]) -> tuple[int, ...]: ...
@overload
def size_table(program: Program, dims: Mapping[str, Size]) -> tuple[Size, ...]: ...
def size_table(program: Program, dims: Mapping[str, Size]) -> tuple[Size, ...]:
    """The values of the size table: numbers, or expressions where `dims` has expressions.

    KeyError for a dim that is not given, ZeroDivisionError as in Python.
    """
    found: list[Size] = []
    for entry in program.sizes:
        match entry.op:
            case SizeOp.CONST:
                found.append(entry.a)
            case SizeOp.DIM:
                found.append(dims[program.dims[entry.a]])
            case _:
                found.append(_COMPUTED[entry.op](found[entry.a], found[entry.b]))
    return tuple(found)
