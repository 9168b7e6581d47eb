"""What benchmarks time, counted: programs per batch size, and what a long chain leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench.compiling import chain, layers, scalars, wide

import symc as sc
from symc.compile import recording

ROOT = Path(__file__).parents[2]


def test_fifty_batch_sizes_need_two_programs() -> None:
    @sc.jit
    def step(x, w):
        return sc.value_and_grad(lambda w: sc.mean(sc.tanh(x @ w) ** 2))(w)

    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 3))
    with recording() as compiled:
        for size in (*range(1, 51), *range(50, 0, -1)):
            value, slope = step(rng.standard_normal((size, 8)), w)
            assert value.shape == ()
            assert slope.shape == w.shape
    # One row (sizes 0 and 1 are never generalised), the first size, and all others.
    assert step.compiles == len(compiled) <= 3


def test_fifty_sizes_from_two_on() -> None:
    f = sc.jit(lambda x: sc.sum(x * x))
    for size in range(2, 52):
        assert f(np.ones(size)) == size
    assert f.compiles == 2


def test_a_chain_is_compiled_and_freed_under_a_low_recursion_limit() -> None:
    """`bench.deep` exits with 0 when everything that it made is gone."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.deep", "1600"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compile" in done.stdout


@pytest.mark.parametrize(
    ("build", "size"),
    [(chain, 16), (layers, 3), (wide, 6), (scalars, 60)],
    ids=["chain", "layers", "wide", "scalars"],
)
def test_programs_that_are_timed_are_compiled(build, size: int) -> None:
    inputs, outputs = build(size)
    f = sc.function(inputs, outputs, on_unused_input="ignore")
    assert f.explain().timings[0].nodes_before > size
