"""The proof report: what left each loop, at what cost, and what keeps the rest in a step."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

N = 6


def recurrent_loss() -> tuple[list[sc.Expr], list[sc.Expr], sc.Expr]:
    """Inputs, weights and loss of a tanh network with softmax output."""
    xs, ts = sc.var("xs", f"f64[n,{N}]"), sc.var("ts", "i64[n]")
    weights = [sc.var(name, f"f64[{N},{N}]") for name in "UWV"]
    u, w, v = weights

    def step(h: sc.Expr, x: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        h = sc.tanh(x @ u + h @ w)
        return h, h

    _, hs = sc.scan(step, sc.zeros(N), xs)
    odds = sc.log_softmax(hs @ v)
    loss = -sc.mean(sc.sum(sc.one_hot(ts, N, dtype="f64") * odds, axis=-1))
    return [xs, ts], weights, loss


@pytest.fixture(scope="module")
def gradient() -> sc.Callable:
    inputs, weights, loss = recurrent_loss()
    made = [loss, *sc.grad(loss, weights)]
    return sc.function([*inputs, *weights], made, cache=False)


def test_the_gradient_of_a_recurrent_network_has_the_products_it_needs(gradient) -> None:
    """One product for the inputs, one a step in each loop, one for each gradient of weights."""
    report = gradient.explain()
    forward, backward = report.loops
    assert (forward.reverse, backward.reverse) == (False, True)
    assert [len(loop.products) for loop in report.loops] == [1, 1]
    outside = [p for p in report.products if p.loop is None]
    before = [p for p in outside if not p.after]
    assert [(p.value, str(p.m), p.n, p.k) for p in before] == [("xs @ U", "n", N, N)]
    between = [p for p in outside if p.after == (0,) and p.before == (1,)]
    assert sorted(p.shape for p in between) == [f"[n, {N}] @ [{N}, {N}]"] * 2
    after = [p for p in outside if p.after and not p.before]
    assert [p.shape for p in after] == [f"[{N}, n] @ [n, {N}]"] * 3
    assert sorted(p.after for p in after) == [(0,), (0, 1), (0, 1)]
    assert len(outside) == 6


def test_moves_are_told_with_shapes_lines_and_bytes(gradient) -> None:
    forward, backward = gradient.explain().loops
    (moved,) = forward.moved
    assert (moved.kind, moved.value) == ("before", "xs @ U")
    assert [p.shape for p in moved.products] == [f"[n, {N}] @ [{N}, {N}]"]
    assert str(moved.memory) == str(forward.memory) == f"{8 * N}*n"
    assert moved.location.file.endswith("test_loop_report.py")
    assert {one.kind for one in backward.moved} == {"sum"}
    assert backward.memory == 0


def test_work_before_and_after(gradient) -> None:
    forward, backward = gradient.explain().loops
    matrix, row = 8 * N * N, 8 * N
    assert forward.step.flops == 2 * N * N + 2 * N
    # The weights, the state, a row of the inputs; the new state and the state before, for the rows.
    assert forward.step.bytes == matrix + 4 * row
    assert str(forward.whole.flops) == f"{4 * N * N + 2 * N}*n"
    assert forward.step.flops < forward.step_before.flops
    assert forward.step.bytes < forward.step_before.bytes
    assert backward.after < backward.before
    kept = [(str(row.rows), str(row.bytes)) for row in forward.kept]
    assert kept == [("n", f"{8 * N}*n")] * 2


def test_the_path_that_keeps_work_leads_from_carry_to_carry(gradient) -> None:
    forward, backward = gradient.explain().loops
    (product, bent) = forward.stayed
    assert [link.op for link in product.path] == ["", "dot", "add", "tanh", ""]
    assert product.path[0].value == "carry 0"
    assert product.path[-1].value == "carry 0"
    assert product.path == bent.path
    assert product.reason == bent.reason == "carry"
    assert {link.location.file.endswith("test_loop_report.py") for link in product.path} == {True}
    assert [one.value for one in forward.rest] == ["xs 0 + carry 0 @ W"]
    assert {one.reason for one in forward.rest} == {"carry"}
    assert len(backward.stayed) + len(backward.rest) == backward.after
    (product,) = backward.stayed
    assert product.carries == ("carry 0",)
    assert product.path[0].value == product.path[-1].value == "carry 0"


def test_known_sizes_are_numbers() -> None:
    @sc.jit
    def total(x, w):
        return sc.sum(sc.scan(lambda h, a: (sc.tanh(h @ w + a @ w),) * 2, sc.zeros(4), x)[1])

    total(np.ones((10, 4)), np.ones((4, 4)))
    (loop,) = total.explain().loops
    assert (loop.length, loop.memory) == ("10", 8 * 4 * 10)
    assert loop.whole.flops == 10 * (2 * 16 + 2 * 4) + 10 * 2 * 16


def test_two_loops_of_one_line_are_told_apart() -> None:
    x = sc.var("x", "f64[n,4]")
    h = x
    for width in (5, 7):
        w, u = np.ones((h.shape[-1], width)), np.ones((width, width))
        _, h = sc.scan(lambda c, a, w=w, u=u: (sc.tanh(a @ w + c @ u),) * 2, sc.zeros(width), h)
    first, second = sc.function([x], h, cache=False).explain().loops
    assert first.location == second.location
    assert [str(loop.memory) for loop in (first, second)] == ["40*n", "56*n"]
    assert [loop.moved[0].products[0].shape for loop in (first, second)] == [
        "[n, 4] @ [4, 5]",
        "[n, 5] @ [5, 7]",
    ]


def test_merged_loops_say_so() -> None:
    x = sc.var("x", "f64[n]")
    a = sc.scan(lambda c, v: (c * 0.5 + v,) * 2, 0.0, x)[1]
    b = sc.scan(lambda c, v: (sc.sin(c) + v,) * 2, 0.0, x)[1]
    (loop,) = sc.function([x], [a, b], cache=False).explain().loops
    assert len(loop.merged) == 1
    assert {loop.location.line, loop.merged[0].line} == {loop.location.line, loop.location.line + 1}
    assert loop.carries == 2


def test_rows_that_are_not_kept() -> None:
    x = sc.var("x", "f64[n,3]")
    _, ys = sc.scan(lambda c, v: (c * 0.5 + v, sc.exp(c)), sc.zeros(3), x)
    (loop,) = sc.function([x], ys[-1], cache=False).explain().loops
    (moved,) = loop.moved
    assert (moved.kind, moved.rows, moved.memory) == ("rows", 1, 24)
    assert loop.kept == ()
    assert "for the last rows" in sc.function([x], ys[-1]).explain("loops")


def test_loops_that_are_gone() -> None:
    x = sc.var("x", "f64[n,3]")
    w = np.ones((3, 3))
    _, ys = sc.scan(lambda c, v: (c, sc.tanh(v @ w)), 0.0, x)
    report = sc.function([x], ys, cache=False).explain()
    assert report.loops == []
    (gone,) = report.vanished
    assert gone.reason == "gone"
    assert [one.kind for one in gone.moved] == ["after"]
    y = sc.var("y", "f64[4,3]")
    once = sc.scan(lambda c, v: (c + v, c), sc.zeros(3), y[::2][1:])[0]
    report = sc.function([y], once, cache=False).explain()
    assert (report.loops, [one.reason for one in report.vanished]) == ([], ["once"])
    assert "runs once" in report


def test_loops_inside_of_loops() -> None:
    x = sc.var("x", "f64[n,m]")

    def row(c: sc.Expr, r: sc.Expr) -> tuple[sc.Expr, None]:
        return sc.scan(lambda a, v: (sc.sin(a) + v, None), c, r)[0], None

    outer, inner = sc.function([x], sc.scan(row, 0.0, x)[0], cache=False).explain().loops
    assert (outer.inside, inner.inside) == (None, 0)
    assert (outer.length, inner.length) == ("n", "m")
    assert [one.reason for one in outer.stayed] == ["carry"]
    assert str(outer.step.flops) == "2*m"


def test_work_that_waits_for_a_carry_but_feeds_none() -> None:
    """The rows that are read are many, and the values that they are computed from are more."""
    x = sc.var("x", "f64[n]")

    def step(c: sc.Expr, v: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        return sc.sin(c) + v, sc.sum(sc.exp(c))

    f = sc.function([x], sc.scan(step, sc.zeros(1000), x)[1], cache=False)
    (loop,) = f.explain().loops
    total = next(one for one in loop.stayed if one.value.startswith("sum"))
    assert total.reason == "rows"
    assert total.path[-1].value == "ys 0"
    assert "too much to keep" in f.explain("loops")


def test_long_paths_are_cut() -> None:
    def step(c: sc.Expr, v: sc.Expr) -> tuple[sc.Expr, None]:
        for _ in range(200):
            c = sc.sin(c) + v
        return c, None

    x = sc.var("x", "f64[n]")
    (loop,) = sc.function([x], sc.scan(step, 0.0, x)[0], cache=False).explain().loops
    assert len(loop.stayed) == 200
    assert max(len(one.path) for one in loop.stayed) <= 40
    assert all(one.path[0].value == one.path[-1].value == "carry 0" for one in loop.stayed)


def test_the_page_shows_loops(gradient) -> None:
    page = gradient.explain(html=True)
    assert "moved out" in page
    assert "[n, 6] @ [6, 6]" in page


def moves_of(loop: object) -> list[tuple[str, str, str]]:
    return [(one.kind, one.value, str(one.memory)) for one in loop.moved]


def test_the_report_after_a_cache_hit_is_the_same() -> None:
    found = []
    for _ in range(2):
        inputs, weights, loss = recurrent_loss()
        f = sc.function([*inputs, *weights], sc.grad(loss, weights), name="warm_loop")
        report = f.explain()
        found.append((report.cache, [(x.whole, moves_of(x), len(x.stayed)) for x in report.loops]))
    assert [cache for cache, _ in found] == ["miss", "hit"]
    assert found[0][1] == found[1][1]


def test_while_loops_say_what_left_them() -> None:
    a, x = sc.var("a", "f64[3,3]"), sc.var("x", "f64[3]")
    last = sc.while_loop(lambda v: sc.sum(v) < 100, lambda v: v @ (a.T @ a) + 1, x)
    (loop,) = sc.function([a, x], last, cache=False).explain().loops
    (moved,) = loop.moved
    assert (moved.kind, moved.memory) == ("constant", 72)
    assert [product.shape for product in moved.products] == ["[3, 3] @ [3, 3]"]
    assert [product.shape for product in loop.products] == ["[1, 3] @ [3, 3]"]
