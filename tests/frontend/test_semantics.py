"""Array functions against NumPy on the oracle: promotion, broadcasting, shapes, values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import symc as sc
from frontend.tracing_oracle import on_oracle, same

DTYPES = [np.dtype(name) for name in ("bool", "int32", "int64", "float32", "float64")]
NUMBERS = [True, 2, -3, 1.5]
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
}
# NumPy computes these of two bools in i8, which symc does not have.
BOOLS_AS_I32 = {"floor_divide", "remainder"}


def sample(dtype, shape=(3,)):
    return (np.arange(np.prod(shape)).reshape(shape) % 3 + 1).astype(dtype)


@pytest.mark.parametrize("name", sorted(BINARY))
def test_promotion_is_that_of_numpy(name):
    kinds = [*DTYPES, *NUMBERS]
    for left, right in itertools.product(kinds, kinds):
        if isinstance(left, np.dtype) or isinstance(right, np.dtype):
            promotes_as_numpy(name, left, right)


def promotes_as_numpy(name, left, right):
    a = sample(left) if isinstance(left, np.dtype) else left
    b = sample(right) if isinstance(right, np.dtype) else right

    def call(x):
        inputs = iter(x)
        given = (next(inputs) if isinstance(v, np.ndarray) else v for v in (a, b))
        return getattr(sc, name)(*given)

    arrays = [v for v in (a, b) if isinstance(v, np.ndarray)]
    try:
        want = BINARY[name](a, b)
    except TypeError:
        with pytest.raises(sc.DTypeError, match=r"test_semantics.py:\d+"):
            on_oracle(call, arrays)
        return
    if name in BOOLS_AS_I32 and want.dtype == np.int8:
        want = want.astype(np.int32)
    same(on_oracle(call, arrays), want, tolerance=1e-6)


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), st.booleans())
@settings(max_examples=200)
def test_broadcasting_is_that_of_numpy(shapes, symbolic):
    a, b = (sample(np.float64, shape) for shape in shapes.input_shapes)
    got = on_oracle(lambda x, y: x * 2.0 + y, a, b, symbolic=symbolic)
    same(got, a * 2.0 + b)


@given(hnp.array_shapes(max_dims=3, max_side=4), hnp.array_shapes(max_dims=3, max_side=4))
def test_shapes_that_do_not_broadcast(first, second):
    a, b = np.ones(first), np.ones(second)
    try:
        np.broadcast_shapes(first, second)
    except ValueError:
        with pytest.raises(sc.ShapeError, match=r"test_semantics.py:\d+"):
            on_oracle(lambda x, y: x + y, a, b)
    else:
        same(on_oracle(lambda x, y: x + y, a, b), a + b)


def test_weak_numbers_take_the_dtype_they_meet():
    x = sc.var("x", "f32[3]")
    i = sc.var("i", "i32[3]")
    assert (x * 2.5).dtype == np.float32
    assert (2**x).dtype == np.float32
    assert (x + i).dtype == np.float64
    assert (i + 1).dtype == np.int32
    assert (i + 1.0).dtype == np.float64
    assert (i / 2).dtype == np.float64
    assert (i + True).dtype == np.int32
    assert (x + np.float64(1)).dtype == np.float64
    assert sc.where(x > 0, 1, 0).dtype == np.int64
    with pytest.raises(sc.SymcOverflowError, match=r"test_semantics.py:\d+"):
        i + 2**40
    with pytest.raises(sc.SymcOverflowError, match=r"test_semantics.py:\d+"):
        i + 2**70


def test_operators_reflect():
    a = np.array([1.0, 2.0, 5.0])
    b = np.array([3, 1, 2])
    for op in (
        lambda x: 2 - x, lambda x: 2 / x, lambda x: 2 // x, lambda x: 7 % x, lambda x: 2**x,
        lambda x: divmod(x, 2)[0], lambda x: divmod(7, x)[1], lambda x: -x, lambda x: +x,
        lambda x: abs(-x), lambda x: a + x, lambda x: a * x, lambda x: np.float64(3) - x,
    ):  # fmt: skip
        same(on_oracle(op, a), op(a))
    for op in (lambda x: ~x, lambda x: x & 1, lambda x: 1 | x, lambda x: 5 ^ x, lambda x: x**2):
        same(on_oracle(op, b), op(b))


UNARY = "floor ceil trunc sign abs negative square isnan isfinite isinf sqrt positive".split()


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_exact_functions(name, dtype):
    a = np.array([-2.5, -1, 0, 1.5, 3]).astype(dtype)
    with np.errstate(invalid="ignore"):
        want = getattr(np, name)(a)
    same(on_oracle(getattr(sc, name), a), want)


REDUCTIONS = "sum prod max min any all mean var std".split()


@given(
    st.sampled_from(REDUCTIONS),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@settings(max_examples=300)
def test_reductions(name, shape, dtype, keepdims, symbolic, data):
    rank = len(shape)
    axes = st.lists(st.integers(-rank, rank - 1), unique_by=lambda a: a % rank)
    axis = data.draw(st.none() | axes.map(tuple)) if shape else None
    a = sample(dtype, shape)
    got = on_oracle(
        lambda x: getattr(sc, name)(x, axis=axis, keepdims=keepdims), a, symbolic=symbolic
    )
    with np.errstate(over="ignore"):
        want = getattr(np, name)(a, axis=axis, keepdims=keepdims)
    if name in {"mean", "var", "std"} and dtype == np.bool_:
        want = getattr(np, name)(a.astype(float), axis=axis, keepdims=keepdims)
    same(got, want, tolerance=1e-5)


@given(
    st.sampled_from(["argmax", "argmin"]),
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=4),
        elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, np.nan, -np.inf]),
    ),
    st.data(),
)
def test_positions_of_extremes(name, a, data):
    axis = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1))
    same(on_oracle(lambda x: getattr(sc, name)(x, axis=axis), a), getattr(np, name)(a, axis=axis))


def test_empty_reductions():
    a = np.ones((0, 3))
    same(on_oracle(lambda x: sc.sum(x, axis=0), a), a.sum(0))
    same(on_oracle(lambda x: sc.prod(x, axis=0), a), a.prod(0))
    same(on_oracle(lambda x: sc.max(x, axis=1), a), a.max(1))
    for f in (sc.max, sc.min, sc.argmax, sc.argmin):
        with pytest.raises(sc.DomainError, match=r"test_semantics.py:\d+"):
            on_oracle(lambda x, f=f: f(x, axis=0), a)
    x = sc.var("x", "f64[n]")
    largest = sc.function([x], sc.max(x))
    assert largest([1.0, 3.0]) == 3.0
    with pytest.raises(sc.DomainError, match="must not be empty"):
        largest(np.ones(0))


@given(hnp.array_shapes(max_dims=4, max_side=4), st.booleans(), st.data())
def test_moving_axes(shape, symbolic, data):
    a = sample(np.float64, shape)
    order = data.draw(st.permutations(range(a.ndim)))
    same(on_oracle(lambda x: sc.permute_dims(x, order), a, symbolic=symbolic), a.transpose(order))
    same(on_oracle(lambda x: x.T, a, symbolic=symbolic), a.T)
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    same(on_oracle(lambda x: sc.flip(x, axis=axis), a, symbolic=symbolic), np.flip(a, axis))
    shift = data.draw(st.integers(-6, 6))
    same(on_oracle(lambda x: sc.roll(x, shift, axis=axis), a), np.roll(a, shift, axis))
    same(on_oracle(lambda x: sc.expand_dims(x, axis), a), np.expand_dims(a, axis))
    same(
        on_oracle(lambda x: sc.concat([x, x[..., :1]], axis=-1), a, symbolic=symbolic),
        np.concatenate([a, a[..., :1]], -1),
    )
    same(on_oracle(lambda x: sc.stack([x, -x], axis=axis), a), np.stack([a, -a], axis))
    same(on_oracle(lambda x: sc.tile(x, (2, 1)), a), np.tile(a, (2, 1)))
    same(on_oracle(lambda x: sc.repeat(x, 2, axis=axis), a), np.repeat(a, 2, axis))
    same(on_oracle(lambda x: sc.reshape(x, (-1,)), a, symbolic=symbolic), a.reshape(-1))


@given(
    st.sampled_from(
        "ij,jk->ik ij,jk bij,bjk->bik i,j->ji ij-> ii->i ii ij->ji ...ij,jk->...ik ijk,k,j->i "
        "iij->j ij,ij->j i,i".split()
    ),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_einsum(subscripts, symbolic, random):
    sizes = {letter: random.randint(2, 4) for letter in "bijk"}
    operands = []
    for term in subscripts.split("->")[0].split(","):
        lead = (3,) if "..." in term else ()
        shape = (*lead, *(sizes[letter] for letter in term.replace("...", "")))
        operands.append(sample(np.float64, shape))
    got = on_oracle(lambda *x: sc.einsum(subscripts, *x), *operands, symbolic=symbolic)
    same(got, np.einsum(subscripts, *operands), tolerance=1e-12)


@pytest.mark.parametrize(
    "shapes",
    [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2)), ((2, 3, 4), (4, 5)),
     ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 5)), ((2, 3, 4), (4,)),
     ((0, 4), (4, 2)), ((3, 0), (0, 2))],
)  # fmt: skip
@pytest.mark.parametrize("symbolic", [False, True])
def test_products(shapes, symbolic):
    a, b = (sample(np.float64, shape) for shape in shapes)
    same(on_oracle(lambda x, y: x @ y, a, b, symbolic=symbolic), a @ b)
    same(on_oracle(sc.dot, a, b, symbolic=symbolic), np.dot(a, b))


def test_gathers():
    a, i = sample(np.float64, (3, 4)), np.array([[2, 0], [-1, 1]])
    same(on_oracle(lambda x, i: sc.take(x, i, axis=0), a, i), np.take(a, i, 0))
    same(on_oracle(sc.take, a, i), np.take(a, i))
    same(
        on_oracle(lambda x, i: sc.take(x, i, axis=1, mode="wrap"), a, i * 9),
        np.take(a, i * 9, 1, mode="wrap"),
    )
    order = np.argsort(-a, axis=1)
    same(
        on_oracle(lambda x, i: sc.take_along_axis(x, i, axis=1), a, order),
        np.take_along_axis(a, order, 1),
    )


def test_compositions():
    a = np.linspace(-3, 3, 12).reshape(3, 4)
    e = np.exp(a)
    for axis in (0, 1, -1, None):
        total = e.sum(axis, keepdims=True)
        same(
            on_oracle(lambda x, axis=axis: sc.softmax(x, axis=axis), a), e / total, tolerance=1e-12
        )
        same(
            on_oracle(lambda x, axis=axis: sc.log_softmax(x, axis=axis), a),
            a - np.log(total),
            tolerance=1e-12,
        )
        same(
            on_oracle(lambda x, axis=axis: sc.logsumexp(x, axis=axis), a),
            np.log(e.sum(axis)),
            tolerance=1e-12,
        )
    far = np.array([[1000.0, 1001.0], [-np.inf, -np.inf], [np.inf, 0.0]])
    with np.errstate(divide="ignore"):
        same(
            on_oracle(lambda x: sc.logsumexp(x, axis=1), far),
            np.array([1001 + np.log1p(np.exp(-1)), -np.inf, np.inf]),
            tolerance=1e-12,
        )
    same(on_oracle(lambda i: sc.one_hot(i, 3), np.array([2, 0, 5])), np.eye(6)[[2, 0, 5], :3])
    same(
        on_oracle(lambda i: sc.one_hot(i, 3, axis=0, dtype="f32"), np.array([2, 0])),
        np.eye(3, dtype=np.float32)[:, [2, 0]],
    )
    same(on_oracle(lambda x: sc.clip(x, -1, 1.5), a), np.clip(a, -1, 1.5))
    same(on_oracle(sc.relu, a), np.maximum(a, 0))
    same(on_oracle(lambda x: sc.tril(x) + sc.triu(x, k=1), a), a)


def test_methods_of_ndarrays():
    a = np.array([[0.5, 1.5, -1.0], [2.0, 0.0, 4.0]])
    for f in (
        lambda x: x.sum(axis=0), lambda x: x.max(), lambda x: x.mean(1), lambda x: x.reshape(3, -1),
        lambda x: x.reshape((6,)), lambda x: x.transpose(), lambda x: x.transpose(1, 0),
        lambda x: x.flatten(), lambda x: x.clip(0, 1), lambda x: x.dot(np.ones(3)),
        lambda x: x.argmax(axis=1), lambda x: (x > 0).all(), lambda x: x.var(axis=0, ddof=1),
        lambda x: np.zeros_like(x), lambda x: np.tril(x), lambda x: x.std(), lambda x: x.copy(),
    ):  # fmt: skip
        same(on_oracle(f, a), f(a), tolerance=1e-12)
    x = sc.var("x", "f64[3]")
    assert not hasattr(x, "sort")
    with pytest.raises(AttributeError, match="no attribute 'sort'"):
        x.sort()


def test_numpy_functions_lead_to_symbolic_ones():
    a, b = np.array([0.5, 1.5]), np.array([2.0, 3.0])
    for f in (
        lambda x: np.exp(x), lambda x: b * x, lambda x: b @ x, lambda x: np.concatenate([x, b]),
        lambda x: np.sum(x, axis=0), lambda x: np.where(x > 1, x, b), lambda x: np.stack([b, x]),
        lambda x: np.reshape(x, (2, 1)), lambda x: np.einsum("i,i", x, b), lambda x: np.mean(x),
    ):  # fmt: skip
        same(on_oracle(f, a), f(a), tolerance=1e-12)
    x = sc.var("x", "f64[2]")
    assert x.__array_namespace__() is sc
    with pytest.raises(sc.UnsupportedError, match=r"sort(.|\n)*test_semantics.py:\d+"):
        np.sort(x)
    with pytest.raises(sc.UnsupportedError, match=r"add.reduce"):
        np.add.reduce(x)
    with pytest.raises(sc.TracerError, match=r"test_semantics.py:\d+"):
        a += x
    with pytest.raises(ValueError, match="sequence") as caught:  # NumPy's own, around ours
        a[0] = x[0]
    assert isinstance(caught.value.__cause__, sc.TracerError)


def test_sizes_taken_as_equal_become_constraints():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
    f = sc.function([x, y], x + y)
    np.testing.assert_array_equal(f([1.0, 2.0], [3.0, 4.0]), [4.0, 6.0])
    with pytest.raises(sc.ShapeError, match=r"add(.|\n)*n = 2, m = 1(.|\n)*test_semantics.py:\d+"):
        f([1.0, 2.0], [3.0])
    g = sc.function([x], sc.reshape(x, (-1, 3)))
    assert g(np.ones(6)).shape == (2, 3)
    with pytest.raises(sc.ShapeError, match=r"reshape(.|\n)*test_semantics.py:\d+"):
        g(np.ones(7))
