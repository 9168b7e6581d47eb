"""Translation validation: every pass is run against the oracle, before and after.

before: what a pass was given and what it made of it.  after: nothing, or a CompileError that names
the pass and the first result that differs.  Chosen by `check="passes"`.

Inputs are random and special values; every named size gets the same small numbers, so that sizes
which must agree do.  Inputs that the program refuses (an index out of range, say) are left out.
Rows of the stability table change bits on purpose: after them ordinary inputs must give close
results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir.core import Function
from symc.ir.dims import substitute
from symc.ir.errors import CompileError, SymcError, message
from symc.ir.evaluate import evaluate
from symc.ir.types import TensorType
from symc.passes import INEXACT

SIZES: Final = (3, 1, 17)
SPECIAL: Final = (0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-310, 3e38)
# Relative to the largest number of a result; accurate forms differ from naive ones by more than
# rounding only where the naive ones have failed.
_CLOSE: Final = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}


def validate(name: str, before: Function, after: Function) -> None:
    """Compare what pass `name` was given with what it made; CompileError when results differ."""
    if before is after:
        return
    for seed, size in enumerate(SIZES):
        arrays = inputs(before, size, seed, special=name not in INEXACT)
        expected = _results(before, arrays)
        if expected is None:
            continue
        found = _results(after, arrays)
        for number, left in enumerate(expected):
            if found is None or not _agree(left, found[number], exact=name not in INEXACT):
                raise _mismatch(name, before, number, (left, None if found is None else found))


def inputs(function: Function, size: int, seed: int, *, special: bool) -> list[np.ndarray]:
    """Arrays for the params, every named size being `size`."""
    rng = np.random.default_rng(seed)
    names = {symbol.name for param in function.params for symbol in param.type.symbols()}
    sizes = dict.fromkeys(names, size)
    return [_drawn(param.type, sizes, rng, special=special) for param in function.params]


def _drawn(
    type: TensorType, sizes: dict[str, int], rng: np.random.Generator, *, special: bool
) -> np.ndarray:
    shape = tuple(int(str(substitute(extent, sizes))) for extent in type.shape)
    if type.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if type.dtype.kind in "iu":
        return rng.integers(-2, 3, shape).astype(type.dtype)
    ordinary = rng.uniform(0.25, 2.0, shape)
    if special:
        chosen = rng.choice(np.array(SPECIAL), shape)
        ordinary = np.where(rng.random(shape) < 0.2, chosen, ordinary * rng.choice([-1, 1], shape))
    with np.errstate(over="ignore"):
        drawn: np.ndarray = ordinary.astype(type.dtype)
    return drawn


def _results(function: Function, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...] | None:
    try:
        with np.errstate(all="ignore"):
            return evaluate(function, arrays, order="chain")
    except SymcError:
        return None


def _agree(left: np.ndarray, right: np.ndarray, *, exact: bool) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    if not exact:
        finite = np.isfinite(left)
        size = float(np.max(np.abs(left[finite]), initial=1.0))
        return bool(np.all(np.abs(left - right)[finite] <= _CLOSE[left.dtype] * size))
    nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(nan | ((left == right) & (np.signbit(left) == np.signbit(right)))))


def _mismatch(
    name: str, function: Function, number: int, values: tuple[np.ndarray, object]
) -> CompileError:
    node = function.results[number].node
    expected, found = values
    result = found[number] if isinstance(found, tuple) else "an error"
    return CompileError(
        message(
            f"{function.name}: pass {name} changes result {number}",
            got=_short(result),
            expected=_short(expected),
            where=node.locations[0] if node is not None else None,
            advice=f"python -m symc opt FILE -p {name} on f.ir('traced') shows what it did",
        )
    )


def _short(value: object) -> str:
    text = np.array2string(value, threshold=6) if isinstance(value, np.ndarray) else str(value)
    return " ".join(text.split())
