"""Derivatives that other systems had wrong, each with its thread.

Compiled at both ends of the scale of optimisation; expected values are closed forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

INF, NAN = np.inf, np.nan
Array = np.ndarray
Function = Callable[..., Any]


@pytest.fixture(params=[0, 3], ids=["opt=0", "opt=3"])
def gradient(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The compiled gradient of the sum of a function's elements, both modes having agreed."""

    def gradient(f: Function, *args: Array) -> Array:
        def total(x: Any, *rest: Any) -> Any:
            return sc.sum(f(x, *rest))

        found = sc.jit(sc.grad(total), opt=request.param)(*args)
        zeros = [np.zeros_like(x) for x in args[1:]]
        pushed = sc.jit(lambda u: sc.jvp(total, args, (u, *zeros))[1], opt=request.param)
        units = np.eye(args[0].size).reshape(-1, *args[0].shape)
        forward = np.array([pushed(unit) for unit in units]).reshape(args[0].shape)
        np.testing.assert_array_equal(found, forward)
        return np.asarray(found)

    return gradient


def test_repeated_increments_of_one_column(gradient: Callable[..., Array]) -> None:
    """pytorch#136662: `y[:, 0] += |x|` twice; the compiled gradient was halved."""
    x = np.array([1.5, -2.0, 3.0])

    def f(x: Any) -> Any:
        y = sc.zeros((3, 2)) + x[:, None]
        y[:, 0] += sc.abs(x)
        y[:, 0] += sc.abs(x)
        return y

    np.testing.assert_array_equal(gradient(f, x), 2 + 2 * np.sign(x))


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ("add", [5, 2, 3, 1]),  # y0 has y0 added four times, y1 once, y2 twice
        ("set", [1, 1, 1, 1]),
        ("mul", [5 * 2.0**4, 6, 3 * 25.0, 1]),  # y0**5, y1**2, y2**3
        ("max", [1, 1, 1, 1]),
        ("min", [1, 1, 1, 1]),
    ],
)
def test_reads_and_writes_at_the_same_repeated_indices(
    gradient: Callable[..., Array], combine: str, expected: list
) -> None:
    """pytorch#138908: `y[x] += y[x]` with repeated x."""
    y, i = np.array([2.0, 3, 5, 7]), np.array([0, 0, 2, 1, 0, 2, 0])
    got = gradient(lambda y: getattr(y.at[i], combine)(y[i]), y)
    np.testing.assert_allclose(got, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "mode",
    ["clip", "wrap", "fill"],
)
def test_gradients_of_clamped_and_dropped_indices(
    gradient: Callable[..., Array], mode: str
) -> None:
    """jax#5760, jax#7595, jax#34229, jax#40626: gradients disagreed with the index mode."""
    x, i = np.arange(4.0), np.array([0, 2, -4, -9, 4, 3, 6])
    expected = np.bincount([{"clip": np.clip(k, 0, 3), "wrap": k % 4}.get(mode, k)
                            for k in i if mode != "fill" or 0 <= k < 4], minlength=4)  # fmt: skip
    np.testing.assert_array_equal(gradient(lambda x: sc.take(x, i, mode=mode), x), expected)


def test_slices_of_slices_keep_their_elements(gradient: Callable[..., Array]) -> None:
    """jax#40849 (merged slices lost a clamp) and Theano 0.5 (`x[a:b:-1][c]`), over all starts."""
    x, ramp = np.arange(7.0), np.arange(1.0, 8)
    for first in (slice(-9, 5), slice(6, None, -2), slice(5, -9, -1), slice(2, 99, 3)):
        for second in (slice(1, 9), slice(None, None, -1), slice(-2, None), slice(8, 9)):
            expected = np.zeros(7)
            kept = np.arange(7)[first][second]
            expected[kept] = ramp[: len(kept)]
            got = gradient(lambda x: x[first][second] * ramp[: len(kept)], x)  # noqa: B023
            np.testing.assert_array_equal(got, expected)
    assert gradient(lambda x: x[5:1:-1][2], x).tolist() == [0, 0, 0, 1, 0, 0, 0]


