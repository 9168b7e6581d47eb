"""Recurrences that people write, in symc, numba and JAX: cells, filters, integrators, walks.

Each program is one function of `threads` that gives candidates by name; all start from the same
numbers, float64 unless the program is a cell.  numba gets plain loops, which it does best; JAX gets
`lax.scan`, `lax.fori_loop` and `lax.while_loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.peers import installed
from bench.timing import Run

Runs = dict[str, Run]


@dataclass(frozen=True, slots=True)
class Program:
    """`steps` of the innermost loop in one call of each candidate."""

    name: str
    steps: int
    runs: Callable[[int], Runs]


def jitted(threads: int, function: Callable[..., object], *arrays: object) -> Run:
    """A call of symc's `jit`."""
    import symc as sc

    compiled = sc.jit(function, threads=threads)
    return lambda: compiled(*arrays)


def by_jax(function: Callable[..., Any], *arrays: object) -> Runs:
    """A call of JAX's `jit`, where it is installed."""
    if "jax" not in installed():
        return {}
    import jax

    jax.config.update("jax_enable_x64", True)
    compiled, known = jax.jit(function), [jax.numpy.asarray(a) for a in arrays]
    return {"jax": lambda: jax.block_until_ready(compiled(*known))}


def by_numba(function: Callable[..., object], *arrays: object) -> Runs:
    """A call of `numba.njit`, where it is installed."""
    if "numba" not in installed():
        return {}
    import numba

    compiled = numba.njit(function)
    return {"numba": lambda: compiled(*arrays)}


def normal(*shape: int, dtype: type = np.float64, scale: float = 1.0) -> np.ndarray:
    """Normal numbers, the same for each shape."""
    found = np.random.default_rng(sum(shape)).standard_normal(shape) * scale
    return found.astype(dtype)


# Cells.


def lstm(units: int, batch: int, steps: int = 100) -> Program:
    """All four gates from one product each of input and state; f32."""
    f32 = np.float32
    xs, start = normal(steps, batch, units, dtype=f32), np.zeros((batch, units), f32)
    u, w = (normal(units, k * units, dtype=f32, scale=units**-0.5) for k in (4, 4))
    b = np.zeros(4 * units, f32)

    def step(m: Any, sigmoid: Any, u: Any, w: Any, b: Any) -> Callable[..., Any]:
        def one(state: Any, x: Any) -> Any:
            h, c = state
            z = x @ u + h @ w + b
            i, f, o = (sigmoid(z[:, k * units : (k + 1) * units]) for k in range(3))
            c = f * c + i * m.tanh(z[:, 3 * units :])
            h = o * m.tanh(c)
            return (h, c), h

        return one

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(xs: Any, u: Any, w: Any, b: Any) -> Any:
            return sc.scan(step(sc, sc.sigmoid, u, w, b), (start, start), xs)[1]

        def theirs(xs: Any, u: Any, w: Any, b: Any) -> Any:
            import jax

            state = (jax.numpy.asarray(start),) * 2
            return jax.lax.scan(step(jax.numpy, jax.nn.sigmoid, u, w, b), state, xs)[1]

        return {"symc": jitted(threads, ours, xs, u, w, b), **by_jax(theirs, xs, u, w, b)}

    return Program(f"LSTM, {units} units, batch {batch}", steps, runs)


def gru(units: int, batch: int, steps: int = 100) -> Program:
    """Reset, update and candidate; f32."""
    f32 = np.float32
    xs, start = normal(steps, batch, units, dtype=f32), np.zeros((batch, units), f32)
    u = normal(units, 3 * units, dtype=f32, scale=units**-0.5)
    w = normal(units, 2 * units, dtype=f32, scale=units**-0.5)
    v = normal(units, units, dtype=f32, scale=units**-0.5)

    def step(m: Any, sigmoid: Any, u: Any, w: Any, v: Any) -> Callable[..., Any]:
        def one(h: Any, x: Any) -> Any:
            a, g = x @ u, h @ w
            r = sigmoid(a[:, :units] + g[:, :units])
            z = sigmoid(a[:, units : 2 * units] + g[:, units:])
            n = m.tanh(a[:, 2 * units :] + (r * h) @ v)
            h = z * h + (1 - z) * n
            return h, h

        return one

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(xs: Any, u: Any, w: Any, v: Any) -> Any:
            return sc.scan(step(sc, sc.sigmoid, u, w, v), start, xs)[1]

        def theirs(xs: Any, u: Any, w: Any, v: Any) -> Any:
            import jax

            first = jax.numpy.asarray(start)
            return jax.lax.scan(step(jax.numpy, jax.nn.sigmoid, u, w, v), first, xs)[1]

        return {"symc": jitted(threads, ours, xs, u, w, v), **by_jax(theirs, xs, u, w, v)}

    return Program(f"GRU, {units} units, batch {batch}", steps, runs)


# Filters and integrators.


