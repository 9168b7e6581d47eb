"""The math library: the same bits everywhere, and what must hold beside small errors."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from scalar.lanes_jit import Case, Jit, same_bits
from scalar.math_points import F32, F64, FLOATS, FUNCTIONS, specials, stratified
from symc.scalar import math
from symc.scalar.numpy_builder import NumpyBuilder

NUMPY = NumpyBuilder()
WIDTHS = (1, 8, 16)
ODD = ("sin", "tanh", "expm1", "log1p")  # those that keep the sign of zero


def points(dtype: np.dtype) -> np.ndarray:
    patterns = np.random.default_rng(1).integers(0, 256, 800 * dtype.itemsize, dtype=np.uint8)
    return np.concatenate([specials(dtype), stratified(dtype, 2000, 2), patterns.view(dtype)])


@functools.cache
def numpy_results(name: str, dtype: np.dtype) -> np.ndarray:
    return FUNCTIONS[name](NUMPY, points(dtype))


@functools.cache
def jit() -> Jit:
    cases = [case(name, d, w) for name in FUNCTIONS for d in FLOATS for w in WIDTHS]
    cases += [case(name, d, 8, frozenset({name})) for name in FUNCTIONS for d in FLOATS]
    return Jit([*cases, *(pow_case(d, w) for d in FLOATS for w in WIDTHS)])


def case(name: str, dtype: np.dtype, width: int, outline: frozenset[str] = frozenset()) -> Case:
    return Case(name, FUNCTIONS[name], (dtype,), dtype, width, outline)


def pow_case(dtype: np.dtype, width: int) -> Case:
    return Case("pow", math.pow, (dtype, dtype), dtype, width)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_generated_code_has_the_bits_of_the_numpy_builder(name: str, dtype: np.dtype) -> None:
    x, want = points(dtype), numpy_results(name, dtype)
    for width in WIDTHS:
        wrong = ~same_bits(jit()(case(name, dtype, width), x), want)
        assert not wrong.any(), (width, x[wrong][:5], want[wrong][:5])
    outlined = jit()(case(name, dtype, 8, frozenset({name})), x)
    assert same_bits(outlined, want).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pow_has_the_bits_of_the_numpy_builder(dtype: np.dtype) -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(specials(dtype)[::3], specials(dtype)[::3]))
    x = np.concatenate([x, np.abs(stratified(dtype, 2000, 3))])
    y = np.concatenate([y, stratified(dtype, 2000, 4)])
    want = math.pow(NUMPY, x, y)
    for width in WIDTHS:
        wrong = ~same_bits(jit()(pow_case(dtype, width), x, y), want)
        assert not wrong.any(), (width, x[wrong][:5], y[wrong][:5])


def test_an_outlined_function_is_one_internal_function_per_type() -> None:
    text = jit().text
    for name in FUNCTIONS:
        for suffix in ("v8f32", "v8f64"):
            assert text.count("define internal") > 0
            assert text.count(f"@symc.{name}.{suffix}(") == 2  # defined once, called once


def test_nothing_outside_the_module_is_called() -> None:
    declared = [line for line in jit().text.splitlines() if line.startswith("declare")]
    assert declared
    assert all("@llvm." in line for line in declared)
    libm = ("llvm.exp", "llvm.log", "llvm.sin", "llvm.cos", "llvm.pow", "llvm.tanh", "llvm.ldexp")
    assert not [line for line in declared if any(name in line for name in libm)]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", [n for n in ODD if n in ("sin", "tanh")])
def test_odd(name: str, dtype: np.dtype) -> None:
    x = points(dtype)
    assert same_bits(FUNCTIONS[name](NUMPY, -x), -numpy_results(name, dtype)).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cos_is_even(dtype: np.dtype) -> None:
    x = points(dtype)
    assert same_bits(math.cos(NUMPY, -x), numpy_results("cos", dtype)).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_ranges(dtype: np.dtype) -> None:
    x = points(dtype)
    x = x[~np.isnan(x)]
    one = dtype.type(1)
    for name in ("tanh", "sin", "cos"):
        y = FUNCTIONS[name](NUMPY, x[np.isfinite(x)])
        assert (np.abs(y) <= one).all(), name
    for name in ("sigmoid", "exp", "exp2", "softplus"):
        assert (FUNCTIONS[name](NUMPY, x) >= 0).all(), name
    assert (math.sigmoid(NUMPY, x) <= one).all()
    assert (math.expm1(NUMPY, x) >= -one).all()


INF, NAN = float("inf"), float("nan")
ZEROS_STAY = [(0.0, 0.0), (-0.0, -0.0)]
LOG_POLES = [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-INF, NAN)]
EXACT = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0)],
    "exp2": [(0.0, 1.0), (3.0, 8.0), (-2.0, 0.25), (10.0, 1024.0), (-INF, 0.0), (INF, INF)],
    "expm1": [*ZEROS_STAY, (INF, INF), (-INF, -1.0), (-1e4, -1.0)],
    "log": LOG_POLES,
    "log1p": [*ZEROS_STAY, (-1.0, -INF), (INF, INF), (-1.5, NAN), (-INF, NAN)],
    "log2": [*LOG_POLES, (8.0, 3.0), (0.125, -3.0), (2.0**-140, -140.0)],
    "log10": [*LOG_POLES, (1000.0, 3.0), (1e10, 10.0)],
    "sin": [*ZEROS_STAY, (INF, NAN), (-INF, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN)],
    "tanh": [*ZEROS_STAY, (INF, 1.0), (-INF, -1.0), (25.0, 1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (50.0, 1.0)],
    "softplus": [(-INF, 0.0), (INF, INF), (1e4, 1e4)],
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_exact_cases(name: str, dtype: np.dtype) -> None:
    x, want = np.array([*EXACT[name], (np.nan, np.nan)], dtype).T.copy()
    got = FUNCTIONS[name](NUMPY, x)
    assert same_bits(got, want).all(), (x, got)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ["sin", "tanh", "expm1", "log1p"])
def test_tiny_arguments_are_their_own_image(name: str, dtype: np.dtype) -> None:
    """Down to the last subnormal: nothing is flushed to zero."""
    tiny = np.finfo(dtype).smallest_subnormal
    x = (np.arange(1, 400) * np.float64(tiny)).astype(dtype)
    x = np.concatenate([x, -x, x * dtype.type(2.0**20)])
    assert same_bits(FUNCTIONS[name](NUMPY, x), x).all()


def test_subnormal_results_are_gradual() -> None:
    x = np.linspace(-103.9, -87.4, 2000).astype(np.float32)
    for name in ("exp", "sigmoid", "softplus"):
        got = FUNCTIONS[name](NUMPY, x)
        want = np.exp(x.astype(np.float64))
        assert (np.abs(got - want) <= 2.0**-149).all(), name
        assert (got[x > -103.2] > 0).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("sin", "cos")])
def test_never_decreasing(name: str, dtype: np.dtype) -> None:
    """On runs of consecutive floats, around every seam and elsewhere."""
    integer = np.dtype(f"i{dtype.itemsize}")
    starts = np.concatenate([specials(dtype), stratified(dtype, 400, 5)])
    starts = np.abs(starts[np.isfinite(starts) & (starts != 0)]).view(integer)
    last = np.array(np.finfo(dtype).max).view(integer)
    x = np.clip(starts[:, None] + np.arange(-40, 40, dtype=integer), 0, last).view(dtype)
    for sign in (1, -1):
        run = x * dtype.type(sign)
        y = jit()(case(name, dtype, 8), run.ravel()).reshape(run.shape)
        with np.errstate(invalid="ignore"):
            wrong = (y[:, 1:] < y[:, :-1]) if sign > 0 else (y[:, 1:] > y[:, :-1])
        assert not wrong.any(), run[:, :-1][wrong][:5]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pow_special_operands(dtype: np.dtype) -> None:
    """Every pair of special operands, as IEEE 754 and C have it."""
    big = 2.0 ** np.finfo(dtype).nmant
    values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, big, big * 2 - 1, np.inf, np.finfo(dtype).max]
    values = np.array([*values, *(-v for v in values), np.nan], dtype)
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    got = math.pow(NUMPY, x, y)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(dtype)
        close = np.abs(got - want) <= 2 * np.spacing(np.abs(want))
    wrong = ~(same_bits(got, want) | close)
    assert not wrong.any(), (x[wrong], y[wrong], got[wrong], want[wrong])
    assert (np.signbit(got) == np.signbit(want))[~np.isnan(want)].all()


def test_pow_exact_cases() -> None:
    for dtype in (F32, F64):
        x = np.array([2.0, 3.0, 10.0, 1.5, 0.5, 7.0, -2.0, -3.0, 4.0, 9.0, 2.0], dtype)
        y = np.array([10.0, 4.0, 3.0, 2.0, -3.0, 1.0, 3.0, 2.0, 0.5, 0.5, -30.0], dtype)
        want = np.array([1024, 81, 1000, 2.25, 8, 7, -8, 9, 2, 3, 2.0**-30], dtype)
        assert math.pow(NUMPY, x, y).tolist() == want.tolist()
