"""Random loop programs on symbolic values: as loops, and written out step by step.

Both ways run the same instructions.  Written out, a loop is a Python loop, a choice computes both
arms and selects, and a loop that stops by itself goes through its largest number of steps, of which
those after the last change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import symc as sc
from fuzz.loop_programs import SHAPES, SIDE, Body, Drawn, Loop, Step
from symc import theano
from symc.frontend.expr import lift
from symc.frontend.trace import build
from symc.ir.core import Function
from symc.ir.entry import InputInfo

BOUND = 4.0
RAMP = np.arange(1.0, SIDE + 1)
ROWS_UP = {"s": "v", "v": "m"}
Row = list[Any]


@dataclass(frozen=True)
class Values:
    """Runs instructions; `unrolled`: without loops and choices."""

    exact: bool
    unrolled: bool

    def body(self, body: Body, given: Sequence[Any]) -> Row:
        """The results of a body."""
        values = list(given)
        for step in body.steps:
            values.append(self._step(step, [values[i] for i in step.args]))
        return [values[i] for i in body.results]

    def _step(self, step: Step, args: Row) -> Any:
        if step.op in PLAIN:
            return PLAIN[step.op](*args)
        if step.op == "act":
            return sc.clip(args[0], -BOUND, BOUND) if self.exact else sc.tanh(args[0])
        if step.op.startswith("loop"):
            return self._inner(step, args)
        test, rest = args[0] > 0, args[1:]
        first, second = (arm for arm in step.inner if isinstance(arm, Body))
        if step.op == "cond" and not self.unrolled:

            def arm(body: Body) -> Callable[..., Any]:
                return lambda *own: self.body(body, own)[0]

            return sc.cond(test, arm(first), arm(second), *rest)
        if step.op == "outside" and not self.unrolled:
            return sc.ifelse(test, self.body(first, rest)[0], self.body(second, rest)[0])
        return sc.where(test, self.body(first, rest)[0], self.body(second, rest)[0])

    def _inner(self, step: Step, args: Row) -> Any:
        (loop,) = (inner for inner in step.inner if isinstance(inner, Loop))
        count, seqs = len(loop.states), len(loop.seqs)
        assert loop.length is not None
        init = [[x] for x in args[:count]]
        rows = [x[: loop.length] for x in args[count : count + seqs]]
        made = self.loop(loop, init, rows, args[count + seqs :], loop.length)
        return [*made.last, *made.ys][int(step.op.split()[1])]

    def loop(self, loop: Loop, init: list[Row], seqs: Row, captured: Row, count: Any) -> Ended:
        """A loop from initial values (per state, oldest first) and rows."""
        if self.unrolled:
            return self._written_out(loop, init, seqs, captured, count)
        if loop.kind == "taps":
            return self._with_taps(loop, init, seqs, captured)
        states, start = len(loop.states), tuple(row[-1] for row in init)

        def run(own: Sequence[Any], xs: Sequence[Any], more: Sequence[Any] = ()) -> tuple:
            return tuple(self.body(loop.body, [*own, *xs, *captured, *more]))

        if loop.kind == "fori":
            return Ended(list(sc.fori_loop(0, count, lambda i, c: run(c, (), (i,)), start)), [])
        if loop.kind == "map":
            return Ended([], list(sc.map(lambda xs: run((), xs), tuple(seqs))))
        if loop.kind == "while":
            first = sc.asarray(0)
            last = sc.while_loop(
                lambda c: (c[0] < count) & self._goes_on(loop, c[1:]),
                lambda c: (c[0] + 1, *run(c[1:], ())),
                (first, *start),
            )
            return Ended(list(last[1:]), [], last[0])
        more = {} if loop.stop is None else {"until": lambda c: ~self._goes_on(loop, c)}

        def step(carry: tuple, xs: tuple | None) -> tuple[tuple, tuple]:
            made = run(carry, xs or ())
            return made[:states], made[states:]

        rows = tuple(seqs) or None
        last, ys = sc.scan(step, start, rows, length=count, reverse=loop.kind == "reverse", **more)
        return Ended(list(last), list(ys))

    def _goes_on(self, loop: Loop, states: Sequence[Any]) -> Any:
        if loop.stop is None:
            return sc.asarray(True)
        return sc.sum(states[0] * 1.0) < loop.stop

    def _with_taps(self, loop: Loop, init: list[Row], seqs: Row, captured: Row) -> Ended:
        slices = sum(map(len, loop.seq_taps))

        def step(*args: Any) -> Row:
            past = args[slices : len(args) - len(captured)]
            return self.body(loop.body, [*past, *args[:slices], *args[len(args) - len(captured) :]])

        info: list[Any] = [
            row[-1] if taps == (-1,) else {"initial": sc.stack(row), "taps": list(taps)}
            for row, taps in zip(init, loop.taps, strict=True)
        ]
        pairs = zip(seqs, loop.seq_taps, strict=True)
        made, _ = theano.scan(
            step,
            [{"input": x, "taps": list(taps)} for x, taps in pairs],
            info + [None] * len(loop.ys),
            captured,
            return_list=True,
        )
        return Ended([], list(made))

    # Written out.
    def _written_out(
        self, loop: Loop, init: list[Row], seqs: Row, captured: Row, count: int
    ) -> Ended:
        lows = [min(0, *taps) for taps in loop.seq_taps]
        spans = [max(0, *taps) - low for taps, low in zip(loop.seq_taps, lows, strict=True)]
        steps = max(0, count - max(spans, default=0))
        past = [list(row) for row in init]
        traces: list[list[Any]] = [[None] * steps for _ in (*loop.states, *loop.ys)]
        going: Any = None
        ran: list[Any] = []
        order = reversed(range(steps)) if loop.kind == "reverse" else range(steps)
        for t in order:
            xs = [
                x[t - low + tap]
                for x, low, taps in zip(seqs, lows, loop.seq_taps, strict=True)
                for tap in taps
            ]
            if loop.kind == "while" and loop.stop is not None:
                going = _both(going, self._goes_on(loop, [row[-1] for row in past]))
            own = [row[tap] for row, taps in zip(past, loop.taps, strict=True) for tap in taps]
            more = [sc.asarray(t)] if loop.kind == "fori" else []
            made = self.body(loop.body, [*own, *xs, *captured, *more])
            if going is not None:
                old = [row[-1] for row in past] + [0.0 * y for y in made[len(past) :]]
                made = [sc.where(going, new, kept) for new, kept in zip(made, old, strict=True)]
            ran.append(sc.asarray(1) if going is None else going * 1)
            for row, new in zip(past, made, strict=False):
                row.append(new)
            for trace, new in zip(traces, made, strict=True):
                trace[t] = new
            if loop.kind == "scan" and loop.stop is not None:
                going = _both(going, self._goes_on(loop, made))
        kept = traces if loop.kind == "taps" else traces[len(loop.states) :]
        types = (*loop.states, *loop.ys) if loop.kind == "taps" else loop.ys
        ys = [_stacked(trace, type) for trace, type in zip(kept, types, strict=True)]
        last = [] if loop.kind == "taps" else [row[-1] for row in past]
        return Ended(last, ys, sum(ran, sc.asarray(0)))


@dataclass(frozen=True)
class Ended:
    """The last states, the ys, and the number of steps where it is known."""

    last: Row
    ys: Row
    steps: Any = None


def _both(left: Any, right: Any) -> Any:
    return right if left is None else left & right


def _stacked(rows: Row, type: str) -> Any:
    if rows:
        return sc.stack(rows)
    return sc.zeros((0, *SHAPES[type]), dtype="i64" if type == "i" else "f64")


def _matrix(x: Any) -> Any:
    return x * np.eye(SIDE) if x.ndim == 0 else sc.reshape(x, (SIDE, 1)) * RAMP


def _vector(x: Any) -> Any:
    return x * RAMP if x.ndim == 0 else sc.sum(x, axis=0)


PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "max": sc.maximum,
    "min": sc.minimum,
    "neg": lambda x: -x,
    "sum": lambda x: sc.sum(x, axis=-1),
    "dot": lambda x, y: x @ y,
    "take": lambda x, i: sc.take(x, i, axis=0, mode="clip"),
    "take checked": lambda x, i: sc.take(x, i % SIDE, axis=0),
    "put": lambda x, i, row: x.at[i % SIDE].set(row),
    "put more": lambda x, i, row: x.at[i % SIDE].add(row),
    "float": lambda i: (i % 5) * 1.0,
    "round": lambda x: sc.astype(sc.floor(sc.clip(x, -9.0, 9.0)), "i64"),
    "next": lambda i: (i * 3 + 1) % 7,
    "make s": lambda x: sc.sum(x * 1.0),
    "make v": lambda x: _vector(x * 1.0),
    "make m": lambda x: _matrix(x * 1.0),
}


# Whole programs.
@dataclass(frozen=True)
class Input:
    """An input: its name, its type in letters, and how many rows: None for n."""

    name: str
    type: str
    rows: int | None = 0

    def spec(self, n: int | None, lanes: tuple[int, ...] = ()) -> str:
        """The type as text, n symbolic when it is None; `lanes`: axes before its own."""
        count = "n" if n is None else n
        rows = [count] if self.rows is None else [self.rows] if self.rows else []
        shape = [*lanes, *rows, *SHAPES[self.type]]
        return f"{'i64' if self.type == 'i' else 'f64'}[{','.join(map(str, shape))}]"

    def array(self, rng: np.random.Generator, n: int, exact: bool) -> np.ndarray:
        """Numbers for it: small integers in exact programs and for indices."""
        rows = [n] if self.rows is None else [self.rows] if self.rows else []
        shape = (*rows, *SHAPES[self.type])
        if self.type == "i":
            return np.asarray(rng.integers(-2, 5, shape))
        if exact:
            return np.asarray(rng.integers(-2, 3, shape), float)
        return np.asarray(rng.normal(size=shape))


class Program:
    """A drawn program as a function of its float inputs."""

    def __init__(self, drawn: Drawn) -> None:
        loop = self.loop = drawn.loop
        self.exact = drawn.exact
        depths = [-min(taps) for taps in loop.taps]
        self.states = [
            Input(f"init{i}", type, depth)
            for i, (type, depth) in enumerate(zip(loop.states, depths, strict=True))
        ]
        self.seqs = [Input(f"xs{i}", type, None) for i, type in enumerate(loop.seqs)]
        self.captured = [Input(f"w{i}", type) for i, type in enumerate(loop.captured)]
        self.inputs = [*self.states, *self.seqs, *self.captured]
        self.moving = [x for x in self.inputs if x.type != "i"]

    def arrays(self, rng: np.random.Generator, n: int) -> list[np.ndarray]:
        """Inputs, then directions of those that move, then what `_counts` names."""
        found = [x.array(rng, n, self.exact) for x in (*self.inputs, *self.moving)]
        return [*found, np.zeros(n), np.asarray(n)]

    def run(self, unrolled: bool, values: dict[str, Any], count: Any, n: Any) -> Ended:
        """The loop on values by name."""
        rows = [[values[x.name][i] for i in range(x.rows or 0)] for x in self.states]
        seqs = [values[x.name] for x in self.seqs]
        captured = [values[x.name] for x in self.captured]
        count = count if self.loop.kind == "while" and not unrolled else n
        return Values(self.exact, unrolled).loop(self.loop, rows, seqs, captured, count)

    def traced(self, n: int | None, unrolled: bool, parts: Sequence[str]) -> Traced:
        """A function of all inputs that gives the parts asked for: see `Parts`."""
        variables = [sc.var(x.name, x.spec(n)) for x in self.inputs]
        along = [sc.var(f"along {x.name}", x.spec(n)) for x in self.moving]
        rest = self._counts(n)
        given = dict(zip([x.name for x in self.inputs], variables, strict=True))

        def whole(*moving: Any) -> Ended:
            own = given | dict(zip([x.name for x in self.moving], moving, strict=True))
            return self.run(unrolled, own, rest[1], rest[0].shape[0])

        primals = tuple(given[x.name] for x in self.moving)
        made = Parts(whole, primals, tuple(along)).all(parts)
        return _traced([*variables, *along, *rest], made)

    def batch(self, n: int | None, lanes: int) -> Traced:
        """The values for `lanes` programs at once, of inputs with a leading axis."""
        variables = [sc.var(x.name, x.spec(n, (lanes,))) for x in self.inputs]
        rest = self._counts(n)

        def one(*own: Any) -> Row:
            values = dict(zip([x.name for x in self.inputs], own, strict=True))
            made = self.run(False, values, rest[1], rest[0].shape[0])
            return [lifted(x) for x in (*made.last, *made.ys)]

        return _traced([*variables, *rest], [list(sc.vmap(one)(*variables))])

    def _counts(self, n: int | None) -> list[Any]:
        """n rows that nobody reads, and the number of steps where only the run knows it."""
        return [sc.var("ticks", Input("ticks", "s", None).spec(n)), sc.var("count", "i64[]")]


@dataclass(frozen=True)
class Traced:
    """A traced program, and how many results each part has."""

    entry: Any
    function: Function
    counts: list[int]

    def split(self, results: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """The results by part."""
        rest = iter(results)
        return [[next(rest) for _ in range(count)] for count in self.counts]


def _traced(variables: Sequence[Any], made: Sequence[Row]) -> Traced:
    """A program of variables; `made`: its results by part."""
    infos = [InputInfo(str(x.name)) for x in variables]
    results = [x.__symc_operand__().value for row in made for x in row]
    entry = build("program", [x.value for x in variables], infos, results).entry
    return Traced(entry, entry.function, [len(row) for row in made])


@dataclass(frozen=True)
class Parts:
    """The values of a program and its derivatives, at `primals` along `along`.

    values; jvp: tangents of the float results; grad: slopes of one number made of them; hvp: the
    slopes moved along; third: those moved again; and jvp2, jvp3 with forward mode alone.
    """

    whole: Callable[..., Ended]
    primals: tuple[Any, ...]
    along: tuple[Any, ...]

    def all(self, parts: Sequence[str]) -> list[Row]:
        """The parts in order."""
        return [getattr(self, part)() for part in parts]

    def floats(self, *moving: Any) -> Row:
        made = self.whole(*moving)
        found = [lifted(x) for x in (*made.last, *made.ys)]
        return [x for x in found if x.dtype == np.float64]

    def loss(self, *moving: Any) -> Any:
        return sum((sc.sum(x * x + x) for x in self.floats(*moving)), sc.asarray(0.0))

    def values(self) -> Row:
        made = self.whole(*self.primals)
        return [lifted(x) for x in (*made.last, *made.ys)]

    def steps(self) -> Row:
        made = self.whole(*self.primals).steps
        return [] if made is None else [lifted(made)]

    def jvp(self) -> Row:
        return list(sc.jvp(lambda *w: self.floats(*w), self.primals, self.along)[1])

    def grad(self) -> Row:
        return list(self._slopes(*self.primals))

    def hvp(self) -> Row:
        return list(self._moved(*self.primals))

    def third(self) -> Row:
        return list(sc.jvp(self._moved, self.primals, self.along)[1])

    def jvp2(self) -> Row:
        return list(sc.jvp(lambda *w: self._pushed(*w), self.primals, self.along)[1])

    def jvp3(self) -> Row:
        def twice(*moving: Any) -> Row:
            return list(sc.jvp(self._pushed, moving, self.along)[1])

        return list(sc.jvp(twice, self.primals, self.along)[1])

    def _pushed(self, *moving: Any) -> Row:
        return list(sc.jvp(lambda *w: self.floats(*w), moving, self.along)[1])

    def _slopes(self, *moving: Any) -> tuple:
        return tuple(sc.grad(self.loss, argnums=tuple(range(len(moving))))(*moving))

    def _moved(self, *moving: Any) -> tuple:
        return tuple(sc.jvp(self._slopes, moving, self.along)[1])


def lifted(x: Any) -> Any:
    """A symbolic value."""
    return x if isinstance(x, sc.Expr) else lift(np.asarray(x), "result")
