"""Array functions on concrete values: NumPy arrays out, the same bits as traced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import symc as sc
from symc.frontend import eager

RNG = np.random.default_rng(3)


def test_results_are_arrays():
    for got, want in (
        (sc.exp(0), 1.0),
        (sc.sum([1, 2, 3]), 6),
        (sc.add(2, 3.5), 5.5),
        (sc.maximum(np.float32(1), 2), 2.0),
        (sc.zeros((2, 3)), np.zeros((2, 3))),
        (sc.arange(3), [0, 1, 2]),
        (sc.arange(1, 7, 2, dtype="f32"), np.arange(1, 7, 2, np.float32)),
        (sc.linspace(0, 1, 5), np.linspace(0, 1, 5)),
        (sc.full((2,), 7, dtype="i32"), np.full(2, 7, np.int32)),
        (sc.eye(2, 3, k=1), np.eye(2, 3, 1)),
        (sc.ones_like(np.ones(2, np.float32)), np.ones(2, np.float32)),
        (sc.asarray([1, 2], dtype="f32"), np.ones(2, np.float32) * [1, 2]),
        (sc.tril(np.ones((2, 2))), np.tril(np.ones((2, 2)))),
        (sc.concat([[1, 2], [3.5]]), [1, 2, 3.5]),
        (sc.einsum("i,i", [1.0, 2.0], [3.0, 4.0]), 11.0),
    ):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, want)
    assert sc.maximum(np.float32(1), 2).dtype == np.float32
    assert sc.exp(np.float32(1)).dtype == np.float32


FUNCTIONS = [sc.tanh, sc.softmax, sc.sum, sc.sigmoid, lambda x: sc.mean(x, axis=0)]
TRACED = [sc.jit(f) for f in FUNCTIONS]


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=6)))
@settings(max_examples=40)
def test_same_bits_as_traced(a):
    for f, traced in zip(FUNCTIONS, TRACED, strict=True):
        assert f(a).tobytes() == traced(a).tobytes()


def test_other_sizes_and_numbers_do_not_compile_again():
    def compiles():
        return sum(kept.compiles for kept in eager._kept.values())

    sc.log1p(RNG.random((3, 5)))
    sc.multiply(RNG.random(4), 2.0)
    before = compiles()
    for n in range(2, 20):
        sc.log1p(RNG.random((n, n + 7)))
        sc.multiply(RNG.random(n), float(n))
    assert compiles() == before


def test_errors_name_the_users_line():
    for call, error in (
        (lambda: sc.exp("abc"), sc.DTypeError),
        (lambda: sc.exp(None), sc.DTypeError),
        (lambda: sc.add([1.0, 2.0], [1.0, 2.0, 3.0]), sc.ShapeError),
        (lambda: sc.sum(np.ones(3), axis=1), sc.ShapeError),
        (lambda: sc.max([]), sc.DomainError),
        (lambda: sc.exp(np.ones(3, complex)), sc.DTypeError),
        (lambda: sc.reshape(np.ones(6), (4,)), sc.ShapeError),
        (lambda: sc.take([1.0], 1.5), sc.DTypeError),
        (lambda: sc.take([1.0, 2.0], 2), sc.SymcIndexError),
        (lambda: sc.matmul(np.ones((2, 3)), np.ones((2, 3))), sc.ShapeError),
    ):
        with pytest.raises(error, match=r"test_eager.py:\d+"):
            call()


def test_shapes_given_as_numbers():
    a = RNG.random(12)
    for n in (2, 3, 4):
        assert sc.reshape(a, (n, -1)).shape == (n, 12 // n)
        assert sc.broadcast_to(a, (n, 12)).shape == (n, 12)
    assert sc.split(a, 3)[1].shape == (4,)
    assert [part.shape for part in sc.split(a, [2, 5])] == [(2,), (3,), (7,)]
    assert sc.unstack(a.reshape(2, 6))[0].shape == (6,)
    b, c = sc.broadcast_arrays(a, np.ones((3, 1)))
    assert b.shape == c.shape == (3, 12)


def test_inside_a_trace_concrete_values_stay_concrete():
    seen = []

    @sc.jit
    def f(x):
        seen.append(sc.tanh(np.ones(3)))
        return x + seen[-1]

    np.testing.assert_array_equal(f(np.zeros(3)), sc.tanh(np.ones(3)))
    assert type(seen[0]) is np.ndarray
