"""A recurrent network that learns to write licence text, one character at a time.

The text is the licence that ships with Python.  One layer of tanh units reads the characters and
gives the odds of the next one; the gradient goes back through all steps of a segment, and the state
goes on to the next segment in a shared variable.  One compiled function is a training step: the
loss, its gradient through the loop, and the updates (Adam).  Prints the loss and a sample.

    python examples/characters.py [--epochs 200] [--hidden 128] [--length 400]
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


@dataclass(frozen=True)
class Network:
    """The compiled functions, and the state that goes from segment to segment.

    step: codes and their successors -> the loss per character; updates all weights.
    odds: a state (1, hidden) and one code -> the next state, log odds of each character.
    """

    step: Callable[[np.ndarray, np.ndarray], np.ndarray]
    odds: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    state: sc.Shared


def build(letters: int, hidden: int) -> Network:
    """Declare the weights, and compile a training step and the function that writes."""
    rng = np.random.default_rng(0)

    def weights(name: str, rows: int, columns: int) -> sc.Shared:
        scale = np.sqrt(1.0 / rows) if rows > 1 else 0.0
        return sc.shared(rng.normal(0, scale, (rows, columns)).astype(np.float32), name=name)

    u, w, b = weights("U", letters, hidden), weights("W", hidden, hidden), weights("b", 1, hidden)
    v, c = weights("V", hidden, letters), weights("c", 1, letters)
    state = sc.shared(np.zeros((LANES, hidden), np.float32), name="state")

    def move(h: sc.Expr, codes: sc.Expr) -> sc.Expr:
        return sc.tanh(sc.one_hot(codes, letters, dtype="f32") @ u + h @ w + b)

    codes = sc.var("codes", f"i64[{STEPS},{LANES}]")
    after = sc.var("after", f"i64[{STEPS},{LANES}]")
    last, hs = sc.scan(lambda h, x: (move(h, x),) * 2, state, codes)
    log_odds = sc.log_softmax(hs @ v + c)
    loss = -sc.mean(sc.sum(sc.one_hot(after, letters, dtype="f32") * log_odds, axis=-1))
    updates = adam(loss, [u, w, b, v, c])
    updates[state] = last

    h, code = sc.var("h", f"f32[1,{hidden}]"), sc.var("code", "i64[1]")
    following = move(h, code)
    return Network(
        step=sc.function([codes, after], loss, updates=updates, name="step"),
        odds=sc.function([h, code], [following, sc.log_softmax(following @ v + c)], name="odds"),
        state=state,
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
    h = np.zeros((1, network.state.get().shape[1]), np.float32)
    written = start
    log_odds = np.zeros((1, len(text.alphabet)))
    for place in range(len(start) + length):
        if place >= len(start):
            drawn = rng.gumbel(size=len(text.alphabet)) + 1.5 * log_odds[0]
            written += text.alphabet[int(np.argmax(drawn))]
        h, log_odds = network.odds(h, np.array([text.alphabet.index(written[place])]))
    return written


def train(
    network: Network, text: Text, epochs: int, progress: Progress
) -> tuple[list[float], float]:
    """The loss per character of each epoch, and characters per second."""
    segments = text.segments()
    task = progress.add_task("loss -", total=epochs)
    losses, start = [], time.perf_counter()
    for _ in range(epochs):
        network.state.set(np.zeros_like(network.state.get()))
        losses.append(float(np.mean([network.step(*segment) for segment in segments])))
        progress.update(task, advance=1, description=f"loss {losses[-1]:.3f}")
    seen = epochs * len(segments) * STEPS * LANES
    return losses, seen / (time.perf_counter() - start)


def main(arguments: list[str] | None = None) -> tuple[list[float], str]:
    """Train and write; the losses and the sample."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--length", type=int, default=400)
    chosen = parser.parse_args(arguments)
    console, text = Console(), load()
    network = build(len(text.alphabet), chosen.hidden)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        losses, rate = train(network, text, chosen.epochs, progress)
    sample = write(network, text, "PYTHON SOFTWARE ", chosen.length)
    console.print(
        f"{len(text.codes)} characters of {len(text.alphabet)} kinds: loss {losses[0]:.3f} -> "
        f"{losses[-1]:.3f} nats per character, {rate:,.0f} characters/s"
    )
    console.print(sample, markup=False, highlight=False)
    return losses, sample


if __name__ == "__main__":
    main()
