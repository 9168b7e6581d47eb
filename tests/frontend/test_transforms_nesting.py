"""Any order and any nesting of transforms, on both doors, against closed forms."""

import inspect
import itertools
import sys

import numpy as np
import pytest

import symc as sc
from symc.compile import derive

HERE = r"(.|\n)*test_transforms_nesting.py:\d+"
RNG = np.random.default_rng(5)


def close(got, want, tolerance=1e-10):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def contractions(compiled) -> int:
    kernels = compiled.explain().kernels
    return sum(text.startswith("contract") for k in kernels for text in k.operations)


# --- order


def forward(f):
    """The derivative of a function of one number, in forward mode."""
    return lambda x: sc.jvp(f, (x,), (1.0,))[1]


def reverse(f):
    return lambda x: sc.vjp(f, x)[1](1.0)[0]


def along_line(f):
    """By a push kept from the function."""
    return lambda x: sc.linearize(f, x)[1](1.0)


FUNCTIONS = [
    (lambda x: x**5.0, [lambda x: 60 * x**2]),
    (sc.sin, [lambda x: -np.cos(x)]),
    (lambda x: sc.exp(2.0 * x), [lambda x: 8 * np.exp(2 * x)]),
    (sc.log, [lambda x: 2 / x**3]),
    (sc.sqrt, [lambda x: 0.375 * x**-2.5]),
    (lambda x: 1.0 / x, [lambda x: -6 / x**4]),
    (sc.tanh, [lambda x: -2 * (1 - np.tanh(x) ** 2) * (1 - 3 * np.tanh(x) ** 2)]),
    (lambda x: sc.sum(sc.stack([x, x * x]) ** 2.0), [lambda x: 24 * x]),
]


@pytest.mark.parametrize(("f", "third"), FUNCTIONS)
def test_third_derivatives_by_every_mixture_of_modes(f, third):
    x = 0.7
    programs = []
    for modes in itertools.product((forward, reverse), repeat=3):
        g = f
        for mode in modes:
            g = mode(g)
        programs.append(g)
    got = sc.jit(lambda x: [g(x) for g in programs])(x)
    for value in got:
        close(value, third[0](x))
    close(sc.grad(sc.grad(sc.grad(f)))(x), third[0](x))


def test_many_orders():
    g = sc.sin
    for _ in range(8):
        g = sc.grad(g)
    close(sc.jit(g)(0.3), np.sin(0.3))
    for _ in range(2):
        g = forward(g)
    close(sc.jit(g)(0.3), -np.sin(0.3))


def test_products_of_curvature_agree():
    def f(x):
        return sc.sum(sc.exp(x) * sc.sin(x[::-1])) * sc.max(x)

    ways = sc.jit(
        lambda x, v: [
            sc.hvp(f, (x,), (v,)),
            sc.jvp(sc.grad(f), (x,), (v,))[1],
            sc.grad(lambda y: sc.sum(sc.grad(f)(y) * v))(x),
            sc.grad(lambda y: sc.jvp(f, (y,), (v,))[1])(x),
            sc.vjp(sc.grad(f), x)[1](v)[0],
            sc.linearize(sc.grad(f), x)[1](v),
            sc.hessian(f)(x) @ v,
            sc.jacrev(sc.jacfwd(f))(x) @ v,
        ]
    )(*RNG.uniform(0.2, 1.0, (2, 5)))
    for way in ways[1:]:
        close(way, ways[0])


# --- nesting

A = RNG.normal(size=(4, 3))


def energy(x):
    return sc.sum(sc.tanh(A @ x) ** 2.0)


def energy_slope(x):
    t = np.tanh(A @ x)
    return A.T @ (2 * t * (1 - t * t))


def test_grad_of_vmap_of_jvp():
    xs, v = RNG.normal(size=(6, 3)), RNG.normal(size=3)

    def total(xs):
        return sc.sum(sc.vmap(lambda x: sc.jvp(energy, (x,), (v,))[1])(xs))

    got = sc.grad(total)(xs)
    want = np.stack([sc.hvp(energy, (x,), (v,)) for x in xs])
    close(got, want)
    close(sc.jit(sc.grad(total))(xs), want)


