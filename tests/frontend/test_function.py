"""`sc.function`: calls, conversions, updates, givens, and every bad input with its error."""

import numpy as np
import pytest

import symc as sc

HERE = r"(.|\n)*test_function.py:\d+"


def doubled(spec="f32[n]", **options):
    x = sc.var("x", spec)
    return sc.function([x], x * 2, name="doubled", **options)


def test_outputs_come_in_the_form_asked_for():
    x = sc.var("x", "f64[n]")
    a = np.array([1.0, 2.0])
    assert type(sc.function([x], x + 1)(a)) is np.ndarray
    one, two = sc.function([x], [x + 1, x * 2])(a)
    np.testing.assert_array_equal(one + two, [4, 7])
    assert sc.function([x], None, on_unused_input="ignore")(a) is None
    assert sc.function([x], [], on_unused_input="ignore")(a) == ()
    total = sc.function([x], sc.sum(x))(a)
    assert type(total) is np.ndarray
    assert total.shape == ()


def test_results_never_alias():
    x = sc.var("x", "f64[n]")
    y = x + 1
    f = sc.function([x], [x, y, y, x.T, sc.reshape(x, (-1, 1))])
    a = np.array([1.0, 2.0])
    results = f(a)
    everything = [a, *results]
    for i, one in enumerate(everything):
        for other in everything[i + 1 :]:
            assert not np.shares_memory(one, other)
    np.testing.assert_array_equal(results[0], a)


ARRAYS = {
    "list": [1.0, 2.0, 3.0],
    "ints": [1, 2, 3],
    "tuple": (1, 2.5, True),
    "i8": np.array([1, 2, 3], np.int8),
    "u16": np.array([1, 2, 3], np.uint16),
    "f16": np.array([1, 2, 3], np.float16),
    "bool": np.array([True, False, True]),
    "strided": np.arange(6, dtype=np.float32)[::2],
    "reversed": np.arange(3, dtype=np.float32)[::-1],
    "broadcast": np.broadcast_to(np.float32(3), (3,)),
    "big endian": np.array([1, 2, 3], ">f4"),
    "misaligned": np.frombuffer(b"\0" + np.arange(3, dtype=np.float32).tobytes(), np.uint8)[
        1:
    ].view(np.float32),
    "buffer": memoryview(np.arange(3, dtype=np.float32)),
    "empty": np.ones(0, np.float32),
    "empty list": [],
}


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_accepted_arrays(name):
    value = ARRAYS[name]
    got = doubled()(value)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.asarray(value, dtype=None) * np.float32(2))


def test_read_only_inputs_and_protocol_objects():
    a = np.arange(3, dtype=np.float32)
    a.setflags(write=False)

    class Array:
        def __array__(self, dtype=None, copy=None):
            return a

    class Dlpack:
        def __dlpack__(self, **kwargs):
            return np.arange(3, dtype=np.float32).__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return a.__dlpack_device__()

    for value in (a, Array(), Dlpack()):
        np.testing.assert_array_equal(doubled()(value), a * 2)


def test_layout_never_changes_values():
    x = sc.var("x", "f64[n,m]")
    f = sc.function([x], [sc.sum(x, axis=1), sc.tanh(x)])
    base = np.random.default_rng(1).normal(size=(6, 8))
    for view in (np.asfortranarray(base), base[::-1], base[:, ::2], base.T, base[:, :0]):
        for got, want in zip(f(view), f(np.ascontiguousarray(view)), strict=True):
            np.testing.assert_array_equal(got, want)


class Failing:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array today")


class Lying:
    def __init__(self, **interface):
        self.__array_interface__ = {"version": 3, "typestr": "<f4", **interface}


