"""Derivatives on both doors."""

import numpy as np
import pytest

import symc as sc
from symc.frontend import eager

HERE = r"(.|\n)*test_transforms.py:\d+"
RNG = np.random.default_rng(7)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_grad_of_a_function():
    x, y = RNG.random(3), RNG.random(3)
    f = lambda a, b: sc.sum(a * a * b)  # noqa: E731
    close(sc.grad(f)(x, y), 2 * x * y)
    close(sc.grad(f, argnums=1)(x, y), x * x)
    for got, want in zip(sc.grad(f, argnums=(0, 1))(x, y), (2 * x * y, x * x), strict=True):
        close(got, want)
    value, slope = sc.value_and_grad(f)(x, y)
    close(value, (x * x * y).sum())
    close(slope, 2 * x * y)
    close(sc.jit(sc.grad(f))(x, y), 2 * x * y)
    close(sc.grad(sc.jit(f))(x, y), 2 * x * y)
    close(sc.grad(f, argnums=-1)(x, y), x * x)
    close(sc.grad(lambda v: v**4.0)(2.0), 32)
    assert sc.grad(lambda v: sc.sum(v * 2.0))(np.ones(2, np.float32)).dtype == np.float32


def test_trees_and_auxiliary_results():
    def f(params, x):
        out = x @ params["w"] + params["b"][0]
        return sc.mean(out**2), {"out": out}

    params = {"w": RNG.random(3), "b": (RNG.random(),)}
    x = RNG.random((4, 3))
    out = x @ params["w"] + params["b"][0]
    (value, aux), grads = sc.value_and_grad(f, has_aux=True)(params, x)
    close(value, (out**2).mean())
    close(aux["out"], out)
    close(grads["w"], 2 * x.T @ out / 4)
    close(grads["b"][0], 2 * out.mean())
    grads, aux = sc.grad(f, has_aux=True)(params, x)
    close(aux["out"], out)


def test_higher_derivatives():
    f = lambda x: sc.sum(x**3.0)  # noqa: E731
    x, v = RNG.random(4), RNG.random(4)
    close(sc.grad(lambda y: sc.sum(sc.grad(f)(y) * v))(x), 6 * x * v)
    close(sc.hvp(f, (x,), (v,)), 6 * x * v)
    third = sc.grad(sc.grad(sc.grad(lambda s: s**5.0)))
    close(third(1.5), 60 * 1.5**2)


def test_jvp_vjp_linearize():
    f = lambda a, b: {"p": a * b, "s": sc.sin(a)}  # noqa: E731
    a, b, u, v = RNG.random((4, 3))
    out, tangent = sc.jvp(f, (a, b), (u, v))
    close(out["p"], a * b)
    close(tangent["p"], u * b + a * v)
    close(tangent["s"], np.cos(a) * u)
    out, pull = sc.vjp(f, a, b)
    close(out["s"], np.sin(a))
    da, db = pull({"p": u, "s": v})
    close(da, u * b + np.cos(a) * v)
    close(db, u * a)
    _, push = sc.linearize(f, a, b)
    close(push(u, v)["p"], u * b + a * v)
    out, pull, aux = sc.vjp(lambda x: (x * 2, x.shape[0]), a, has_aux=True)
    close(pull(u)[0], 2 * u)
    assert aux == 3

    @sc.jit
    def both(a, b, u, v):
        out, pull = sc.vjp(f, a, b)
        return sc.jvp(f, (a, b), (u, v))[1], pull(out)

    tangent, (da, _) = both(a, b, u, v)
    close(tangent["p"], u * b + a * v)
    close(da, a * b * b + np.cos(a) * np.sin(a))


def test_an_argument_that_is_also_captured_counts_once():
    @sc.jit
    def f(x):
        return sc.grad(lambda y: sc.sum(x * y))(x)

    x = RNG.random(3)
    close(f(x), x)


def test_captured_arrays_are_inputs_of_the_content():
    k = np.array([2.0, 3.0])
    slope = sc.grad(lambda a: sc.sum(a * k))
    close(slope(np.ones(2)), [2, 3])
    before = len(eager._contents)
    k[:] = 7
    close(slope(np.ones(2)), [7, 7])
    square = lambda a: sc.sum(a * a)  # noqa: E731
    sc.grad(square)(np.ones(3))
    known = len(eager._contents)
    assert known == before + 1
    for n in range(2, 9):
        close(sc.grad(lambda a: sc.sum(a * a))(np.ones(n)), np.full(n, 2.0))
    assert len(eager._contents) == known
    w = sc.shared(np.ones(2), "w")
    pulled = sc.grad(lambda a: sc.sum(a * w))
    close(pulled(np.ones(2)), [1, 1])
    w.set([4.0, 5.0])
    close(pulled(np.ones(2)), [4, 5])