def test_vmap_and_derivatives_commute():
    xs = RNG.normal(size=(6, 3))
    slopes = np.stack([energy_slope(x) for x in xs])
    batched = sc.vmap(energy)
    close(sc.vmap(sc.grad(energy))(xs), slopes)
    close(sc.grad(lambda xs: sc.sum(batched(xs)))(xs), slopes)
    value, slope = sc.vmap(sc.value_and_grad(energy))(xs)
    close(value, [(np.tanh(A @ x) ** 2).sum() for x in xs])
    close(slope, slopes)
    _, pull = sc.vjp(batched, xs)
    close(pull(np.ones(6))[0], slopes)
    close(sc.jvp(batched, (xs,), (xs,))[1], (slopes * xs).sum(1))
    close(sc.vmap(lambda x, v: sc.jvp(energy, (x,), (v,)))(xs, xs)[1], (slopes * xs).sum(1))
    full = sc.jacrev(batched)(xs)
    assert full.shape == (6, 6, 3)
    close(full[np.arange(6), np.arange(6)], slopes)
    close(full.sum(1), slopes)


def test_jacfwd_of_jacrev_of_grad():
    x = RNG.normal(size=3)
    third = sc.jit(sc.jacfwd(sc.jacrev(sc.grad(energy))))(x)
    assert third.shape == (3, 3, 3)
    for axes in itertools.permutations(range(3)):
        close(third, third.transpose(axes))
    step = 1e-4
    v = RNG.normal(size=3)
    h = sc.jit(sc.hessian(energy))
    close(third @ v, (h(x + step * v) - h(x - step * v)) / (2 * step), 1e-6)


def test_pushes_and_pulls_can_be_mapped_and_differentiated():
    x = RNG.normal(size=3)
    f = lambda x: sc.tanh(A @ x)  # noqa: E731
    jacobian = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    _, pull = sc.vjp(f, x)
    _, push = sc.linearize(f, x)
    close(sc.vmap(pull)(np.eye(4))[0], jacobian)
    close(sc.vmap(push)(np.eye(3)).T, jacobian)
    close(sc.jit(sc.vmap(push, out_axes=1))(np.eye(3)), jacobian)
    close(sc.vjp(push, x)[1](np.ones(4))[0], jacobian.sum(0))
    close(sc.jvp(pull, (np.ones(4),), (np.arange(4.0),))[1][0], jacobian.T @ np.arange(4.0))

    @sc.jit
    def inside(x):
        _, pull = sc.vjp(f, x)
        _, push = sc.linearize(f, x)
        return sc.vmap(pull)(sc.eye(4))[0], sc.vmap(push, out_axes=1)(sc.eye(3))

    for got in inside(x):
        close(got, jacobian)


def test_transforms_of_compiled_functions():
    x, w = sc.var("x", "f64[n]"), sc.var("w", "f64[m,n]")
    explicit = sc.function([x, w], sc.sum(sc.tanh(w @ x) ** 2.0))
    traced = sc.jit(lambda x, w: sc.sum(sc.tanh(w @ x) ** 2.0))
    a, rows = RNG.normal(size=3), RNG.normal(size=(5, 3))
    for f in (explicit, traced):
        close(sc.grad(f)(a, A), energy_slope(a))
        close(sc.jit(sc.grad(f))(a, A), energy_slope(a))
        close(sc.vmap(sc.grad(f), (0, None))(rows, A), [energy_slope(r) for r in rows])
        close(sc.hvp(lambda x, f=f: f(x, A), (a,), (a,)), sc.hvp(energy, (a,), (a,)))
        close(sc.hessian(f)(a, A), sc.hessian(energy)(a))
        sc.check_grads(f, (a, A))
    stateful = sc.shared(np.array(0.0))
    counts = sc.function([x], sc.sum(x), updates={stateful: stateful + 1})
    with pytest.raises(sc.TracerError, match="updates"):
        sc.grad(counts)(a)


