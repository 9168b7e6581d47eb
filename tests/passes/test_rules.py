"""Every row of the rule tables: it fires on its own pattern, and keeps bits or gains accuracy."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from symc.ir import ops, term
from symc.ir.build import apply
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.report import Fired, Report
from symc.ir.term import Term
from symc.ir.types import BOOL, DTYPE_NAMES, F32, F64, I32, I64, Literal, TensorType
from symc.passes import algebra, run_passes, stabilise
from symc.passes.pattern import Apply, Const, Hole, Pattern, Rule

SPECIAL = [0.0, -0.0, 1.0, -1.5, 5e-324, -1e-310, np.inf, -np.inf, np.nan, 3.0, 1e300]
INTEGERS = [0, 1, -1, 7, -(2**31), 2**31 - 1, 5, -6, 2, 3, 100]
SHAPE = (len(SPECIAL), 3)
FAST = Options(numerics="fast")

VIEW_ATTRS: dict[str, list[dict[str, object]]] = {
    "broadcast_same": [{"shape": SHAPE, "axes": (0, 1)}],
    "broadcast_broadcast": [
        {"shape": (2, *SHAPE), "axes": (1, 2)},
        {"shape": (2, 4, *SHAPE), "axes": (0, 2, 3)},
    ],
    "permute_same": [{"axes": (0, 1)}],
    "permute_permute": [{"axes": (1, 0)}, {"axes": (1, 0)}],
    "permute_broadcast": [{"shape": (2, *SHAPE), "axes": (1, 2)}, {"axes": (2, 0, 1)}],
    "reshape_same": [{"shape": SHAPE}],
    "reshape_reshape": [{"shape": (33,)}, {"shape": (3, 11)}],
    "slice_whole": [{"starts": (0, 0), "sizes": SHAPE, "steps": (1, 1)}],
    "slice_slice": [
        {"starts": (10, 1), "sizes": (5, 2), "steps": (-2, 1)},
        {"starts": (1, 0), "sizes": (2, 2), "steps": (2, 1)},
    ],
    "cast_same": [{"dtype": F64}],
    "log_of_broadcast": [{"shape": SHAPE, "axes": (0, 1)}],
    "log_of_reshape": [{"shape": SHAPE}],
    "log_of_sum_of_exp": [{"axes": (1,)}],
}


class Builder:
    """Builds an instance of a pattern: holes become params, views take their attributes in turn."""

    def __init__(self, rule: Rule, dtype: np.dtype) -> None:
        self.attrs = list(VIEW_ATTRS.get(rule.name, []))
        self.dtype = dtype
        self.holes: dict[str, Value] = {}

    def build(self, pattern: Pattern, dtype: np.dtype) -> Value:
        match pattern:
            case Hole(name):
                type = TensorType(dtype, SHAPE)
                return self.holes.setdefault(name, Value(type, name=name))
            case Const(value):
                literal = Literal(np.array(value).astype(dtype))
                scalar = apply(ops.CONSTANT, (), {"value": literal}).results[0]
                return Term(scalar).broadcast(SHAPE, ()).value
            case Apply(op, operands, _):
                dtypes = [BOOL if op is ops.WHERE and i == 0 else dtype for i in range(3)]
                if op is ops.NOT:
                    dtypes = [BOOL]
                values = [self.build(p, d) for p, d in zip(operands, dtypes, strict=False)]
                attrs = self.attrs.pop(0) if values and self.takes_attrs(op) else {}
                return apply(op, values, attrs).results[0]

    @staticmethod
    def takes_attrs(op: object) -> bool:
        return op in {ops.BROADCAST, ops.PERMUTE, ops.RESHAPE, ops.SLICE, ops.CAST, ops.SUM}


def instance(rule: Rule, dtype: np.dtype) -> Function:
    builder = Builder(rule, dtype)
    result = builder.build(rule.left, dtype)
    nodes, _ = reachable([result])
    return Function(rule.name, tuple(builder.holes.values()), tuple(nodes), (result,))


def inputs(function: Function, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = []
    for param in function.params:
        dtype = param.type.dtype
        source = SPECIAL if dtype.kind == "f" else INTEGERS
        column = np.array(source)[:, None]
        with np.errstate(over="ignore"):
            grid = np.concatenate([column, rng.permuted(column), rng.permuted(column)], axis=1)
            found.append((grid > 0) if dtype == BOOL else grid.astype(dtype))
    return found


def fire(
    rule: Rule, dtype: np.dtype, name: str, options: Options
) -> tuple[Function, Function, set[str]]:
    before = instance(rule, dtype)
    report = Report("rule")
    after = run_passes(before, (name, "dce"), options, report)
    return before, after, {fired.rule for fired in report.fired}


def dtype_of(rule: Rule) -> np.dtype:
    if rule.name.endswith("_integer"):
        return I32
    return BOOL if rule.name == "not_not" else F64


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype.kind != "f":
        return np.array_equal(left, right)
    nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(nan | ((left == right) & (np.signbit(left) == np.signbit(right)))))


@pytest.mark.parametrize("rule", algebra.RULES.rules, ids=lambda rule: rule.name)
def test_algebra_row_fires_and_keeps_bits(rule: Rule) -> None:
    before, after, fired = fire(rule, dtype_of(rule), "algebra", FAST)
    assert rule.name in fired
    if rule.licence is not None:
        _, kept, strictly = fire(rule, dtype_of(rule), "algebra", Options())
        assert rule.name not in strictly
        assert len(kept.nodes) == len(before.nodes)
        return
    for seed in range(3):
        arrays = inputs(before, seed)
        assert same_bits(evaluate(before, arrays)[0], evaluate(after, arrays)[0])


def _numbers(function: Callable[..., object], points: list[float]) -> list[object]:
    with mpmath.workprec(400):
        return [function(*(mpmath.mpf(p) for p in point)) for point in points]


POINTS = [-800.0, -40.0, -1.0, -1e-20, 0.0, 1e-20, 1.0, 40.0, 800.0]
_exp, _log = mpmath.exp, mpmath.log
_ACCURATE: dict[str, Callable[..., object]] = {
    "log_of_exp": lambda x: x,
    "log_of_one_plus_exp": lambda x: _log(1 + _exp(x)),
    "log1p_of_exp": lambda x: _log(1 + _exp(x)),
    "log_of_sigmoid": lambda x: -_log(1 + _exp(-x)),
    "log_of_one_plus": lambda x: _log(1 + x) if x >= -1 else mpmath.nan,
    "log_of_one_minus": lambda x: _log(1 - x) if x <= 1 else mpmath.nan,
    "log_of_exp_over": lambda x, y: x - _log(y) if y > 0 else mpmath.nan,
    "exp_minus_one": lambda x: _exp(x) - 1,
    "exp_plus_minus_one": lambda x: _exp(x) - 1,
    "reciprocal_of_one_plus_exp_neg": lambda x: 1 / (1 + _exp(-x)),
    "reciprocal_of_one_plus_exp": lambda x: 1 / (1 + _exp(x)),
    "one_minus_sigmoid": lambda x: 1 / (1 + _exp(x)),
    "exp_times_sigmoid_neg": lambda x: 1 / (1 + _exp(-x)),
    "log_of_broadcast": lambda x: _log(x) if x >= 0 else mpmath.nan,
    "log_of_reshape": lambda x: _log(x) if x >= 0 else mpmath.nan,
    "power_0": lambda x: mpmath.mpf(1),
    "power_1": lambda x: x,
    "power_2": lambda x: x * x,
    "power_half": lambda x: mpmath.sqrt(x) if x >= 0 else mpmath.nan,
    "power_minus_1": lambda x: 1 / x if x else mpmath.inf,
}


@pytest.mark.parametrize("dtype", [F32, F64], ids=["f32", "f64"])
@pytest.mark.parametrize(
    "rule",
    [rule for rule in stabilise.RULES.rules if rule.name != "log_of_sum_of_exp"],
    ids=lambda rule: rule.name,
)
def test_stability_row_fires_and_is_accurate(rule: Rule, dtype: np.dtype) -> None:
    """R2.1-4: at most 8 ULP at the listed points."""
    before, after, fired = fire(rule, dtype, "stabilise", Options())
    assert rule.name in fired
    column = np.array(POINTS).astype(dtype)
    grid = np.resize(column, SHAPE).copy()
    (got,) = evaluate(after, [grid, np.abs(grid) + 2][: len(before.params)])
    exact = _ACCURATE[rule.name]
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    for index in np.ndindex(SHAPE):
        x = float(grid[index])
        arguments = [mpmath.mpf(x), mpmath.mpf(float((np.abs(grid) + 2)[index]))]
        with mpmath.workprec(3000):
            wanted = exact(*arguments[: len(before.params)])
        result = float(got[index])
        if mpmath.isnan(wanted):
            assert np.isnan(result)
        elif abs(wanted) > largest:
            assert np.isinf(result)
            assert np.sign(result) == mpmath.sign(wanted)
        else:
            # A difference is as accurate as its larger term.
            size = max(abs(float(wanted)), abs(x) if rule.name == "log_of_exp_over" else 0.0)
            ulp = max(float(np.spacing(dtype.type(size))), float(tiny))
            assert abs(mpmath.mpf(result) - wanted) <= 8 * ulp, (x, result, wanted)


def test_log_of_sum_of_exp_does_not_overflow() -> None:
    (rule,) = [rule for rule in stabilise.RULES.rules if rule.name == "log_of_sum_of_exp"]
    _, after, fired = fire(rule, F64, "stabilise", Options())
    assert rule.name in fired
    rows = np.resize(np.array(POINTS), SHAPE).copy()
    rows[0], rows[1], rows[2] = -np.inf, (np.inf, 0.0, 1.0), (-1e4, -1e4, -1e4)
    (got,) = evaluate(after, [rows])
    assert got[0] == -np.inf
    assert got[1] == np.inf
    for row, result in zip(rows[2:], got[2:], strict=True):
        with mpmath.workprec(3000):
            wanted = _log(sum(_exp(mpmath.mpf(float(x))) for x in row))
        assert abs(mpmath.mpf(float(result)) - wanted) <= 8 * np.spacing(
            np.max(np.abs([*row, result]))
        )


@pytest.mark.parametrize("other", [0.5, 2.0, 1.0000001])
def test_near_misses_do_not_fire(other: float) -> None:
    """1/(exp(x)+c) is a sigmoid for c = 1 alone; log(c + x) is log1p for c = 1 alone."""
    x = Term(Value(TensorType(F64, (4,)), name="x"))
    for expression in (
        1.0 / (term.make(ops.EXP, x) + other),
        term.make(ops.LOG, x + other),
        term.make(ops.EXP, x) - other,
    ):
        nodes, free = reachable([expression.value])
        function = Function("near", tuple(free), tuple(nodes), (expression.value,))
        fired: list[Fired] = []
        report = Report("near", fired=fired)
        run_passes(function, ("stabilise",), Options(), report)
        assert not fired


def test_every_dtype_is_known_to_the_samples() -> None:
    assert set(DTYPE_NAMES.values()) == {BOOL, I32, I64, F32, F64}
