"""What custom rules must return, and how their misuse is reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symc as sc

X = np.array([0.3, 1.2, -2.0])
V = np.array([1.0, -0.5, 2.0])

BROKEN = [
    ("no pair", lambda p, t: p[0], "a pair"),
    ("structure", lambda p, t: (p[0], (t[0],)), "structure"),
    ("result structure", lambda p, t: ([p[0]], t[0]), "structure"),
    ("shape", lambda p, t: (p[0], sc.sum(t[0])), r"f64\[3\]"),
]


@pytest.mark.parametrize(("name", "rule", "match"), BROKEN, ids=[b[0] for b in BROKEN])
def test_what_a_tangent_rule_returns_is_checked(name: str, rule: Any, match: str) -> None:
    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * 2.0

    f.defjvp(rule)
    for transform in (lambda: sc.grad(lambda x: sc.sum(f(x)))(X), lambda: sc.jvp(f, (X,), (V,))):
        with pytest.raises(sc.OpContractError, match=match) as caught:
            transform()
        assert "test_custom_checks.py:" in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 6


def test_dtypes_are_checked() -> None:
    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * 2

    f.defjvp(lambda p, t: (f(p[0]), t[0].astype("f64")))
    with pytest.raises(sc.OpContractError, match=r"(?s)tangent.*f64.*f32"):
        sc.grad(lambda x: sc.sum(f(x)))(X.astype(np.float32))


def test_a_rule_must_be_linear_for_reverse_mode() -> None:
    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * 2.0

    f.defjvp(lambda p, t: (f(p[0]), t[0] * t[0]))
    with pytest.raises(sc.OpContractError, match="not linear"):
        sc.grad(lambda x: sc.sum(f(x)))(X)


@pytest.mark.parametrize(
    ("bwd", "match"),
    [
        (lambda r, ct: ct, "a tuple of 2"),
        (lambda r, ct: (ct,), "a tuple of 2"),
        (lambda r, ct: (ct, [ct]), "cotangent that bwd returned"),
        (lambda r, ct: (sc.sum(ct), ct), r"f64\[3\]"),
    ],
)
def test_what_a_reverse_rule_returns_is_checked(bwd: Any, match: str) -> None:
    @sc.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return x * y

    f.defvjp(lambda x, y: (f(x, y), None), bwd)
    with pytest.raises(sc.OpContractError, match=match) as caught:
        sc.grad(lambda x: sc.sum(f(x, V)))(X)
    assert "test_custom_checks.py:" in str(caught.value)


def test_what_fwd_returns_is_checked() -> None:
    @sc.custom_vjp
    def f(x: Any) -> Any:
        return x * 2.0

    f.defvjp(lambda x: f(x), lambda r, ct: (ct,))
    with pytest.raises(sc.OpContractError, match="a pair"):
        sc.grad(lambda x: sc.sum(f(x)))(X)


def test_a_function_without_a_rule() -> None:
    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * 2.0

    np.testing.assert_array_equal(sc.jit(f)(X), 2 * X)
    for transform in (lambda: sc.grad(lambda x: sc.sum(f(x)))(X), lambda: sc.jvp(f, (X,), (V,))):
        with pytest.raises(sc.UnsupportedError, match=r"(?s)derivative of f.*no rule"):
            transform()


def test_misuse() -> None:
    with pytest.raises(sc.DTypeError):
        sc.custom_jvp(3)
    like_sine = sc.custom_vjp(lambda x: x)
    with pytest.raises(sc.DTypeError):
        like_sine.defvjp(1, 2)
    with pytest.raises(sc.ShapeError, match="nondiff_argnums"):
        sc.jit(sc.custom_jvp(lambda x: x, nondiff_argnums=(4,)))(X)

    @sc.custom_jvp
    def f(x: Any, *, k: Any) -> Any:
        return x * k

    with pytest.raises(sc.DTypeError, match="keyword-only"):
        sc.jit(lambda x: f(x, k=2.0))(X)
