"""The tables of `algebra`: every row fires where it should, and keeps what its licence says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from passes.rows import agree, check
from symc.ir import ops, term
from symc.ir.core import Function, Value
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.term import Term
from symc.ir.types import DTYPE_NAMES, TensorType
from symc.passes import algebra, dce
from symc.passes.pattern import Rule

ROWS = [row for table in algebra.TABLES[1:] for row in table.rules]


@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.name)
def test_row(rule: Rule) -> None:
    check(rule, "algebra")
    check(rule, "algebra", special=True)


def test_names_are_unique() -> None:
    names = [row.name for table in algebra.TABLES for row in table.rules]
    assert len(set(names)) == len(names)


NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, -1.5, 5e-324, 2.0**31, 2.0**31 - 1, -(2.0**31), 2.0**53 + 2]
LIMITS = [1e300, -1e300, np.inf, -np.inf, np.nan, 2.0**63, -(2.0**63), 3e38, 1e-45, 2.0**24 + 1]


def specials(dtype: np.dtype) -> np.ndarray:
    values = np.array([*NUMBERS, *LIMITS])
    with np.errstate(all="ignore"):
        if dtype.kind == "f":
            return values.astype(dtype)
        if dtype.kind == "b":
            return np.resize(np.array([True, False]), values.size)
    info = np.iinfo(dtype)
    whole = [0, 1, -1, 2, info.max, info.min, info.max - 1, 2**24 + 1, 2**31 - 1]
    return np.resize(np.array(whole, dtype), values.size)


@pytest.mark.parametrize("kinds", list(itertools.product(DTYPE_NAMES, repeat=3)), ids="-".join)
def test_every_chain_of_casts_keeps_its_values(kinds: tuple[str, str, str]) -> None:
    """A dtype in the middle may lose bits (or the sign of zero); then both casts stay."""
    source, *others = (DTYPE_NAMES[kind] for kind in kinds)
    given = specials(source)
    x = Term(Value(TensorType(source, given.shape), name="x"))
    y = x
    for other in others:
        y = term.make(ops.CAST, y, dtype=other)
    nodes = (y.value.node.operands[0].node, y.value.node)
    before = Function("casts", (x.value,), nodes, (y.value,))
    after = dce.run(algebra.run(before, Options()), Options())
    with np.errstate(all="ignore"):
        left, right = evaluate(before, [given])[0], evaluate(after, [given])[0]
    agree(left, right, "-".join(kinds), signs=True)
    assert len(after.nodes) <= 2
