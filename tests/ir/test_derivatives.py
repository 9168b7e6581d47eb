"""Derivatives where functions have kinks, ties and poles: the documented values."""

import math

import numpy as np
import pytest

from ir.op_cases import Case, run, tangent
from symc.ir import ops, term
from symc.ir.build import apply
from symc.ir.core import Value
from symc.ir.dims import symbol
from symc.ir.errors import UnsupportedError
from symc.ir.ops.record import Op
from symc.ir.types import F64, I64, TensorType

INF, NAN = math.inf, math.nan


def slopes(op: Op, number: int, *arrays: object, **attrs: object) -> np.ndarray:
    """The tangent along ones in operand `number`."""
    data = [np.array(x, np.float64) for x in arrays]
    types = tuple(TensorType(F64, x.shape) for x in data)
    params = [Value(type) for type in types]
    along = Value(types[number])
    pushed = tangent(Case(op, types, attrs), params, number, along)  # type: ignore[arg-type]
    return run([*params, along], pushed, [*data, np.ones_like(data[number])])


TABLE = [
    (ops.ABS, 0, [[-2, -0.0, 0.0, 3]], [-1, 0, 0, 1]),
    (ops.SQRT, 0, [[0.0, 4]], [INF, 0.25]),
    (ops.LOG, 0, [[0.0, 2]], [INF, 0.5]),
    (ops.MAXIMUM, 0, [[1, 2, 2, NAN], [2, 2, 1, 1]], [0, 0.5, 1, 0]),
    (ops.MAXIMUM, 1, [[1, 2, 2, NAN], [2, 2, 1, 1]], [1, 0.5, 0, 0]),
    (ops.MINIMUM, 0, [[1, 2, 2], [2, 2, 1]], [1, 0.5, 0]),
    (ops.MINIMUM, 1, [[1, 2, 2], [2, 2, 1]], [0, 0.5, 1]),
    (ops.POW, 0, [[0, 0, 0, 0, -2, 5], [0, 1, 2, 0.5, 3, 0]], [0, 1, 0, INF, 12, 0]),
    (ops.POW, 1, [[0, 0, 1, 2, -1], [0, 2, 5, 0, 2]], [0, 0, 0, math.log(2), NAN]),
    (ops.DIV, 0, [[1, 0], [0, 0]], [INF, INF]),
    (ops.MOD, 0, [[5, -5], [3, 3]], [1, 1]),
    (ops.MOD, 1, [[5, -5], [3, 3]], [-1, 2]),
    (ops.SCALE, 0, [[0, 2, INF], [INF, 3, 0]], [INF, 3, 0]),
    (ops.SCALE, 1, [[0, 2], [INF, 3]], [0, 2]),
]


@pytest.mark.parametrize(
    ("op", "number", "arrays", "expected"), TABLE, ids=lambda value: getattr(value, "name", "")
)
def test_table(op: Op, number: int, arrays: list, expected: list) -> None:
    np.testing.assert_allclose(slopes(op, number, *arrays), expected, rtol=1e-12)


def test_extremes_share_among_ties() -> None:
    x = [[1, 3, 3, 0], [2, 2, 2, 2], [NAN, 1, 2, 3]]
    params = [Value(TensorType(F64, (3, 4)))]
    along = Value(params[0].type)
    case = Case(ops.MAX, (params[0].type,), {"axes": (1,)})
    pushed = tangent(case, params, 0, along)
    direction = np.array([[9.0, 1, 2, 9], [1, 2, 3, 4], [1, 1, 1, 1]])
    got = run([*params, along], pushed, [np.array(x), direction])
    np.testing.assert_array_equal(got, [1.5, 2.5, 0])


def test_products_with_zeros_are_exact() -> None:
    for x, expected in (
        ([2.0, 0.0, 3.0], 6),
        ([0.0, 0.0, 3.0], 0),
        ([2.0, 5.0, 3.0], 15 + 6 + 10),
        ([7.0], 1),
        ([], 0),
    ):
        assert slopes(ops.PROD, 0, x, axes=(0,)) == expected


def test_products_over_sizes_not_known_are_exact_for_zeros() -> None:
    x = Value(TensorType(F64, (2, symbol("n"))))
    along = Value(x.type)
    pushed = tangent(Case(ops.PROD, (x.type,), {"axes": (1,)}), [x], 0, along)
    for rows, expected in (
        ([[2.0, 5.0, 3.0], [2.0, 0.0, 3.0]], [15 + 6 + 10, 6]),
        ([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]], [0, 0]),
        ([[7.0], [0.0]], [1, 1]),
        ([[], []], [0, 0]),
    ):
        data = np.array(rows)
        got = run([x, along], pushed, [data, np.ones_like(data)])
        np.testing.assert_array_equal(got, expected)


