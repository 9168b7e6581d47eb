"""The guards of rule tables: a row fires on its examples, once, and is right wherever it fires.

Whatever stands one change away from an example, a row may fire there or not; where it does, types
stay, and so do bits, or values under a licence.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ir.op_cases import closed
from passes.neighbours import neighbours
from passes.rule_examples import DIMS, function_of, instances, rule_sets
from symc.ir.core import Function
from symc.ir.dims import substitute
from symc.ir.errors import SymcError
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.types import BOOL, F32, F64
from symc.ir.verify import verify
from symc.passes.draw import Draw
from symc.passes.pattern import Rule, RuleSet
from symc.passes.rewrite import rewrite

SETS = rule_sets()
ROWS = list(
    {
        id(rule): (name, rule)
        for name, rules in SETS.items()
        for rule in rules.rules
        if rule.guard is not None or rule.examples
    }.values()
)
FAST = Options(numerics="fast")
each_row = pytest.mark.parametrize(
    ("owner", "rule"), ROWS, ids=[f"{name}:{rule.name}" for name, rule in ROWS]
)
EXAMPLES = [(name, rule) for name, rule in ROWS if rule.examples]
INSTANCES, SEEDS = 4, 6
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan)


def around(rule: Rule, through: bool) -> Iterator[tuple[Function, str]]:
    """Functions one change away from what the row rewrites."""
    for number, instance in enumerate(instances(rule, through, INSTANCES)):
        tame = rule.licence is not None
        count = 4 if tame else 12  # exact arithmetic is dear
        yield from neighbours(instance.function, number, count, tame=tame)


def inputs(function: Function, benign: bool) -> list[np.ndarray]:
    """Ordinary numbers, or for rows that keep bits: special ones and some of all magnitudes."""
    random = np.random.default_rng(3)
    found: list[np.ndarray] = []
    for param in function.params:
        shape = tuple(substitute(size, DIMS) for size in param.type.shape)
        dtype = param.type.dtype
        if dtype == BOOL:
            made = random.random(shape) < 0.5
        elif dtype.kind == "i":
            made = random.integers(-5, 6, shape)
        else:
            made = random.normal(size=shape)
            if not benign:
                made *= 10.0 ** random.integers(-3, 4, shape)
                made = np.where(random.random(shape) < 0.3, random.choice(SPECIAL, shape), made)
        found.append(np.asarray(made).astype(dtype))
    return found


def keep_meaning(rule: Rule, before: Function, after: Function, what: str) -> None:
    verify(after)
    assert [x.type for x in after.results] == [x.type for x in before.results], what
    exact = rule.licence is None
    data = inputs(before, not exact)
    with np.errstate(all="ignore"):
        try:
            (wanted,) = evaluate(before, data)
        except SymcError:
            return  # an index out of range: what is wrong already stays so
        (got,) = evaluate(after, data)
    if exact or wanted.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted, err_msg=what)
        if wanted.dtype.kind == "f":
            signs = np.signbit(got) == np.signbit(wanted)
            assert np.all(signs | np.isnan(wanted)), what
        return
    rounded = F32 in {
        x.type.dtype for node in before.nodes for x in (*node.operands, *node.results)
    }
    near = 1e-4 if rounded else 1e-10
    np.testing.assert_allclose(got, wanted, rtol=near, atol=near, err_msg=what)


def rewritten(rule: Rule, through: bool, function: Function) -> Function | None:
    """What the row makes of the function's result, once; None where it does not fire."""
    node = function.results[0].node
    assert node is not None
    found = RuleSet((rule,), through).first(node, FAST.licences, frozenset(function.params))
    if found is None:
        return None
    made = found[1].finished(rule.right(found[1]))
    return closed(function.params, [made.value])


@each_row
def test_a_row_is_right_wherever_it_fires(owner: str, rule: Rule) -> None:
    through = SETS[owner].through
    for before, what in around(rule, through):
        after = rewritten(rule, through, before)
        if after is not None:
            keep_meaning(rule, before, after, what)


@pytest.mark.parametrize(
    ("owner", "rule"), EXAMPLES, ids=[f"{name}:{rule.name}" for name, rule in EXAMPLES]
)
def test_every_example_is_rewritten(owner: str, rule: Rule) -> None:
    """Each way to draw one, with one of the seeds at least."""
    through = SETS[owner].through
    for number, sample in enumerate(rule.examples):
        drawn = [Draw(seed, F64) for seed in range(SEEDS)]
        found = [function_of(sample(draw), draw) for draw in drawn]
        assert any(rewritten(rule, through, before) for before in found), number


@each_row
def test_a_row_is_done_with_what_it_made(owner: str, rule: Rule) -> None:
    """It fires again, on parts of its result, less often than there were nodes: not for ever."""
    rules = RuleSet((rule,), SETS[owner].through)
    for instance in instances(rule, rules.through, SEEDS):
        after = rewritten(rule, rules.through, instance.function)
        if after is not None:
            settles(rules, after, len(instance.function.nodes))


def settles(rules: RuleSet, function: Function, most: int) -> None:
    fired: list[str] = []

    def count(rule: Rule, *_: object) -> None:
        fired.append(rule.name)
        assert len(fired) < most

    rewrite(function, rules, FAST, count)
