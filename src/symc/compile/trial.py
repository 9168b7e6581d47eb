"""Trials: random and special inputs for a function, what it gives on them, and what it costs.

before: a function, a size for all named dims, a seed.  after: arrays; results, or None where the
program refuses them; the first result that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir.core import Function, Node
from symc.ir.dims import substitute
from symc.ir.errors import SymcError
from symc.ir.evaluate import evaluate
from symc.ir.ops import attributes
from symc.ir.ops.record import Kind
from symc.ir.types import TensorType
from symc.records import dataclass

ZEROS: Final = (0.0, -0.0, 1.0, -1.0, 0.5)
SPECIAL: Final = (*ZEROS, np.inf, -np.inf, np.nan, 1e-310, 3e38)
# Per trial the size of all named dims, and the values among the ordinary ones: a few infinities and
# NaN fill whole programs, so that some trials have none.
TRIALS: Final[tuple[tuple[int, tuple[float, ...]], ...]] = (
    (3, ()),
    (1, SPECIAL),
    (17, ZEROS),
    (3, SPECIAL),
)
SEEDS: Final = tuple(range(len(TRIALS)))
MOST_WORK: Final = 300_000  # products of one run of the oracle: a tenth of a second
_PER_PRODUCT: Final = 50  # elements that take the time of one product
# Relative to the largest number of a result; accurate forms differ from naive ones by more than
# rounding only where the naive ones have failed.
_CLOSE: Final = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Result `number` differs on the inputs of trial `seed`; `found` is None for an error."""

    number: int
    seed: int
    expected: np.ndarray
    found: np.ndarray | None


def inputs(function: Function, seed: int, *, special: bool) -> list[np.ndarray]:
    """Arrays for the params of trial `seed`; only ordinary positive ones unless `special`."""
    rng = np.random.default_rng(seed)
    size, mixed = TRIALS[seed % len(TRIALS)]
    sizes = dict.fromkeys(_names(function), size)
    values = np.array(mixed) if special else None
    return [np.asarray(_drawn(p.type, sizes, rng, values)) for p in function.params]


def _names(function: Function) -> set[str]:
    return {symbol.name for param in function.params for symbol in param.type.symbols()}


def _shape(type: TensorType, sizes: dict[str, int]) -> tuple[int, ...]:
    found = (substitute(extent, sizes) for extent in type.shape)
    return tuple(size if isinstance(size, int) else 0 for size in found)


def _drawn(
    type: TensorType, sizes: dict[str, int], rng: np.random.Generator, mixed: np.ndarray | None
) -> np.ndarray:
    shape = _shape(type, sizes)
    if type.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if type.dtype.kind in "iu":
        return rng.integers(-2, 3, shape).astype(type.dtype)
    ordinary = rng.uniform(0.25, 2.0, shape)
    if mixed is not None:
        ordinary = ordinary * rng.choice([-1, 1], shape)
        if len(mixed):
            chosen = rng.choice(mixed, shape)
            ordinary = np.where(rng.random(shape) < 0.2, chosen, ordinary)
    with np.errstate(over="ignore"):
        drawn: np.ndarray = np.asarray(ordinary, type.dtype)
    return drawn


MOST_STEPS: Final = 1000  # of a loop that drawn inputs may keep from ending


def results(function: Function, arrays: Sequence[np.ndarray]) -> Arrays | None:
    """What the oracle gives, contractions in ascending order; None when it refuses."""
    try:
        with np.errstate(all="ignore"):
            return evaluate(function, arrays, order="chain", most_steps=MOST_STEPS)
    except SymcError:
        return None


def differing(
    expected: Arrays, found: Sequence[np.ndarray] | None, seed: int, *, exact: bool
) -> Mismatch | None:
    """The first result that differs: in any bit (NaN aside), or by more than rounding."""
    for number, left in enumerate(expected):
        right = None if found is None else np.asarray(found[number])
        if right is None or not agree(left, right, exact=exact):
            return Mismatch(number, seed, left, right)
    return None


def agree(left: np.ndarray, right: np.ndarray, *, exact: bool) -> bool:
    """Whether two results are the same, or close where that is all that is asked for."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    if not exact:
        finite = np.isfinite(left)
        a, b = left[finite].astype(np.float64), right[finite].astype(np.float64)
        size = float(np.max(np.abs(a), initial=1.0))
        with np.errstate(over="ignore"):
            return bool(np.all(np.abs(a - b) <= _CLOSE[left.dtype] * size))
    nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(nan | ((left == right) & (np.signbit(left) == np.signbit(right)))))


def work(function: Function) -> int:
    """Products that the largest trial of a function takes, or their like."""
    sizes = dict.fromkeys(_names(function), max(size for size, _ in TRIALS))
    total = 0
    for node in function.nodes:
        elements = sum(_elements(value.type, sizes) for value in (*node.results, *node.operands))
        total += elements // _PER_PRODUCT + _products(node, sizes)
        total += sum(work(region) for region in node.regions)
    return total


def _elements(type: TensorType, sizes: dict[str, int]) -> int:
    return int(np.prod(_shape(type, sizes), dtype=object))


def _products(node: Node, sizes: dict[str, int]) -> int:
    if node.op.kind is not Kind.CONTRACT:
        return 0
    shape = _shape(node.operands[0].type, sizes)
    terms = [shape[axis] for axis in attributes.integers(node.attrs, "lhs_contract")]
    return _elements(node.results[0].type, sizes) * int(np.prod(terms, dtype=object))
