"""What becomes one kernel: counts of kernels, stages, temporaries and repeated work."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest

from passes.programs import (
    N,
    check,
    compiled,
    dot,
    draw,
    entry_of,
    function,
    given,
    layer_norm,
    log_softmax,
    mean,
    one_hot,
    shared_program,
    softmax,
    training_step,
)
from symc.ir import ops
from symc.ir.dims import Size
from symc.ir.entry import Entry
from symc.ir.evaluate import evaluate
from symc.ir.nest import ContractStage, Nest
from symc.ir.program import Copy
from symc.ir.term import Term, constant, full, iota, make, where
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.ir.types import F32, F64, I64
from symc.passes.fuse_cost import LIMIT
from symc.passes.plan import Plan

ROWS: tuple[Size, ...] = (N, 5)


def run(results: Sequence[Term], params: Sequence[Term], rng: np.random.Generator) -> Plan:
    entry = entry_of(function([p.value for p in params], results))
    arrays = [draw(p.type, rng, {"n": 6}) for p in params]
    arrays = [np.abs(a) % 4 if a.dtype == I64 else a for a in arrays]
    return check(entry, arrays)[0]


def applied(plan: Plan, op: ops.Op) -> int:
    """How often an op stands in the bodies of all kernels."""
    return sum(
        node.op is op
        for step in plan.steps
        for stage in step.nest.stages
        for node in stage.body.nodes
    )


# Elementwise.
def test_elementwise_with_several_consumers_and_outputs_is_one_kernel(
    rng: np.random.Generator,
) -> None:
    x, row, column, flag = given("x", N, 4), given("r", 4), given("c", N), given("f", N, dtype=I64)
    shape = x.shape
    a = make(ops.TANH, x) + row.broadcast(shape, (1,))
    b = a * column.broadcast(shape, (0,)) - x.permute((1, 0)).permute((1, 0))
    c = where(flag.eq(0).broadcast(shape, (0,)), a, b).cast(F64)
    d = b + iota(shape, 1, F32) * 0.5 + make(ops.SIZE, size=N).cast(F32).broadcast(shape, ())
    entry = entry_of(function([p.value for p in (x, row, column, flag)], [a, b, c, d]))
    plan, program = compiled(entry)
    assert len(plan.steps) == 1
    assert not any(step.role == "scratch" for step in plan.steps[0].nest.operands)
    assert program.sizes[program.arena].a == 0
    assert applied(plan, ops.TANH) == 1
    check(entry, [draw(p.type, rng, {"n": 3}) for p in (x, row, column, flag)])


def test_kernels_that_only_share_inputs_are_one(rng: np.random.Generator) -> None:
    x, y = given("x", N, 4), given("y", N, 4)
    assert len(run([x * 2.0, y - x, make(ops.EXP, y)], [x, y], rng).steps) == 1


def test_nothing_transcendental_is_computed_twice(rng: np.random.Generator) -> None:
    x = given("x", N, 4)
    e = make(ops.EXP, x)
    shifted = e.slice((0, 1), (N, 3)) - e.slice((0, 0), (N, 3))
    plan = run([shifted, dot(e, e, (0, 0))], [x], rng)
    assert applied(plan, ops.EXP) == 1


def test_a_dear_small_value_is_stored_before_it_is_broadcast(rng: np.random.Generator) -> None:
    x, b = given("x", N, 4), given("b", 4)
    plan = run([x * make(ops.TANH, b).broadcast(x.shape, (1,))], [x, b], rng)
    assert len(plan.steps) == 2
    cheap = run([x * (b * 2.0).broadcast(x.shape, (1,))], [x, b], rng)
    assert len(cheap.steps) == 1


def test_one_hot_is_repeated_rather_than_stored(rng: np.random.Generator) -> None:
    x, k, w = given("x", N, 4), given("k", N, dtype=I64), given("w", 4, 3)
    truth = one_hot(k, 4)
    plan = run([(x * truth).sum((1,)), x - truth], [x, k, w], rng)
    assert len(plan.steps) == 1


# Rows.
@pytest.mark.parametrize("rows", ROWS)
def test_row_computations_are_one_kernel(rows: Size, rng: np.random.Generator) -> None:
    x, k, v, b = given("x", rows, 4), given("k", rows, dtype=I64), given("v", 4), given("b", 4)
    for result in (
        softmax(x),
        log_softmax(x),
        -(log_softmax(x) * one_hot(k, 4)).sum((1,)),
        layer_norm(x, v, b),
        make(ops.ARGMAX, x, axes=(1,)),
        x - mean(x, (1,)).broadcast(x.shape, (0,)),
    ):
        assert len(run([result], [x, k, v, b], rng).steps) == 1


def test_softmax_over_the_leading_axis_is_one_kernel(rng: np.random.Generator) -> None:
    x = given("x", N, 4)
    assert len(run([softmax(x.permute((1, 0))).permute((1, 0))], [x], rng).steps) == 1


def test_several_reductions_of_the_same_rows_are_one_stage(rng: np.random.Generator) -> None:
    x = given("x", N, 4)
    plan = run([x.sum((1,)), make(ops.MAX, x, axes=(1,)), (x * x).sum((1,))], [x], rng)
    assert [len(step.nest.stages) for step in plan.steps] == [1]


def test_a_full_reduction_has_scalar_stages_and_elementwise_work_its_own_kernel(
    rng: np.random.Generator,
) -> None:
    x = given("x", N, 4)
    m = mean(x, (0, 1))
    assert len(run([make(ops.SQRT, m * m + 1.0)], [x], rng).steps) == 1
    assert len(run([x - m.broadcast(x.shape, ())], [x], rng).steps) == 2
    small = given("small", 7)
    assert len(run([softmax(small)], [small], rng).steps) == 1


def test_sums_over_several_axes_and_of_a_row_sum(rng: np.random.Generator) -> None:
    x = given("x", 3, N, 4)
    y = x.sum((0, 2))
    z = make(ops.EXP, x - y.broadcast(x.shape, (1,)))
    plan = run([z.sum((0, 2)), y], [x], rng)
    assert len(plan.steps) == 1


def test_results_are_made_in_the_last_stage_over_their_axes(rng: np.random.Generator) -> None:
    x, y = given("x", N, 4), given("y", N, 4)
    p = softmax(x)
    plan = run([p, p * 2.0, (log_softmax(x) * y).sum((1,))], [x, y], rng)
    assert len(plan.steps) == 1
    full_rows = [stage for stage in plan.steps[0].nest.stages if stage.inner]  # type: ignore[union-attr]
    assert len(full_rows) == 3


# Contractions.
def contractions(nest: Nest) -> list[ContractStage]:
    return [stage for stage in nest.stages if isinstance(stage, ContractStage)]


@pytest.mark.parametrize("rows", ROWS)
def test_bias_and_activation_follow_the_contraction(rows: Size, rng: np.random.Generator) -> None:
    x, w, b = given("x", rows, 3), given("w", 3, 4), given("b", 4)
    z = dot(x, w)
    h = make(ops.TANH, z + b.broadcast(z.shape, (1,)))
    assert len(run([h], [x, w, b], rng).steps) == 1
    assert len(run([h.permute((1, 0))], [x, w, b], rng).steps) == 1
    assert len(run([h, 1 - h * h], [x, w, b], rng).steps) == 1


def test_transposed_and_broadcast_operands_are_not_copied(rng: np.random.Generator) -> None:
    x, w, b = given("x", N, 3), given("w", 4, 3), given("b", 3)
    plan = run([dot(x, w.permute((1, 0)))], [x, w], rng)
    assert len(plan.steps) == 1
    plan = run([dot(b.broadcast((2, 3), (1,)), w.permute((1, 0)))], [b, w], rng)
    assert len(plan.steps) == 1
    plan = run([dot(x.slice((0, 0), (N, 2)), w.slice((1, 0), (2, 3)))], [x, w], rng)
    assert len(plan.steps) == 1


def test_a_computed_operand_is_stored_once(rng: np.random.Generator) -> None:
    x, w = given("x", N, 3), given("w", 3, 4)
    h = make(ops.TANH, x)
    plan = run([dot(h, w), dot(h, h, (0, 0))], [x, w], rng)
    assert len(plan.steps) == 3
    assert applied(plan, ops.TANH) == 1


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize(
    ("sizes", "batch", "kernels"),
    [
        ((6, 4), 1, 3),
        ((6, 4), 5, 5),
        ((7, 6, 4), 1, 5),
        ((7, 6, 4), 5, 8),
        ((7, 6, 4), 100, 9),
        ((7, 6, 4), N, 8),
        ((7, 6, 5, 3, 4), 1, 9),
        ((7, 6, 5, 3, 4), 5, 14),
    ],
)
def test_training_steps(
    sizes: Sequence[int], batch: Size, kernels: int, *, momentum: bool, rng: np.random.Generator
) -> None:
    entry = training_step(sizes, batch, momentum=momentum)
    arrays = [draw(p.type, rng, {"n": 6}) for p in entry.function.params]
    arrays[1] = np.abs(arrays[1]) % sizes[-1]
    plan, program = check(entry, arrays)
    assert len(plan.steps) == kernels
    assert len(plan.in_place) == len(entry.states)
    assert not any(isinstance(i, Copy) for i in program.code)


def test_a_product_and_the_update_of_its_weights_are_one_kernel() -> None:
    plan, _ = compiled(training_step((8, 6, 4), 10))
    pairs = [step for step in plan.steps if len(contractions(step.nest)) == 2]
    assert len(pairs) == 1
    (step,) = pairs
    first, second = contractions(step.nest)
    assert step.nest.operands[second.stores[0].operand].role == "inout"
    assert second.stores[0].operand in {first.lhs.operand, first.rhs.operand}
    many = compiled(training_step((8, 6, 4), 100))[0]
    assert not [step for step in many.steps if len(contractions(step.nest)) == 2]


# Assembly.
def test_pieces_are_computed_where_they_belong(rng: np.random.Generator) -> None:
    x, y = given("x", N, 3), given("y", 2, 3)
    joined = make(ops.CONCAT, make(ops.EXP, x), y * 2.0, axis=0)
    entry = entry_of(function([x.value, y.value], [joined]))
    plan, program = compiled(entry)
    assert len(plan.steps) == 2
    assert program.sizes[program.arena].a == 0
    stacked = make(ops.CONCAT, *((x * float(i)).reshape((1, N, 3)) for i in range(4)), axis=0)
    assert len(run([stacked], [x], rng).steps) == 1


# Sources.
def test_constants_ramps_and_sizes_as_operands_and_results(rng: np.random.Generator) -> None:
    x, i = given("x", N, 3), given("i", 2, dtype=I64)
    table = constant(np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.0]], np.float32))
    row = constant(np.array([1.0, -2.0, 3.0], np.float32))
    ones = full((N, 3), 1.0, F32)
    results = [
        dot(x, table),
        x + row.broadcast(x.shape, (1,)),
        make(ops.TAKE, table, i, axis=0, mode="clip"),
        dot(ones, table),
        ones,
        iota((N, 3), 1, F32),
        make(ops.SIZE, size=N * 2 + 1),
        row,
        iota((N,), 0, I64).slice((0,), (N,)).reshape((1, N)),
    ]
    plan = run(results, [x, i], rng)
    assert not any(
        node.op is ops.CONSTANT and node.results[0].type.rank
        for step in plan.steps
        for stage in step.nest.stages
        for node in stage.body.nodes
    )


# Size and time.
def test_long_chains_are_split_and_take_linear_time() -> None:
    x = given("x", N)
    y = x
    for _ in range(2000):
        y = make(ops.TANH, y * 0.5 + 1.0)
    f = function([x.value], [y])
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(200)
        plan, _ = compiled(entry_of(f))
    finally:
        sys.setrecursionlimit(limit)
    assert applied(plan, ops.TANH) == 2000
    assert 10 <= len(plan.steps) <= 2000
    assert all(len(stage.body.nodes) <= LIMIT for s in plan.steps for stage in s.nest.stages)


def test_fans_of_users_are_fused_in_linear_time() -> None:
    x = given("x", N)
    shared = make(ops.EXP, x)
    parts = [shared * float(i) for i in range(300)]
    chain = full(x.shape, 0.0, F32)
    for part in parts:
        chain = chain + part.sum((0,)).broadcast(x.shape, ())
    plan, _ = compiled(entry_of(function([x.value], [chain, *parts[:3]])))
    assert applied(plan, ops.EXP) <= 2


def test_shifted_sums_do_not_grow(rng: np.random.Generator) -> None:
    x = given("x", 64)
    y = x
    for _ in range(12):
        size = int(y.shape[0])  # type: ignore[arg-type]
        y = y.slice((1,), (size - 1,)) + y.slice((0,), (size - 1,)) * 0.5
    plan = run([y], [x], rng)
    assert sum(len(stage.body.nodes) for s in plan.steps for stage in s.nest.stages) < 200


# Random programs.
def program_entry(seed: int) -> tuple[Entry, list[np.ndarray]] | None:
    rng = np.random.default_rng(seed)
    rows: Size = [N, 3, 1, N, 5][seed % 5]
    f = shared_program(rng, 12, rows)
    arrays = [draw(p.type, rng, {"n": [3, 4, 1][seed % 3]}) for p in f.params]
    with np.errstate(all="ignore"):
        evaluate(f, arrays, order="chain")
    return entry_of(f), arrays


@pytest.mark.parametrize("block", range(10))
def test_random_programs_have_the_bits_of_the_oracle(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        found = program_entry(seed)
        if found is not None:
            check(found[0], found[1], seed=seed)


def test_the_same_program_always_gives_the_same_kernels() -> None:
    texts = set()
    for clutter in range(6):
        kept = [object() for _ in range(1000 * clutter)]
        plan, program = compiled(training_step((7, 6, 5, 4), N, momentum=True))
        nests = [print_nest(step.nest) for step in plan.steps]
        texts.add("".join(nests) + print_program(program))
        del kept
    assert len(texts) == 1
