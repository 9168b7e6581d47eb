"""Small entries that the tests of the driver compile."""

from __future__ import annotations

import numpy as np

from symc.compile import Compiled
from symc.ir import ops, term
from symc.ir.build import parameter
from symc.ir.core import Constraint, Function, reachable
from symc.ir.dims import symbol
from symc.ir.entry import Entry, InputInfo
from symc.ir.locations import Location
from symc.ir.term import Term
from symc.ir.types import F32
from symc.runtime.executable import Callable, Structure


def entry_of(
    *results: Term, name: str = "entry", constraints: tuple[Constraint, ...] = ()
) -> Entry:
    """The entry that computes `results` from the values that they reach."""
    nodes, free = reachable([result.value for result in results])
    params = tuple(sorted(free, key=lambda value: value.name or ""))
    function = Function(
        name, params, tuple(nodes), tuple(result.value for result in results), constraints
    )
    return Entry(function, tuple(InputInfo(param.name or "") for param in params))


def softmax_loss(rows: int | str = "n", name: str = "loss") -> Entry:
    """log(exp(x) / sum) over rows, written out, and tanh(x) beside it."""
    size = symbol(rows) if isinstance(rows, str) else rows
    x = Term(parameter("x", F32, (size, 7)))
    exponentials = term.make(ops.EXP, x)
    total = exponentials.sum([1]).broadcast(x.shape, [0])
    return entry_of(
        term.make(ops.LOG, exponentials / total), term.make(ops.TANH, x) * 1.0, name=name
    )


def constrained() -> Entry:
    """x + y, whose sizes must agree at the call."""
    n, m = symbol("n"), symbol("m")
    x, y = Term(parameter("x", F32, (n,))), Term(parameter("y", F32, (m,)))
    place = Location("constrained.py", 7)
    return entry_of(
        x + y.reshape((n,)), constraints=(Constraint(n, m, place, "x and y must match"),)
    )


def call(compiled: Compiled, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """One native call."""
    run = Callable()
    run.add_entry(compiled.executable, Structure.TUPLE)
    results: tuple[np.ndarray, ...] = run(*arrays)
    return results
