"""Why kernels stay apart: every array that one hands to another has a reason."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from fuzz.generate import generate
from passes.programs import N, entry_of, shared_program, training_step
from symc.ir.core import Function
from symc.ir.entry import Entry
from symc.ir.nest import Nest
from symc.ir.options import Options
from symc.ir.report import Split
from symc.passes import MEANING, OPTIMISING, fuse, plan_build, run_passes
from symc.passes.fuse_group import Apart
from symc.passes.fuse_reasons import splits
from symc.passes.plan import Plan


def handed(plan: Plan) -> set[tuple[str, str]]:
    """Pairs of kernels of which one stores an array that the other loads."""
    writers = {plan.root(value): step.nest.name for step in plan.steps for value in step.writes()}
    pairs = set()
    for step in plan.steps:
        if not isinstance(step.nest, Nest):
            continue
        for value in step.reads():
            writer = writers.get(plan.root(value))
            if writer is not None and writer != step.nest.name:
                pairs.add((writer, step.nest.name))
    return pairs


def reasons(entry: Entry) -> tuple[Plan, list[Split]]:
    plan = plan_build.run(entry)
    return plan, splits(fuse.run(entry.function), plan)


def programs() -> list[Function]:
    found = [
        run_passes(generate(Random(seed), {}).function, (*MEANING, *OPTIMISING[3]), Options())
        for seed in range(40)
    ]
    return found + [shared_program(np.random.default_rng(seed), 16, N) for seed in range(30)]


def test_every_array_handed_on_has_a_reason() -> None:
    texts = {apart.name.lower(): apart.value for apart in Apart}
    kinds = set()
    for function in programs():
        plan, found = reasons(entry_of(function))
        explained = {(split.producer, split.consumer) for split in found}
        missing = handed(plan) - explained
        assert not missing
        names = [step.nest.name for step in plan.steps]
        for split in found:
            assert names.index(split.producer) < names.index(split.consumer)
            assert texts[split.kind] == split.reason
        kinds |= {split.kind for split in found}
    assert kinds >= {"rows", "operand", "target", "pieces", "gathered", "order", "places"}


@pytest.mark.parametrize("batch", [1, 5, N])
def test_what_became_one_kernel_is_not_listed(batch: int) -> None:
    plan, found = reasons(training_step((7, 6, 5, 4), batch, momentum=True))
    assert found
    assert all(split.producer != split.consumer for split in found)
    assert {s.producer for s in found} | {s.consumer for s in found} <= {
        step.nest.name for step in plan.steps
    }
