"""`sc.custom_jvp` and `sc.custom_vjp`: rules in both modes, to any order, in any nesting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symc as sc

X = np.array([0.3, 1.2, -2.0])
V = np.array([1.0, -0.5, 2.0])


@sc.custom_jvp
def sine(x: Any) -> Any:
    return sc.sin(x) * 2.0


@sine.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return sine(x), t * sc.cos(x) * 2.0


@sc.custom_vjp
def product(x: Any, y: Any) -> Any:
    return x * y


# Ten times the true cotangent of x, so that the rule is seen to be used.
product.defvjp(lambda x, y: (product(x, y), (x, y)), lambda r, ct: (10 * ct * r[1], ct * r[0]))


def scalar(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: sc.sum(f(x) * x)


def nested(f: Callable[[Any], Any], order: int) -> Callable[[Any], Any]:
    """The derivative of `order` in a scalar form."""
    for _ in range(order):
        f = scalar(sc.grad(f))
    return f


@pytest.mark.parametrize("order", range(4))
def test_reverse_mode_to_any_order(order: int) -> None:
    custom = nested(scalar(sine), order)
    plain = nested(scalar(lambda x: sc.sin(x) * 2.0), order)
    np.testing.assert_allclose(sc.jit(custom)(X), sc.jit(plain)(X), rtol=1e-13)
    np.testing.assert_allclose(custom(X), plain(X), rtol=1e-13)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: sc.jvp(f, (X,), (V,)),
        lambda f: sc.hvp(f, (X,), (V,)),
        lambda f: sc.linearize(f, X)[1](V),
        lambda f: sc.vjp(f, X)[1](np.array(2.0)),
        lambda f: sc.grad(lambda x: sc.jvp(f, (x,), (V,))[1])(X),
        lambda f: sc.jvp(lambda x: sc.jvp(f, (x,), (V,))[1], (X,), (V,)),
        lambda f: sc.value_and_grad(f)(X),
    ],
)
def test_every_transform_runs_the_rule(transform: Callable[[Any], Any]) -> None:
    custom = transform(scalar(sine))
    plain = transform(scalar(lambda x: sc.sin(x) * 2.0))
    for got, want in zip(flat(custom), flat(plain), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def flat(tree: Any) -> list[Any]:
    return [x for part in tree for x in flat(part)] if isinstance(tree, tuple) else [tree]


def test_the_rule_is_what_runs() -> None:
    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * x

    f.defjvp(lambda p, t: (f(p[0]), 7.0 * t[0]))
    np.testing.assert_array_equal(sc.grad(lambda x: sc.sum(f(x)))(X), [7, 7, 7])
    np.testing.assert_array_equal(sc.jvp(f, (X,), (V,))[1], 7 * V)
    np.testing.assert_array_equal(sc.jit(f)(X), X * X)


def test_concrete_arguments_run_the_function() -> None:
    assert type(sine(X)) is np.ndarray
    np.testing.assert_array_equal(sine(X), sc.sin(X) * 2.0)


def test_reverse_rule_on_both_doors() -> None:
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[n]")
    f = sc.function([x, y], sc.grad(sc.sum(product(x, y)), [x, y]))
    for got, want in zip(f(X, V), (10 * V, X), strict=True):
        np.testing.assert_array_equal(got, want)
    got = sc.jit(sc.grad(lambda x, y: sc.sum(product(x, y)), (0, 1)))(X, V)
    np.testing.assert_array_equal(got[0], 10 * V)
    np.testing.assert_array_equal(got[1], X)


def test_reverse_rule_refuses_forward_mode_by_line() -> None:
    with pytest.raises(sc.UnsupportedError, match=r"(?s)forward-mode.*product.*test_custom\.py:"):
        sc.jvp(lambda x: product(x, x), (X,), (V,))


def test_a_tangent_rule_beside_a_reverse_rule() -> None:
    @sc.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (3.0 * ct * x,))
    f.defjvp(lambda p, t: (f(p[0]), 5.0 * t[0] * p[0]))
    np.testing.assert_array_equal(sc.grad(lambda x: sc.sum(f(x)))(X), 3 * X)
    np.testing.assert_array_equal(sc.jvp(f, (X,), (V,))[1], 5 * V * X)
    # Reverse over reverse: the rule's own graph is differentiated.
    np.testing.assert_array_equal(sc.grad(scalar(sc.grad(lambda x: sc.sum(f(x)))))(X), 6 * X)


def test_second_order_of_a_reverse_rule() -> None:
    @sc.custom_vjp
    def cube(x: Any) -> Any:
        return x * x * x

    cube.defvjp(lambda x: (cube(x), x), lambda x, ct: (ct * 3.0 * x * x,))
    second = sc.grad(lambda x: sc.sum(sc.grad(lambda x: sc.sum(cube(x)))(x)))
    np.testing.assert_allclose(second(X), 6 * X, rtol=1e-14)


def test_trees_and_missing_tangents() -> None:
    @sc.custom_jvp
    def f(params: Any, x: Any) -> Any:
        return {"y": params["w"] * x, "z": [params["b"] + x]}

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (p, x), (dp, dx) = primals, tangents
        assert set(dp) == {"w", "b"}
        return f(p, x), {"y": dp["w"] * x + p["w"] * dx, "z": [dp["b"] + dx]}

    params = {"w": X, "b": V}

    def loss(params: Any) -> Any:
        out = f(params, X)
        return sc.sum(out["y"] * 2.0) + sc.sum(out["z"][0])

    got = sc.jit(sc.grad(loss))(params)
    np.testing.assert_array_equal(got["w"], 2 * X)
    np.testing.assert_array_equal(got["b"], np.ones(3))


def test_reverse_rule_over_trees_with_none() -> None:
    @sc.custom_vjp
    def f(pair: Any, n: Any, mask: Any) -> Any:
        return pair[0] * pair[1] * n, sc.where(mask, pair[0], 0.0)

    def fwd(pair: Any, n: Any, mask: Any) -> Any:
        return f(pair, n, mask), (pair, n)

    def bwd(saved: Any, ct: Any) -> Any:
        (a, b), n = saved
        return (ct[0] * b * n, ct[0] * a * n), None, None

    f.defvjp(fwd, bwd)
    mask = np.array([True, False, True])

    def loss(a: Any, b: Any, n: Any) -> Any:
        y, z = f((a, b), n, mask)
        return sc.sum(y) + sc.sum(z)

    da, db, dn = sc.grad(loss, (0, 1, 2))(X, V, 2.0)
    np.testing.assert_array_equal(da, 2 * V)
    np.testing.assert_array_equal(db, 2 * X)
    assert dn == 0


def test_nondiff_arguments_may_be_anything() -> None:
    @sc.custom_jvp(nondiff_argnums=(0, 2))
    def f(g: Any, x: Any, k: Any) -> Any:
        return g(x) * k

    @f.defjvp
    def rule(g: Any, k: Any, primals: Any, tangents: Any) -> Any:
        return f(g, primals[0], k), tangents[0] * k * 100.0

    got = sc.jit(sc.grad(lambda x: sc.sum(f(sc.sin, x, 3))))(X)
    np.testing.assert_array_equal(got, np.full(3, 300.0))

    @sc.custom_vjp(nondiff_argnums=(1,))
    def clipped(x: Any, limit: Any) -> Any:
        return x

    clipped.defvjp(lambda x, limit: (x, None), lambda limit, r, ct: (sc.clip(ct, -limit, limit),))
    got = sc.grad(lambda x: sc.sum(clipped(x, 0.5) * V))(X)
    np.testing.assert_array_equal(got, np.clip(V, -0.5, 0.5))
    with pytest.raises(sc.UnsupportedError, match="nondiff_argnums"):
        sc.grad(lambda k: sc.sum(f(sc.sin, X, k)))(2.0)


def test_a_rule_that_calls_its_function_with_other_arguments() -> None:
    """A rule is not traced before it is needed, so this does not go on for ever."""

    @sc.custom_jvp(nondiff_argnums=(0,))
    def falling(n: int, x: Any) -> Any:
        return x**n

    @falling.defjvp
    def rule(n: int, primals: Any, tangents: Any) -> Any:
        (x,) = primals
        return falling(n, x), n * falling(n - 1, x) * tangents[0]

    third = sc.grad(scalar(sc.grad(scalar(sc.grad(lambda x: sc.sum(falling(4, x)))))))
    plain = sc.grad(scalar(sc.grad(scalar(sc.grad(lambda x: sc.sum(x**4))))))
    np.testing.assert_allclose(third(X), plain(X), rtol=1e-13)


def test_defjvps_and_kwargs_and_defaults() -> None:
    @sc.custom_jvp
    def f(x: Any, y: Any = 2.0) -> Any:
        return x * y

    f.defjvps(lambda t, ans, x, y: t * y * 10.0, None)
    np.testing.assert_array_equal(sc.grad(lambda x: sc.sum(f(x)))(X), np.full(3, 20.0))
    dx, dy = sc.grad(lambda x, y: sc.sum(f(y=y, x=x)), (0, 1))(X, V)
    np.testing.assert_array_equal(dx, 10 * V)
    np.testing.assert_array_equal(dy, np.zeros(3))


def test_weak_numbers_keep_the_dtype() -> None:
    @sc.custom_jvp
    def f(x: Any, k: Any) -> Any:
        return x * k

    f.defjvp(lambda p, t: (f(*p), t[0] * p[1] + p[0] * t[1]))
    x = X.astype(np.float32)
    got = sc.jit(sc.grad(lambda x: sc.sum(f(x, 3))))(x)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.full(3, 3, np.float32))


def test_captured_values() -> None:
    """A function and its rule may read values of the trace around them; they do not move."""

    def loss(x: Any, w: Any) -> Any:
        scaled = w * 2.0

        @sc.custom_jvp
        def f(x: Any) -> Any:
            return x * scaled

        f.defjvp(lambda p, t: (f(p[0]), t[0] * scaled))
        return sc.sum(f(x))

    np.testing.assert_array_equal(sc.jit(sc.grad(loss))(X, V), 2 * V)
    with pytest.raises(sc.UnsupportedError, match="captured"):
        sc.grad(loss, 1)(X, V)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_rules_capture_moves_with_the_use(reverse: bool) -> None:
    """Batched, checkpointed or inlined, a rule reads the values of that copy."""

    def layer(x: Any, w: Any) -> Any:
        gain = {"w": sc.exp(w)}

        def slope(x: Any) -> Any:
            return gain["w"] * 3.0

        if reverse:
            f = sc.custom_vjp(lambda x: x * 2.0)
            f.defvjp(lambda x: (f(x), None), lambda r, ct: (ct * slope(ct),))
        else:
            f = sc.custom_jvp(lambda x: x * 2.0)
            f.defjvp(lambda p, t: (f(p[0]), t[0] * slope(p[0])))
        return f(x) * x

    xs, ws = np.arange(6.0).reshape(2, 3), np.linspace(0, 1, 6).reshape(2, 3)
    expected = xs * 3 * np.exp(ws) + 2 * xs
    for f in (layer, sc.checkpoint(layer), sc.jit(layer), sc.checkpoint(sc.checkpoint(layer))):
        whole = sc.grad(lambda xs, f=f: sc.sum(sc.vmap(f)(xs, ws)))
        np.testing.assert_allclose(whole(xs), expected, rtol=1e-13)
        each = sc.vmap(sc.grad(lambda x, w, f=f: sc.sum(f(x, w))))
        np.testing.assert_allclose(each(xs, ws), expected, rtol=1e-13)
        plain = sc.grad(lambda x, f=f: sc.sum(f(x, ws)))
        np.testing.assert_allclose(plain(xs), expected, rtol=1e-13)
    if not reverse:
        pushed = sc.jvp(lambda xs: sc.vmap(sc.checkpoint(layer))(xs, ws), (xs,), (np.ones((2, 3)),))
        np.testing.assert_allclose(pushed[1], expected, rtol=1e-13)
    x, w = sc.var("x", "f64[n,3]"), sc.var("w", "f64[n,3]")
    g = sc.function([x, w], sc.grad(sc.sum(layer(x, w)), x), on_unused_input="ignore")
    np.testing.assert_allclose(g(xs, ws), expected, rtol=1e-13)


def test_shared_variables_and_arrays_are_captured() -> None:
    w = sc.shared(V)
    table = np.arange(60.0).reshape(20, 3)

    @sc.custom_jvp
    def f(x: Any) -> Any:
        return x * w + sc.sum(table, axis=0)

    f.defjvp(lambda p, t: (f(p[0]), t[0] * w * 2.0))
    x = sc.var("x", "f64[3]")
    run = sc.function([x], [f(x), sc.grad(sc.sum(f(x)), x)])
    for value in (V, V + 1):
        w.set(value)
        y, g = run(X)
        np.testing.assert_array_equal(y, X * value + table.sum(axis=0))
        np.testing.assert_array_equal(g, 2 * value)


def test_sides_that_are_not_selected_pass_nothing() -> None:
    @sc.custom_jvp
    def root(x: Any) -> Any:
        return sc.sqrt(x)

    root.defjvp(lambda p, t: (root(p[0]), t[0] * (0.5 / root(p[0]))))

    @sc.custom_vjp
    def root_back(x: Any) -> Any:
        return sc.sqrt(x)

    root_back.defvjp(lambda x: (root_back(x), x), lambda x, ct: (ct / (2.0 * sc.sqrt(x)),))
    x = np.array([4.0, 0.0, -1.0])
    for f in (root, root_back):

        def loss(x: Any, f: Any = f) -> Any:
            inner = sc.where(x > 0, x, 0.0)
            return sc.sum(sc.where(x > 0, f(inner), 0.0) * x)

        g = sc.jit(sc.grad(loss))
        np.testing.assert_allclose(g(x), [3.0, 0.0, 0.0])
        second = sc.jit(sc.grad(lambda x, loss=loss: sc.sum(sc.grad(loss)(x))))
        np.testing.assert_allclose(second(x), [0.375, 0.0, 0.0])
    moved = sc.jvp(lambda x: sc.sum(root(sc.where(x > 0, x, 0.0))), (x,), (np.ones(3),))[1]
    np.testing.assert_allclose(moved, 0.25)


def test_batches() -> None:
    xs = np.arange(6.0).reshape(2, 3) + 0.5
    plain = sc.vmap(sc.grad(scalar(lambda x: sc.sin(x) * 2.0)))(xs)
    np.testing.assert_allclose(sc.vmap(sc.grad(scalar(sine)))(xs), plain, rtol=1e-13)
    total = sc.grad(lambda xs: sc.sum(sc.vmap(scalar(sine))(xs)))(xs)
    np.testing.assert_allclose(total, plain, rtol=1e-13)
    both = sc.grad(lambda xs, y: sc.sum(sc.vmap(product, (0, None))(xs, y)), (0, 1))(xs, V)
    np.testing.assert_array_equal(both[0], np.stack([10 * V, 10 * V]))
    np.testing.assert_allclose(both[1], xs.sum(axis=0))
    pushed = sc.jvp(sc.vmap(sine), (xs,), (np.ones_like(xs),))[1]
    np.testing.assert_allclose(pushed, 2 * np.cos(xs), rtol=1e-14)


def test_symbolic_sizes_and_calls_of_compiled_functions() -> None:
    x = sc.var("x", "f64[n]")
    inner = sc.function([x], sc.sum(sine(x) * x))
    outer = sc.jit(sc.grad(lambda y: inner(y) * 2.0))
    np.testing.assert_allclose(outer(X), 2 * sc.grad(scalar(sine))(X), rtol=1e-14)
    g = sc.jit(sc.grad(scalar(sine)))
    for size in (3, 5, 8, 3):
        data = np.linspace(0.1, 1.0, size)
        np.testing.assert_allclose(g(data), 2 * (np.sin(data) + data * np.cos(data)))


def test_consider_constant_and_givens_go_through() -> None:
    x, y = sc.var("x", "f64[3]"), sc.var("y", "f64[3]")
    z = sine(x * y)
    g = sc.function([x, y], sc.grad(sc.sum(z * x), x, consider_constant=[z]))
    np.testing.assert_allclose(g(X, V), 2 * np.sin(X * V))
    h = sc.function([x], sc.sum(z), givens={y: x + 1.0})
    np.testing.assert_allclose(h(X), np.sum(2 * np.sin(X * (X + 1))))


def test_methods() -> None:
    class Layer:
        gain = 3.0

        @sc.custom_jvp(nondiff_argnums=(0,))
        def act(self, x: Any) -> Any:
            return self.gain * x

    Layer.act.defjvp(lambda self, p, t: (self.act(p[0]), 2.0 * self.gain * t[0]))
    np.testing.assert_array_equal(sc.grad(lambda x: sc.sum(Layer().act(x)))(X), np.full(3, 6.0))


def test_in_loops_and_branches_and_around_them() -> None:
    x, xs = np.array([0.3, -1.0]), np.linspace(0.0, 1.0, 10).reshape(5, 2)
    once = sc.custom_vjp(sc.sin)
    once.defvjp(lambda x: (once(x), x), lambda x, ct: (ct * sc.cos(x),))
    twice = sc.custom_jvp(sc.sin)
    twice.defjvp(lambda p, t: (twice(p[0]), t[0] * sc.cos(p[0])))

    def loss(f: Any) -> Any:
        def run(carry: Any, xs: Any) -> Any:
            last, ys = sc.scan(lambda c, x: (f(c * x) + c, f(c)), carry, xs)
            return sc.sum(last) + sc.sum(ys) + sc.sum(sc.cond(carry[0] > 0, f, sc.exp, carry))

        return run

    want = sc.jit(sc.grad(loss(sc.sin), (0, 1)))(x, xs)
    for f in (once, sc.checkpoint(twice)):
        got = sc.jit(sc.grad(loss(f), (0, 1)))(x, xs)
        for left, right in zip(got, want, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-14)
    again = sc.grad(sc.checkpoint(loss(twice)))(x, xs)
    np.testing.assert_allclose(again, want[0], rtol=1e-14)
