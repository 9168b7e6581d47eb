"""Specs and public dims."""

import numpy as np
import pytest

import symc as sc


def test_spec_reads_dtype_and_dims():
    assert sc.spec("f32[batch,784]") == sc.Spec(sc.float32, ("batch", 784))
    assert sc.spec("i64[]") == sc.spec("i64") == sc.spec(np.int64) == sc.Spec(sc.int64)
    assert sc.spec(" f64[ n , _ ] ").shape == ("n", "_")
    assert sc.spec("float32[3]").dtype is sc.float32
    assert str(sc.spec("bool[n,2]")) == "bool[n,2]"
    assert sc.spec("bf16[2]").dtype == sc.bfloat16


def test_dtypes_are_numpy_dtypes():
    assert sc.float32 is np.dtype("float32")
    assert sc.bool is np.dtype("bool")


@pytest.mark.parametrize("text", ["", "f32[", "f32]", "f32[a b]", "f32[1.5]", "f32[,]", "f32[n+1]"])
def test_malformed_specs(text):
    with pytest.raises(sc.ParseError, match=r"test_specs.py:\d+"):
        sc.spec(text)


def test_other_bad_specs():
    with pytest.raises(sc.DTypeError, match="q7"):
        sc.spec("q7[3]")
    with pytest.raises(sc.ShapeError, match="negative"):
        sc.spec("f32[-1]")
    for dtype in ("object", "U3", "datetime64[s]", np.longdouble, [("a", "f4")]):
        with pytest.raises(sc.DTypeError):
            sc.spec(np.dtype(dtype))
    with pytest.raises(sc.SymcOverflowError, match=r"test_specs.py:\d+"):
        sc.var("x", "f32[3000000000,3000000000]")
    with pytest.raises(sc.DTypeError, match="u8"):
        sc.var("x", "u8[3]")
    with pytest.raises(sc.DTypeError, match="name"):
        sc.var("", "f32")


def n_and_m():
    x = sc.var("x", "f32[n,m,4]")
    return x.shape[0], x.shape[1]


def test_dim_arithmetic_is_exact():
    n, m = n_and_m()
    assert sc.var("x", "f32[n,m,4]").shape[2] == 4
    assert (n + 2) - n == 2
    assert (2 * n) // 2 == n
    assert (6 * n + 3) % 3 == 0
    assert n * m == m * n
    assert str(n + m - 1) == "m + n - 1"
    assert sc.Dim.max(n, n + 1) == n + 1
    assert sc.Dim.min(n, n + 1) == n
    assert sc.Dim.min(3, 5) == 3
    assert n**2 == n * n
    assert -n + n == 0


def test_dim_comparisons_are_proved_or_refused():
    n, m = n_and_m()
    again = sc.var("y", "f32[n]").shape[0]
    assert n == again
    assert n != n + 1
    assert n >= 0
    assert n + 1 > n
    assert not n > again
    assert n < n + m + 1
    assert n >= 0
    for undecided in (
        lambda: n == m,
        lambda: n > 3,
        lambda: n <= m,
        lambda: n != 7,
        lambda: bool(n),
    ):
        with pytest.raises(sc.TracerError, match="cannot be decided"):
            undecided()
    assert bool(n + 1)


def test_dim_is_not_a_number():
    n, _ = n_and_m()
    for use in (range, int, float, lambda d: [0] * d):
        with pytest.raises(sc.TracerError, match="no Python value"):
            use(n)


def test_dim_as_a_value():
    x = sc.var("x", "f32[n,3]")
    n = x.shape[0]
    f = sc.function([x], [x + n, n / 2 + sc.sum(x) * 0, sc.sqrt(n), n * 2.5, 1 / n])
    a = np.ones((4, 3), np.float32)
    added, half, root, scaled, inverse = f(a)
    assert added.dtype == np.float32
    np.testing.assert_array_equal(added, a + 4)
    assert half == 2.0
    assert root == 2.0
    assert root.dtype == np.float64
    assert (scaled, inverse) == (10.0, 0.25)


def test_dim_as_a_size():
    x = sc.var("x", "f64[n]")
    n = x.shape[0]
    f = sc.function(
        [x], [sc.zeros((n, 2)) + x[:, None], sc.arange(n), sc.ones(2 * n - 1), sc.eye(n)]
    )
    zeros, ramp, ones, eye = f(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(zeros, [[1, 1], [2, 2], [3, 3]])
    np.testing.assert_array_equal(ramp, [0, 1, 2])
    assert ones.shape == (5,)
    np.testing.assert_array_equal(eye, np.eye(3))
