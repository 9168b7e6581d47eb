"""Fit the polynomials of the math library and write `src/symc/scalar/coefficients.py`.

What it is: a Remez exchange in mpmath at 200 bits.  Each polynomial is fitted again after each of
its leading coefficients has been rounded to the target format, so that rounding them costs nothing.

before: a table of functions, intervals, weights and degrees (`FITS`)
after:  a Python module of hexadecimal constants, exact in the target format

Run `python tools/fit_minimax.py` to write the module, `--check` to print the errors only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.prec = 200
Real = mp.mpf
Curve = Callable[[Real], Real]
TARGET = Path(__file__).resolve().parent.parent / "src/symc/scalar/coefficients.py"
# The reduction of sin and cos may miss the nearest multiple of pi/2 by this much.
SLACK = {"f32": mp.mpf("1.004"), "f64": mp.mpf("1.00001")}
TABLE = TARGET.with_name("log_table.py")
FIRST = 0x3FE6955500000000  # the least significand of the table, as bits
WORDS = 37  # of 2/pi, 32 bits each
GRID = 60  # sample points between two neighbouring extrema


@dataclass(frozen=True, slots=True)
class Fit:
    """One polynomial: `target(x) ~ sum c_i x^i` on [lo, hi], minimax of `weight(x) * error`."""

    name: str
    dtype: str
    degree: int
    lo: Real
    hi: Real
    target: Curve
    weight: Curve
    rounded: int = 2  # leading coefficients rounded one by one, with a new fit after each


def solve(points: list[Real], fit: Fit, known: list[Real]) -> tuple[list[Real], Real]:
    """Coefficients beyond `known` that make the weighted error alternate on `points`."""
    first, last = len(known), fit.degree
    rows, right = [], []
    for i, x in enumerate(points):
        weight = fit.weight(x)
        rest = fit.target(x) - evaluate(known, x)
        rows.append([weight * x**k for k in range(first, last + 1)] + [mp.mpf((-1) ** i)])
        right.append(weight * rest)
    solution = mp.lu_solve(mp.matrix(rows), mp.matrix(right))
    return known + [solution[i] for i in range(last + 1 - first)], solution[last + 1 - first]


def evaluate(coefficients: list[Real], x: Real) -> Real:
    """The polynomial at x."""
    total = mp.mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def extrema(error: Callable[[Real], Real], grid: list[Real]) -> list[Real]:
    """The points of largest |error| between consecutive sign changes."""
    values = [error(x) for x in grid]
    found: list[tuple[Real, Real]] = []
    for x, value in zip(grid, values, strict=True):
        if found and mp.sign(found[-1][1]) == mp.sign(value):
            if abs(value) > abs(found[-1][1]):
                found[-1] = (x, value)
        elif value != 0:
            found.append((x, value))
    return [x for x, _ in found]


def remez(fit: Fit, known: list[Real]) -> tuple[list[Real], Real]:
    """Minimax coefficients that begin with `known`, and the largest weighted error."""
    count = fit.degree + 2 - len(known)
    middle, half = (fit.hi + fit.lo) / 2, (fit.hi - fit.lo) / 2
    cosines = [mp.cos(mp.pi * i / (count * GRID)) for i in range(count * GRID + 1)]
    grid = [middle - half * c for c in cosines]
    points = [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    coefficients, worst = known, mp.mpf(0)
    for _ in range(30):
        coefficients, level = solve(points, fit, known)

        def error(x: Real, c: list[Real] = coefficients) -> Real:
            return fit.weight(x) * (fit.target(x) - evaluate(c, x))

        candidates = extrema(error, grid)
        worst = max(abs(error(x)) for x in candidates)
        if len(candidates) < count or worst < abs(level) * mp.mpf("1.001"):
            break
        while len(candidates) > count:
            ends = abs(error(candidates[0])) < abs(error(candidates[-1]))
            candidates.pop(0 if ends else -1)
        points = candidates
    return coefficients, worst


def rounded(value: Real, dtype: str) -> Real:
    """`value` rounded once to the format (mpmath at 24 or 53 bits; no subnormals occur here)."""
    with mp.workprec(24 if dtype == "f32" else 53):
        return +value


def run(fit: Fit) -> tuple[list[Real], Real, Real]:
    """Rounded coefficients, the ideal weighted error and the one after rounding."""
    known: list[Real] = []
    coefficients, ideal = remez(fit, known)
    for _ in range(min(fit.rounded, fit.degree)):
        known.append(rounded(coefficients[len(known)], fit.dtype))
        coefficients, _ = remez(fit, known)
    final = [rounded(c, fit.dtype) for c in coefficients]
    steps = [fit.lo + (fit.hi - fit.lo) * i / 500 for i in range(501)]
    actual = max(abs(fit.weight(x) * (fit.target(x) - evaluate(final, x))) for x in steps)
    return final, ideal, actual


def series(x: Real, exact: Callable[[Real], Real], limit: Real) -> Real:
    """`exact(x)`, or its limit where it is 0/0."""
    return limit if abs(x) < mp.mpf(10) ** -25 else exact(x)


def exp_fit(dtype: str, degree: int) -> Fit:
    """e^r = 1 + r + r^2 Q(r)."""
    edge = mp.log(2) / 2 * (1 + mp.mpf("2e-6"))
    return Fit(
        f"EXP_{dtype.upper()}",
        dtype,
        degree,
        -edge,
        edge,
        lambda r: series(r, lambda r: (mp.expm1(r) - r) / r**2, mp.mpf("0.5")),
        lambda r: r**2 * mp.exp(-r),
    )


def sharp_exp_fit(degree: int) -> Fit:
    """The same in f32, sharper toward the lower end, where a result has the fewest units."""
    fit = exp_fit("f32", degree)
    span = fit.hi - fit.lo

    def weight(r: Real) -> Real:
        return fit.weight(r) * (1 + 8 * ((fit.hi - r) / span) ** 2)

    return replace(fit, name="EXP_SHARP_F32", weight=weight, rounded=3)


def expm1_fit(dtype: str, degree: int) -> Fit:
    """The same with a small error relative to e^r - 1."""
    return replace(
        exp_fit(dtype, degree),
        name=f"EXPM1_{dtype.upper()}",
        weight=lambda r: series(r, lambda r: abs(r**2 / mp.expm1(r)), mp.mpf(0)),
    )


def log_fit(dtype: str, degree: int, lo: Real, hi: Real) -> Fit:
    """log(1 + f) = f - f^2/2 + f^3 P(f)."""
    return Fit(
        f"LOG_{dtype.upper()}",
        dtype,
        degree,
        lo,
        hi,
        lambda f: series(f, lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, mp.mpf(1) / 3),
        lambda f: series(f, lambda f: abs(f**3 / mp.log1p(f)), mp.mpf(0)),
    )


def log_base_fit(name: str, degree: int, base: Real) -> Fit:
    """log(1 + f) / log(base) = f / log(base) + f^2 P(f), 1 + f in [43/64, 43/32], in f32."""
    scale = 1 / mp.log(base)
    return Fit(
        name,
        "f32",
        degree,
        mp.mpf(-21) / 64,
        mp.mpf(11) / 32,
        lambda f: series(f, lambda f: scale * (mp.log1p(f) - f) / f**2, -scale / 2),
        lambda f: series(f, lambda f: abs(f**2 / mp.log1p(f) / scale), mp.mpf(0)),
    )


def log_ratio_fit(name: str, degree: int, most: Real) -> Fit:
    """log((1 + s)/(1 - s)) = 2s + s z L(z), z = s^2."""
    edge = ((most - 1) / (most + 1)) ** 2 * (1 + mp.mpf("1e-6"))

    def value(z: Real) -> Real:
        s = mp.sqrt(z)
        return (mp.log1p(s) - mp.log1p(-s) - 2 * s) / (s * z)

    return Fit(
        name,
        "f64",
        degree,
        mp.mpf(0),
        edge,
        lambda z: series(z, value, mp.mpf(2) / 3),
        lambda z: z,
    )


def tanh_fit(dtype: str, degree: int, edge: str) -> Fit:
    """tanh(x) = x + x u P(u), u = x^2."""

    def value(u: Real) -> Real:
        x = mp.sqrt(u)
        return (mp.tanh(x) / x - 1) / u

    def weight(u: Real) -> Real:
        x = mp.sqrt(u)
        return u * series(x, lambda x: x / mp.tanh(x), mp.mpf(1))

    limit = -mp.mpf(1) / 3
    return Fit(
        f"TANH_{dtype.upper()}",
        dtype,
        degree,
        mp.mpf(0),
        mp.mpf(edge) ** 2,
        lambda u: series(u, value, limit),
        weight,
    )


def tanh_divisor_fit(degree: int, edge: str) -> Fit:
    """tanh(x) = x - x u / D(u), u = x^2: D has its nearest pole at u = -20."""

    def value(u: Real) -> Real:
        x = mp.sqrt(u)
        return u / (1 - mp.tanh(x) / x)

    def weight(u: Real) -> Real:
        x = mp.sqrt(u)
        rest = series(u, lambda _: 1 - mp.tanh(x) / x, mp.mpf(0))
        return rest / (series(u, value, mp.mpf(3)) * (1 - rest))

    return Fit(
        "TANH_F32",
        "f32",
        degree,
        mp.mpf(0),
        mp.mpf(edge) ** 2,
        lambda u: series(u, value, mp.mpf(3)),
        weight,
        rounded=3,
    )


def sin_fit(dtype: str, degree: int) -> Fit:
    """sin(r) = r + r u S(u)."""

    def value(u: Real) -> Real:
        r = mp.sqrt(u)
        return (mp.sin(r) / r - 1) / u

    edge = (mp.pi / 4 * SLACK[dtype]) ** 2
    limit = -mp.mpf(1) / 6
    return Fit(
        f"SIN_{dtype.upper()}",
        dtype,
        degree,
        mp.mpf(0),
        edge,
        lambda u: series(u, value, limit),
        lambda u: u,
    )


def cos_fit(dtype: str, degree: int) -> Fit:
    """cos(r) = 1 - u/2 + u^2 C(u)."""

    def value(u: Real) -> Real:
        return (mp.cos(mp.sqrt(u)) - 1 + u / 2) / u**2

    edge = (mp.pi / 4 * SLACK[dtype]) ** 2
    return Fit(
        f"COS_{dtype.upper()}",
        dtype,
        degree,
        mp.mpf(0),
        edge,
        lambda u: series(u, value, mp.mpf(1) / 24),
        lambda u: u * u,
    )


FITS = (
    exp_fit("f32", 4),
    exp_fit("f64", 9),
    sharp_exp_fit(4),
    expm1_fit("f32", 5),
    expm1_fit("f64", 10),
    log_fit("f32", 7, mp.mpf("-0.25"), mp.mpf("0.5")),
    log_base_fit("LOG2_F32", 8, mp.mpf(2)),
    log_base_fit("LOG10_F32", 8, mp.mpf(10)),
    log_ratio_fit("LOG_RATIO_F64", 6, mp.sqrt(2)),
    log_ratio_fit("LOG_RATIO_SHORT", 3, mp.mpf("1.5")),
    replace(log_ratio_fit("LOG_RATIO_F32", 2, mp.mpf("1.5")), dtype="f32"),
    replace(log_fit("f64", 6, mp.mpf("-0.0068"), mp.mpf("0.0068")), name="LOG_TABLE_F64"),
    tanh_divisor_fit(3, "1"),
    tanh_fit("f64", 11, "0.65"),
    sin_fit("f32", 2),
    sin_fit("f64", 6),
    cos_fit("f32", 2),
    cos_fit("f64", 5),
)

HEADER = '''"""Minimax coefficients of the math library, lowest degree first.

