"""Values of the operations against NumPy, and the semantics that NumPy leaves open."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from ir.op_cases import Case, built, draw, run
from symc.ir import ops, term
from symc.ir.core import Attrs, Value
from symc.ir.errors import ShapeError, SymcIndexError
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Op
from symc.ir.ops.reduce import BLOCK, LANES
from symc.ir.types import BOOL, DTYPE_NAMES, F32, F64, I32, I64, TensorType

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -1.5, 2.5, 7.0, 1e-310, math.inf, -math.inf, math.nan]
LIMITS = {I32: [0, 1, -1, 7, -3, 2**31 - 1, -(2**31)], I64: [0, 1, -1, 2**63 - 1, -(2**63)]}

EXACT: dict[str, Callable[..., np.ndarray]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "rint": np.rint,
    "trunc": np.trunc,
    "stop_gradient": np.copy,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "where": np.where,
}
CLOSE: dict[str, Callable[..., np.ndarray]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "sin": np.sin,
    "cos": np.cos,
    "pow": np.power,
}


def grid(op: Op, short: str) -> list[np.ndarray]:
    """All combinations of special values of a dtype."""
    dtype = DTYPE_NAMES[short]
    if dtype == BOOL:
        points = np.array([False, True])
    else:
        points = np.array(SPECIAL if dtype.kind == "f" else LIMITS[dtype], dtype)
    assert op.arity is not None
    return [np.ascontiguousarray(x.ravel()) for x in np.meshgrid(*[points] * op.arity)]


def value(op: Op, *arrays: np.ndarray, **attrs: object) -> np.ndarray:
    types = tuple(TensorType(x.dtype, x.shape) for x in arrays)
    case = Case(op, types, attrs)  # type: ignore[arg-type]
    return evaluate(built(case), arrays)[0]


def pairs(table: dict) -> list[tuple[str, str]]:
    return [
        (name, short)
        for name in table
        for short in ops.OPS[name].samples.dtypes
        if not (name in {"sqrt", "div"} and short not in {"f32", "f64"})
    ]


@pytest.mark.parametrize(("name", "short"), pairs(EXACT))
def test_exact_operations(name: str, short: str) -> None:
    op = ops.OPS[name]
    arrays = grid(op, short)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = EXACT[name](*arrays)
    got = value(op, *arrays)
    np.testing.assert_array_equal(got, expected)
    if name not in {"floordiv", "sign", "maximum", "minimum", "relu"}:
        signed = ~np.isnan(expected) if expected.dtype.kind == "f" else slice(0)
        np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(expected[signed]))


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("short", ["f32", "f64"])
def test_functions(name: str, short: str, rng: np.random.Generator) -> None:
    op = ops.OPS[name]
    assert op.arity is not None
    type = TensorType(DTYPE_NAMES[short], (500,))
    arrays = draw(Case(op, (type,) * op.arity, {}), rng)
    expected = CLOSE[name](*(x.astype(np.float64) for x in arrays))
    scale = 4 * np.finfo(type.dtype).eps
    np.testing.assert_allclose(value(op, *arrays), expected, rtol=scale, atol=scale)


def test_every_elementwise_operation_has_a_reference() -> None:
    elementwise = {op.name for op in ops.OPS.values() if op.scalar is not None}
    assert elementwise - set(EXACT) - set(CLOSE) == {"cast", "fma", "scale"}


def test_scale_fma_and_casts() -> None:
    t, a = np.array([0.0, -0.0, 2.0, -1.0]), np.array([math.inf, math.nan, 3.0, math.inf])
    np.testing.assert_array_equal(value(ops.SCALE, t, a), [0.0, 0.0, 6.0, -math.inf])
    np.testing.assert_array_equal(value(ops.SCALE, a, t), [0.0, 0.0, 6.0, -math.inf])
    x = np.array([1 + 2**-52])
    np.testing.assert_array_equal(value(ops.FMA, x, x, -x * x), [2.0**-104])
    floats = np.array([math.nan, math.inf, -math.inf, 1e30, -2.9, 2.9])
    wanted = [0, 2**31 - 1, -(2**31), 2**31 - 1, -2, 2]
    np.testing.assert_array_equal(value(ops.CAST, floats, dtype=I32), wanted)
    assert value(ops.CAST, np.array([2**40 + 3]), dtype=I32) == [3]
    np.testing.assert_array_equal(
        value(ops.CAST, np.array([0.5, 0.0, math.nan]), dtype=BOOL), [True, False, True]
    )


def test_integer_division_by_zero_and_powers() -> None:
    x = np.array([5, -5, 0, -(2**31)], np.int32)
    zero, minus = np.zeros(4, np.int32), np.full(4, -1, np.int32)
    assert value(ops.FLOORDIV, x, zero).tolist() == [0, 0, 0, 0]
    assert value(ops.MOD, x, zero).tolist() == [0, 0, 0, 0]
    assert value(ops.FLOORDIV, x, minus).tolist() == [-5, 5, 0, -(2**31)]
    base = np.array([2, -1, -1, 1, 0, 3, 0, -7], np.int64)
    power = np.array([-3, -3, -2, -9, -1, 40, 0, 63], np.int64)
    wanted = [0, -1, 1, 1, 0, 3**40 % 2**64 - 2**64 * (3**40 % 2**64 >= 2**63), 1]
    wanted.append(((-7) ** 63 + 2**63) % 2**64 - 2**63)
    assert value(ops.POW, base, power).tolist() == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_remainder_is_exact(dtype: type, rng: np.random.Generator) -> None:
    """Over the whole range of quotients, where one division cannot be enough."""
    reach = 60 if dtype is np.float32 else 500
    x = (rng.normal(size=4000) * 2.0 ** rng.integers(-reach, reach, 4000)).astype(dtype)
    y = (rng.normal(size=4000) * 2.0 ** rng.integers(-reach, reach, 4000)).astype(dtype)
    tiny, huge = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    x = np.concatenate([x, [huge, huge, -huge, huge]]).astype(dtype)
    y = np.concatenate([y, [tiny, 3 * tiny, tiny * 5, huge / 3]]).astype(dtype)
    rest = value(ops.MOD, x, y)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(rest, np.remainder(x, y))
        small = np.abs(x / y) < 2**20
        expected = np.floor_divide(x, y)
    assert small.sum() > 100
    quotient = value(ops.FLOORDIV, x, y)
    np.testing.assert_array_equal(quotient[small], expected[small])


# --- reductions -----------------------------------------------------------------------------------


def tree(values: list, add: Callable, zero: float) -> float:
    """The order of docs/architecture.md section 3, one element at a time."""
    blocks = [values[i : i + BLOCK] for i in range(0, len(values), BLOCK)]
    rows = []
    for block in blocks:
        lanes: list = [None] * LANES
        for i, x in enumerate(block):
            lanes[i % LANES] = x if lanes[i % LANES] is None else add(lanes[i % LANES], x)
        rows.append(lanes)

    def both(a: float | None, b: float | None) -> float | None:
        return b if a is None else (a if b is None else add(a, b))

    while len(rows) > 1:
        merged = [
            [both(a, b) for a, b in zip(rows[i], rows[i + 1], strict=True)]
            for i in range(0, len(rows) - 1, 2)
        ]
        rows = merged + ([rows[-1]] if len(rows) % 2 else [])
    lanes = rows[0] if rows else [None]
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [both(lanes[j], lanes[j + half]) for j in range(half)]
    return zero if lanes[0] is None else lanes[0]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 63, 64, 65, 100, 4095, 4096, 4097, 13000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_follow_the_tree(n: int, dtype: type, rng: np.random.Generator) -> None:
    x = rng.normal(size=n).astype(dtype)
    x[n // 2 :] *= dtype(1e5)
    expected = tree(list(x), np.add, 0.0)
    got = value(ops.SUM, x, axes=(0,))
    assert got.tobytes() == dtype(expected).tobytes()
    y = (1 + x * dtype(1e-7)).astype(dtype)
    assert value(ops.PROD, y, axes=(0,)).tobytes() == dtype(tree(list(y), np.multiply, 1)).tobytes()
    moved = np.ascontiguousarray(np.stack([x, -x], 1))
    assert value(ops.SUM, moved, axes=(0,)).tobytes() == np.stack([got, 0 - got]).tobytes()


def test_signs_of_zero_sums() -> None:
    assert not np.signbit(value(ops.SUM, np.zeros((2, 0)), axes=(1,))).any()
    assert np.signbit(value(ops.SUM, np.array([-0.0, -0.0, -0.0]), axes=(0,)))
    assert not np.signbit(value(ops.SUM, np.array([-0.0, 0.0]), axes=(0,)))


REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, rng: np.random.Generator) -> None:
    op = ops.OPS[name]
    for short in op.samples.dtypes:
        type = TensorType(DTYPE_NAMES[short], (3, 70, 5))
        for axes in ((0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)):
            (x,) = draw(Case(op, (type,), {}), rng)
            with np.errstate(over="ignore"):
                expected = REDUCTIONS[name](x, axis=axes, **_same_dtype(name, x))
            got = value(op, x, axes=axes)
            np.testing.assert_allclose(got, expected, rtol=2e-3 if short == "f32" else 1e-9)


def _same_dtype(name: str, x: np.ndarray) -> dict:
    return {"dtype": x.dtype} if name in {"sum", "prod"} else {}


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extremes(name: str, rng: np.random.Generator) -> None:
    reference = getattr(np, name)
    x = rng.integers(-2, 3, (40, 9, 70)).astype(np.float32)
    x[rng.random(x.shape) < 0.01] = np.nan
    x[0] = -np.inf
    x[1] = np.inf
    for axis in range(3):
        np.testing.assert_array_equal(value(ops.OPS[name], x, axes=(axis,)), reference(x, axis))
    flat = reference(x.reshape(40, -1), 1)
    np.testing.assert_array_equal(value(ops.OPS[name], x, axes=(1, 2)), flat)
    whole = rng.integers(-2, 3, 10000)
    assert value(ops.OPS[name], whole, axes=(0,)) == reference(whole)


def test_extremes_of_nan_and_zeros() -> None:
    x = np.array([1.0, np.nan, 3.0])
    assert np.isnan(value(ops.MAX, x, axes=(0,)))
    assert np.isnan(value(ops.MIN, x, axes=(0,)))
    zeros = np.array([0.0, -0.0])
    for order in (zeros, zeros[::-1].copy()):
        assert not np.signbit(value(ops.MAX, order, axes=(0,)))
        assert np.signbit(value(ops.MIN, order, axes=(0,)))


# --- structure ------------------------------------------------------------------------------------


def test_views_and_assembly(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4))
    taken = value(ops.SLICE, x, starts=(2, 3), sizes=(3, 2), steps=(-1, -2))
    np.testing.assert_array_equal(taken, x[::-1, ::-2])
    np.testing.assert_array_equal(value(ops.PERMUTE, x, axes=(1, 0)), x.T)
    wide = value(ops.BROADCAST, x[:, :1].copy(), shape=(2, 3, 4), axes=(1, 2))
    np.testing.assert_array_equal(wide, np.broadcast_to(x[:, :1], (2, 3, 4)))
    both = value(ops.CONCAT, x, x[:1].copy(), axis=0)
    np.testing.assert_array_equal(both, np.concatenate([x, x[:1]]))
    expected = x.copy()
    expected[::2, 1:3] = 7
    got = value(ops.SET_SLICE, x, np.full((2, 2), 7.0), starts=(0, 1), steps=(2, 1))
    np.testing.assert_array_equal(got, expected)
    ramp = value(ops.IOTA, shape=(2, 3), axis=1, dtype=F32)
    np.testing.assert_array_equal(ramp, [[0, 1, 2], [0, 1, 2]])


@pytest.mark.parametrize("dtype", [F32, F64, I32, I64])
def test_dot(dtype: np.dtype, rng: np.random.Generator) -> None:
    a = rng.integers(-5, 6, (2, 3, 4, 5)).astype(dtype)
    b = rng.integers(-5, 6, (5, 2, 4, 6)).astype(dtype)
    attrs: Attrs = {
        "lhs_batch": (0,),
        "rhs_batch": (1,),
        "lhs_contract": (3, 2),
        "rhs_contract": (0, 2),
    }
    expected = np.einsum("bikl,lbkj->bij", a, b)
    for order in ("any", "chain"):
        np.testing.assert_array_equal(value(ops.DOT, a, b, **attrs, order=order), expected)


def test_chain_order_is_one_chain_of_fma() -> None:
    a = np.array([[1e8, 1.0, -1e8]], np.float32)
    b = np.array([[1.0], [1.0], [1.0]], np.float32)
    attrs = {"lhs_batch": (), "rhs_batch": (), "lhs_contract": (1,), "rhs_contract": (0,)}
    assert value(ops.DOT, a, b, **attrs, order="chain") == np.float32([[0.0]])
    attrs = {"lhs_batch": (), "rhs_batch": (), "lhs_contract": (0,), "rhs_contract": (0,)}
    x = np.float64(1 + 2**-30)
    left, right = np.array([-x * x, x]), np.array([1.0, x])
    assert value(ops.DOT, left, right, **attrs, order="chain") == 2.0**-60


INDEX = np.array([0, 3, -1, 5, -7, 2])
MODES = {
    "wrap": [0, 3, 3, 1, 1, 2],
    "clip": [0, 3, 0, 3, 0, 2],
    "fill": [0, 3, None, None, None, 2],
}


@pytest.mark.parametrize("mode", MODES)
def test_index_modes(mode: str) -> None:
    x = np.arange(4.0) + 1
    wanted = [0.0 if i is None else x[i] for i in MODES[mode]]
    np.testing.assert_array_equal(value(ops.TAKE, x, INDEX, axis=0, mode=mode), wanted)
    np.testing.assert_array_equal(value(ops.TAKE_ALONG, x, INDEX, axis=0, mode=mode), wanted)
    v = np.arange(6.0) + 10
    for combine in ("set", "add"):
        expected = x.copy()
        for i, new in zip(MODES[mode], v, strict=True):
            if i is not None:
                expected[i] = new + (expected[i] if combine == "add" else 0)
        for op in (ops.SCATTER, ops.SCATTER_ALONG):
            got = value(op, x, INDEX, v, axis=0, mode=mode, combine=combine)
            np.testing.assert_array_equal(got, expected)


def test_raise_mode_names_the_first_offender() -> None:
    x = np.arange(4.0)
    got = value(ops.TAKE, x, np.array([-1, -4, 3]), axis=0, mode="raise")
    np.testing.assert_array_equal(got, [3, 0, 3])
    with pytest.raises(SymcIndexError, match=r"got: 4 at position \(1,\)\s+expected: -4 to 3"):
        value(ops.TAKE, x, np.array([0, 4, -9]), axis=0, mode="raise")
    with pytest.raises(SymcIndexError, match="-5 at position"):
        value(ops.SCATTER, x, np.array([-5]), np.ones(1), axis=0, mode="raise", combine="add")
    with pytest.raises(SymcIndexError):
        value(ops.TAKE, np.zeros(0), np.array([0]), axis=0, mode="raise")


@pytest.mark.parametrize("combine", ["set", "add", "mul", "min", "max"])
def test_scatter_runs_in_index_order(combine: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 5, 2)).astype(np.float32)
    index = rng.integers(0, 5, (4, 7))
    v = rng.normal(size=(3, 4, 7, 2)).astype(np.float32)
    v[0, 0, 0] = np.nan
    step = {
        "set": lambda old, new: new,
        "add": np.add,
        "mul": np.multiply,
        "min": np.minimum,
        "max": np.maximum,
    }[combine]
    expected = x.copy()
    for place in np.ndindex(index.shape):
        at = (slice(None), index[place])
        expected[at] = step(expected[at], v[(slice(None), *place)])
    op = ops.SCATTER if combine in {"set", "add"} else ops.SCATTER_FOLD
    got = value(op, x, index, v, axis=1, mode="raise", combine=combine)
    np.testing.assert_array_equal(got, expected)


def test_terms_read_like_mathematics(rng: np.random.Generator) -> None:
    x = Value(TensorType(F64, (3, 4)))
    t = term.Term(x)
    data = rng.normal(size=(3, 4))
    result = term.where(t.gt(0) & ~t.ge(1), 1 - 2 * t / 4.0, -t) + t.sum((1,)).expand(
        1
    ).broadcast_to((3, 4))
    expected = np.where((data > 0) & (data < 1), 1 - 2 * data / 4, -data)
    expected = expected + data.sum(1, keepdims=True)
    np.testing.assert_allclose(run([x], result.value, [data]), expected, rtol=1e-14)
    with pytest.raises(ShapeError):
        t + t.sum((0,))
