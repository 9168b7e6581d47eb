"""`sc.jit`: signatures, specialisation on sizes, pytrees, errors."""

import gc
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symc as sc
from symc.frontend.specialise import STATIC_LIMIT, merged

HERE = r"(.|\n)*test_jit.py:\d+"


def traced_calls():
    """A function that counts how often its Python code runs."""
    calls = []

    @sc.jit
    def f(x, w):
        calls.append(x.shape)
        return sc.tanh(x @ w) + 1

    return f, calls


def test_two_compiles_serve_fifty_batch_sizes():
    rng = np.random.default_rng(0)
    for sizes in (range(1, 51), [5, 1, 7, *rng.permutation(60)[:50]], range(50, 0, -1)):
        f, _ = traced_calls()
        w = rng.normal(size=(4, 3))
        for n in sizes:
            x = rng.normal(size=(int(n), 4))
            np.testing.assert_allclose(f(x, w), np.tanh(x @ w) + 1, rtol=1e-12, atol=1e-14)
        assert f.compiles == 2


def test_axes_that_were_always_equal_share_a_name():
    f = sc.jit(lambda x, y: x + y)
    for n in (3, 4, 5):
        f(np.ones((n, 2)), np.ones((n, 2)))
    assert f.compiles == 2
    assert f.current.traced.entry.function.constraints == ()
    param, other = f.current.traced.entry.function.params
    assert param.type == other.type
    assert param.type.shape[1] == 2


def test_an_axis_that_varies_later_becomes_symbolic_later():
    f = sc.jit(lambda x: x * 2)
    for shape in ((3, 4), (5, 4), (6, 4), (6, 7), (8, 9)):
        np.testing.assert_array_equal(f(np.ones(shape)), np.full(shape, 2.0))
    assert f.compiles == 3


def test_size_one_broadcasts_as_in_a_static_compile():
    f = sc.jit(lambda x, y: x + y)
    for a, b in (
        (5, 5),
        (6, 6),
        (6, 1),
        (7, 1),
        (8, 1),
        (1, 8),
        (1, 9),
        (1, 1),
        (4, 4),
        (0, 0),
        (0, 1),
    ):
        x, y = np.arange(a, dtype=float), np.arange(b, dtype=float)
        np.testing.assert_array_equal(f(x, y), x + y)
    assert f.compiles <= 8
    with pytest.raises(sc.ShapeError, match=HERE):
        f(np.ones(5), np.ones(4))
    np.testing.assert_array_equal(f(np.ones(9), np.ones(9)), np.full(9, 2.0))


def test_what_needs_static_sizes_gets_them():
    @sc.jit
    def f(x):
        total = 0.0
        for i in range(x.shape[0]):
            total = total + x[i] * i
        return total if x.shape[0] > 3 else -total

    for n in (*range(1, 30), 2, 2):
        x = np.arange(n, dtype=float)
        want = (x * np.arange(n)).sum()
        np.testing.assert_allclose(f(x), want if n > 3 else -want)
    (family,) = f._families.values()
    assert len(family.specialiser.static) <= STATIC_LIMIT
    before = f.compiles
    f(np.ones(29))
    assert f.compiles == before


