"""Where values lie whose sizes a program computes: slots, each memory of its own.

before: a plan, which sizes it computes, and how long each home is in use.  after: a slot for each
home and temporary of such a size.

Invariants: the rows that a loop writes have a slot to themselves, since it grows while they are
written; other slots are shared by what is in use one after another.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir.binding import bound_by
from symc.ir.core import Value
from symc.ir.launch import Launches
from symc.ir.program import BufferKind
from symc.passes.buffers_arena import Request, slots
from symc.passes.buffers_sizes import SizeTable
from symc.passes.buffers_storage import Home, Storage
from symc.passes.plan import Control, Plan, Step


def computed_names(plan: Plan) -> tuple[str, ...]:
    """The names of the dims that the plan's steps bind, in order."""
    found: dict[str, None] = {}
    for step in plan.steps:
        name = bound_name(step)
        if name is not None:
            found[name] = None
    return tuple(found)


def bound_name(step: Step) -> str | None:
    """The dim that a step binds."""
    own = bound_by(step.nest.node) if isinstance(step.nest, Control) else None
    return None if own is None else own.name


def rows_of(step: Step) -> dict[int, Value]:
    """The operands of a step that are rows, as many as it finds out."""
    if bound_name(step) is None:
        return {}
    assert isinstance(step.nest, Control)
    return {i: value for i, value in enumerate(step.values) if value in step.nest.rows()}


class Slots:
    """The slots of one program in the making."""

    def __init__(
        self, plan: Plan, launches: Sequence[Launches], storage: Storage, sizes: SizeTable
    ) -> None:
        self.home: dict[Home, int] = {}
        self.temporaries: list[list[int]] = []  # per step, of temporaries of such sizes, in order
        self.tapes: list[list[int]] = []  # per step, those that its loop uses by itself
        self._count = 0
        if sizes.computed:
            self._rows(plan, storage)
            self._homes(plan, launches, storage, sizes)
        for group in launches:
            self.tapes.append([self._new() for one in group for _ in range(one.tapes)])

    def of(self, home: Home) -> int:
        """The slot of a home, a new one for a result that has none."""
        if home not in self.home:
            self.home[home] = self._new()
        return self.home[home]

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _rows(self, plan: Plan, storage: Storage) -> None:
        for step in plan.steps:
            for value in rows_of(step).values():
                home = storage.home(plan.root(value))
                assert home is not None
                self.of(home)

    def _homes(
        self, plan: Plan, launches: Sequence[Launches], storage: Storage, sizes: SizeTable
    ) -> None:
        late = {
            home: Request(type.bytes, first, last)
            for home, (type, first, last) in storage.lifetimes().items()
            if sizes.is_late(type.bytes) and home not in self.home
        }
        more = [
            [Request(s, i, i) for one in group for s in one.temporaries if sizes.is_late(s)]
            for i, group in enumerate(launches)
        ]
        found = slots([*late.values(), *(request for row in more for request in row)])
        numbers = iter([self._count + number for number in found])
        self._count += max(found, default=-1) + 1
        self.home |= {home: next(numbers) for home in late}
        self.temporaries = [[next(numbers) for _ in row] for row in more]


def is_slotted(home: Home, late: bool) -> bool:
    """Whether what lies at `home` has a slot."""
    return late and home.kind in (BufferKind.ARENA, BufferKind.OUTPUT)