REFUSED = {
    "f64": (np.ones(3), sc.DTypeError, "astype"),
    "i64": (np.ones(3, np.int64), sc.DTypeError, "astype"),
    "complex": (np.ones(3, complex), sc.DTypeError, "astype"),
    "object": (np.array([1, None]), sc.DTypeError, "unsupported"),
    "text array": (np.array(["a"]), sc.DTypeError, "unsupported"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), sc.DTypeError, "unsupported"),
    "structured": (np.zeros(2, [("a", "f4")]), sc.DTypeError, "unsupported"),
    "masked": (np.ma.masked_array([1.0, 2.0], [0, 1]), sc.DTypeError, "masked"),
    "None": (None, sc.DTypeError, "None"),
    "text": ("abc", sc.DTypeError, "str"),
    "set": ({1.0}, sc.DTypeError, "set"),
    "dict": ({1: 2.0}, sc.DTypeError, "dict"),
    "generator": ((i for i in range(3)), sc.DTypeError, "generator"),
    "list of text": (["a"], sc.DTypeError, "list"),
    "ragged": ([[1.0], [1.0, 2.0]], sc.ShapeError, "lengths"),
    "rank 0": (np.float32(1), sc.ShapeError, "rank"),
    "number": (1.0, sc.ShapeError, "rank"),
    "rank 2": (np.ones((3, 1), np.float32), sc.ShapeError, "rank"),
    "failing": (Failing(), sc.DTypeError, "no array today"),
    "null": (Lying(shape=(3,), data=(0, True)), sc.DomainError, "null"),
    "huge": (Lying(shape=(2**61,), data=(64, True)), sc.DomainError, "elements"),
    "negative": (Lying(shape=(-3,), data=(64, True)), sc.DomainError, "shape"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_arguments(name):
    value, error, text = REFUSED[name]
    f = doubled()
    with pytest.raises(error, match=f"argument x(.|\n)*{text}" if name != "failing" else text) as e:
        f(value)
    assert "test_function.py:" in str(e.value)
    assert len(str(e.value).splitlines()) <= 6
    np.testing.assert_array_equal(f(np.ones(2, np.float32)), [2, 2])


def test_failing_conversion_is_chained():
    with pytest.raises(sc.DTypeError) as caught:
        doubled()(Failing())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_scalars_by_the_weak_rule():
    f, i, b = (doubled(spec) if spec != "bool" else negated() for spec in ("f32", "i32", "bool"))
    for value in (3, 3.0, True, np.float32(3), np.int8(3)):
        assert f(value) == 2 * value
        assert f(value).dtype == np.float32
    assert i(4) == 8
    assert i(True) == 2
    assert not b(True)
    for g, value in ((i, 1.5), (i, np.int64(3)), (b, 1), (f, 1j), (i, float("nan"))):
        with pytest.raises(sc.DTypeError, match=HERE):
            g(value)
    for value in (2**31, -(2**31) - 1, 2**63, -(2**70)):
        with pytest.raises(sc.SymcOverflowError, match=HERE):
            i(value)
    with pytest.raises(sc.SymcOverflowError, match=HERE):
        doubled("i32[n]")([1, 2**31])
    with pytest.raises(sc.DTypeError, match=HERE):
        doubled("i32[n]")([1, 2.0])
    with pytest.raises(sc.ShapeError, match=HERE):
        f([1.0])


def negated():
    x = sc.var("x", "bool")
    return sc.function([x], ~x)


def test_arguments_by_position_and_name():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[n]")
    f = sc.function([x, y], x - y, name="difference")
    a, b = np.array([3.0]), np.array([1.0])
    for got in (f(a, b), f(a, y=b), f(x=a, y=b), f(y=b, x=a)):
        assert got == 2.0
    for call, text in (
        (lambda: f(a), "y is missing"),
        (lambda: f(a, b, a), "too many"),
        (lambda: f(a, b, z=a), "unknown z"),
        (lambda: f(a, b, y=b), "y given twice"),
        (lambda: f(), "x is missing"),
    ):
        with pytest.raises(TypeError, match=f"difference: arguments .{text}{HERE}"):
            call()


def test_sizes_are_compared_at_the_call():
    x, y = sc.var("x", "f64[n,3]"), sc.var("y", "f64[n]")
    f = sc.function([x, y], x * y[:, None])
    assert f(np.ones((4, 3)), np.ones(4)).shape == (4, 3)
    with pytest.raises(sc.ShapeError, match=f"argument x: wrong size in axis 1{HERE}"):
        f(np.ones((4, 2)), np.ones(4))
    with pytest.raises(sc.ShapeError, match=f"argument y: wrong size in axis 0(.|\n)*n = 4{HERE}"):
        f(np.ones((4, 3)), np.ones(5))


def test_trust_input_refuses_instead_of_converting():
    f = doubled(trust_input=True)
    np.testing.assert_array_equal(f(np.ones(3, np.float32)), [2, 2, 2])
    for wrong in (np.ones(3), [1.0], np.ones((1, 3), np.float32), np.ones(6, np.float32)[::2]):
        with pytest.raises(sc.SymcError, match=f"trust_input{HERE}"):
            f(wrong)
    f.trust_input = False
    np.testing.assert_array_equal(f([1.0]), [2])


def test_givens():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
    w = sc.shared(np.array([1.0, 2.0]), "w")
    cost = sc.sum(x * x)
    assert sc.function([], cost, givens={x: w})() == 5
    assert sc.function([y], cost, givens={x: y + 1})(np.array([0.0, 1.0, 2.0])) == 14
    assert sc.function([y], sc.sum(x[1:] * y), givens={x: sc.concat([y, y[:1]])})([1.0, 2.0]) == 4
    update = sc.function([y], None, updates={w: w - x}, givens={x: 2 * y})
    update([0.5, 0.5])
    np.testing.assert_array_equal(w.get(), [0, 1])
    for givens, error in (
        ({x: np.ones((2, 2))}, sc.ShapeError),
        ({x: np.ones(2, complex)}, sc.DTypeError),
        ({cost: 1.0}, sc.DTypeError),
    ):
        with pytest.raises(error, match=HERE):
            sc.function([], cost, givens=givens)


def test_bad_inputs_lists():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[n]")
    with pytest.raises(sc.MissingInputError, match=f"depend on y{HERE}"):
        sc.function([x], x + y)
    with pytest.raises(sc.DomainError, match=f"two inputs called x{HERE}"):
        sc.function([x, x], x)
    with pytest.raises(sc.DomainError, match=f"two inputs called x{HERE}"):
        sc.function([x, sc.var("x", "f64[m]")], x)
    with pytest.raises(sc.DomainError, match=f"y is not used{HERE}"):
        sc.function([x, y], x)
    with pytest.warns(UserWarning, match="y is not used"):
        sc.function([x, y], x, on_unused_input="warn")
    assert sc.function([x, y], x, on_unused_input="ignore")([1.0], [2.0]) == 1
    with pytest.raises(sc.DomainError, match=HERE):
        sc.function([x], x, on_unused_input="maybe")
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.function([x + 1], x)
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.function(x, x)
    with pytest.raises(sc.DomainError, match=f"unknown option speed{HERE}"):
        sc.function([x], x, speed=11)
    with pytest.raises(sc.DomainError, match="option numerics"):
        sc.function([x], x, numerics="loose")
    with pytest.raises(sc.MissingInputError, match=f"size n{HERE}"):
        sc.function([], sc.zeros(x.shape[0]))


def test_an_input_may_be_used_for_its_size_only():
    x = sc.var("x", "f64[n]")
    n = x.shape[0]
    assert sc.function([x], n * 2 + sc.sum(0.0))(np.ones(3)) == 6
    assert sc.function([x], sc.ones(n))(np.ones(3)).shape == (3,)
    with pytest.raises(sc.MissingInputError, match=f"size n{HERE}"):
        sc.function([], sc.add(n, 1))


def test_fill_values_are_checked():
    n = sc.var("x", "f64[n]").shape[0]
    for shape in (3, n):
        with pytest.raises(sc.DomainError, match=HERE):
            sc.full(shape, float("nan"), dtype="i32")
        with pytest.raises(sc.DTypeError, match=HERE):
            sc.full(shape, "x")
        with pytest.raises(sc.ShapeError, match=HERE):
            sc.zeros((shape, -1))
    with pytest.raises(sc.DTypeError, match=HERE):
        sc.zeros("abc")


def test_python_needs_a_value():
    x = sc.var("x", "f64[n]")
    for use, text in (
        (bool, "sc.cond"),
        (float, "float"),
        (int, "int"),
        (complex, "complex"),
        (len, "len"),
        (list, "len"),
        (np.asarray, "NumPy array"),
        (lambda v: [0, 1][v], "index"),
        (lambda v: 1.0 in v, "sc.any"),
        (np.from_dlpack, "buffer"),
        (lambda v: 3 if v > 0 else 4, "if"),
    ):
        with pytest.raises(sc.TracerError, match=f"{text}") as caught:
            use(x)
        assert "test_function.py:" in str(caught.value)
    with pytest.raises(TypeError, match="scalar"):
        len(sc.sum(x))
    assert len(sc.var("y", "f64[3,n]")) == 3
    a, b = sc.var("y", "f64[2]")
    assert a.shape == b.shape == ()


def test_builds_refuse_at_the_users_line():
    a, b = sc.var("a", "f64[3]"), sc.var("b", "f64[4]")
    m, i = sc.var("m", "f64[3,4]"), sc.var("i", "i64[3]")
    t, n = sc.var("t", "bool[3]"), sc.var("n", "f64[n]")
    cases = [
        (lambda: a + b, sc.ShapeError),
        (lambda: m @ a, sc.ShapeError),
        (lambda: m @ sc.sum(a), sc.ShapeError),
        (lambda: sc.reshape(m, (5,)), sc.ShapeError),
        (lambda: sc.reshape(m, (-1, -1)), sc.ShapeError),
        (lambda: sc.reshape(sc.var("z", "f64[0]"), (-1, 0)), sc.ShapeError),
        (lambda: sc.permute_dims(m, (0, 0)), sc.ShapeError),
        (lambda: sc.permute_dims(m, (0,)), sc.ShapeError),
        (lambda: sc.sum(m, axis=2), sc.ShapeError),
        (lambda: sc.sum(m, axis=(0, -2)), sc.ShapeError),
        (lambda: sc.sum(m, axis=1.0), sc.DTypeError),
        (lambda: sc.concat([a, m]), sc.ShapeError),
        (lambda: sc.concat([]), sc.ShapeError),
        (lambda: sc.concat(a), sc.DTypeError),
        (lambda: sc.stack([a, b]), sc.ShapeError),
        (lambda: sc.einsum("ij,k->q", m, a), sc.DomainError),
        (lambda: sc.einsum("ij->ii", m), sc.DomainError),
        (lambda: sc.einsum("ij", a), sc.DomainError),
        (lambda: sc.einsum("i,j", a), sc.DomainError),
        (lambda: sc.einsum("i1->i", m), sc.DomainError),
        (lambda: sc.einsum("ij,j->i", m, a), sc.ShapeError),
        (lambda: a & 1, sc.DTypeError),
        (lambda: t - t, sc.DTypeError),
        (lambda: -t, sc.DTypeError),
        (lambda: i**-1, sc.DomainError),
        (lambda: a + 1j, sc.DTypeError),
        (lambda: a + "x", sc.DTypeError),
        (lambda: a + None, sc.DTypeError),
        (lambda: a.__add__([a]), sc.DTypeError),
        (lambda: a.astype("U3"), sc.DTypeError),
        (lambda: a.astype("c64"), sc.DTypeError),
        (lambda: sc.take(m, a), sc.DTypeError),
        (lambda: sc.take(m, i, mode="maybe"), sc.DomainError),
        (lambda: sc.take_along_axis(m, i), sc.ShapeError),
        (lambda: sc.split(m, 3, axis=1), sc.ShapeError),
        (lambda: sc.squeeze(m, axis=0), sc.ShapeError),
        (lambda: sc.squeeze(n[None]), sc.TracerError),
        (lambda: sc.broadcast_to(m, (3, 5)), sc.ShapeError),
        (lambda: sc.one_hot(a, 3), sc.DTypeError),
        (lambda: sc.zeros((n.shape[0], -1)), sc.ShapeError),
        (lambda: sc.broadcast_to(sc.sum(a), (2**40, 2**40)), sc.SymcOverflowError),
        (lambda: sc.unstack(n), sc.TracerError),
        (lambda: a.to_device("tpu"), sc.UnsupportedError),
        (lambda: sc.argmax(m, axis=(0, 1)), sc.UnsupportedError),
        (lambda: sc.tensordot(m, m, axes=3), sc.ShapeError),
        (lambda: sc.clip(a, "x"), sc.DTypeError),
        (lambda: a.mT, sc.ShapeError),
        (lambda: sc.sign(t), sc.DTypeError),
    ]
    for build, error in cases:
        with pytest.raises(error) as caught:
            build()
        text = str(caught.value)
        assert "test_function.py:" in text, text
        assert len(text.splitlines()) <= 6, text


def test_call_n_and_bind():
    w = sc.shared(np.zeros(3), "w")
    x = sc.var("x", "f64[3]")
    f = sc.function([x], w * 1, updates={w: w + x})
    np.testing.assert_array_equal(f.call_n(5, np.ones(3)), [4, 4, 4])
    np.testing.assert_array_equal(w.get(), [5, 5, 5])
    f.call_n(2, [1, 1, 1])
    np.testing.assert_array_equal(w.get(), [7, 7, 7])
    a = np.ones(3)
    g = doubled("f64[n]")
    bound = g.bind(a)
    np.testing.assert_array_equal(bound(), [2, 2, 2])
    a[:] = 4
    np.testing.assert_array_equal(bound(), [8, 8, 8])
    out = np.empty(3)
    assert g.bind(a, out=out)() is out
    np.testing.assert_array_equal(out, [8, 8, 8])


def test_a_function_on_symbolic_values_is_inlined():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f32[5]")
    w = sc.shared(np.float64(3), "w")
    f = sc.function([x], [sc.sum(x * w), x[1:]], name="inner")
    total, tail = f(y + 1)
    assert tail.shape == (4,)
    g = sc.function([y], [total, tail])
    got, rest = g(np.arange(5, dtype=np.float32))
    assert got == 45
    np.testing.assert_array_equal(rest, [2, 3, 4, 5])
    traced = sc.jit(lambda v: f(v * 2)[0])
    assert traced(np.ones(4)) == 24
    updating = sc.function([x], None, updates={w: w + sc.sum(x)}, name="updating")
    with pytest.raises(sc.TracerError, match=f"updating has updates{HERE}"):
        updating(y)
    with pytest.raises(sc.ShapeError, match=HERE):
        f(sc.var("m", "f64[2,2]"))
    with pytest.raises(sc.DTypeError, match=HERE):
        f(sc.var("c", "i64[2]") * 1.0 + np.ones(2, complex))


def test_large_arrays_are_hidden_inputs():
    big = np.arange(100.0)
    x = sc.var("x", "f64[100]")
    y = x * big + big
    big[:] = 0
    f = sc.function([x], y)
    np.testing.assert_array_equal(f(np.ones(100)), 2 * np.arange(100.0))
    assert len(f.current.traced.entry.constants) in {1, 2}


def test_inspection():
    f = doubled()
    for stage in ("traced", "defined", "optimized", "kernels", "program"):
        assert f.ir(stage)
    assert "define" in f.llvm()
    assert f.asm()
    report = f.explain()
    assert "doubled" in str(report)
    assert len(report.kernels) == 1
    with pytest.raises(sc.DomainError):
        f.ir("nowhere")


def test_options_context():
    with sc.options(numerics="fast", threads=1):
        f = doubled()
        with sc.options(threads=2):
            g = doubled(numerics="strict")
    assert (f.current.options.numerics, f.current.options.threads) == ("fast", 1)
    assert (g.current.options.numerics, g.current.options.threads) == ("strict", 2)
    assert doubled().current.options.threads is None
    with pytest.raises(sc.DomainError), sc.options(colour="red"):
        pass
