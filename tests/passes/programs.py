"""Programs for the tests of fusion, lowering and buffers, and the comparison they all make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from passes.run_program import Machine, plain_launches
from symc.ir import ops
from symc.ir.build import parameter
from symc.ir.core import Attrs, Function, Value, reachable
from symc.ir.dims import Size, substitute, symbol
from symc.ir.entry import Entry, InputInfo
from symc.ir.evaluate import evaluate
from symc.ir.program import Program
from symc.ir.term import Term, apply_op, full, iota, make, where
from symc.ir.types import F32, F64, I64, TensorType
from symc.ir.verify_nest import verify_nest
from symc.passes import buffers, buffers_check, plan_build
from symc.passes.plan import Plan

N = symbol("n")


def function(params: Sequence[Value], results: Sequence[Term]) -> Function:
    """A function of these params and results, named f."""
    values = [result.value for result in results]
    nodes, _ = reachable(values, params)
    return Function("f", tuple(params), tuple(nodes), tuple(values))


def given(name: str, *shape: Size, dtype: np.dtype = F32) -> Term:
    """A parameter as a term."""
    return Term(parameter(name, dtype, shape))


def entry_of(
    f: Function,
    *,
    states: int = 0,
    updates: Sequence[int] = (),
    donated: Sequence[int] = (),
) -> Entry:
    """An entry whose last `states` params are states."""
    count = len(f.params) - states
    inputs = tuple(InputInfo(f"x{i}", donated=i in donated) for i in range(count))
    return Entry(f, inputs, tuple(f"s{i}" for i in range(states)), (), tuple(updates))


def compiled(entry: Entry) -> tuple[Plan, Program]:
    """The plan and the program, with one launch per nest."""
    plan = plan_build.run(entry)
    for step in plan.steps:
        verify_nest(step.nest)
    return plan, buffers.run(plan, plain_launches(plan))


def check(entry: Entry, arrays: Sequence[np.ndarray], *, seed: int = 0) -> tuple[Plan, Program]:
    """Compile, run in the test machine, and compare every result bit for bit with the oracle."""
    plan, program = compiled(entry)
    for size in (0, 1, 2, 1000):
        sizes = {name: size + i for i, name in enumerate(program.dims)}
        buffers_check.check(program, plan, plain_launches(plan), sizes)
    count = len(entry.inputs)
    outputs, states = Machine(program, plan, seed=seed).run(arrays[:count], arrays[count:])
    wanted = evaluate(entry.function, arrays, order="chain")
    found = [*outputs, *(states[slot] for slot in entry.updates)]
    for number, (have, want) in enumerate(zip(found, wanted, strict=True)):
        same_bits(np.asarray(have), want, f"result {number}")
    return plan, program


def same_bits(have: np.ndarray, want: np.ndarray, what: str) -> None:
    """Equal shapes and bits; any NaN equals any other."""
    assert have.shape == want.shape, f"{what}: {have.shape} and {want.shape}"
    assert have.dtype == want.dtype, what
    if want.dtype.kind == "f":
        nan = np.isnan(want)
        np.testing.assert_array_equal(np.isnan(have), nan, err_msg=what)
        kind = np.dtype(f"i{want.dtype.itemsize}")
        have, want = np.where(nan, 0, have), np.where(nan, 0, want)
        np.testing.assert_array_equal(have.view(kind), want.view(kind), err_msg=what)
        return
    np.testing.assert_array_equal(have, want, err_msg=what)


def draw(type: TensorType, rng: np.random.Generator, dims: dict[str, int]) -> np.ndarray:
    """A random array of a type."""
    shape = tuple(int(substitute(size, dims)) for size in type.shape)  # type: ignore[arg-type]
    match type.dtype.kind:
        case "b":
            return rng.random(shape) < 0.5
        case "i":
            return rng.integers(-4, 5, shape).astype(type.dtype)
        case _:
            return np.asarray(rng.normal(size=shape)).astype(type.dtype)


def softmax(x: Term) -> Term:
    """Over the last axis."""
    rows, axes = x.shape, tuple(range(x.rank - 1))
    top = make(ops.MAX, x, axes=(x.rank - 1,))
    e = make(ops.EXP, x - top.broadcast(rows, axes))
    return e / e.sum((x.rank - 1,)).broadcast(rows, axes)


def log_softmax(x: Term) -> Term:
    """Over the last axis."""
    rows, axes = x.shape, tuple(range(x.rank - 1))
    top = make(ops.MAX, x, axes=(x.rank - 1,))
    y = x - top.broadcast(rows, axes)
    total = make(ops.EXP, y).sum((x.rank - 1,))
    return y - make(ops.LOG, total).broadcast(rows, axes)


def mean(x: Term, axes: Sequence[int]) -> Term:
    count: Size = 1
    for axis in axes:
        count = count * x.shape[axis]
    total = x.sum(tuple(axes))
    amount = make(ops.SIZE, size=count).cast(x.dtype).broadcast(total.shape, ())
    return total / amount


def layer_norm(x: Term, weight: Term, bias: Term) -> Term:
    rows, axes = x.shape, tuple(range(x.rank - 1))
    last = x.rank - 1
    y = x - mean(x, (last,)).broadcast(rows, axes)
    spread = make(ops.SQRT, mean(y * y, (last,)) + 1e-5)
    scaled = y / spread.broadcast(rows, axes)
    return scaled * weight.broadcast(rows, (last,)) + bias.broadcast(rows, (last,))


def one_hot(labels: Term, classes: int, dtype: np.dtype = F32) -> Term:
    shape = (*labels.shape, classes)
    spread = labels.broadcast(shape, range(labels.rank))
    return spread.eq(iota(shape, labels.rank, labels.dtype)).cast(dtype)


def dot(a: Term, b: Term, contract: tuple[int, int] = (1, 0), order: str = "any") -> Term:
    """Product of two matrices over one axis of each."""
    attrs: Attrs = {
        "lhs_batch": (),
        "rhs_batch": (),
        "lhs_contract": (contract[0],),
        "rhs_contract": (contract[1],),
        "order": order,
    }
    return apply_op(ops.DOT, (a, b), attrs)


def training_step(sizes: Sequence[int], batch: Size, *, momentum: bool = False) -> Entry:
    """One SGD step of a tanh network with softmax and cross-entropy, derivatives by hand."""
    x, labels = given("x", batch, sizes[0]), given("labels", batch, dtype=I64)
    layers = list(pairwise(sizes))
    weights = [given(f"W{i}", a, b) for i, (a, b) in enumerate(layers)]
    biases = [given(f"b{i}", b) for i, (_, b) in enumerate(layers)]
    speeds = [given(f"v{i}", a, b) for i, (a, b) in enumerate(layers)] if momentum else []
    hidden = [x]
    for w, b in zip(weights, biases, strict=True):
        z = dot(hidden[-1], w)
        z = z + b.broadcast(z.shape, (1,))
        hidden.append(make(ops.TANH, z) if w is not weights[-1] else z)
    logits = hidden.pop()
    logp = log_softmax(logits)
    truth = one_hot(labels, sizes[-1])
    loss = mean(-(logp * truth).sum((1,)), (0,))
    count = make(ops.SIZE, size=batch).cast(F32)
    g = (make(ops.EXP, logp) - truth) / count.broadcast(logits.shape, ())
    news: list[Term] = []
    for i in reversed(range(len(layers))):
        dw, db = dot(hidden[i], g, (0, 0)), g.sum((0,))
        if i:
            back = dot(g, weights[i], (1, 1))
            g = back * (1 - hidden[i] * hidden[i])
        if momentum:
            v = speeds[i] * 0.9 + dw
            news = [weights[i] - v * 0.1, biases[i] - db * 0.1, v, *news]
        else:
            news = [weights[i] - dw * 0.1, biases[i] - db * 0.1, *news]
    states = [
        s
        for group in zip(weights, biases, *([speeds] if momentum else []), strict=True)
        for s in group
    ]
    params = [t.value for t in (x, labels, *states)]
    return entry_of(function(params, [loss, *news]), states=len(states), updates=range(len(states)))


def shared_program(rng: np.random.Generator, steps: int, rows: Size) -> Function:
    """A random program over a pool of values of many shapes."""
    return _Random(rng, rows).program(steps)


def shared_entry(rng: np.random.Generator, steps: int, rows: Size) -> Entry:
    """A random program some of whose params are states that it updates, or donated inputs."""
    drawn = _Random(rng, rows)
    f = drawn.program(steps)
    count = int(rng.integers(1, 4))
    states = [drawn.params[int(i)] for i in rng.permutation(len(drawn.params))[:count]]
    rest = [t for t in (*drawn.params, drawn.index) if t not in states]
    updates: list[int] = []
    news: list[Term] = []
    for slot, state in enumerate(states):
        fits = [t for t in drawn.pool if t.shape == state.shape]
        chosen = fits[-1] if rng.random() < 0.5 else fits[int(rng.integers(len(fits)))]
        news.append(state * 0.5 - chosen if rng.random() < 0.4 else chosen)
        updates.append(slot)
    results = [*(Term(value) for value in f.results), *news]
    donated = [int(i) for i in range(len(rest)) if rng.random() < 0.5]
    made = function([t.value for t in (*rest, *states)], results)
    return entry_of(made, states=count, updates=updates, donated=donated)


class _Random:
    """Draws operations whose operands come from a growing pool."""

    def __init__(self, rng: np.random.Generator, rows: Size) -> None:
        self.rng = rng
        self.rows = rows
        shapes: list[tuple[Size, ...]] = [(rows, 3), (rows,), (3,), (), (4, rows, 3), (3, 4)]
        self.params = [given(f"p{i}", *shape, dtype=F64) for i, shape in enumerate(shapes)]
        self.index = given("index", 5, dtype=I64)
        self.pool = list(self.params)

    def pick(self, rank: int | None = None) -> Term:
        fits = [t for t in self.pool if rank is None or t.rank == rank]
        recent = fits[-6:] if self.rng.random() < 0.7 else fits
        return recent[int(self.rng.integers(len(recent)))]

    def program(self, steps: int) -> Function:
        for _ in range(steps):
            choice = self.rng.choice(list(_DRAW), p=_CHANCES)
            made = _DRAW[choice](self)
            if made is not None:
                self.pool.append(made)
        fresh = self.pool[len(self.params) :]
        count = min(len(fresh), int(self.rng.integers(1, 4)))
        chosen = [fresh[int(i)] for i in self.rng.choice(len(fresh), count)]
        chosen.append(fresh[-1])
        return function([t.value for t in (*self.params, self.index)], chosen)

    def fitted(self, like: Term) -> Term:
        """A term of the same shape: from the pool, broadcast, or a ramp."""
        same = [t for t in self.pool if t.shape == like.shape]
        choice = self.rng.random()
        if choice < 0.6:
            return same[int(self.rng.integers(len(same)))]
        if choice < 0.8 and like.rank:
            axis = int(self.rng.integers(like.rank))
            return iota(like.shape, axis, F64)
        small = [t for t in self.pool if t.rank == 1 and like.shape[-1:] == t.shape]
        if small and like.rank:
            return small[-1].broadcast(like.shape, (like.rank - 1,))
        return full(like.shape, 1.5, F64)


def _unary(r: _Random) -> Term:
    op = [ops.EXP, ops.TANH, ops.ABS, ops.NEG, ops.SQRT, ops.LOG1P][int(r.rng.integers(6))]
    return make(op, r.pick())


def _binary(r: _Random) -> Term:
    op = [ops.ADD, ops.SUB, ops.MUL, ops.MAXIMUM, ops.DIV][int(r.rng.integers(5))]
    x = r.pick()
    return make(op, x, r.fitted(x))


def _choose(r: _Random) -> Term:
    x = r.pick()
    y = r.fitted(x)
    return where(x.lt(y), x, r.fitted(x))


def _reduce(r: _Random) -> Term | None:
    x = r.pick()
    if not x.rank:
        return None
    axes = sorted({int(a) for a in r.rng.integers(0, x.rank, int(r.rng.integers(1, 3)))})
    op = [ops.SUM, ops.SUM, ops.MAX, ops.PROD][int(r.rng.integers(4))]
    total = make(op, x, axes=tuple(axes))
    if r.rng.random() < 0.5:
        kept = [a for a in range(x.rank) if a not in axes]
        return x - total.broadcast(x.shape, kept)
    return total


def _arg(r: _Random) -> Term | None:
    x = r.pick()
    if not x.rank:
        return None
    return make(ops.ARGMAX, x, axes=(int(r.rng.integers(x.rank)),)).cast(F64)


def _permute(r: _Random) -> Term:
    x = r.pick()
    return x.permute([int(a) for a in r.rng.permutation(x.rank)])


def _reverse(r: _Random) -> Term | None:
    x = r.pick()
    if not x.rank:
        return None
    axis = int(r.rng.integers(x.rank))
    starts = [x.shape[a] - 1 if a == axis else 0 for a in range(x.rank)]
    return x.slice(starts, x.shape, [-1 if a == axis else 1 for a in range(x.rank)])


def _flatten(r: _Random) -> Term:
    x = r.pick()
    count: Size = 1
    for size in x.shape:
        count = count * size
    return x.reshape((count,)) if r.rng.random() < 0.5 else x.reshape((1, *x.shape))


def _join(r: _Random) -> Term | None:
    x = r.pick()
    if not x.rank:
        return None
    axis = int(r.rng.integers(x.rank))
    return make(ops.CONCAT, x, r.fitted(x), axis=axis)


def _overwrite(r: _Random) -> Term | None:
    x = r.pick()
    if not x.rank or x.shape[-1] != 3:
        return None
    piece = x.narrow(x.rank - 1, 0, 2) * 2
    return x.set_slice(piece, [*([0] * (x.rank - 1)), 1], [1] * x.rank)


def _gather(r: _Random) -> Term | None:
    x = r.pick()
    if x.rank not in {1, 2} or x.shape[-1] != 3:
        return None
    mode = ["wrap", "clip", "fill"][int(r.rng.integers(3))]
    return make(ops.TAKE, x, r.index, axis=x.rank - 1, mode=mode)


def _scatter(r: _Random) -> Term | None:
    x = r.pick()
    if x.rank not in {1, 2} or x.shape[-1] != 3:
        return None
    values = full((*x.shape[:-1], 5), 0.5, F64) + iota((*x.shape[:-1], 5), x.rank - 1, F64)
    attrs = {"axis": x.rank - 1, "mode": "wrap", "combine": ["set", "add"][int(r.rng.integers(2))]}
    return make(ops.SCATTER, x, r.index, values, **attrs)


def _product(r: _Random) -> Term | None:
    x, y = r.pick(2), r.pick(2)
    for i in range(2):
        for j in range(2):
            if x.shape[i] == y.shape[j]:
                product = dot(x, y, (i, j), "chain")
                return make(ops.TANH, product) if r.rng.random() < 0.5 else product
    return None


_DRAW = {
    "unary": _unary,
    "binary": _binary,
    "choose": _choose,
    "reduce": _reduce,
    "arg": _arg,
    "permute": _permute,
    "reverse": _reverse,
    "flatten": _flatten,
    "join": _join,
    "overwrite": _overwrite,
    "gather": _gather,
    "scatter": _scatter,
    "product": _product,
}
_CHANCES = np.array([3, 6, 2, 5, 1, 2, 1, 1, 1, 1, 1, 1, 2], float) / 27