def test_calls_are_inlined_first() -> None:
    call = Case(ops.CALL, (), {"name": "f"})
    x = Value(TensorType(F64, (3,)))
    rule = call.op.tangents[0]
    assert rule is not None
    with pytest.raises(UnsupportedError, match="inline"):
        rule(term.Term(x), term.Term(x), [], call.attrs)


FOLDS = [
    # x, indices, values; the Jacobian rows of the results along (x0, x1, v0, v1, v2)
    ("max", [1, 5], [0, 0, 1], [3, 2, 4], [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]),
    ("max", [3, 5], [0, 0, 7], [3, 3, 9], [[1 / 3, 0, 1 / 3, 1 / 3, 0], [0, 1, 0, 0, 0]]),
    ("min", [3, 5], [1, 1, 1], [5, 9, 5], [[1, 0, 0, 0, 0], [0, 1 / 3, 1 / 3, 0, 1 / 3]]),
    ("max", [NAN, 5], [0, 1, 1], [1, NAN, 2], [[0] * 5, [0] * 5]),
    ("mul", [2, 3], [0, 0, 1], [5, 7, 4], [[35, 0, 14, 10, 0], [0, 4, 0, 0, 3]]),
    ("mul", [2, 3], [0, 0, 1], [0, 7, 4], [[0, 0, 14, 0, 0], [0, 4, 0, 0, 3]]),
    ("mul", [2, 3], [0, 0, 1], [0, 0, 0], [[0] * 5, [0, 0, 0, 0, 3]]),
    ("mul", [0, 3], [0, -9, 2], [0, 2, 0], [[0] * 5, [0, 1, 0, 0, 0]]),
]


@pytest.mark.parametrize(("combine", "x", "i", "v", "jacobian"), FOLDS)
@pytest.mark.parametrize("op", [ops.SCATTER_FOLD, ops.SCATTER_FOLD_ALONG], ids=str)
def test_folds_share_ties_and_obey_the_product_rule(
    op: Op, combine: str, x: list, i: list, v: list, jacobian: list
) -> None:
    types = (TensorType(F64, (2,)), TensorType(I64, (3,)), TensorType(F64, (3,)))
    params = [Value(type) for type in types]
    case = Case(op, types, {"axis": 0, "mode": "fill", "combine": combine})
    data = [np.array(x, np.float64), np.array(i), np.array(v, np.float64)]
    columns = []
    for number, size in ((0, 2), (2, 3)):
        along = Value(types[number])
        pushed = tangent(case, params, number, along)
        columns += [run([*params, along], pushed, [*data, unit]) for unit in np.eye(size)]
    np.testing.assert_allclose(np.array(columns).T, jacobian, rtol=1e-15)


def test_the_last_of_equal_writes_gets_the_cotangent() -> None:
    x, i = Value(TensorType(F64, (3,))), Value(TensorType(I64, (4,)))
    v, w = Value(TensorType(F64, (4,))), Value(TensorType(F64, (3,)))
    attrs = {"axis": 0, "mode": "fill", "combine": "set"}
    data = [np.zeros(3), np.array([2, 0, 2, 7]), np.zeros(4), np.array([10.0, 20, 30])]
    for op in (ops.SCATTER, ops.SCATTER_ALONG):
        assert op.transpose is not None
        operands = [term.Term(value) for value in (x, i, v)]
        to_x = op.transpose(term.Term(w), operands, attrs, 0)
        to_v = op.transpose(term.Term(w), operands, attrs, 2)
        np.testing.assert_array_equal(run([x, i, v, w], to_x.value, data), [0, 20, 0])
        np.testing.assert_array_equal(run([x, i, v, w], to_v.value, data), [0, 10, 30, 0])


def test_finite_slopes_are_plain_products() -> None:
    t = term.Term(Value(TensorType(F64, (3,))))
    assert term.scale(t, 0.5).value.node.op is ops.MUL
    assert term.scale(t, INF).value.node.op is ops.SCALE
    assert term.scale(t, t).value.node.op is ops.SCALE
    assert term.scale(t, 0.0).value.node.op is ops.SCALE
    halves = term.constant(np.full(1, 0.5)).broadcast((3,), (0,))
    assert term.scale(t, halves).value.node.op is ops.MUL


def test_an_unselected_branch_passes_nothing() -> None:
    """d/dx where(x > 0, log(x) * x, 0) at 0, along ones, is 0."""
    x = Value(TensorType(F64, (2,)))
    log = apply(ops.LOG, (x,)).results[0]
    along = term.zeros(x.type)
    rule = ops.LOG.tangents[0]
    product = ops.MUL.tangents[0]
    assert rule is not None
    assert product is not None
    inner = rule(along, term.Term(log), [term.Term(x)], {})
    both = product(inner, inner, [term.Term(log), term.Term(x)], {})
    np.testing.assert_array_equal(run([x], both.value, [np.array([0.0, INF])]), [0, 0])
