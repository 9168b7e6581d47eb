"""Buffers: overwriting in place, staging, donation, copies, reuse of the arena, and the checker."""

from __future__ import annotations

from dataclasses import replace

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
    shared_entry,
    softmax,
)
from passes.run_program import plain_launches
from symc.ir import ops
from symc.ir.dims import symbol
from symc.ir.entry import Entry
from symc.ir.errors import CompileError
from symc.ir.launch import Launch
from symc.ir.program import BufferKind, Commit, Copy, Kernel, Program, SizeOp
from symc.ir.term import Term, concat, make
from symc.ir.types import I64
from symc.passes import buffers, buffers_check, plan_build
from symc.passes.buffers_arena import Request, place
from symc.passes.buffers_sizes import SizeTable


def checked(entry: Entry, rng: np.random.Generator) -> Program:
    arrays = [draw(p.type, rng, {"n": 6}) for p in entry.function.params]
    return check(entry, [np.abs(a) if a.dtype == I64 else a for a in arrays])[1]


def kinds(program: Program) -> list[BufferKind]:
    """Where each update lies."""
    return [program.buffers[number].kind for _, number in program.updates]


def copies(program: Program) -> int:
    return sum(isinstance(instruction, Copy) for instruction in program.code)


def step(params: list[Term], results: list[Term], states: int, updates: list[int]) -> Entry:
    f = function([p.value for p in params], results)
    return entry_of(f, states=states, updates=updates)


