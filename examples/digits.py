"""Train the three classifiers of Theano's 2012 paper on the UCI handwritten digits.

Softmax regression, one hidden layer of 500 and three of 1000 (tanh), by minibatch gradient descent:
the parameters are shared variables, and one compiled function computes the loss and applies all
updates.  Prints examples per second and accuracy on a held-out fifth; saves the loss curves.

    python examples/digits.py [--epochs-scale 1.0] [--out examples/out]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits

import symc as sc

mpl.use("Agg")
from matplotlib import pyplot as plt

PIXELS, CLASSES = 64, 10


@dataclass(frozen=True)
class Model:
    """One classifier: sizes of its hidden layers and how it is trained."""

    title: str
    hidden: tuple[int, ...]
    rate: float
    epochs: int
    batch: int = 20


MODELS = (
    Model("softmax regression", (), rate=0.2, epochs=300),
    Model("1 hidden layer of 500", (500,), rate=0.1, epochs=200),
    Model("3 hidden layers of 1000", (1000, 1000, 1000), rate=0.05, epochs=60),
)


@dataclass(frozen=True)
class Trainer:
    """The compiled functions of one model."""

    step: Callable[[np.ndarray, np.ndarray], np.ndarray]
    predict: Callable[[np.ndarray], np.ndarray]


def build(model: Model, seed: int = 0) -> Trainer:
    """Declare the model's parameters and compile its training step and its prediction."""
    rng = np.random.default_rng(seed)
    x = sc.var("x", f"f32[batch,{PIXELS}]")
    labels = sc.var("labels", "i64[batch]")
    sizes = (PIXELS, *model.hidden, CLASSES)
    weights, biases = [], []
    for layer, (m, n) in enumerate(pairwise(sizes)):
        scale = np.sqrt(6.0 / (m + n)) if layer < len(model.hidden) else 0.0
        start = rng.uniform(-scale, scale, (m, n)).astype(np.float32)
        weights.append(sc.shared(start, name=f"W{layer}"))
        biases.append(sc.shared(np.zeros(n, np.float32), name=f"b{layer}"))
    h = x
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = sc.tanh(h @ w + b)
    logits = h @ weights[-1] + biases[-1]
    loss = -sc.mean(
        sc.sum(sc.one_hot(labels, CLASSES, dtype="f32") * sc.log_softmax(logits), axis=1)
    )
    parameters = weights + biases
    updates = {
        p: p - model.rate * g for p, g in zip(parameters, sc.grad(loss, parameters), strict=True)
    }
    return Trainer(
        step=sc.function([x, labels], loss, updates=updates, name="step"),
        predict=sc.function([x], sc.argmax(logits, axis=1), name="predict"),
    )


def train(
    model: Model, data: tuple[np.ndarray, ...], epochs: int, progress: Progress
) -> tuple[list[float], float, float]:
    """Train one model; returns the loss per epoch, examples per second, and test accuracy."""
    train_x, train_y, test_x, test_y = data
    trainer = build(model)
    task = progress.add_task(model.title, total=epochs)
    order = np.random.default_rng(1)
    losses, examples, seconds = [], 0, 0.0
    for _ in range(epochs):
        shuffled = order.permutation(len(train_x))
        batches = [shuffled[i : i + model.batch] for i in range(0, len(shuffled), model.batch)]
        pairs = [(train_x[rows], train_y[rows]) for rows in batches]
        start = time.perf_counter()
        total = sum(float(trainer.step(*pair)) * len(pair[0]) for pair in pairs)
        seconds += time.perf_counter() - start
        examples += len(shuffled)
        losses.append(total / len(shuffled))
        progress.update(task, advance=1)
    accuracy = float(np.mean(trainer.predict(test_x) == test_y))
    return losses, examples / seconds, accuracy


def load() -> tuple[np.ndarray, ...]:
    """The digits, scaled to [0, 1] and shuffled: train images, labels, test images, labels."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(images))
    held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    return images[rest], labels[rest], images[held_out], labels[held_out]


def plot(curves: dict[str, list[float]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for title, losses in curves.items():
        axes.semilogy(np.linspace(0, 1, len(losses)), losses, label=title)
    axes.set(xlabel="fraction of the training time", ylabel="training loss (cross-entropy)")
    axes.set_title("UCI handwritten digits")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run the demo; returns test accuracy by model title."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="multiply all epoch counts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out")
    options = parser.parse_args(arguments)
    console = Console()
    data = load()
    console.print(f"{len(data[0])} training and {len(data[2])} test images of 8x8 pixels")
    table = Table("model", "examples/s", "loss", "test accuracy")
    curves, accuracies = {}, {}
    columns = (TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for model in MODELS:
            epochs = max(1, round(model.epochs * options.epochs_scale))
            losses, rate, accuracy = train(model, data, epochs, progress)
            curves[model.title], accuracies[model.title] = losses, accuracy
            table.add_row(model.title, f"{rate:,.0f}", f"{losses[-1]:.4f}", f"{accuracy:.1%}")
    console.print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "digits.png"
    plot(curves, path)
    console.print(f"loss curves: {path}")
    return accuracies


if __name__ == "__main__":
    main()
