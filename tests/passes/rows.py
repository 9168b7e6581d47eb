"""Rows of rule tables as tests: each fires on its examples, never on its near misses.

Inputs are small integers, on which every order of summation gives the same bits, or special values,
for rows that keep every bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Function, reachable
from symc.ir.dims import substitute, symbol
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.report import Report
from symc.ir.term import Term
from symc.ir.types import BOOL, F64
from symc.passes import run_passes
from symc.passes.draw import Draw
from symc.passes.pattern import Apply, Const, Hole, Pattern, Rule, Sample

SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, 5e-324, -1e-310, np.inf, -np.inf, np.nan, 3.0, 1e300])
SIZES = {"m": 3, "n": 2, "k": 4}


def drawn(sample: Sample, seed: int, dtype: np.dtype = F64) -> Function:
    """The function that a sample draws."""
    draw = Draw(seed, dtype)
    root = sample(draw).value
    nodes, _ = reachable([root], draw.inputs)
    draw.input([symbol(name) for name in SIZES])  # a size that no other input has
    return Function("row", tuple(draw.inputs), tuple(nodes), (root,))


def plain(rule: Rule) -> Sample:
    """An instance of a pattern of elementwise ops: holes are inputs of one shape."""

    def sample(d: Draw) -> Term:
        shape = d.shape()
        holes: dict[str, Term] = {}

        def build(pattern: Pattern, dtype: np.dtype) -> Term:
            match pattern:
                case Hole(name):
                    if name not in holes:
                        holes[name] = d.input(shape, dtype)
                    return holes[name]
                case Const(value):
                    return term.full(shape, value, dtype)
                case Apply(op, operands):
                    kinds = [BOOL if op is ops.WHERE and i == 0 else dtype for i in range(3)]
                    if op is ops.NOT:
                        kinds = [BOOL]
                    parts = [build(p, k) for p, k in zip(operands, kinds, strict=False)]
                    return term.make(op, *parts)
                case _:
                    raise AssertionError(pattern)

        return build(rule.left, F64)

    return sample


def arrays(function: Function, seed: int, *, special: bool) -> list[np.ndarray]:
    """Inputs for `function`: small integers, or special values of its float params."""
    rng = np.random.default_rng(seed)
    found = []
    for param in function.params:
        shape = tuple(substitute(size, SIZES) for size in param.type.shape)
        dtype = param.type.dtype
        if dtype == BOOL:
            found.append(rng.random(shape) < 0.5)
        elif special and dtype.kind == "f":
            with np.errstate(over="ignore", under="ignore"):
                found.append(rng.choice(SPECIAL, shape).astype(dtype))
        elif special:
            info = np.iinfo(dtype)
            limits = [0, 1, -1, 2, 7, -8, info.max, info.min, info.max - 1, info.min + 1]
            found.append(rng.choice(np.array(limits, dtype), shape))
        else:
            found.append(rng.integers(-4, 5, shape).astype(dtype))
    return found


def fired(function: Function, names: Sequence[str], options: Options) -> tuple[Function, set[str]]:
    """What passes make of a function, and the rows that fired."""
    report = Report("rows")
    after = run_passes(function, (*names, "dce"), options, report)
    return after, {each.rule for each in report.fired}


def check(rule: Rule, pass_name: str, *, seeds: int = 6, special: bool = False) -> None:
    """One row: examples fire and keep values, near misses do not fire, licences are needed."""
    fast = Options(numerics="fast")
    strict = rule.licence in {None, "contraction"}
    for sample in rule.examples or (plain(rule),):
        hits = 0
        for seed in range(seeds):
            before = drawn(sample, seed)
            after, names = fired(before, (pass_name,), Options() if strict else fast)
            hits += rule.name in names
            if not strict:
                assert rule.name not in fired(before, (pass_name,), Options())[1]
            given = arrays(before, seed, special=special and rule.licence is None)
            left, right = evaluate(before, given)[0], evaluate(after, given)[0]
            if strict:
                agree(left, right, rule.name, signs=special and rule.licence is None)
            else:
                ordinary = np.isfinite(left)
                np.testing.assert_allclose(right[ordinary], left[ordinary], rtol=1e-12)
        assert hits, f"{rule.name} never fired on {sample}"
    for sample in rule.near:
        for seed in range(seeds):
            _, names = fired(drawn(sample, seed), (pass_name,), fast)
            assert rule.name not in names, sample


def agree(left: np.ndarray, right: np.ndarray, what: str, *, signs: bool = False) -> None:
    """Equal values; any NaN equals any other.  `signs`: those of zeros too."""
    assert left.shape == right.shape, what
    assert left.dtype == right.dtype, what
    if left.dtype.kind != "f":
        np.testing.assert_array_equal(left, right, err_msg=what)
        return
    same = (np.isnan(left) & np.isnan(right)) | (left == right)
    if signs:
        same &= np.isnan(left) | (np.signbit(left) == np.signbit(right))
    assert np.all(same), (what, left, right)
