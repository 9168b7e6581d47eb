"""The oracle of the kernel level: a nest evaluated on NumPy arrays, slowly and plainly.

before: a nest, arrays for its operands, values of its symbols.
after: the arrays as the nest leaves them, bit for bit what generated code gives.

Invariants: stages run in order over the whole iteration space at once; scratch is one array per
outer point; scatters go one point after the other; contractions are summed in ascending order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Function, Value
from symc.ir.dims import Size, substitute
from symc.ir.nest import ContractStage, Gather, Load, Nest, Operand, Stage, Store
from symc.ir.ops.reduce import combine_tree
from symc.ir.types import Literal
from symc.records import dataclass
from symc.scalar.numpy_builder import NumpyBuilder

Array = np.ndarray[Any, Any]
_BUILDER = NumpyBuilder()
_I64 = np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Trap:
    """An index out of range in raise mode: which indirection, where, and the value."""

    number: int
    index: int
    value: int


@dataclass(frozen=True, slots=True)
class NestResult:
    """Arrays per operand after the nest (scratch: None), and the first trap."""

    arrays: tuple[Array | None, ...]
    trap: Trap | None


def evaluate_nest(
    nest: Nest, arrays: Sequence[Array | None], dims: Mapping[str, int] | None = None
) -> NestResult:
    """Run `nest` on copies of `arrays` (one per operand; None for scratch)."""
    return _Run(nest, arrays, dims or {}).result()


class _Run:
    def __init__(self, nest: Nest, arrays: Sequence[Array | None], dims: Mapping[str, int]) -> None:
        self.nest = nest
        self.dims = dims
        self.outer = self.sizes(nest.outer)
        pairs = zip(nest.operands, arrays, strict=True)
        self.arrays = [self._storage(operand, array) for operand, array in pairs]
        self.traps: list[Trap] = []
        self.numbers: dict[tuple[int, int, int], int] = {}

    def result(self) -> NestResult:
        for number, stage in enumerate(self.nest.stages):
            self.stage(number, stage)
        first = min(self.traps, key=lambda t: (t.number, t.index), default=None)
        pairs = zip(self.nest.operands, self.arrays, strict=True)
        return NestResult(tuple(None if o.role == "scratch" else a for o, a in pairs), first)

    def size(self, size: Size) -> int:
        value = substitute(size, dict(self.dims))
        assert isinstance(value, int)
        return value

    def sizes(self, sizes: Sequence[Size]) -> tuple[int, ...]:
        return tuple(self.size(size) for size in sizes)

    def _storage(self, operand: Operand, array: Array | None) -> Array:
        shape = self.sizes(operand.type.shape)
        if operand.role == "scratch":
            return np.zeros((*self.outer, *shape), operand.type.dtype)
        assert array is not None
        assert array.shape == shape, (array.shape, shape)
        assert array.dtype == operand.type.dtype
        return np.array(array, order="C")

    # Stages.

    def stage(self, number: int, stage: Stage) -> None:
        if isinstance(stage, ContractStage):
            space = self.sizes((*self.nest.outer, *stage.batch, *stage.m, *stage.n))
            first: list[Array] = [self.contraction(stage)]
            indices: tuple[int, ...] = ()
        else:
            space = self.sizes((*self.nest.outer, *stage.inner))
            first, indices = [], stage.indices
        grid = [np.asarray(g) for g in np.indices(space, sparse=True)]
        loads = [self.load(number, i, load, grid, space) for i, load in enumerate(stage.loads)]
        ramps = [np.broadcast_to(grid[axis], space).astype(np.int64) for axis in indices]
        results = self.body(stage.body, [*first, *loads, *ramps])
        for i, (store, value) in enumerate(zip(stage.stores, results, strict=True)):
            self.store((number, len(stage.loads) + i), store, np.broadcast_to(value, space), grid)

    def contraction(self, stage: ContractStage) -> Array:
        batch, m, n, k = (self.sizes(s) for s in (stage.batch, stage.m, stage.n, stage.k))
        left = np.asarray(self._whole(stage.lhs, (*batch, *m, *k)), stage.dtype)
        right = np.asarray(self._whole(stage.rhs, (*batch, *k, *n)), stage.dtype)
        b, rows, columns, depth = (int(np.prod(s, dtype=np.int64)) for s in (batch, m, n, k))
        left, right = left.reshape(b, rows, depth), right.reshape(b, depth, columns)
        total = np.zeros((b, rows, columns), stage.dtype)
        for i in range(depth):
            x, y = left[:, :, i, None], right[:, None, i, :]
            if stage.dtype.kind == "f":
                total = _BUILDER.fma(*np.broadcast_arrays(x, y, total))
            else:
                total = total + x * y
        return np.asarray(total).reshape((*batch, *m, *n))

    def _whole(self, load: Load, space: tuple[int, ...]) -> Array:
        grid = [np.asarray(g) for g in np.indices(space, sparse=True)]
        return self.load(-1, 0, load, grid, space)

    def body(self, body: Function, params: Sequence[Array]) -> list[Array]:
        values: dict[Value, Array] = dict(zip(body.params, params, strict=True))
        for node in body.nodes:
            (result,) = node.results
            literal = node.attrs.get("value")
            if node.op.scalar is not None:
                operands = [values[operand] for operand in node.operands]
                value = node.op.scalar(_BUILDER, *operands, node.attrs)
            elif isinstance(literal, Literal):
                value = literal.array
            else:
                value = np.int64(self.size(node.attrs["size"]))  # type: ignore[arg-type]
            values[result] = np.asarray(value, result.type.dtype)
        return [values[result] for result in body.results]

    # Accesses.

    def affine(self, form: Affine, grid: Sequence[Array]) -> Array:
        total: Array = np.asarray(self.size(form.offset), np.int64)
        for factor, index in zip(form.factors, grid, strict=True):
            if factor != 0:
                total = total + self.size(factor) * index
        return total

    def place(
        self, operand: int, map: IndexMap, grid: Sequence[Array]
    ) -> tuple[list[Array], Array, tuple[int, ...]]:
        """Index per axis (scratch: outer indices first), where guarded axes are inside, shape."""
        shape = self.arrays[operand].shape
        indices = [self.affine(form, grid) for form in map.indices]
        valid = np.asarray(True)
        skipped = 0
        if self.nest.operands[operand].role == "scratch":
            skipped = len(self.outer)
            indices = [*grid[:skipped], *indices]
        for axis in map.valid:
            index, size = indices[axis + skipped], shape[axis + skipped]
            valid = valid & (index >= 0) & (index < size)
            indices[axis + skipped] = np.clip(index, 0, max(size - 1, 0))
        return indices, valid, shape

    def gathered(
        self, key: tuple[int, int], gathers: tuple[Gather, ...], grid: Sequence[Array], at: _At
    ) -> None:
        """Replace the gathered axes of `at` by indices in range."""
        for position, gather in enumerate(gathers):
            number = self.numbers.setdefault((*key, position), len(self.numbers))
            indices, _, _ = self.place(gather.operand, gather.map, grid)
            raw = self.arrays[gather.operand][tuple(indices)].astype(np.int64)
            size = at.shape[gather.axis]
            match gather.mode:
                case "wrap":
                    index = _BUILDER.mod(raw, np.asarray(size, np.int64))
                case "fill":
                    at.valid = at.valid & (raw >= 0) & (raw < size)
                    index = raw
                case "raise":
                    index = np.where(raw < 0, raw + size, raw)
                    self.trap(number, raw, (index < 0) | (index >= size), at.space)
                case _:
                    index = raw
            at.valid = at.valid & (size > 0)
            at.indices[gather.axis] = np.clip(index, 0, max(size - 1, 0))

    def trap(self, number: int, raw: Array, bad: Array, space: tuple[int, ...]) -> None:
        where = np.flatnonzero(np.broadcast_to(bad, space))
        if where.size:
            value = np.broadcast_to(raw, space).reshape(-1)[where[0]]
            self.traps.append(Trap(number, int(where[0]), int(value)))

    def load(
        self, number: int, i: int, load: Load, grid: Sequence[Array], space: tuple[int, ...]
    ) -> Array:
        array = self.arrays[load.operand]
        at = _At(*self.place(load.operand, load.map, grid), space)
        self.gathered((number, i), load.gathers, grid, at)
        fill = np.asarray(load.fill, array.dtype)
        if array.size == 0:
            return np.full(space, fill)
        value = array[tuple(np.asarray(index) for index in at.indices)]
        return np.array(np.broadcast_to(np.where(at.valid, value, fill), space))

    def store(
        self, key: tuple[int, int], store: Store, value: Array, grid: Sequence[Array]
    ) -> None:
        if store.reducer is not None:
            value, grid = self.reduced(store, value, grid)
        at = _At(*self.place(store.operand, store.map, grid), value.shape)
        self.gathered(key, store.gathers, grid, at)
        array = self.arrays[store.operand]
        indices = [np.broadcast_to(index, value.shape) for index in at.indices]
        valid = np.broadcast_to(at.valid, value.shape)
        if store.combine is None and not store.gathers:
            picked = np.flatnonzero(valid)
            places = tuple(index.reshape(-1)[picked] for index in indices)
            array[places if places else ...] = value.reshape(-1)[picked if places else 0]
            return
        for point in np.ndindex(*value.shape):
            if valid[point]:
                place = tuple(index[point] for index in indices)
                array[place] = _combined(store.combine, array[place], value[point])

    def reduced(
        self, store: Store, value: Array, grid: Sequence[Array]
    ) -> tuple[Array, list[Array]]:
        """The value with its reduced axes combined and of size 1."""
        assert store.reducer is not None
        axes = [len(self.outer) + axis for axis in store.reduced]
        kept = [axis for axis in range(value.ndim) if axis not in axes]
        moved = value.transpose([*kept, *axes])
        count = int(np.prod([value.shape[axis] for axis in axes], dtype=np.int64))
        rows = int(np.prod([value.shape[axis] for axis in kept], dtype=np.int64))
        result = combine_tree(store.reducer, moved.reshape(rows, count))
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        points = [
            np.zeros([1] * value.ndim, np.int64) if axis in axes else np.asarray(g)
            for axis, g in enumerate(grid)
        ]
        return np.asarray(result).reshape(shape), points


class _At:
    """Indices per operand axis, and where they may be used."""

    def __init__(
        self,
        indices: list[Array],
        valid: Array,
        shape: tuple[int, ...],
        space: tuple[int, ...],
    ) -> None:
        self.indices = indices
        self.valid = valid
        self.shape = shape
        self.space = space


def _combined(combine: str | None, old: Any, new: Any) -> Any:
    match combine:
        case None:
            return new
        case "add":
            return _BUILDER.add(old, new)
        case "mul":
            return _BUILDER.mul(old, new)
        case "min":
            return _BUILDER.minimum(old, new)
        case _:
            return _BUILDER.maximum(old, new)
