"""vmap: JAX's semantics, on both doors, as batched kernels."""

import numpy as np
import pytest

import symc as sc
from symc.frontend import eager

HERE = r"(.|\n)*test_transforms_batching.py:\d+"
RNG = np.random.default_rng(11)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def same(got, want):
    np.testing.assert_array_equal(got, want)


def contractions(compiled) -> list[str]:
    kernels = compiled.explain().kernels
    return [text for k in kernels for text in k.operations if text.startswith("contract")]


# --- meaning


def test_axes_in_and_out():
    f = lambda a, b: sc.sum(a * b, axis=0)  # noqa: E731
    a, b = RNG.random((2, 5, 3, 4))
    want = (a * b).sum(1)
    close(sc.vmap(f)(a, b), want)
    close(sc.vmap(f, in_axes=(0, 2))(a, np.moveaxis(b, 0, 2)), want)
    close(sc.vmap(f, in_axes=(-3, -1), out_axes=1)(a, np.moveaxis(b, 0, 2)), want.T)
    close(sc.vmap(f, in_axes=[0, None], out_axes=-1)(a, b[0]), (a * b[0]).sum(1).T)
    close(sc.vmap(f, in_axes=1)(np.moveaxis(a, 0, 1), np.moveaxis(b, 0, 1)), want)
    close(sc.vmap(f, (0, None), 0)(a, b[0]), (a * b[0]).sum(1))


def test_trees_and_names():
    def f(params, x, *, shift):
        return {"y": params["w"] @ x + params["b"][0], "sum": (sc.sum(x), x + shift)}

    params = {"w": RNG.random((4, 3)), "b": (RNG.random((5, 4)), None)}
    x, shift = RNG.random((3, 5)), RNG.random((5, 3))
    axes = ({"w": None, "b": 0}, 1)
    out = sc.vmap(f, in_axes=axes, out_axes={"y": 1, "sum": 0})(params, x, shift=shift)
    close(out["y"], params["w"] @ x + params["b"][0].T)
    close(out["sum"][0], x.sum(0))
    close(out["sum"][1], x.T + shift)
    only = sc.vmap(lambda p, v: p["a"] * v, in_axes=({"a": None, "b": None}, 0))
    close(only({"a": 2.0, "b": 3.0}, shift), 2 * shift)


def test_results_that_are_the_same_for_all_elements():
    w, x = RNG.random(3), RNG.random((4, 3))
    f = sc.vmap(lambda v: (sc.sum(w), v, 7), out_axes=(None, 0, 0))
    total, same_as_x, seven = f(x)
    close(total, w.sum())
    same(same_as_x, x)
    same(seven, np.full(4, 7))
    close(sc.vmap(lambda v: sc.sum(w), out_axes=0)(x), np.full(4, w.sum()))
    close(sc.vmap(lambda: sc.asarray(w), axis_size=2)(), np.stack([w, w]))


def test_nested():
    a, b = RNG.random(3), RNG.random(4)
    outer = sc.vmap(sc.vmap(lambda x, y: x * y, (None, 0)), (0, None))
    close(outer(a, b), np.outer(a, b))
    three = sc.vmap(sc.vmap(sc.vmap(lambda x: x * x)))
    cube = RNG.random((2, 3, 4))
    close(three(cube), cube * cube)
    inner_sees_outer = sc.vmap(lambda x: sc.vmap(lambda y: x * y + a[0])(b))
    close(inner_sees_outer(a), np.outer(a, b) + a[0])


def test_sizes_0_and_1_and_changing_sizes():
    f = sc.vmap(lambda x, w: sc.tanh(w @ x), in_axes=(0, None))
    compiled = sc.jit(f)
    w = RNG.random((4, 3))
    for n in (0, 1, 2, 7, 5):
        x = RNG.random((n, 3))
        for g in (f, compiled):
            got = g(x, w)
            assert got.shape == (n, 4)
            close(got, np.tanh(x @ w.T))


def test_one_program_serves_all_sizes():
    f = sc.vmap(lambda x: sc.sum(x * x))
    f(RNG.random((3, 4)))
    known = len(eager._contents)
    for n in range(2, 8):
        x = RNG.random((n, n + 3))
        close(f(x), (x * x).sum(1))
    assert len(eager._contents) <= known + 1