def test_a_constraint_that_fails_falls_back():
    f = sc.jit(lambda x: sc.reshape(x, (-1, 4)))
    for n in (8, 12, 16):
        assert f(np.ones(n)).shape == (n // 4, 4)
    for _ in range(2):
        with pytest.raises(sc.ShapeError, match=HERE):
            f(np.ones(10))
    assert f(np.ones(20)).shape == (5, 4)
    assert f.compiles == 2


def test_empty_axes_raise_what_a_static_compile_raises():
    f = sc.jit(sc.max)
    for n in (3, 4, 5):
        assert f(np.ones(n)) == 1
    with pytest.raises(sc.DomainError, match="empty"):
        f(np.ones(0))
    assert f(np.ones(7)) == 1


@given(st.lists(st.tuples(*[st.integers(2, 5)] * 3), min_size=1, max_size=6))
def test_labels_are_the_histories_of_sizes(calls):
    shapes = [((a, b), (c,)) for a, b, c in calls]
    labels = shapes[0]
    for more in shapes[1:]:
        labels = merged(labels, more)
    flat = [label for part in labels for label in part]
    columns = list(zip(*calls, strict=True))
    for label, column in zip(flat, columns, strict=True):
        assert isinstance(label, int) == (len(set(column)) == 1)
    for i in range(3):
        for j in range(3):
            if columns[i] == columns[j]:
                assert flat[i] == flat[j]
            elif not isinstance(flat[i], int):
                assert flat[i] != flat[j]


def test_dtype_rank_and_structure_retrace():
    calls = []

    @sc.jit
    def f(tree):
        calls.append(tree)
        return tree

    f([np.ones(3)])
    f([np.ones(3)])
    assert len(calls) == 1
    f([np.ones(3, np.float32)])
    f([np.ones((3, 1))])
    f((np.ones(3),))
    f([np.ones(3), np.ones(3)])
    assert len(calls) == 5
    f([np.ones(3)])
    assert len(calls) == 5


def test_python_numbers_are_weak_and_do_not_retrace():
    calls = []

    @sc.jit
    def f(x, a):
        calls.append(1)
        return x * a

    x = np.ones(3, np.float32)
    for a in (2.0, 3.5, -1.0):
        got = f(x, a)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, x * np.float32(a))
    assert len(calls) == 1
    assert f(x, 2).dtype == np.float32
    assert f(x, True).dtype == np.float32
    assert f(x, np.float64(2)).dtype == np.float64
    assert f(np.ones(3, np.int32), 2.5).dtype == np.float64
    assert len(calls) == 5
    with pytest.raises(sc.SymcOverflowError, match=HERE):
        f(x, 2**70)
    i = np.ones(3, np.int32)
    assert f(i, 7).dtype == np.int32
    for wrong in (2**31, -(2**31) - 1):
        with pytest.raises(sc.SymcOverflowError, match=f"argument a{HERE}"):
            f(i, wrong)
    np.testing.assert_array_equal(f(i, -5), [-5, -5, -5])


class Point(NamedTuple):
    x: Any
    y: Any


def test_trees_in_and_out():
    @sc.jit
    def f(params, points, *, scale=1.0):
        p = params["a"][0]
        return {"sum": p.x + p.y * scale, "same": points, "none": None, "list": [p.x, (p.y,)]}

    params = {"a": (Point(np.ones(2), np.zeros(2)),), "b": None}
    got = f(params, Point(1, np.arange(3)), scale=2.0)
    np.testing.assert_array_equal(got["sum"], [1, 1])
    assert got["none"] is None
    assert isinstance(got["same"], Point)
    np.testing.assert_array_equal(got["list"][1][0], [0, 0])


def test_flat_calls_run_without_python():
    f = sc.jit(lambda x, y: (x + y, x - y))
    f(np.ones(3), np.ones(3))
    f(np.ones(4), np.ones(4))
    f._signature = f._families = None  # what the Python path needs
    for n in (3, 4, 5, 50):
        plus, minus = f(np.ones(n), np.ones(n))
        np.testing.assert_array_equal(plus + minus, np.full(n, 2.0))


def test_static_arguments():
    calls = []

    @sc.jit(static_argnums=1, static_argnames="flip")
    def f(x, power, flip=False):
        calls.append(power)
        for _ in range(power):
            x = x * 2
        return x[::-1] if flip else x

    a = np.arange(3.0)
    np.testing.assert_array_equal(f(a, 2), a * 4)
    np.testing.assert_array_equal(f(a, 2), a * 4)
    np.testing.assert_array_equal(f(a, 1, flip=True), a[::-1] * 2)
    np.testing.assert_array_equal(f(a, 1, True), a[::-1] * 2)
    np.testing.assert_array_equal(f(a, True), a * 2)
    assert calls == [2, 1, 1, True]
    with pytest.raises(sc.DTypeError, match=f"not hashable{HERE}"):
        f(a, [1])


def test_methods_with_a_static_instance():
    class Model:
        scale = 3.0

        @sc.jit(static_argnums=0)
        def run(self, x):
            return x * self.scale

    np.testing.assert_array_equal(Model().run(np.ones(2)), [3, 3])