Written by `tools/fit_minimax.py`; change them there.  Every number is exact in its format.
"""

from __future__ import annotations

from typing import Final


def _hex(*digits: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in digits)

'''


def hexadecimal(value: Real, dtype: str) -> str:
    """A Python hexadecimal float; the value must be exact in the format."""
    number = float(value)
    assert dtype == "f64" or float(np.float32(number)) == number
    return number.hex()


def split(value: Real, count: int, dtype: str) -> list[Real]:
    """A sum of `count` numbers of one sign that agrees with `value` to all their bits."""
    found: list[Real] = []
    for _ in range(count):
        rest = value - mp.fsum(found)
        nearest = rounded(rest, dtype)
        step = mp.mpf(2) ** (mp.frexp(nearest)[1] - (24 if dtype == "f32" else 53))
        found.append(nearest if nearest < rest else nearest - step)
    return found


def named(name: str, values: list[Real], dtype: str) -> str:
    """An assignment of several constants."""
    rows = "".join(f'    "{hexadecimal(c, dtype)}",\n' for c in values)
    return f"{name}: Final = _hex(\n{rows})\n"


def constants_text() -> str:
    """Split constants, and the binary expansion of 2/pi in words of 32 bits."""
    text = []
    for dtype in ("f32", "f64"):
        for name, value, count in (("HALF_PI", mp.pi / 2, 3), ("LN2_FULL", mp.log(2), 2)):
            text.append(named(f"{name}_{dtype.upper()}", split(value, count, dtype), dtype))
    for name, value in (
        ("TWO_PI", 2 * mp.pi),
        ("LOG2_E", 1 / mp.log(2)),
        ("LOG10_E", 1 / mp.log(10)),
    ):
        text.append(named(name, split(value, 2, "f64"), "f64"))
    first = mp.floor(mp.log10(2) * 2**41) / mp.mpf(2) ** 41  # times an exponent it is exact
    text.append(named("LOG10_2", [first, rounded(mp.log10(2) - first, "f64")], "f64"))
    with mp.workprec(2000):
        bits = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (32 * WORDS)))
    words = [bits >> (32 * (WORDS - 1 - i)) & 0xFFFFFFFF for i in range(WORDS)]
    rows = "".join(f"    0x{word:08X},\n" for word in [0, 0, *words])
    text.append(f"# Two zero words, then 2/pi.\nTWO_OVER_PI: Final = (\n{rows})\n")
    return "\n" + "".join(text)


def module_text(results: dict[str, tuple[str, list[Real], Real]]) -> str:
    """The module of constants."""
    text = [HEADER, constants_text()]
    for name, (dtype, coefficients, error) in results.items():
        note = f"# largest weighted error 2^{float(mp.log(error, 2)):.2f}\n"
        text.append(f"\n{note}{named(name, coefficients, dtype)}")
    return "".join(text)


TABLE_HEADER = '''"""Table for pow: 1/c and log c for 128 intervals of the significand.

