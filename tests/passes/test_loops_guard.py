"""What loops keep for work that left them: weighed, bounded by memory_limit, and told."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc
from symc.ir import dims

RNG = np.random.default_rng(8)


def product_of_rows(**options: object) -> sc.Function:
    xs, u, w = sc.var("xs", "f64[20,3]"), sc.var("u", "f64[3,4]"), sc.var("w", "f64[4,4]")
    last = sc.scan(lambda h, x: (sc.tanh(h @ w + x @ u), None), sc.zeros(4), xs)[0]
    return sc.function([xs, u, w], last, cache=False, **options)


def test_a_limit_of_nothing_leaves_work_in_the_step() -> None:
    free, kept = product_of_rows(), product_of_rows(memory_limit=0)
    assert [loop.memory for loop in free.explain().loops] == [20 * 4 * 8]
    (loop,) = kept.explain().loops
    assert (loop.memory, len(loop.products)) == (0, 2)
    assert kept.cost().workspace < free.cost().workspace
    given = [RNG.normal(size=x) for x in ((20, 3), (3, 4), (4, 4))]
    np.testing.assert_allclose(kept(*given), free(*given), rtol=1e-12)


@pytest.mark.parametrize(("limit", "memory"), [(20 * 4 * 8, 20 * 4 * 8), (20 * 4 * 8 - 1, 0)])
def test_the_limit_is_bytes_of_one_array(limit: int, memory: int) -> None:
    (loop,) = product_of_rows(memory_limit=limit).explain().loops
    assert loop.memory == memory


def test_sizes_that_are_not_known_are_within_no_limit() -> None:
    xs, u = sc.var("xs", "f64[n,3]"), sc.var("u", "f64[3,3]")
    last = sc.scan(lambda h, x: (sc.tanh(h + x @ u), None), sc.zeros(3), xs)[0]
    (loop,) = sc.function([xs, u], last, cache=False, memory_limit=1 << 30).explain().loops
    assert len(loop.products) == 1
    assert not loop.moved


def test_derivatives_keep_to_the_limit() -> None:
    def loss(u, w, xs):
        return sc.sum(sc.scan(lambda h, x: (sc.tanh(h @ w + x @ u),) * 2, sc.zeros(4), xs)[1])

    given = [RNG.normal(size=x) for x in ((3, 4), (4, 4), (9, 3))]
    kept = sc.jit(sc.grad(loss, (0, 1)), memory_limit=0)
    free = sc.jit(sc.grad(loss, (0, 1)))
    for one, other in zip(kept(*given), free(*given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)
    assert [loop.memory for loop in kept.explain().loops] == [0, 0]
    assert [len(loop.products) for loop in free.explain().loops] == [1, 1]
    assert len(kept.explain().loops[0].products) == 2


@pytest.mark.parametrize("limit", [-1, 1.5, True, "1MB"])
def test_a_limit_is_a_number_of_bytes(limit: object) -> None:
    with pytest.raises(sc.DomainError, match="memory_limit"):
        product_of_rows(memory_limit=limit)


def test_rows_that_are_much_larger_than_what_they_are_made_of_stay() -> None:
    """exp(x_t * big) for all steps: as large as the number of steps times a large array."""
    x, big = sc.var("x", "f64[n]"), sc.var("big", "f64[5000]")
    last = sc.scan(lambda c, a: (sc.tanh(c) + sc.exp(a * big), None), sc.zeros(5000), x)[0]
    f = sc.function([x, big], last, cache=False)
    (loop,) = f.explain().loops
    assert loop.moved == ()
    assert not dims.symbols(f.cost().workspace)
    stayed = {one.value: one.reason for one in loop.stayed}
    assert stayed["exp(xs 0 * big)"] == "memory"


def test_rows_that_are_summed_leave_whatever_their_size() -> None:
    """They are never stored: the array of the sums is."""
    x, big = sc.var("x", "f64[n]"), sc.var("big", "f64[5000]")
    last = sc.scan(lambda c, a: (sc.tanh(c) + sc.sum(sc.exp(a * big)), None), 0.0, x)[0]
    f = sc.function([x, big], last, cache=False)
    (loop,) = f.explain().loops
    assert [one.kind for one in loop.moved] == ["before"]
    assert str(loop.memory) == "8*n"


def test_outer_products_of_sequences_stay() -> None:
    xs, ys = sc.var("xs", "f64[n,60]"), sc.var("ys", "f64[n,70]")

    def step(c: sc.Expr, v: tuple[sc.Expr, sc.Expr]) -> tuple[sc.Expr, None]:
        return sc.tanh(c) + v[0][:, None] @ v[1][None, :], None

    last = sc.scan(step, sc.zeros((60, 70)), (xs, ys))[0]
    (loop,) = sc.function([xs, ys], last, cache=False).explain().loops
    assert loop.memory == 0


def test_inputs_that_are_few_for_a_large_state_leave() -> None:
    """Two features, and two hundred units: the rows that are kept have the size of the state."""
    xs, u, w = sc.var("xs", "f64[n,2]"), sc.var("u", "f64[2,200]"), sc.var("w", "f64[200,200]")
    last = sc.scan(lambda h, x: (sc.tanh(h @ w + x @ u), None), sc.zeros(200), xs)[0]
    (loop,) = sc.function([xs, u, w], last, cache=False).explain().loops
    assert len(loop.products) == 1


@pytest.mark.parametrize("rows", ["x[3:]", "x[:2][1:]", "x[::4]", "x[1:2]"])
def test_a_loop_that_turns_out_to_run_once_is_its_step(rows: str) -> None:
    x = sc.var("x", "f64[4,3]")
    taken = eval(rows, {"x": x})
    last, ys = sc.scan(lambda c, v: (sc.tanh(c + v), c), sc.zeros(3), taken)
    f = sc.function([x], [last, ys], cache=False)
    report = f.explain()
    assert (report.loops, [one.reason for one in report.vanished]) == ([], ["once"])
    given = RNG.normal(size=(4, 3))
    np.testing.assert_array_equal(f(given)[1], np.zeros((1, 3)))


def test_a_loop_that_runs_once_for_the_sizes_of_a_call_is_its_step() -> None:
    def last(x):
        return sc.scan(lambda c, v: (sc.tanh(c + v), None), sc.zeros(3), x)[0]

    f = sc.jit(sc.grad(lambda x: sc.sum(last(x))))
    f(np.ones((1, 3)))
    assert f.explain().loops == []
    assert {one.reason for one in f.explain().vanished} == {"once"}
