"""Reverse mode through loops whose number of steps only the run knows: exact, to any order."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import symc as sc


def _newton(a: Any) -> Any:
    """The root of x**3 = a; stops when it no longer moves by 1e-3."""

    def step(s: Any) -> Any:
        x, _ = s
        return x - (x**3 - a) / (3 * x * x), x

    return sc.while_loop(lambda s: sc.abs(s[0] - s[1]) > 1e-3, step, (a, a + 1.0))[0]


def _newton_written_out(a: Any, steps: int) -> Any:
    x = a
    for _ in range(steps):
        x = x - (x**3 - a) / (3 * x * x)
    return x


def _steps_of_newton(a: float) -> int:
    x, before, steps = a, a + 1.0, 0
    while abs(x - before) > 1e-3:
        x, before, steps = x - (x**3 - a) / (3 * x * x), x, steps + 1
    return steps


@pytest.mark.parametrize(("a", "orders"), [(2.0, 2), (30.0, 3), (500.0, 1)])
def test_orders_one_to_three_are_those_of_the_steps_written_out(a: float, orders: int) -> None:
    steps = _steps_of_newton(a)
    derivative, plain = _newton, lambda x: _newton_written_out(x, steps)
    assert sc.jit(derivative)(a) == sc.jit(plain)(a)
    for _ in range(orders):
        derivative, plain = sc.grad(derivative), sc.grad(plain)
        np.testing.assert_allclose(sc.jit(derivative)(a), sc.jit(plain)(a), rtol=1e-9)


def test_a_million_steps() -> None:
    """c <- c * r, n times: the slope is r**n n / r in r, and r**n in c."""
    n, r = 10**6, 1 - 1e-6

    def power(c: Any, r: Any) -> Any:
        def step(s: Any) -> Any:
            return s[0] + 1, s[1] * r

        return sc.while_loop(lambda s: s[0] < n, step, (0, c))[1]

    f = sc.jit(sc.value_and_grad(power, argnums=(0, 1)))
    value, (dc, dr) = f(1.5, r)
    exact = np.exp(n * np.log1p(-1e-6))
    np.testing.assert_allclose(value, 1.5 * exact, rtol=1e-10)
    np.testing.assert_allclose(dc * 1.5, value, rtol=1e-12)
    np.testing.assert_allclose(dr * r / n, value, rtol=1e-12)
    assert f.ir("optimized").count('"symc.while"') == 1
    assert f.ir("optimized").count('"symc.scan"') == 1


def test_chaos_agrees_with_a_complex_step() -> None:
    def logistic(x: Any) -> Any:
        def step(s: Any) -> Any:
            return s[0] + 1, 3.2 * s[1] * (1.0 - s[1])

        return sc.while_loop(lambda s: (s[0] < 60) | (s[1] > 0.6), step, (0, x))[1]

    x: complex = 0.3 + 1e-30j
    n = 0
    while n < 60 or x.real > 0.6:
        x = 3.2 * x * (1.0 - x)
        n += 1
    value, slope = sc.jit(sc.value_and_grad(logistic))(0.3)
    assert value == x.real
    np.testing.assert_allclose(slope, x.imag / 1e-30, rtol=1e-11)


def test_matrices_and_captured_values() -> None:
    rng = np.random.default_rng(0)
    W, v = rng.normal(size=(4, 4)) / 4, rng.normal(size=4)

    def f(W: Any, v: Any) -> Any:
        def step(c: Any) -> Any:
            return c * 1.25 + sc.tanh(W @ c) + v

        out = sc.while_loop(lambda c: sc.sum(c * c) < 400.0, step, v * 0.0)
        return sc.sum(out * v)

    def written_out(W: Any, v: Any, steps: int) -> Any:
        c = v * 0.0
        for _ in range(steps):
            c = c * 1.25 + sc.tanh(W @ c) + v
        return sc.sum(c * v)

    c, steps = v * 0, 0
    while np.sum(c * c) < 400.0:
        c, steps = c * 1.25 + np.tanh(W @ c) + v, steps + 1
    got = sc.jit(sc.value_and_grad(f, argnums=(0, 1)))(W, v)
    wanted = sc.value_and_grad(lambda W, v: written_out(W, v, steps), argnums=(0, 1))
    expected = sc.jit(wanted)(W, v)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-13)
    for a, b in zip(got[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    sc.check_grads(f, (W, v), order=2)


def test_no_step_hands_the_cotangent_through() -> None:
    f = lambda x: sc.while_loop(lambda c: c < 0.0, lambda c: c * c, x)  # noqa: E731
    assert sc.jit(sc.value_and_grad(f))(3.0) == (3.0, 1.0)
    assert sc.jit(sc.grad(sc.grad(f)))(3.0) == 0.0


def test_one_program_for_all_numbers_of_steps() -> None:
    f = sc.jit(sc.grad(lambda x, n: sc.while_loop(lambda s: s[0] < n, _doubled, (0, x))[1]))
    for n in (1, 5, 60, 2, 0):
        assert f(1.5, n) == 2.0**n
    compiled = f.lower(1.5, 3)
    assert compiled.ir("program").count("bind dim 0") == 1


def _doubled(s: Any) -> Any:
    return s[0] + 1, s[1] * 2.0


def _halvings(x: Any) -> Any:
    """x**2 halved until it is below 1."""
    return sc.while_loop(lambda c: c >= 1.0, lambda c: c * 0.5, x * x)


def _slope_of_halvings(x: float) -> float:
    c, slope = x * x, 2 * x
    while c >= 1.0:
        c, slope = c * 0.5, slope * 0.5
    return slope


XS = np.array([0.5, 3.0, 40.0, 1.0, 7.0])


def test_inside_a_scan_every_step_runs_its_own_number_of_steps() -> None:
    def total(xs: Any) -> Any:
        return sc.scan(lambda s, x: (s + _halvings(x + s), None), 0.0, xs)[0]

    def expected(xs: np.ndarray) -> float:
        s = 0.0
        for x in xs:
            c = (x + s) ** 2
            while c >= 1.0:
                c *= 0.5
            s += c
        return s

    np.testing.assert_allclose(sc.jit(total)(XS), expected(XS), rtol=1e-14)
    slopes = sc.jit(sc.grad(total))(XS)
    eps = 1e-6
    for i in range(len(XS)):
        up, down = XS.copy(), XS.copy()
        up[i] += eps
        down[i] -= eps
        np.testing.assert_allclose(
            slopes[i], (expected(up) - expected(down)) / (2 * eps), rtol=1e-6, atol=1e-8
        )


def test_inside_a_map_and_a_choice() -> None:
    over = sc.jit(sc.grad(lambda xs: sc.sum(sc.map(_halvings, xs))))
    np.testing.assert_allclose(over(XS), [_slope_of_halvings(x) for x in XS], rtol=1e-14)
    either = sc.jit(sc.grad(lambda x: sc.cond(x > 2.0, _halvings, lambda x: x * 3.0, x)))
    assert either(1.0) == 3.0
    np.testing.assert_allclose(either(40.0), _slope_of_halvings(40.0), rtol=1e-14)


def test_a_loop_inside_a_loop() -> None:
    """Both numbers of steps are data."""

    def f(x: Any) -> Any:
        def outer(s: Any) -> Any:
            return s[0] + 1, _halvings(s[1]) * x + 2.0

        return sc.while_loop(lambda s: s[0] < 4, outer, (0, x))[1]

    def plain(x: complex) -> complex:
        c = x
        for _ in range(4):
            c = c * c
            while c.real >= 1.0:
                c = c * 0.5
            c = c * x + 2.0
        return c

    for x in (0.7, 1.3, 5.0):
        value, slope = sc.jit(sc.value_and_grad(f))(x)
        exact = plain(x + 1e-30j)
        np.testing.assert_allclose(value, exact.real, rtol=1e-14)
        np.testing.assert_allclose(slope, exact.imag / 1e-30, rtol=1e-12)
        second = sc.jit(sc.grad(sc.grad(f)))(x)
        eps = 1e-5
        slopes = [sc.jit(sc.grad(f))(x + d) for d in (eps, -eps)]
        np.testing.assert_allclose(second, (slopes[0] - slopes[1]) / (2 * eps), rtol=1e-5)


def test_a_choice_inside_a_loop() -> None:
    def f(x: Any) -> Any:
        def collatz(c: Any) -> Any:
            n, v = c
            even = n % 2 == 0
            return sc.cond(
                even, lambda n, v: (n // 2, v * x), lambda n, v: (3 * n + 1, v + x), n, v
            )

        return sc.while_loop(lambda c: c[0] != 1, collatz, (27, 1.0))[1]

    def plain(x: complex) -> complex:
        n, v = 27, 1.0 + 0j
        while n != 1:
            n, v = (n // 2, v * x) if n % 2 == 0 else (3 * n + 1, v + x)
        return v

    value, slope = sc.jit(sc.value_and_grad(f))(0.9)
    exact = plain(0.9 + 1e-30j)
    np.testing.assert_allclose([value, slope], [exact.real, exact.imag / 1e-30], rtol=1e-12)


def test_a_batch_whose_lanes_finish_at_different_steps() -> None:
    slopes = sc.jit(sc.vmap(sc.grad(_halvings)))(XS)
    np.testing.assert_allclose(slopes, [_slope_of_halvings(x) for x in XS], rtol=1e-14)
    second = sc.jit(sc.vmap(sc.grad(sc.grad(_halvings))))(XS)
    np.testing.assert_allclose(second, [_slope_of_halvings(x) / x for x in XS], rtol=1e-14)
    roots = np.array([2.0, 30.0, 500.0, 8.0])
    got = sc.jit(sc.vmap(sc.grad(_newton)))(roots)
    np.testing.assert_allclose(got, [sc.grad(_newton)(a) for a in roots], rtol=1e-12)
    both = sc.jit(sc.grad(lambda a: sc.sum(sc.vmap(_newton)(a))))(roots)
    np.testing.assert_allclose(both, got, rtol=1e-12)


def test_a_jacobian_runs_one_loop_over_all_directions() -> None:
    def f(v: Any) -> Any:
        return sc.while_loop(lambda c: sc.sum(c) < 50.0, lambda c: c * c + v, v)

    v = np.array([1.0, 2.0, 0.5])
    forward, backward = sc.jit(sc.jacfwd(f)), sc.jit(sc.jacrev(f))
    np.testing.assert_allclose(backward(v), forward(v), rtol=1e-13)


def test_forward_over_reverse_and_reverse_over_forward() -> None:
    hessian = [sc.jacfwd(sc.grad(_newton)), sc.grad(sc.jacfwd(_newton)), sc.hessian(_newton)]
    expected = sc.jit(sc.grad(sc.grad(lambda a: _newton_written_out(a, _steps_of_newton(30.0)))))
    for f in hessian:
        np.testing.assert_allclose(sc.jit(f)(30.0), expected(30.0), rtol=1e-9)
    product = sc.jit(lambda a: sc.hvp(_newton, (a,), (2.0,)))(30.0)
    np.testing.assert_allclose(product, 2 * expected(30.0), rtol=1e-9)


def test_updates_of_shared_variables() -> None:
    w = sc.shared(np.array(9.0), name="w")
    x = sc.var("x", "f64")
    y = sc.while_loop(lambda c: c >= 1.0, lambda c: c * 0.5, w * x)
    f = sc.function([x], y, updates={w: w - 0.5 * sc.grad(y, w)})
    assert f(1.0) == 0.5625
    assert float(w.get()) == 9.0 - 0.5 / 16


ENDLESS = """
import resource
import numpy as np
import symc as sc

