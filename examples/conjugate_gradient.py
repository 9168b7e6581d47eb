"""Kernel ridge regression on handwritten digits by conjugate gradients, in one native call.

The matrix is the Gaussian kernel of the images, 1797 x 1797; one system per class, so that the
largest of ten answers names the digit.  Conjugate gradients are ten lines of plain mathematics in a
`while_loop`; `vmap` makes ten systems of one, each of which stops when it is solved.  Prints the
steps, the time, and what SciPy's `cg` takes for the same.

    python examples/conjugate_gradient.py [--images 1797] [--ridge 1e-2] [--tolerance 1e-6]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.datasets import load_digits

import symc as sc

WIDTH, CLASSES = 2.0, 10


@dataclass(frozen=True)
class Data:
    """Images f64[n, 64] in [0, 1], and digits, for fitting and for checking."""

    x: np.ndarray
    digit: np.ndarray
    unseen: np.ndarray
    unseen_digit: np.ndarray


def load(images: int) -> Data:
    """The digits that ship with scikit-learn; every fifth is for checking."""
    found = load_digits()
    x, digit = found.data[:images] / 16, found.target[:images]
    check = np.arange(len(x)) % 5 == 4
    return Data(x[~check], digit[~check], x[check], digit[check])


@sc.jit
def kernel(a: sc.Expr, b: sc.Expr) -> sc.Expr:
    """Gaussian kernel of rows: (n, 64), (m, 64) -> (n, m)."""
    apart = sc.sum(a * a, axis=1)[:, None] + sc.sum(b * b, axis=1) - 2 * a @ b.T
    return sc.exp(-sc.maximum(apart, 0) / (2 * WIDTH**2))


def conjugate_gradient(matrix: sc.Expr, b: sc.Expr, tolerance: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
    """x with |b - A x| <= tolerance |b|, for a positive definite A; and the steps that it took."""
    limit = tolerance**2 * (b @ b)

    def unsolved(state: tuple[sc.Expr, ...]) -> sc.Expr:
        _, _, _, square, steps = state
        return (square > limit) & (steps < len_of(b))

    def step(state: tuple[sc.Expr, ...]) -> tuple[sc.Expr, ...]:
        x, residual, direction, square, steps = state
        image = matrix @ direction
        length = square / (direction @ image)
        residual = residual - length * image
        after = residual @ residual
        direction, moved = residual + after / square * direction, x + length * direction
        return moved, residual, direction, after, steps + 1

    x, _, _, _, steps = sc.while_loop(unsolved, step, (sc.zeros_like(b), b, b, b @ b, 0))
    return x, steps


def len_of(b: sc.Expr) -> int:
    """As many steps as unknowns are enough in exact arithmetic."""
    return b.shape[0]


@sc.jit
def solve(matrix: sc.Expr, targets: sc.Expr, tolerance: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
    """One system per row of `targets`, all in one loop."""
    return sc.vmap(lambda b: conjugate_gradient(matrix, b, tolerance))(targets)


def by_scipy(matrix: np.ndarray, targets: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
    """The same with SciPy: solutions, and products with the matrix."""
    products = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return matrix @ v

    operator = LinearOperator(matrix.shape, matvec=product, dtype=matrix.dtype)
    found = [cg(operator, b, rtol=tolerance)[0] for b in targets]
    return np.array(found), products


def timed(run: object, *arguments: object) -> tuple[object, float]:
    """A result, and the least of three times in seconds."""
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        made = run(*arguments)
        spent.append(time.perf_counter() - start)
    return made, min(spent)


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    """Fit, compare and print; the accuracy on unseen images, the largest difference to SciPy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1797)
    parser.add_argument("--ridge", type=float, default=1e-2)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    chosen = parser.parse_args(arguments)
    data = load(chosen.images)
    matrix = kernel(data.x, data.x) + chosen.ridge * np.eye(len(data.x))
    targets = np.where(data.digit == np.arange(CLASSES)[:, None], 1.0, -1.0)
    (weights, steps), seconds = timed(solve, matrix, targets, chosen.tolerance)
    (theirs, products), their_seconds = timed(by_scipy, matrix, targets, chosen.tolerance)
    guessed = np.argmax(weights @ kernel(data.x, data.unseen), axis=0)
    accuracy = float(np.mean(guessed == data.unseen_digit))
    table = Table(title=f"{CLASSES} systems of {len(matrix)} unknowns, to {chosen.tolerance:g}")
    for title in ("", "products", "ms"):
        table.add_column(title, justify="right" if title else "left")
    table.add_row("symc, one call", str(int(np.sum(steps))), f"{1e3 * seconds:.1f}")
    table.add_row("SciPy's cg", str(products), f"{1e3 * their_seconds:.1f}")
    console = Console()
    console.print(table)
    apart = float(np.max(np.abs(weights - theirs)) / np.max(np.abs(theirs)))
    console.print(f"accuracy on unseen images {accuracy:.3f}; largest difference {apart:.1e}")
    return accuracy, apart


if __name__ == "__main__":
    main()