def test_the_explicit_door():
    x, w = sc.var("x", "f64[n,k]"), sc.var("w", "f64[m,k]")
    y = sc.vmap(lambda row: sc.tanh(w @ row))(x)
    assert str(y.type) == "f64[n,m]"
    f = sc.function([x, w], y)
    for n in (1, 5, 0):
        a, b = RNG.random((n, 3)), RNG.random((4, 3))
        close(f(a, b), np.tanh(a @ b.T))
    s = sc.shared(np.array(3.0), "s")
    g = sc.function([x], sc.vmap(lambda row: row * s)(x), updates={s: s + 1})
    same(g(np.ones((2, 2))), np.full((2, 2), 3.0))
    same(g(np.ones((2, 2))), np.full((2, 2), 4.0))


def test_sizes_with_two_names_are_checked_at_the_call():
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[m]")
    f = sc.function([x, y], sc.vmap(lambda a, b: a * b)(x, y))
    same(f(np.ones(3), np.ones(3)), np.ones(3))
    with pytest.raises(sc.ShapeError, match=r"argument a and argument b(.|\n)*n = 3, m = 4"):
        f(np.ones(3), np.ones(4))


def test_constraints_of_the_element_program_hold_for_the_batch():
    x, y = sc.var("x", "f64[b,n]"), sc.var("y", "f64[m]")
    f = sc.function([x, y], sc.vmap(lambda a: a + y)(x))
    same(f(np.ones((2, 3)), np.ones(3)), np.full((2, 3), 2.0))
    with pytest.raises(sc.ShapeError):
        f(np.ones((2, 3)), np.ones(4))


def test_compiled_functions_inside():
    x, w = sc.var("x", "f64[k]"), sc.var("w", "f64[m,k]")
    explicit = sc.function([x, w], sc.sum(w @ x))
    traced = sc.jit(lambda x, w: sc.sum(w @ x))
    a, b = RNG.random((5, 3)), RNG.random((4, 3))
    for f in (explicit, traced):
        close(sc.vmap(f, (0, None))(a, b), (a @ b.T).sum(1))
        close(sc.jit(sc.vmap(f, (0, None)))(a, b), (a @ b.T).sum(1))
        close(sc.vmap(sc.grad(f), (0, None))(a, b), np.tile(b.sum(0), (5, 1)))
    annotated = sc.vmap(annotated_element)
    close(sc.jit(annotated)(a), (a * a).sum(1))


def annotated_element(x: "f64[3]") -> "f64[]":  # noqa: F722, F821
    return sc.sum(x * x)


def test_indexing_and_statements():
    def f(x, i):
        x[i] = x[i] + 1.0
        return x, x[sc.argmax(x)], sc.where(x > 0.5, x, 0.0)

    x, i = RNG.random((6, 4)), np.array([0, 3, -1, 2, 1, 0])
    got, largest, masked = sc.vmap(f)(x, i)
    want = x.copy()
    want[np.arange(6), i] += 1
    close(got, want)
    close(largest, want.max(1))
    close(masked, np.where(want > 0.5, want, 0))
    shared = RNG.random(4)
    rows, _, _ = sc.vmap(f, in_axes=(None, 0))(shared, i)
    want = np.tile(shared, (6, 1))
    want[np.arange(6), i] += 1
    close(rows, want)


