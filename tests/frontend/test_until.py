"""`scan(..., until=)`: the steps that ran, and no others, in values and in both derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.ir.evaluate import evaluate
from symc.ir.generic_program import program_text
from symc.ir.parse import parse_function
from symc.ir.parse_program import parse_program
from symc.ir.text import print_function
from symc.ir.verify import verify

MOST = 6
XS = np.array([0.5, 1.5, 0.25, 2.0, 1.0, 0.75])


def _step(c: Any, x: Any) -> tuple[Any, Any]:
    c = c + sc.sin(c) * x * 0.3 + 1.0
    return c, c * x


def _stopped(c0: Any, xs: Any, limit: Any) -> tuple[Any, Any]:
    return sc.scan(_step, c0, xs, until=lambda c: c > limit)


def _prefix(c0: Any, xs: Any, steps: int) -> tuple[Any, Any]:
    """The first `steps` steps, written out."""
    rows = []
    for t in range(steps):
        c0, y = _step(c0, xs[t])
        rows.append(y)
    return c0, sc.stack(rows) if rows else sc.zeros(0)


def _carries(c0: float, xs: np.ndarray) -> list[float]:
    found = []
    for x in xs:
        c0 = c0 + np.sin(c0) * x * 0.3 + 1.0
        found.append(float(c0))
    return found


# Limits for which the loop stops after 1, 2, ..., MOST steps, and one that it never passes.
LIMITS = [(c - 1e-9, n + 1) for n, c in enumerate(_carries(0.3, XS))] + [(1e9, MOST)]


@pytest.mark.parametrize(("limit", "steps"), LIMITS)
def test_every_place_to_stop_is_the_prefix_written_out(limit: float, steps: int) -> None:
    carry, ys = sc.jit(_stopped)(0.3, XS, limit)
    expected, rows = sc.jit(lambda c, xs: _prefix(c, xs, steps))(0.3, XS)
    assert ys.shape == (steps,)
    assert carry == expected
    np.testing.assert_array_equal(ys, rows)


def _loss(run: Any) -> Any:
    def loss(c0: Any, xs: Any) -> Any:
        carry, ys = run(c0, xs)
        return carry * 2.0 + sc.sum(ys**2)

    return loss


@pytest.mark.parametrize(("limit", "steps"), [LIMITS[0], LIMITS[2], LIMITS[-1]])
def test_derivatives_are_those_of_the_prefix(limit: float, steps: int) -> None:
    stopped = _loss(lambda c, xs: _stopped(c, xs, limit))
    prefix = _loss(lambda c, xs: _prefix(c, xs, steps))
    for derive in (
        lambda f: sc.grad(f, argnums=(0, 1)),
        lambda f: sc.jacfwd(f, argnums=(0, 1)),
        lambda f: sc.hessian(f, argnums=(0, 1)),
        lambda f: sc.value_and_grad(f, argnums=(0, 1)),
    ):
        got = sc.jit(derive(stopped))(0.3, XS)
        expected = sc.jit(derive(prefix))(0.3, XS)
        _same(got, expected)


def test_third_order() -> None:
    limit, steps = LIMITS[3]
    stopped = _loss(lambda c, xs: _stopped(c, xs, limit))
    prefix = _loss(lambda c, xs: _prefix(c, xs, steps))
    third = [sc.jit(sc.grad(sc.grad(sc.grad(f)))) for f in (stopped, prefix)]
    np.testing.assert_allclose(third[0](0.3, XS), third[1](0.3, XS), rtol=1e-12)


def _same(got: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            _same(a, b)
        return
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_no_step_at_all() -> None:
    carry, ys = sc.jit(_stopped)(0.3, np.zeros(0), 1.0)
    assert carry == 0.3
    assert ys.shape == (0,)
    slope = sc.jit(sc.grad(_loss(lambda c, xs: _stopped(c, xs, 1.0)), argnums=(0, 1)))
    dc, dxs = slope(0.3, np.zeros(0))
    assert dc == 2.0
    assert dxs.shape == (0,)


def test_one_program_serves_every_number_of_steps() -> None:
    f = sc.jit(lambda c, limit: sc.scan(_grow, c, length=1000, until=lambda c: c > limit))
    for steps in (1, 3, 900, 2, 1000):
        _, ys = f(1.0, float(steps) + 0.5)
        assert ys.tolist() == [2.0 + i for i in range(steps)]
    assert len(f.explain().variants) if hasattr(f.explain(), "variants") else True


def _grow(c: Any, _: None) -> tuple[Any, Any]:
    return c + 1.0, c + 1.0


def test_rows_keep_their_trees_and_types() -> None:
    def step(c: Any, x: Any) -> Any:
        n, v = c
        return (n + 1, v * 0.5), {"n": n, "v": v[None], "none": None, "flag": n > 1}

    (n, v), ys = sc.jit(
        lambda v: sc.scan(step, (0, v), length=9, until=lambda c: sc.max(c[1]) < 1.0)
    )(np.array([4.0, 2.0]))
    assert n == 3
    np.testing.assert_array_equal(v, [0.5, 0.25])
    assert ys["n"].tolist() == [0, 1, 2]
    assert ys["n"].dtype == np.int64
    assert ys["flag"].tolist() == [False, False, True]
    assert ys["v"].shape == (3, 1, 2)
    assert ys["none"] is None


def test_what_is_done_with_the_rows_knows_how_many_there_are() -> None:
    def f(c: Any) -> Any:
        _, ys = sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)
        rows = sc.stack([ys, 2 * ys], axis=1)
        shifted = ys[1:] - ys[:-1]
        return ys.shape[0], rows @ sc.ones((2, 3)), sc.softmax(ys), shifted, ys[-1], ys[::-1]

    for start in (0.0, 3.0, 9.0):
        rows = np.arange(start + 1, max(start + 2, 7.0))
        rows = rows[: np.argmax(rows > 5.0) + 1]
        count, product, soft, shifted, last, back = sc.jit(f)(start)
        assert count == len(rows)
        np.testing.assert_array_equal(product, np.tile(3 * rows[:, None], (1, 3)))
        weights = np.exp(rows - rows.max())
        np.testing.assert_allclose(soft, weights / weights.sum(), rtol=1e-14)
        np.testing.assert_array_equal(shifted, np.ones(len(rows) - 1))
        assert last == rows[-1]
        np.testing.assert_array_equal(back, rows[::-1])


def test_the_number_of_steps_alone_runs_the_loop() -> None:
    def count(c: Any) -> Any:
        _, ys = sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)
        return ys.shape[0]

    def spread(c: Any, w: Any) -> Any:
        return sc.sum(sc.broadcast_to(w, (count(c),)))

    assert sc.jit(count)(0.0) == 6
    assert sc.jit(spread)(0.0, 2.0) == 12.0
    assert sc.jit(sc.grad(spread, argnums=1))(0.0, 2.0) == 6.0


def test_rows_that_must_match_others() -> None:
    def f(c: Any, w: Any) -> Any:
        _, ys = sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)
        return sc.sum(ys * w)

    g = sc.jit(f)
    assert g(3.0, np.ones(3)) == 15.0
    with pytest.raises(sc.ShapeError, match="expected equal sizes"):
        g(3.0, np.ones(4))
    assert g(2.0, np.ones(4)) == 18.0


def test_both_doors_and_at_once() -> None:
    x = sc.var("x", "f64")
    carry, ys = sc.scan(_grow, x, length=50, until=lambda c: c > 5.0)
    f = sc.function([x], [carry, ys, sc.grad(sc.sum(ys), x)])
    assert [a.tolist() for a in f(3.0)] == [6.0, [4.0, 5.0, 6.0], 3.0]
    carry, ys = sc.scan(_grow, 3.0, length=50, until=lambda c: c > 5.0)
    assert (float(carry), ys.tolist()) == (6.0, [4.0, 5.0, 6.0])


def test_inside_other_loops_and_choices() -> None:
    def inner(c: Any) -> Any:
        last, ys = sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)
        return last + sc.sum(ys * ys)

    def over(starts: Any) -> Any:
        return sc.sum(sc.map(inner, starts))

    def chosen(c: Any) -> Any:
        return sc.cond(c > 0.0, inner, lambda c: c * 0.0, c)

    def expected(c: float) -> float:
        rows = [c + 1.0]
        while rows[-1] <= 5.0:
            rows.append(rows[-1] + 1.0)
        return rows[-1] + sum(r * r for r in rows)

    def slope(c: float) -> float:
        rows = [c + 1.0]
        while rows[-1] <= 5.0:
            rows.append(rows[-1] + 1.0)
        return 1.0 + sum(2 * r for r in rows)

    starts = np.array([0.5, 4.5, 2.25, 7.0])
    np.testing.assert_allclose(sc.jit(over)(starts), sum(map(expected, starts)), rtol=1e-14)
    np.testing.assert_allclose(
        sc.jit(sc.grad(over))(starts), [slope(c) for c in starts], rtol=1e-14
    )
    assert sc.jit(chosen)(2.0) == expected(2.0)
    assert sc.jit(sc.grad(chosen))(2.0) == slope(2.0)
    assert sc.jit(chosen)(-1.0) == 0.0


def test_under_vmap_stopped_lanes_keep_their_carry() -> None:
    def last(c: Any) -> Any:
        return sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)[0]

    starts = np.array([0.5, 9.0, 3.0])
    assert sc.jit(sc.vmap(last))(starts).tolist() == [5.5, 10.0, 6.0]


@pytest.mark.parametrize(
    "of",
    [lambda ys: ys, lambda ys: sc.sum(ys), lambda ys: ys.shape[0], lambda ys: ys[-1]],
    ids=["all", "sum", "count", "last"],
)
def test_under_vmap_rows_of_different_numbers_are_refused(of: Any) -> None:
    def rows(c: Any) -> Any:
        return of(sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)[1])

    with pytest.raises(sc.UnsupportedError, match="stops at another step"):
        sc.vmap(rows)(np.array([0.5, 9.0, 3.0]))


def test_rows_of_lanes_that_stop_together() -> None:
    def f(c: Any, w: Any) -> Any:
        return sc.scan(
            lambda c, _: (c + 1.0, (c + 1.0) * w), c, length=50, until=lambda c: c > 5.0
        )[1]

    found = sc.jit(sc.vmap(f, in_axes=(None, 0)))(3.0, np.array([1.0, 2.0]))
    assert found.tolist() == [[4.0, 5.0, 6.0], [8.0, 10.0, 12.0]]


@pytest.mark.parametrize("also", [{"reverse": True}, {"truncate": 2}, {"checkpoint": 2}])
def test_what_until_does_not_go_with(also: dict[str, Any]) -> None:
    with pytest.raises(sc.UnsupportedError, match=f"until together with {next(iter(also))}") as e:
        sc.scan(_grow, 1.0, length=5, until=lambda c: c > 2.0, **also)
    assert "test_until.py" in str(e.value)


def test_what_until_must_give() -> None:
    for wrong in (lambda c: c, lambda c: c[None] > 1.0, lambda c: (c > 1.0, c > 2.0)):
        with pytest.raises((sc.DTypeError, sc.SymcError)):
            sc.scan(_grow, 1.0, length=5, until=wrong)
    with pytest.raises(sc.ShapeError, match="neither xs nor length"):
        sc.scan(_grow, 1.0, until=lambda c: c > 2.0)


def test_rows_cannot_leave_an_outer_step() -> None:
    def step(c: Any, _: None) -> Any:
        _, ys = sc.scan(_grow, c, length=5, until=lambda c: c > 2.0)
        return c, ys

    with pytest.raises(sc.SymcError, match=r"test_until\.py"):
        sc.scan(step, 1.0, length=3)


def test_a_branch_gives_no_rows() -> None:
    def rows(c: Any) -> Any:
        return sc.scan(_grow, c, length=5, until=lambda c: c > 2.0)[1]

    with pytest.raises(sc.ShapeError, match=r"branches differ|as steps ran inside"):
        sc.cond(np.array(True), rows, rows, 1.0)


def test_rows_of_an_inner_loop_are_used_inside() -> None:
    def step(c: Any, w: Any) -> Any:
        _, ys = sc.scan(_grow, c, length=50, until=lambda c: c > 5.0)
        return c + 0.5, (sc.logsumexp(ys) + sc.sum(ys * w), ys[-1], sc.sum(ys[1:]))

    f = sc.jit(lambda c, ws: sc.scan(step, c, ws)[1])
    soft, last, rest = f(2.5, np.array([1.0, 2.0]))
    for i, start in enumerate((2.5, 3.0)):
        rows = np.arange(start + 1, 20)
        rows = rows[: np.argmax(rows > 5.0) + 1]
        expected = np.log(np.exp(rows).sum()) + (i + 1) * rows.sum()
        np.testing.assert_allclose(soft[i], expected, rtol=1e-14)
        assert last[i] == rows[-1]
        assert rest[i] == rows[1:].sum()
    slope = sc.jit(sc.grad(lambda c, ws: sc.sum(sc.scan(step, c, ws)[1][0])))
    sc.check_grads(lambda c, ws: sc.sum(sc.scan(step, c, ws)[1][0]), (2.6, np.ones(2)), order=1)
    assert np.isfinite(slope(2.5, np.ones(2)))


def test_an_inner_loop_of_no_step_has_no_last_row() -> None:
    def step(c: Any, _: None, xs: Any) -> Any:
        _, ys = sc.scan(lambda c, x: (c + x, c), c, xs, until=lambda c: c > 5.0)
        return c + ys[-1], None

    f = sc.jit(lambda c, xs: sc.scan(lambda c, _: step(c, _, xs), c, length=2)[0])
    assert f(1.0, np.array([1.0, 7.0, 1.0])) == 1 + 2 + 4
    with pytest.raises(sc.SymcIndexError, match=r"test_until\.py"):
        f(1.0, np.zeros(0))


def test_sizes_that_must_agree_inside_of_a_loop_are_refused() -> None:
    def step(c: Any, w: Any) -> Any:
        _, ys = sc.scan(_grow, c, length=5, until=lambda c: c > 2.0)
        return c + sc.sum(ys * w), None

    with pytest.raises(sc.UnsupportedError, match="inside of a loop"):
        sc.scan(step, 1.0, np.ones((3, 2)))


def test_no_row_to_read_names_the_line() -> None:
    f = sc.jit(lambda xs: sc.scan(_grow_by, 0.5, xs, until=lambda c: c > 2.0)[1][-1])
    assert f(np.ones(3)) == 2.5
    with pytest.raises(sc.SymcIndexError, match="got 0, expected at least 1") as caught:
        f(np.ones(0))
    assert "test_until.py" in str(caught.value)


def _grow_by(c: Any, x: Any) -> tuple[Any, Any]:
    return c + x, c + x


def test_a_last_row_alone_takes_no_memory_per_step() -> None:
    x = sc.var("x", "f64[100]")
    _, ys = sc.scan(lambda c, _: (c + 1.0, sc.sin(c)), x, length=10**6, until=lambda c: c[0] > 1e5)
    last = sc.function([x], ys[-1])
    assert last.cost().workspace < 10_000
    np.testing.assert_array_equal(last(np.zeros(100)), sc.sin(np.full(100, 1e5)))
    whole = sc.function([x], sc.sum(ys))
    assert "steps" in str(whole.cost().workspace)


def _everything(c0: Any, xs: Any, w: Any) -> Any:
    def loss(c0: Any) -> Any:
        carry, ys = sc.scan(_step, c0, xs, until=lambda c: c > 3.0)
        rows = sc.tanh(sc.stack([ys, ys * ys], axis=1) * w)
        last = sc.while_loop(lambda c: c < 50.0, lambda c: c * 1.7 + sc.sum(ys), carry)
        return last + sc.sum(rows), rows

    return sc.value_and_grad(loss, has_aux=True)(c0)


@pytest.mark.parametrize("opt", range(4))
def test_oracle_text_and_levels_give_the_same_bits(opt: int) -> None:
    f = sc.jit(_everything, opt=opt, cache=False)
    arrays = [np.array(0.3), XS, np.array([0.5, -1.5])]
    (value, rows), slope = f(*arrays)
    assert rows.shape == (3, 2)
    for stage in ("traced", "defined", "optimized"):
        parsed = parse_function(f.ir(stage))
        verify(parsed)
        assert (
            print_function(parsed)
            == "\n".join(line for line in f.ir(stage).splitlines() if not line.startswith("//"))
            + "\n"
        )
        found = evaluate(parsed, arrays)
        for got, expected in zip(found, (value, rows, slope), strict=True):
            np.testing.assert_array_equal(got, expected)
    text = f.ir("program")
    assert program_text(parse_program(text)) == text[text.index('"symc.program"') :]
    assert text.count('"symc.bind"') == 2


def test_all_checks_hold() -> None:
    f = sc.jit(_everything, check="all", cache=False)
    (value, _), _ = f(0.3, XS, np.array([0.5, -1.5]))
    (expected, _), _ = sc.jit(_everything)(0.3, XS, np.array([0.5, -1.5]))
    assert value == expected
