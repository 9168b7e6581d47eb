"""Kernels: nests of shared outer parallel axes with an ordered list of stages.

Before: tensor-level nodes grouped by `passes/fuse.py`.  After: what `codegen_llvm` (and later PTX)
turns into one function of the kernel ABI each.  A nest says *what* is computed over which index
space; vector width, tiles and loop order are the code generator's.

A point of a stage's iteration space has the nest's outer indices followed by the stage's own inner
indices; every IndexMap of the stage has that rank.  Bodies are Functions over 0-d values: their
params are the loads in order, then one i64 per entry of `Stage.indices`; their nodes are
ELEMENTWISE and SOURCE ops only; their results feed the stores in order.

Invariants: buffers are row-major contiguous; a buffer is written by one store, or by several whose
index sets are disjoint; a stage reads what an earlier stage of the same nest wrote only at the same
outer indices (row-local); reads never leave a buffer unless the access is guarded or clamped.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np

from symc.ir.affine import IndexMap
from symc.ir.core import Function, Locations
from symc.ir.dims import Size
from symc.ir.ops.record import Reducer
from symc.ir.types import TensorType
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Operand:
    """A buffer parameter of a nest, or row-local scratch.

    `role`: "in", "out", "inout" (one buffer read and written: an in-place update), or "scratch"
    (allocated per outer point in the thread's scratch; `type.shape` spans inner axes only).
    """

    name: str
    type: TensorType
    role: str


@dataclass(frozen=True, slots=True)
class Gather:
    """An index read from an integer operand: `indices[map(point)]`, applied to one operand axis.

    `mode`: "clip", "wrap", "fill" (out of range reads give the fill; writes are dropped) or
    "raise" (clamped, and the first offender is written to the status record).
    Negative indices count from the end in "raise" and "wrap" modes.
    """

    operand: int
    map: IndexMap
    axis: int
    mode: str


@dataclass(frozen=True, slots=True)
class Load:
    """Read operand `operand` at `map(point)`; gathered axes replace that axis's index."""

    operand: int
    map: IndexMap
    gathers: tuple[Gather, ...] = ()
    fill: float | int | bool = 0


@dataclass(frozen=True, slots=True)
class Store:
    """Write one body result to operand `operand` at `map(point)`.

    `reducer` with `reduced` (numbers of *inner* axes of the stage): the result is combined over
    those axes first, by the fixed tree, over their row-major index; `map` does not depend on them.
    `combine`: None, or "add" | "mul" | "min" | "max" for scatters that accumulate, in row-major
    order of the iteration space (such stages run serially over the axes that may collide).
    """

    operand: int
    map: IndexMap
    reducer: Reducer | None = None
    reduced: tuple[int, ...] = ()
    gathers: tuple[Gather, ...] = ()
    combine: str | None = None


@dataclass(frozen=True, slots=True)
class MapStage:
    """Elementwise work and reductions over `outer x inner` axes."""

    inner: tuple[Size, ...]
    loads: tuple[Load, ...]
    indices: tuple[int, ...]  # iteration axes whose i64 index the body takes after the loads
    body: Function
    stores: tuple[Store, ...]


@dataclass(frozen=True, slots=True)
class ContractStage:
    """`acc[b.., m.., n..] = sum over k of lhs * rhs`, then a body per element.

    The iteration space of `body`, `loads` and `stores` is outer + batch + m + n; the nest's `outer`
    is empty for a stage of this kind (the code generator chooses the parallel blocks).  `lhs` maps
    (batch, m, k) points and `rhs` maps (batch, k, n) points, each with rank
    len(batch)+len(m or n)+len(k) in that order.  The body's first param is the accumulator.
    `order`: "any" or "chain".
    """

    batch: tuple[Size, ...]
    m: tuple[Size, ...]
    n: tuple[Size, ...]
    k: tuple[Size, ...]
    lhs: Load
    rhs: Load
    dtype: np.dtype
    order: str
    loads: tuple[Load, ...]
    body: Function
    stores: tuple[Store, ...]


Stage = MapStage | ContractStage


@dataclass(frozen=True, slots=True)
class Nest:
    """One kernel.  `dims`: the sizes it takes at run time (`dim[i]`), for symbolic shapes.

    `symbols` names of dims in the order of the `dim` argument; every Dim in the nest is an
    expression over these.
    """

    name: str
    operands: tuple[Operand, ...]
    outer: tuple[Size, ...]
    stages: tuple[Stage, ...]
    symbols: tuple[str, ...] = ()
    locations: Locations = field(default=())
