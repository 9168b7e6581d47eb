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
        f = sc.function([x], list(sc.scan(lambda c, x: (c + x, sc.sum(x)), sc.ones(3, dtype="f32"), x)))
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