# --- perturbation confusion (Siskind and Pearlmutter's examples)


def test_nested_derivatives_do_not_confuse_their_variables():
    for d in (forward, reverse, sc.grad, along_line):
        for e in (forward, reverse, sc.grad, along_line):
            # d/dx (x * d/dy (x + y)) = 1, not 2.
            close(d(lambda x, e=e: x * e(lambda y: x + y)(1.0))(1.0), 1.0)
            # d/dx (x * d/dy (x * y)) = 2x.
            close(d(lambda x, e=e: x * e(lambda y: x * y)(2.0))(3.0), 6.0)
            # The inner variable is the outer one.
            close(d(lambda x, e=e: e(lambda y: x * y)(x))(3.0), 1.0)
            close(d(lambda x, e=e: e(lambda y: x * y * y)(x))(3.0), 12.0)


def test_a_derivative_that_is_carried_outside_its_variable():
    def shift(g, x):
        return lambda z: g(x + z)

    # D (D (shift h)) at 0 by currying: d/dx d/dz h(x + z).
    h = lambda z: z**3.0  # noqa: E731
    inner = lambda x: sc.grad(shift(h, x))(2.0)  # noqa: E731
    close(sc.grad(inner)(1.0), 6 * 3.0)
    close(forward(lambda x: forward(shift(h, x))(2.0))(1.0), 6 * 3.0)


def test_captured_values_of_the_outer_trace():
    @sc.jit
    def f(x, y):
        z = x * y
        inner = sc.grad(lambda a: sc.sum(a * a * z))(x)
        per_row = sc.vmap(lambda row: sc.grad(lambda b: sc.sum(b * z * b))(row))(sc.stack([x, y]))
        return inner, per_row, sc.jacfwd(lambda a: a * z)(y)

    x, y = RNG.normal(size=(2, 3))
    inner, per_row, jacobian = f(x, y)
    close(inner, 2 * x * x * y)
    close(per_row, 2 * np.stack([x, y]) * x * y)
    close(jacobian, np.diag(x * y))
    shared = sc.shared(y, "s")
    grad_of_state = sc.grad(lambda a: sc.sum(a * shared * shared))
    close(grad_of_state(x), y * y)
    shared.set(2 * y)
    close(grad_of_state(x), 4 * y * y)


def test_constants_and_known_gradients_at_any_depth():
    x, v = sc.var("x", "f64[n]"), sc.var("v", "f64[n]")
    y = x * x
    a, b = RNG.normal(size=(2, 3))
    run = lambda e: sc.function([x, v], e, on_unused_input="ignore")(a, b)  # noqa: E731
    half = sc.grad(sc.sum(x * y), x, consider_constant=[y])  # y
    close(run(sc.grad(sc.sum(half * v), x)), 2 * a * b)
    twice = sc.grad(sc.sum(half * v), x, consider_constant=[half], disconnected="none")
    assert twice is None
    known = sc.grad(None, x, known_grads={y: v})  # 2 x v
    close(run(sc.Rop(known, x, v)), 2 * b * b)
    close(run(sc.jacobian(known, x)), np.diag(2 * b))
    close(run(sc.hessian(sc.sum(x * x * sc.stop_gradient(x)), x)), np.diag(2 * a))
    stopped = lambda z: sc.grad(lambda w: sc.sum(w * sc.stop_gradient(w * w)))(z)  # noqa: E731
    close(sc.vmap(stopped)(np.stack([a, b])), np.stack([a * a, b * b]))
    close(sc.jacrev(stopped)(a), np.zeros((3, 3)))  # stop_gradient stops every derivative


# --- cost