def test_lanes_that_do_not_run_a_branch_or_a_step_do_not_trap():
    x = RNG.random((3, 4))
    i, taken = np.array([1, 9, -7]), np.array([True, False, False])

    def pick(x, i, taken):
        return sc.cond(taken, lambda x, i: x[i], lambda x, i: -x[0], x, i)

    want = np.where(taken, x[:, 1], -x[:, 0])
    for f in (sc.vmap(pick), sc.jit(sc.vmap(pick))):
        same(f(x, i, taken), want)
        same(f(x, i, np.zeros(3, bool)), -x[:, 0])
        with pytest.raises(sc.SymcIndexError, match="out of range"):
            f(x, i, ~taken)
    slopes = sc.vmap(sc.grad(lambda x, i, t: sc.sum(pick(x, i, t) ** 2.0)))(x, i, taken)
    close(slopes[0], [0, 2 * x[0, 1], 0, 0])
    close(slopes[1], [2 * x[1, 0], 0, 0, 0])
    close(sc.grad(lambda x: sc.sum(sc.vmap(pick)(x, i, taken) ** 2.0))(x), slopes)

    def inside_a_loop(x, i, taken):
        step = lambda c, _: (sc.cond(taken, lambda c: c + x[i], lambda c: c - 1.0, c), None)  # noqa: E731
        return sc.scan(step, 0.0, length=3)[0]

    close(sc.vmap(inside_a_loop)(x, i, taken), [3 * x[0, 1], -3, -3])

    def total(x, n):
        """The sum of the first n elements; a step after the last would read beyond the end."""
        more = lambda c: c[0] < n  # noqa: E731
        return sc.while_loop(more, lambda c: (c[0] + 1, c[1] + x[c[0]]), (0, 0.0))[1]

    n = np.array([4, 1, 0])
    close(sc.vmap(total)(x, n), [x[k, :m].sum() for k, m in enumerate(n)])
    with pytest.raises(sc.SymcIndexError):
        sc.vmap(total)(x, np.array([1, 5, 0]))
    chosen = sc.vmap(lambda k, x, i: sc.switch(k, [lambda x, i: x[i], lambda x, i: x[i - 5]], x, i))
    close(chosen(np.array([0, 1, 1]), x, np.array([3, 8, 5])), [x[0, 3], x[1, 3], x[2, 0]])

    def shared(t, v, row, j):
        return sc.cond(t, lambda v, row, j: row[j] + v, lambda v, row, j: v, v, row, j)

    batched = sc.vmap(shared, in_axes=(0, 0, None, None))
    close(batched(np.zeros(3, bool), x[:, 0], x[0], 7), x[:, 0])
    close(batched(taken, x[:, 0], x[0], 2), x[:, 0] + taken * x[0, 2])


def test_dtypes_and_weak_numbers():
    x = np.arange(3, dtype=np.float32)
    out = sc.vmap(lambda v, s: v * s, in_axes=(0, None))(x, 2.0)
    assert out.dtype == np.float32
    same(out, 2 * x)
    ints = sc.vmap(lambda v: v + 1)(np.arange(3, dtype=np.int32))
    assert ints.dtype == np.int32


def test_bits_are_those_of_single_calls():
    def f(w, x):
        h = sc.softmax(w @ x)
        return sc.sum(sc.exp(h) * h), sc.prod(h), sc.max(h)

    with sc.options(contract="chain"):
        w, x = RNG.normal(size=(40, 7)), RNG.normal(size=(9, 7))
        batch = sc.vmap(f, (None, 0))(w, x)
        for i in range(9):
            for got, want in zip(batch, f_of(f, w, x[i]), strict=True):
                same(got[i], want)


def f_of(f, *args):
    return sc.jit(f)(*args)


# --- per-example gradients are kernels and matrix products


def loss(params, x, y):
    h = sc.tanh(params["a"] @ x)
    return sc.sum((params["b"] @ h - y) ** 2)


def network(n=6):
    params = {"a": RNG.normal(size=(5, 3)), "b": RNG.normal(size=(2, 5))}
    return params, RNG.normal(size=(n, 3)), RNG.normal(size=(n, 2))


def test_per_example_gradients():
    params, x, y = network()
    per_example = sc.vmap(sc.grad(loss), in_axes=(None, 0, 0))
    compiled = sc.jit(per_example)
    for f in (per_example, compiled):
        got = f(params, x, y)
        for i in range(6):
            want = sc.grad(loss)(params, x[i], y[i])
            close(got["a"][i], want["a"])
            close(got["b"][i], want["b"])
    # Two products forwards, one backwards, two outer products: as many as for one example.
    single = sc.jit(sc.grad(loss)).lower(params, x[0], y[0])
    assert len(contractions(compiled)) <= 5
    assert len(compiled.explain().kernels) <= len(single.explain().kernels) + 2


def test_the_number_of_kernels_does_not_depend_on_the_batch():
    counts = set()
    for n in (2, 64):
        params, x, y = network(n)
        f = sc.jit(sc.vmap(sc.grad(loss), in_axes=(None, 0, 0))).lower(params, x, y)
        counts.add((len(f.explain().kernels), len(contractions(f))))
    assert len(counts) == 1


