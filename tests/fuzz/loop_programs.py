"""Random loop programs: what a step does, as data that can be run as a loop and written out.

A program is a tree of loops.  A body is a row of instructions over numbered values: first what it
is given (states, steps of sequences, captured values), then one value per instruction.  Values are
f64 scalars, vectors and matrices of 3, and integers.  *Exact* programs compute with small integers
only, so that sums have the same value in any order; the others have transcendental functions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

T = TypeVar("T")

SIDE = 3
SHAPES = {"s": (), "v": (SIDE,), "m": (SIDE, SIDE), "i": ()}
ROWS = {"v": "s", "m": "v"}  # what the rows of a value are
LOOPS = ("scan", "reverse", "fori", "while", "map", "taps")
DEEPEST = 3


@dataclass(frozen=True)
class Step:
    """One instruction: `op` on values by number; `inner` has bodies or a loop."""

    op: str
    args: tuple[int, ...]
    inner: tuple[Body | Loop, ...] = ()


@dataclass(frozen=True)
class Body:
    """Instructions over `given` values, and the numbers of the results."""

    given: tuple[str, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]


@dataclass(frozen=True)
class Loop:
    """One loop.  The body takes states (per tap), rows of `seqs` (per tap), then `captured`, and
    the number of the step where `kind` is fori; it gives new states, then ys.

    length: None where the sequences, or a number known at run time, say it.  stop: a threshold
    under which the sum of the first state keeps a while loop going, or None.
    """

    kind: str
    states: tuple[str, ...]
    taps: tuple[tuple[int, ...], ...]
    seqs: tuple[str, ...]
    seq_taps: tuple[tuple[int, ...], ...]
    captured: tuple[str, ...]
    ys: tuple[str, ...]
    body: Body
    length: int | None = None
    stop: int | None = None


@dataclass
class Drawn:
    """A program: its outermost loop, whether it is exact, and what it uses."""

    loop: Loop
    exact: bool
    used: Counter[str] = field(default_factory=Counter)


class Maker:
    """Draws programs from one source of random numbers."""

    def __init__(self, random: Random, *, until: bool) -> None:
        self.random = random
        self.exact = random.random() < 0.5
        self.until = until
        self.used: Counter[str] = Counter()

    def choose(self, options: tuple[T, ...] | list[T]) -> T:
        return options[self.random.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # Loops.
    def loop(self, depth: int) -> Loop:
        """A loop at this depth: the outermost has a length that only the run knows."""
        kind = self.choose(LOOPS)
        if kind == "taps" and depth > 1:
            kind = "scan"
        self.used[kind] += 1
        self.used[f"depth {depth}"] += 1
        states = tuple(self.choose(["s", "v", "v", "i"]) for _ in range(self.choose([1, 1, 2, 3])))
        if depth > 1:
            states = states[:2]
        taps = tuple(self._taps(kind) for _ in states)
        seqs = self._sequences(kind, depth)
        seq_taps = tuple(self._sequence_taps(kind) for _ in seqs)
        captured = tuple(self.choose(["s", "v", "m", "m"]) for _ in range(self.choose([1, 1, 2])))
        if kind == "map":
            states, taps = (), ()
        ys = () if kind in {"fori", "while"} else tuple(self._ys(kind))
        given = (*self._each(states, taps), *self._each(seqs, seq_taps), *captured)
        given = (*given, "i") if kind == "fori" else given
        body = self.body(given, (*states, *ys), depth)
        length = None if depth == 1 else self.choose([0, 1, 2, 3, 3])
        return Loop(
            kind, states, taps, seqs, seq_taps, captured, ys, body, length, self._stop(kind)
        )

    def _each(self, types: tuple[str, ...], taps: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
        return tuple(t for t, row in zip(types, taps, strict=True) for _ in row)

    def _taps(self, kind: str) -> tuple[int, ...]:
        if kind != "taps":
            return (-1,)
        found = self.choose([(-1,), (-2, -1), (-2,), (-1, -3), (-3,), (-3, -2, -1)])
        self.used[f"taps to {min(found)}"] += 1
        return found

    def _sequence_taps(self, kind: str) -> tuple[int, ...]:
        if kind != "taps":
            return (0,)
        return self.choose([(0,), (0,), (-1, 0), (0, 1)])

    def _sequences(self, kind: str, depth: int) -> tuple[str, ...]:
        if kind in {"fori", "while"}:
            return ()
        least = 1 if kind in {"map", "taps"} or depth == 1 else 0
        count = self.choose([least, 1, 2])
        return tuple(
            self.choose(["s", "v", "v", "i"][: 4 if depth == 1 else 3]) for _ in range(count)
        )

    def _ys(self, kind: str) -> list[str]:
        least = 1 if kind == "map" else 0
        return [self.choose(["s", "v"]) for _ in range(self.choose([least, 1, 2]))]

    def _stop(self, kind: str) -> int | None:
        if kind == "while" or (self.until and kind == "scan"):
            chosen = self.choose([None, 2, 6])
        else:
            chosen = None
        if chosen is not None:
            self.used["stops by itself"] += 1
        return chosen

    # Bodies.
    def body(self, given: tuple[str, ...], wanted: tuple[str, ...], depth: int) -> Body:
        """Some instructions, then what makes results of the types that are wanted."""
        types, steps = list(given), []
        for _ in range(self.choose([2, 3, 4])):
            self._add(types, steps, self._step(types, depth))
        results = tuple(self._result(types, steps, type) for type in wanted)
        return Body(given, tuple(steps), results)

    def _add(self, types: list[str], steps: list[Step], made: tuple[str, Step]) -> int:
        types.append(made[0])
        steps.append(made[1])
        self.used[made[1].op] += 1
        return len(types) - 1

    def pick(self, types: list[str], wanted: str) -> int | None:
        """The number of a value of one of the types, recent ones more often."""
        fitting = [i for i, type in enumerate(types) if type in wanted]
        if not fitting:
            return None
        return self.choose(fitting[-3:]) if self.chance(0.6) else self.choose(fitting)

    def _step(self, types: list[str], depth: int) -> tuple[str, Step]:
        if depth < DEEPEST and self.chance(0.12):
            made = self._inner_loop(types, depth)
            if made is not None:
                return made
        draw = self.choose(
            [self._dot, self._dot, self._gather, self._gather, self._choice, self._choice]
            + [self._plain] * 4
        )
        return draw(types, depth) or self._plain(types, depth)

    def _plain(self, types: list[str], depth: int) -> tuple[str, Step]:
        left = self.pick(types, "svm")
        if left is None:
            number = self.pick(types, "i")
            assert number is not None
            return "s", Step("float", (number,))
        shape = types[left]
        op = self.choose(["add", "sub", "mul", "max", "min", "neg", "act", "act", "sum", "put"])
        if op == "sum" and shape in ROWS:
            return ROWS[shape], Step("sum", (left,))
        number, row = self.pick(types, "i"), self.pick(types, ROWS.get(shape, "-"))
        if op == "put" and number is not None and row is not None:
            return shape, Step(self.choose(["put", "put more"]), (left, number, row))
        if op in {"neg", "act"}:
            return shape, Step(op, (left,))
        right = self.pick(types, "s" + shape)
        op = op if op in {"add", "sub", "mul", "max", "min"} else "add"
        return shape, Step(op, (left, left if right is None else right))

    def _dot(self, types: list[str], depth: int) -> tuple[str, Step] | None:
        left, right = self.pick(types, "vm"), self.pick(types, "vm")
        if left is None or right is None:
            return None
        shape = {"vv": "s", "vm": "v", "mv": "v", "mm": "m"}[types[left] + types[right]]
        return shape, Step("dot", (left, right))

    def _gather(self, types: list[str], depth: int) -> tuple[str, Step] | None:
        table, number = self.pick(types, "vm"), self.pick(types, "i")
        if table is None or number is None:
            return None
        return ROWS[types[table]], Step(self.choose(["take", "take checked"]), (table, number))

    def _choice(self, types: list[str], depth: int) -> tuple[str, Step] | None:
        test, result = self.pick(types, "s"), self.pick(types, "svm")
        if test is None or result is None:
            return None
        args = list(dict.fromkeys([result, *self.random.sample(range(len(types)), 1)]))
        given = tuple(types[i] for i in args)
        shape = types[result]
        arms = tuple(self._arm(given, shape, depth) for _ in range(2))
        return shape, Step(self.choose(["cond", "cond", "outside", "where"]), (test, *args), arms)

    def _arm(self, given: tuple[str, ...], shape: str, depth: int) -> Body:
        types, steps = list(given), []
        for _ in range(self.choose([0, 1, 2])):
            self._add(types, steps, self._plain(types, DEEPEST))
        return Body(given, tuple(steps), (self._result(types, steps, shape, act=False),))

    def _inner_loop(self, types: list[str], depth: int) -> tuple[str, Step] | None:
        loop = self.loop(depth + 1)
        rows = {"s": "v", "v": "m"}
        wanted = [*loop.states, *(rows[x] for x in loop.seqs), *loop.captured]
        args = [self.pick(types, type) for type in wanted]
        if None in args or not (loop.states or loop.ys):
            return None
        number = self.random.randrange(len(loop.states) + len(loop.ys))
        shape = (*loop.states, *(rows[x] for x in loop.ys))[number]
        if number >= len(loop.states):
            loop = Loop(**{**vars(loop), "length": SIDE, "stop": None})
        return shape, Step(f"loop {number}", tuple(a for a in args if a is not None), (loop,))

    def _result(self, types: list[str], steps: list[Step], shape: str, *, act: bool = True) -> int:
        """A value of a type that stays in bounds from step to step."""
        if shape == "i":
            number = self.pick(types, "i")
            if number is None:
                source = self.pick(types, "s")
                assert source is not None
                return self._add(types, steps, ("i", Step("round", (source,))))
            return self._add(types, steps, ("i", Step("next", (number,))))
        found = self.pick(types, shape)
        if found is None:
            source = self.pick(types, "svmi")
            assert source is not None
            found = self._add(types, steps, (shape, Step(f"make {shape}", (source,))))
        return self._add(types, steps, (shape, Step("act", (found,)))) if act else found


def draw(number: int, *, until: bool = False) -> Drawn:
    """Program number `number`."""
    maker = Maker(Random(number), until=until)
    loop = maker.loop(1)
    return Drawn(loop, maker.exact, maker.used)
