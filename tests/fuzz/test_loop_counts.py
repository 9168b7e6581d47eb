"""What reports say of loops is what the emitted code does: loops and steps, counted as it runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import symc as sc
from codegen_llvm.run_counters import counting
from fuzz.loop_programs import draw
from fuzz.loop_runs import Program, Traced
from symc.compile import compile_entry
from symc.ir import ops
from symc.ir.core import Function, Node
from symc.ir.options import Options
from symc.ir.report_loops import LoopReport
from symc.runtime.executable import Callable, Structure

PROGRAMS = 40
PARTS = 2
COMPARED = (("values",), ("jvp", "grad"), ("values",), ("grad",))


def steps_of(loops: list[LoopReport], n: int) -> list[int] | None:
    """The steps that each loop of a report runs in all; None when a report does not say it."""
    found: list[int] = []
    for loop in loops:
        if loop.kind != ops.SCAN.name:
            return None
        length = eval(loop.length, {"n": n, "max": max, "min": min})
        found.append(length * (1 if loop.inside is None else found[loop.inside]))
    return found


def nodes_in(function: Function) -> Iterator[tuple[Node, bool]]:
    """All nodes of a program, and whether they stand in a choice."""
    todo = [(function, False)]
    while todo:
        current, chosen = todo.pop()
        for node in current.nodes:
            yield node, chosen
            todo += [(region, chosen or node.op is ops.SWITCH) for region in node.regions]


def check(traced: Traced, program: Program, number: int) -> bool:
    """Compare the numbers of one program; whether its report says all of them."""
    with counting() as counts:
        options = Options(cache=False, threads=1)
        compiled = compile_entry(traced.entry, options, ())
        call = Callable()
        call.add_entry(compiled.executable, Structure.TUPLE)
        loops = compiled.full_report().loops
        optimized = compiled.stages.optimized.function
        kinds = [node.op for node, _ in nodes_in(optimized)]
        assert len(loops) == kinds.count(ops.SCAN) + kinds.count(ops.WHILE)
        chosen = any(inside and node.op is ops.SCAN for node, inside in nodes_in(optimized))
        for n in (0, 1, 2, 5):
            steps = steps_of(loops, n)
            if steps is None or chosen:
                return False
            counts.reset()
            call(*program.arrays(np.random.default_rng(number), n))
            assert counts.kinds["scan 0"] == sum(steps), f"program {number}, {n} steps"
    return True


@pytest.mark.parametrize("part", range(PARTS))
def test_loops_run_the_steps_that_are_reported(part: int) -> None:
    told = left = 0
    for number in range(part, PROGRAMS, PARTS):
        program = Program(draw(number))
        traced = program.traced(None, False, COMPARED[number // PARTS % len(COMPARED)])
        told += check(traced, program, number)
        left += 1
    assert told >= left // 2


def test_a_loop_that_stops_runs_the_steps_that_it_has_rows() -> None:
    x = sc.var("x", "f64[n]")

    def step(c: sc.Expr, a: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        return c + a, c

    _, ys = sc.scan(step, 0.0, x, until=lambda c: c > 3)
    slope = sc.grad(sc.sum(ys), x)
    with counting() as counts:
        f, g = sc.function([x], ys), sc.function([x], slope)
        for rows, n in ((4, 9), (2, 2), (4, 4), (0, 0)):
            counts.reset()
            assert len(f(np.ones(n))) == rows
            assert counts.kinds["while 1"] == rows
            counts.reset()
            assert g(np.ones(n)).tolist() == [max(0, rows - 1 - i) for i in range(n)]
            assert counts.kinds["while 1"] == rows
            assert counts.kinds["scan 0"] in {0, rows}


def test_a_loop_in_a_choice_runs_at_most_the_steps_that_are_reported() -> None:
    p, x = sc.var("p", "bool[]"), sc.var("x", "f64[n,9]")
    last = sc.scan(lambda c, a: (sc.tanh(c + a), None), sc.zeros(9), x)[0]
    with counting() as counts:
        f = sc.function([p, x], sc.ifelse(p, last, x[0]))
        (loop,) = f.explain().loops
        assert loop.length == "n"
        for chosen in (False, True):
            counts.reset()
            f(chosen, np.ones((7, 9)))
            assert counts.kinds["scan 0"] == 7 * chosen
            assert counts.kinds["switch 0"] + counts.kinds["switch 1"] == 1
