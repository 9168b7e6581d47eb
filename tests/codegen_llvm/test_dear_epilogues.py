"""Epilogues that take two vectors at once: every width, with and without a tail, static and not."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

WIDTHS = (1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 72, 100, 128, 130)


def _function(a: sc.Expr, b: sc.Expr, c: sc.Expr) -> sc.Expr:
    return sc.tanh(a @ b + c) * sc.sigmoid(c)


def _bits(x: object) -> bytes:
    return np.asarray(x).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 5, 13])
def test_every_width_gives_the_bits_of_its_parts(rows: int, dtype: type) -> None:
    """The product by itself and the elementwise work by itself give the same bits as one kernel."""
    rng = np.random.default_rng(rows)
    whole = sc.jit(_function, contract="chain")
    product = sc.jit(lambda a, b: a @ b, contract="chain")
    rest = sc.jit(lambda p, c: sc.tanh(p + c) * sc.sigmoid(c))
    for width in WIDTHS:
        a = rng.standard_normal((rows, 9)).astype(dtype)
        b = rng.standard_normal((9, width)).astype(dtype)
        c = rng.standard_normal((rows, width)).astype(dtype)
        assert _bits(whole(a, b, c)) == _bits(rest(product(a, b), c)), width


@pytest.mark.parametrize("width", [65, 72, 128, 200])
def test_one_row_streamed(width: int) -> None:
    rng = np.random.default_rng(width)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in ((70,), (70, width), (width,)))
    found = sc.jit(_function, contract="chain")(a, b, c)
    parts = sc.jit(lambda a, b: a @ b, contract="chain")(a, b)
    expected = sc.jit(lambda p, c: sc.tanh(p + c) * sc.sigmoid(c))(parts, c)
    assert _bits(found) == _bits(expected)


def test_the_epilogue_is_one_kernel() -> None:
    f = sc.jit(_function)
    f(np.ones((3, 9)), np.ones((9, 40)), np.ones((3, 40)))
    assert len(f.explain().kernels) == 1


@pytest.mark.parametrize("width", [16, 48, 64, 80, 1000])
def test_row_stages_take_several_vectors(width: int) -> None:
    """Rows of whole vectors, and of others, give the bits of the fixed tree."""
    x = np.random.default_rng(width).standard_normal((7, width))
    found = sc.jit(lambda x: sc.sum(sc.tanh(x) * sc.exp(x), axis=1))(x)
    parts = sc.jit(lambda x: sc.tanh(x) * sc.exp(x))(x)
    assert _bits(found) == _bits(sc.jit(lambda y: sc.sum(y, axis=1))(parts))