def test_grad_of_expressions():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[n]")
    cost = sc.sum(sc.tanh(x) * y)
    a, b = RNG.random((2, 5))
    single = sc.grad(cost, x)
    listed = sc.grad(cost, [x, y])
    paired = sc.grad(cost, (x,))
    assert type(listed) is list
    assert type(paired) is tuple
    f = sc.function([x, y], [single, *listed, *paired])
    want = (1 - np.tanh(a) ** 2) * b
    for got, wanted in zip(f(a, b), (want, want, np.tanh(a), want), strict=True):
        close(got, wanted)
    second = sc.grad(sc.sum(single), x)
    close(sc.function([x, y], second)(a, b), -2 * np.tanh(a) * want)


def test_grad_with_respect_to_shared_and_intermediate_values():
    x, w = sc.var("x", "f64[n]"), sc.shared(RNG.random(4), "w")
    hidden = x * w
    cost = sc.sum(hidden**2)
    f = sc.function([x], sc.grad(cost, [w, hidden]))
    a = RNG.random(4)
    slope, inner = f(a)
    close(slope, 2 * a * a * w.get())
    close(inner, 2 * a * w.get())


def test_constants_and_known_gradients():
    x = sc.var("x", "f64[n]")
    y = x * 2
    a = RNG.random(3)
    run = lambda e: sc.function([x], e)(a)  # noqa: E731
    close(run(sc.grad(sc.sum(x * y), x, consider_constant=[y])), 2 * a)
    close(run(sc.grad(sc.sum(x * sc.stop_gradient(y)), x)), 2 * a)
    close(run(sc.grad(None, x, known_grads={y: x})), 2 * a)
    close(run(sc.grad(sc.sum(x * y), x, known_grads={y: x})), 2 * a + 2 * a)


def test_stop_gradient_takes_trees():
    tree = {"a": np.arange(3.0), "b": (2.0, None)}
    stopped = sc.stop_gradient(tree)
    assert stopped["a"].tolist() == [0, 1, 2]
    assert stopped["b"] == (2.0, None)

    def cost(p):
        q = sc.stop_gradient(p)
        return sc.sum(p["a"] * q["a"]) * q["b"][0]

    made = sc.jit(sc.grad(cost))(tree)
    assert made["a"].tolist() == [0, 2, 4]
    assert made["b"] == (0, None)


def test_rop_and_lop():
    x, v, u = sc.var("x", "f64[n]"), sc.var("v", "f64[n]"), sc.var("u", "f64[m,n]")
    y = sc.stack([x * x, sc.exp(x)])
    a, b = RNG.random((2, 3))
    c = RNG.random((2, 3))
    f = sc.function([x, v], sc.Rop(y, x, v))
    close(f(a, b), np.stack([2 * a * b, np.exp(a) * b]))
    g = sc.function([x, u], sc.Lop(y, x, u))
    close(g(a, c), 2 * a * c[0] + np.exp(a) * c[1])
    with pytest.raises(sc.ShapeError, match=HERE):
        g(a, RNG.random((3, 3)))


def test_disconnected():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[3]")
    cost = sc.sum(x)
    with pytest.raises(sc.DisconnectedGradError, match=f"does not depend{HERE}"):
        sc.grad(cost, y)
    zero = sc.grad(cost, [x, y], disconnected="zero")[1]
    np.testing.assert_array_equal(sc.function([], zero)(), np.zeros(3))
    assert sc.grad(cost, [x, y], disconnected="none")[1] is None
    with pytest.raises(sc.DisconnectedGradError):
        sc.grad(sc.sum(sc.stop_gradient(x)), x)
    np.testing.assert_array_equal(
        sc.grad(lambda a, b: sc.sum(a), argnums=1)(np.ones(2), np.ones(3)), np.zeros(3)
    )


def test_constraints_of_the_cost_hold_for_its_gradient():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
    f = sc.function([x, y], sc.grad(sc.sum(x + y), x), on_unused_input="ignore")
    np.testing.assert_array_equal(f(np.ones(2), np.ones(2)), [1, 1])
    with pytest.raises(sc.ShapeError):
        f(np.ones(2), np.ones(3))


