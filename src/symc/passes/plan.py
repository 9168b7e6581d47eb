"""The plan: kernels in launch order with the tensor values that their operands are.

Made by `lower.py`, refined by `plan_pairs.py` and `plan_order.py`, placed in buffers by
`buffers.py`.

Invariants: a step reads only params, constants, and what earlier steps or the step itself write; an
"inout" operand holds `olds[i]` before the step and `values[i]` after it; `aliases` lead from a
value to another value of the same bytes and end in one that is written, a param or a constant.
"""

from __future__ import annotations

from collections.abc import Mapping

from symc.ir import ops
from symc.ir.core import Function, Locations, Node, Value
from symc.ir.entry import Entry
from symc.ir.nest import Nest, Operand
from symc.ir.ops.loop_groups import groups, while_groups
from symc.records import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """A loop or a choice whose bodies are plans of their own: a `scan`, `while` or `switch` node.

    `codegen_llvm/native_loops.py` makes one function of the kernel ABI of it, which calls the
    kernels of its bodies.  Operands stand in the order of the node: what it takes ("in"), then its
    results ("out").  What changes from step to step is a *state* of the body's entry (its carries),
    all else an input; a scan's body takes the number of the step as its last input.  `symbols`
    names the sizes that it and its bodies read, sorted.
    """

    name: str
    node: Node
    operands: tuple[Operand, ...]
    bodies: tuple[Plan, ...]
    symbols: tuple[str, ...]
    locations: Locations

    def carried(self) -> list[tuple[int, int]]:
        """Operands that are first and last values of one carry: they may share a buffer."""
        count = len(self.node.operands)
        if self.node.op is ops.SCAN:
            parts = groups(self.node)
            first, carries = parts.consts, parts.carries
        elif self.node.op is ops.WHILE:
            steps = while_groups(self.node)
            first, carries = steps.consts, steps.carries
        else:
            return []
        return [(first + i, count + i) for i in range(carries)]

    def rows(self) -> tuple[Value, ...]:
        """The results that have as many rows as steps ran."""
        if self.node.op is not ops.WHILE:
            return ()
        return self.node.results[while_groups(self.node).carries : -1]


@dataclass(frozen=True, slots=True)
class Step:
    """One nest and, per operand, the value it stands for (None: scratch).

    olds: for an "inout" operand the value that its buffer must hold before, else None.
    traps: some access of the nest may write to the status record.
    waits: values that earlier steps make and this one does not read.
    """

    nest: Nest | Control
    values: tuple[Value | None, ...]
    olds: tuple[Value | None, ...]
    traps: bool = False
    waits: tuple[Value, ...] = ()

    def taken_over(self) -> list[tuple[Value, Value]]:
        """(old, new): values that the step may write over, and what it writes there."""
        if isinstance(self.nest, Control):
            rows = [(self.values[i], self.values[j]) for i, j in self.nest.carried()]
        else:
            rows = list(zip(self.olds, self.values, strict=True))
        return [(old, new) for old, new in rows if old is not None and new is not None]

    def reads(self) -> list[Value]:
        """The values that the step needs, in operand order."""
        rows = zip(self.nest.operands, self.values, self.olds, strict=True)
        found = [value if op.role == "in" else old for op, value, old in rows]
        return [value for value in found if value is not None]

    def writes(self) -> list[Value]:
        """The values that the step makes (or makes part of), in operand order."""
        rows = zip(self.nest.operands, self.values, strict=True)
        return [v for op, v in rows if op.role in {"out", "inout"} and v is not None]


@dataclass(frozen=True, slots=True)
class Plan:
    """An entry as steps in launch order.

    in_place: for an updated state or a donated param, the value that is written into its buffer.
    """

    entry: Entry
    steps: tuple[Step, ...]
    aliases: Mapping[Value, Value]
    in_place: Mapping[Value, Value]

    @property
    def function(self) -> Function:
        return self.entry.function

    def root(self, value: Value) -> Value:
        """The value whose buffer holds `value`."""
        while value in self.aliases:
            value = self.aliases[value]
        return value
