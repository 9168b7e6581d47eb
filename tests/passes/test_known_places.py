"""A gather at known places is a slice exactly where those are a progression inside the axis."""

from __future__ import annotations

import numpy as np
import pytest

from ir.op_cases import closed
from symc.ir import ops, term
from symc.ir.core import Function
from symc.ir.errors import SymcError
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.verify import verify
from symc.passes.algebra_views import RULES
from symc.passes.draw import Draw
from symc.passes.rewrite import rewrite

MODES = ("raise", "wrap", "clip", "fill")


def gather(places: np.ndarray, mode: str, size: int) -> Function:
    x = Draw(0).input((size, 2))
    return closed([x.value], [term.take(x, term.constant(places), 0, mode).value])


def read(places: np.ndarray, mode: str, size: int) -> np.ndarray | None:
    """Which row is read for each place; None where that is an error or a fill."""
    rows = np.arange(1, size + 1)
    try:
        (found,) = evaluate(gather(places, mode, size), [np.stack([rows, rows], 1) * 1.0])
    except SymcError:
        return None
    return None if (found == 0).any() else found[:, 0].astype(np.int64) - 1


def drawn(seed: int) -> tuple[np.ndarray, int]:
    """Places of which many are progressions, some from below 0 or beyond the end."""
    draw = Draw(seed)
    size, count, step = draw.integer(2, 7), draw.integer(1, 4), draw.choose((1, 2, 3, -1, -2, -3))
    places = draw.integer(-size - 1, size) + step * np.arange(count, dtype=np.int64)
    if draw.integer(0, 3) == 0:
        places[draw.integer(0, count - 1)] += draw.choose((1, -1))
    return places, size


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(60))
def test_places(seed: int, mode: str) -> None:
    places, size = drawn(seed)
    before = gather(places, mode, size)
    after = rewrite(before, RULES, Options())
    sliced = all(node.op is not ops.TAKE for node in after.nodes)
    rows = read(places, mode, size)
    if sliced:
        verify(after)
        x = np.random.default_rng(seed).normal(size=(size, 2))
        assert rows is not None
        np.testing.assert_array_equal(evaluate(after, [x])[0], x[rows])
        return
    from_end = mode in {"raise", "wrap"} and np.array_equal(rows, places + size)
    steps = set(np.diff(places))
    assert not (len(steps) <= 1 and steps != {0} and (from_end or np.array_equal(rows, places)))
