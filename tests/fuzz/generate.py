"""Random typed programs over the whole op table.

A program grows forward from a pool of values: an op is drawn, then operands and attributes that its
type rule accepts, with adapters (cast, broadcast, slice) inserted where needed.  Sizes are
symbolic; `Generated.sizes` gives each its number, so the same program also exists with static
sizes.  Every draw goes through one `random.Random`, which hypothesis supplies and shrinks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Value, reachable
from symc.ir.dims import Dim, Size, substitute, symbol
from symc.ir.ops import scatter
from symc.ir.ops.record import Kind, Op
from symc.ir.types import BOOL, DTYPE_NAMES, I32, I64, Literal, TensorType, is_float

T = TypeVar("T")

NUMBERS = (0, 1, 2, 3, 5, 7, 16, 17, 33, 65)
WEIGHTS = (1, 4, 6, 6, 6, 4, 3, 4, 3, 2)
MODES = ("clip", "wrap", "fill", "raise")
LARGEST = 4000  # elements of any value, so that a program takes microseconds


@dataclass
class Generated:
    """A function over symbolic sizes, the numbers to give them, and arrays for its params."""

    function: Function
    sizes: dict[str, int]
    arrays: list[np.ndarray]
    used: Counter[str] = field(default_factory=Counter)


class Grower:
    """The pool of values of one program being grown."""

    def __init__(self, random: Random) -> None:
        self.random = random
        names = ("a", "b", "c")
        self.sizes = {n: random.choices(NUMBERS, WEIGHTS)[0] for n in names}
        self.params: list[Value] = []
        self.pool: list[Value] = []
        self.used: Counter[str] = Counter()

    # Draws.
    def choose(self, options: Sequence[T]) -> T:
        return options[self.random.randrange(len(options))]

    def number(self, size: Size) -> int:
        found = substitute(size, self.sizes)
        assert isinstance(found, int)
        return found

    def elements(self, shape: Sequence[Size]) -> int:
        return int(np.prod([self.number(s) for s in shape], dtype=np.int64))

    def size(self) -> Size:
        """A dim, or the number of one, or a small number."""
        name = self.choose(sorted(self.sizes))
        return self.choose([symbol(name), symbol(name), symbol(name), 1, 3])

    def shape(self, rank: int) -> tuple[Size, ...]:
        while True:
            found = tuple(self.size() for _ in range(rank))
            if self.elements(found) <= LARGEST:
                return found
            rank = max(1, rank - 1)

    def value(self, accept: Callable[[Value], bool] = lambda _: True) -> Value | None:
        """A value of the pool that fits, recent ones more often."""
        fitting = [v for v in self.pool if accept(v)]
        if not fitting:
            return None
        return self.choose(fitting[-4:]) if self.random.random() < 0.6 else self.choose(fitting)

    # Growth.
    def add_param(self, dtype: np.dtype, shape: tuple[Size, ...]) -> Value:
        value = Value(TensorType(dtype, shape), name=f"p{len(self.params)}")
        self.params.append(value)
        self.pool.append(value)
        return value

    def make(self, op: Op, operands: Sequence[Value], **attrs: object) -> Value:
        value = apply(op, tuple(operands), attrs).results[0]  # type: ignore[arg-type]
        self.used[op.name] += 1
        return value

    def fitted(self, type: TensorType) -> Value:
        """A value of exactly `type`: from the pool, adapted, or a new param."""
        same = self.value(lambda v: v.type == type)
        if same is not None and self.random.random() < 0.8:
            return same
        castable = self.value(lambda v: v.type.shape == type.shape)
        if castable is not None and self.random.random() < 0.6:
            return self.make(ops.CAST, [castable], dtype=type.dtype)
        scalar = self.value(lambda v: v.type.dtype == type.dtype and v.type.rank == 0)
        if scalar is not None and type.rank and self.random.random() < 0.5:
            return self.make(ops.BROADCAST, [scalar], shape=type.shape, axes=())
        if self.random.random() < 0.4:
            return self.constant(type)
        return self.add_param(type.dtype, type.shape)

    def constant(self, type: TensorType) -> Value:
        number = self.choose([0, 1, -1, 2, 0.5, -0.0, 3])
        literal = Literal(np.array(number).astype(type.dtype))
        scalar = self.make(ops.CONSTANT, (), value=literal)
        if not type.shape:
            return scalar
        return self.make(ops.BROADCAST, [scalar], shape=type.shape, axes=())

    def grow(self, op: Op) -> bool:
        """Apply `op` to something; False when nothing fits."""
        made = DRAWERS[op.kind](self, op)
        if made is None or self.elements(made.type.shape) > LARGEST:
            return False
        self.pool.append(made)
        return True


def _dtypes(op: Op) -> tuple[np.dtype, ...]:
    return tuple(DTYPE_NAMES[name] for name in op.samples.dtypes)


def _elementwise(g: Grower, op: Op) -> Value | None:
    base = g.value()
    assert base is not None
    assert op.arity is not None
    accepted = tuple(DTYPE_NAMES.values()) if op is ops.WHERE else _dtypes(op)
    dtype = base.type.dtype if base.type.dtype in accepted else g.choose(accepted)
    type = base.type.with_dtype(dtype)
    operands = [g.fitted(type) for _ in range(op.arity)]
    if op is ops.WHERE:
        operands[0] = g.fitted(type.with_dtype(BOOL))
    attrs = {"dtype": g.choose(tuple(DTYPE_NAMES.values()))} if op is ops.CAST else {}
    return g.make(op, operands, **attrs)


def _source(g: Grower, op: Op) -> Value | None:
    if op is ops.SIZE:
        return g.make(op, (), size=g.size())
    dtype = g.choose([d for d in DTYPE_NAMES.values() if d != BOOL])
    if op is ops.IOTA:
        shape = g.shape(g.choose([1, 2]))
        return g.make(op, (), shape=shape, axis=g.random.randrange(len(shape)), dtype=dtype)
    return g.constant(TensorType(dtype, g.shape(g.choose([0, 1, 2]))))


def _view(g: Grower, op: Op) -> Value | None:
    x = g.value(lambda v: v.type.rank > 0)
    if x is None:
        return None
    shape, rank = x.type.shape, x.type.rank
    if op is ops.BARRIER:
        after = g.value()
        return None if after is None else g.make(op, [x, after])
    if op is ops.BROADCAST:
        place = g.random.randrange(rank + 1)
        new = (*shape[:place], g.size(), *shape[place:])
        if g.elements(new) > LARGEST:
            return None
        return g.make(op, [x], shape=new, axes=[i + (i >= place) for i in range(rank)])
    if op is ops.PERMUTE:
        axes = list(range(rank))
        g.random.shuffle(axes)
        return g.make(op, [x], axes=axes)
    if op is ops.RESHAPE:
        joined: Size = 1
        for size in shape:
            joined = joined * size
        return g.make(op, [x], shape=g.choose([(joined,), (1, *shape), (*shape, 1), (1, joined)]))
    starts, sizes, steps = zip(*(_range(g, size) for size in shape), strict=True)
    return g.make(op, [x], starts=starts, sizes=sizes, steps=steps)


def _range(g: Grower, size: Size) -> tuple[Size, Size, int]:
    """Start, number and step of a slice that is in range for the numbers and provably so."""
    if isinstance(size, Dim):
        return g.choose([(0, size, 1), (size - 1, size, -1)])
    step = g.choose([1, 1, 2, -1])
    start = g.random.randrange(size) if size else 0
    most = (size - start + step - 1) // step if step > 0 else min(size, start + 1)
    return (start, g.random.randint(0, max(0, most)), step)


def _assemble(g: Grower, op: Op) -> Value | None:
    x = g.value(lambda v: v.type.rank > 0)
    if x is None:
        return None
    shape = x.type.shape
    if op is ops.CONCAT:
        parts = [g.fitted(x.type) for _ in range(g.choose([0, 1, 2]))]
        return g.make(op, [x, *parts], axis=g.random.randrange(len(shape)))
    starts, sizes, steps = zip(*(_range(g, size) for size in shape), strict=True)
    piece = g.fitted(TensorType(x.type.dtype, tuple(sizes)))
    return g.make(op, [x, piece], starts=starts, steps=steps)


def _reduce(g: Grower, op: Op) -> Value | None:
    single = op.name.startswith("arg")
    x = g.value(lambda v: v.type.rank > 0 and v.type.dtype in _dtypes(op))
    if x is None:
        x = g.fitted(TensorType(g.choose(_dtypes(op)), g.shape(2)))
    axes = [i for i in range(x.type.rank) if g.random.random() < 0.5] or [x.type.rank - 1]
    if single:
        axes = axes[:1]
    if (
        op.reducer is not None
        and _refuses_empty(op)
        and any(g.number(x.type.shape[a]) == 0 for a in axes)
    ):
        return None
    return g.make(op, [x], axes=axes)


def _refuses_empty(op: Op) -> bool:
    return op.name in {"max", "min", "argmax", "argmin"}


def _contract(g: Grower, op: Op) -> Value | None:
    x = g.value(lambda v: v.type.rank in {1, 2, 3} and v.type.dtype in _dtypes(op))
    if x is None:
        x = g.fitted(TensorType(g.choose(_dtypes(op)), g.shape(2)))
    lhs = g.random.randrange(x.type.rank)
    batch = [0] if x.type.rank == 3 and lhs != 0 else []
    free = [g.size()] if g.random.random() < 0.8 else []
    first = [x.type.shape[axis] for axis in batch]
    order = [*first, x.type.shape[lhs], *free]
    axis = len(batch)
    if free and g.random.random() < 0.5:
        order[-1], order[-2] = order[-2], order[-1]
        axis += 1
    if g.elements(order) > LARGEST:
        return None
    y = g.fitted(TensorType(x.type.dtype, tuple(order)))
    return g.make(
        op,
        [x, y],
        lhs_batch=batch,
        rhs_batch=batch,
        lhs_contract=[lhs],
        rhs_contract=[axis],
        order="any",
    )


def _indices(g: Grower, shape: tuple[Size, ...]) -> Value:
    """An integer operand; `cast` and arithmetic make it land in and out of range."""
    return g.fitted(TensorType(I64, shape))


def _gather(g: Grower, op: Op) -> Value | None:
    x = g.value(lambda v: v.type.rank in {1, 2} and g.elements(v.type.shape) > 0)
    if x is None:
        return None
    axis = g.random.randrange(x.type.rank)
    shape = list(x.type.shape)
    if op is ops.TAKE:
        index = _indices(g, g.shape(g.choose([0, 1, 2])))
    else:
        shape[axis] = g.size()
        index = _indices(g, tuple(shape))
    return g.make(op, [x, index], axis=axis, mode=g.choose(MODES[:3]))


def _scatter(g: Grower, op: Op) -> Value | None:
    x = g.value(
        lambda v: v.type.rank in {1, 2} and g.elements(v.type.shape) > 0 and v.type.dtype != BOOL
    )
    if x is None:
        return None
    axis = g.random.randrange(x.type.rank)
    shape = list(x.type.shape)
    if op in {ops.SCATTER, ops.SCATTER_FOLD}:
        index = _indices(g, g.shape(1))
        shape[axis : axis + 1] = index.type.shape
    else:
        shape[axis] = g.size()
        index = _indices(g, tuple(shape))
    if g.elements(shape) > LARGEST:
        return None
    update = g.fitted(TensorType(x.type.dtype, tuple(shape)))
    combine = g.choose(scatter.LINEAR if op in {ops.SCATTER, ops.SCATTER_ALONG} else scatter.FOLDS)
    mode = g.choose(MODES[:3])
    return g.make(op, [x, index, update], axis=axis, mode=mode, combine=combine)


DRAWERS: dict[Kind, Callable[[Grower, Op], Value | None]] = {
    Kind.ELEMENTWISE: _elementwise,
    Kind.SOURCE: _source,
    Kind.VIEW: _view,
    Kind.ASSEMBLE: _assemble,
    Kind.REDUCE: _reduce,
    Kind.CONTRACT: _contract,
    Kind.GATHER: _gather,
    Kind.SCATTER: _scatter,
}
TABLE = tuple(op for op in ops.OPS.values() if op.kind in DRAWERS)


def generate(random: Random, seen: Mapping[str, int]) -> Generated:
    """One program of 8 ops or more; ops that `seen` counts seldom are drawn more often."""
    g = Grower(random)
    binding = [g.add_param(I32, (symbol(name),)) for name in sorted(g.sizes)]
    for dtype in random.sample(list(DTYPE_NAMES.values()), 3):
        g.add_param(dtype, g.shape(random.choice([0, 1, 2, 2, 3])))
    wanted = _wanted(random, seen)
    made = 0
    for op in wanted:
        made += g.grow(op)
    while made < 8:
        made += g.grow(g.choose(TABLE))
    read = {operand for node in reachable(g.pool)[0] for operand in node.operands}
    results = tuple(v for v in g.pool if v.node is not None and v not in read)
    nodes, free = reachable(results)
    kept = {*binding, *free}
    params = tuple(p for p in g.params if p in kept)
    function = Function("program", params, tuple(nodes), results)
    arrays = [np.asarray(_array(g, param.type)) for param in params]
    used = Counter(node.op.name for node in nodes)
    return Generated(function, g.sizes, arrays, used)


def _wanted(random: Random, seen: Mapping[str, int]) -> list[Op]:
    """Ops to draw, over the whole table, with a good share of reductions and indexed access."""
    weights = [1 / (1 + seen.get(op.name, 0)) for op in TABLE]
    drawn = random.choices(TABLE, weights, k=random.randint(8, 20))
    for share, kinds in ((0.5, {Kind.REDUCE}), (0.5, {Kind.GATHER, Kind.SCATTER, Kind.ASSEMBLE})):
        if random.random() < share:
            fitting = [op for op in TABLE if op.kind in kinds]
            drawn.insert(random.randrange(len(drawn)), fitting[random.randrange(len(fitting))])
    return drawn


SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 1e-40, 3e38)


def _array(g: Grower, type: TensorType) -> np.ndarray:
    """Small integers, normal numbers, specials and ties, in the mix of the reliability contract."""
    shape = tuple(g.number(size) for size in type.shape)
    rng = np.random.default_rng(g.random.randrange(2**32))
    integers = rng.integers(-3, 4, shape)
    if type.dtype == BOOL:
        return integers > 0
    if not is_float(type.dtype):
        huge = rng.integers(
            np.iinfo(type.dtype).min, np.iinfo(type.dtype).max, shape, endpoint=True
        )
        return np.where(rng.random(shape) < 0.1, huge, integers).astype(type.dtype)
    kind = rng.random(shape)
    values = np.where(kind < 0.5, integers, rng.standard_normal(shape))
    with np.errstate(over="ignore"):
        special = np.asarray(SPECIAL).astype(type.dtype)
    return np.where(kind > 0.9, rng.choice(special, shape), values.astype(type.dtype)).astype(
        type.dtype
    )
