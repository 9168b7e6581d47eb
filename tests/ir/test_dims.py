"""Symbolic sizes against plain integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symc.ir.dims import (
    Dim,
    Size,
    floordiv,
    lower_bound,
    maximum,
    minimum,
    mod,
    prove_equal,
    prove_le,
    size_product,
    substitute,
    symbol,
    symbols,
)
from symc.ir.errors import SymcZeroDivisionError
from symc.ir.size_text import parse_size, size_text

NAMES = ("a", "b", "c")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Size, int, dict[str, int]]:
    """A symbolic size, its value, and the values of the dims, which are sizes."""
    values = {name: draw(st.integers(0, 9)) for name in NAMES}

    def leaf() -> tuple[Size, int]:
        if draw(st.booleans()):
            name = draw(st.sampled_from(NAMES))
            return symbol(name), values[name]
        number = draw(st.integers(-6, 6))
        return number, number

    stack = [leaf() for _ in range(draw(st.integers(1, 7)))]
    while len(stack) > 1:
        (x, i), (y, j) = stack.pop(), stack.pop()
        match draw(st.sampled_from(["+", "-", "*", "//", "%", "min", "max"])):
            case "+":
                made = x + y, i + j
            case "-":
                made = x - y, i - j
            case "*":
                made = x * y, i * j
            case "//" if j != 0 and y != 0:
                made = floordiv(x, y), i // j
            case "%" if j != 0 and y != 0:
                made = mod(x, y), i % j
            case "min":
                made = minimum(x, y), min(i, j)
            case _:
                made = maximum(x, y), max(i, j)
        stack.insert(draw(st.integers(0, len(stack))), made)
    return (*stack[0], values)


@given(pairs())
def test_arithmetic_is_exact(drawn: tuple[Size, int, dict[str, int]]) -> None:
    size, value, values = drawn
    assert substitute(size, values) == value
    if isinstance(size, Dim):
        assert symbols(size)


@given(pairs())
def test_text_is_exact(drawn: tuple[Size, int, dict[str, int]]) -> None:
    size, _, _ = drawn
    again = parse_size(size_text(size))
    assert again == size
    assert hash(again) == hash(size)


@given(pairs(), st.data())
def test_proofs_hold(drawn: tuple[Size, int, dict[str, int]], data: st.DataObject) -> None:
    left, _, _ = drawn
    right, _, _ = data.draw(pairs())
    values = {name: data.draw(st.integers(0, 30)) for name in NAMES}
    try:
        low, high = substitute(left, values), substitute(right, values)
    except SymcZeroDivisionError:
        return
    assert isinstance(low, int)
    assert isinstance(high, int)
    if prove_le(left, right):
        assert low <= high
    match prove_equal(left, right):
        case True:
            assert low == high
        case False:
            assert low != high
        case None:
            pass
    bound = lower_bound(left)
    assert bound is None or low >= bound


@given(pairs(), pairs())
def test_rings(
    one: tuple[Size, int, dict[str, int]], two: tuple[Size, int, dict[str, int]]
) -> None:
    x, y = one[0], two[0]
    assert x + y == y + x
    assert x * y == y * x
    assert x - x == 0
    assert (x + y) * 2 == 2 * x + y * 2
    assert (x + y) * (x - y) == x * x - y * y
    assert size_product((x, y, 0)) == 0


def test_known_proofs() -> None:
    n, m = symbol("n"), symbol("m")
    assert prove_equal(n + m, m + n) is True
    assert prove_equal(n, n + 1) is False
    assert prove_equal(2 * n, 2 * m + 1) is False
    assert prove_equal(n, m) is None
    assert prove_equal(n, 0) is None
    assert prove_le(0, n * m)
    assert not prove_le(1, n)
    assert maximum(n, 0) == n
    assert minimum(n, n + 3) == n
    assert floordiv(4 * n, 4) == n
    assert floordiv(n * m, m) == n
    assert mod(6 * n, 3) == 0
    assert substitute(floordiv(n, m), {"n": 7, "m": 2}) == 3
    assert substitute(n + m, {"n": m}) == 2 * m
    assert n != 5
    assert n != "n"


def test_division_by_zero() -> None:
    with pytest.raises(SymcZeroDivisionError):
        floordiv(symbol("n"), 0)
    with pytest.raises(SymcZeroDivisionError):
        mod(symbol("n"), 0)
