"""Runs traced Python functions on the oracle: semantics without compiling."""

from collections.abc import Callable
from typing import Any

import numpy as np

from symc.frontend import tracing, trees
from symc.frontend.convert import as_array, is_scalar
from symc.frontend.signature import LeafPlace
from symc.frontend.specialise import Leaf
from symc.ir.dims import symbol
from symc.ir.evaluate import evaluate
from symc.ir.types import TensorType


def on_oracle(fn: Callable[..., Any], *args: Any, symbolic: bool = False) -> Any:
    """`fn(*args)` traced and run by the oracle; with `symbolic`, sizes above 1 are symbols.

    Equal sizes share a symbol.  The constraints of the trace are checked.
    """
    given, tree = trees.flatten((args, {}))
    arrays = [as_array(leaf, "argument") for leaf in given]
    leaves = [Leaf(a.dtype, a.ndim, is_scalar(g)) for a, g in zip(arrays, given, strict=True)]
    places = [LeafPlace(f"arg{i}", None, False) for i in range(len(leaves))]
    types = [
        TensorType(a.dtype, tuple(symbol(f"n{s}") if symbolic and s > 1 else s for s in a.shape))
        for a in arrays
    ]
    made = tracing.trace(fn, tree, leaves, places, types)
    entry = made.traced.entry
    states = [shared.get() for shared in made.traced.states]
    results = evaluate(entry.function, [*arrays, *states, *entry.constants])
    return trees.unflatten(made.tree, [np.asarray(r) for r in results[: entry.outputs]])


def same(got: Any, want: Any, *, tolerance: float = 0.0) -> None:
    """Assert equal dtype, shape and values (NaN equals NaN)."""
    want = np.asarray(want)
    assert got.dtype == want.dtype, (got.dtype, want.dtype)
    assert got.shape == want.shape, (got.shape, want.shape)
    if tolerance and want.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(got, want)
