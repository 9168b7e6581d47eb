"""Edges: what was not selected passes nothing, to any order; index modes and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from autodiff.test_laws import CASES, by_hand
from ir.op_cases import Case, closed, draw, floats
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir import ops, term
from symc.ir.build import apply
from symc.ir.core import Value
from symc.ir.dims import symbol
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Kind, Op
from symc.ir.term import Term
from symc.ir.types import BOOL, F32, F64, I64, TensorType

INF, NAN = np.inf, np.nan

# --- a branch that was not selected

# Contractions are outside the promise: 0 times the infinity of another row is theirs to add.
PROMISED = [case for case in CASES if case.op.kind is not Kind.CONTRACT]
PROMISED += [by_hand(ops.PROD, TensorType(F64, (2, symbol("n"))), axes=(1,))]
# Functions before the op, and points with infinite values, infinite slopes and NaN.
BAD: dict[Op, tuple[float, ...]] = {
    ops.LOG: (0.0, -1.0, NAN, INF),
    ops.SQRT: (0.0, -1.0),
    ops.EXP: (1000.0,),
}


def derivatives(cost: Value, wrt: Sequence[Value], orders: int) -> tuple[list[Value], list[Value]]:
    """Derivatives of a scalar, forward and reverse in turns, and the directions they are along."""
    along, found, costs = [], [], [cost]
    for _ in range(orders):
        news = []
        for last in costs:
            directions = [Value(x.type) for x in wrt]
            one = Value(last.type)
            (pushed,) = tangents([last], wrt, directions)
            pulled = [g for g in gradient([last], [one], wrt) if g is not None]
            along += [*directions, one]
            found += [*pulled, *([pushed] if pushed is not None else [])]
            news += [term.Term(g).sum(range(g.type.rank)).value for g in pulled[-1:]]
            news += [pushed] if pushed is not None else []
        costs = news
    return found, along


def filled(case: Case, points: Sequence[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs in which all floats are bad points."""
    types = [
        t.with_shape(tuple(3 if not isinstance(s, int) else s for s in t.shape)) for t in case.types
    ]
    arrays = draw(Case(case.op, tuple(types), case.attrs), rng)
    for i in floats(case):
        arrays[i] = np.resize(points, arrays[i].shape)
    return arrays


# Every case with NaN; one case of each op with slopes and values that are infinite.
ONE_EACH = list({case.op: case for case in reversed(PROMISED)}.values())
POINTS = [(case, ops.LOG) for case in PROMISED]
POINTS += [(case, bad) for case in ONE_EACH for bad in BAD if bad is not ops.LOG]


