"""What loops promise, on both doors: one program for fifty lengths, Gauss-Newton in two loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import symc as sc
from symc.compile.driver import recording

N = 3
RNG = np.random.default_rng(11)
LENGTHS = range(2, 52)


def hidden(parts: Sequence[object], xs: object) -> object:
    u, w = parts[:2]
    return sc.scan(lambda h, x: (sc.tanh(x @ u + h @ w),) * 2, sc.zeros(N), xs)[1]


def total(parts: Sequence[object], xs: object) -> object:
    return sc.sum(hidden(parts, xs) ** 2)


def weights() -> list[np.ndarray]:
    return [RNG.normal(size=(N, N)) / 2 for _ in range(3)]


def by_hand(parts: Sequence[np.ndarray], xs: np.ndarray) -> float:
    h, found = np.zeros(N), 0.0
    for x in xs:
        h = np.tanh(x @ parts[0] + h @ parts[1])
        found += float(h @ h)
    return found


def test_fifty_lengths_are_one_program_for_a_function() -> None:
    xs = sc.var("xs", f"f64[n,{N}]")
    shared = [sc.shared(x, name=f"w{i}") for i, x in enumerate(weights()[:2])]
    with recording() as made:
        cost = total(shared, xs)
        f = sc.function([xs], [cost, *sc.grad(cost, shared)], cache=False)
        values = [w.get() for w in shared]
        for rows in (0, 1, *LENGTHS):
            given = RNG.normal(size=(rows, N))
            np.testing.assert_allclose(f(given)[0], by_hand(values, given), rtol=1e-12)
    assert len(made) == 1


@pytest.mark.parametrize("of", ["value", "gradient"])
def test_fifty_lengths_are_one_program_for_a_declared_jit(of: str) -> None:
    """With the length declared by name, the first call is compiled for all."""
    run = total if of == "value" else sc.value_and_grad(total)
    parts = weights()[:2]

    specs = ("f64[3,3]", "f64[3,3]", "f64[n,3]")
    f = sc.jit(lambda u, w, xs: run([u, w], xs), in_specs=specs)
    with recording() as made:
        for rows in LENGTHS:
            given = RNG.normal(size=(rows, N))
            found = f(*parts, given)
            value = found if of == "value" else found[0]
            np.testing.assert_allclose(value, by_hand(parts, given), rtol=1e-12)
    assert len(made) == 1


@pytest.mark.parametrize("of", ["value", "gradient"])
def test_fifty_lengths_are_one_more_program_for_a_jit(of: str) -> None:
    """The first call is compiled for its sizes, the second for all that come after."""
    run = sc.jit(total if of == "value" else sc.grad(total))
    parts = weights()[:2]
    with recording() as made:
        for rows in LENGTHS:
            run(parts, RNG.normal(size=(rows, N)))
    assert len(made) == 2


def test_fifty_lengths_are_one_program_at_once() -> None:
    """A loop that is not jitted is traced at every call and finds its code by its content."""
    parts = weights()[:2]
    with recording() as made:
        values = [float(sc.sum(hidden(parts, RNG.normal(size=(rows, N))) ** 2)) for rows in LENGTHS]
    assert np.all(np.isfinite(values))
    names = {one.entry.function.name for one in made}
    assert len(made) <= len(names) + 1


def outputs(parts: Sequence[object], xs: object) -> object:
    return hidden(parts, xs) @ parts[2]


def dense(parts: Sequence[np.ndarray], v: Sequence[np.ndarray], xs: np.ndarray) -> list[np.ndarray]:
    """J^T J v from the whole Jacobian."""
    jacobian = sc.jacrev(lambda parts: outputs(parts, xs).reshape(-1))(list(parts))
    flat = np.concatenate([np.reshape(j, (j.shape[0], -1)) for j in jacobian], axis=1)
    product = flat.T @ (flat @ np.concatenate([x.ravel() for x in v]))
    return list(np.reshape(product, (3, N, N)))


def by_operators(parts: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> Callable:
    xs = sc.var("xs", f"f64[n,{N}]")
    own = [sc.var(name, f"f64[{N},{N}]") for name in "UWV"]
    moves = [sc.var(f"v{name}", f"f64[{N},{N}]") for name in "UWV"]
    out = outputs(own, xs)
    made = sc.Lop(out, own, sc.Rop(out, own, moves))
    f = sc.function([xs, *own, *moves], made, cache=False)
    return lambda data: (f(data, *parts, *v), f.explain())


def by_transforms(parts: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> Callable:
    @sc.jit
    def product(parts: list, v: list, xs: object) -> object:
        def run(parts: list) -> object:
            return outputs(parts, xs)

        _, moved = sc.jvp(run, (parts,), (v,))
        return sc.vjp(run, parts)[1](moved)

    return lambda data: (product(list(parts), list(v), data)[0], product.explain())


def by_ggn_vp(parts: Sequence[np.ndarray], v: Sequence[np.ndarray]) -> Callable:
    @sc.jit
    def product(parts: list, v: list, xs: object) -> object:
        return sc.ggn_vp(lambda p: outputs(p, xs), lambda out: sc.sum(out**2) / 2, parts, v)

    return lambda data: (product(list(parts), list(v), data), product.explain())


WAYS = {"operators": by_operators, "transforms": by_transforms, "ggn_vp": by_ggn_vp}


@pytest.mark.parametrize("way", list(WAYS))
def test_gauss_newton_runs_two_loops(way: str) -> None:
    """One over values and tangents, and the adjoint."""
    parts, v, data = weights(), weights(), RNG.normal(size=(7, N))
    found, report = WAYS[way](parts, v)(data)
    for ours, theirs in zip(found, dense(parts, v, data), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    forward, backward = report.loops
    assert (forward.reverse, backward.reverse) == (False, True)
    # The state with its weights and their tangents; its tangent with the weights.
    assert sorted(product.n for product in forward.products) == [N, 2 * N]
    assert forward.carries == 2
    assert len(backward.products) == 1


def test_the_tangent_of_a_loop_is_one_loop_without_rows() -> None:
    """Forward mode remembers nothing of the steps."""
    xs = sc.var("xs", f"f64[n,{N}]")
    own = [sc.var(name, f"f64[{N},{N}]") for name in "UW"]
    moves = [sc.var(f"v{name}", f"f64[{N},{N}]") for name in "UW"]
    with sc.options(memory_limit=0):
        last = hidden(own, xs)[-1]
        made = sc.Rop(last, own, moves)
        f = sc.function([xs, *own, *moves], made, cache=False)
    (loop,) = f.explain().loops
    assert loop.kept == ()
    assert loop.memory == 0
    assert isinstance(f.cost().workspace, int)
