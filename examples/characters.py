"""Recurrent networks that learn to write licence text, one character at a time.

The text is the licence that ships with Python.  A layer of tanh units, or of LSTM cells, reads the
characters and gives the odds of the next one; the gradient goes back through all steps of a
segment, and the state goes on to the next segment in shared variables.  One compiled function is a
training step: the loss, its gradient through the loop, and the updates (Adam).  Prints the loss,
what the compiler made of the loops, and a sample.

    python examples/characters.py [--cell lstm] [--epochs 200] [--hidden 128] [--length 400]
"""

from __future__ import annotations

import argparse
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import symc as sc

LANES, STEPS = 16, 48
RATE, DECAY, DECAY_OF_SQUARES, TINY = 3e-3, 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Text:
    """A text as numbers: the characters in use, and the code of each character."""

    alphabet: str
    codes: np.ndarray

    def segments(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Characters and their successors, (STEPS, LANES): lane i reads the i-th part on."""
        rows = (len(self.codes) - 1) // LANES // STEPS * STEPS
        before = self.codes[: rows * LANES].reshape(LANES, rows).T
        after = self.codes[1 : rows * LANES + 1].reshape(LANES, rows).T
        starts = range(0, rows, STEPS)
        return [(before[i : i + STEPS], after[i : i + STEPS]) for i in starts]


def load() -> Text:
    """The licence that ships with Python."""
    text = (Path(sysconfig.get_path("stdlib")) / "LICENSE.txt").read_text(encoding="utf-8")
    alphabet = "".join(sorted(set(text)))
    place = {character: code for code, character in enumerate(alphabet)}
    return Text(alphabet, np.array([place[character] for character in text]))


Step = Callable[[list[sc.Expr], sc.Expr], list[sc.Expr]]


class Weights:
    """The weights of a network, by name, as they are asked for."""

    def __init__(self) -> None:
        self.all: list[sc.Shared] = []
        self.rng = np.random.default_rng(0)

    def matrix(self, name: str, rows: int, columns: int) -> sc.Shared:
        drawn = self.rng.normal(0, np.sqrt(1.0 / rows), (rows, columns))
        self.all.append(sc.shared(drawn.astype(np.float32), name=name))
        return self.all[-1]

    def row(self, name: str, columns: int, value: float = 0.0) -> sc.Shared:
        self.all.append(sc.shared(np.full((1, columns), value, np.float32), name=name))
        return self.all[-1]


def tanh_cell(weights: Weights, letters: int, hidden: int) -> Step:
    """h = tanh(x U + h W + b)."""
    u, w = weights.matrix("U", letters, hidden), weights.matrix("W", hidden, hidden)
    b = weights.row("b", hidden)

    def step(state: list[sc.Expr], x: sc.Expr) -> list[sc.Expr]:
        return [sc.tanh(x @ u + state[0] @ w + b)]

    return step


def lstm_cell(weights: Weights, letters: int, hidden: int) -> Step:
    """Four gates, each with weights of its own: the compiler makes one product of their four."""
    gates = []
    for gate, bias in (("input", 0.0), ("forget", 1.0), ("output", 0.0), ("new", 0.0)):
        u, w = (
            weights.matrix(f"{k} {gate}", n, hidden) for k, n in (("U", letters), ("W", hidden))
        )
        gates.append((u, w, weights.row(f"b {gate}", hidden, bias)))

    def step(state: list[sc.Expr], x: sc.Expr) -> list[sc.Expr]:
        h, c = state
        i, f, o, new = (x @ u + h @ w + b for u, w, b in gates)
        c = sc.sigmoid(f) * c + sc.sigmoid(i) * sc.tanh(new)
        return [sc.sigmoid(o) * sc.tanh(c), c]

    return step


CELLS = {"tanh": (tanh_cell, 1), "lstm": (lstm_cell, 2)}  # with the arrays of their state


@dataclass(frozen=True)
class Network:
    """The compiled functions, and the state that goes from segment to segment.

    step: codes and their successors -> the loss per character; updates all weights.
    odds: arrays of a state (1, hidden), and one code -> the next state, log odds of each character.
    """

    step: sc.Function
    odds: Callable[..., list[np.ndarray]]
    states: list[sc.Shared]

    def forget(self) -> None:
        """Start from a state of zeros."""
        for state in self.states:
            state.set(np.zeros_like(state.get()))


def build(cell: str, letters: int, hidden: int) -> Network:
    """Declare the weights, and compile a training step and the function that writes."""
    weights = Weights()
    make, arrays = CELLS[cell]
    move = make(weights, letters, hidden)
    v, c = weights.matrix("V", hidden, letters), weights.row("c", letters)
    states = [sc.shared(np.zeros((LANES, hidden), np.float32)) for _ in range(arrays)]

    def read(state: list[sc.Expr], codes: sc.Expr) -> tuple[list[sc.Expr], sc.Expr]:
        state = move(state, sc.one_hot(codes, letters, dtype="f32"))
        return state, state[0]

    codes = sc.var("codes", f"i64[{STEPS},{LANES}]")
    after = sc.var("after", f"i64[{STEPS},{LANES}]")
    last, hs = sc.scan(read, states, codes)
    log_odds = sc.log_softmax(hs @ v + c)
    loss = -sc.mean(sc.sum(sc.one_hot(after, letters, dtype="f32") * log_odds, axis=-1))
    updates = adam(loss, weights.all) | dict(zip(states, last, strict=True))

    before = [sc.var(f"state{i}", f"f32[1,{hidden}]") for i in range(arrays)]
    code = sc.var("code", "i64[1]")
    following, h = read(before, code)
    made = [*following, sc.log_softmax(h @ v + c)]
    return Network(
        step=sc.function([codes, after], loss, updates=updates, name="step"),
        odds=sc.function([*before, code], made, name="odds"),
        states=states,
    )


def adam(loss: sc.Expr, parameters: list[sc.Shared]) -> dict[sc.Shared, sc.Expr]:
    """Updates of the parameters and of their running means."""
    count = sc.shared(np.float32(0), name="count")
    updates: dict[sc.Shared, sc.Expr] = {count: count + 1}
    for p, g in zip(parameters, sc.grad(loss, parameters), strict=True):
        m, s = (sc.shared(np.zeros_like(p.get()), name=f"{kind} {p.name}") for kind in "ms")
        updates[m] = DECAY * m + (1 - DECAY) * g
        updates[s] = DECAY_OF_SQUARES * s + (1 - DECAY_OF_SQUARES) * g * g
        mean = updates[m] / (1 - DECAY ** updates[count])
        square = updates[s] / (1 - DECAY_OF_SQUARES ** updates[count])
        updates[p] = p - RATE * mean / (sc.sqrt(square) + TINY)
    return updates


def write(network: Network, text: Text, start: str, length: int) -> str:
    """`start` and what the network writes after it, drawn with its odds."""
    rng = np.random.default_rng(0)
    state = [np.zeros_like(one.get()[:1]) for one in network.states]
    written = start
    log_odds = np.zeros((1, len(text.alphabet)))
    for place in range(len(start) + length):
        if place >= len(start):
            drawn = rng.gumbel(size=len(text.alphabet)) + 1.5 * log_odds[0]
            written += text.alphabet[int(np.argmax(drawn))]
        *state, log_odds = network.odds(*state, np.array([text.alphabet.index(written[place])]))
    return written


def train(
    network: Network, text: Text, epochs: int, progress: Progress
) -> tuple[list[float], float]:
    """The loss per character of each epoch, and characters per second."""
    segments = text.segments()
    task = progress.add_task("loss -", total=epochs)
    losses, start = [], time.perf_counter()
    for _ in range(epochs):
        network.forget()
        losses.append(float(np.mean([network.step(*segment) for segment in segments])))
        progress.update(task, advance=1, description=f"loss {losses[-1]:.3f}")
    seen = epochs * len(segments) * STEPS * LANES
    return losses, seen / (time.perf_counter() - start)


def main(arguments: list[str] | None = None) -> tuple[list[float], str]:
    """Train and write; the losses and the sample."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cell", choices=list(CELLS), default="tanh")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--length", type=int, default=400)
    chosen = parser.parse_args(arguments)
    console, text = Console(), load()
    network = build(chosen.cell, len(text.alphabet), chosen.hidden)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        losses, rate = train(network, text, chosen.epochs, progress)
    sample = write(network, text, "PYTHON SOFTWARE ", chosen.length)
    console.print(
        f"{len(text.codes)} characters of {len(text.alphabet)} kinds: loss {losses[0]:.3f} -> "
        f"{losses[-1]:.3f} nats per character, {rate:,.0f} characters/s"
    )
    for loop in network.step.explain().loops:
        way = "backward" if loop.reverse else "forward"
        found = ", ".join(product.shape for product in loop.products)
        console.print(f"{way} loop: {loop.kernels} kernels a step; products {found}", markup=False)
    console.print(sample, markup=False, highlight=False)
    return losses, sample


if __name__ == "__main__":
    main()
