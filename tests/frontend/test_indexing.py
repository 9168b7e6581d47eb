"""Indexing against NumPy: reading and updating, static and symbolic sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import symc as sc
from frontend.tracing_oracle import on_oracle, same

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
COMBINE = {
    "set": None,
    "add": np.add.at,
    "mul": np.multiply.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}


def ramp(shape):
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 1


@st.composite
def basic_keys(draw):
    shape = draw(SHAPES)
    return shape, draw(hnp.basic_indices(shape, allow_newaxis=True))


@st.composite
def advanced_keys(draw):
    """Arrays in some axes, slices, ints or nothing in the others."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5))
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    key, arrays = [], 0
    for size in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["array", "array", "slice", "int"]))
        if kind == "array":
            own = tuple(draw(st.sampled_from([s, 1])) for s in common)
            key.append(draw(hnp.arrays(np.int64, own, elements=st.integers(-size, size - 1))))
            arrays += 1
        elif kind == "slice":
            key.append(draw(st.slices(size)))
        else:
            key.append(draw(st.integers(-size, size - 1)))
    if not arrays:
        key[0] = np.array([0])
    return shape, tuple(key)


@given(basic_keys(), st.booleans())
@settings(max_examples=300)
def test_basic_reading(case, symbolic):
    shape, key = case
    a = ramp(shape)
    same(on_oracle(lambda x: x[key], a, symbolic=symbolic), a[key])


@given(advanced_keys(), st.booleans())
@settings(max_examples=300)
def test_advanced_reading(case, symbolic):
    shape, key = case
    a = ramp(shape)
    same(on_oracle(lambda x: x[key], a, symbolic=symbolic), a[key])


@given(advanced_keys())
@settings(max_examples=150)
def test_advanced_reading_with_symbolic_positions(case):
    shape, key = case
    a = ramp(shape)
    arrays = [part for part in key if isinstance(part, np.ndarray)]

    def read(x, *positions):
        given = iter(positions)
        return x[tuple(next(given) if isinstance(p, np.ndarray) else p for p in key)]

    same(on_oracle(read, a, *arrays), a[key])


@given(basic_keys(), st.sampled_from(sorted(COMBINE)), st.booleans())
@settings(max_examples=200)
def test_basic_updates(case, combine, symbolic):
    shape, key = case
    a = ramp(shape)
    value = ramp(a[key].shape)[..., :1] * 0.5 if a[key].ndim else np.float64(0.5)
    got = on_oracle(lambda x, v: getattr(x.at[key], combine)(v), a, value, symbolic=symbolic)
    want = a.copy()
    if combine == "set":
        want[key] = value
    else:
        op = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[combine]
        want[key] = op(want[key], value)
    same(got, want)


@given(advanced_keys(), st.sampled_from(sorted(COMBINE)))
@settings(max_examples=200)
def test_advanced_updates(case, combine):
    shape, key = case
    a = ramp(shape)
    value = -ramp(a[key].shape) * 0.5
    want = a.copy()
    if combine == "set":
        want[key] = value
    else:
        COMBINE[combine](want, key, value)
    same(on_oracle(lambda x, v: getattr(x.at[key], combine)(v), a, value), want)


@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_masks(shape, data):
    a = ramp(shape)
    rank = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(np.bool_, shape[:rank]))
    same(on_oracle(lambda x: x[mask], a), a[mask])
    want = a.copy()
    want[mask] = -1.0
    same(on_oracle(lambda x, m: x.at[m].set(-1.0), a, mask), want)
    want = a.copy()
    want[mask] += 2.0
    same(on_oracle(lambda x, m: x.at[m].add(2.0), a, mask), want)


