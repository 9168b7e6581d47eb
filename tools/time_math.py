"""Time the math library: nanoseconds per element, one thread, arrays in the first-level cache.

before: a build of the test harness (`tests/scalar/lanes_jit.py`)
after:  a table in Markdown on standard output, with NumPy's own functions beside it

Run `PYTHONPATH=src:tests python tools/time_math.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from scalar.lanes_jit import Case, Jit
from scalar.math_points import FLOATS, FUNCTIONS, POSITIVE
from symc.scalar import math

SIZE, ROUNDS = 4096, 1000
WIDTHS = (8, 16)


def arguments(name: str, dtype: np.dtype, count: int) -> list[np.ndarray]:
    """Ordinary numbers, none of which takes a slow path."""
    rng = np.random.default_rng(0)
    low = 0.01 if name in (*POSITIVE, "pow") else -0.9 if name == "log1p" else -4.0
    return [rng.uniform(low, 4.0, SIZE).astype(dtype) for _ in range(count)]


def least_time(run: Callable[[], object]) -> float:
    """The least of many runs, in seconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def per_element(jit: Jit, case: Case, inputs: list[np.ndarray]) -> float:
    """Nanoseconds per element, the cost of an empty call subtracted."""
    function, out = jit.function(case), np.empty(SIZE, case.output)
    pointers = [array.ctypes.data for array in (*inputs, out)]
    full = least_time(lambda: function(*pointers, SIZE))
    return (full - least_time(lambda: function(*pointers, 0))) / SIZE * 1e9


def numpy_time(name: str, inputs: list[np.ndarray]) -> str:
    """NumPy's time for the same, where it has the function."""
    function = getattr(np, {"pow": "power"}.get(name, name), None)
    if function is None:
        return ""
    out, empty = np.empty_like(inputs[0]), [array[:0] for array in inputs]
    full = least_time(lambda: function(*inputs, out=out))
    return f"{(full - least_time(lambda: function(*empty))) / SIZE * 1e9:.2f}"


def main() -> None:
    """Print the table."""
    functions = {**FUNCTIONS, "pow": math.pow}
    cases = {
        (name, dtype, width): Case(name, body, (dtype,) * (1 + (name == "pow")), dtype, width)
        for name, body in functions.items()
        for dtype in FLOATS
        for width in WIDTHS
    }
    jit = Jit(list(cases.values()))
    heads = [f"{dtype} {by}" for dtype in FLOATS for by in (*(f"x{w}" for w in WIDTHS), "NumPy")]
    print("| function | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for name in functions:
        cells = []
        for dtype in FLOATS:
            inputs = arguments(name, dtype, 1 + (name == "pow"))
            times = [per_element(jit, cases[name, dtype, width], inputs) for width in WIDTHS]
            cells += [*(f"{t:.2f}" for t in times), numpy_time(name, inputs)]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
