"""`sc.checkpoint`: the same derivatives, bit for bit, from less memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symc as sc

ROWS, WIDTH = 64, 32
UNIT = ROWS * WIDTH * 8  # bytes of one layer's activations
POLICIES = [None, "nothing", "dots", "everything", lambda op, *types, **attrs: op == "tanh"]


def layers(weights: Sequence[Any], x: Any) -> Any:
    for w in weights:
        x = sc.tanh(x @ w)
    return x


def deep(count: int, size: int, block: Callable[..., Any]) -> Callable[..., Any]:
    """A network of `count` layers, `size` in a block, as a loss of its weights."""

    def loss(weights: Sequence[Any], x: Any) -> Any:
        for start in range(0, count, size):
            x = block(weights[start : start + size], x)
        return sc.sum(x * x)

    return loss


def data(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=(WIDTH, WIDTH)) / 6 for _ in range(count)]
    return weights, rng.normal(size=(ROWS, WIDTH))


@pytest.mark.parametrize(("count", "size"), [(16, 4), (16, 2), (36, 6)])
def test_memory_is_that_of_the_blocks(count: int, size: int) -> None:
    """Stored: one activation per block, and those of one block while its adjoint runs."""
    weights, x = data(count)
    plain = sc.jit(sc.grad(deep(count, size, layers)))
    saving = sc.jit(sc.grad(deep(count, size, sc.checkpoint(layers))))
    for got, want in zip(saving(weights, x), plain(weights, x), strict=True):
        assert got.tobytes() == want.tobytes()
    assert plain.cost().workspace == (count + 1) * UNIT
    assert saving.cost().workspace == (count // size + size) * UNIT
    # One more run of the layers beside the three products of each that a gradient takes.
    assert 1.3 < saving.cost().flops / plain.cost().flops < 1.35


def test_memory_with_symbolic_sizes_and_updates() -> None:
    """On the explicit door: weights are shared variables, updated in place."""
    weights, x = data(16)
    costs = {}
    for name, block in (("plain", layers), ("saving", sc.checkpoint(layers))):
        shared = [sc.shared(w) for w in weights]
        var = sc.var("x", "f64[batch,32]")
        cost = deep(16, 4, block)(shared, var)
        updates = {w: w - 0.01 * g for w, g in zip(shared, sc.grad(cost, shared), strict=True)}
        step = sc.function([var], cost, updates=updates)
        losses = [step(x) for _ in range(3)]
        costs[name] = (losses, [w.get() for w in shared], step.cost(batch=ROWS).workspace)
    assert costs["plain"][0] == costs["saving"][0]
    for got, want in zip(costs["plain"][1], costs["saving"][1], strict=True):
        assert got.tobytes() == want.tobytes()
    assert costs["saving"][2] < costs["plain"][2] * 0.6


def test_dots_are_not_computed_again() -> None:
    weights, x = data(16)
    plain = sc.jit(sc.grad(deep(16, 4, layers)))
    saving = sc.jit(sc.grad(deep(16, 4, sc.checkpoint(layers, policy="dots"))))
    for got, want in zip(saving(weights, x), plain(weights, x), strict=True):
        assert got.tobytes() == want.tobytes()
    products = saving.ir("optimized").count('"symc.dot"')
    assert products == plain.ir("optimized").count('"symc.dot"')
    # The results of the contractions, the inputs of the blocks, and one cotangent.
    assert saving.cost().workspace == (16 + 4 + 1) * UNIT


def test_values_are_saved_by_their_names() -> None:
    weights, x = data(8)
    scale = np.full(WIDTH, 0.5)

    def block(names: object) -> Callable[..., Any]:
        def named(weights: Sequence[Any], x: Any) -> Any:
            for i, w in enumerate(weights):
                x = sc.checkpoint_name(sc.tanh(x @ w) * scale, f"layer{i % 2}")
            return x

        return sc.jit(sc.grad(deep(8, 4, sc.checkpoint(named, names))))

    want = block("nothing")
    want(weights, x)
    flops = [want.cost().flops]
    for names in (["layer0"], ("layer0", "layer1"), {"no such"}):
        found = block(names)
        for got, plain in zip(found(weights, x), want(weights, x), strict=True):
            assert got.tobytes() == plain.tobytes()
        flops.append(found.cost().flops)
    assert flops[0] == flops[3] > flops[1] > flops[2]
    assert sc.checkpoint_name(scale, "scale") is scale
    with pytest.raises(sc.DTypeError, match="checkpoint_name"):
        sc.checkpoint_name(scale, 3)


def test_a_policy_that_saves_everything_is_no_checkpoint() -> None:
    weights, x = data(4)
    loss = deep(4, 2, sc.checkpoint(layers, policy="everything"))
    saving, plain = sc.jit(sc.grad(loss)), sc.jit(sc.grad(deep(4, 2, layers)))
    saving(weights, x), plain(weights, x)
    assert "barrier" not in saving.ir("optimized")
    assert saving.cost() == plain.cost()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: "asked" if callable(p) else str(p))
@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x, v: sc.grad(f)(x),
        lambda f, x, v: sc.jvp(f, (x,), (v,))[1],
        lambda f, x, v: sc.hvp(f, (x,), (v,)),
        lambda f, x, v: sc.grad(lambda x: sc.jvp(f, (x,), (v,))[1])(x),
        lambda f, x, v: sc.grad(lambda x: sc.sum(sc.grad(f)(x) * v))(x),
        lambda f, x, v: sc.grad(lambda x: sc.sum(sc.hvp(f, (x,), (v,))))(x),
        lambda f, x, v: sc.jvp(lambda x: sc.jvp(f, (x,), (v,))[1], (x,), (v,))[1],
    ],
    ids=["grad", "jvp", "hvp", "grad_jvp", "grad_grad", "grad_hvp", "jvp_jvp"],
)
def test_every_order_and_mode(transform: Callable[..., Any], policy: Any) -> None:
    a, x = np.linspace(-1, 1, 9).reshape(3, 3), np.array([0.3, -1.2, 0.7])

    def body(x: Any) -> Any:
        return sc.tanh(sc.sin(x) @ a) * sc.exp(x) + a[0]

    def loss(f: Callable[..., Any]) -> Callable[[Any], Any]:
        return lambda x: sc.sum(f(f(x)) * x)

    v = np.array([1.0, -0.5, 2.0])
    got = transform(loss(sc.checkpoint(body, policy=policy)), x, v)
    np.testing.assert_allclose(got, transform(loss(body), x, v), rtol=1e-12)


def total_gradient(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: sc.sum(sc.grad(f)(x))


def test_nesting() -> None:
    x = np.array([0.3, -1.2, 0.7])
    inner = sc.checkpoint(lambda x: sc.sin(x) * x)
    outer = sc.checkpoint(lambda x: sc.tanh(inner(inner(x))))
    plain = lambda x: sc.sum(sc.tanh(sc.sin(sc.sin(x) * x) * sc.sin(x) * x))  # noqa: E731
    for order in (1, 2):
        f, g = (lambda x: sc.sum(outer(x))), plain
        for _ in range(order):
            f, g = total_gradient(f), total_gradient(g)
        np.testing.assert_allclose(sc.jit(f)(x), sc.jit(g)(x), rtol=1e-12)


def test_custom_rules_inside() -> None:
    @sc.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * x * 7.0,))
    x = np.array([0.5, 2.0])
    got = sc.grad(sc.checkpoint(lambda x: sc.sum(sc.sin(f(x)))))(x)
    np.testing.assert_allclose(got, np.cos(x * x) * x * 7.0)


def test_trees_captured_values_and_python_arguments() -> None:
    table = np.arange(60.0).reshape(20, 3)
    w = sc.shared(np.array([1.0, 2.0, 3.0]))

    @sc.checkpoint
    def f(params: Any, power: int, *, shift: Any) -> Any:
        if power > 1:
            return {"y": params["a"] ** power * w + table[0], "z": (shift,)}
        return {"y": params["a"], "z": (shift,)}

    def loss(params: Any, outside: Any) -> Any:
        scaled = outside * 2.0
        inner = sc.checkpoint(lambda x: sc.sin(x) * scaled)
        out = f(params, 2, shift=outside)
        return sc.sum(inner(out["y"])) + sc.sum(out["z"][0])

    def reference(params: Any, outside: Any) -> Any:
        y = params["a"] ** 2 * w + table[0]
        return sc.sum(sc.sin(y) * (outside * 2.0)) + sc.sum(outside)

    args = ({"a": np.array([0.1, 0.2, 0.3])}, np.array([1.0, -1.0, 2.0]))
    got = sc.jit(sc.grad(loss, (0, 1)))(*args)
    want = sc.jit(sc.grad(reference, (0, 1)))(*args)
    np.testing.assert_allclose(got[0]["a"], want[0]["a"], rtol=1e-14)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-14)


def test_concrete_arguments_run_the_function() -> None:
    x = np.array([1.0, 2.0])
    assert type(sc.checkpoint(lambda x: sc.sin(x))(x)) is np.ndarray


def test_batches() -> None:
    xs = np.random.default_rng(1).normal(size=(5, 3))
    w = np.random.default_rng(2).normal(size=(3, 3))

    def loss(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda w, x: sc.sum(f(w, x) ** 2)

    def body(w: Any, x: Any) -> Any:
        return sc.tanh(sc.tanh(x @ w) @ w)

    for policy in (None, "dots"):
        saving = loss(sc.checkpoint(body, policy=policy))
        got = sc.jit(sc.vmap(sc.grad(saving), (None, 0)))(w, xs)
        want = sc.jit(sc.vmap(sc.grad(loss(body)), (None, 0)))(w, xs)
        np.testing.assert_allclose(got, want, rtol=1e-12)
        got = sc.grad(lambda w, f=saving: sc.sum(sc.vmap(f, (None, 0))(w, xs)))(w)
        want = sc.grad(lambda w: sc.sum(sc.vmap(loss(body), (None, 0))(w, xs)))(w)
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_sides_that_are_not_selected_pass_nothing() -> None:
    f = sc.checkpoint(lambda x: sc.sum(sc.where(x > 0, sc.sqrt(x) * sc.log(x), 0.0)))
    x = np.array([1.0, 0.0, -2.0])
    g = sc.jit(sc.grad(f))
    np.testing.assert_allclose(g(x), [1.0, 0.0, 0.0])
    second = sc.jit(sc.grad(lambda x: sc.sum(sc.grad(f)(x))))
    assert np.isfinite(second(x)).all()
    third = sc.jit(sc.grad(lambda x: sc.sum(sc.grad(lambda x: sc.sum(sc.grad(f)(x)))(x))))
    assert np.isfinite(third(x)).all()


def test_stability_inside() -> None:
    """The rewriting of the stability table reaches into the region before it is differentiated."""
    f = sc.checkpoint(lambda x: sc.sum(sc.log(1.0 + sc.exp(x))))
    np.testing.assert_allclose(sc.jit(sc.grad(f))(np.array([1000.0, -1000.0])), [1.0, 0.0])


def test_long_chains() -> None:
    """Linear in the number of blocks."""

    def chain(count: int) -> int:
        f = sc.checkpoint(lambda x: sc.sin(x))
        x = sc.var("x", "f64[4]")
        y = x
        for _ in range(count):
            y = f(y)
        g = sc.function([x], sc.grad(sc.sum(y), x), opt=0)
        return g.ir("defined").count("\n")

    assert chain(400) < 4.2 * chain(100)


def test_misuse() -> None:
    with pytest.raises(sc.DomainError, match="policy"):
        sc.checkpoint(lambda x: x, policy="some")
    with pytest.raises(sc.DTypeError):
        sc.checkpoint(3)
    assert sc.checkpoint(policy="dots")(lambda x: x + 1.0)(2.0) == 3.0
