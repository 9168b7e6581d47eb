"""Random programs through code generator and VM: the bits of the oracle, states included.

Contractions are in chain order, so that every result has one value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from passes.programs import N, draw, same_bits, shared_entry, training_step
from symc._runtime import Callable, Executable, State
from symc.codegen_llvm import compile_nests
from symc.ir.entry import Entry
from symc.ir.evaluate import evaluate
from symc.passes import buffers, buffers_check, plan_build
from symc.runtime.encode import encode

TUPLE = 1


def run(entry: Entry, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs, then the new contents of the states."""
    plan = plan_build.run(entry)
    made = compile_nests([step.nest for step in plan.steps])
    program = buffers.run(plan, made.launches)
    for size in (1, 100):
        buffers_check.check(program, plan, made.launches, dict.fromkeys(program.dims, size))
    count = len(entry.inputs)
    states = [State(np.array(array)) for array in arrays[count:]]
    call = Callable()
    call.add_entry(Executable(encode(program), made.object, states, program.locations), TUPLE)
    outputs = call(*(np.array(array) for array in arrays[:count]))
    return [*outputs, *(states[slot].get() for slot in entry.updates)]


@pytest.mark.parametrize("block", range(6))
def test_random_programs_natively(block: int) -> None:
    for seed in range(block * 6, block * 6 + 6):
        rng = np.random.default_rng(40_000 + seed)
        entry = shared_entry(rng, 20, [N, 3, 1][seed % 3])
        arrays = [draw(p.type, rng, {"n": 70 if seed % 2 else 4}) for p in entry.function.params]
        with np.errstate(all="ignore"):
            wanted = evaluate(entry.function, [np.array(a) for a in arrays], order="chain")
            found = run(entry, arrays)
        for number, (have, want) in enumerate(zip(found, wanted, strict=True)):
            same_bits(np.asarray(have), want, f"seed {seed}, result {number}")


@pytest.mark.parametrize("batch", [1, 7, N])
def test_a_training_step_natively(batch: int, rng: np.random.Generator) -> None:
    entry = training_step((9, 8, 7, 4), batch, momentum=True)
    arrays = [draw(p.type, rng, {"n": 5}) for p in entry.function.params]
    arrays[1] = np.abs(arrays[1]) % 4
    wanted = evaluate(entry.function, arrays)
    for have, want in zip(run(entry, arrays), wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
