"""Jacobians, Hessians and their products, on functions and on expressions."""

import numpy as np
import pytest

import symc as sc
from symc.frontend import jacobians

HERE = r"(.|\n)*test_transforms_jacobians.py:\d+"
RNG = np.random.default_rng(3)
MODES = (sc.jacfwd, sc.jacrev, sc.jacobian)


def close(got, want, tolerance=1e-11):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def contractions(compiled) -> list[str]:
    kernels = compiled.explain().kernels
    return [text for k in kernels for text in k.operations if text.startswith("contract")]


W = RNG.normal(size=(4, 3))


def layer(x):
    return sc.tanh(W @ x)


def slope(x):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


@pytest.mark.parametrize("mode", MODES)
def test_of_a_vector_function(mode):
    x = RNG.normal(size=3)
    close(mode(layer)(x), slope(x))
    close(sc.jit(mode(layer))(x), slope(x))
    close(mode(sc.jit(layer))(x), slope(x))
    rows = RNG.normal(size=(5, 3))
    close(sc.vmap(mode(layer))(rows), np.stack([slope(row) for row in rows]))


@pytest.mark.parametrize("mode", MODES)
def test_shapes_are_those_of_result_and_argument(mode):
    x = RNG.normal(size=(2, 3))
    got = mode(lambda x: sc.stack([x * x, sc.sin(x)]))(x)
    assert got.shape == (2, 2, 3, 2, 3)
    dense = got.reshape(12, 6)
    close(dense[:6], np.diag(2 * x.ravel()))
    close(dense[6:], np.diag(np.cos(x).ravel()))
    close(mode(lambda s: sc.stack([s, s**2.0]))(3.0), [1, 6])
    close(mode(lambda v: sc.sum(v * v))(x), 2 * x)
    close(mode(lambda s: s**3.0)(2.0), 12)
    assert mode(lambda v: v * 2.0)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert mode(lambda v: v * 2.0)(np.ones(1, np.float32)).dtype == np.float32


@pytest.mark.parametrize("mode", MODES)
def test_trees_numbers_and_auxiliary_results(mode):
    def f(p, x, n):
        out = p["w"] @ x * n
        return {"out": out, "sum": (sc.sum(p["b"]),)}, out

    p = {"w": RNG.normal(size=(2, 3)), "b": RNG.normal(size=4)}
    x = RNG.normal(size=3)
    found, aux = mode(f, argnums=(0, -2), has_aux=True)(p, x, 2)
    close(aux, 2 * p["w"] @ x)
    dp, dx = found["out"]
    close(dx, 2 * p["w"])
    close(dp["w"], 2 * np.einsum("ij,k->ijk", np.eye(2), x))
    close(dp["b"], np.zeros((2, 4)))
    dp, dx = found["sum"][0]
    close(dp["b"], np.ones(4))
    close(dp["w"], np.zeros((2, 3)))
    close(dx, np.zeros(3))
    alone = mode(lambda p, x, n: f(p, x, n)[0], argnums=1)(p, x, 2)
    close(alone["out"], 2 * p["w"])


def test_the_cheaper_mode_is_taken():
    """A tall Jacobian pushes 3 directions, a wide one pulls 2: so large are the products."""
    tall, wide = RNG.normal(size=(50, 3)), RNG.normal(size=(2, 40))
    for w, few in ((tall, 3), (wide, 2)):
        f = sc.jit(sc.jacobian(lambda x, w=w: sc.tanh(w @ sc.sin(x))))
        x = RNG.normal(size=w.shape[1])
        close(f(x), (1 - np.tanh(w @ np.sin(x)) ** 2)[:, None] * w * np.cos(x))
        sizes = {part for text in contractions(f) for part in text.split()}
        assert sizes & {f"m={few}", f"n={few}"}, sizes
        assert not sizes & {f"m={w.size}", f"n={w.size}"}


def test_on_arrays_the_sizes_of_the_call_decide(monkeypatch):
    """Though the program that is made for them has symbolic ones."""
    taken = []
    for name in ("forward_blocks", "reverse_blocks"):
        mode = getattr(jacobians, name)
        monkeypatch.setattr(
            jacobians, name, lambda *args, name=name, mode=mode: taken.append(name) or mode(*args)
        )
    for shape, wanted in (((9, 3), "forward_blocks"), ((2, 7), "reverse_blocks")):
        w, x = RNG.normal(size=shape), RNG.normal(size=shape[1])
        taken.clear()
        close(sc.jacobian(lambda x, w: w @ x)(x, w), w)
        assert taken == [wanted]


