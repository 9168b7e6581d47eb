"""`sc.optimize.scipy_args`: value, gradient and Hessian product in the form SciPy takes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess_prod

import symc as sc


def rosenbrock(x: sc.Expr) -> sc.Expr:
    return sc.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def squares(params: dict[str, sc.Expr], x: sc.Expr, y: sc.Expr) -> sc.Expr:
    return sc.sum((x @ params["w"] + params["b"] - y) ** 2)


X0 = np.linspace(-1, 1, 7)


def test_the_three_agree_with_scipys_own() -> None:
    fun, jac, hessp = sc.optimize.scipy_args(rosenbrock)
    p = np.arange(7.0)
    assert isinstance(fun(X0), float)
    np.testing.assert_allclose(fun(X0), rosen(X0), rtol=1e-13)
    np.testing.assert_allclose(jac(X0), rosen_der(X0), rtol=1e-12)
    np.testing.assert_allclose(hessp(X0, p), rosen_hess_prod(X0, p), rtol=1e-12)


@pytest.mark.parametrize("method", ["trust-ncg", "trust-krylov", "Newton-CG", "trust-constr"])
def test_methods_that_take_hessian_products(method: str) -> None:
    found = minimize(x0=X0, method=method, tol=1e-8, **sc.optimize.scipy_args(rosenbrock))
    np.testing.assert_allclose(found.x, np.ones(7), rtol=1e-4)


def test_a_tree_of_parameters_and_further_arguments(rng: np.random.Generator) -> None:
    start = {"w": np.zeros(3, np.float32), "b": 0.0}
    form = sc.optimize.scipy_args(squares, example=start)
    x = rng.normal(size=(20, 3))
    args = (x, x @ [1.0, 2.0, 3.0] + 4.0)
    best = minimize(x0=form.ravel(start), args=args, method="trust-ncg", **form)
    found = form.unravel(best.x)
    assert found["w"].dtype == np.float32
    assert found["w"].shape == (3,)
    np.testing.assert_allclose(found["w"], [1, 2, 3], rtol=1e-5)
    np.testing.assert_allclose(found["b"], 4, rtol=1e-5)


def test_arguments_that_change_in_place_are_read_anew() -> None:
    fun, jac, _ = sc.optimize.scipy_args(lambda x, a: sc.sum(a * x))
    x, a = np.ones(2), np.ones(2)
    assert fun(x, a) == 2
    a[:] = 5
    assert jac(x, a).tolist() == [5, 5]
    assert fun(x, a) == 10


def test_an_objective_in_f32_gives_f64() -> None:
    form = sc.optimize.scipy_args(lambda x: sc.sum(x * x), example=np.zeros((2, 2), np.float32))
    slope = form.jac(np.ones(4))
    assert slope.dtype == np.float64
    assert slope.shape == (4,)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: sc.optimize.scipy_args(3), sc.DTypeError),
        (lambda: sc.optimize.scipy_args(rosenbrock).fun(np.zeros((2, 2))), sc.ShapeError),
        (lambda: sc.optimize.scipy_args(lambda x: x).jac(X0), sc.ShapeError),
        (lambda: sc.optimize.scipy_args(squares, example={"w": "a"}), sc.DTypeError),
        (lambda: sc.optimize.scipy_args(squares, example=X0).fun(np.zeros(3)), sc.ShapeError),
        (lambda: sc.optimize.scipy_args(squares, example=X0).ravel(np.zeros(3)), sc.ShapeError),
        (lambda: sc.optimize.scipy_args(rosenbrock)["hess"], KeyError),
    ],
)
def test_bad_input_is_named(wrong: object, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        wrong()
    if error is not KeyError:
        assert "test_optimize.py" in str(caught.value)
