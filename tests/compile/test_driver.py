"""What a compiled entry shows: every level as text, reports, and who compiled what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compile.entries import call, entry_of, softmax_loss
from symc import DomainError, UnsupportedError
from symc.compile import compile_entry, recording
from symc.compile.levels import STAGES
from symc.ir import ops, term
from symc.ir.build import parameter
from symc.ir.dims import symbol
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.term import Term
from symc.ir.text import print_function
from symc.ir.types import F32


def test_every_level_has_a_text_also_after_a_hit() -> None:
    compile_entry(softmax_loss(), Options(), ())
    found = compile_entry(softmax_loss(), Options(), ())
    assert found.report.cache == "hit"
    texts = {stage: found.ir(stage) for stage in STAGES}
    assert len(set(texts.values())) == len(STAGES)
    for stage in ("traced", "defined", "optimized"):
        assert print_function(parse_function(texts[stage])) == texts[stage]
    assert "define" in found.llvm()
    assert ".text" in found.asm()
    assert found.full_report().kernels
    assert found.full_report().cache == "hit"


def test_an_unknown_level_or_section_is_refused() -> None:
    compiled = compile_entry(softmax_loss(), Options(), ())
    with pytest.raises(DomainError, match="traced, defined"):
        compiled.ir("assembly")
    with pytest.raises(DomainError, match="kernels"):
        compiled.explain("nothing")


def test_the_report_names_rules_kernels_and_lines() -> None:
    compiled = compile_entry(softmax_loss(), Options(cache=False), ())
    text = compiled.explain()
    assert "log_of_exp_over" in text
    assert "entries.py:" in text
    assert {fired.rule for fired in compiled.report.fired} >= {"log_of_exp_over"}
    assert compiled.explain("kernels").startswith("loss: cache off")
    page = compiled.explain(html=True)
    assert page.startswith("<!doctype html>")
    assert "log_of_exp_over" in page


def test_the_report_is_data_too() -> None:
    found = compile_entry(softmax_loss(), Options(), ()).full_report()
    assert [kernel.name for kernel in found.kernels] == ["k0"]
    assert "log_of_exp_over" in {fired.rule for fired in found.fired}
    assert {timing.stage for timing in found.timings} >= {"fuse", "lower", "codegen", "buffers"}
    assert found.cache in {"hit", "miss"}


def test_copies_and_costs_are_reported() -> None:
    n = symbol("n")
    x = Term(parameter("x", F32, (n,)))
    report = compile_entry(entry_of(x, x * 2.0), Options(cache=False), ()).full_report()
    (copy,) = report.copies
    assert "input" in copy
    assert "output" in copy
    assert report.cost.startswith("n operations")


def test_cost_in_sizes() -> None:
    n = symbol("n")
    x, w = Term(parameter("x", F32, (n, 8))), Term(parameter("w", F32, (8, 3)))
    product = term.make(
        ops.DOT, x, w, lhs_batch=(), rhs_batch=(), lhs_contract=(1,), rhs_contract=(0,), order="any"
    )
    compiled = compile_entry(entry_of(term.make(ops.TANH, product)), Options(cache=False), ())
    assert compiled.cost().flops == n * (3 * (2 * 8 + 1))
    at = compiled.cost(n=10)
    assert at.flops == 10 * 3 * 17
    assert at.bytes == 4 * (80 + 24 + 30)
    assert isinstance(at.workspace, int)
    twice = compile_entry(entry_of((x + x).sum([0])), Options(cache=False), ())
    assert twice.cost(n=5).flops == 2 * 40
    with pytest.raises(DomainError, match="cost at size k"):
        compiled.cost(k=3)


def test_recording_collects_what_is_compiled_inside() -> None:
    with recording() as outer:
        first = compile_entry(softmax_loss(), Options(), ())
        with recording() as inner:
            second = compile_entry(softmax_loss(3), Options(), ())
    compile_entry(softmax_loss(2), Options(), ())
    assert outer == [first]
    assert inner == [second]


@pytest.mark.parametrize("options", [{"device": "cuda:0"}], ids=str)
def test_an_option_that_is_not_offered_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=next(iter(options))):
        compile_entry(softmax_loss(), Options(**options), ())


@pytest.mark.parametrize("opt", [0, 1, 2, 3])
def test_every_level_of_optimisation_keeps_the_bits_of_the_defined_program(opt: int) -> None:
    compiled = compile_entry(softmax_loss(), Options(opt=opt, cache=False), ())
    x = np.linspace(-100, 100, 28, dtype=np.float32).reshape(4, 7)
    defined = compiled.stages.defined.function
    for got, expected in zip(call(compiled, x), evaluate(defined, [x]), strict=True):
        assert got.tobytes() == expected.tobytes()
