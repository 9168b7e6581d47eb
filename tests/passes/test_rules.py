"""Every row of every rule table, by machine: it fires on what it is for and on nothing near it,
keeps type, shape and bits, or is within bounds under its licence, or more accurate than written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import mpmath
import numpy as np
import pytest

from passes.accuracy import DIFFERENCES, POINTS, assert_accurate, slack_of
from passes.exact import exactly
from passes.rule_examples import (
    DIMS,
    DTYPES,
    Instance,
    changes,
    every_dtype_is_drawn,
    function_of,
    instances,
    near_misses,
    rule_sets,
)
from symc.ir import ops
from symc.ir.core import Function, Value
from symc.ir.dims import substitute
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.term import Term
from symc.ir.types import BOOL, F32, F64, Literal
from symc.ir.verify import verify
from symc.passes import algebra, dce, stabilise
from symc.passes.draw import Draw
from symc.passes.pattern import Apply, Const, Either, Hole, Match, Pattern, Rule, RuleSet
from symc.passes.rewrite import rewrite

SETS = rule_sets()
# Each row once: a set may hold rows of another.
ROWS = list(
    {id(rule): (name, rule) for name, rules in SETS.items() for rule in rules.rules}.values()
)
MEANING = [(name, rule) for name, rule in ROWS if rule.licence == "meaning"]
FAST, STRICT = Options(numerics="fast"), Options()
SPECIAL = [0.0, -0.0, 1.0, -1.5, 5e-324, -1e-310, np.inf, -np.inf, np.nan, 3.0, 1e300]
TRIES = 18

each_row = pytest.mark.parametrize(
    ("owner", "rule"), ROWS, ids=[f"{name}:{rule.name}" for name, rule in ROWS]
)
each_meaning_row = pytest.mark.parametrize(
    ("owner", "rule"), MEANING, ids=[rule.name for _, rule in MEANING]
)


@dataclass(frozen=True, slots=True)
class Granted:
    """Options as a rewrite sees them."""

    licences: frozenset[str]


def fires(
    rules: RuleSet, function: Function, options: Options | Granted = FAST
) -> tuple[list[str], Function]:
    """The names of the rows that fired, in order, and what they made."""
    fired: list[str] = []
    after = rewrite(function, rules, options, lambda rule, *_: fired.append(rule.name))  # type: ignore[arg-type]
    return fired, dce.run(after, STRICT)


def alone(rule: Rule, through: bool) -> RuleSet:
    return RuleSet((rule,), through)


def unconditional(pattern: Pattern) -> Pattern:
    """The pattern without conditions on attributes."""
    match pattern:
        case Apply(_, operands):
            return replace(pattern, operands=tuple(map(unconditional, operands)), attrs=None)
        case Either(options):
            return Either(tuple(map(unconditional, options)))
        case Hole() | Const():
            return pattern


@dataclass(frozen=True, slots=True)
class Trial:
    """An instance of a row and what the row makes of it; None where the guard refuses."""

    instance: Instance
    after: Function | None

    @property
    def before(self) -> Function:
        return self.instance.function


@cache
def trials(rule: Rule, through: bool) -> tuple[Trial, ...]:
    """What the row makes of its instances; the pattern without conditions must match every one."""
    found = []
    left = unconditional(rule.left)
    assert isinstance(left, Apply)
    bare = alone(replace(rule, left=left, guard=None, licence=None), through)
    for instance in instances(rule, through, TRIES):
        (result,) = instance.function.results
        assert result.node is not None
        matched = rule.examples or bare.first(result.node, frozenset()) is not None
        assert matched, f"{rule.name} does not match its own pattern, {instance.what}"
        fired, after = fires(alone(rule, through), instance.function)
        found.append(Trial(instance, after if rule.name in fired else None))
    hits = sum(trial.after is not None for trial in found)
    assert not rule.examples or 3 * hits >= len(found), f"{rule.name} refuses its examples"
    return tuple(found)


def suited(rule: Rule, through: bool) -> list[tuple[Function, Function]]:
    """Before and after, where the row fired."""
    return [(x.before, x.after) for x in trials(rule, through) if x.after is not None]


def arrays(function: Function, numbers: Sequence[float], seed: int) -> list[np.ndarray]:
    """One array per param, of the given numbers in drawn places; integers at their limits too."""
    random = np.random.default_rng(seed)
    found = []
    for param in function.params:
        shape = tuple(substitute(size, DIMS) for size in param.type.shape)
        dtype = param.type.dtype
        if dtype == BOOL:
            made = random.random(shape) < 0.5
        elif dtype.kind == "i":
            limits = np.iinfo(dtype)
            made = random.choice([0, 1, -1, 2, 7, -6, limits.min, limits.max], shape)
        else:
            made = random.choice(list(numbers), shape)
        with np.errstate(over="ignore"):
            found.append(np.asarray(made).astype(dtype))
    return found


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return np.array_equal(left, right)
    nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(nan | ((left == right) & (np.signbit(left) == np.signbit(right)))))


def results_of(function: Function, inputs: Sequence[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return evaluate(function, inputs)[0]


# --- the rows ------------------------------------------------------------------------------------


def test_every_rule_set_is_found() -> None:
    found = {id(rules) for rules in SETS.values()}
    assert {id(algebra.RULES), id(stabilise.RULES)} <= found
    assert every_dtype_is_drawn()


def test_names_are_unique() -> None:
    for rules in SETS.values():
        assert len({rule.name for rule in rules.rules}) == len(rules.rules)


@each_row
def test_row_fires_on_its_matches(owner: str, rule: Rule) -> None:
    """On each of them by itself; on one at least beside the other rows of its table."""
    found = suited(rule, SETS[owner].through)
    assert len(found) >= 3, "too few instances: the row needs examples of its own"
    for before, after in found:
        verify(after)
        assert [x.type for x in after.results] == [x.type for x in before.results]
    together = any(rule.name in fires(SETS[owner], before)[0] for before, _ in found)
    assert together, "another row takes every match away from this one"


@each_row
def test_row_leaves_near_misses_alone(owner: str, rule: Rule) -> None:
    """A change that may be another spelling of the same must then be right."""
    through = SETS[owner].through
    count = sum(trial.after is None for trial in trials(rule, through))
    dtypes = list({before.results[0].type.dtype: 0 for before, _ in suited(rule, through)})
    for instance, spelling in near_misses(rule, through, 6, dtypes):
        count += 1
        fired, after = fires(alone(rule, through), instance.function)
        if fired:
            assert spelling, f"{rule.name} fires on a near miss: {instance.what}"
            assert_same_meaning(rule, instance.function, after)
    assert count, "no near misses: the row needs some of its own"


def assert_same_meaning(rule: Rule, before: Function, after: Function) -> None:
    for seed in range(2):
        inputs = arrays(before, [0.5, -1.0, 2.0, 0.25], seed)
        if rule.licence is None:
            assert same_bits(results_of(before, inputs), results_of(after, inputs))
        elif before.results[0].type.dtype.kind == "f":
            left, right = exactly(before, inputs)[0], exactly(after, inputs)[0]
            for x, y in zip(left.flat, right.flat, strict=True):
                assert (mpmath.isnan(x) and mpmath.isnan(y)) or mpmath.almosteq(x, y, 1e-30)


@each_row
def test_row_asks_for_its_licence(owner: str, rule: Rule) -> None:
    """Never fires without it; with it the results are near what was written."""
    for before, after in suited(rule, SETS[owner].through):
        granted = Granted(FAST.licences - {rule.licence})
        fired, _ = fires(SETS[owner], before, granted)
        if rule.licence in {None, "meaning"}:
            continue
        assert rule.name not in fired
        inputs = arrays(before, [0.5, -1.0, 2.0, 0.25, 1.75], 0)
        near = 1e-5 if F32 in {x.type.dtype for x in before.params} else 1e-12
        left, right = results_of(before, inputs), results_of(after, inputs)
        np.testing.assert_allclose(right, left, rtol=near, atol=near)


@each_row
def test_row_without_licence_keeps_bits(owner: str, rule: Rule) -> None:
    """On every pair of special numbers in any two inputs, and at the limits of integers."""
    if rule.licence is not None:
        return
    for before, after in suited(rule, SETS[owner].through)[:12]:
        for seed in range(4):
            inputs = arrays(before, SPECIAL, seed)
            assert same_bits(results_of(before, inputs), results_of(after, inputs))
    for before, after in widest(suited(rule, SETS[owner].through)):
        for inputs in all_pairs(before):
            assert same_bits(results_of(before, inputs), results_of(after, inputs))


def widest(found: list[tuple[Function, Function]]) -> list[tuple[Function, Function]]:
    """The pair of functions with two float inputs of one shape that has most elements."""
    fitting = [pair for pair in found if len(paired(pair[0])) == 2]
    return sorted(fitting, key=lambda pair: -elements(paired(pair[0])[0]))[:1]


def paired(function: Function) -> list[Value]:
    floats = [x for x in function.params if x.type.dtype.kind == "f"]
    return floats if len({x.type for x in floats}) == 1 else []


def elements(value: Value) -> int:
    return int(np.prod([substitute(size, DIMS) for size in value.type.shape]))


def all_pairs(function: Function) -> Iterator[list[np.ndarray]]:
    """Inputs that hold, between them, all pairs of special numbers in the two float inputs."""
    pairs = np.array(list(product(SPECIAL, SPECIAL)))
    columns = dict(zip(paired(function), pairs.T, strict=True))
    for start in range(0, len(pairs), elements(paired(function)[0])):
        inputs = arrays(function, SPECIAL, start)
        with np.errstate(over="ignore"):
            yield [
                np.resize(columns[param][start:], array.shape).astype(array.dtype)
                if param in columns
                else array
                for param, array in zip(function.params, inputs, strict=True)
            ]


# --- accuracy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F32, F64], ids=["f32", "f64"])
@each_meaning_row
def test_meaning_row_is_accurate(owner: str, rule: Rule, dtype: np.dtype) -> None:
    """R2.1-4: at most 8 ULP at the listed points, and at random ones, under views and casts."""
    through = SETS[owner].through
    count = 0
    for before, _ in suited(rule, through):
        if before.results[0].type.dtype != dtype or count == 4:
            continue
        count += 1
        _, after = fires(SETS[owner], before, STRICT)
        for numbers in (POINTS, list(np.random.default_rng(count).normal(0, 3, 20))):
            inputs = arrays(before, numbers, count)
            wanted = exactly(before, inputs)[0]
            slack = slack_of(before, inputs, wanted) if rule.name in DIFFERENCES else None
            assert_accurate(results_of(after, inputs), wanted, slack)
    assert count


# --- the machinery -------------------------------------------------------------------------------


X = Hole("x")


def test_a_hole_for_a_constant_is_caught() -> None:
    """1 / (exp(x) + c) as a sigmoid, whatever c is."""
    pattern = Apply(ops.DIV, (Const(1.0), Apply(ops.ADD, (Hole("c"), Apply(ops.EXP, (X,))))))
    rule = Rule("wrong", pattern, lambda m: m.make(ops.SIGMOID, m.make(ops.NEG, m["x"])), "meaning")
    with pytest.raises(AssertionError):
        check_accuracy(rule)


def check_accuracy(rule: Rule) -> None:
    for before, after in suited(rule, True):
        if before.results[0].type.dtype.kind == "f":
            inputs = arrays(before, [-1.0, 0.5, 2.0], 1)
            assert_accurate(results_of(after, inputs), exactly(before, inputs)[0])


def test_a_wrong_right_hand_side_is_caught() -> None:
    pattern = Apply(ops.LOG, (Apply(ops.ADD, (Const(1.0), X)),))
    check_accuracy(Rule("right", pattern, lambda m: m.make(ops.LOG1P, m["x"]), "meaning", _floats))
    with pytest.raises(AssertionError):
        check_accuracy(
            Rule("wrong", pattern, lambda m: m.make(ops.LOG, m["x"]), "meaning", _floats)
        )


def _floats(m: Match) -> bool:
    return m.root.type.dtype.kind == "f"


def test_a_missing_guard_is_caught() -> None:
    """x - x is 0 for integers; for floats it is not, where x is infinite."""
    pattern = Apply(ops.SUB, (X, X))
    good = Rule("zero", pattern, lambda m: m.constant(0), guard=lambda m: not _floats(m))
    bad = replace(good, guard=None)
    keeps(good)
    with pytest.raises(AssertionError):
        keeps(bad)


def keeps(rule: Rule) -> None:
    for before, after in suited(rule, False):
        for seed in range(4):
            inputs = arrays(before, SPECIAL, seed)
            assert same_bits(results_of(before, inputs), results_of(after, inputs))


def test_near_misses_take_every_step() -> None:
    """Constants, ops, repeated holes and operands that may not be swapped."""
    pattern = Apply(ops.SUB, (Apply(ops.EXP, (X,)), Apply(ops.ADD, (Const(1.0), X))))
    what = " ".join(change.what for change in changes(pattern, Draw(0)))
    for step in ("0.0 for 1.0", "for exp", "for add", "sub the other way", "two values"):
        assert step in what


def test_a_matcher_that_ignores_constants_is_caught() -> None:
    """A row that fires on log(c + x) for any c fires on its near miss."""
    any_number = Apply(ops.LOG, (Apply(ops.ADD, (Const(1.0), X)),))
    loose = Rule(
        "loose",
        Apply(ops.LOG, (Apply(ops.ADD, (Hole("c"), X)),)),
        lambda m: m.make(ops.LOG1P, m["x"]),
        "meaning",
    )
    strict = replace(loose, left=any_number)
    missed = [
        fires(alone(loose, True), instance.function)[0]
        for instance, _ in near_misses(strict, True, 6)
        if "for 1.0" in instance.what
    ]
    assert any(missed)


def test_draws_repeat() -> None:
    rule = stabilise.RULES.rules[0]
    first, second = (
        [x.function.results[0].type for x in instances(rule, True, 10)] for _ in range(2)
    )
    assert first == second


def test_constants_are_written_in_several_ways() -> None:
    kinds = set()
    for seed in range(20):
        draw = Draw(seed, symbolic=False)
        like = draw.input((2, 3))
        value = draw.constant(1.0, like).value
        assert value.node is not None
        kinds.add(value.node.op)
        function = function_of(Term(value), draw)
        assert np.array_equal(results_of(function, arrays(function, SPECIAL, 0)), np.ones((2, 3)))
    assert kinds == {ops.CONSTANT, ops.BROADCAST}
    assert isinstance(Literal(np.ones(2)), Literal)
    assert F64 in DTYPES
