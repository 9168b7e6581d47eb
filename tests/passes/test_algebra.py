"""The tables of `algebra`: every row fires where it should, and keeps what its licence says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import symc as sc
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


def applied(f: object, op: ops.Op) -> int:
    """How often the optimised program applies an op."""
    return f.ir("optimized").count(f'"symc.{op.name}"')


def test_what_cancels_is_not_computed() -> None:
    """R2.1-1: x - x is 0 and x is not computed, with a licence; else NaN stays NaN."""

    def f(x: sc.Expr) -> sc.Expr:
        dear = sc.exp(sc.sin(x))
        return dear - dear + x

    given = np.array([1.0, np.inf, np.nan])
    fast, strict = sc.jit(f, cache=False, numerics="fast"), sc.jit(f, cache=False)
    assert fast(given[:1]) == 1.0
    np.testing.assert_array_equal(np.isnan(strict(given)), [False, True, True])
    assert [applied(fast, op) for op in (ops.EXP, ops.SIN)] == [0, 0]
    assert [applied(strict, op) for op in (ops.EXP, ops.SIN)] == [1, 1]


def test_transposes_and_repetitions_of_operands_cost_nothing() -> None:
    """`A.T`, a batch of equal weights: no copy, and the weights are read once."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 8, 5)), rng.standard_normal((5, 4))
    f = sc.jit(lambda x, w: x @ sc.broadcast_to(w, (3, 5, 4)), cache=False)
    np.testing.assert_allclose(f(x, w), x @ w, rtol=1e-12)
    assert len(f.explain().kernels) == 1
    assert f.cost().bytes == 8 * (x.size + w.size + 3 * 8 * 4)
    g = sc.jit(lambda w, x: (w.T @ x[0].T).T, cache=False)
    np.testing.assert_allclose(g(w, x), x[0] @ w, rtol=1e-12)
    assert len(g.explain().kernels) == 1


def test_a_scale_leaves_a_contraction_with_a_licence() -> None:
    """(c * A) @ B needs no array for c * A; a sign needs no licence."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    for factor, numerics, kernels in ((0.3, "strict", 2), (0.3, "fast", 1), (-1.0, "strict", 1)):
        f = sc.jit(lambda a, b, c=factor: (a * c) @ b, cache=False, numerics=numerics)
        np.testing.assert_allclose(f(a, b), a * factor @ b, rtol=1e-12)
        assert len(f.explain().kernels) == kernels, (factor, numerics)


def test_a_sum_of_a_product_is_a_product_of_sums_with_a_licence() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((60, 50)), rng.standard_normal((50, 40))
    costs = {}
    for numerics in ("strict", "fast"):
        f = sc.jit(lambda a, b: sc.sum(a @ b), cache=False, numerics=numerics)
        np.testing.assert_allclose(f(a, b), (a @ b).sum(), rtol=1e-10)
        costs[numerics] = f.cost().flops
    assert costs["fast"] < costs["strict"] / 10