def test_forward_mode_is_one_sweep():
    """A chain of n products: n for the value and n for the tangent, whatever the width."""
    for n in (1, 3, 6):
        matrices = [RNG.normal(size=(8, 8)) / 3 for _ in range(n)]

        def chain(x, matrices=matrices):
            for m in matrices:
                x = sc.sin(m @ x)
            return x

        x = RNG.normal(size=8)
        f = sc.jit(lambda x, v, chain=chain: sc.jvp(chain, (x,), (v,)))
        f(x, x)
        # The tangent needs no product of the last matrix twice: n values + n tangents.
        assert contractions(f) == 2 * n
        g = sc.jit(lambda x, u, chain=chain: sc.vjp(chain, x)[1](u))
        g(x, x)
        # The last value is not needed: n for arguments of cos, n pulled back.
        assert contractions(g) == 2 * n


def test_forward_mode_keeps_nothing():
    """Its workspace does not grow with the length of a chain; that of reverse mode does."""
    w = sc.shared(RNG.normal(size=(8, 8)) / 3)
    x = RNG.normal(size=8)
    pushes, pulls = [], []
    for n in (4, 16):

        def chain(x, n=n):
            for _ in range(n):
                x = sc.sin(w @ x)
            return x

        f = sc.jit(lambda x, v, chain=chain: sc.jvp(chain, (x,), (v,))).lower(x, x)
        g = sc.jit(lambda x, u, chain=chain: sc.vjp(chain, x)[1](u)).lower(x, x)
        pushes.append(f.cost())
        pulls.append(g.cost())
    assert pushes[0].workspace == pushes[1].workspace
    assert pulls[0].workspace < pulls[1].workspace
    assert pushes[1].flops <= 1.05 * pulls[1].flops


def test_a_push_does_not_compute_the_function_again():
    """The program of a kept push has the tangent's products alone."""
    w = [RNG.normal(size=(6, 6)) for _ in range(3)]

    def f(x):
        for m in w:
            x = sc.tanh(m @ x)
        return x

    x = RNG.normal(size=6)
    for kept, count in ((sc.linearize(f, x)[1], 3), (sc.vjp(f, x)[1], 3)):
        kept(x)
        assert contractions_of(kept) == count
    # Shared variables are read when the function runs, not when the push does.
    state = sc.shared(2.0)
    _, push = sc.linearize(lambda x: x * x * state, x)
    state.set(100.0)
    close(push(np.ones(6)), 4 * x)


def contractions_of(kept) -> int:
    kernels = kept.compiled.full_report().kernels
    return sum(text.startswith("contract") for k in kernels for text in k.operations)


def test_graphs_grow_linearly_with_the_number_of_steps():
    """Gradient steps written out: each differentiates its own part alone."""

    def nodes(steps):
        def run(x):
            for _ in range(steps):
                x = x - 0.1 * sc.grad(lambda y: sc.sum(sc.sin(y) ** 2.0))(x)
            return x

        f = sc.jit(run).lower(np.ones(3))
        return f.ir("defined").count("symc.")

    few, many = nodes(4), nodes(16)
    assert many <= 4.5 * few


def test_a_derivative_sees_its_own_part_of_a_long_program(monkeypatch):
    """Values captured from a long chain cost nothing in each of many derivatives."""
    seen = []
    define = derive._defined

    def counted(function, *rest):
        seen.append(len(function.nodes))
        return define(function, *rest)

    monkeypatch.setattr(derive, "_defined", counted)

    def run(x):
        z = x
        for _ in range(500):
            z = sc.sin(z)
        for _ in range(10):
            x = x - sc.grad(lambda y: sc.sum(y * y * z))(x)
        return x

    f, a = sc.jit(run), RNG.normal(size=3)
    z = a
    for _ in range(500):
        z = np.sin(z)
    close(f(a), a * (1 - 2 * z) ** 10)
    assert len(seen) == 10
    assert max(seen) < 50