def test_methods_without_a_static_instance_are_told_how():
    class Model:
        @sc.jit
        def run(self, x):
            return x

    with pytest.raises(sc.DTypeError, match=r"a Model(.|\n)*static_argnums(.|\n)*method"):
        Model().run(np.ones(2))


def test_declared_specs():
    @sc.jit
    def f(x: "f32[n,4]", y: "f32[n]", z):  # noqa: F821
        return x * y[:, None] * z

    x = np.ones((3, 4), np.float32)
    assert f(x, np.ones(3, np.float32), 2.0).dtype == np.float32
    assert f(np.ones((5, 4), np.int8), [1.0] * 5, 2.0).shape == (5, 4)
    with pytest.raises(sc.DTypeError, match=f"argument x(.|\n)*astype{HERE}|argument x{HERE}"):
        f(np.ones((3, 4)), np.ones(3, np.float32), 2.0)
    with pytest.raises(sc.ShapeError, match=f"argument y: wrong size in axis 0{HERE}"):
        f(x, np.ones(4, np.float32), 2.0)
    with pytest.raises(sc.ShapeError, match=f"argument x: wrong size in axis 1{HERE}"):
        f(np.ones((3, 5), np.float32), np.ones(3, np.float32), 2.0)

    g = sc.jit(lambda p, x: p["w"] * x, in_specs=({"w": "f64[k]"}, "f64[k]"))
    for n in (1, 2, 3, 4):
        assert g({"w": np.ones(n)}, np.ones(n)).shape == (n,)
    assert g.compiles == 1
    with pytest.raises(sc.ShapeError, match=HERE):
        g({"w": np.ones(3)}, np.ones(4))
    with pytest.raises(sc.ParseError, match=HERE):
        sc.jit(lambda x: x, in_specs=["f32["])
    with pytest.raises(sc.ShapeError, match=HERE):
        sc.jit(lambda x: x, in_specs=["f32", "f32"])


def test_declared_sizes_must_serve_every_size():
    @sc.jit
    def f(x: "f64[n]"):  # noqa: F821
        return x[0] if x.shape[0] > 3 else x[1]

    with pytest.raises(sc.TracerError, match=HERE):
        f(np.ones(5))


def test_captured_values():
    w = sc.shared(np.ones(3), "w")
    k, big, number = np.array([1.0, 2.0, 3.0]), np.arange(50.0), [2.0]

    @sc.jit
    def f(x):
        return x * w + k * number[0], big + sc.sum(x) * 0

    first, copy = f(np.ones(3))
    w.set(np.zeros(3))
    k[:] = 0
    big[:] = 0
    number[0] = 5.0
    second, again = f(np.ones(3))
    np.testing.assert_array_equal(first, [3, 5, 7])
    np.testing.assert_array_equal(second, [2, 4, 6])
    np.testing.assert_array_equal(copy, again)


def test_an_array_captured_twice_is_one_input():
    big = np.arange(50.0)

    @sc.jit
    def f(x):
        return (x + big) * big

    f(np.ones(50))
    assert len(f.current.traced.entry.constants) == 1


def test_nested_jit_is_inlined():
    calls = []

    @sc.jit
    def inner(p):
        calls.append(1)
        p["x"] += 1
        return {"y": p["x"] * 2}

    @sc.jit
    def outer(x):
        got = inner({"x": x})
        return got["y"] + x

    np.testing.assert_array_equal(outer(np.ones(3)), [5, 5, 5])
    assert len(calls) == 1
    assert inner.compiles == 0
    x = sc.var("x", "f64[n]")
    assert sc.function([x], inner({"x": x})["y"])([1.0]) == 4


def test_the_callers_arrays_are_untouched():
    @sc.jit
    def f(x, tree):
        x[0] = 9
        tree["a"] *= 2
        return x, tree["a"]

    x, tree = np.zeros(2), {"a": np.ones(2)}
    got = f(x, tree)
    np.testing.assert_array_equal(x, [0, 0])
    np.testing.assert_array_equal(tree["a"], [1, 1])
    np.testing.assert_array_equal(got[0], [9, 0])
    np.testing.assert_array_equal(got[1], [2, 2])