# States.
def test_an_elementwise_update_is_in_place(rng: np.random.Generator) -> None:
    g, w = given("g", N), given("w", N)
    program = checked(step([g, w], [w - g * 0.5], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]
    assert copies(program) == 0


def test_readers_of_the_old_value_come_first(rng: np.random.Generator) -> None:
    g, w = given("g", N), given("w", N)
    new = w - g * 0.5
    program = checked(step([g, w], [new.sum((0,)), w.sum((0,)), new], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]


def test_updates_that_need_each_others_old_values(rng: np.random.Generator) -> None:
    a, b = given("a", N), given("b", N)
    program = checked(step([a, b], [a + b, a - b], 2, [0, 1]), rng)
    assert BufferKind.STATE in kinds(program)
    swapped = checked(step([a, b], [b, a], 2, [0, 1]), rng)
    assert kinds(swapped) == [BufferKind.STAGED, BufferKind.STAGED]
    crossed = checked(
        step(
            [a, b], [make(ops.CONCAT, b, axis=0) * 1.0, a.sum((0,)).broadcast((N,), ())], 2, [0, 1]
        ),
        rng,
    )
    assert len(crossed.updates) == 2


def test_a_reader_that_needs_the_new_value_stages_the_update(rng: np.random.Generator) -> None:
    w = given("w", N)
    new = w * 2.0
    total = new.sum((0,))
    late = make(ops.TANH, w) * total.broadcast((N,), ())
    program = checked(step([w], [late, new], 1, [0]), rng)
    assert len(program.outputs) == 1


def test_reversed_reads_are_not_overwritten(rng: np.random.Generator) -> None:
    w = given("w", N)
    program = checked(step([w], [w + w.slice((N - 1,), (N,), (-1,))], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STAGED]


def test_a_row_is_rewritten_after_it_was_read(rng: np.random.Generator) -> None:
    w = given("w", N, 4)
    program = checked(step([w], [softmax(w)], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]


def test_an_unchanged_state_and_the_same_value_twice(rng: np.random.Generator) -> None:
    g, a, b = given("g", N), given("a", N), given("b", N)
    same = a + g
    program = checked(step([g, a, b], [same, same, same], 2, [0, 1]), rng)
    assert copies(program) == 2
    assert kinds(checked(step([a], [a * 2.0, a], 1, [0]), rng)) == [BufferKind.STATE]


def test_a_reshaped_value_updates_a_state(rng: np.random.Generator) -> None:
    g, w = given("g", 12), given("w", 3, 4)
    program = checked(step([g, w], [(g * 2.0).reshape((3, 4))], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]
    assert copies(program) == 0
    turned = g.reshape((4, 3)).permute((1, 0)) + w
    program = checked(step([g, w], [turned.reshape((4, 3)).reshape((3, 4))], 1, [0]), rng)
    assert copies(program) == 0


def test_what_may_raise_comes_before_the_first_write(rng: np.random.Generator) -> None:
    w, i = given("w", 9), given("i", 3, dtype=I64)
    new = w * 2.0
    taken = make(ops.TAKE, new, i, axis=0, mode="raise")
    program = checked(step([i, w], [taken, new], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STAGED]
    early = make(ops.TAKE, w, i, axis=0, mode="raise")
    program = checked(step([i, w], [early, new], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]
    at = program.code.index(Commit())
    assert all(c.traps for c in program.code[:at] if isinstance(c, Kernel))
    assert not any(c.traps for c in program.code[at:] if isinstance(c, Kernel))


def test_rows_of_a_state_are_updated_where_it_lies(rng: np.random.Generator) -> None:
    w, i, v = given("w", 9, 3), given("i", 5, dtype=I64), given("v", 5, 3)
    new = make(ops.SCATTER, w, i, v, axis=0, mode="wrap", combine="add")
    program = checked(step([i, v, w], [new], 1, [0]), rng)
    assert kinds(program) == [BufferKind.STATE]
    assert copies(program) == 0
    own = make(
        ops.SCATTER,
        w,
        i,
        make(ops.TAKE, w, i, axis=0, mode="wrap"),
        axis=0,
        mode="wrap",
        combine="set",
    )
    assert kinds(checked(step([i, w], [own], 1, [0]), rng)) == [BufferKind.STAGED]


# Slices.
def test_a_slice_of_a_dead_array_is_written_in_place(rng: np.random.Generator) -> None:
    x, v = given("x", N), given("v", 2)
    y = make(ops.EXP, x)
    head = concat([y, y], 0)
    new = head.set_slice(v, (1,), (1,))
    program = checked(step([x, v], [new], 0, []), rng)
    assert copies(program) == 0
    kept = checked(step([x, v], [new, head * 2.0, head], 0, []), rng)
    assert copies(kept) == 1


def test_a_slice_updated_from_itself(rng: np.random.Generator) -> None:
    x = given("x", 8)
    y = make(ops.EXP, x)
    same = y.set_slice(y.slice((1,), (3,)) * 2.0, (1,), (1,))
    assert copies(checked(step([x], [same], 0, []), rng)) == 0
    moved = y.set_slice(y.slice((0,), (3,)) * 2.0, (1,), (1,))
    assert copies(checked(step([x], [moved], 0, []), rng)) == 1


# Donation.
def test_a_donated_input_holds_the_result(rng: np.random.Generator) -> None:
    x, y = given("x", N), given("y", N)
    f = function([x.value, y.value], [make(ops.TANH, x) + y, x.sum((0,))])
    program = checked(entry_of(f, donated=[0]), rng)
    assert program.buffers[program.outputs[0]].kind is BufferKind.INPUT
    g = function([x.value], [x])
    program = checked(entry_of(g, donated=[0]), rng)
    assert program.buffers[program.outputs[0]].kind is BufferKind.OUTPUT


def test_a_donated_input_is_returned_in_its_own_shape(rng: np.random.Generator) -> None:
    x = given("x", 3, 4)
    y = make(ops.TANH, x)
    program = checked(entry_of(function([x.value], [y.reshape((1, 3, 4)), y]), donated=[0]), rng)
    kinds_of = [program.buffers[number].kind for number in program.outputs]
    assert kinds_of == [BufferKind.OUTPUT, BufferKind.INPUT]


# Outputs.
def test_outputs_never_share_memory(rng: np.random.Generator) -> None:
    x = given("x", N)
    y = x * 2.0
    results = [y, y, x, x, y.reshape((1, N)), Term(make(ops.CONSTANT, value=_literal()).value)]
    program = checked(step([x], results, 0, []), rng)
    assert len(set(program.outputs)) == len(results)
    assert {program.buffers[number].kind for number in program.outputs} == {BufferKind.OUTPUT}


def _literal() -> object:
    from symc.ir.types import Literal

    return Literal(np.array([1.0, 2.0], np.float32))


# The arena.
def test_requests_whose_lives_meet_do_not_overlap(rng: np.random.Generator) -> None:
    requests = []
    for _ in range(300):
        first = int(rng.integers(0, 100))
        size = int(rng.integers(0, 2000))
        requests.append(Request(size, first, first + int(rng.integers(0, 9))))
    offsets, total = place(requests)
    assert isinstance(total, int)
    spans = [(int(o), int(o) + int(r.bytes), r) for o, r in zip(offsets, requests, strict=True)]  # type: ignore[arg-type]
    for i, (low, high, a) in enumerate(spans):
        assert low % 64 == 0
        assert high <= total
        for start, stop, b in spans[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert high <= start or stop <= low
    alive = max(
        sum(-(-int(r.bytes) // 64) * 64 for _, _, r in spans if r.first <= t <= r.last)
        for t in range(110)
    )
    assert total <= 1.4 * alive


def test_symbolic_requests_share_slots_of_equal_size() -> None:
    n, m = symbol("n"), symbol("m")
    requests = [Request(n * 4, 0, 1), Request(n * 4, 2, 3), Request(m * 4, 2, 3), Request(64, 0, 9)]
    offsets, total = place(requests)
    assert offsets[0] == offsets[1] != offsets[2]
    assert total == 64 + ((n * 4 + 63) // 64) * 64 + ((m * 4 + 63) // 64) * 64


def test_the_arena_is_reused_along_a_chain() -> None:
    x, w = given("x", 16, 16), given("w", 16, 16)
    y = x
    for _ in range(50):
        y = dot(y, w)
    program = compiled(entry_of(function([x.value, w.value], [y])))[1]
    assert program.sizes[program.arena].a == 2 * 16 * 16 * 4


def test_temporaries_of_launches_are_placed() -> None:
    x = given("x", N)
    entry = entry_of(function([x.value], [x.sum((0,)), make(ops.TANH, x)]))
    plan = plan_build.run(entry)
    launches = []
    for one in plan.steps:
        operands = tuple(i for i, op in enumerate(one.nest.operands) if op.role != "scratch")
        extra = len(one.nest.operands)
        blocks = (N + 7) // 8
        launches.append(
            (
                Launch("a", (*operands, extra), ("n",), blocks, 16, 0, (blocks * 256,)),
                Launch("b", (extra, *operands), ("n",), 1, 16, 64),
            )
        )
    program = buffers.run(plan, launches)
    buffers_check.check(program, plan, launches, {"n": 100})
    calls = [i for i in program.code if isinstance(i, Kernel)]
    assert [call.symbol for call in calls] == ["a", "b"] * len(plan.steps)
    assert calls[0].buffers[-1] == calls[1].buffers[0]
    assert program.buffers[calls[0].buffers[-1]].kind is BufferKind.ARENA


# Sizes.
def test_sizes_are_computed_once_and_in_order() -> None:
    n, m = symbol("n"), symbol("m")
    x = given("x", n, m)
    table = SizeTable([x.type])
    sizes = [n * m - 3 * n + 7, (n + 1) // 2 % m, n * m, n * m - 3 * n, 5]
    entries = [table(size) for size in sizes]
    assert [table(size) for size in sizes] == entries
    assert table.dims == ("n", "m")
    for i, expr in enumerate(table.entries()):
        if expr.op not in {SizeOp.CONST, SizeOp.DIM}:
            assert expr.a < i
            assert expr.b < i
    with pytest.raises(CompileError):
        table(symbol("unknown"))


# The checker.
def test_the_checker_refuses_broken_programs() -> None:
    x, w, s = given("x", 16, 16), given("w", 16, 16), given("s", 16, 16)
    y = make(ops.EXP, dot(dot(make(ops.TANH, x), w), w))
    entry = step([x, w, s], [dot(y, w), s + x], 1, [0])
    plan, program = compiled(entry)
    launches = plain_launches(plan)
    buffers_check.check(program, plan, launches, {})
    calls = [i for i, c in enumerate(program.code) if isinstance(c, Kernel)]
    exchanged = list(program.code)
    exchanged[calls[0]], exchanged[calls[1]] = exchanged[calls[1]], exchanged[calls[0]]
    no_commit = [c for c in program.code if not isinstance(c, Commit)]
    zero = next(
        i for i, size in enumerate(program.sizes) if size.op is SizeOp.CONST and size.a == 0
    )
    overlapping = tuple(
        replace(b, offset=zero) if b.kind is BufferKind.ARENA else b for b in program.buffers
    )
    for broken in (
        replace(program, code=tuple(exchanged)),
        replace(program, code=tuple(no_commit)),
        replace(program, code=program.code[:-1]),
        replace(program, buffers=overlapping),
    ):
        with pytest.raises((CompileError, ValueError)):
            buffers_check.check(broken, plan, launches, {})


# Random programs.
@pytest.mark.parametrize("block", range(8))
def test_random_updates_have_the_bits_of_the_oracle(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        rng = np.random.default_rng(10_000 + seed)
        entry = shared_entry(rng, 10, [N, 3, 1][seed % 3])
        arrays = [draw(p.type, rng, {"n": 4}) for p in entry.function.params]
        check(entry, arrays, seed=seed)
