"""More of loops on both doors: concrete carries in traces, no steps, dtypes that settle, names."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

XS = np.random.default_rng(3).normal(size=(4, 3))


def test_a_concrete_first_carry_inside_a_trace() -> None:
    start = np.ones(3)

    @sc.jit
    def f(xs: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        return sc.scan(lambda c, x: (c * x, c), start, xs)

    last, ys = f(XS)
    np.testing.assert_allclose(last, XS.prod(axis=0), rtol=1e-14)
    assert ys[0].tolist() == [1, 1, 1]


def test_no_steps_give_the_first_carry_and_no_rows() -> None:
    for size in ("0", "n"):
        x = sc.var("x", f"f32[{size},3]")
        f = sc.function(
            [x], list(sc.scan(lambda c, x: (c + x, sc.sum(x)), sc.ones(3, dtype="f32"), x))
        )
        last, ys = f(np.zeros((0, 3), np.float32))
        assert last.tolist() == [1, 1, 1]
        assert (ys.shape, ys.dtype) == ((0,), np.float32)


def test_weak_carries_take_the_dtype_of_what_the_step_returns() -> None:
    x = np.arange(3, dtype=np.float32)
    (a, b), _ = sc.scan(lambda c, x: ((c[1], c[0] + x), None), (0, 1.0), x)
    assert a.dtype == b.dtype == np.float32
    count, _ = sc.scan(lambda c, x: (c + 1, None), 0, x)
    assert count == 3


def test_errors_name_the_loop() -> None:
    with pytest.raises(sc.DTypeError, match="decoder") as caught:
        sc.scan(lambda c, x: (c.astype("f64"), x), np.float32(1), XS, name="decoder")
    assert "test_control_more.py" in str(caught.value)
    assert "f32" in str(caught.value)
    assert "f64" in str(caught.value)


def test_shared_variables_in_the_step_and_their_gradient() -> None:
    """pytensor#555: the gradient of a scan over a shared variable."""
    w = sc.shared(np.eye(3) * 0.5, name="w")
    x = sc.var("x", "f64[n,3]")
    _, ys = sc.scan(lambda h, a: (sc.tanh(h @ w + a),) * 2, sc.zeros(3), x)
    loss = sc.sum(ys**2)
    f = sc.function([x], loss, updates=[(w, w - 0.1 * sc.grad(loss, w))])
    before = w.get()
    first = f(XS)
    slope = (before - w.get()) / 0.1

    def value(weights: np.ndarray) -> float:
        h, total = np.zeros(3), 0.0
        for a in XS:
            h = np.tanh(h @ weights + a)
            total += float(h @ h)
        return total

    assert first == pytest.approx(value(before), rel=1e-13)
    along = np.random.default_rng(0).normal(size=(3, 3))
    eps = 1e-6
    expected = (value(before + eps * along) - value(before - eps * along)) / (2 * eps)
    np.testing.assert_allclose(np.sum(slope * along), expected, rtol=1e-7)


def test_one_step_after_the_sizes_of_a_call() -> None:
    """A length that is 1 only once sizes are known leaves no loop."""
    f = sc.jit(lambda x: sc.scan(lambda c, a: (sc.tanh(c + a), c), sc.zeros(3), x[::4])[0])
    np.testing.assert_allclose(f(XS), np.tanh(XS[0]), rtol=1e-14)
    assert "symc.scan" not in f.ir("optimized")


def test_fori_loop_over_numbers_that_are_known_at_run_time() -> None:
    f = sc.jit(lambda lo, hi, x: sc.fori_loop(lo, hi, lambda i, c: c + x * i, 0.0))
    assert [f(lo, hi, 2.0) for lo, hi in ((0, 0), (0, 5), (3, 7), (7, 3))] == [0, 20, 36, 0]
    n = sc.var("n", "i32[]")
    x = sc.var("x", "f64[m]")
    total = sc.fori_loop(1, n, lambda i, c: (c[0] * x[i], c[1] + i), (x[0], 0))
    g = sc.function([n, x], total)
    assert [part.tolist() for part in g(np.int32(4), np.arange(1.0, 6))] == [24, 6]
    assert sc.fori_loop(np.array(2), np.array(5), lambda i, c: c + i, 0) == 9


def test_fori_loop_over_such_numbers_under_vmap_and_in_forward_mode() -> None:
    def power(n: sc.Expr, x: sc.Expr) -> sc.Expr:
        return sc.fori_loop(0, n, lambda _, c: c * x, 1.0)

    assert sc.vmap(power)(np.arange(4), np.full(4, 3.0)).tolist() == [1, 3, 9, 27]
    forward = sc.jit(sc.jacfwd(power, argnums=1))
    assert [forward(n, 2.0) for n in (0, 1, 3)] == [0, 1, 12]
    backward = sc.jit(sc.grad(power, argnums=1))
    assert [backward(n, 2.0) for n in (0, 1, 3)] == [0, 1, 12]


def test_fori_loop_wants_integers() -> None:
    for wrong in (2.0, np.array(2.0), np.arange(2)):
        with pytest.raises(sc.DTypeError, match="fori_loop: hi"):
            sc.fori_loop(0, wrong, lambda _, c: c, 0)
    with pytest.raises(sc.DTypeError, match="fori_loop: hi"):
        sc.jit(lambda n: sc.fori_loop(0, n, lambda _, c: c, 0))(2.5)
