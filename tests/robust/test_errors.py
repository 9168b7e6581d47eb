"""Bad input through the public API: a typed error with the user's line, and life goes on.

One test per error class, and one per way to misuse a function that users have been seen to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import symc as sc
from symc.compile import stages
from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function
from symc.ir.parse import parse_function
from symc.ir.types import F64
from symc.ir.verify import verify

LINE = r"test_errors\.py:\d+"


@pytest.fixture(autouse=True)
def life_goes_on() -> Iterator[None]:
    """After every error, functions made before and after it work."""
    x = sc.var("x", "f64[n]")
    before = sc.function([x], x * 2 + 1)
    yield
    after = sc.function([x], sc.tanh(x))
    assert before(np.ones(3)).tolist() == [3, 3, 3]
    assert after(np.zeros(2)).tolist() == [0, 0]


def two_inputs() -> sc.Function:
    x, y = sc.var("x", "f64[n,3]"), sc.var("y", "f64[n]")
    return sc.function([x, y], sc.sum(x, axis=1) + y, name="two")


A, B = np.ones((2, 3)), np.ones(2)

# --- arguments of a compiled function

CALLS: dict[str, tuple[Callable[[sc.Function], object], type[Exception], str]] = {
    "dtype": (lambda f: f(A.astype(complex), B), sc.DTypeError, r"argument x(.|\n)*astype"),
    "text": (lambda f: f(np.array(["a"]), B), sc.DTypeError, "argument x"),
    "object": (lambda f: f(np.array([[None]]), B), sc.DTypeError, "argument x"),
    "rank": (lambda f: f(B, B), sc.ShapeError, r"argument x(.|\n)*f64\[n,3\]"),
    "fixed size": (lambda f: f(np.ones((2, 4)), B), sc.ShapeError, r"x(.|\n)*axis 1(.|\n)*3"),
    "named size": (lambda f: f(A, np.ones(5)), sc.ShapeError, r"y(.|\n)*axis 0(.|\n)*"),
    "missing": (lambda f: f(A), TypeError, "y is missing"),
    "too many": (lambda f: f(A, B, B), TypeError, "too many"),
    "unknown": (lambda f: f(A, B, z=1), TypeError, "unknown z"),
    "twice": (lambda f: f(A, B, x=A), TypeError, "x given twice"),
}


@pytest.mark.parametrize(("call", "error", "words"), CALLS.values(), ids=CALLS.keys())
def test_arguments(
    call: Callable[[sc.Function], object], error: type[Exception], words: str
) -> None:
    f = two_inputs()
    for _ in range(2):
        with pytest.raises(error, match=words) as caught:
            call(f)
        assert len(str(caught.value).splitlines()) <= 6
        assert f(A, B).tolist() == [4, 4]
    with pytest.raises(error, match=LINE):
        call(f)


@pytest.mark.parametrize(("call", "error", "words"), CALLS.values(), ids=CALLS.keys())
def test_arguments_under_trust(
    call: Callable[[sc.Function], object], error: type[Exception], words: str
) -> None:
    """Trust skips conversions; wrong input is still refused."""
    f = two_inputs()
    f.trust_input = True
    with pytest.raises((error, sc.ShapeError, sc.DTypeError)):
        call(f)
    assert f(A, B).tolist() == [4, 4]


def test_a_number_that_does_not_fit() -> None:
    i = sc.var("i", "i32")
    f = sc.function([i], i + 1)
    with pytest.raises(OverflowError, match="i"):
        f(2**40)
    assert f(1) == 2


# --- symbolic values used as numbers


SYMBOLIC: dict[str, Callable[[sc.Expr], object]] = {
    "if": lambda x: 1 if x[0] > 0 else 2,
    "while": lambda x: all(x > 0),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "range": lambda x: range(x[0]),
    "len": len,
    "list": list,
    "numpy": lambda x: np.asarray(x),
}


@pytest.mark.parametrize("use", SYMBOLIC.values(), ids=SYMBOLIC.keys())
def test_a_symbolic_value_is_no_number(use: Callable[[sc.Expr], object]) -> None:
    x = sc.var("x", "f64[n]")
    with pytest.raises(sc.TracerError, match=LINE):
        use(x)
    with pytest.raises(sc.TracerError, match=LINE):
        sc.jit(use, in_specs=[sc.spec("f64[n]")])(np.ones(3))


def test_a_leaked_tracer() -> None:
    kept: list[sc.Expr] = []

    @sc.jit
    def leak(x):
        kept.append(x * 2)
        return x

    leak(np.ones(3))
    with pytest.raises(sc.TracerError, match=LINE):
        sc.jit(lambda x: x + kept[0])(np.ones(3))
    with pytest.raises((sc.TracerError, sc.MissingInputError), match=LINE):
        sc.function([], kept[0] + 1)


def test_writing_where_nobody_would_see_it() -> None:
    x = sc.var("x", "f64[3]")
    w = sc.shared(np.ones(3))
    for target in (x, w):
        with pytest.raises(sc.TracerError, match=LINE):
            target[0] = 1.0


# --- one test per error class


def test_shape_error() -> None:
    x, y = sc.var("x", "f64[3]"), sc.var("y", "f64[4]")
    with pytest.raises(sc.ShapeError, match=LINE):
        x + y
    with pytest.raises(sc.ShapeError, match=LINE):
        sc.sum(x, axis=1)
    with pytest.raises(ValueError, match=LINE):
        x @ sc.var("z", "f64[5,2]")


def test_dtype_error() -> None:
    with pytest.raises(sc.DTypeError, match=LINE):
        sc.tanh(sc.var("x", "bool[3]")) + sc.one_hot(sc.var("y", "f64[3]"), 3)
    with pytest.raises((sc.DTypeError, sc.UnsupportedError), match=LINE):
        sc.function([sc.var("x", "c128[3]")], [])
    with pytest.raises(TypeError, match=LINE):
        sc.sum(np.array(["text"]))


def test_domain_error() -> None:
    x = sc.var("x", "f64[3]")
    with pytest.raises(sc.DomainError, match=LINE):
        sc.max(sc.var("nothing", "f64[0]"))
    with pytest.raises(sc.DomainError, match=LINE):
        sc.function([x], x, speed="high")
    with pytest.raises(sc.DomainError, match="strict"):
        sc.function([x], x, numerics="loose")
    with pytest.raises(sc.DomainError, match=LINE):
        sc.function([x, sc.var("unused", "f64[3]")], x)


def test_missing_input_error() -> None:
    x, y = sc.var("x", "f64[3]"), sc.var("y", "f64[3]")
    with pytest.raises(sc.MissingInputError, match=rf"depend on y(.|\n)*{LINE}"):
        sc.function([x], x + y)


def test_op_contract_error() -> None:
    """IR that breaks a rule of the level it is at."""
    function = parse_function(
        '"symc.func"() ({\n^bb0(%0: tensor<3xf64>):\n  "symc.return"(%0) : (tensor<3xf64>) -> ()\n'
        '}) {sym_name = "f"} : () -> ()\n'
    )
    outside = apply(ops.TANH, [apply(ops.NEG, function.params).results[0]])
    with pytest.raises(sc.OpContractError, match=LINE):
        verify(Function("broken", function.params, (outside,), outside.results))


def test_disconnected_grad_error() -> None:
    x, y = sc.var("x", "f64[3]"), sc.var("y", "f64[3]")
    with pytest.raises(sc.DisconnectedGradError, match=LINE):
        sc.grad(sc.sum(x), y)
    assert sc.grad(sc.sum(x), y, disconnected="none") is None


def test_tracer_error() -> None:
    x = sc.var("x", "f64[n]")
    with pytest.raises(
        TypeError, match=rf"sc\.(where|cond)(.|\n)*{LINE}|{LINE}(.|\n)*sc\.(where|cond)"
    ):
        bool(x[0] > 0)


def test_index_error() -> None:
    x, i = sc.var("x", "f64[n]"), sc.var("i", "i64[m]")
    f = sc.function([x, i], sc.take(x, i, axis=0))
    for _ in range(2):
        with pytest.raises(sc.SymcIndexError, match=rf"7(.|\n)*{LINE}"):
            f(np.ones(3), np.array([0, 7]))
        with pytest.raises(IndexError, match="-4"):
            f(np.ones(3), np.array([-4]))
        assert f(np.ones(3), np.array([2, -3])).tolist() == [1, 1]
    with pytest.raises(sc.SymcIndexError, match=LINE):
        sc.var("y", "f64[3]")[5]


def test_the_line_of_the_index_that_was_out_of_range() -> None:
    """Two gathers in one kernel: the one that failed is named, and the first in program order."""
    x, i, j = sc.var("x", "f64[n]"), sc.var("i", "i64[m]"), sc.var("j", "i64[m]")
    first = sc.take(x, i, axis=0)
    second = sc.take(x, j, axis=0)
    f = sc.function([x, i, j], first + second)
    with pytest.raises(sc.SymcIndexError, match="8"):
        f(np.ones(3), np.array([8]), np.array([9]))
    with pytest.raises(sc.SymcIndexError, match="9"):
        f(np.ones(3), np.array([0]), np.array([9]))


def test_an_index_error_leaves_shared_variables_alone() -> None:
    i = sc.var("i", "i64[m]")
    w = sc.shared(np.ones(3), name="w")
    f = sc.function([i], sc.sum(sc.take(w, i, axis=0)), updates={w: w * 2})
    with pytest.raises(sc.SymcIndexError):
        f(np.array([3]))
    assert w.get().tolist() == [1, 1, 1]
    assert f(np.array([1])) == 1
    assert w.get().tolist() == [2, 2, 2]


def test_overflow_error() -> None:
    x = sc.var("x", "f64[n]")
    with pytest.raises(sc.SymcOverflowError, match=LINE):
        sc.broadcast_to(sc.sum(x), (2**31, 2**31, 2**31))
    i = sc.var("i", "i32")
    with pytest.raises(OverflowError):
        sc.function([i], i)(2**40)


def test_zero_division_error() -> None:
    n = sc.var("x", "f64[n]").shape[0]
    with pytest.raises(sc.SymcZeroDivisionError, match="n // 0"):
        n // 0
    with pytest.raises(ZeroDivisionError):
        n % 0


def test_non_finite_error() -> None:
    x = sc.var("x", "f64[n]")
    f = sc.function([x], 1 / x, check="nan")
    with pytest.raises(sc.NonFiniteError, match=LINE):
        f(np.zeros(1))


@pytest.mark.parametrize("text", ["f64[", "f65[3]", "f64[3,]x", "[3]", "f64[-1]", "f64[2.5]", ""])
def test_parse_error(text: str) -> None:
    with pytest.raises((sc.ParseError, sc.DTypeError, sc.ShapeError), match=LINE):
        sc.spec(text)
    with pytest.raises(sc.ParseError):
        parse_function(text)


def test_compile_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that cannot be generated is reported; the next function compiles."""

    def refuse(*_: object) -> None:
        raise sc.CompileError("no code for this machine")

    x = sc.var("x", "f64[n]")
    with monkeypatch.context() as patched:
        patched.setattr(stages, "compile_nests", refuse)
        with pytest.raises(sc.CompileError, match="no code"):
            sc.function([x], x + 41, cache=False)
    assert sc.function([x], x + 41, cache=False)(np.ones(1)).tolist() == [42]


def test_unsupported_error() -> None:
    x = sc.var("x", "f64[n]")
    with pytest.raises(sc.DTypeError, match=LINE):
        sc.var("h", "f16[3]")
    with pytest.raises(sc.UnsupportedError, match=LINE):
        sc.function([x], x, device="cuda:0")
    with pytest.raises(NotImplementedError):
        sc.function([x], x, device="cuda:1")


def test_every_error_is_a_symc_error() -> None:
    errors = [value for value in vars(sc).values() if isinstance(value, type)]
    ours = [error for error in errors if issubclass(error, sc.SymcError)]
    assert len(ours) == 16
    assert np.float64 == F64
