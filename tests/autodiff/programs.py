"""Random composed programs in f64 with derivatives, at points where those exist.

Drawn like the programs of `fuzz.generate`, over the part of the op table through which derivatives
pass, with comparisons, casts and indices in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from fuzz.generate import DRAWERS, Grower, T
from symc.autodiff.linear import path
from symc.ir import ops
from symc.ir.core import Function, Value, reachable
from symc.ir.dims import symbol
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Op
from symc.ir.types import F32, F64, I64, TensorType, is_float

LARGEST = 30.0  # of any value, so that rounding says little
BETWEEN = (ops.GT, ops.FLOOR, ops.STOP_GRADIENT, ops.ARGMAX, ops.SIGN)
# Ops whose results often have no derivative, or are out of range, are drawn more often.
WEIGHTS = {ops.POW: 3, ops.STOP_GRADIENT: 3, ops.GT: 3, ops.PROD: 3, ops.ARGMAX: 2}
TABLE = tuple(
    op
    for op in ops.OPS.values()
    if op.kind in DRAWERS and (op.no_derivative is None or op in BETWEEN)
)


@dataclass
class Program:
    """A function from f64 params `wrt` (and others, fixed) to f64 results, with arrays for all."""

    function: Function
    wrt: list[Value]
    arrays: dict[Value, np.ndarray]
    used: Counter[str]

    def run(self, results: Sequence[Value], extra: dict[Value, np.ndarray]) -> list[np.ndarray]:
        """Values of any results over the same params; `extra` adds or replaces arrays."""
        arrays = {**self.arrays, **extra}
        nodes, _ = reachable(results)
        function = Function("run", tuple(arrays), tuple(nodes), tuple(results))
        return list(evaluate(function, list(arrays.values()), order="chain"))


def _is_single(option: object) -> bool:
    return isinstance(option, np.dtype) and option == F32


class Smooth(Grower):
    """A pool of f64 values and indices; single precision would drown what is compared."""

    def choose(self, options: Sequence[T]) -> T:
        double = [option for option in options if not _is_single(option)]
        return double[self.random.randrange(len(double))]

    def drawn(self, type: TensorType) -> np.ndarray:
        shape = tuple(self.number(size) for size in type.shape)
        rng = np.random.default_rng(self.random.randrange(2**32))
        if not is_float(type.dtype):
            return rng.integers(0, 3, shape).astype(type.dtype)
        return np.asarray(rng.uniform(0.3, 1.7, shape) * np.where(rng.random(shape) < 0.3, -1, 1))


def program(number: int, seen: Mapping[str, int]) -> Program | None:
    """Program number `number`; None when no result of it has a derivative worth comparing.

    Ops that `seen` counts seldom are drawn more often.
    """
    random = Random(number)
    g = Smooth(random)
    g.sizes = {name: random.choice([1, 2, 3, 4, 6]) for name in g.sizes}
    sizes = [g.add_param(I64, (symbol(name),)) for name in sorted(g.sizes)]
    wrt = [g.add_param(F64, g.shape(rank)) for rank in random.sample([0, 1, 2, 2, 3], 3)]
    weights = [WEIGHTS.get(op, 1) / (1 + seen.get(op.name, 0)) for op in TABLE]
    for op in random.choices(TABLE, weights, k=random.randint(6, 14)):
        _grow(g, op)
    arrays = {param: g.drawn(param.type) for param in g.params}
    results = _results(g, arrays, wrt)
    if not results:
        return None
    nodes, _ = reachable(results)
    function = Function("program", tuple(g.params), tuple(nodes), tuple(results))
    kept = {param: arrays[param] for param in dict.fromkeys((*sizes, *g.params))}
    used = Counter(node.op.name for node in nodes)
    return Program(function, wrt, kept, used)


def _grow(g: Smooth, op: Op) -> None:
    made = DRAWERS[op.kind](g, op)
    if made is not None and g.elements(made.type.shape) <= 400:
        g.pool.append(made)


def _results(g: Smooth, arrays: dict[Value, np.ndarray], wrt: list[Value]) -> list[Value]:
    """Unread values that depend on `wrt`, all of whose ancestors are moderate numbers."""
    nodes, _ = reachable(g.pool)
    values = [result for node in nodes for result in node.results]
    function = Function("all", tuple(arrays), tuple(nodes), tuple(values))
    with np.errstate(all="ignore"):
        found = evaluate(function, list(arrays.values()), order="chain")
    good = set(arrays)
    for node, array in zip(nodes, found, strict=True):
        moderate = array.dtype != F64 or bool(np.all(np.abs(array) <= LARGEST))
        if moderate and good.issuperset(node.operands):
            good.update(node.results)
    read = {operand for node in nodes if node.results[0] in good for operand in node.operands}
    active = {node.results[0] for node in path([v for v in values if v in good], wrt)}
    return [v for v in values if v in good and v in active and v not in read]
