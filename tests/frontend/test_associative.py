"""`associative_scan`: all prefixes, on both doors, with derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("reverse", [False, True])
def test_prefixes(rows: int, reverse: bool) -> None:
    x = RNG.normal(size=(2, rows))
    way = slice(None, None, -1 if reverse else 1)
    expected = np.cumprod(x[:, way], axis=1)[:, way]
    found = sc.associative_scan(lambda a, b: a * b, x, reverse=reverse, axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    v = sc.var("x", "f64[2,n]")
    f = sc.function([v], sc.associative_scan(lambda a, b: a * b, v, reverse=reverse, axis=1))
    np.testing.assert_allclose(f(x), expected, rtol=1e-14)


def test_linear_recurrences_and_order_of_arguments() -> None:
    """h[t] = a[t] h[t-1] + b[t], as compositions of affine maps, which do not commute."""
    a, b = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 2))

    def last(a: sc.Expr, b: sc.Expr) -> sc.Expr:
        return sc.associative_scan(lambda f, g: (g[0] * f[0], g[0] * f[1] + g[1]), (a, b))[1]

    h, expected = np.zeros(2), []
    for t in range(9):
        h = a[t] * h + b[t]
        expected.append(h)
    np.testing.assert_allclose(sc.jit(last)(a, b), expected, rtol=1e-12)
    assert "symc.scan" not in sc.function([v := sc.var("v", "f64[9,2]")], last(v, v)).ir("traced")
    sc.check_grads(lambda a, b: sc.sum(last(a, b) ** 2), (a, b), order=1)


def test_products_of_matrices() -> None:
    m = RNG.normal(size=(5, 2, 2))
    found = sc.associative_scan(lambda a, b: a @ b, m)
    expected = [m[0]]
    for row in m[1:]:
        expected.append(expected[-1] @ row)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: sc.associative_scan(lambda a, b: (a, b), x), sc.ShapeError),
        (lambda x: sc.associative_scan(lambda a, b: a[:, :1], x), sc.ShapeError),
        (lambda x: sc.associative_scan(lambda a, b: (a + b).astype("f32"), x), sc.DTypeError),
        (lambda x: sc.associative_scan(lambda a, b: a + b, x, axis=2), sc.ShapeError),
        (lambda x: sc.associative_scan(lambda a, b: a, (x, x[:3])), sc.ShapeError),
        (lambda x: sc.associative_scan(3, x), sc.DTypeError),
    ],
)
def test_wrong_uses_name_the_line(call: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"at: .*test_associative\.py"):
        call(np.ones((6, 2)))
