"""Buffers: a plan and its compiled launches become the program that the VM runs.

before: steps in order, and per step how its kernels are called.  after: a `Program`: every value in
a buffer, temporaries in one arena, sizes in one table, copies where one value needs two buffers.

Values that share a buffer: reshapes; a state and what overwrites it; what a scatter starts from and
its result, when nothing reads the former afterwards.

Invariants: copies are made only by `_opening`, `_closing` and `_before`; `Commit` comes before the
first write to a state or a donated input, and copies of old values come before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from symc.ir.core import Locations, Value
from symc.ir.dims import Size
from symc.ir.errors import CompileError, message
from symc.ir.launch import Launches
from symc.ir.locations import UNKNOWN
from symc.ir.ops import attributes
from symc.ir.program import (
    Bind,
    Buffer,
    BufferKind,
    Commit,
    Constraint,
    Copy,
    Input,
    Instruction,
    Kernel,
    Program,
    StateSlot,
)
from symc.ir.types import TensorType
from symc.passes.buffers_arena import Request, place
from symc.passes.buffers_sizes import SizeTable
from symc.passes.buffers_slots import Slots, bound_name, computed_names, is_slotted, rows_of
from symc.passes.buffers_storage import Home, Storage
from symc.passes.plan import Plan, Step


def run(plan: Plan, launches: Sequence[Launches], names: Sequence[str] = ()) -> Program:
    """The program of `plan`; `launches[i]` are those of `plan.steps[i].nest`.

    `names`: dims that are known besides those of the params, for the body of a loop.
    """
    if len(launches) != len(plan.steps):
        raise CompileError(message("buffers", got=len(launches), expected=len(plan.steps)))
    return _Writer(plan, launches, names).program()


class _Writer:
    """The tables of one program while they are filled."""

    def __init__(self, plan: Plan, launches: Sequence[Launches], names: Sequence[str]) -> None:
        entry = plan.entry
        self._plan = plan
        self._launches = launches
        self._params = plan.function.params
        types = (param.type for param in self._params)
        self._sizes = SizeTable(types, names, computed_names(plan))
        self._storage = Storage(plan)
        self._slots = Slots(plan, launches, self._storage, self._sizes)
        self._buffers: list[Buffer] = []
        self._number: dict[Home, int] = {}
        self._constants: list[np.ndarray] = list(entry.constants)
        self._literals: dict[Value, int] = {}
        self._locations: dict[str, int] = {}
        self._node((UNKNOWN,))
        self._offsets: dict[Home, Size] = {}
        self._arena: Size = 0
        self._temporaries: list[list[int]] = []
        self._tapes: dict[int, int] = {}

    def program(self) -> Program:
        """The finished program."""
        self._place_temporaries()
        code = [*self._opening()]
        committed = False
        for i, step in enumerate(self._plan.steps):
            code += self._before(step)
            if not committed and any(self._overwrites(v) for v in step.writes()):
                code.append(Commit())
                committed = True
            code += self._kernels(i, step)
        if not committed:
            code.append(Commit())
        code += self._closing()
        return self._assemble(code)

    # Buffers.
    def _buffer(self, home: Home, type: TensorType) -> int:
        """The number of the buffer at `home`."""
        if home not in self._number:
            kind, index, offset = home.kind, home.index, -1
            if is_slotted(home, self._sizes.is_late(type.bytes, *type.shape)):
                kind, index = BufferKind.SLOT, self._slots.of(home)
            elif kind is BufferKind.ARENA:
                index, offset = 0, self._sizes(self._offsets[home])
            shape, size = self._sizes.shape(type.shape), self._sizes(type.bytes)
            self._number[home] = len(self._buffers)
            self._buffers.append(Buffer(kind, index, type.dtype, shape, size, offset))
        return self._number[home]

    def _tape(self, slot: int) -> int:
        """The buffer through which a kernel makes a slot grow."""
        if slot not in self._tapes:
            byte, empty = np.dtype(np.bool_), self._sizes(0)
            self._tapes[slot] = len(self._buffers)
            self._buffers.append(Buffer(BufferKind.TAPE, slot, byte, (empty,), empty))
        return self._tapes[slot]

    def _of(self, value: Value) -> int:
        """The buffer that holds `value`."""
        root = self._plan.root(value)
        home = self._storage.home(root)
        if home is None:
            home = self._literal(root)
        return self._buffer(home, self._storage.type_of(home, root))

    def _literal(self, value: Value) -> Home:
        """The constant buffer of a value that no step makes."""
        if value.node is None or "value" not in value.node.attrs:
            raise CompileError(message("buffers: no step makes a value that is read", got=value))
        if value not in self._literals:
            self._literals[value] = len(self._constants)
            self._constants.append(attributes.literal(value.node.attrs).array)
        return Home(BufferKind.CONST, self._literals[value])

    def _overwrites(self, value: Value) -> bool:
        home = self._storage.home(self._plan.root(value))
        return home is not None and home.kind in (BufferKind.STATE, BufferKind.INPUT)

    def _place_temporaries(self) -> None:
        """Offsets of all arena buffers and of the launches' own temporaries."""
        late = self._sizes.is_late
        homes = {
            home: Request(type.bytes, first, last)
            for home, (type, first, last) in self._storage.lifetimes().items()
            if not late(type.bytes)
        }
        requests = [*homes.values()]
        for i, launches in enumerate(self._launches):
            sizes = [size for launch in launches for size in launch.temporaries]
            requests += [Request(size, i, i) for size in sizes if not late(size)]
        offsets, self._arena = place(requests)
        self._offsets = dict(zip(homes, offsets, strict=False))
        rest = iter(offsets[len(homes) :])
        for i, launches in enumerate(self._launches):
            sizes = [size for launch in launches for size in launch.temporaries]
            slots = iter(self._slots.temporaries[i] if self._slots.temporaries else ())
            made = [
                self._late_temporary(size, next(slots))
                if late(size)
                else self._temporary(size, next(rest))
                for size in sizes
            ]
            self._temporaries.append([*map(self._tape, self._slots.tapes[i]), *made])

    def _late_temporary(self, size: Size, slot: int) -> int:
        entry = self._sizes(size)
        self._buffers.append(Buffer(BufferKind.SLOT, slot, np.dtype(np.bool_), (entry,), entry))
        return len(self._buffers) - 1

    def _temporary(self, size: Size, offset: Size) -> int:
        entry = self._sizes(size)
        byte = np.dtype(np.bool_)
        self._buffers.append(
            Buffer(BufferKind.ARENA, 0, byte, (entry,), entry, self._sizes(offset))
        )
        return len(self._buffers) - 1

    # Instructions.
    def _kernels(self, number: int, step: Step) -> Iterable[Instruction]:
        values = step.values
        rows = rows_of(step)
        node = self._node(step.nest.locations)
        for launch in self._launches[number]:
            buffers = []
            for operand in launch.operands:
                if operand >= len(values):
                    buffers.append(self._temporaries[number][operand - len(values)])
                    continue
                value = values[operand]
                assert value is not None, "scratch is not a kernel argument"
                buffers.append(self._rows(value) if operand in rows else self._of(value))
            yield Kernel(
                launch.symbol,
                tuple(buffers),
                tuple(self._sizes.dim(name) for name in launch.dims),
                self._sizes(launch.blocks),
                self._sizes(launch.cost),
                self._sizes(launch.scratch),
                node,
                launch.traps,
                launch.pauses,
                launch.endless,
            )
        name = bound_name(step)
        if name is not None:
            assert values[-1] is not None
            yield Bind(self._sizes.number(name), self._of(values[-1]), node)

    def _rows(self, value: Value) -> int:
        """The tape of rows that a loop writes; the rows have a buffer of their own besides."""
        home = self._storage.home(self._plan.root(value))
        assert home is not None
        self._of(value)
        return self._tape(self._slots.of(home))

    def _before(self, step: Step) -> Iterable[Instruction]:
        """A buffer that a step writes into must first hold the old value."""
        for value, old in zip(step.values, step.olds, strict=True):
            if value is None or old is None:
                continue
            target, source = self._of(value), self._of(old)
            if target != source:
                yield Copy(target, source, self._node(step.nest.locations))

    def _opening(self) -> Iterable[Instruction]:
        """Copies of params, before anything is written over."""
        for home, value in self._storage.copies:
            if self._storage.is_given(self._plan.root(value)):
                yield self._copy(home, value)

    def _closing(self) -> Iterable[Instruction]:
        """Copies of computed values that are wanted in a second buffer."""
        for home, value in self._storage.copies:
            if not self._storage.is_given(self._plan.root(value)):
                yield self._copy(home, value)

    def _copy(self, home: Home, value: Value) -> Copy:
        target = self._buffer(home, self._storage.type_of(home, value))
        node = value.node
        return Copy(target, self._of(value), self._node(node.locations if node else (UNKNOWN,)))

    def _node(self, locations: Locations) -> int:
        text = ", ".join(dict.fromkeys(map(str, locations)))
        return self._locations.setdefault(text, len(self._locations))

    # The program.
    def _assemble(self, code: Sequence[Instruction]) -> Program:
        entry, function = self._plan.entry, self._plan.function
        outputs = tuple(self._buffer(home, v.type) for home, v in self._storage.outputs)
        updates = tuple(
            (slot, self._buffer(home, value.type)) for slot, home, value in self._storage.updates
        )
        constraints = tuple(
            Constraint(
                self._sizes(c.left),
                self._sizes(c.right),
                self._node((c.location,)),
                c.message,
                c.kind,
            )
            for c in function.constraints
        )
        inputs = tuple(
            Input(
                info.name,
                param.type.dtype,
                self._sizes.shape(param.type.shape),
                info.accept,
                info.donated,
            )
            for info, param in zip(entry.inputs, self._params, strict=False)
        )
        states = tuple(
            StateSlot(name, param.type.dtype, self._sizes.shape(param.type.shape))
            for name, param in zip(entry.states, self._params[len(inputs) :], strict=False)
        )
        arena = self._sizes(self._arena)
        return Program(
            function.name,
            self._sizes.dims,
            self._sizes.entries(),
            constraints,
            inputs,
            states,
            tuple(self._constants),
            tuple(self._buffers),
            outputs,
            updates,
            arena,
            tuple(code),
            tuple(self._locations),
            len(self._sizes.computed),
        )