def test_bad_uses():
    x, i = sc.var("x", "f64[3]"), sc.var("i", "i64[3]")
    for use, error in (
        (lambda: sc.grad(x, x), sc.ShapeError),
        (lambda: sc.grad(sc.sum(i), x), sc.DTypeError),
        (lambda: sc.grad(sc.sum(x * i), i), sc.DTypeError),
        (lambda: sc.grad(sc.sum(x), np.ones(3)), sc.DTypeError),
        (lambda: sc.grad(None, x), sc.DomainError),
        (lambda: sc.grad(sc.sum(x), x, disconnected="maybe"), sc.DomainError),
        (lambda: sc.Rop(x, x, np.ones(4)), sc.ShapeError),
        (lambda: sc.Rop(x, [x], []), sc.ShapeError),
        (lambda: sc.Lop(x, x, np.ones(3, complex)), sc.DTypeError),
        (lambda: sc.grad(lambda a: a)(np.ones(3)), sc.ShapeError),
        (lambda: sc.grad(lambda a: sc.sum(a))(np.ones(3, np.int64)), sc.DTypeError),
        (lambda: sc.grad(lambda a: a)(3), sc.DTypeError),
        (lambda: sc.grad(lambda a: sc.sum(a), argnums=2)(np.ones(3)), sc.ShapeError),
        (lambda: sc.grad(lambda a: sc.sum(a), has_aux=True)(np.ones(3)), sc.ShapeError),
        (lambda: sc.value_and_grad(3), sc.DTypeError),
        (lambda: sc.jvp(lambda a: a, (np.ones(3),), (np.ones(4),)), sc.ShapeError),
        (lambda: sc.jvp(lambda a: a, (np.ones(3),), ()), sc.ShapeError),
        (lambda: sc.jvp(lambda a: sc.ones(2), (np.ones(3),), (np.ones(4),)), sc.ShapeError),
        (lambda: sc.jvp(lambda a: a, np.ones(3), np.ones(3)), sc.ShapeError),
        (lambda: sc.jvp(lambda a: a, ({"x": 1.0},), ({"y": 1.0},)), sc.ShapeError),
        (lambda: sc.linearize(lambda a: a, np.ones(3))[1](np.ones(4)), sc.ShapeError),
        (lambda: sc.linearize(lambda a: a, np.ones(3))[1](), sc.ShapeError),
        (lambda: sc.vjp(lambda a: a, np.ones(3))[1](np.ones(2)), sc.ShapeError),
        (lambda: sc.grad(lambda a: (a, a))(1.0), sc.ShapeError),
        (lambda: sc.grad(lambda a: a, argnums="x")(1.0), sc.DTypeError),
        (lambda: sc.grad(lambda a, b: a, argnums=(0, -2))(1.0, 2.0), sc.ShapeError),
        (lambda: sc.grad(lambda a: a > 0)(1.0), sc.DTypeError),
        (lambda: sc.vjp(lambda a: a, np.ones(3))[1]((np.ones(3),)), sc.ShapeError),
        (lambda: sc.vjp(lambda a: a, np.ones(3))[1](np.ones(3, complex)), sc.DTypeError),
    ):
        with pytest.raises(error, match=HERE):
            use()


def test_arguments_that_python_needs_are_passed_as_they_are():
    def f(x, n, how="sum"):
        for _ in range(n):
            x = x * x
        return {"sum": sc.sum, "mean": sc.mean}[how](x)

    x = RNG.random(3)
    close(sc.grad(f)(x, 2), 4 * x**3)
    close(sc.grad(f)(x, 1, "mean"), 2 * x / 3)
    close(sc.grad(f)(x, 1, how="mean"), 2 * x / 3)
    close(sc.value_and_grad(f)(x, 0)[0], x.sum())
    rows = sc.vmap(lambda v, k: sc.reshape(v, (k, -1)), in_axes=(0, None))(RNG.random((2, 6)), 3)
    assert rows.shape == (2, 3, 2)
    close(sc.grad(lambda v, g: sc.sum(g(v)))(x, sc.sin), np.cos(x))
    with pytest.raises(sc.TracerError, match=HERE):
        sc.grad(lambda v, n: sc.sum(v) if v[0] > n else v)(x, 1)
