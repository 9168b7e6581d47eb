"""Kernels and programs run in NumPy, as the code generator and the VM would.

before: a plan, or a program with the plan it places, and arrays for the params of its function.
after: the results of the function.

`run_plan` gives every value its own array: what kernels compute.  `run_program` has the program's
buffers in one arena and one copy of each input and state: what they overwrite shows too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from symc.ir.core import Value
from symc.ir.dims import substitute
from symc.ir.errors import CompileError, message
from symc.ir.evaluate import bind
from symc.ir.evaluate_nest import evaluate_nest
from symc.ir.launch import Launches
from symc.ir.nest import Nest
from symc.ir.program import Buffer, BufferKind, Copy, Kernel, Program, size_table
from symc.passes.plan import Plan, Step

_GARBAGE: Final = 0xA5

Array = np.ndarray


def nest_of(step: Step) -> Nest:
    """The nest of a step; CompileError for a loop, which this module does not run."""
    if isinstance(step.nest, Nest):
        return step.nest
    raise CompileError(message("simulate: a loop", got=step.nest.name, expected="a nest"))


def nests_of(plan: Plan) -> Iterator[Nest]:
    """The nests of all steps in launch order, those of the bodies of loops in their place."""
    todo = [iter(plan.steps)]
    while todo:
        step = next(todo[-1], None)
        if step is None:
            todo.pop()
        elif isinstance(step.nest, Nest):
            yield step.nest
        else:
            todo += [iter(body.steps) for body in reversed(step.nest.bodies)]


def run_plan(plan: Plan, arrays: Sequence[Array]) -> list[Array]:
    """The results, each step on arrays of its own."""
    dims = bind(plan.function, arrays)
    values: dict[Value, Array] = dict(zip(plan.function.params, arrays, strict=True))
    for step in plan.steps:
        given: list[Array | None] = []
        for operand, value, old in zip(step.nest.operands, step.values, step.olds, strict=True):
            if value is None:
                given.append(None)
                continue
            root = plan.root(old if old is not None else value)
            shape = _shape(operand.type.shape, dims)
            made = plan.root(value) if old is None else root
            if made not in values:
                values[made] = _constant(made, shape, operand.type.dtype)
            given.append(values[made].reshape(shape))
        _finish(step, plan, evaluate_nest(nest_of(step), given, dims).arrays, values)
    return [_result(plan, value, values, dims) for value in plan.function.results]


def _finish(
    step: Step, plan: Plan, made: Sequence[Array | None], values: dict[Value, Array]
) -> None:
    for operand, value, array in zip(step.nest.operands, step.values, made, strict=True):
        if value is not None and array is not None and operand.role in {"out", "inout"}:
            values[plan.root(value)] = array


def _constant(value: Value, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """The contents of what no step made before: a literal, or memory yet to be written."""
    literal = None if value.node is None else value.node.attrs.get("value")
    if literal is not None:
        return np.asarray(literal.array)  # type: ignore[union-attr]
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.full(size, _GARBAGE, np.uint8).view(dtype).reshape(shape)


def _result(
    plan: Plan, value: Value, values: Mapping[Value, Array], dims: Mapping[str, int]
) -> Array:
    shape = _shape(value.type.shape, dims)
    root = plan.root(value)
    found = values.get(root)
    return (_constant(root, shape, value.type.dtype) if found is None else found).reshape(shape)


def _shape(sizes: Sequence[object], dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(substitute(size, dict(dims))) for size in sizes)  # type: ignore[arg-type]


def run_program(
    program: Program, plan: Plan, launches: Sequence[Launches], arrays: Sequence[Array]
) -> list[Array]:
    """The outputs and the new contents of updated states, from buffers that share memory."""
    memory = _Memory(program, arrays, bind(plan.function, arrays))
    waiting = iter([(s, one, one is all[-1]) for s, all in _rows(plan, launches) for one in all])
    placed: dict[int, int] = {}
    for instruction in program.code:
        match instruction:
            case Copy(target, source):
                memory.buffers[target].reshape(-1)[:] = memory.buffers[source].reshape(-1)
            case Kernel():
                step, launch, last = next(waiting)
                placed |= dict(zip(launch.operands, instruction.buffers, strict=True))
                if last:
                    memory.run(step, placed)
                    placed = {}
            case _:
                continue
    updated = dict(program.updates)
    outputs = [memory.buffers[number] for number in program.outputs]
    return outputs + [memory.buffers[updated[slot]] for slot in plan.entry.updates]


def _rows(plan: Plan, launches: Sequence[Launches]) -> list[tuple[Step, Launches]]:
    return list(zip(plan.steps, launches, strict=True))


class _Memory:
    """The buffers of one run."""

    def __init__(self, program: Program, arrays: Sequence[Array], dims: Mapping[str, int]) -> None:
        self.program = program
        self.dims = dims
        self.sizes = size_table(program, dims)
        self.arena = np.full(self.sizes[program.arena], _GARBAGE, np.uint8)
        count = len(program.inputs)
        self.inputs = [np.array(array, order="C") for array in arrays[:count]]
        self.states = [np.array(a, order="C") for a in arrays[count : count + len(program.states)]]
        self.constants = [np.array(array) for array in program.constants]
        given = arrays[count + len(program.states) :]
        self.constants[: len(given)] = [np.array(array, order="C") for array in given]
        self.buffers = [self.buffer(buffer) for buffer in program.buffers]

    def buffer(self, buffer: Buffer) -> Array:
        """The memory of one buffer."""
        shape = tuple(self.sizes[entry] for entry in buffer.shape)
        size = self.sizes[buffer.bytes]
        match buffer.kind:
            case BufferKind.INPUT:
                return self.inputs[buffer.index]
            case BufferKind.STATE:
                return self.states[buffer.index]
            case BufferKind.CONST:
                return self.constants[buffer.index]
            case BufferKind.ARENA:
                start = self.sizes[buffer.offset]
                if start + size > len(self.arena):
                    raise CompileError(message("buffers: outside the arena", got=start + size))
                return self.arena[start : start + size].view(buffer.dtype).reshape(shape)
            case BufferKind.SLOT | BufferKind.TAPE:
                raise CompileError(message("simulate: rows of a loop", got=buffer.kind.name))
            case BufferKind.OUTPUT | BufferKind.STAGED:
                return np.full(size, _GARBAGE, np.uint8).view(buffer.dtype).reshape(shape)

    def run(self, step: Step, placed: Mapping[int, int]) -> None:
        """One step on the buffers that its launches name."""
        found: list[Array | None] = []
        for number, operand in enumerate(step.nest.operands):
            array = self.buffers[placed[number]] if number in placed else None
            shape = _shape(operand.type.shape, self.dims)
            if array is None and operand.role != "scratch":
                array = np.zeros(shape, operand.type.dtype)  # no launch reads or writes it
            found.append(None if array is None else array.reshape(shape))
        made = evaluate_nest(nest_of(step), found, self.dims).arrays
        for operand, target, array in zip(step.nest.operands, found, made, strict=True):
            if operand.role in {"out", "inout"} and target is not None and array is not None:
                target.reshape(-1)[:] = array.reshape(-1)
