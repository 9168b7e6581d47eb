"""What reviewers reported of calls: options, lowering, prepared calls, trust."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import optree
import pytest

import symc as sc

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(130, 300)), RNG.normal(size=300)


def test_array_functions_on_arrays_follow_the_options() -> None:
    plain = sc.matmul(A, B)
    with sc.options(contract="chain"):
        chain = sc.matmul(A, B)
    wanted = sc.jit(sc.matmul, contract="chain")(A, B)
    np.testing.assert_array_equal(chain, wanted)
    np.testing.assert_array_equal(sc.matmul(A, B), plain)
    assert not np.array_equal(plain, wanted)


def test_array_functions_on_arrays_check_their_results() -> None:
    assert np.isnan(sc.log(np.array([-1.0]))[0])
    with sc.options(check="nan"), pytest.raises(sc.NonFiniteError):
        sc.log(np.array([-1.0]))
    assert np.isnan(sc.log(np.array([-1.0]))[0])


def test_a_result_that_is_not_finite_is_reported_at_its_own_call() -> None:
    with sc.options(check="nan"):
        sc.log(np.array([1.0]))
        line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
        with pytest.raises(sc.NonFiniteError) as caught:
            sc.log(np.array([-1.0]))
    assert f"test_reported_calls.py:{line}\n" in str(caught.value)


def test_transforms_on_arrays_follow_the_options() -> None:
    def cost(b: object) -> object:
        return sc.sum(sc.tanh(sc.matmul(A, b)))

    plain = sc.grad(cost)(B)
    with sc.options(contract="chain"):
        chain = sc.grad(cost)(B)
    np.testing.assert_array_equal(chain, sc.jit(sc.grad(cost), contract="chain")(B))
    np.testing.assert_array_equal(sc.grad(cost)(B), plain)
    with sc.options(check="nan"), pytest.raises(sc.NonFiniteError):
        sc.grad(lambda x: sc.sum(sc.sqrt(x)))(np.array([0.0, -1.0]))


def test_lower_compiles_named_sizes_as_such() -> None:
    f = sc.jit(lambda x, y: x * 2 + y)
    text = f.lower(sc.spec("f64[n,3]"), sc.spec("f64[n,3]")).ir()
    assert "n" in str(f.current.traced.entry.function.params[0].type)
    assert "tensor<2x" not in text
    assert "n" in str(f.cost().flops)
    for n in (1, 2, 5):
        np.testing.assert_array_equal(f(np.ones((n, 3)), np.ones((n, 3))), np.full((n, 3), 3.0))
    assert f.compiles == 1
    assert f.lower(sc.spec("f64[n,3]"), sc.spec("f64[n,3]")).compiles == 1
    np.testing.assert_array_equal(f(np.ones((2, 3)), np.ones((1, 3))), np.full((2, 3), 3.0))


def test_lower_mixes_specs_arrays_and_trees() -> None:
    f = sc.jit(lambda p, k: {"a": p["w"] + p["b"] * k}, static_argnums=1)
    f.lower({"w": sc.spec("f64[n,n]"), "b": np.ones(3)}, 2)
    np.testing.assert_array_equal(
        f({"w": np.ones((3, 3)), "b": np.ones(3)}, 2)["a"], np.full((3, 3), 3.0)
    )
    assert f.compiles == 1
    with pytest.raises(sc.ShapeError, match=r"rank|axis|broadcast"):
        sc.jit(lambda x, y: x @ y).lower(sc.spec("f64[n,3]"), sc.spec("f64[4,n]"))


def test_what_is_considered_constant_is_disconnected() -> None:
    x = sc.var("x", "f64[n]")
    z = x * x
    with pytest.raises(sc.DisconnectedGradError):
        sc.grad(sc.sum(x**2), x, consider_constant=[x])
    with pytest.raises(sc.DisconnectedGradError):
        sc.grad(sc.sum(z**2), x, consider_constant=[z])
    assert sc.grad(sc.sum(x**2), x, consider_constant=[x], disconnected="none") is None
    zero = sc.grad(sc.sum(x**2), x, consider_constant=[x], disconnected="zero")
    assert sc.function([x], zero, on_unused_input="ignore")(np.ones(2)).tolist() == [0, 0]
    partly = sc.grad(sc.sum(z * x), x, consider_constant=[z])
    assert sc.function([x], partly)(np.array([3.0])).tolist() == [9]


def test_a_repeated_letter_of_einsum_is_checked_at_the_call() -> None:
    x = sc.var("x", "f64[a,b]")
    f = sc.function([x], sc.einsum("ii->i", x))
    square = np.arange(9.0).reshape(3, 3)
    assert f(square).tolist() == [0, 4, 8]
    with pytest.raises(sc.ShapeError, match=r"repeated letter(.|\n)*equal sizes"):
        f(np.ones((3, 4)))
    with pytest.raises(sc.ShapeError, match="repeated letter"):
        sc.einsum("ii->i", sc.var("x", "f64[3,4]"))


def _function() -> sc.Function:
    x = sc.var("x", "f64[n]")
    return sc.function([x], x + 1)


def _jit() -> Callable[..., object]:
    return sc.jit(lambda x: x + 1)


X = np.ones(3)
OUTS = {
    "dtype": (np.zeros(3, "f4"), sc.DTypeError, "got: f32(.|\n)*expected: f64"),
    "shape": (np.zeros(4), sc.ShapeError, r"got: \(4,\)(.|\n)*expected: \(3,\)"),
    "rank": (np.zeros((3, 1)), sc.ShapeError, r"got: \(3, 1\)(.|\n)*expected: \(3,\)"),
    "strided": (np.zeros(6)[::2], sc.DomainError, "C-contiguous"),
    "argument": (X, sc.DomainError, "is an argument"),
    "not an array": ([0.0] * 3, sc.DTypeError, "got: list"),
}


@pytest.mark.parametrize("make", [_function, _jit])
@pytest.mark.parametrize(("out", "error", "words"), OUTS.values(), ids=OUTS.keys())
def test_what_bind_cannot_write_into(
    make: Callable[[], sc.Function], out: object, error: type[Exception], words: str
) -> None:
    f = make()
    with pytest.raises(error, match=words) as caught:
        f.bind(X, out=out)
    assert "test_reported_calls.py" in str(caught.value)
    good = np.zeros(3)
    assert f.bind(X, out=good)() is good
    assert good.tolist() == [2, 2, 2]


def test_bind_wants_one_array_per_result() -> None:
    x = sc.var("x", "f64[n]")
    f = sc.function([x], [x + 1, x * 2])
    with pytest.raises(sc.DomainError, match=r"got: 1(.|\n)*expected: 2"):
        f.bind(X, out=[np.zeros(3)])
    with pytest.raises(sc.ShapeError, match="result 1"):
        f.bind(X, out=[np.zeros(3), np.zeros(2)])
    both = np.zeros(3)
    with pytest.raises(sc.DomainError, match="twice"):
        f.bind(X, out=[both, both])


@pytest.mark.parametrize("make", [_function, _jit])
def test_how_often_call_n_calls(make: Callable[[], sc.Function]) -> None:
    f = make()
    for n in (0, -1):
        with pytest.raises(sc.DomainError, match=rf"got: {n}(.|\n)*test_reported_calls.py"):
            f.call_n(n, X)
    with pytest.raises(sc.DTypeError, match="got: str"):
        f.call_n("3", X)  # type: ignore[arg-type]
    assert f.call_n(np.int64(2), X).tolist() == [2, 2, 2]


class Wary:
    """A registered container that takes numbers and arrays alone."""

    def __init__(self, inner: object) -> None:
        if not isinstance(inner, np.ndarray | sc.Expr):
            raise TypeError("not an array")
        self.inner = inner


optree.register_pytree_node(
    Wary, lambda box: ((box.inner,), None), lambda _, children: Wary(*children), namespace="symc"
)


def test_prepared_calls_of_what_native_calls_cannot_form() -> None:
    f = sc.jit(lambda x: Wary(x))
    assert f(X).inner.tolist() == X.tolist()
    assert sc.jit(lambda box: box.inner + 1)(Wary(X)).tolist() == (X + 1).tolist()
    for call in (lambda: f.bind(X), lambda: f.call_n(2, X)):
        with pytest.raises(sc.UnsupportedError, match=r"test_reported_calls\.py"):
            call()
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
    g = sc.function([x, y], x + y)
    for call in (lambda: g.bind(X, np.ones(2)), lambda: g.call_n(2, X, np.ones(2))):
        with pytest.raises(sc.ShapeError, match="equal sizes"):
            call()


@pytest.mark.parametrize(
    "wrong", [np.ones((3, 3))[:, 0], np.float64(1), np.ones(3, ">f8"), memoryview(b"abc")]
)
def test_a_trusting_jit_converts_nothing(wrong: object) -> None:
    f = sc.jit(lambda x: x * 2, trust_input=True)
    for _ in range(2):
        with pytest.raises(sc.DTypeError, match=r"trust_input(.|\n)*test_reported_calls\.py"):
            f(wrong)
        assert f(np.ones(3)).tolist() == [2, 2, 2]
    assert f(2.5) == 5
    f.trust_input = False
    assert f(np.ones((3, 3))[:, 0]).tolist() == [2, 2, 2]


@pytest.mark.parametrize("wrong", [[1.0, 2.0], np.ones(2, "f4"), np.ones(2, "i4")])
def test_a_trusting_jit_takes_declared_types_only(wrong: object) -> None:
    f = sc.jit(lambda x: x * 2, in_specs=["f64[n]"], trust_input=True)
    with pytest.raises(sc.DTypeError, match="trust_input"):
        f(wrong)
    assert f(np.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize("make", [_function, _jit])
def test_a_prepared_call_whose_argument_changed(make: Callable[[], sc.Function]) -> None:
    x = np.ones(3)
    call = make().bind(x)
    assert call().tolist() == [2, 2, 2]
    x.shape = (1, 3)
    with pytest.raises(sc.DomainError, match=r"changed(.|\n)*test_reported_calls\.py"):
        call()
    x.shape = (3,)
    assert call().tolist() == [2, 2, 2]


def test_native_refusals_have_the_users_line() -> None:
    f = sc.jit(lambda a, b: (a + 1, b + 1), donate_argnums=0)
    f(np.ones(3), np.ones(3))
    x = np.ones(3)
    with pytest.raises(sc.DomainError, match=r"shares memory(.|\n)*test_reported_calls\.py"):
        f(x, x)


def test_sizes_divided_by_zero() -> None:
    n = sc.var("x", "f64[n]").shape[0]
    for divide in (lambda: n // 0, lambda: n % 0):
        with pytest.raises(sc.SymcZeroDivisionError, match=r"test_reported_calls\.py"):
            divide()