def test_long_chains_need_no_recursion():
    """Batches and Jacobians of 2,000 steps, far deeper than Python may recurse."""
    limit = sys.getrecursionlimit()

    def chain(y):
        for _ in range(2_000):
            y = y * 0.999
        return y

    x = sc.var("x", "f64[n]")
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 150)
        batch = sc.vmap(chain)(x)
        slopes = sc.vmap(sc.grad(chain))(x)
        matrix = sc.jacobian(chain(x), x)
    finally:
        sys.setrecursionlimit(limit)
    assert [str(e.type) for e in (batch, slopes, matrix)] == ["f64[n]", "f64[n]", "f64[n,n]"]


def test_rules_of_meaning_see_what_was_captured():
    """log(exp(a) + exp(y)) is stable in y though exp(a) is older than the derivative."""

    def f(a, x):
        e = sc.exp(a)
        return sc.grad(lambda y: sc.sum(sc.log(e / (e + sc.exp(y)))))(x)

    np.testing.assert_allclose(sc.jit(f)(np.array([800.0]), np.array([800.0])), [-0.5])


# --- check_grads


def test_check_grads_passes_what_is_right():
    p = {"w": RNG.normal(size=(2, 3)), "b": RNG.normal(size=2)}
    f = lambda p, x, i: {"y": sc.tanh(p["w"] @ x + p["b"])[i], "n": i}  # noqa: E731
    sc.check_grads(f, (p, RNG.normal(size=3), np.array([0, 1, 0])), order=2)
    sc.check_grads(sc.sin, (0.3,), order=3, modes="fwd")
    sc.check_grads(sc.sin, (np.float32(0.3),), order=2, modes=["rev"])


@pytest.mark.parametrize(
    ("f", "args", "kwargs", "says"),
    [
        (lambda x: x * sc.stop_gradient(x), (1.5,), {}, "order 1, mode fwd, .*argument x"),
        (
            lambda p, x: sc.sum(p["w"] * sc.stop_gradient(p["w"]) * x),
            ({"w": np.ones(2)}, np.ones(2)),
            {"modes": ("rev",)},
            r"order 1, mode rev, .*argument p\['w'\]",
        ),
        (
            lambda x, y: x * y + y * (sc.stop_gradient(y) * y) / 2.0,
            (1.5, 2.0),
            {"modes": ("rev",)},
            "order 1, mode rev, .*argument y",
        ),
        (
            lambda x: sc.sum(x * x + sc.where(x > 0, 1e3, 0.0)),
            (np.array([0.0, 1.0]),),
            {},
            "differences",
        ),
    ],
)
def test_check_grads_finds_what_is_wrong(f, args, kwargs, says):
    with pytest.raises(sc.GradientMismatchError, match=f"{says}{HERE}") as caught:
        sc.check_grads(f, args, **kwargs)
    assert isinstance(caught.value, AssertionError)
    assert len(str(caught.value).splitlines()) <= 6


def test_check_grads_finds_a_wrong_second_derivative():
    """x**2 / 2 written so that its first derivative is right and its second is not."""

    def f(x):
        s = sc.stop_gradient(x)
        return x * s - s * s / 2.0

    sc.check_grads(f, (1.5,), order=0)
    for modes, route in ((("fwd",), "fwd of fwd"), (("rev",), "rev of rev")):
        with pytest.raises(sc.GradientMismatchError, match=f"order 2, mode {route}"):
            sc.check_grads(f, (1.5,), modes=modes)


def test_check_grads_refuses():
    for use, error in (
        (lambda: sc.check_grads(sc.sin, (1,)), sc.DTypeError),
        (lambda: sc.check_grads(3, (1.0,)), sc.DTypeError),
        (lambda: sc.check_grads(sc.sin, (1.0,), modes=("forward",)), sc.DomainError),
        (lambda: sc.check_grads(sc.sin, (1.0,), modes=()), sc.DomainError),
        (lambda: sc.check_grads(sc.sin, (sc.var("x", "f64"),)), sc.TracerError),
        (lambda: sc.check_grads(sc.sin, 1.0), sc.ShapeError),
    ):
        with pytest.raises(error, match=HERE):
            use()