SAFE: dict[str, tuple[Function, Array, list]] = {
    "jax#347": (lambda x: sc.where(x > 0, sc.sqrt(x), 0.0), np.array([0.0, 4]), [0, 0.25]),
    "jax#1052": (
        lambda x: sc.where(x == 0, 1.0, sc.sin(x) / x),
        np.array([0.0, np.pi]),
        [0, -1 / np.pi],
    ),
    "jax#20601": (lambda x: sc.where(x < 0, x, x**0.5), np.array([-1.0, 4]), [1, 0.25]),
    "tinygrad#12409": (
        lambda x: sc.where(sc.isfinite(x), x, 0.0) * 2.0,
        np.array([INF, NAN, 3.0]),
        [0, 0, 2],
    ),
    "norm": (lambda x: sc.sqrt(sc.sum(x * x)), np.zeros(3), [0, 0, 0]),
}


@pytest.mark.parametrize(("f", "x", "expected"), SAFE.values(), ids=SAFE.keys())
def test_no_nan_from_what_is_not_selected(
    gradient: Callable[..., Array], f: Function, x: Array, expected: list
) -> None:
    """jax#347, jax#1052, jax#20601, tinygrad#12409: 0 times infinity on the way back."""
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-14, atol=1e-15)


def test_a_concatenation_of_one(gradient: Callable[..., Array]) -> None:
    """tvm#11895: `concat([x])` returned random data."""
    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(gradient(lambda x: sc.concat([x]) * x, x), 2 * x)
    empty = gradient(lambda x: sc.concat([x[:0], x, x[2:]]) ** 2, x)
    np.testing.assert_array_equal(empty, 2 * x)


def test_broadcast_views_after_a_concatenation(gradient: Callable[..., Array]) -> None:
    """pytorch#93357, pytorch#93365, pytorch#93377: cat, expand, then mul or div."""
    x = np.array([[2.0], [4.0]])
    w = np.arange(1.0, 13).reshape(4, 3)

    def f(x: Any) -> Any:
        wide = sc.broadcast_to(sc.concat([x, 1.0 / x]), (4, 3))
        return wide * w

    sums = w.sum(1)
    expected = sums[:2] - sums[2:] / x[:, 0] ** 2
    np.testing.assert_allclose(gradient(f, x)[:, 0], expected, rtol=1e-15)


def test_casts_through_integers_and_bools_stop_derivatives(
    gradient: Callable[..., Array],
) -> None:
    """tvm#13048: casts int to bool to int folded into one."""
    x = np.array([0.0, 0.5, 2.0, -3.0])

    def f(x: Any) -> Any:
        ones = sc.astype(sc.astype(sc.astype(x, "i64"), "bool"), "f64")
        return x * ones

    np.testing.assert_array_equal(gradient(f, x), [0, 0, 1, 1])


def test_sums_without_nan(gradient: Callable[..., Array]) -> None:
    """jax#573: nansum gave NaN once compiled."""
    x = np.array([1.0, NAN, 3.0])
    got = gradient(lambda x: sc.sum(sc.where(sc.isnan(x), 0.0, x)) ** 2, x)
    np.testing.assert_array_equal(got, [8, 0, 8])


def test_smallest_is_not_largest(gradient: Callable[..., Array]) -> None:
    """hidet#90: the operator for min made max."""
    x = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(gradient(lambda x: sc.min(x), x), [0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda x: sc.max(x), x), [1, 0, 0])
    got = gradient(lambda x, y: sc.minimum(x, y), x, np.full(3, 2.5))
    np.testing.assert_array_equal(got, [0, 1, 1])


def test_bounds_of_a_clip_have_gradients(gradient: Callable[..., Array]) -> None:
    """Theano 0.5: the gradient with respect to the bounds was 0."""
    low = np.array([0.0, 1.0, 0.0])
    x = np.array([-1.0, 2.0, 5.0])
    np.testing.assert_array_equal(
        gradient(lambda low, x: sc.clip(x, low, low + 3), low, x), [1, 0, 1]
    )


def test_a_third_derivative_of_a_power(gradient: Callable[..., Array]) -> None:
    """pymc-devs/pytensor#1772: wrong values from the third derivative on; here without the loop."""
    x = np.array([1.1, -0.7])
    cube = sc.grad(sc.grad(lambda x: x**16))

    def f(x: Any) -> Any:
        return sc.stack([cube(x[0]), cube(x[1])])

    np.testing.assert_allclose(gradient(f, x), 16 * 15 * 14 * x**13, rtol=1e-13)