f = sc.jit(sc.grad(lambda x: sc.while_loop(lambda c: c < 1e300, lambda c: sc.sin(c) + 2.0, x)))
w = sc.shared(np.array(1.0))
f.lower(1.0)
held = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, held))
for _ in range(2):
    try:
        f(1.0)
    except MemoryError as error:
        print("MemoryError:", error)
"""


def test_rows_that_memory_does_not_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("MemoryError: cannot allocate") == 2
    assert "for rows of a loop" in done.stdout


def _shrunk(v: Any) -> Any:
    """v times 0.6 until it is 1 or less: a loop whose adjoint needs its number of steps alone."""
    return sc.while_loop(lambda s: s > 1.0, lambda s: s * 0.6, v)


def _folded(x: Any) -> Any:
    return sc.scan(lambda c, _: ((c * 0.5 + _shrunk(c)) * x, None), x, length=4)[0]


def _written_out(x: float) -> tuple[float, float]:
    """The value and the slope of `_folded`."""
    c, slope = x, 1.0
    for _ in range(4):
        factor = 1.0
        while c * factor > 1.0:
            factor *= 0.6
        c, slope = (0.5 + factor) * c * x, (0.5 + factor) * (slope * x + c)
    return c, slope


def test_only_the_number_of_steps_of_an_inner_loop_is_needed() -> None:
    value, slope = sc.value_and_grad(_folded)(5.0)
    np.testing.assert_allclose([value, slope], _written_out(5.0), rtol=1e-13)
    points = np.array([5.0, 2.0, 0.7])
    slopes = [_written_out(x)[1] for x in points]
    np.testing.assert_allclose(sc.vmap(sc.grad(_folded))(points), slopes, rtol=1e-13)


def test_a_batch_of_cotangents_of_such_a_loop() -> None:
    _, back = sc.vjp(_folded, 5.0)
    found = sc.vmap(lambda ct: back(ct)[0])(np.array([1.0, -2.0]))
    np.testing.assert_allclose(found, _written_out(5.0)[1] * np.array([1.0, -2.0]), rtol=1e-13)
    forward = sc.grad(sc.grad(_folded))(5.0)
    np.testing.assert_allclose(sc.hessian(_folded)(5.0), forward, rtol=1e-13)


def test_a_sum_over_rows_that_a_loop_made_each_for_itself() -> None:
    rows = np.array([0.0, 0.4, 3.0, 11.0])

    def total(q: Any) -> Any:
        return sc.sum(sc.map(lambda x: _shrunk(x * q), rows))

    shrunk = [0.6 ** max(0, int(np.ceil(np.log(2.0 * x) / -np.log(0.6)))) for x in rows[1:]]
    np.testing.assert_allclose(sc.grad(total)(2.0), np.dot(rows[1:], shrunk), rtol=1e-13)
    assert sc.hessian(total)(2.0) == 0.0


def test_what_is_stored_under_a_policy_of_a_loop_in_a_loop() -> None:
    def folded(x: Any) -> Any:
        def step(s: Any) -> Any:
            return s[0] + 1, (s[1] * 0.5 + _shrunk(s[1])) * x

        return sc.while_loop(lambda s: s[0] < 4, step, (0, x), checkpoint="nothing")[1]

    np.testing.assert_allclose(sc.grad(folded)(5.0), _written_out(5.0)[1], rtol=1e-13)