def test_leaked_tracers():
    leaked = []

    @sc.jit
    def f(x):
        leaked.append(x * 2)
        return x

    f(np.ones(3))
    with pytest.raises(sc.TracerError, match=f"trace of f(.|\n)*leaked tracer{HERE}"):
        leaked[0] + 1
    with pytest.raises(sc.TracerError, match=f"leaked tracer{HERE}"):
        sc.jit(lambda x: x + leaked[0])(np.ones(3))
    v = sc.var("v", "f64[3]")
    with pytest.raises(sc.MissingInputError, match=f"depend on v{HERE}"):
        sc.jit(lambda x: x + v)(np.ones(3))
    np.testing.assert_array_equal(f(np.ones(2)), [1, 1])


def test_captured_values_of_an_enclosing_trace_cannot_be_rebound():
    def cost(x):
        def inner(y):
            nonlocal x
            return sc.sum(x * y)

        return sc.grad(inner)(x)

    np.testing.assert_array_equal(sc.jit(cost)(np.arange(3.0)), np.arange(3.0))


def test_bad_arguments_and_results():
    f = sc.jit(lambda x, y=None: x * 2)
    for wrong, error in (
        ("abc", sc.DTypeError), (np.array(["a"]), sc.DTypeError), (object(), sc.DTypeError),
        (np.ones(3, np.int8), sc.DTypeError), (np.ma.masked_array([1.0]), sc.DTypeError),
        ({1, 2}, sc.DTypeError),
    ):  # fmt: skip
        with pytest.raises(error, match=f"argument{HERE}"):
            f(wrong)
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(np.ones(3), z=1)
    with pytest.raises(TypeError):
        f()
    with pytest.raises(sc.DTypeError, match=f"result{HERE}"):
        sc.jit(lambda x: "abc")(np.ones(3))
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.jit(3)
    with pytest.raises(sc.DomainError, match="no compiled program"):
        sc.jit(lambda x: x).ir()
    with pytest.raises(sc.DomainError, match=f"unknown option{HERE}"):
        sc.jit(lambda x: x, speed=1)
    with pytest.raises(ZeroDivisionError):
        sc.jit(lambda x: 1 // 0)(np.ones(3))
    np.testing.assert_array_equal(f(np.ones(3)), [2, 2, 2])


def test_donated_arguments():
    f = sc.jit(lambda w, x: w + x, donate_argnums=0)
    w, x = np.ones(1000), np.ones(1000)
    got = f(w, x)
    np.testing.assert_array_equal(got, np.full(1000, 2.0))
    read_only = np.ones(1000)
    read_only.setflags(write=False)
    for wrong in (read_only, np.ones(2000)[::2], np.ones(1001)[1:], [1.0] * 1000):
        with pytest.raises(ValueError, match="donated"):
            f(wrong, x)
    with pytest.raises(ValueError, match="donated"):
        f(x, x)
    np.testing.assert_array_equal(x, np.ones(1000))


def test_lower_call_n_and_bind():
    f = sc.jit(lambda x: x + 1)
    assert f.lower(sc.spec("f32[n]")).ir("traced")
    assert "f32[n]" in repr(f.current.traced.entry.function.params[0].type)
    np.testing.assert_array_equal(f.call_n(3, np.ones(2)), [2, 2])
    a = np.ones(4)
    bound = f.bind(a)
    a[:] = 5
    np.testing.assert_array_equal(bound(), np.full(4, 6.0))


def test_explain_lists_the_variants():
    f = sc.jit(lambda x: x + 1)
    for n in (2, 3, 4):
        f(np.ones((n, 7)))
    text = str(f.explain())
    assert "f64[2,7]" in text
    assert "f64[_0,7]" in text


def test_many_threads_call_first_at_once():
    f = sc.jit(lambda x: sc.sum(x * 2))
    results = []

    def work(n):
        results.append(float(f(np.ones(n))) == 2 * n)

    threads = [threading.Thread(target=work, args=(n % 6 + 2,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 24


def test_jitted_functions_are_freed():
    f = sc.jit(lambda x: x + 1)
    f(np.ones(3))
    watch = weakref.ref(f)
    del f
    gc.collect()
    assert watch() is None
