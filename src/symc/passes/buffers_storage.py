"""Which buffer holds which value.

before: a `Plan`.  after: a `Home` per stored value, the copies needed where a value is wanted
twice, and how long each home is in use.

Invariants: values share a home only when the old content is dead where the new one is written; a
result's home is its own; homes of states are written only by the steps named in `Plan.in_place`.
"""

from __future__ import annotations

from symc.ir.core import Value
from symc.ir.program import BufferKind
from symc.ir.types import TensorType
from symc.passes.plan import Plan
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Home:
    """A place: kind and index as in `program.Buffer`; arena homes are numbered here."""

    kind: BufferKind
    index: int


class Storage:
    """Homes of all values of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._home: dict[Value, Home] = {}
        self._given: set[Value] = set()
        self._types: dict[Home, TensorType] = {}
        self._last: dict[Value, int] = {}
        self._arenas = 0
        self._written = {plan.root(v) for step in plan.steps for v in step.writes()}
        self.copies: list[tuple[Home, Value]] = []
        self.outputs: list[tuple[Home, Value]] = []
        self.updates: list[tuple[int, Home, Value]] = []
        self._params()
        self._results()
        self._uses()
        self._take_over()
        self._temporaries()

    def home(self, root: Value) -> Home | None:
        """Where a value lies, None for literal constants."""
        return self._home.get(root)

    def is_given(self, root: Value) -> bool:
        """Whether a value is a param or constant rather than computed."""
        return root in self._given or root not in self._home

    def type_of(self, home: Home, value: Value) -> TensorType:
        """The type that a home was made for."""
        return self._types.get(home, value.type)

    def _put(self, root: Value, home: Home, type: TensorType) -> None:
        self._home[root] = home
        self._types.setdefault(home, type)

    def _params(self) -> None:
        entry = self._plan.entry
        inputs, states = len(entry.inputs), len(entry.states)
        for i, param in enumerate(self._plan.function.params):
            if i < inputs:
                home = Home(BufferKind.INPUT, i)
            elif i < inputs + states:
                home = Home(BufferKind.STATE, i - inputs)
            else:
                home = Home(BufferKind.CONST, i - inputs - states)
            self._put(param, home, param.type)
            self._given.add(param)
        for old, new in self._plan.in_place.items():
            self._put(new, self._home[old], old.type)

    def _results(self) -> None:
        """Homes of updates and outputs; a value wanted twice is copied."""
        entry, function = self._plan.entry, self._plan.function
        named = list(zip(entry.updates, function.results[entry.outputs :], strict=True))
        for slot, result in named:
            root = self._plan.root(result)
            home = self._home.get(root)
            if home != Home(BufferKind.STATE, slot):
                home = self._fresh(Home(BufferKind.STAGED, slot), result)
            self.updates.append((slot, home, result))
        returned: set[Home] = set()
        for i, result in enumerate(function.results[: entry.outputs]):
            home = self._home.get(self._plan.root(result))
            reused = home is not None and self._is_reused(home, result) and home not in returned
            if home is None or not reused:
                home = self._fresh(Home(BufferKind.OUTPUT, i), result)
            returned.add(home)
            self.outputs.append((home, result))

    def _is_reused(self, home: Home, result: Value) -> bool:
        """Whether an output was computed in a donated input's buffer."""
        root = self._plan.root(result)
        computed = home.kind is BufferKind.INPUT and root not in self._given
        return computed and result.type == self._types[home]

    def _fresh(self, home: Home, result: Value) -> Home:
        """A new buffer for a result: its own home, or the target of a copy."""
        root = self._plan.root(result)
        if root in self._home or self._is_literal(root):
            self._types.setdefault(home, result.type)
            self.copies.append((home, result))
        else:
            self._put(root, home, result.type)
        return home

    def _is_literal(self, root: Value) -> bool:
        return root not in self._written

    def _uses(self) -> None:
        for i, step in enumerate(self._plan.steps):
            for value in (*step.reads(), *step.writes()):
                self._last[self._plan.root(value)] = i

    def _take_over(self) -> None:
        """A step that writes into an old value's buffer takes it, when nobody else needs it."""
        for i in reversed(range(len(self._plan.steps))):
            step = self._plan.steps[i]
            for old, value in step.taken_over():
                new, root = self._plan.root(value), self._plan.root(old)
                if root in self._home or root not in self._written or self._last[root] > i:
                    continue
                if [self._plan.root(read) for read in step.reads()].count(root) > 1:
                    continue
                home = self._home.get(new)
                if home is None:
                    home = self._new_arena(new)
                if home.kind in (BufferKind.ARENA, BufferKind.OUTPUT, BufferKind.STAGED):
                    self._home[root] = home

    def _new_arena(self, root: Value) -> Home:
        home = Home(BufferKind.ARENA, self._arenas)
        self._arenas += 1
        self._put(root, home, root.type)
        return home

    def _temporaries(self) -> None:
        for step in self._plan.steps:
            for value in step.writes():
                root = self._plan.root(value)
                if root not in self._home:
                    self._new_arena(root)

    def lifetimes(self) -> dict[Home, tuple[TensorType, int, int]]:
        """Per arena home its type, first and last step."""
        first: dict[Home, int] = {}
        last: dict[Home, int] = {}
        for i, step in enumerate(self._plan.steps):
            for value in (*step.reads(), *step.writes()):
                home = self._home.get(self._plan.root(value))
                if home is not None and home.kind is BufferKind.ARENA:
                    first.setdefault(home, i)
                    last[home] = i
        return {home: (self._types[home], first[home], last[home]) for home in first}
