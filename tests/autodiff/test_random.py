"""Random composed programs: both modes against differences, each other, and to second order."""

from __future__ import annotations

from collections import Counter

import numpy as np

from autodiff.programs import TABLE, Program, program
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir.core import Value
from symc.ir.term import Term
from symc.ir.types import F64, TensorType

COUNT = 160
STEPS = (1e-3, 5e-4)


def directions(p: Program, rng: np.random.Generator) -> dict[Value, np.ndarray]:
    return {value: rng.normal(size=p.arrays[value].shape) for value in p.wrt}


def scalar(terms: list[Term]) -> Term:
    """The sum of all elements of all terms."""
    totals = [term.sum(range(term.rank)) for term in terms]
    total = totals[0]
    for other in totals[1:]:
        total = total + other
    return total


def still(p: Program, along: dict[Value, np.ndarray]) -> bool:
    """Whether integers, masks and rounded values stay as they are within the stencil."""
    fixed = p.piecewise()
    if not fixed:
        return True
    here = p.run(fixed, {})
    for step in (*STEPS, *(-step for step in STEPS)):
        there = p.run(fixed, p.moved(along, step))
        if not all(np.array_equal(a, b) for a, b in zip(here, there, strict=True)):
            return False
    return True


def slopes(p: Program, results: list[Value], along: dict[Value, np.ndarray]) -> list[np.ndarray]:
    """Central differences with one step of Richardson extrapolation."""
    wide, narrow = [
        [
            (a - b) / (2 * step)
            for a, b in zip(
                p.run(results, p.moved(along, step)),
                p.run(results, p.moved(along, -step)),
                strict=True,
            )
        ]
        for step in STEPS
    ]
    return [(4 * n - w) / 3 for w, n in zip(wide, narrow, strict=True)]


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    size = 1 + float(np.max(np.abs(expected), initial=0.0))
    return bool(np.all(np.abs(got - expected) <= 2e-5 * size))


def check_first_order(p: Program, rng: np.random.Generator) -> None:
    """Forward mode is the derivative; reverse mode is its transpose."""
    along = directions(p, rng)
    moves = {value: Value(value.type) for value in p.wrt}
    results = list(p.function.results)
    pushed = tangents(results, p.wrt, list(moves.values()))
    assert all(tangent is not None for tangent in pushed)
    extra = {moves[value]: array for value, array in along.items()}
    got = p.run([t for t in pushed if t is not None], extra)
    for a, b in zip(got, slopes(p, results, along), strict=True):
        assert close(a, b), (a, b)
    seeds = [Value(result.type) for result in results]
    weights = [rng.normal(size=array.shape) for array in got]
    pulled = gradient(results, seeds, p.wrt)
    found = p.run(
        [value for value in pulled if value is not None],
        dict(zip(seeds, weights, strict=True)),
    )
    reached = [value for value, ct in zip(p.wrt, pulled, strict=True) if ct is not None]
    for value, array in zip(reached, found, strict=True):
        assert array.shape == p.arrays[value].shape
    left = sum(float((w * t).sum()) for w, t in zip(weights, got, strict=True))
    right = sum(float((ct * along[v]).sum()) for v, ct in zip(reached, found, strict=True))
    size = sum(float(np.abs(ct * along[v]).sum()) for v, ct in zip(reached, found, strict=True))
    assert abs(left - right) <= 1e-12 * max(1.0, size)


def check_second_order(p: Program, rng: np.random.Generator) -> None:
    """The gradient of a directional derivative is the difference of gradients."""
    along = directions(p, rng)
    moves = {value: Value(value.type) for value in p.wrt}
    cost = scalar([Term(result) * Term(result) for result in p.function.results]).value
    one = Term(Value(TensorType(F64, ()))).value
    (first,) = tangents([cost], p.wrt, list(moves.values()))
    assert first is not None
    second = gradient([first], [one], p.wrt)
    grads = gradient([cost], [one], p.wrt)
    extra = {moves[value]: array for value, array in along.items()} | {one: np.array(1.0)}
    for twice, once in zip(second, grads, strict=True):
        if once is None:
            assert twice is None
            continue
        p.arrays[one] = np.array(1.0)
        (expected,) = slopes(p, [once], along)
        if twice is None:
            assert close(np.zeros_like(expected), expected)
            continue
        (got,) = p.run([twice], extra)
        assert close(got, expected), (got, expected)


def test_programs() -> None:
    seen: Counter[str] = Counter()
    tried = compared = 0
    for number in range(COUNT):
        p = program(number, seen)
        if p is None:
            continue
        tried += 1
        rng = np.random.default_rng(number)
        if not still(p, directions(p, np.random.default_rng(number))):
            continue
        compared += 1
        seen.update(p.used)
        check_first_order(p, rng)
        check_second_order(p, np.random.default_rng(number))
    print(f"{compared} programs", dict(sorted(seen.items())))
    assert compared >= 0.5 * COUNT
    assert compared >= 0.8 * tried
    assert [op.name for op in TABLE if seen[op.name] < 1] == []
