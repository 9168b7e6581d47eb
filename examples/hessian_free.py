"""Hessian-free training of a recurrent network on handwritten digits, against gradient descent.

The network reads an image row by row, eight rows of eight pixels, and says at the end which digit
it saw.  A step of Hessian-free optimisation (Martens, 2010) is one native call: loss and gradient
by backpropagation through time; conjugate gradients on products with the Gauss-Newton matrix, each
of which runs the network with its tangent, and its adjoint, and nothing more; the damping follows
how well the quadratic model foretold the loss.  Prints what both methods reach in the same time.

    python examples/hessian_free.py [--steps 30] [--hidden 48] [--images 1797]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.datasets import load_digits

import symc as sc

SIDE, CLASSES = 8, 10
MOST, RATIO = 40, 0.05  # steps of conjugate gradients, and the residual at which they stop
START, GROWN, SHRUNK = 1.0, 1.5, 2 / 3  # damping
PENALTY = 1e-4

Parts = Sequence[sc.Expr]


@dataclass(frozen=True)
class Data:
    """Images as sequences of rows, f64[8, n, 8], and digits one-hot, f64[n, 10]."""

    rows: np.ndarray
    target: np.ndarray


def load(images: int) -> tuple[Data, Data]:
    """The digits that ship with scikit-learn; every fifth is for checking."""
    found = load_digits()
    rows = found.images[:images].transpose(1, 0, 2) / 16
    target = np.eye(CLASSES)[found.target[:images]]
    check = np.arange(len(target)) % 5 == 4
    return Data(rows[:, ~check], target[~check]), Data(rows[:, check], target[check])


def weights(hidden: int) -> list[np.ndarray]:
    """Input, recurrent and output weights with their biases."""
    rng = np.random.default_rng(0)
    u = rng.normal(0, 1 / np.sqrt(SIDE), (SIDE, hidden))
    w = np.linalg.qr(rng.normal(size=(hidden, hidden)))[0]
    v = rng.normal(0, 1 / np.sqrt(hidden), (hidden, CLASSES))
    return [u, w, np.zeros(hidden), v, np.zeros(CLASSES)]


def scores(parts: Parts, rows: sc.Expr) -> sc.Expr:
    """What the network says of each image: (n, 10)."""
    u, w, b, v, c = parts
    start = sc.zeros((rows.shape[1], w.shape[0]))
    h, _ = sc.scan(lambda h, x: (sc.tanh(x @ u + h @ w + b), None), start, rows)
    return h @ v + c


def entropy(said: sc.Expr, target: sc.Expr) -> sc.Expr:
    """The mean cross entropy."""
    return -sc.mean(sc.sum(target * sc.log_softmax(said), axis=1))


def inner(a: Parts, b: Parts) -> sc.Expr:
    """The inner product of two directions."""
    return sum(sc.sum(x * y) for x, y in zip(a, b, strict=True))


def moved(a: Parts, length: sc.Expr, b: Parts) -> list[sc.Expr]:
    """a + length * b."""
    return [x + length * y for x, y in zip(a, b, strict=True)]


def conjugate_gradient(
    product: Callable[[Parts], Parts], target: Parts, start: Parts
) -> tuple[list[sc.Expr], sc.Expr]:
    """A direction x with product(x) near `target`, and the steps that it took."""
    residual = moved(target, -1.0, product(start))
    limit = RATIO**2 * inner(target, target)

    def unsolved(state: tuple[Parts, Parts, Parts, sc.Expr, sc.Expr]) -> sc.Expr:
        return (state[3] > limit) & (state[4] < MOST)

    def step(state: tuple[Parts, Parts, Parts, sc.Expr, sc.Expr]) -> tuple[object, ...]:
        x, residual, direction, square, steps = state
        image = product(direction)
        length = square / inner(direction, image)
        residual = moved(residual, -length, image)
        after = inner(residual, residual)
        return (
            moved(x, length, direction),
            residual,
            moved(residual, after / square, direction),
            after,
            steps + 1,
        )

    first = (list(start), residual, residual, inner(residual, residual), 0)
    x, _, _, _, steps = sc.while_loop(unsolved, step, first)
    return x, steps


@sc.jit
def hessian_free(
    parts: Parts, before: Parts, damping: sc.Expr, rows: sc.Expr, target: sc.Expr
) -> tuple[list[sc.Expr], list[sc.Expr], sc.Expr, sc.Expr, sc.Expr]:
    """New weights, the direction, the new damping, the loss before, products made."""

    def loss(parts: Parts) -> sc.Expr:
        decay = PENALTY / 2 * inner(parts, parts)
        return entropy(scores(parts, rows), target) + decay

    def product(v: Parts) -> list[sc.Expr]:
        curved = sc.ggn_vp(
            lambda parts: scores(parts, rows), lambda said: entropy(said, target), list(parts), v
        )
        return moved(curved, damping + PENALTY, v)

    value, slope = sc.value_and_grad(loss)(list(parts))
    down = [-g for g in slope]
    direction, steps = conjugate_gradient(product, down, [0.9 * x for x in before])
    foretold = inner(slope, direction) + inner(direction, product(direction)) / 2
    candidate = moved(parts, 1.0, direction)
    after = loss(candidate)
    ratio = (after - value) / foretold
    damping = sc.where(ratio > 0.75, damping * SHRUNK, damping)
    damping = sc.where(ratio > 0.25, damping, damping * GROWN)
    better = after < value
    kept = [sc.where(better, new, old) for new, old in zip(candidate, parts, strict=True)]
    return kept, direction, damping, value, steps


@sc.jit
def descent(
    parts: Parts, speed: Parts, rate: sc.Expr, rows: sc.Expr, target: sc.Expr
) -> tuple[list[sc.Expr], list[sc.Expr], sc.Expr]:
    """One step of gradient descent with momentum: weights, velocities, the loss before."""

    def loss(parts: Parts) -> sc.Expr:
        return entropy(scores(parts, rows), target) + PENALTY / 2 * inner(parts, parts)

    value, slope = sc.value_and_grad(loss)(list(parts))
    speed = [0.9 * s - rate * g for s, g in zip(speed, slope, strict=True)]
    return moved(parts, 1.0, speed), speed, value


@sc.jit
def accuracy(parts: Parts, rows: sc.Expr, target: sc.Expr) -> sc.Expr:
    """The share of images whose digit the network says."""
    said = sc.argmax(scores(parts, rows), axis=1)
    return sc.mean((said == sc.argmax(target, axis=1)).astype("f64"))


@dataclass(frozen=True)
class Run:
    """What a method reached."""

    title: str
    losses: list[float]
    seconds: float
    accuracy: float


def by_curvature(steps: int, hidden: int, data: Data, unseen: Data) -> Run:
    """Hessian-free optimisation; the time leaves the compilation out."""
    parts = weights(hidden)
    before, damping = [np.zeros_like(p) for p in parts], np.float64(START)
    hessian_free(parts, before, damping, data.rows, data.target)
    losses, products, begun = [], 0, time.perf_counter()
    with Progress(transient=True) as progress:
        for _ in progress.track(range(steps), description="Hessian-free"):
            parts, before, damping, value, count = hessian_free(
                parts, before, damping, data.rows, data.target
            )
            losses.append(float(value))
            products += int(count)
    spent = time.perf_counter() - begun
    title = f"Hessian-free, {steps} steps, {products} products"
    return Run(title, losses, spent, float(accuracy(parts, unseen.rows, unseen.target)))


def by_gradient(seconds: float, hidden: int, data: Data, unseen: Data) -> Run:
    """Gradient descent with momentum for as long."""
    parts = weights(hidden)
    speed, rate = [np.zeros_like(p) for p in parts], np.float64(0.2)
    descent(parts, speed, rate, data.rows, data.target)
    losses, begun = [], time.perf_counter()
    while time.perf_counter() - begun < seconds or not losses:
        parts, speed, value = descent(parts, speed, rate, data.rows, data.target)
        losses.append(float(value))
    spent = time.perf_counter() - begun
    title = f"gradient descent, {len(losses)} steps"
    return Run(title, losses, spent, float(accuracy(parts, unseen.rows, unseen.target)))


def main(arguments: list[str] | None = None) -> tuple[Run, Run]:
    """Train by both methods and print what they reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--images", type=int, default=1797)
    chosen = parser.parse_args(arguments)
    data, unseen = load(chosen.images)
    curved = by_curvature(chosen.steps, chosen.hidden, data, unseen)
    plain = by_gradient(curved.seconds, chosen.hidden, data, unseen)
    table = Table(
        title=f"a recurrent network of {chosen.hidden} units on {data.target.shape[0]} digits"
    )
    for title in ("", "loss", "unseen", "s"):
        table.add_column(title, justify="right" if title else "left")
    for run in (curved, plain):
        row = (f"{run.losses[-1]:.4f}", f"{run.accuracy:.3f}", f"{run.seconds:.2f}")
        table.add_row(run.title, *row)
    console = Console()
    console.print(table)
    loops = hessian_free.explain().loops
    console.print(f"loops of a step: {', '.join(loop.kind for loop in loops)}")
    return curved, plain


if __name__ == "__main__":
    main()
