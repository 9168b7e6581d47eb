"""Contractions are formed where they pay: rows and near misses, counts on compiled programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc
from passes.rows import check
from symc.passes import contractions
from symc.passes.pattern import Rule

RNG = np.random.default_rng(0)


def small(*shape: int) -> np.ndarray:
    """Small integers, on which every order of summation gives the same bits."""
    return RNG.integers(-4, 5, shape).astype(np.float32)


def dots(f: Any) -> int:
    """Contractions of a compiled function."""
    return f.ir("optimized").count('"symc.dot"')


def kernels(f: Any) -> int:
    return len(f.explain().kernels)


@pytest.mark.parametrize("rule", contractions.RULES.rules, ids=lambda rule: rule.name)
def test_row(rule: Rule) -> None:
    check(rule, "contractions")


A, B, V, W = small(6, 4), small(4, 5), small(4), small(6)
FORMED: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "none indices": (lambda n, a, b: n.sum(a[:, :, None] * b[None], axis=1), (A, B)),
    "expand_dims": (lambda n, a, b: n.sum(n.expand_dims(a, 2) * 2.0 * b, axis=1), (A, B)),
    "transposed": (lambda n, a, b: n.sum(a[:, None, :] * b.T[None], axis=-1), (A, B)),
    "right first": (lambda n, a, b: n.sum(b.T[:, None, :] * a[None], axis=-1), (A, B)),
    "keepdims": (lambda n, a, b: n.sum(a[:, :, None] * b, axis=1, keepdims=True), (A, B)),
    "mean": (lambda n, a, b: n.mean(-a[:, :, None] * b[None], axis=1), (A, B)),
    "matrix, vector": (lambda n, a, v: n.sum(a * v, axis=1), (A, V)),
    "vector, matrix": (lambda n, a, w: n.sum(a * w[:, None], axis=0), (A, W)),
    "batch": (
        lambda n, a, b: n.sum(a[..., None] * b[:, None], axis=-2),
        (small(3, 6, 4), small(3, 4, 5)),
    ),
    "two axes": (
        lambda n, a, b: n.sum(a[..., None] * b[:, None], axis=(0, -2)),
        (small(3, 6, 4), small(3, 4, 5)),
    ),
    "integers": (
        lambda n, a, b: n.sum(a[:, :, None] * b[None], axis=1),
        (A.astype(np.int64), B.astype(np.int64)),
    ),
}


@pytest.mark.parametrize("name", FORMED)
def test_written_with_broadcasts_it_is_one_contraction(name: str) -> None:
    f, given = FORMED[name]
    compiled = sc.jit(lambda *args: f(sc, *args), cache=False)
    np.testing.assert_array_equal(np.asarray(compiled(*given)), f(np, *given))
    assert dots(compiled) == 1
    chained = sc.jit(lambda *args: f(sc, *args), cache=False, contract="chain")
    np.testing.assert_array_equal(np.asarray(chained(*given)), f(np, *given))
    assert dots(chained) == 0


def test_no_product_is_stored() -> None:
    """Operands and result are all that moves."""
    m, k, n = 60, 40, 50
    f = sc.jit(lambda a, b: sc.sum(a[:, :, None] * b[None], axis=1), cache=False)
    f(small(m, k), small(k, n))
    assert kernels(f) == 1
    assert f.cost().bytes == 4 * (m * k + k * n + m * n)
    assert f.cost().workspace == 0


LEFT: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "sum of squares": (lambda a: sc.sum(a * a), (A,)),
    "rows of products": (lambda a: sc.sum(a * (a + 1.0), axis=1), (A,)),
    "a computed matrix": (lambda a, v: sc.sum(sc.exp(a) * v, axis=1), (A, V)),
    "a matrix that others read": (
        lambda a, w: sc.sum(a * w[:, None], axis=0) + sc.sum(a, axis=0),
        (A, W),
    ),
    "dot of vectors": (lambda v: sc.dot(v, v), (V,)),
    "einsum of rows": (lambda a: sc.einsum("ij,ij->i", a, a), (A,)),
    "outer": (lambda v, w: sc.einsum("i,j->ij", v, w), (V, W)),
    "trace of a product": (lambda a: sc.einsum("ij,ji->", a, sc.permute_dims(a, (1, 0))), (A,)),
}


@pytest.mark.parametrize("name", LEFT)
def test_where_a_sum_is_faster_it_stays_one(name: str) -> None:
    f, given = LEFT[name]
    compiled = sc.jit(f, cache=False)
    compiled(*given)
    assert dots(compiled) == 0
    assert kernels(compiled) == 1


def test_several_products_in_one_sum() -> None:
    f = sc.jit(
        lambda a, b: sc.sum(a[:, :, None] * b - (a + 1.0)[:, :, None] * (b * b), axis=1),
        cache=False,
    )
    wanted = np.sum(A[:, :, None] * B - (A + 1)[:, :, None] * (B * B), axis=1)
    np.testing.assert_array_equal(np.asarray(f(A, B)), wanted)
    assert dots(f) == 2


def test_a_third_factor_needs_fast() -> None:
    def weighted(a: Any, b: Any, w: Any) -> Any:
        return (a[:, :, None] * b * w[:, None, None]).sum(axis=1)

    wanted = np.sum(A[:, :, None] * B * W[:, None, None], axis=1)
    for numerics, count in (("strict", 0), ("fast", 1)):
        f = sc.jit(weighted, cache=False, numerics=numerics)
        np.testing.assert_array_equal(np.asarray(f(A, B, W)), wanted)
        assert dots(f) == count


def test_the_gradient_of_a_formed_contraction_has_contractions_only_if_licensed() -> None:
    def loss(a: Any, b: Any) -> Any:
        return sc.sum(sc.tanh(sc.sum(a[:, :, None] * b[None], axis=1)))

    def slopes(a: Any, b: Any) -> Any:
        return sc.grad(loss, argnums=(0, 1))(a, b)

    f = sc.jit(slopes, cache=False, numerics="fast")
    strict = sc.jit(slopes, cache=False)
    by_hand = sc.jit(
        lambda a, b: sc.grad(lambda a, b: sc.sum(sc.tanh(a @ b)), argnums=(0, 1))(a, b),
        cache=False,
    )
    for rows in zip(f(A, B), strict(A, B), by_hand(A, B), strict=True):
        # 1 - y * y, rounded once under the licence, is small beside its operands.
        np.testing.assert_allclose(rows[0], rows[2], rtol=1e-6, atol=2e-7)
        np.testing.assert_allclose(rows[1], rows[2], rtol=1e-6)
    assert dots(strict) == 1
    assert dots(f) == dots(by_hand) == 3
    assert f.cost().bytes == by_hand.cost().bytes


def test_what_is_not_selected_stays_out_of_sums_of_products() -> None:
    """A contraction formed before differentiating would multiply an infinite slope by 0."""
    x, mask = np.array([[0.0, 0, 0], [1, 2, 3]]), np.array([False, True])

    def picked(w: Any) -> Any:
        return sc.sum(sc.where(mask, sc.sum(sc.log(x) * w, axis=1), 0.0))

    expected = [0, np.log(2), np.log(3)]
    for slope in (sc.grad(picked), sc.jit(sc.grad(picked))):
        np.testing.assert_allclose(slope(np.ones(3)), expected, rtol=1e-15)


def test_symbolic_sizes() -> None:
    x, y = sc.var("x", "f64[m,k]"), sc.var("y", "f64[k,3]")
    f = sc.function([x, y], sc.sum(x[:, :, None] * y[None], axis=1), cache=False)
    assert dots(f) == 1
    for rows, terms in ((0, 2), (1, 1), (5, 0), (7, 9)):
        a, b = small(rows, terms).astype(float), small(terms, 3).astype(float)
        np.testing.assert_array_equal(f(a, b), a @ b)
