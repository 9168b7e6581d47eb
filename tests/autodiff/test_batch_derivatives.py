"""Batching and derivatives on random programs: they commute, and the modes give one Jacobian."""

from collections.abc import Sequence

import numpy as np
import pytest

from autodiff.programs import Program, program
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.frontend.jacobians import forward_blocks, reverse_blocks
from symc.ir.batch import batch_function
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate

COUNT = 3
SEEDS = range(24)


def closed(params: Sequence[Value], results: Sequence[Value]) -> Function:
    nodes, _ = reachable(results, stop=params)
    return Function("closed", tuple(params), tuple(nodes), tuple(results))


def near(got: np.ndarray, want: np.ndarray) -> None:
    scale = np.max(np.abs(want), initial=1.0)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11 * scale)


def drawn(number: int) -> Program:
    """A program with a derivative, another for each number."""
    found = None
    while found is None:
        found = program(number, {})
        number += len(SEEDS)
    return found


@pytest.mark.parametrize("number", SEEDS)
def test_batching_and_differentiating_commute(number: int) -> None:
    """Tangents and cotangents of a batched program are those of its elements."""
    p, rng = drawn(number), np.random.default_rng(number)
    function = closed(list(p.arrays), p.function.results)
    arrays = list(p.arrays.values())
    marks = [param in p.wrt for param in p.arrays]
    batched, out = batch_function(function, marks, COUNT)
    whole = [x for x, mark in zip(batched.params, marks, strict=True) if mark]
    alone = [x for x in function.params if x in p.wrt]
    moves, seeds = [Value(x.type) for x in whole], [Value(x.type) for x in batched.results]
    one_move = [Value(x.type) for x in alone]
    one_seed = [Value(x.type) for x in function.results]
    pushed, pulled = (
        tangents(batched.results, whole, moves),
        gradient(batched.results, seeds, whole),
    )
    one_pushed = tangents(function.results, alone, one_move)
    one_pulled = gradient(function.results, one_seed, alone)
    assert [x is None for x in pulled] == [x is None for x in one_pulled]
    stacks = [np.stack([a] * COUNT) if m else a for a, m in zip(arrays, marks, strict=True)]
    vs = [rng.normal(size=stacks[i].shape) for i, mark in enumerate(marks) if mark]
    values = evaluate(batched, stacks, "chain")
    ws = [rng.normal(size=value.shape) for value in values]
    there = [x for x in (*pushed, *pulled) if x is not None]
    got = evaluate(closed([*batched.params, *moves, *seeds], there), [*stacks, *vs, *ws], "chain")
    one_there = [x for x in (*one_pushed, *one_pulled) if x is not None]
    single = closed([*function.params, *one_move, *one_seed], one_there)
    for i in range(COUNT):
        inputs = [
            *arrays,
            *(v[i] for v in vs),
            *(w[i] if o else w for w, o in zip(ws, out, strict=True)),
        ]
        for batch, want in zip(got, evaluate(single, inputs, "chain"), strict=True):
            near(batch[i], want)


@pytest.mark.parametrize("number", SEEDS)
def test_both_modes_give_one_jacobian(number: int) -> None:
    """A push and a pull, each batched over its basis, and single pushes along basis vectors."""
    p = drawn(number)
    results, rng = list(p.function.results), np.random.default_rng(number)
    forward, reverse = forward_blocks(results, p.wrt), reverse_blocks(results, p.wrt)
    pairs = [
        (f, r)
        for row, other in zip(forward, reverse, strict=True)
        for f, r in zip(row, other, strict=True)
    ]
    assert [f is None for f, _ in pairs] == [r is None for _, r in pairs]
    there = [x for pair in pairs if pair[0] is not None for x in pair if x is not None]
    found = p.run(there, {})
    for f, r in zip(found[::2], found[1::2], strict=True):
        near(f, r)
    moves = [Value(x.type) for x in p.wrt]
    pushed = tangents(results, p.wrt, moves)
    vs = {move: rng.normal(size=p.arrays[x].shape) for move, x in zip(moves, p.wrt, strict=True)}
    blocks = iter(found[::2])
    for row, tangent in zip(forward, pushed, strict=True):
        total = None
        for block, v in zip(row, vs.values(), strict=True):
            if block is not None:
                part = np.tensordot(next(blocks), v, v.ndim)
                total = part if total is None else total + part
        assert (total is None) == (tangent is None)
        if tangent is not None and total is not None:
            near(total, p.run([tangent], vs)[0])
