"""Reverse mode through while loops with few snapshots: derivatives, runs of a step, bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb
from typing import Any

import numpy as np
import pytest

import symc as sc
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand
from symc.ir import ops
from symc.ir.core import Node, reachable
from symc.ir.parse import parse_function
from symc.ir.text import print_function

W = np.array([0.5, 0.9, 0.7, 0.3])
X = np.linspace(0.1, 1.0, 4)
EDGES = (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 21, 35, 51, 100)


def step(i: Any, c: Any, w: Any) -> Any:
    return sc.tanh(c * w + 0.1 * sc.sin(i * 0.3))


def remembered(c: Any, w: Any, n: object, slots: int | None) -> Any:
    memory = None if slots is None else sc.checkpoints(max_snapshots=slots)

    def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
        i, c = state
        return i + 1, step(i, c, w)

    return sc.while_loop(lambda state: state[0] < n, body, (0, c), checkpoint=memory)[1]


def counted(c: Any, w: Any, n: int) -> Any:
    return sc.scan(lambda c, i: (step(i, c, w), None), c, sc.arange(n))[0]


@cache
def by_scan() -> sc.Function:
    """The loss and its gradients by a scan, for any number of steps."""
    x, w, ts = sc.var("x", "f64[4]"), sc.var("w", "f64[4]"), sc.var("ts", "i64[n]")
    last = sc.scan(lambda c, i: (step(i, c, w), None), x, ts)[0]
    loss = sc.sum(last**2)
    return sc.function([x, w, ts], [loss, *sc.grad(loss, [x, w])])


def runs_of(result: Any) -> tuple[Any, Any]:
    """Counters of the emitted loops: steps of the sweep, and of the reversal."""
    nodes, _ = reachable([result.__symc_operand__().value])
    (swept,) = [node for node in nodes if node.op is ops.SNAPSHOTS]
    (back,) = [node for node in nodes if _is_reversal(node)]
    carries = swept.attrs["carries"]
    assert isinstance(carries, int)
    runs = back.results[2 * carries + 4]
    return Expr(Operand(swept.results[-1])), Expr(Operand(runs))


def _is_reversal(node: Node) -> bool:
    return node.op is ops.WHILE and node.regions[1].name == "reversal"


def most_runs(n: int, slots: int) -> int:
    """The fewest runs of a step forward that go to the end and back, and one in its adjoint."""
    runs = 0
    while comb(slots + runs, slots) <= n:
        runs += 1
    return runs + 1


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_gradients_are_those_of_a_scan(slots: int) -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[4]"), sc.var("w", "f64[4]")
    loss = sc.sum(remembered(x, w, n, slots) ** 2)
    f = sc.function([x, w, n], [loss, *sc.grad(loss, [x, w])])
    for length in EDGES:
        want = by_scan()(X, W, np.arange(length))
        for a, b in zip(f(X, W, np.int64(length)), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 10, 50])
def test_runs_of_a_step_are_counted_and_few(slots: int) -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[4]"), sc.var("w", "f64[4]")
    slope = sc.grad(sc.sum(remembered(x, w, n, slots)), x)
    f = sc.function([x, w, n], [slope, *runs_of(slope)])
    kept = slots - min(5, slots // 4)
    for length in (*EDGES, 1000, 1326, 1327):
        if slots == 1 and length > 100:
            continue
        _, swept, back = f(X, W, np.int64(length))
        assert swept == length
        if slots == 1:
            assert back == length * (length + 1) // 2
        else:
            assert swept + back <= length * most_runs(length, kept)


def test_a_million_steps_with_fifty_snapshots() -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[4]"), sc.var("w", "f64[4]")
    slope = sc.grad(sc.sum(remembered(x, w, n, 50)), w)
    f = sc.function([x, w, n], [slope, *runs_of(slope)])
    for length in (1_000, 10_000, 99_999, 1_000_000):
        got, swept, back = f(X, W, np.int64(length))
        assert swept + back <= 6 * length
    want = sc.grad(lambda w: sc.sum(counted(X, w, 1_000_000)))(W)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("slots", [8, 20, 50])
def test_bytes_are_those_of_the_states_asked_for(slots: int) -> None:
    size = 4096
    n = sc.var("n", "i64")
    x, w = sc.var("x", f"f64[{size}]"), sc.var("w", f"f64[{size}]")
    loss = sc.sum(remembered(x, w, n, slots))
    f = sc.function([x, n, w], [loss, sc.grad(loss, x)])
    small = 64 * slots
    assert f.cost().workspace <= (slots + 1 + (3 if slots < 20 else 0)) * size * 8 + small


def test_a_budget_in_bytes() -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[1024]"), sc.var("w", "f64[1024]")

    def loss(c: Any) -> Any:
        def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
            return state[0] + 1, step(state[0], state[1], w)

        memory = sc.checkpoints(max_bytes=400_000)
        return sc.sum(sc.while_loop(lambda s: s[0] < n, body, (0, c), checkpoint=memory)[1])

    f = sc.function([x, w, n], [sc.grad(loss(x), x)])
    assert 200_000 < f.cost().workspace < 400_000
    g = sc.function([x, w, n], [sc.grad(sc.sum(remembered(x, w, n, 3)), x)])
    given = np.linspace(0, 1, 1024), np.linspace(0.5, 1, 1024), np.int64(300)
    assert f(*given)[0].tolist() == g(*given)[0].tolist()


def test_nothing_is_remembered_where_nobody_goes_back() -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[4096]"), sc.var("w", "f64[4096]")
    f = sc.function([x, w, n], remembered(x, w, n, 50))
    assert f.cost().workspace <= 3 * 4096 * 8
    assert f.ir("optimized").count('"symc.while"') == 1


def pair(c: Any, w: Any) -> Any:
    return sc.sum(remembered(c, w, 17, 4) ** 2)


def test_derivatives_to_order_two_in_all_modes() -> None:
    sc.check_grads(pair, (X, W), order=1, modes=("fwd", "rev"))
    plain = lambda c, w: sc.sum(counted(c, w, 17) ** 2)  # noqa: E731
    got = sc.hvp(lambda c: pair(c, W), (X,), (W,))
    want = sc.hvp(lambda c: plain(c, W), (X,), (W,))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(
        sc.jacfwd(sc.grad(pair))(X, W), sc.jacfwd(sc.grad(plain))(X, W), rtol=1e-12
    )
    np.testing.assert_allclose(
        sc.grad(lambda c: sc.jvp(lambda c: pair(c, W), (c,), (W,))[1])(X), want, rtol=1e-12
    )


def test_under_a_batch_lanes_stop_on_their_own() -> None:
    lengths = np.array([0, 3, 9, 30])
    rows = np.random.default_rng(1).normal(size=(4, 4))

    def slope(c: Any, n: Any) -> Any:
        return sc.grad(lambda c: sc.sum(remembered(c, W, n, 4)))(c)

    got = sc.vmap(slope)(rows, lengths)
    for row, n, found in zip(rows, lengths, got, strict=True):
        want = sc.grad(lambda c, n=n: sc.sum(counted(c, W, int(n))))(row)
        np.testing.assert_allclose(found, want, rtol=1e-13)


def test_inside_of_another_loop() -> None:
    def outer(run: Callable[..., Any]) -> Callable[..., Any]:
        def loss(c: Any, w: Any) -> Any:
            return sc.sum(sc.scan(lambda c, _: (run(c, w), None), c, length=3)[0])

        return loss

    got = sc.grad(outer(lambda c, w: remembered(c, w, 9, 3)), argnums=(0, 1))(X, W)
    want = sc.grad(outer(lambda c, w: counted(c, w, 9)), argnums=(0, 1))(X, W)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_matrices_and_symbolic_states() -> None:
    rng = np.random.default_rng(2)
    v, start = rng.normal(size=(5, 5)) / 3, rng.normal(size=5)
    x, m = sc.var("x", "f64[k]"), sc.var("m", "f64[k,k]")

    def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
        return state[0] + 1, sc.tanh(state[1] @ m + 0.1)

    memory = sc.checkpoints(max_bytes=8 * 50)
    out = sc.while_loop(lambda s: s[0] < 23, body, (0, x), checkpoint=memory)[1]
    found = sc.function([x, m], sc.grad(sc.sum(out), [x, m]))(start, v)

    def plain(x: Any, m: Any) -> Any:
        return sc.sum(sc.scan(lambda c, _: (sc.tanh(c @ m + 0.1), None), x, length=23)[0])

    want = sc.grad(plain, argnums=(0, 1))(start, v)
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    "given",
    [{}, {"max_snapshots": 0}, {"max_snapshots": True}, {"max_bytes": 1, "max_snapshots": 1}],
)
def test_budgets_that_are_none(given: dict[str, int]) -> None:
    with pytest.raises(sc.DomainError, match="checkpoints"):
        sc.checkpoints(**given)


def test_a_budget_below_one_state() -> None:
    memory = sc.checkpoints(max_bytes=15)
    with pytest.raises(sc.DomainError, match="16 bytes"):
        sc.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, 1.0), checkpoint=memory
        )


def test_policies_of_a_step() -> None:
    loop = lambda how: sc.while_loop(lambda c: c < 30, lambda c: c * c, 1.5, checkpoint=how)  # noqa: E731
    assert loop("nothing") == loop(None) == loop(["c"])
    for how in ("sqrt", 3):
        with pytest.raises(sc.DomainError, match="policy"):
            loop(how)


def test_loops_that_stop_inside_of_loops_that_remember() -> None:
    """A body with a loop of its own, and with a scan that stops when it likes."""

    def loss(x: Any, memory: object) -> Any:
        def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
            i, c = state
            c = sc.while_loop(
                lambda s: s[0] < i % 3, lambda s: (s[0] + 1, sc.sin(s[1]) + 0.1), (0, c)
            )[1]
            rows = sc.scan(
                lambda c, a: (c + a, c * a), c, sc.ones((4, 4)), until=lambda c: c[0] > 2.0
            )[1]
            return i + 1, sc.tanh(sc.sum(rows, axis=0) * 0.3 + c)

        return sc.sum(sc.while_loop(lambda s: s[0] < 11, body, (0, x), checkpoint=memory)[1] ** 2)

    memory = sc.checkpoints(max_snapshots=3)
    sc.check_grads(lambda x: loss(x, memory), (X,), order=1, modes=("rev",))


def test_reverse_mode_over_reverse_mode() -> None:
    def second(f: Callable[[Any], Any]) -> Any:
        return sc.jit(sc.grad(lambda c: sc.sum(sc.grad(f)(c) ** 2)))(X)

    got = second(lambda c: sc.sum(remembered(c, W, 6, 3) ** 2))
    want = second(lambda c: sc.sum(counted(c, W, 6) ** 2))
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("how", [{"opt": 0}, {"opt": 1}, {"check": "passes"}], ids=str)
def test_all_levels_and_the_text_form(how: dict[str, Any]) -> None:
    n = sc.var("n", "i64")
    x, w = sc.var("x", "f64[4]"), sc.var("w", "f64[4]")

    def made(**options: object) -> sc.Function:
        loss = sc.sum(remembered(x, w, n, 3))
        return sc.function([x, w, n], [loss, sc.grad(loss, w)], **options)

    f, g = made(), made(**how)
    for stage in ("traced", "defined", "optimized"):
        text = f.ir(stage)
        assert print_function(parse_function(text)).strip() == text.strip()
    given = X, W, np.int64(9)
    assert [a.tolist() for a in f(*given)] == [a.tolist() for a in g(*given)]
