"""Long programs through the user's API: linear work, one kernel for equal pieces, nothing kept."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest

import symc as sc
from symc.codegen_llvm import compile as code
from symc.codegen_llvm.identity import nest_key
from symc.compile import Compiled, recording
from symc.ir import ops
from symc.ir.collector import paused
from symc.ir.evaluate import evaluate
from symc.ir.nest import Nest

STEPS = (
    sc.tanh,
    lambda y: y * 0.9,
    lambda y: y + 0.1,
    sc.sin,
    lambda y: 0.3 - y,
    sc.sigmoid,
    lambda y: y * y,
    lambda y: sc.maximum(y, -0.5),
)
Make = Callable[[int], tuple[sc.Function, Compiled]]
DATA = np.linspace(-1, 1, 100, dtype=np.float32)


@pytest.fixture
def few_frames() -> Iterator[None]:
    """Room for 200 frames more than the test runner itself needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    yield
    sys.setrecursionlimit(before)


def chain(numbers: Iterator[int]) -> tuple[sc.Function, Compiled]:
    """Loss and gradient of one long chain of `STEPS`, compiled."""
    x = sc.var("x", "f32[100]")
    y = x
    for number in numbers:
        y = STEPS[number](y)
    loss = sc.mean(y)
    with recording() as found:
        f = sc.function([x], [loss, sc.grad(loss, x)], cache=False)
    return f, found[-1]


def repeated(length: int) -> tuple[sc.Function, Compiled]:
    return chain(i % len(STEPS) for i in range(length))


def shuffled(length: int) -> tuple[sc.Function, Compiled]:
    numbers = np.random.default_rng(7).integers(0, len(STEPS), length)
    return chain(map(int, numbers))


def fan(width: int) -> tuple[sc.Function, Compiled]:
    """Many results of one value, and a sum of them."""
    x = sc.var("x", "f32[100]")
    parts = [x + float(number) for number in range(width)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    with recording() as found:
        f = sc.function([x], [total, *parts], cache=False)
    return f, found[-1]


def calls_of(make: Make, size: int) -> int:
    """Python and C calls that it takes to build, differentiate, compile and print a program."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    try:
        f, _ = make(size)
        f.ir("traced")
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("make", [repeated, fan])
def test_work_is_linear(make: Make) -> None:
    make(64)
    one, two, four = (calls_of(make, size) for size in (256, 512, 1024))
    assert (four - two) / (two - one) < 2.3, "2 when linear, 4 when quadratic"


def test_a_long_chain_is_right_and_is_freed(few_frames: None) -> None:
    f, compiled = repeated(2048)
    found = f(DATA)
    traced = compiled.entry.function
    expected = evaluate(compiled.stages.defined.function, [DATA])
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1].tobytes() == expected[1].tobytes()
    assert f.ir("traced").count("\n") > len(traced.nodes) > 2048
    kept = weakref.ref(traced.nodes[0].results[0])
    del f, compiled, traced
    gc.collect()
    assert kept() is None


def test_equal_pieces_share_their_code() -> None:
    short, long = (repeated(length)[1].stages for length in (1024, 2048))
    assert len(long.plan.steps) > 1.9 * len(short.plan.steps)
    # Pieces are equal where the ends of kernels, forward and backward, fall alike.
    assert len(long.object.object) < 1.3 * len(short.object.object)
    kinds = {nest_key(step.nest) for step in long.plan.steps if isinstance(step.nest, Nest)}
    assert len(kinds) < 0.5 * len(long.plan.steps)


def test_a_body_that_calls_its_math_functions_is_written_once() -> None:
    _, compiled = shuffled(256)
    stages = compiled.stages
    nests = {nest_key(s.nest): s.nest for s in stages.plan.steps if isinstance(s.nest, Nest)}
    nodes = [node for nest in nests.values() for stage in nest.stages for node in stage.body.nodes]
    sines = sum(node.op.name == ops.SIN.name for node in nodes)
    calls = [line for line in stages.object.llvm.splitlines() if "call" in line and ".sin." in line]
    assert sines > 20
    assert len(calls) == sines


def test_very_long_code_is_generated_fast_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, compiled = shuffled(256)
    assert compiled.stages.object.level == 2
    assert compiled.explain("notes").count("\n") == 0
    monkeypatch.setattr(code, "LARGE", 1000)
    quick, compiled = shuffled(256)
    assert compiled.stages.object.level == 0
    assert "level 0" in compiled.explain("notes")
    assert "k0" in compiled.asm()
    for a, b in zip(plain(DATA), quick(DATA), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), paused():
            1 // gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