def test_statements_rebind_the_object_and_its_aliases():
    @sc.jit
    def f(x):
        alias = x
        row = x[0]
        x[0] = 7.0
        x += 1
        row[0] = 100.0
        return x, alias, row

    a = np.arange(6.0).reshape(2, 3)
    x, alias, row = f(a)
    np.testing.assert_array_equal(x, [[8, 8, 8], [4, 5, 6]])
    np.testing.assert_array_equal(alias, x)
    np.testing.assert_array_equal(row, [100, 1, 2])
    np.testing.assert_array_equal(a, np.arange(6.0).reshape(2, 3))


def test_rebinding_keeps_dtype_and_shape():
    def f(x, y):
        x += y
        return x

    same(on_oracle(f, np.ones(3, np.float32), np.ones(3)), np.full(3, 2, np.float32))
    with pytest.raises(sc.DTypeError, match=r"test_indexing.py:\d+"):
        on_oracle(f, np.ones(3, np.int64), np.ones(3))
    with pytest.raises(sc.ShapeError):
        on_oracle(f, np.ones(3), np.ones((2, 3)))


X = sc.var("x", "f64[4,5]")
N = sc.var("n", "f64[n,5]")
BAD = {
    "float": (lambda: X[1.0], sc.DTypeError),
    "bool": (lambda: X[True], sc.DTypeError),
    "float array": (lambda: X[np.array([1.0])], sc.DTypeError),
    "symbolic float": (lambda: X[X[0]], sc.DTypeError),
    "text": (lambda: X["a"], sc.DTypeError),
    "out of range": (lambda: X[4], sc.SymcIndexError),
    "out of range below": (lambda: X[:, -6], sc.SymcIndexError),
    "array out of range": (lambda: X[[0, 4]], sc.SymcIndexError),
    "too many": (lambda: X[0, 0, 0], sc.SymcIndexError),
    "two ellipses": (lambda: X[..., ...], sc.SymcIndexError),
    "step 0": (lambda: X[::0], sc.DomainError),
    "symbolic bound": (lambda: X[: sc.sum(X).astype("i64")], sc.UnsupportedError),
    "symbolic mask": (lambda: X[X > 0], sc.UnsupportedError),
    "mask of another shape": (lambda: X[np.ones(3, bool)], sc.SymcError),
    "value too big": (lambda: X.at[0].set(np.ones(6)), sc.ShapeError),
    "value of another kind": (
        lambda: sc.var("i", "i64[3]").at[0].set(1.5),
        sc.DTypeError,
    ),
    "values per mask": (lambda: X.at[X > 0].set(np.ones(3)), sc.UnsupportedError),
    "assign to variable": (lambda: X.__setitem__(0, 1.0), sc.TracerError),
    "+= on variable": (lambda: X.__iadd__(1.0), sc.TracerError),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_keys(name):
    build, error = BAD[name]
    with pytest.raises(error, match=r"test_indexing.py:\d+"):
        build()


def test_positions_on_symbolic_axes_become_constraints():
    f = sc.function([N], N[3])
    np.testing.assert_array_equal(f(np.ones((4, 5))), np.ones(5))
    with pytest.raises(sc.SymcIndexError, match=r"index 3(.|\n)*test_indexing.py:\d+"):
        f(np.ones((3, 5)))


def test_index_out_of_range_at_the_call():
    i = sc.var("i", "i64[k]")
    f = sc.function([X, i], X[i])
    a = np.arange(20.0).reshape(4, 5)
    np.testing.assert_array_equal(f(a, [0, -1]), a[[0, -1]])
    for wrong in ([4], [0, -5], [np.iinfo(np.int64).min]):
        with pytest.raises(sc.SymcIndexError, match=r"test_indexing.py:\d+"):
            f(a, wrong)
    np.testing.assert_array_equal(f(a, [1]), a[[1]])


def test_slices_of_symbolic_axes_share_their_sizes():
    x = sc.var("x", "f64[n]")
    assert (x[1:] - x[:-1]).shape == x[1:].shape == x[:-1].shape
    assert x[::2].shape == x[::-2].shape
    n = x.shape[0]
    assert x[: n + 3].shape == (n,)
    assert (x[: n - 1]).shape == x[:-1].shape