def kalman(steps: int = 10_000) -> Program:
    """Four states, one measurement."""
    ys = normal(steps)
    a = np.eye(4) + 0.1 * np.eye(4, k=1)
    q, h, r = 0.01 * np.eye(4), np.array([1.0, 0.0, 0.5, 0.0]), 0.1
    first = (np.zeros(4), np.eye(4))

    def step(outer: Any, a: Any, q: Any, h: Any) -> Callable[..., Any]:
        def one(state: Any, y: Any) -> Any:
            m, p = state
            m, p = a @ m, a @ p @ a.T + q
            ph = p @ h
            gain = ph / (h @ ph + r)
            m = m + gain * (y - h @ m)
            p = p - outer(gain, ph)
            return (m, p), m

        return one

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(ys: Any, a: Any, q: Any, h: Any) -> Any:
            one = step(lambda x, y: x[:, None] * y[None, :], a, q, h)
            return sc.scan(one, first, ys)[1]

        def theirs(ys: Any, a: Any, q: Any, h: Any) -> Any:
            import jax

            state = tuple(jax.numpy.asarray(x) for x in first)
            return jax.lax.scan(step(jax.numpy.outer, a, q, h), state, ys)[1]

        def loops(ys: Any, a: Any, q: Any, h: Any) -> Any:
            m, p = np.zeros(4), np.eye(4)
            ap, found = np.zeros((4, 4)), np.empty((len(ys), 4))
            for t in range(len(ys)):
                am = a @ m
                for i in range(4):
                    for j in range(4):
                        total = 0.0
                        for k in range(4):
                            total += a[i, k] * p[k, j]
                        ap[i, j] = total
                for i in range(4):
                    for j in range(4):
                        total = q[i, j]
                        for k in range(4):
                            total += ap[i, k] * a[j, k]
                        p[i, j] = total
                ph = p @ h
                gain = ph / (h @ ph + r)
                m = am + gain * (ys[t] - h @ am)
                for i in range(4):
                    for j in range(4):
                        p[i, j] -= gain[i] * ph[j]
                found[t] = m
            return found

        mine = {"symc": jitted(threads, ours, ys, a, q, h)}
        return mine | by_numba(loops, ys, a, q, h) | by_jax(theirs, ys, a, q, h)

    return Program("Kalman filter, 4 states", steps, runs)


def lorenz(steps: int = 100_000) -> Program:
    """Runge-Kutta of order 4, three states."""
    dt = 0.01

    def slope(x: Any, y: Any, z: Any) -> Any:
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.6666666666666665 * z

    def step(state: Any) -> Any:
        def moved(k: Any, by: float) -> Any:
            return tuple(a + by * b for a, b in zip(state, k, strict=True))

        k1 = slope(*state)
        k2 = slope(*moved(k1, dt / 2))
        k3 = slope(*moved(k2, dt / 2))
        k4 = slope(*moved(k3, dt))
        parts = zip(state, k1, k2, k3, k4, strict=True)
        return tuple(a + dt / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in parts)

    def loops(x: float, y: float, z: float) -> Any:
        for _ in range(steps):
            a1, b1, c1 = 10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.6666666666666665 * z
            u, v, w = x + dt / 2 * a1, y + dt / 2 * b1, z + dt / 2 * c1
            a2, b2, c2 = 10.0 * (v - u), u * (28.0 - w) - v, u * v - 2.6666666666666665 * w
            u, v, w = x + dt / 2 * a2, y + dt / 2 * b2, z + dt / 2 * c2
            a3, b3, c3 = 10.0 * (v - u), u * (28.0 - w) - v, u * v - 2.6666666666666665 * w
            u, v, w = x + dt * a3, y + dt * b3, z + dt * c3
            a4, b4, c4 = 10.0 * (v - u), u * (28.0 - w) - v, u * v - 2.6666666666666665 * w
            x += dt / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
            y += dt / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
            z += dt / 6 * (c1 + 2 * c2 + 2 * c3 + c4)
        return x, y, z

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(x: Any, y: Any, z: Any) -> Any:
            return sc.fori_loop(0, steps, lambda i, s: step(s), (x, y, z))

        def theirs(x: Any, y: Any, z: Any) -> Any:
            import jax

            return jax.lax.fori_loop(0, steps, lambda i, s: step(s), (x, y, z))

        start = (1.0, 1.0, 1.0)
        return (
            {"symc": jitted(threads, ours, *start)}
            | by_numba(loops, *start)
            | by_jax(theirs, *start)
        )

    return Program("Runge-Kutta, Lorenz, 3 states", steps, runs)