def test_a_shared_matrix_gives_one_product():
    w, x = RNG.random((64, 32)), RNG.random((100, 32))
    f = sc.jit(sc.vmap(lambda w, x: w @ x, (None, 0)))
    close(f(w, x), x @ w.T)
    (product,) = contractions(f)
    assert "k=32" in product
    assert {"m=64 n=100", "m=100 n=64"} & {" ".join(product.split()[1:3])}
    assert len(f.explain().kernels) == 1


def test_the_mean_of_per_example_gradients_is_the_gradient_of_the_mean():
    params, x, y = network(8)
    mean = lambda p: sc.mean(sc.vmap(loss, (None, 0, 0))(p, x, y))  # noqa: E731
    want = sc.grad(mean)(params)
    got = sc.vmap(sc.grad(loss), (None, 0, 0))(params, x, y)
    for name in params:
        close(got[name].mean(0), want[name])


# --- wrong uses


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda: sc.vmap(lambda a, b: a + b)(np.ones(3), np.ones(4)), sc.ShapeError, "a and.* b"),
        (
            lambda: sc.jit(sc.vmap(lambda a, b: a + b))(np.ones(3), np.ones(4)),
            sc.ShapeError,
            "argument a and argument b",
        ),
        (
            lambda: sc.vmap(lambda p, q: p["x"] * q)({"x": np.ones(2)}, np.ones(3)),
            sc.ShapeError,
            r"argument p\['x'\]",
        ),
        (lambda: sc.vmap(lambda a: a)(1.0), sc.ShapeError, "argument a"),
        (lambda: sc.vmap(lambda a: a, in_axes=1)(np.ones(3)), sc.ShapeError, "axis 1"),
        (lambda: sc.vmap(lambda a: a, in_axes=-2)(np.ones(3)), sc.ShapeError, "axis -2"),
        (lambda: sc.vmap(lambda a: a, in_axes=(0, 0))(np.ones(3)), sc.ShapeError, "in_axes"),
        (lambda: sc.vmap(lambda a: a, in_axes=({"x": 0},))(np.ones(3)), sc.ShapeError, "in_axes"),
        (lambda: sc.vmap(lambda a: a, in_axes=1.5), sc.DTypeError, "in_axes"),
        (lambda: sc.vmap(lambda a: a, in_axes=True), sc.DTypeError, "in_axes"),
        (lambda: sc.vmap(lambda a: a, in_axes=("0",))(np.ones(3)), sc.DTypeError, "in_axes"),
        (lambda: sc.vmap(lambda a: a, in_axes=None)(np.ones(3)), sc.DomainError, "no argument"),
        (lambda: sc.vmap(lambda a: a, out_axes=None)(np.ones(3)), sc.ShapeError, "out_axes"),
        (lambda: sc.vmap(lambda a: a, out_axes=1)(np.ones(3)), sc.ShapeError, "out_axes"),
        (lambda: sc.vmap(lambda a: a, out_axes=(0, 0))(np.ones(3)), sc.ShapeError, "out_axes"),
        (lambda: sc.vmap(lambda a: a, out_axes="x")(np.ones(3)), sc.DTypeError, "out_axes"),
        (lambda: sc.vmap(lambda a: a, axis_size=4)(np.ones(3)), sc.ShapeError, "axis_size"),
        (lambda: sc.vmap(lambda a, b: a)(np.ones(3), np.ones(4)), sc.ShapeError, "argument b"),
        (lambda: sc.vmap(3), sc.DTypeError, "vmap"),
        (lambda: sc.vmap(lambda a: a)("text"), sc.DTypeError, "array"),
    ],
)
def test_wrong_uses(use, error, says):
    with pytest.raises(error, match=f"{says}{HERE}") as caught:
        use()
    assert len(str(caught.value).splitlines()) <= 6


def test_elements_do_not_leave_their_trace():
    kept = []

    def f(x):
        kept.append(x)
        return x

    sc.vmap(f)(np.ones(3))
    with pytest.raises(sc.TracerError, match="vmap of f"):
        kept[0] + 1

    @sc.jit
    def outer(x):
        def inner(y):
            x[0] = 1.0
            return y

        return sc.vmap(inner)(x)

    with pytest.raises(sc.TracerError, match=f"enclosing trace{HERE}"):
        outer(np.ones(3))
