"""The text form: exact round trips, malformed input, other readers, stability."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir.op_cases import closed
from symc.ir import ops, term
from symc.ir.build import apply, parameter
from symc.ir.core import Attr, Constraint, Function, Value
from symc.ir.dims import floordiv, maximum, minimum, mod, symbol
from symc.ir.errors import DomainError, ParseError
from symc.ir.evaluate import evaluate
from symc.ir.locations import Location
from symc.ir.parse import parse_function
from symc.ir.size_text import parse_size, size_text
from symc.ir.text import attr_text, canonical_bytes, print_function
from symc.ir.types import BOOL, F32, F64, I32, I64, Literal, TensorType

N, M = symbol("n"), symbol("m")


def sample() -> Function:
    """One of everything that text has: dims, literals, regions, constraints, names, places."""
    x = parameter("x", F32, (N, 3))
    w = parameter(None, F32, (3, M))
    attrs = {"lhs_batch": (), "rhs_batch": (), "lhs_contract": (1,), "rhs_contract": (0,)}
    y = term.make(ops.DOT, term.Term(x), term.Term(w), **attrs, order="any")
    inner = parameter("row", F32, (N, M))
    body = term.Term(inner) * 0.1 + term.constant(np.array(np.float32(np.nan))).broadcast_to((N, M))
    callee = closed([inner], [body.value])
    where = tuple(Location(name, 4) for name in ("model.py", 'with "quotes".py', "ü.py"))
    call = apply(ops.CALL, (y.value,), {"name": "half"}, regions=(callee,), locations=where)
    total = term.Term(call.results[0]).narrow(0, 0, floordiv(N, 2)).sum((1,))
    function = closed([x, w], [total.value, y.value])
    constraint = Constraint(N, 2 * M + 1, Location("model.py", 9), "sizes of x and w")
    return Function("f", function.params, function.nodes, function.results, (constraint,))


@pytest.mark.parametrize("locations", [False, True])
def test_round_trip(locations: bool) -> None:
    text = print_function(sample(), locations)
    assert print_function(parse_function(text), locations) == text
    assert canonical_bytes(parse_function(text)) == canonical_bytes(sample())


def test_a_parsed_function_computes_the_same(rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=(5, 3)).astype(np.float32), np.ones((3, 2), np.float32)]
    again = parse_function(print_function(sample(), True))
    for got, expected in zip(evaluate(again, arrays), evaluate(sample(), arrays), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_xdsl_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "sample.mlir"
    path.write_text(print_function(sample(), True))
    tool = Path(sys.executable).parent / "xdsl-opt"
    assert tool.exists(), "xdsl belongs to the test requirements"
    done = subprocess.run(
        [tool, "--allow-unregistered-dialect", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"symc.') == print_function(sample()).count('"symc.')


def test_text_is_the_same_in_every_process() -> None:
    program = (
        "import sys; sys.path[:0] = ['tests', 'src']\n"
        "from ir.test_text import sample\n"
        "from symc.ir.text import canonical_bytes\n"
        "sys.stdout.buffer.write(canonical_bytes(sample()))"
    )
    root = Path(__file__).parents[2]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout == canonical_bytes(sample())


def test_canonical_bytes_ignore_names_and_places() -> None:
    one, two = sample(), sample()
    for param in two.params:
        param.name = "other"
    renamed = Function("g", two.params, two.nodes, two.results, two.constraints)
    assert print_function(one, True) != print_function(renamed, True)
    assert canonical_bytes(one) == canonical_bytes(renamed)
    assert b"model.py" not in canonical_bytes(one)


LITERALS = [
    np.array(1.5, np.float32),
    np.array([0.1, -0.0, 1e-45, 3.4028235e38], np.float32),
    np.array([np.nan, np.inf, -np.inf]),
    np.array([[1, -(2**31)], [2**31 - 1, 0]], np.int32),
    np.array([-(2**63), 2**63 - 1]),
    np.array([[[True], [False]]]),
    np.zeros((0, 3)),
    np.zeros((2, 3)),
    np.full((40, 5), np.nan),
    np.arange(100, dtype=np.float64) / 3,
    np.arange(100, dtype=np.int64),
    np.arange(50) % 3 == 0,
    np.array([5e-324, 1.7976931348623157e308, 0.1 + 0.2]),
    np.array(-np.nan),
]


@pytest.mark.parametrize("array", LITERALS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_literals_are_exact(array: np.ndarray) -> None:
    function = closed([], [term.constant(array).value])
    text = print_function(function)
    again = parse_function(text)
    assert again.nodes[0].attrs["value"] == Literal(array)
    assert print_function(again) == text


@given(st.lists(st.floats(width=32), max_size=20), st.lists(st.floats(), max_size=20))
def test_floats_are_exact(short: list[float], wide: list[float]) -> None:
    for array in (np.array(short, np.float32), np.array(wide)):
        function = closed([], [term.constant(array).value])
        again = parse_function(print_function(function))
        assert again.nodes[0].attrs["value"] == Literal(array)


ATTRS: list[Attr] = [
    0, -7, 2**62, True, False, None, 1.5, -0.0, 1e-300, float("inf"), float("nan"), "",
    'a"b\\c\n\t\x00ü😀', "\udc80", (), (1, (2, ("x", None))), N, 2 * N - M + 3, BOOL, F32, I64,
]  # fmt: skip


@pytest.mark.parametrize("value", ATTRS, ids=repr)
def test_attributes_are_exact(value: Attr) -> None:
    callee = closed([], [])
    node = apply(ops.CALL, (), {"name": "f", "extra": value, "odd name": 1}, regions=(callee,))
    text = print_function(Function("f", (), (node,), ()))
    got = parse_function(text).nodes[0].attrs["extra"]
    assert type(got) is type(value)
    assert attr_text(got) == attr_text(value)
    assert got == value or np.isnan(value)


def test_a_value_without_text_is_refused() -> None:
    with pytest.raises(DomainError, match="text form"):
        attr_text(object())  # type: ignore[arg-type]


SIZES = [
    N,
    2 * N + 1,
    -N,
    N * N * M - 3 * M,
    floordiv(N + 1, 2) * 3,
    mod(N, M),
    maximum(N - 1, 0),
    minimum(floordiv(N, 3), mod(M, 4) - 7),
    symbol("min"),
    symbol("odd name`\\"),
    symbol("rows", computed=True) + 1,
    floordiv(maximum(N, M), symbol("k")) - mod(7 * N, 5),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_are_exact(size: object) -> None:
    assert parse_size(size_text(size)) == size  # type: ignore[arg-type]
    if "`" not in size_text(size):  # type: ignore[arg-type]
        assert parse_size(size_text(size).replace(" ", "")) == size  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "+", "n +", "n m", "(n", "n)", "min(n)", "min(n, m, k)", "floordiv(n, 0)", "1 1", ",",
     "floordiv(, n)", "n,m", "()", "9" * 50, "@", "mod(n, m", "--", "(n, m)"],
)  # fmt: skip
def test_malformed_sizes(text: str) -> None:
    with pytest.raises(ParseError):
        parse_size(text)


def test_parsed_sizes_follow_precedence() -> None:
    assert parse_size("2 - 3 * (n - -1) - 4") == 2 - 3 * (N + 1) - 4
    assert parse_size("-n * 2") == -2 * N
    assert parse_size("min(n, 3) * mod(max(n, m) + 1, 2)") == minimum(N, 3) * mod(
        maximum(N, M) + 1, 2
    )


BROKEN = [
    ('"symc.add"', '"symc.foo"', "unknown operation", 4),
    ('"symc.add"(%0, %1)', '"symc.add"(%0, %7)', "%7 is not defined", 4),
    ("%2 = ", "%1 = ", "defined twice", 4),
    ("-> tensor<3xf32>\n", "-> tensor<4xf32>\n", "results of add", 4),
    ("tensor<3xf32>) ->", "tensor<3xi32>) ->", "types of the operands", 4),
    ('"symc.add"(%0, %1)', '"symc.add"(%0, %1) {axis = }', "expected a word", 4),
    ("^bb0(%0: tensor<3xf32>", "^bb0(%0: tensor<3xf16>", "malformed tensor type", 2),
    ("^bb0(%0: tensor<3xf32>", "^bb0(%0: tensor<?xf32>", "symc.dims", 2),
    ("}) {", "} {", "expected", 6),
    ("-> ()\n}", "-> ()\n} @", "unexpected character", 6),
    ("dense<1.0>", "dense<[1.0, 2.0]>", "shape of the type", 3),
    ("dense<1.0>", 'dense<"0x00">', "bytes for", 3),
    ("dense<1.0>", "dense<1>", "not an element", 3),
    ("dense<1.0>", "dense<1.0e999>", "range", 3),
    ("tensor<3xf32>, %1", "tensor<99999999999999999999xf32>, %1", "too large", 2),
]


@pytest.mark.parametrize(("old", "new", "problem", "line"), BROKEN)
def test_errors_say_where(old: str, new: str, problem: str, line: int) -> None:
    text = (
        '"symc.func"() ({\n'
        "^bb0(%0: tensor<3xf32>, %1: tensor<3xf32>):\n"
        '  %3 = "symc.constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>\n'
        '  %2 = "symc.add"(%0, %1) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>\n'
        '  "symc.return"(%2) : (tensor<3xf32>) -> ()\n'
        '}) {sym_name = "f"} : () -> ()\n'
    )
    parse_function(text)
    assert old in text
    with pytest.raises(ParseError, match=problem) as caught:
        parse_function(text.replace(old, new))
    assert f"at: line {line}, column " in str(caught.value)


def test_truncations_are_parse_errors() -> None:
    text = print_function(sample(), True)
    for end in range(0, len(text) - 1, 3):
        with pytest.raises(ParseError):
            parse_function(text[:end])


def test_mutations_never_raise_anything_else(rng: np.random.Generator) -> None:
    """Bytes flipped, removed, doubled and moved: a function, or ParseError."""
    text = print_function(sample(), True)
    accepted = 0
    for _ in range(1500):
        data = bytearray(text.encode())
        for _ in range(rng.integers(1, 4)):
            place, other = rng.integers(0, len(data), 2)
            match rng.integers(0, 4):
                case 0:
                    data[place] ^= 1 << rng.integers(0, 8)
                case 1:
                    del data[place : place + rng.integers(1, 20)]
                case 2:
                    data[place:place] = data[other : other + rng.integers(1, 30)]
                case _:
                    data[place] = rng.choice(list(b'0123456789<>{}[]()"%,:-.xnf#'))
            if not data:
                data = bytearray(b" ")
        try:
            parse_function(data.decode("utf-8", "replace"))
            accepted += 1
        except ParseError:
            pass
    assert accepted < 1500


def test_deep_nesting_is_an_error_or_fine() -> None:
    with pytest.raises(ParseError, match="deeply"):
        parse_function(print_function(sample()).replace("axes = [1]", "axes = " + "[" * 9999))
    with pytest.raises(ParseError):
        parse_function(print_function(sample()).replace("dense<0.1>", "dense<" + "[" * 9999))


def test_several_results_and_regions_of_one_function() -> None:
    x = Value(TensorType(I32, (2,)))
    callee = closed([x], [x, (term.Term(x) + 1).value])
    y = Value(TensorType(I32, (2,)))
    once = apply(ops.CALL, (y,), {"name": "g"}, regions=(callee,))
    twice = apply(ops.CALL, (once.results[1],), {"name": "g"}, regions=(callee,))
    function = Function("f", (y,), (once, twice), (*once.results, *twice.results))
    text = print_function(function)
    again = parse_function(text)
    assert print_function(again) == text
    got = evaluate(again, [np.array([5, 6], np.int32)])
    assert [list(array) for array in got] == [[5, 6], [6, 7], [6, 7], [7, 8]]


def test_wide_dtypes_print(rng: np.random.Generator) -> None:
    for dtype in (BOOL, I32, I64, F32, F64):
        param = parameter("x", dtype, (2, N))
        text = print_function(closed([param], [param]))
        assert parse_function(text).params[0].type == param.type
