"""Runs programs in NumPy: the test double of code generator and VM.

Kernels are nests evaluated outer point by outer point, in an order of the test's choosing, on
buffers that really share one arena; so a misplaced buffer or an unsafe overwrite shows in the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Function
from symc.ir.dims import Size, substitute
from symc.ir.launch import Launch
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Store
from symc.ir.ops.contract import chain
from symc.ir.ops.record import EvaluateContext
from symc.ir.ops.reduce import combine_tree
from symc.ir.program import Buffer, BufferKind, Copy, Kernel, Program, SizeOp, size_table
from symc.passes.plan import Plan

Dims = dict[str, int]
Points = tuple[np.ndarray, ...]


def plain_launches(plan: Plan) -> list[tuple[Launch, ...]]:
    """One launch per nest, as a code generator without temporaries would answer."""
    found = []
    for step in plan.steps:
        operands = tuple(
            i for i, operand in enumerate(step.nest.operands) if operand.role != "scratch"
        )
        launch = Launch(step.nest.name, operands, step.nest.symbols, 1, 16, traps=step.traps)
        found.append((launch,))
    return found


class Machine:
    """One program with its nests; `run` gives outputs and the states' new contents."""

    def __init__(self, program: Program, plan: Plan, *, seed: int = 0) -> None:
        self.program = program
        self.nests = {step.nest.name: step.nest for step in plan.steps}
        self.random = np.random.default_rng(seed)

    def run(
        self, inputs: Sequence[np.ndarray], states: Sequence[np.ndarray] = ()
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        program = self.program
        dims = _bind(program, inputs, states)
        sizes = size_table(program, dims)
        arena = self.random.integers(0, 255, sizes[program.arena] + 64, dtype=np.uint8)
        state = [np.array(array, order="C") for array in states]
        staged: dict[int, np.ndarray] = {}
        given = [np.array(array, order="C") for array in inputs]

        def memory(buffer: Buffer) -> np.ndarray:
            shape = tuple(sizes[s] for s in buffer.shape)
            size = sizes[buffer.bytes]
            if buffer.kind is BufferKind.ARENA:
                start = sizes[buffer.offset]
                assert start % 64 == 0
                assert start + size <= sizes[program.arena]
                return arena[start : start + size].view(buffer.dtype).reshape(shape)
            if buffer.kind is BufferKind.INPUT:
                return given[buffer.index]
            if buffer.kind is BufferKind.STATE:
                return state[buffer.index]
            if buffer.kind is BufferKind.CONST:
                return np.array(program.constants[buffer.index])
            array = self.random.integers(0, 255, size, dtype=np.uint8).view(buffer.dtype)
            array = array.reshape(shape)
            if buffer.kind is BufferKind.STAGED:
                staged[buffer.index] = array
            return array

        buffers = [memory(buffer) for buffer in program.buffers]
        with np.errstate(all="ignore"):
            for instruction in program.code:
                match instruction:
                    case Kernel():
                        self._kernel(instruction, buffers, dims)
                    case Copy(target, source):
                        buffers[target].reshape(-1)[:] = buffers[source].reshape(-1)
        outputs = [buffers[number] for number in program.outputs]
        for slot, number in program.updates:
            state[slot] = buffers[number]
        return outputs, state

    def _kernel(self, kernel: Kernel, buffers: list[np.ndarray], dims: Dims) -> None:
        nest = self.nests[kernel.symbol]
        found: list[np.ndarray | None] = []
        given = iter(kernel.buffers)
        for operand in nest.operands:
            if operand.role == "scratch":
                found.append(None)
                continue
            shape = tuple(substitute(size, dims) for size in operand.type.shape)
            array = buffers[next(given)]
            found.append(array.reshape(shape))
        run_nest(nest, found, dims, self.random)


def run_nest(
    nest: Nest, buffers: list[np.ndarray | None], dims: Dims, random: np.random.Generator
) -> None:
    """Evaluate a nest on arrays, in place; None stands for scratch."""
    outer = [_int(size, dims) for size in nest.outer]
    points = list(product(*map(range, outer)))
    random.shuffle(points)
    for point in points:
        arrays = [
            np.full([_int(s, dims) for s in op.type.shape], 77, op.type.dtype)
            if array is None
            else array
            for op, array in zip(nest.operands, buffers, strict=True)
        ]
        for stage in nest.stages:
            _stage(stage, point, arrays, dims)


def _int(size: Size, dims: Dims) -> int:
    value = substitute(size, dims)
    assert isinstance(value, int)
    return value


def _grid(point: Sequence[int], shape: Sequence[int]) -> Points:
    inner = np.indices(tuple(shape), dtype=np.int64)
    return (
        *(np.full(tuple(shape), i, np.int64) for i in point),
        *(inner[i] for i in range(len(shape))),
    )


def _affine(affine: Affine, points: Points, shape: Sequence[int], dims: Dims) -> np.ndarray:
    total = np.full(tuple(shape), _int(affine.offset, dims), np.int64)
    for factor, index in zip(affine.factors, points, strict=True):
        total = total + _int(factor, dims) * index
    return total


def _where(
    map: IndexMap,
    gathers: Sequence[Gather],
    target: np.ndarray,
    space: tuple[Points, Sequence[int], list[np.ndarray], Dims],
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Operand indices at all points, and which of them are inside."""
    points, shape, arrays, dims = space
    indices = [_affine(a, points, shape, dims) for a in map.indices]
    inside = np.ones(tuple(shape), bool)
    for gather in gathers:
        where, _ = _where(gather.map, (), arrays[gather.operand], space)
        index = arrays[gather.operand][where].astype(np.int64)
        size = target.shape[gather.axis]
        match gather.mode:
            case "wrap":
                index = index % max(size, 1)
            case "clip":
                index = np.clip(index, 0, max(size - 1, 0))
            case "raise":
                index = np.clip(np.where(index < 0, index + size, index), 0, max(size - 1, 0))
            case _:
                inside &= (index >= 0) & (index < size)
                index = np.clip(index, 0, max(size - 1, 0))
        inside &= size > 0
        indices[gather.axis] = index
    for axis, index in enumerate(indices):
        low, high = index[inside], target.shape[axis]
        assert low.size == 0 or (low.min() >= 0 and low.max() < high), "an access leaves its buffer"
    return tuple(indices), inside


def _loaded(load: Load, space: tuple[Points, Sequence[int], list[np.ndarray], Dims]) -> np.ndarray:
    source = space[2][load.operand]
    indices, inside = _where(load.map, load.gathers, source, space)
    if source.size == 0:
        return np.full(inside.shape, load.fill, source.dtype)
    return np.where(
        inside,
        source[tuple(np.where(inside, i, 0) for i in indices)],
        np.asarray(load.fill, source.dtype),
    )


def evaluate_body(
    body: Function, arguments: Sequence[np.ndarray], shape: Sequence[int], dims: Dims
) -> list[np.ndarray]:
    """The results of a scalar body at all points of `shape`."""
    values = dict(zip(body.params, arguments, strict=True))
    context = EvaluateContext(dims, "chain", lambda *_: ())
    for node in body.nodes:
        operands = [values[operand] for operand in node.operands]
        (values[node.results[0]],) = node.op.evaluate(context, operands, node)
    return [np.broadcast_to(values[result], tuple(shape)) for result in body.results]


def _stage(
    stage: MapStage | ContractStage, point: Sequence[int], arrays: list[np.ndarray], dims: Dims
) -> None:
    if isinstance(stage, ContractStage):
        sizes = (*stage.batch, *stage.m, *stage.n)
    else:
        sizes = stage.inner
    shape = [_int(size, dims) for size in sizes]
    points = _grid(point, shape)
    space = (points, shape, arrays, dims)
    arguments = [_loaded(load, space) for load in stage.loads]
    if isinstance(stage, ContractStage):
        arguments.insert(0, _contracted(stage, arrays, dims))
    else:
        arguments += [points[axis] for axis in stage.indices]
    results = evaluate_body(stage.body, arguments, shape, dims)
    for store, result in zip(stage.stores, results, strict=True):
        _store(store, result, point, space)


def _contracted(stage: ContractStage, arrays: list[np.ndarray], dims: Dims) -> np.ndarray:
    batch, m, n, k = (
        [_int(size, dims) for size in part] for part in (stage.batch, stage.m, stage.n, stage.k)
    )
    left = _loaded(stage.lhs, (_grid((), [*batch, *m, *k]), [*batch, *m, *k], arrays, dims))
    right = _loaded(stage.rhs, (_grid((), [*batch, *k, *n]), [*batch, *k, *n], arrays, dims))
    b, mm, nn, kk = (int(np.prod(part, dtype=np.int64)) for part in (batch, m, n, k))
    left, right = left.reshape(b, mm, kk), right.reshape(b, kk, nn)
    total = chain(left, right) if stage.dtype.kind == "f" else left @ right
    return np.asarray(total, stage.dtype).reshape([*batch, *m, *n])


_COMBINE = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _store(
    store: Store,
    result: np.ndarray,
    point: Sequence[int],
    space: tuple[Points, Sequence[int], list[np.ndarray], Dims],
) -> None:
    points, shape, arrays, dims = space
    target = arrays[store.operand]
    if store.reducer is not None:
        kept = [axis for axis in range(len(shape)) if axis not in store.reduced]
        moved = result.transpose([*kept, *store.reduced])
        sizes = [shape[axis] for axis in kept]
        rows = int(np.prod(sizes, dtype=np.int64))
        count = int(np.prod([shape[axis] for axis in store.reduced], dtype=np.int64))
        result = combine_tree(store.reducer, moved.reshape(rows, count)).reshape(sizes)
        first = _grid(point, sizes)
        rest = iter(first[len(point) :])
        points = (
            *first[: len(point)],
            *(
                np.zeros(sizes, np.int64) if axis in store.reduced else next(rest)
                for axis in range(len(shape))
            ),
        )
        space = (points, sizes, arrays, dims)
    indices, inside = _where(store.map, store.gathers, target, space)
    if store.combine is None and not store.gathers:
        target[indices] = result
        return
    flat = [index.reshape(-1) for index in indices]
    keep = inside.reshape(-1)
    for i, value in enumerate(np.ascontiguousarray(result).reshape(-1)):
        if keep[i]:
            where = tuple(int(index[i]) for index in flat)
            old = target[where]
            target[where] = value if store.combine is None else _COMBINE[store.combine](old, value)


def _bind(program: Program, inputs: Sequence[np.ndarray], states: Sequence[np.ndarray]) -> Dims:
    dims: Dims = {}
    for declared, array in zip((*program.inputs, *program.states), (*inputs, *states), strict=True):
        assert declared.dtype == array.dtype
        for entry, size in zip(declared.shape, array.shape, strict=True):
            expr = program.sizes[entry]
            if expr.op is SizeOp.DIM:
                dims.setdefault(program.dims[expr.a], size)
    return dims
