"""`check_grads`: derivatives compared with differences of the function itself.

before: a function and concrete arguments.  after: nothing, or a GradientMismatchError that names
the argument, the mode and the order.

Forward mode is compared with central differences under one step of Richardson extrapolation;
reverse mode by the inner product <pull(u), v> = <u, difference along v>; higher orders by checking
the derivative as a function of its own.  Directions are drawn from one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from symc.frontend import trees
from symc.frontend.convert import as_array
from symc.frontend.entering import leaf_name, parameter_names, require_function, runs_symbolic
from symc.frontend.expr import lift
from symc.frontend.jit import jit
from symc.frontend.transforms import jvp, listed, vjp
from symc.ir.errors import (
    DomainError,
    DTypeError,
    GradientMismatchError,
    TracerError,
    message,
)
from symc.ir.locations import here
from symc.ir.types import is_float
from symc.records import dataclass

MODES: Final = ("fwd", "rev")
SEED: Final = 20121125
# Per mantissa: the step of the differences and the tolerance, relative to the largest element.
STEP: Final = {8: 1e-3, 4: 6e-2}
TOLERANCE: Final = {8: 1e-6, 4: 1e-2}

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class _Check:
    """What is checked, on the float leaves alone: each leaf's name, tolerances, and the route of
    derivatives that led here, such as `rev of fwd`."""

    names: tuple[str, ...]
    modes: tuple[str, ...]
    step: float
    relative: float
    absolute: float
    route: tuple[str, ...] = ()

    def deeper(self, mode: str) -> _Check:
        """The check of a derivative in `mode`."""
        return replace(self, route=(mode, *self.route))


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = MODES,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> None:
    """Compare all derivatives of f at `args`, up to `order`, with differences of f.

    `args`: one tree of arrays per argument; integers stay as they are.  `modes`: "fwd", "rev" or
    both.  An element may differ by `atol + rtol * the largest element`; both are 1e-6 for f64, and
    1e-2 when an argument is f32.
    GradientMismatchError (an AssertionError too) where they differ.
    """
    require_function(f, "check_grads")
    args = listed(args, "check_grads: args")
    chosen = _chosen_modes(modes)
    if runs_symbolic(args):
        raise TracerError(
            message("check_grads inside a trace", expected="concrete arrays", where=here())
        )
    leaves, tree = trees.flatten((args, {}))
    arrays = [as_array(leaf, "check_grads") for leaf in leaves]
    moving = [i for i, array in enumerate(arrays) if is_float(array.dtype)]
    if not moving:
        raise DTypeError(
            message("check_grads: no argument is of floats", expected="f32 or f64", where=here())
        )

    def on_floats(*floats: Any) -> tuple[Any, ...]:
        full: list[Any] = list(leaves)
        for number, leaf in zip(moving, floats, strict=True):
            full[number] = leaf
        positional, _ = trees.unflatten(tree, full)
        results = [lift(x, "check_grads") for x in trees.leaves_of(f(*positional))]
        return tuple(x for x in results if is_float(x.dtype))

    names = parameter_names(f)
    paths = trees.paths(tree)
    width = min(arrays[i].dtype.itemsize for i in moving)
    check = _Check(
        tuple(leaf_name(paths[i], names) for i in moving),
        chosen,
        STEP[width],
        TOLERANCE[width] if rtol is None else rtol,
        TOLERANCE[width] if atol is None else atol,
    )
    _check(on_floats, tuple(arrays[i] for i in moving), order, check, np.random.default_rng(SEED))


def _chosen_modes(modes: Sequence[str]) -> tuple[str, ...]:
    listed = (modes,) if isinstance(modes, str) else tuple(modes)
    if not listed or any(mode not in MODES for mode in listed):
        raise DomainError(message("check_grads: modes", got=modes, expected=MODES, where=here()))
    return listed


def _check(
    f: Callable[..., Any], at: Arrays, order: int, check: _Check, rng: np.random.Generator
) -> None:
    """All derivatives of f from here on; f maps arrays to a tuple of arrays."""
    if order < 1:
        return
    compiled = jit(f)
    moves = tuple(_direction(x, rng) for x in at)
    weights = tuple(_direction(y, rng) for y in compiled(*at))

    def pushed(*xs: Any) -> Any:
        return jvp(f, xs, moves)[1]

    def pulled(*xs: Any) -> Any:
        return vjp(f, *xs)[1](weights)

    slopes = [_difference(compiled, at, moves, i, check.step) for i in range(len(at))]
    if "fwd" in check.modes:
        _compare_pushes(f, at, moves, slopes, check.deeper("fwd"))
        _check(pushed, at, order - 1, check.deeper("fwd"), rng)
    if "rev" in check.modes:
        back = jit(pulled)(*at)
        for number, (got, move) in enumerate(zip(back, moves, strict=True)):
            expected = sum(
                float((u * s).sum()) for u, s in zip(weights, slopes[number], strict=True)
            )
            _require_close(float((got * move).sum()), expected, number, check.deeper("rev"))
        _check(pulled, at, order - 1, check.deeper("rev"), rng)


def _direction(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Elements of either sign, between a half and one in size."""
    signs = rng.integers(0, 2, np.shape(x)) * 2 - 1
    return np.asarray(signs * rng.uniform(0.5, 1.0, np.shape(x)), np.asarray(x).dtype)


def _difference(
    f: Callable[..., Any], at: Arrays, moves: Arrays, number: int, step: float
) -> list[np.ndarray]:
    """How the results move with argument `number` alone."""

    def moved(size: float) -> Any:
        there = list(at)
        there[number] = np.asarray(at[number] + size * moves[number], at[number].dtype)
        return [np.asarray(y, np.float64) for y in f(*there)]

    def slope(size: float) -> list[np.ndarray]:
        ahead, behind = moved(size), moved(-size)
        return [(a - b) / (2 * size) for a, b in zip(ahead, behind, strict=True)]

    return [
        (4 * fine - coarse) / 3 for fine, coarse in zip(slope(step / 2), slope(step), strict=True)
    ]


def _compare_pushes(
    f: Callable[..., Any], at: Arrays, moves: Arrays, slopes: list[list[np.ndarray]], check: _Check
) -> None:
    push = jit(lambda xs, vs: jvp(f, xs, vs)[1])
    for number, expected in enumerate(slopes):
        alone = [np.zeros_like(move) for move in moves]
        alone[number] = moves[number]
        for got, want in zip(push(at, tuple(alone)), expected, strict=True):
            _require_close(got, want, number, check)


def _require_close(got: Any, expected: Any, number: int, check: _Check) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    bound = check.absolute + check.relative * np.max(np.abs(expected), initial=0.0)
    wrong = ~(np.abs(got - expected) <= bound)
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = f" at {place}" if place else ""
    raise GradientMismatchError(
        message(
            f"check_grads: order {len(check.route)}, mode {' of '.join(check.route)}, with respect "
            f"to {check.names[number]}",
            got=f"{got[place]:.10g}{at}",
            expected=f"{expected[place]:.10g} by differences, within {bound:.2g}",
            where=here(),
            advice="a point away from kinks, or mend the rule of the derivative",
        )
    )
