"""Every primitive of the builder: LLVM lanes of every width give the bits of the NumPy builder."""

from __future__ import annotations

import numpy as np
import pytest

from scalar.lanes_jit import Case, Jit, same_bits
from symc.scalar.numpy_builder import NumpyBuilder

BOOL = np.dtype(np.bool_)
FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]
INTS = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
WIDTHS = (1, 8, 16)

UNARY = {
    "neg": FLOATS + INTS,
    "abs": FLOATS + INTS,
    "sqrt": FLOATS,
    "floor": FLOATS,
    "ceil": FLOATS,
    "rint": FLOATS,
    "trunc": FLOATS,
    "bnot": [*INTS, BOOL],
}
BINARY = {
    "add": FLOATS + INTS,
    "sub": FLOATS + INTS,
    "mul": FLOATS + INTS,
    "minimum": FLOATS + INTS,
    "maximum": FLOATS + INTS,
    "div": FLOATS,
    "copysign": FLOATS,
    "floordiv": INTS,
    "mod": INTS,
    "shift_left": INTS,
    "shift_right": INTS,
    "band": [*INTS, BOOL],
    "bor": [*INTS, BOOL],
    "bxor": [*INTS, BOOL],
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
FIXED_SHIFTS = ("lsl", "lsr", "asr")


def special(dtype: np.dtype) -> np.ndarray:
    """The values at which operations go wrong."""
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        near = [0, 1, 2, 3, 5, 7, 8 * dtype.itemsize - 1, 8 * dtype.itemsize, limits.max]
        values = [*near, limits.max - 1, limits.min, limits.min + 1]
        values += [-1, -2, -3, -7] if dtype.kind == "i" else [limits.max // 2]
        return np.array(values, dtype)
    info = np.finfo(dtype)
    half = [0.0, 0.5, 1.0, 1.5, 2.5, 3.0, np.pi, 1e10, 2.0**31, 2.0**32, 2.0**63, 2.0**64]
    ends = [info.max, info.tiny, info.smallest_subnormal, info.tiny / 2, np.inf, 1 + info.eps]
    edges = [2.0**31 - 128, 2.0**info.nmant, 2.0**info.nmant + 0.5, 1.0 - info.epsneg, 127.5, 255.9]
    values = np.array([*half, *ends, *edges], dtype)
    return np.concatenate([values, -values, np.array([np.nan], dtype)])


def sample(dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Random bit patterns, and for floats ordinary numbers too."""
    rng = np.random.default_rng(seed)
    if dtype == BOOL:
        return rng.integers(0, 2, count).astype(bool)
    patterns = rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype)
    if dtype.kind != "f":
        return np.where(rng.random(count) < 0.3, patterns % dtype.type(9), patterns)
    ordinary = rng.standard_normal(count).astype(dtype)
    return np.where(rng.random(count) < 0.3, patterns, ordinary)


def pairs(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of special values, then random pairs."""
    a, b = (grid.ravel() for grid in np.meshgrid(special(dtype), special(dtype)))
    return (
        np.concatenate([a, sample(dtype, 500, 1)]),
        np.concatenate([b, sample(dtype, 500, 2)]),
    )


def unary_cases(width: int) -> list[Case]:
    return [
        Case(name, lambda b, x, name=name: getattr(b, name)(x), (dtype,), dtype, width)
        for name, dtypes in UNARY.items()
        for dtype in dtypes
    ]


def binary_cases(width: int) -> list[Case]:
    named = [(name, dtype, dtype) for name, dtypes in BINARY.items() for dtype in dtypes]
    named += [(name, dtype, BOOL) for name in COMPARISONS for dtype in FLOATS + INTS]
    named += [(name, BOOL, BOOL) for name in ("eq", "ne")]
    return [
        Case(name, lambda b, x, y, name=name: getattr(b, name)(x, y), (dtype, dtype), out, width)
        for name, dtype, out in named
    ]


def cast_cases(width: int) -> list[Case]:
    types = [BOOL, *INTS, *FLOATS]
    return [
        Case("cast", lambda b, x, out=out: b.cast(x, out), (dtype,), out, width)
        for dtype in types
        for out in types
    ]


def shift_cases(width: int) -> list[Case]:
    return [
        Case(f"{name}{count}", lambda b, x, n=name, c=count: getattr(b, n)(x, c), (d,), d, width)
        for name in FIXED_SHIFTS
        for d in INTS
        for count in (1, 7)
    ]


def check(cases: list[Case], arrays: dict[np.dtype, tuple[np.ndarray, ...]]) -> None:
    """One module for all cases; every result against the NumPy builder."""
    jit, numpy = Jit(cases), NumpyBuilder()
    for case in cases:
        inputs = arrays[case.inputs[0]]
        want = case.body(numpy, *inputs)
        got = jit(case, *inputs)
        assert want.dtype == case.output, case
        wrong = ~same_bits(got, want)
        first = [a[wrong][:3] for a in (*inputs, got, want)]
        assert not wrong.any(), (case.symbol, *first)


@pytest.mark.parametrize("width", WIDTHS)
def test_unary(width: int) -> None:
    types = {*FLOATS, *INTS, BOOL}
    arrays = {d: (np.concatenate([special(d), sample(d, 900, 3)]),) for d in types}
    check(unary_cases(width) + shift_cases(width), arrays)


@pytest.mark.parametrize("width", WIDTHS)
def test_binary(width: int) -> None:
    check(binary_cases(width), {d: pairs(d) for d in [*FLOATS, *INTS, BOOL]})


@pytest.mark.parametrize("width", WIDTHS)
def test_cast(width: int) -> None:
    types = {*FLOATS, *INTS, BOOL}
    check(cast_cases(width), {d: (np.concatenate([special(d), sample(d, 900, 4)]),) for d in types})


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_fma_is_rounded_once(dtype: np.dtype) -> None:
    """The NumPy builder's fma equals the hardware's, near cancellation and at the ends of range."""
    values = special(dtype)
    a, b, c = (grid.ravel() for grid in np.meshgrid(values, values, values))
    x, y, z = (sample(dtype, 3000, seed) for seed in (5, 6, 7))
    numpy = NumpyBuilder()
    close = numpy.neg(numpy.mul(x, y))
    inputs = (
        np.concatenate([a, x, x]),
        np.concatenate([b, y, y]),
        np.concatenate([c, z, close]),
    )
    case = Case("fma", lambda b, x, y, z: b.fma(x, y, z), (dtype,) * 3, dtype, 8)
    check([case], {dtype: inputs})


def test_select_table_and_bitcast() -> None:
    f32, i32 = np.dtype(np.float32), np.dtype(np.int32)
    values = (1.5, -2.0, 0.25, 7.0)

    def body(b, x):
        index = b.band(b.bitcast(x, i32), b.const(3, i32))
        looked_up = b.table(values, f32, index)
        return b.select(b.lt(x, b.const(0.0, f32)), looked_up, x)

    cases = [Case("lookup", body, (f32,), f32, width) for width in WIDTHS]
    check(cases, {f32: (np.concatenate([special(f32), sample(f32, 900, 8)]),)})


def _halve(b, x, y):
    return b.mul(x, b.const(0.5, b.dtype(x))), b.add(x, y)


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
def test_rare_runs_the_slow_path_lane_by_lane(share: float) -> None:
    f64 = np.dtype(np.float64)

    def body(b, x):
        mask = b.lt(x, b.const(share, f64))
        first, second = b.rare(mask, (x, b.neg(x)), _halve, (x, x))
        return b.sub(first, second)

    x = np.random.default_rng(9).random(1000)
    check([Case("rare", body, (f64,), f64, width) for width in WIDTHS], {f64: (x,)})
    want = np.where(x < share, 0.5 * x - (x + x), x - -x)
    assert same_bits(body(NumpyBuilder(), x), want).all()


def test_numpy_rare_runs_the_slow_path_on_set_lanes_only() -> None:
    seen = []

    def slow(b, x):
        seen.append(x)
        return b.neg(x)

    x = np.arange(6.0)
    result = NumpyBuilder().rare(x > 3, x, slow, (x,))
    assert result.tolist() == [0, 1, 2, 3, -4, -5]
    assert [s.tolist() for s in seen] == [[4.0, 5.0]]
    NumpyBuilder().rare(x > 9, x, slow, (x,))
    assert len(seen) == 1


def test_no_instruction_is_licensed_to_change_bits() -> None:
    text = Jit([*unary_cases(8), *binary_cases(8)]).text
    for word in (" nsw ", " nuw ", " fast ", " nnan ", " contract ", " reassoc ", " exact "):
        body = "\n".join(line for line in text.splitlines() if " %i" not in line)
        assert word not in body
