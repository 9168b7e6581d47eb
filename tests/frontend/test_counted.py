"""`scan(..., length=n)` for a value n: as many steps as it says, in one program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.ir.errors import DomainError, DTypeError, SymcError, SymcIndexError, UnsupportedError
from symc.ir.evaluate import evaluate
from symc.ir.parse import parse_function
from symc.ir.text import print_function
from symc.ir.verify import verify

XS = np.linspace(0.5, 1.5, 6)
# Taken, with numbers of steps that are none, one, some and all rows.
KINDS = {
    "plain": {},
    "reverse": {"reverse": True},
    "truncate": {"truncate": 2},
    "every": {"checkpoint": 2},
    "sqrt": {"checkpoint": "sqrt"},
    "snapshots": {"checkpoint": sc.checkpoints(max_snapshots=3)},
}


def _step(c: Any, x: Any) -> tuple[Any, Any]:
    c = sc.sin(c) * x + 0.1
    return c, c * x


def _loss(c: Any, xs: Any, length: Any, **how: Any) -> Any:
    carry, ys = sc.scan(_step, c, xs, length=length, **how)
    return carry + sc.sum(ys**2)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_values_and_derivatives_are_those_of_so_many_rows(kind: str) -> None:
    how = KINDS[kind]
    f = sc.jit(sc.value_and_grad(lambda c, xs, n: _loss(c, xs, n, **how), argnums=(0, 1)))
    for n in (0, 1, 4, 6):
        value, (dc, dxs) = f(0.3, XS, n)
        rows = sc.jit(
            sc.value_and_grad(lambda c, xs: _loss(c, xs, xs.shape[0], **how), argnums=(0, 1))
        )
        expected, (ec, exs) = rows(0.3, XS[:n])
        assert value == expected
        np.testing.assert_allclose(dc, ec, rtol=1e-12)
        np.testing.assert_allclose(dxs[:n], exs, rtol=1e-12)
        np.testing.assert_array_equal(dxs[n:], 0.0)


def test_forward_mode_and_second_order() -> None:
    for derive in (sc.jacfwd, sc.hessian, lambda f: sc.grad(sc.grad(f))):
        got = sc.jit(derive(lambda c, n: _loss(c, XS, n)))(0.3, 4)
        expected = sc.jit(derive(lambda c: _loss(c, XS[:4], None)))(0.3)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def _powers(A: Any, k: Any) -> tuple[Any, Any]:
    return sc.scan(lambda c, _: (c * A, c * A), sc.ones_like(A), length=k)


def test_one_program_serves_every_number() -> None:
    traces = []

    def f(A: Any, k: Any) -> Any:
        traces.append(1)
        return _powers(A, k)

    run = sc.jit(f)
    for k in (3, 0, 1, 17, 2, 5):
        last, rows = run(np.array([2.0, 3.0]), k)
        np.testing.assert_array_equal(last, [2.0**k, 3.0**k])
        assert rows.shape == (k, 2)
    assert len(traces) == 1


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_explicit_door(dtype: Any) -> None:
    A, k = sc.var("A", "f64[n]"), sc.var("k", "i32[]" if dtype is np.int32 else "i64[]")
    last, rows = _powers(A, k)
    slope = sc.grad(sc.sum(last), A)
    f = sc.function([A, k], [last, slope, rows.shape[0], rows], check="passes")
    for n in (0, 1, 4):
        a, d, count, ys = f(np.array([2.0, 3.0, 0.5]), dtype(n))
        np.testing.assert_allclose(a, np.array([2.0, 3.0, 0.5]) ** n)
        np.testing.assert_allclose(d, n * np.array([2.0, 3.0, 0.5]) ** (n - 1.0))
        assert count == n
        assert ys.shape == (n, 3)
    only = sc.function([k], rows.shape[0])
    assert only(dtype(7)) == 7


def test_a_number_on_concrete_values() -> None:
    carry, ys = sc.scan(_step, 0.3, XS, length=np.array(2))
    expected, rows = sc.scan(_step, 0.3, XS[:2])
    assert carry == expected
    np.testing.assert_array_equal(ys, rows)
    slope = sc.grad(lambda c, n: _loss(c, XS, n))(0.3, 2)
    np.testing.assert_allclose(slope, sc.grad(lambda c: _loss(c, XS[:2], None))(0.3), rtol=1e-12)


def test_a_number_that_a_call_computes() -> None:
    f = sc.jit(lambda x: sc.scan(lambda c, _: (c + 1, None), 0, length=sc.sum(x > 1.0))[0])
    assert f(XS) == np.sum(XS > 1.0)
    assert f(XS + 1) == 6


def test_sizes_stay_sizes() -> None:
    x = sc.var("x", "f64[n]")
    (n,) = x.shape
    _, ys = sc.scan(lambda c, _: (c + 1.0, c), 0.0, length=sc.asarray(n))
    assert ys.shape == (n,)


def test_one_value_is_one_size() -> None:
    k, c = sc.var("k", "i64"), sc.var("c", "f64")
    _, a = sc.scan(lambda c, _: (c + 1.0, c), c, length=k)
    _, b = sc.scan(lambda c, _: (c * 2.0, c), c, length=k)
    assert a.shape == b.shape
    f = sc.function([k, c], a + b)
    assert f(3, 1.0).tolist() == [2.0, 4.0, 7.0]
    assert len(f.explain().loops) == 1


@pytest.mark.parametrize("until", [False, True])
@pytest.mark.parametrize("n", [-1, -3, -(2**62), -(2**63)])
def test_no_loop_has_less_than_no_steps(n: int, until: bool) -> None:
    stop = (lambda c: c > 9.0) if until else None
    f = sc.jit(lambda c, n: sc.scan(lambda c, _: (c + 1.0, c), c, length=n, until=stop)[0])
    with pytest.raises(DomainError, match=r"length: got -\d+, expected at least 0(.|\n)*counted"):
        f(1.0, n)
    assert f(1.0, 2) == 3.0


@pytest.mark.parametrize("until", [False, True])
def test_too_few_rows_leave_the_state_alone(until: bool) -> None:
    s, n, xs = sc.shared(1.0, "s"), sc.var("n", "i64"), sc.var("xs", "f64[m]")
    stop = (lambda c: c > 99.0) if until else None
    last, _ = sc.scan(_step, s, xs, length=n, until=stop)
    f = sc.function([xs, n], last, updates={s: last})
    for many in (7, 10**9):
        with pytest.raises(SymcIndexError, match=r"rows of xs: got 6, expected at least(.|\n)*py"):
            f(XS, many)
        assert s.get() == 1.0
    assert f(XS, 6) == s.get()


def test_rows_that_fit_no_memory() -> None:
    f = sc.jit(lambda c, n: sc.scan(lambda c, _: (c + 1.0, c), c, length=n)[1])
    with pytest.raises(MemoryError):
        f(1.0, 2**62)
    assert f(1.0, 2).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("wrong", [2.0, True, np.array([2])])
def test_what_is_no_number_of_steps(wrong: Any) -> None:
    with pytest.raises(DTypeError, match=r"length(.|\n)*one integer"):
        sc.jit(lambda n: sc.scan(lambda c, _: (c + 1.0, c), 1.0, length=n))(wrong)


def test_until_stops_before() -> None:
    f = sc.jit(lambda c, n: sc.scan(lambda c, _: (c + 1.0, c), c, length=n, until=lambda c: c > 4))
    for n, steps in ((0, 0), (1, 1), (3, 3), (4, 4), (100, 4)):
        last, ys = f(0.5, n)
        assert last == 0.5 + steps
        assert ys.shape == (steps,)
    g = sc.jit(lambda c, xs, n: sc.scan(_step, c, xs, length=n, until=lambda c: c > 0.5)[1])
    for n in (0, 1, 6):
        expected = sc.scan(_step, 0.3, XS[:n], until=lambda c: c > 0.5)[1]
        np.testing.assert_array_equal(g(0.3, XS, n), expected)
    slope = sc.jit(sc.grad(lambda c, n: sc.sum(f(c, n)[1])))
    assert slope(0.5, 3) == 3.0
    assert slope(0.5, 100) == 4.0


@pytest.mark.parametrize("until", [None, lambda c: c > 50.0])
def test_each_element_runs_its_own_number(until: Any) -> None:
    def f(c: Any, xs: Any, n: Any) -> Any:
        return sc.scan(_step, c, xs, length=n, until=until)[0]

    starts, rows, counts = np.array([1.0, 2.0, 1.1]), np.stack([XS, 2 * XS, XS]), [0, 2, 6]
    for g in (f, sc.grad(f, argnums=(0, 1))):
        got = sc.vmap(g)(starts, rows, np.array(counts))
        each = [g(c, xs, np.array(n)) for c, xs, n in zip(starts, rows, counts, strict=True)]
        expected = (
            np.stack(each) if g is f else [np.stack(part) for part in zip(*each, strict=True)]
        )
        for a, b in zip([got] if g is f else got, [expected] if g is f else expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    with pytest.raises(DomainError, match="got -2"):
        sc.vmap(f)(starts, rows, np.array([0, -2, 6]))
    with pytest.raises(SymcIndexError, match="got 6, expected at least 7"):
        sc.vmap(f)(starts, rows, np.array([0, 7, 6]))


def test_rows_of_elements_differ() -> None:
    def rows(c: Any, n: Any) -> Any:
        return sc.scan(lambda c, _: (c * 2.0, c), c, length=n)[1]

    with pytest.raises(UnsupportedError, match="another step for each element"):
        sc.vmap(rows)(np.ones(2), np.array([1, 2]))
    shared = sc.vmap(rows, in_axes=(0, None))(np.array([1.0, 3.0]), 3)
    np.testing.assert_array_equal(shared, [[1.0, 2.0, 4.0], [3.0, 6.0, 12.0]])

    def last_place(w: Any, n: Any) -> Any:
        return w[rows(1.0, n).shape[0]]

    with pytest.raises(UnsupportedError, match="another step for each element"):
        sc.vmap(last_place)(np.ones((2, 9)), np.array([1, 2]))

    def over_zeros(n: Any) -> Any:
        size = rows(1.0, n).shape[0]
        return sc.sum(sc.zeros(9).at[:size].set(sc.ones(size)))

    with pytest.raises(UnsupportedError, match="another step for each element"):
        sc.vmap(over_zeros)(np.array([1, 2]))


def test_a_loop_that_stops_over_the_rows_of_another() -> None:
    def f(c: Any, n: Any) -> Any:
        carry, ys = sc.scan(lambda c, _: (c * 2.0, c), c, length=n)
        return carry + sc.scan(lambda a, y: (a + 1.0 + y, a), 0.0, ys, until=lambda a: a > 1e3)[0]

    assert sc.jit(f)(1.0, 2) == 9.0
    with pytest.raises(UnsupportedError, match="another step for each element"):
        sc.vmap(f)(np.ones(2), np.array([1, 2]))


def test_inside_of_a_loop() -> None:
    def f(c: Any, counts: Any) -> Any:
        def outer(c: Any, n: Any) -> Any:
            return sc.scan(_step, c, XS, length=n)[0], c

        return sc.scan(outer, c, counts)[0]

    run = sc.jit(sc.value_and_grad(f))
    value, slope = run(0.3, np.array([1, 0, 3]))
    expected = sc.value_and_grad(lambda c: _both(c, 1, 3))(0.3)
    assert value == expected[0]
    np.testing.assert_allclose(slope, expected[1], rtol=1e-12)
    for wrong in (-1, 7):
        with pytest.raises(SymcError, match=r"test_counted\.py"):
            run(0.3, np.array([1, 0, wrong]))


def _both(c: Any, *counts: int) -> Any:
    for n in counts:
        c = sc.scan(_step, c, XS[:n])[0]
    return c


def test_counting_costs_no_steps_and_is_no_loop_in_reports() -> None:
    f = sc.jit(lambda n: sc.scan(lambda c, _: (c, None), 1.0, length=n // 2**61)[0])
    assert f(2**62) == 1.0
    huge = sc.jit(lambda n: sc.scan(lambda c, _: (c, None), 1.0, length=n)[1])
    assert huge(2**62) is None
    g = sc.jit(sc.grad(lambda c, n: _loss(c, XS, n)))
    g(0.3, 3)
    assert [loop.kind for loop in g.explain().loops] == ["scan", "scan"]


def test_text_and_oracle() -> None:
    A, k = sc.var("A", "f64[n]"), sc.var("k", "i64")
    f = sc.function([A, k], list(_powers(A, k)))
    function = parse_function(f.ir("optimized"))
    verify(function)
    assert print_function(function) == f.ir("optimized")
    given = [np.array([2.0, 3.0]), np.array(3)]
    for got, expected in zip(evaluate(function, given), f(*given), strict=True):
        np.testing.assert_array_equal(got, expected)