def test_the_other_mode_where_only_that_is_offered():
    @sc.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, ct: (2.0 * x * ct,))
    x = RNG.normal(size=3)
    close(sc.jacobian(square)(x), np.diag(2 * x))
    close(sc.hessian(lambda x: sc.sum(square(x)))(x), 2 * np.eye(3))

    def steps(x):
        return sc.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]

    wide = lambda x: sc.sum(steps(x))  # noqa: E731
    close(sc.jacobian(wide)(x), 4 * x**3)
    with pytest.raises(sc.UnsupportedError):
        sc.jacfwd(square)(x)


def test_no_loops_and_one_primal():
    """Forward mode computes the product once for the value and once for all directions."""
    a, b = RNG.normal(size=(20, 10)), RNG.normal(size=(30, 20))
    f = sc.jit(sc.jacfwd(lambda x: sc.tanh(b @ sc.tanh(a @ x))))
    x = RNG.normal(size=10)
    inner = a @ x
    want = (1 - np.tanh(b @ np.tanh(inner)) ** 2)[:, None] * (
        b @ ((1 - np.tanh(inner) ** 2)[:, None] * a)
    )
    close(f(x), want)
    assert len(contractions(f)) <= 4


def test_hessians():
    def f(x):
        return sc.sum(sc.sin(x) * x[0] ** 2.0)

    x, v = RNG.uniform(0.5, 1.5, (2, 4))
    h = sc.hessian(f)(x)
    close(h, h.T, 1e-10)
    close(h @ v, sc.hvp(f, (x,), (v,)), 1e-10)
    close(h @ v, sc.grad(lambda y: sc.sum(sc.grad(f)(y) * v))(x), 1e-10)
    close(h @ v, sc.jvp(sc.grad(f), (x,), (v,))[1], 1e-10)
    for outer in MODES:
        for inner in MODES:
            close(sc.jit(outer(inner(f)))(x), h, 1e-10)
    close(sc.jit(sc.hessian(f))(x), h, 1e-10)
    close(sc.hessian(lambda s: s**4.0)(1.5), 12 * 1.5**2)
    product = np.prod(x) / np.outer(x, x) * (1 - np.eye(4))
    close(sc.jit(sc.hessian(sc.prod))(x), product)
    rows = RNG.uniform(0.5, 1.5, (3, 4))
    close(sc.vmap(sc.hessian(f))(rows)[1], sc.hessian(f)(rows[1]), 1e-10)


def test_hessians_of_trees():
    def f(p, x):
        return sc.sum((p["w"] @ x) ** 2.0) + sc.sum(p["b"][0] ** 3.0)

    p, x = {"w": RNG.normal(size=(2, 3)), "b": (RNG.normal(size=2),)}, RNG.normal(size=3)
    h = sc.hessian(f)(p, x)
    want = 2 * np.einsum("ik,j,l->ijkl", np.eye(2), x, x)
    close(h["w"]["w"], want)
    close(h["b"][0]["b"][0], np.diag(6 * p["b"][0]))
    close(h["w"]["b"][0], np.zeros((2, 3, 2)))
    both = sc.hessian(f, argnums=(0, 1))(p, x)
    assert both[0]["w"][1].shape == (2, 3, 3)
    assert both[1][0]["w"].shape == (3, 2, 3)
    close(both[1][1], 2 * p["w"].T @ p["w"])
    found, aux = sc.hessian(lambda p, x: (f(p, x), x), has_aux=True)(p, x)
    close(found["w"]["w"], want)
    close(aux, x)


def test_hessian_of_a_vector_function():
    got = sc.hessian(lambda x: sc.stack([sc.sum(x**2.0), sc.sum(x**3.0)]))(np.array([1.0, 2.0]))
    close(got, [2 * np.eye(2), np.diag([6.0, 12.0])])