Written by `tools/fit_minimax.py`.  Interval i begins at the float with bits FIRST + (i << 45).  1/c
has so few bits that z/c - 1 is exact; log c is in two parts, the first a multiple of 2^-42.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 0x{first:X}


def _hex(*digits: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in digits)

'''


def table_text() -> str:
    """The module of the table."""
    rows: list[tuple[Real, Real, Real]] = []
    for i in range(128):
        ends = np.array([FIRST + (i << 45), FIRST + ((i + 1) << 45)], np.int64).view(np.float64)
        middle = mp.mpf(float(ends[0])) / 2 + mp.mpf(float(ends[1])) / 2
        steps = 128 if middle < 1 else 256
        inverse = mp.nint(steps / middle) / steps
        high = mp.nint(-mp.log(inverse) * 2**42) / mp.mpf(2) ** 42
        rows.append((inverse, high, rounded(-mp.log(inverse) - high, "f64")))
    text = [TABLE_HEADER.format(first=FIRST)]
    for name, column in zip(("INVERSE", "LOG", "LOG_LOW"), zip(*rows, strict=True), strict=True):
        text.append("\n" + named(name, list(column), "f64"))
    return "".join(text)


def main() -> None:
    """Fit all and write the module, or only print the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="print the errors, write nothing")
    only_check = parser.parse_args().check
    results = {}
    for fit in FITS:
        coefficients, ideal, actual = run(fit)
        logs = [f"2^{float(mp.log(e, 2)):.2f}" for e in (ideal, actual)]
        print(f"{fit.name:14} degree {fit.degree:2}  ideal {logs[0]}  rounded {logs[1]}")
        results[fit.name] = (fit.dtype, coefficients, actual)
    if not only_check:
        TARGET.write_text(module_text(results))
        TABLE.write_text(table_text())


if __name__ == "__main__":
    main()
