"""The training step of Theano's 2012 paper, Figure 1, in symc and in its peers.

A multilayer perceptron of any sizes, one minibatch, cross-entropy, plain gradient descent or
momentum, float32.  Every builder gives a function that does one whole step and leaves the
parameters changed, as a user of that system would write it for speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Step = Callable[[], object]
RATE = 0.01


@dataclass(frozen=True, slots=True)
class Spec:
    """Layer sizes, minibatch, activation ("tanh", "sigmoid", "relu") and momentum (0: none).

    by_hand: the loss from exponentials and a division, as a user may write it who knows of no
    softmax; peers keep their own way, which is the fastest that they have.
    """

    sizes: tuple[int, ...]
    batch: int
    activation: str = "tanh"
    momentum: float = 0.0
    by_hand: bool = False

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.sizes[0])).astype(np.float32)
        return x, rng.integers(0, self.sizes[-1], self.batch)

    def parameters(self) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(1)
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return [
            (
                (rng.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32),
                np.zeros(n, np.float32),
            )
            for m, n in pairs
        ]


def symc_step(spec: Spec, threads: int) -> Step:
    """Shared variables and updates: `sc.function`."""
    import symc as sc

    x_data, y_data = spec.data()
    x = sc.var("x", f"f32[{spec.batch},{spec.sizes[0]}]")
    y = sc.var("y", f"i64[{spec.batch}]")
    act = getattr(sc, spec.activation)
    shared = [(sc.shared(w), sc.shared(b)) for w, b in spec.parameters()]
    h = x
    for w, b in shared[:-1]:
        h = act(h @ w + b)
    w, b = shared[-1]
    logits = h @ w + b
    hot = sc.one_hot(y, spec.sizes[-1], dtype="f32")
    if spec.by_hand:
        powers = sc.exp(logits)
        chances = powers / sc.sum(powers, axis=1, keepdims=True)
        loss = -sc.mean(sc.log(sc.sum(hot * chances, axis=1)))
    else:
        loss = -sc.mean(sc.sum(hot * sc.log_softmax(logits), axis=1))
    flat = [p for pair in shared for p in pair]
    grads = sc.grad(loss, flat)
    updates = {}
    for p, g in zip(flat, grads, strict=True):
        if spec.momentum:
            v = sc.shared(np.zeros_like(p.get()))
            updates[v] = spec.momentum * v - RATE * g
            updates[p] = p + updates[v]
        else:
            updates[p] = p - RATE * g
    f = sc.function([x, y], loss, updates=updates, threads=threads)
    return lambda: f(x_data, y_data)


def symc_jit_step(spec: Spec, threads: int) -> Step:
    """Parameters as a pytree through `sc.jit`, donated."""
    import symc as sc

    x_data, y_data = spec.data()
    act = getattr(sc, spec.activation)

    def loss(params, x, y):
        h = x
        for w, b in params[:-1]:
            h = act(h @ w + b)
        w, b = params[-1]
        hot = sc.one_hot(y, spec.sizes[-1], dtype="f32")
        return -sc.mean(sc.sum(hot * sc.log_softmax(h @ w + b), axis=1))

    @sc.jit(donate_argnums=(0,), threads=threads)
    def step(params, x, y):
        value, grads = sc.value_and_grad(loss)(params, x, y)
        moved = [
            (w - RATE * gw, b - RATE * gb) for (w, b), (gw, gb) in zip(params, grads, strict=True)
        ]
        return moved, value

    state = [spec.parameters()]

    def run() -> object:
        state[0], value = step(state[0], x_data, y_data)
        return value

    return run


def numpy_step(spec: Spec, threads: int) -> Step:
    """By hand: forward, backward, in-place updates."""
    x_data, y_data = spec.data()
    params = spec.parameters()
    rows = np.arange(spec.batch)
    velocity = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]

    def act(z: np.ndarray) -> np.ndarray:
        if spec.activation == "tanh":
            return np.tanh(z)
        return 1 / (1 + np.exp(-z)) if spec.activation == "sigmoid" else np.maximum(z, 0)

    def slope(h: np.ndarray) -> np.ndarray:
        if spec.activation == "tanh":
            return 1 - h * h
        return h * (1 - h) if spec.activation == "sigmoid" else (h > 0).astype(np.float32)

    def update(p: np.ndarray, v: np.ndarray, g: np.ndarray) -> None:
        if spec.momentum:
            v *= np.float32(spec.momentum)
            g *= np.float32(RATE)
            v -= g
            p += v
        else:
            g *= np.float32(RATE)
            p -= g

    def run() -> object:
        hidden = [x_data]
        for w, b in params[:-1]:
            hidden.append(act(hidden[-1] @ w + b))
        z = hidden[-1] @ params[-1][0] + params[-1][1]
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(s[:, 0]) - z[rows, y_data])
        g = e / s
        g[rows, y_data] -= 1
        g /= np.float32(spec.batch)
        for i in range(len(params) - 1, -1, -1):
            w, b = params[i]
            gw, gb = hidden[i].T @ g, g.sum(axis=0)
            if i:
                g = (g @ w.T) * slope(hidden[i])
            update(w, velocity[i][0], gw)
            update(b, velocity[i][1], gb)
        return loss

    return run


def jax_step(spec: Spec, threads: int) -> Step:
    """`jax.jit` with donated parameters; the call waits for its result."""
    import jax
    import jax.numpy as jnp

    x_data, y_data = spec.data()
    act = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[spec.activation]

    def loss(params, x, y):
        h = x
        for w, b in params[:-1]:
            h = act(h @ w + b)
        w, b = params[-1]
        logp = jax.nn.log_softmax(h @ w + b)
        return -jnp.mean(jnp.take_along_axis(logp, y[:, None], axis=1))

    def step(params, velocity, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        if not spec.momentum:
            return jax.tree.map(lambda p, g: p - RATE * g, params, grads), velocity, value
        velocity = jax.tree.map(lambda v, g: spec.momentum * v - RATE * g, velocity, grads)
        return jax.tree.map(jnp.add, params, velocity), velocity, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = [(jnp.array(w), jnp.array(b)) for w, b in spec.parameters()]
    velocity = jax.tree.map(jnp.zeros_like, params) if spec.momentum else ()
    state = [params, velocity]
    x, y = jnp.array(x_data), jnp.array(y_data)

    def run() -> object:
        state[0], state[1], value = compiled(state[0], state[1], x, y)
        return value.block_until_ready()

    return run


def torch_step(spec: Spec, threads: int) -> Step:
    """Eager torch: autograd, then in-place updates without gradients."""
    import torch

    torch.set_num_threads(threads)
    x_data, y_data = spec.data()
    x, y = torch.from_numpy(x_data), torch.from_numpy(y_data)
    act = getattr(torch, spec.activation)
    params = [torch.from_numpy(p).requires_grad_() for pair in spec.parameters() for p in pair]
    velocity = [torch.zeros_like(p) for p in params]

    def run() -> object:
        h = x
        for i in range(0, len(params) - 2, 2):
            h = act(torch.addmm(params[i + 1], h, params[i]))
        logits = torch.addmm(params[-1], h, params[-2])
        loss = torch.nn.functional.cross_entropy(logits, y)
        grads = torch.autograd.grad(loss, params)
        with torch.no_grad():
            if spec.momentum:
                torch._foreach_mul_(velocity, spec.momentum)
                torch._foreach_add_(velocity, grads, alpha=-RATE)
                torch._foreach_add_(params, velocity)
            else:
                torch._foreach_add_(params, grads, alpha=-RATE)
        return loss

    return run


def pytensor_step(spec: Spec, threads: int) -> Step:
    """PyTensor with shared variables and updates, `trust_input`."""
    import pytensor
    import pytensor.tensor as pt

    x_data, y_data = spec.data()
    x, y = pt.fmatrix("x"), pt.lvector("y")
    act = {"tanh": pt.tanh, "sigmoid": pt.sigmoid, "relu": lambda z: pt.maximum(z, 0)}
    flat = [pytensor.shared(p) for pair in spec.parameters() for p in pair]
    h = x
    for i in range(0, len(flat) - 2, 2):
        h = act[spec.activation](h @ flat[i] + flat[i + 1])
    logp = pt.special.log_softmax(h @ flat[-2] + flat[-1], axis=-1)
    loss = -pt.mean(logp[pt.arange(y.shape[0]), y])
    rate, momentum = np.float32(RATE), np.float32(spec.momentum)
    updates = []
    for p, g in zip(flat, pytensor.grad(loss, flat), strict=True):
        if spec.momentum:
            v = pytensor.shared(np.zeros_like(p.get_value()))
            new = momentum * v - rate * g
            updates += [(v, new), (p, p + new)]
        else:
            updates.append((p, p - rate * g))
    f = pytensor.function([x, y], loss, updates=updates)
    f.trust_input = True
    return lambda: f(x_data, y_data)


BUILDERS: dict[str, Callable[[Spec, int], Step]] = {
    "symc": symc_step,
    "numpy": numpy_step,
    "pytensor": pytensor_step,
    "jax": jax_step,
    "torch": torch_step,
}