def test_curvature_products():
    p = {"w": RNG.normal(size=(4, 3)), "b": RNG.normal(size=4)}
    v = {"w": RNG.normal(size=(4, 3)), "b": RNG.normal(size=4)}
    x = RNG.normal(size=(6, 3))

    def f(p):
        return sc.tanh(x @ p["w"].T + p["b"])

    def loss(z):
        return sc.sum(sc.logsumexp(z, axis=1)) + sc.sum(z**2.0)

    jacobian = sc.jacrev(f)(p)
    dense = np.concatenate([jacobian["b"].reshape(24, 4), jacobian["w"].reshape(24, 12)], 1)
    curvature = sc.hessian(loss)(f(p)).reshape(24, 24)
    flat = np.concatenate([v["b"], v["w"].ravel()])
    want = dense.T @ (curvature @ (dense @ flat))
    for product in (sc.ggn_vp, sc.jit(lambda p, v: sc.ggn_vp(f, loss, p, v))):
        got = product(f, loss, p, v) if product is sc.ggn_vp else product(p, v)
        close(np.concatenate([got["b"], got["w"].ravel()]), want, 1e-10)
    # Linear loss: no curvature.  A tree between f and the loss.
    nothing = sc.ggn_vp(f, sc.sum, p, v)
    close(nothing["w"], np.zeros((4, 3)))
    two = sc.ggn_vp(lambda p: (f(p), p["b"]), lambda z: sc.sum(z[0] ** 2.0) + z[1][0] ** 2.0, p, v)
    assert two["b"].shape == (4,)
    # For squares over a linear model it is the Hessian-vector product.
    linear = lambda p: x @ p["w"].T + p["b"]  # noqa: E731
    squares = lambda z: sc.sum(z**2.0)  # noqa: E731
    got = sc.ggn_vp(linear, squares, p, v)
    want = sc.hvp(lambda p: squares(linear(p)), (p,), (v,))
    for name in p:
        close(got[name], want[name], 1e-10)


def test_a_gauss_newton_product_is_two_passes():
    """One product forwards, one for its tangent, one backwards: 3 for one layer, and 2 + 2 + 3
    for two (the pull of the first layer gives its parameters alone)."""
    w = RNG.normal(size=(7, 5))
    x = RNG.normal(size=(6, 5))
    one = sc.jit(lambda p, v: sc.ggn_vp(lambda p: x @ p.T, lambda z: sc.sum(z**4.0), p, v))
    one(w, w)
    assert len(contractions(one)) == 3


def test_curvature_products_of_a_recurrent_network_are_two_loops():
    """The loop with its tangent, and the adjoint loop; as many as a gradient has."""
    x = RNG.normal(size=(7, 4))
    p = {"w": RNG.normal(size=(5, 5)) / 3, "u": RNG.normal(size=(5, 4)), "o": RNG.normal(size=5)}
    v = {name: RNG.normal(size=array.shape) for name, array in p.items()}

    def network(p):
        def step(h, x):
            h = sc.tanh(p["w"] @ h + p["u"] @ x)
            return h, sc.sum(p["o"] * h)

        return sc.scan(step, sc.zeros(5), x)[1]

    def loss(z):
        return sc.logsumexp(z) + sc.sum(z**2.0)

    product = sc.jit(lambda p, v: sc.ggn_vp(network, loss, p, v))
    got = product(p, v)
    assert product.ir("optimized").count('"symc.scan"') == 2
    jacobian, curvature = sc.jit(lambda p: (sc.jacrev(network)(p), sc.hessian(loss)(network(p))))(p)
    moved = sum(np.tensordot(jacobian[name], v[name], v[name].ndim) for name in p)
    for name in p:
        close(got[name], np.tensordot(curvature @ moved, jacobian[name], 1), 1e-10)
    hvp = sc.jit(lambda p, v: sc.hvp(lambda p: loss(network(p)), (p,), (v,)))
    hvp(p, v)
    assert hvp.ir("optimized").count('"symc.scan"') == 2


