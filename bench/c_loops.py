"""Recurrences in C, compiled when asked for: what a loop in registers is held to.

`-O3 -march=native`, with `-ffp-contract=off` (every operation rounded, as `numerics="strict"` means
it) or without (products and sums fused, as `numerics="fast"` may do).
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.timing import Run

SOURCE = """
#include <stdint.h>

void ar1(double a, double h, const double *x, double *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    h = a * h + x[i];
    y[i] = h;
  }
}

void matrix(const double *restrict a, double *restrict h, int64_t n) {
  double s[9], u[9];
  for (int i = 0; i < 9; i++) s[i] = h[i];
  for (int64_t t = 0; t < n; t++) {
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++)
        u[3 * i + j] = a[3 * i] * s[j] + a[3 * i + 1] * s[3 + j] + a[3 * i + 2] * s[6 + j];
    for (int i = 0; i < 9; i++) s[i] = u[i];
  }
  for (int i = 0; i < 9; i++) h[i] = s[i];
}
"""


def library(*flags: str) -> ctypes.CDLL:
    """The functions of `SOURCE`, compiled with `cc -O3 -march=native` and `flags`."""
    folder = Path(tempfile.mkdtemp(prefix="symc-bench-"))
    source, made = folder / "loops.c", folder / "loops.so"
    source.write_text(SOURCE)
    command = ["cc", "-O3", "-march=native", *flags, "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(made), str(source)], check=True)
    return ctypes.CDLL(str(made))


def ar1(c: ctypes.CDLL, a: float, x: np.ndarray) -> Run:
    """h = a h + x[t], every h kept."""
    y = np.empty_like(x)
    arguments = (ctypes.c_double(a), ctypes.c_double(0), _at(x), _at(y), ctypes.c_int64(len(x)))

    def run() -> object:
        c.ar1(*arguments)
        return y  # which also keeps the memory that C writes

    return run


def matrix(c: ctypes.CDLL, a: np.ndarray, steps: int) -> Run:
    """h = a h of 3x3 matrices, `steps` times from the identity."""
    h, start = np.empty((3, 3)), np.eye(3)
    arguments = (_at(a), _at(h), ctypes.c_int64(steps))

    def run() -> object:
        h[...] = start
        return c.matrix(*arguments)

    return run


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