@pytest.mark.parametrize(("case", "bad"), POINTS, ids=str)
def test_an_op_not_selected_passes_nothing(case: Case, bad: Op, rng: np.random.Generator) -> None:
    """Exact zeros from NaN and infinite primals, in all turns of both modes."""
    params = [Value(type) for type in case.types]
    moving = [params[i] for i in floats(case)]
    operands = [term.make(bad, Term(x)).value if x in moving else x for x in params]
    inner = Term(apply(case.op, operands, case.attrs).results[0])
    mask = Value(inner.type.with_dtype(BOOL))
    safe = term.where(Term(mask), inner, 0.0)
    cost = (safe * 3.0).sum(range(inner.rank))
    folds = case.attrs.get("combine") == "mul" or case.op is ops.PROD
    orders = 3 if bad is ops.LOG and not folds else 2
    found, along = derivatives(cost.value, moving, orders)
    arrays = filled(case, BAD[bad], rng)
    shape = evaluate(closed(params, [inner.value]), arrays, "chain")[0].shape
    by_type = dict(zip(params, arrays, strict=True))
    sizes = [np.ones(a.shape) for a in (by_type[x] for x in moving)]
    data = [*arrays, np.zeros(shape, np.bool_)]
    data += [s for _ in range(len(along) // (len(moving) + 1)) for s in (*sizes, np.array(1.0))]
    for array in evaluate(closed([*params, mask, *along], found), data, "chain"):
        assert (array == 0).all(), array


ELEMENTWISE = [
    case for case in PROMISED if case.op.kind is Kind.ELEMENTWISE and case.types[-1].shape == (3,)
]


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_selected_elements_do_not_see_the_others(case: Case, rng: np.random.Generator) -> None:
    """Derivatives of a sum over selected elements, beside bad ones, have the bits of theirs."""
    type = TensorType(F64, (6,))
    types = [type.with_dtype(t.dtype) for t in case.types]
    params = [Value(t) for t in types]
    moving = [params[i] for i in floats(case)]
    inner = Term(apply(case.op, params, case.attrs).results[0])
    mask = Value(type.with_dtype(BOOL))
    cost = term.where(Term(mask), inner * inner, 0.0).sum([0])
    found, along = derivatives(cost.value, moving, 3)
    good = draw(Case(case.op, tuple(types), case.attrs), rng)
    bad = [x.copy() for x in good]
    for i in floats(case):
        bad[i][::2] = rng.choice([0.0, -1.0, NAN, INF, -INF, 1e308, 5e-324], 3)
    chosen = np.array([False, True] * 3)
    shapes = [(6,)] * len(moving) + [()]
    data = [chosen, *(np.ones(s) for _ in range(len(along) // len(shapes)) for s in shapes)]
    function = closed([*params, mask, *along], found)
    for here, there in zip(
        evaluate(function, [*good, *data]), evaluate(function, [*bad, *data]), strict=True
    ):
        np.testing.assert_array_equal(here, there)
        if here.shape == (6,):
            assert (here[::2] == 0).all()


# --- index modes

MODES = ("clip", "wrap", "fill", "raise")


def indexed() -> list[Case]:
    """Gathers and scatters of 5 rows with repeated, negative and (but for raise) absent indices."""
    x, i = TensorType(F64, (5, 2)), TensorType(I64, (7,))
    values = TensorType(F64, (7, 2))
    wide = TensorType(I64, (7, 2))
    found = []
    for mode in MODES:
        found += [by_hand(ops.TAKE, x, i, axis=0, mode=mode)]
        found += [by_hand(ops.TAKE_ALONG, x, wide, axis=0, mode=mode)]
        for combine in ("set", "add"):
            attrs = {"axis": 0, "mode": mode, "combine": combine}
            found += [by_hand(ops.SCATTER, x, i, values, **attrs)]
            found += [by_hand(ops.SCATTER_ALONG, x, wide, values, **attrs)]
    return found


@pytest.mark.parametrize("case", indexed(), ids=str)
@pytest.mark.parametrize("i", [[0, 0, 4, -1, 2, 0, -5], [0, -9, 4, 5, 2, 44, -6]], ids=str)
def test_jacobians_of_indexing_are_transposes_bit_for_bit(case: Case, i: list[int]) -> None:
    """jax#5760, #7595, #34229, #40626; pytorch#136662: clamped, dropped and repeated indices."""
    index = np.array(i)
    if case.attrs["mode"] == "raise" and max(i) > 4:
        return
    if case.types[1].rank == 2:
        index = np.stack([index, index[::-1]], 1)
    params = [Value(type) for type in case.types]
    wrt = [params[k] for k in floats(case)]
    along = [Value(x.type) for x in wrt]
    y = apply(case.op, params, case.attrs).results[0]
    w = Value(y.type)
    (pushed,) = tangents([y], wrt, along)
    pulled = gradient([y], [w], wrt)
    assert pushed is not None
    made = [x for x in pulled if x is not None]
    function = closed([*params, *along, w], [pushed, *made])
    base = [np.zeros(t.shape) if t.dtype == F64 else index for t in case.types]
    columns, rows = [], []
    for k, x in enumerate(wrt):
        for unit in np.eye(int(np.prod(x.type.shape))):
            moves = [np.zeros(a.type.shape) for a in wrt]
            moves[k] = unit.reshape(x.type.shape)
            columns.append(evaluate(function, [*base, *moves, np.zeros(y.type.shape)])[0].ravel())
    still = [np.zeros(a.type.shape) for a in wrt]
    for unit in np.eye(int(np.prod(y.type.shape))):
        _, *found = evaluate(function, [*base, *still, unit.reshape(y.type.shape)])
        rows.append(np.concatenate([f.ravel() for f in found]))
    np.testing.assert_array_equal(np.array(columns).T, np.array(rows))
    np.testing.assert_array_equal(np.array(columns).T, reference(case, index))


def reference(case: Case, index: np.ndarray) -> np.ndarray:
    """The Jacobian written by hand: where each result element comes from."""
    mode = str(case.attrs["mode"])

    def row(k: int) -> int | None:
        match mode:
            case "clip":
                return min(max(k, 0), 4)
            case "wrap":
                return k % 5
            case "raise":
                return k % 5
            case _:
                return k if 0 <= k < 5 else None

    rows = [[row(int(k)) for k in np.resize(r, 2)] for r in index]
    if case.op.kind is Kind.GATHER:
        jacobian = np.zeros((7, 2, 5, 2))
        for j in range(7):
            for c in range(2):
                if rows[j][c] is not None:
                    jacobian[j, c, rows[j][c], c] = 1
        return jacobian.reshape(14, 10)
    jacobian = np.zeros((5, 2, 24))
    jacobian[:, :, :10] = np.eye(10).reshape(5, 2, 10)
    for j in range(7):
        for c in range(2):
            target = rows[j][c]
            if target is not None:
                if case.attrs["combine"] == "set":
                    jacobian[target, c] = 0
                jacobian[target, c, 10 + 2 * j + c] = 1
    return jacobian.reshape(10, 24)


# --- mixed derivatives where a tangent is 0


def test_a_third_derivative_where_the_first_is_zero() -> None:
    """(exp(x) - 1)**2 is exp(2x) - 2 exp(x) + 1: its third derivative at 0 is 8 - 2."""
    x = Value(TensorType(F64))
    y = term.make(ops.EXP, Term(x)) - 1.0
    cost = (y * y).value
    one = term.full((), 1.0).value
    for _ in range(3):
        (cost,) = gradient([cost], [one], [x])
    assert evaluate(closed([x], [cost]), [np.array(0.0)])[0] == 6


def test_a_gradient_along_a_direction_that_is_zero() -> None:
    """v -> H(x) v is linear, so its transpose does not depend on v, 0 among them."""
    x, v, w = (Value(TensorType(F64, (3,))) for _ in range(3))
    cost = term.make(ops.EXP, Term(x)).sum([0]).value
    (grad,) = gradient([cost], [term.full((), 1.0).value], [x])
    (moved,) = tangents([grad], [x], [v])
    (back,) = gradient([moved], [w], [v])
    data = [np.array([0.0, 1, 2]), np.zeros(3), np.array([1.0, 2, 3])]
    (found,) = evaluate(closed([x, v, w], [back]), data)
    np.testing.assert_allclose(found, np.exp(data[0]) * data[2], rtol=1e-15)


def test_mixed_derivatives_of_a_power_at_exponent_zero() -> None:
    """d/dx d/dy x**y = x**(y-1) (1 + y log x): 1/x at y = 0, whichever comes first."""
    x, y = (Value(TensorType(F64)) for _ in range(2))
    one = term.full((), 1.0).value
    power = term.make(ops.POW, Term(x), Term(y)).value
    for first, second in ((x, y), (y, x)):
        (slope,) = gradient([power], [one], [first])
        (mixed,) = gradient([slope], [one], [second])
        for base in (0.5, 2.0, 4.0):
            data = [np.array(base), np.array(0.0)]
            assert evaluate(closed([x, y], [mixed]), data)[0] == 1 / base


# --- edge inputs

SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, INF, -INF, NAN)
POINTWISE = [op for op in ops.OPS.values() if op.kind is Kind.ELEMENTWISE and op.tangents]


@pytest.mark.parametrize("op", POINTWISE, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_modes_agree_at_edges(op: Op, dtype: np.dtype) -> None:
    """First derivatives have the same bits, second ones the same infinities and NaN."""
    assert op.arity is not None
    points = [p for p in (*SPECIAL, *op.samples.edges) if not (op is ops.FMA and p == 0.5)]
    grid = np.array(np.meshgrid(*[points] * op.arity)).reshape(op.arity, -1).astype(dtype)
    type = TensorType(dtype, (grid.shape[1],))
    params = [Value(type) for _ in range(op.arity)]
    u, v, w = ([Value(type) for _ in params] for _ in range(3))
    y = apply(op, params).results[0]
    (once,) = tangents([y], params, u)
    pulled = [x for x in gradient([y], w[:1], params) if x is not None]
    assert once is not None
    (twice,) = tangents([once], params, v)
    back = gradient(pulled, u, params)
    inputs = [*params, *u, *v, w[0]]
    for number in range(op.arity):
        unit = [np.full(type.shape, float(i == number), dtype) for i in range(op.arity)]
        data = [*grid, *unit, *unit, np.ones(type.shape, dtype)]
        forward, *reverse = evaluate(closed(inputs, [once, *pulled]), data)
        np.testing.assert_array_equal(forward, reverse[number])
        if twice is not None:
            second, other = evaluate(closed(inputs, [twice, back[number] or twice]), data)
            np.testing.assert_allclose(second, other, rtol=8 * np.finfo(dtype).eps)
