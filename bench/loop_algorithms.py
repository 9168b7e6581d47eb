"""Algorithms that are loops: dynamic programming, solvers, and training of recurrent cells.

As `loop_programs`: each program gives candidates by name that do the same work on the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.loop_programs import Program, Runs, by_jax, jitted, normal


def forward(states: int, steps: int = 500) -> Program:
    """The forward algorithm of a hidden Markov model, in logarithms."""
    rng = np.random.default_rng(states)
    a = np.log(rng.dirichlet(np.ones(states), states))
    e = np.log(rng.random((steps, states)))

    def step(logsumexp: Any, a: Any) -> Callable[..., Any]:
        return lambda p, e: (logsumexp(p[:, None] + a, axis=0) + e, None)

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(a: Any, e: Any) -> Any:
            return sc.scan(step(sc.logsumexp, a), e[0], e)[0]

        def theirs(a: Any, e: Any) -> Any:
            import jax

            return jax.lax.scan(step(jax.nn.logsumexp, a), e[0], e)[0]

        return {"symc": jitted(threads, ours, a, e), **by_jax(theirs, a, e)}

    return Program(f"hidden Markov model, {states} states", steps, runs)


def viterbi(states: int, steps: int = 500) -> Program:
    """The most likely path: values and where they came from."""
    rng = np.random.default_rng(states)
    a, e = rng.standard_normal((states, states)), rng.standard_normal((steps, states))

    def step(m: Any, a: Any) -> Callable[..., Any]:
        def one(p: Any, e: Any) -> Any:
            found = p[:, None] + a
            return m.max(found, axis=0) + e, m.argmax(found, axis=0)

        return one

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(a: Any, e: Any) -> Any:
            return sc.scan(step(sc, a), e[0], e)

        def theirs(a: Any, e: Any) -> Any:
            import jax

            return jax.lax.scan(step(jax.numpy, a), e[0], e)

        return {"symc": jitted(threads, ours, a, e), **by_jax(theirs, a, e)}

    return Program(f"Viterbi, {states} states", steps, runs)


def conjugate_gradient(size: int, steps: int = 20) -> Program:
    """A fixed number of steps on a dense matrix."""
    m = normal(size, size, scale=size**-0.5)
    s, b = m @ m.T + 2 * np.eye(size), normal(size)

    def solve(dot: Any, fori_loop: Any, s: Any, b: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            x, r, p, rr = state
            q = s @ p
            a = rr / dot(p, q)
            x, r = x + a * p, r - a * q
            after = dot(r, r) + 1e-300
            return x, r, r + (after / rr) * p, after

        return fori_loop(0, steps, step, (b * 0, b, b, dot(b, b)))[0]

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(s: Any, b: Any) -> Any:
            return solve(lambda x, y: sc.sum(x * y), sc.fori_loop, s, b)

        def theirs(s: Any, b: Any) -> Any:
            import jax

            return solve(jax.numpy.dot, jax.lax.fori_loop, s, b)

        return {"symc": jitted(threads, ours, s, b), **by_jax(theirs, s, b)}

    return Program(f"conjugate gradient, {size} x {size}", steps, runs)


def edit_distance(length: int = 200) -> Program:
    """A loop over rows, each a loop over cells."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, length))

    def rows(m: Any, scan: Any, joined: Any, b: Any) -> Callable[..., Any]:
        def cell(symbol: Any) -> Callable[..., Any]:
            def one(left: Any, above: Any) -> Any:
                up, diagonal, other = above
                change = diagonal + m.where(symbol != other, 1.0, 0.0)
                best = m.minimum(m.minimum(up + 1.0, left + 1.0), change)
                return best, best

            return one

        def row(before: Any, symbol: Any) -> Any:
            first = before[0] + 1.0
            rest = scan(cell(symbol), first, (before[1:], before[:-1], b))[1]
            return joined([before[:1] + 1.0, rest]), None

        return row

    def runs(threads: int) -> Runs:
        import symc as sc

        start = np.arange(length + 1.0)

        def ours(a: Any, b: Any) -> Any:
            return sc.scan(rows(sc, sc.scan, sc.concat, b), start, a)[0]

        def theirs(a: Any, b: Any) -> Any:
            import jax

            m = jax.numpy
            row = rows(m, jax.lax.scan, m.concatenate, b)
            return jax.lax.scan(row, m.asarray(start), a)[0]

        return {"symc": jitted(threads, ours, a, b), **by_jax(theirs, a, b)}

    return Program("edit distance, nested scans", length * length, runs)


def training(units: int, batch: int, steps: int = 60) -> Program:
    """Loss and gradient of an LSTM; f32."""
    f32 = np.float32
    xs, start = normal(steps, batch, units, dtype=f32), np.zeros((batch, units), f32)
    u, w = (normal(units, k * units, dtype=f32, scale=units**-0.5) for k in (4, 4))
    b = np.zeros(4 * units, f32)

    def loss(m: Any, sigmoid: Any, scan: Any) -> Callable[..., Any]:
        def of(u: Any, w: Any, b: Any, xs: Any) -> Any:
            def one(state: Any, x: Any) -> Any:
                h, c = state
                z = x @ u + h @ w + b
                i, f, o = (sigmoid(z[:, k * units : (k + 1) * units]) for k in range(3))
                c = f * c + i * m.tanh(z[:, 3 * units :])
                h = o * m.tanh(c)
                return (h, c), h

            hs = scan(one, (start, start), xs)[1]
            return m.mean(hs * hs)

        return of

    def runs(threads: int) -> Runs:
        import symc as sc

        mine = sc.value_and_grad(loss(sc, sc.sigmoid, sc.scan), argnums=(0, 1, 2))

        def theirs(*args: Any) -> Any:
            import jax

            of = loss(jax.numpy, jax.nn.sigmoid, jax.lax.scan)
            return jax.value_and_grad(of, argnums=(0, 1, 2))(*args)

        return {"symc": jitted(threads, mine, u, w, b, xs), **by_jax(theirs, u, w, b, xs)}

    return Program(f"LSTM gradient, {units} units, batch {batch}", steps, runs)


ALGORITHMS = (
    *(make(states) for make in (forward, viterbi) for states in (16, 64)),
    *(conjugate_gradient(size) for size in (32, 256)),
    edit_distance(),
    *(training(units, batch) for units, batch in ((64, 1), (64, 20), (128, 32))),
)