def lorenz96(states: int, steps: int = 10_000) -> Program:
    """Runge-Kutta of order 4 on a ring of states."""
    dt, start = 0.01, normal(states)

    def step(roll: Any) -> Callable[..., Any]:
        def slope(x: Any) -> Any:
            return (roll(x, -1) - roll(x, 2)) * roll(x, 1) - x + 8.0

        def one(x: Any) -> Any:
            k1 = slope(x)
            k2 = slope(x + dt / 2 * k1)
            k3 = slope(x + dt / 2 * k2)
            k4 = slope(x + dt * k3)
            return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return one

    def loops(start: Any) -> Any:
        n = len(start)
        x, y, total, k = start.copy(), start.copy(), np.empty(n), np.empty(n)
        for _ in range(steps):
            total[:] = 0.0
            y[:] = x
            for stage in range(4):
                for i in range(n):
                    ahead = y[i + 1] if i + 1 < n else y[0]
                    k[i] = (ahead - y[i - 2]) * y[i - 1] - y[i] + 8.0
                weight = 1.0 if stage in (0, 3) else 2.0
                ratio = dt if stage == 2 else dt / 2
                for i in range(n):
                    total[i] += weight * k[i]
                    y[i] = x[i] + ratio * k[i]
            for i in range(n):
                x[i] += dt / 6 * total[i]
        return x

    def runs(threads: int) -> Runs:
        import symc as sc

        def ours(x: Any) -> Any:
            return sc.fori_loop(0, steps, lambda i, s: step(sc.roll)(s), x)

        def theirs(x: Any) -> Any:
            import jax

            return jax.lax.fori_loop(0, steps, lambda i, s: step(jax.numpy.roll)(s), x)

        return (
            {"symc": jitted(threads, ours, start)} | by_numba(loops, start) | by_jax(theirs, start)
        )

    return Program(f"Runge-Kutta, Lorenz 96, {states} states", steps, runs)


# Walks, maps and loops in loops.


def walk(steps: int = 100_000) -> Program:
    """A chain of 1,000 states: the next one is read from a table."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 1000, (1000, 4))
    choices = rng.integers(0, 4, steps)

    def loops(table: Any, choices: Any) -> Any:
        at, seen = 0, np.empty(len(choices), np.int64)
        for t in range(len(choices)):
            at = table[at, choices[t]]
            seen[t] = at
        return seen

    def runs(threads: int) -> Runs:
        import symc as sc

        def step(table: Any) -> Callable[..., Any]:
            def one(at: Any, choice: Any) -> Any:
                at = table[at, choice]
                return at, at

            return one

        def ours(table: Any, choices: Any) -> Any:
            return sc.scan(step(table), np.int64(0), choices)[1]

        def theirs(table: Any, choices: Any) -> Any:
            import jax

            return jax.lax.scan(step(table), jax.numpy.int64(0), choices)[1]

        mine = {"symc": jitted(threads, ours, table, choices)}
        return mine | by_numba(loops, table, choices) | by_jax(theirs, table, choices)

    return Program("random walk by a table", steps, runs)


def logistic(steps: int = 100_000) -> Program:
    """x = r x (1 - x) until a number of steps is reached: a while loop."""

    def loops(x: float, r: float) -> Any:
        n = 0
        while n < steps:
            x = r * x * (1.0 - x)
            n += 1
        return x

    def going(state: Any) -> Any:
        return state[1] < steps

    def runs(threads: int) -> Runs:
        import symc as sc

        def step(r: Any) -> Callable[..., Any]:
            return lambda state: (r * state[0] * (1.0 - state[0]), state[1] + 1)

        def ours(x: Any, r: Any) -> Any:
            return sc.while_loop(going, step(r), (x, 0))[0]

        def theirs(x: Any, r: Any) -> Any:
            import jax

            return jax.lax.while_loop(going, step(r), (x, 0))[0]

        start = (0.3, 3.7)
        return (
            {"symc": jitted(threads, ours, *start)}
            | by_numba(loops, *start)
            | by_jax(theirs, *start)
        )

    return Program("logistic map, while", steps, runs)


def nested(outer: int = 1000, inner: int = 50) -> Program:
    """A loop in a loop: square roots by Newton's steps inside a recurrence."""
    xs = np.abs(normal(outer)) + 1.0

    def loops(xs: Any) -> Any:
        total, found = 0.0, np.empty(len(xs))
        for t in range(len(xs)):
            target, root = xs[t] + 0.1 * total, 1.0
            for _ in range(inner):
                root = 0.5 * (root + target / root)
            total = 0.5 * total + root
            found[t] = total
        return found

    def runs(threads: int) -> Runs:
        import symc as sc

        def step(fori_loop: Any) -> Callable[..., Any]:
            def one(total: Any, x: Any) -> Any:
                target = x + 0.1 * total
                root = fori_loop(0, inner, lambda i, r: 0.5 * (r + target / r), 1.0)
                total = 0.5 * total + root
                return total, total

            return one

        def ours(xs: Any) -> Any:
            return sc.scan(step(sc.fori_loop), 0.0, xs)[1]

        def theirs(xs: Any) -> Any:
            import jax

            return jax.lax.scan(step(jax.lax.fori_loop), 0.0, xs)[1]

        return {"symc": jitted(threads, ours, xs)} | by_numba(loops, xs) | by_jax(theirs, xs)

    return Program("nested loops, Newton's steps", outer * inner, runs)


PROGRAMS = (
    *(cell(64, batch) for cell in (lstm, gru) for batch in (1, 20)),
    kalman(),
    lorenz(),
    *(lorenz96(states) for states in (8, 50)),
    walk(),
    logistic(),
    nested(),
)