def test_expressions():
    x, w, y = sc.var("x", "f64[n]"), sc.var("w", "f64[m,n]"), sc.var("y", "f64[n]")
    e = sc.tanh(w @ x)
    a = RNG.normal(size=3)
    dx, dw = sc.function([x, w], sc.jacobian(e, [x, w]))(a, W)
    close(dx, slope(a))
    close(dw, np.einsum("ik,ij,j->ikj", np.eye(4), slope(a) / W, a).reshape(4, 4, 3))
    alone = sc.function([x, w], sc.jacobian(e, x))
    for size in (1, 3, 0):
        b, c = RNG.normal(size=size), RNG.normal(size=(2, size))
        want = (1 - np.tanh(c @ b) ** 2)[:, None] * c
        close(alone(b, c), want)
    first, second = sc.jacobian([e, x], x)
    close(sc.function([x], second)(a), np.eye(3))
    close(sc.function([x, w], first)(a, W), slope(a))
    cost = sc.sum(sc.exp(x) * y)
    hx, hy = sc.function([x, y], list(sc.hessian(cost, (x, y))))(a, a)
    close(hx, np.diag(np.exp(a) * a))
    close(hy, np.zeros((3, 3)))
    inner = x * x
    close(sc.function([x], sc.hessian(sc.sum(inner**2.0), inner))(a), 2 * np.eye(3))
    s = sc.shared(a, "s")
    close(sc.function([], sc.hessian(sc.sum(s**3.0), s))(), np.diag(6 * a))


def test_expressions_that_do_not_depend():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[3]")
    e, cost = x * x, sc.sum(x)
    for use in (
        lambda d: sc.jacobian(e, y, disconnected=d),
        lambda d: sc.hessian(cost, y, disconnected=d),
    ):
        with pytest.raises(sc.DisconnectedGradError, match=f"does not depend{HERE}"):
            use("raise")
        assert use("none") is None
        with pytest.raises(sc.DomainError, match=f"disconnected{HERE}"):
            use("maybe")
    zeros = sc.function([x], sc.jacobian(e, y, disconnected="zero"))(np.ones(2))
    np.testing.assert_array_equal(zeros, np.zeros((2, 3)))
    with pytest.raises(sc.DisconnectedGradError):
        sc.jacobian(e, x, consider_constant=[x])
    half = sc.jacobian(x * e, x, consider_constant=[e])
    close(sc.function([x], half)(np.array([2.0, 3.0])), np.diag([4.0, 9.0]))


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda: sc.jacrev(lambda x: x > 0)(np.ones(2)), sc.DTypeError, "floats only"),
        (lambda: sc.jacfwd(lambda x: x)(np.arange(2)), sc.DTypeError, "floats only"),
        (lambda: sc.jacfwd(lambda x: x, argnums=1)(np.ones(2)), sc.ShapeError, "argnums"),
        (lambda: sc.jacrev(lambda x: x, argnums="a")(np.ones(2)), sc.DTypeError, "argnums"),
        (lambda: sc.hessian(lambda x: x, argnums=1.0)(np.ones(2)), sc.DTypeError, "argnums"),
        (lambda: sc.jacrev(lambda x, y: x, argnums=(0, 0))(1.0, 2.0), sc.ShapeError, "argnums"),
        (lambda: sc.jacobian(np.ones(2), np.ones(2)), sc.DTypeError, "not an expression"),
        (lambda: sc.jacrev(3), sc.DTypeError, "jacrev"),
        (lambda: sc.hessian(sc.var("x", "f64[3]"), sc.var("y", "f64[3]")), sc.ShapeError, "scalar"),
        (lambda: sc.ggn_vp(3, 4, 1.0, 1.0), sc.DTypeError, "ggn_vp"),
        (
            lambda: sc.ggn_vp(lambda p: p, lambda z: z, np.ones(2), np.ones(2)),
            sc.ShapeError,
            "scal",
        ),
        (lambda: sc.ggn_vp(lambda p: p, sc.sum, np.ones(2), (np.ones(2),)), sc.ShapeError, "v"),
        (lambda: sc.ggn_vp(lambda p: p, sc.sum, np.ones(2), np.ones(3)), sc.ShapeError, "v"),
        (lambda: sc.hvp(lambda x: sc.sum(x), np.ones(2), np.ones(2)), sc.ShapeError, "primals"),
    ],
)
def test_wrong_uses(use, error, says):
    with pytest.raises(error, match=f"{says}{HERE}") as caught:
        use()
    assert len(str(caught.value).splitlines()) <= 6
