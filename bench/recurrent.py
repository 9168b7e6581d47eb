"""The training step of Theano's 2012 paper, Figure 2, in symc and in its peers.

A simple recurrent network (tanh, softmax output), batch 1, inputs = hidden = outputs = N, a
sequence of 100, full back-propagation through time, plain gradient descent, float32.  Every builder
gives a function that does one whole step and leaves the parameters changed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.models import RATE, Step

STEPS = 100


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs f32[100, n] and labels i64[100]."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((STEPS, n)).astype(np.float32), rng.integers(0, n, STEPS)


def parameters(n: int) -> list[np.ndarray]:
    """Input, recurrent and output weights, then the biases of state and output."""
    rng = np.random.default_rng(1)
    weights = [(rng.standard_normal((n, n)) / np.sqrt(n)).astype(np.float32) for _ in range(3)]
    return [*weights, np.zeros(n, np.float32), np.zeros(n, np.float32)]


def symc_step(n: int, threads: int) -> Step:
    """`sc.scan` over shared variables: `sc.function` with updates."""
    import symc as sc

    x_data, y_data = data(n)
    x, y = sc.var("x", f"f32[{STEPS},{n}]"), sc.var("y", f"i64[{STEPS}]")
    params = [sc.shared(p) for p in parameters(n)]
    u, w, v, b, c = params
    start = np.zeros(n, np.float32)
    _, hs = sc.scan(lambda h, a: (sc.tanh(a @ u + h @ w + b),) * 2, start, x)
    logp = sc.log_softmax(hs @ v + c)
    loss = -sc.mean(sc.take_along_axis(logp, y[:, None], axis=1))
    slopes = sc.grad(loss, params)
    updates = [(p, p - RATE * g) for p, g in zip(params, slopes, strict=True)]
    f = sc.function([x, y], loss, updates=updates, threads=threads)
    return lambda: f(x_data, y_data)


def numpy_step(n: int, threads: int) -> Step:
    """By hand: the input product before the loop, gradients of weights after it."""
    x_data, y_data = data(n)
    params = parameters(n)
    u, w, v, b, c = params
    rows = np.arange(STEPS)
    hs = np.zeros((STEPS + 1, n), np.float32)

    def run() -> object:
        xu = x_data @ u + b
        for t in range(STEPS):
            np.tanh(hs[t] @ w + xu[t], out=hs[t + 1])
        z = hs[1:] @ v + c
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(s[:, 0]) - z[rows, y_data])
        g = e / s
        g[rows, y_data] -= 1
        g /= np.float32(STEPS)
        back = g @ v.T
        da = np.empty_like(back)
        carried = np.zeros(n, np.float32)
        for t in range(STEPS - 1, -1, -1):
            h = hs[t + 1]
            np.multiply(back[t] + carried, 1 - h * h, out=da[t])
            carried = da[t] @ w.T
        slopes = (x_data.T @ da, hs[:-1].T @ da, hs[1:].T @ g, da.sum(axis=0), g.sum(axis=0))
        for p, d in zip(params, slopes, strict=True):
            d *= np.float32(RATE)
            p -= d
        return loss

    return run


def jax_step(n: int, threads: int) -> Step:
    """`jax.lax.scan`, donated parameters."""
    import jax
    import jax.numpy as jnp

    x, y = map(jnp.asarray, data(n))

    def loss(params, x, y):
        u, w, v, b, c = params

        def one(h, a):
            h = jnp.tanh(a @ u + h @ w + b)
            return h, h

        _, hs = jax.lax.scan(one, jnp.zeros(n, jnp.float32), x)
        logp = jax.nn.log_softmax(hs @ v + c)
        return -jnp.mean(jnp.take_along_axis(logp, y[:, None], axis=1))

    def step(params, x, y):
        value, slopes = jax.value_and_grad(loss)(params, x, y)
        return [p - RATE * g for p, g in zip(params, slopes, strict=True)], value

    compiled = jax.jit(step, donate_argnums=0)
    state = [[jnp.asarray(p) for p in parameters(n)]]

    def run() -> object:
        state[0], value = compiled(state[0], x, y)
        return value.block_until_ready()

    return run


def torch_step(n: int, threads: int) -> Step:
    """`torch.nn.RNN`, its own native loop, and autograd."""
    import torch

    torch.set_num_threads(threads)
    x_data, y_data = data(n)
    x, y = torch.from_numpy(x_data), torch.from_numpy(y_data)
    u, w, v, b, c = (torch.from_numpy(p) for p in parameters(n))
    cell = torch.nn.RNN(n, n, nonlinearity="tanh")
    out = torch.nn.Linear(n, n)
    with torch.no_grad():
        cell.weight_ih_l0.copy_(u.T)
        cell.weight_hh_l0.copy_(w.T)
        cell.bias_ih_l0.copy_(b)
        cell.bias_hh_l0.zero_()
        out.weight.copy_(v.T)
        out.bias.copy_(c)
    params = [*cell.parameters(), *out.parameters()]

    def run() -> object:
        hs, _ = cell(x)
        loss = torch.nn.functional.cross_entropy(out(hs), y)
        slopes = torch.autograd.grad(loss, params)
        with torch.no_grad():
            torch._foreach_add_(params, slopes, alpha=-RATE)
        return loss

    return run


def pytensor_step(n: int, threads: int) -> Step:
    """`pytensor.scan` with shared variables and updates, `trust_input`."""
    import pytensor
    import pytensor.tensor as pt

    x_data, y_data = data(n)
    x, y = pt.fmatrix("x"), pt.lvector("y")
    params = [pytensor.shared(p) for p in parameters(n)]
    u, w, v, b, c = params
    start = pt.zeros(n, dtype="float32")

    def one(a, h, u, w, b):
        return pt.tanh(a @ u + h @ w + b)

    hs = pytensor.scan(
        one, sequences=x, outputs_info=start, non_sequences=[u, w, b], return_updates=False
    )
    logp = pt.special.log_softmax(hs @ v + c, axis=-1)
    loss = -pt.mean(logp[pt.arange(y.shape[0]), y])
    rate = np.float32(RATE)
    updates = [(p, p - rate * g) for p, g in zip(params, pytensor.grad(loss, params), strict=True)]
    f = pytensor.function([x, y], loss, updates=updates)
    f.trust_input = True
    return lambda: f(x_data, y_data)


BUILDERS: dict[str, Callable[[int, int], Step]] = {
    "symc": symc_step,
    "numpy": numpy_step,
    "pytensor": pytensor_step,
    "jax": jax_step,
    "torch": torch_step,
}
