"""The same text compiles for every kind of target, without leaving strict arithmetic."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import pytest

from scalar.lanes_jit import Case, define
from scalar.math_points import FLOATS, FUNCTIONS
from symc.codegen_llvm.text import Module
from symc.scalar import math

TARGETS = [
    ("x86_64-unknown-linux-gnu", "x86-64-v3", 8),
    ("x86_64-unknown-linux-gnu", "skylake-avx512", 16),
    ("aarch64-unknown-linux-gnu", "neoverse-n1", 4),
    ("nvptx64-nvidia-cuda", "sm_80", 1),
]


def cases(width: int) -> list[Case]:
    one = [Case(name, body, (d,), d, width) for name, body in FUNCTIONS.items() for d in FLOATS]
    two = [Case("pow", math.pow, (d, d), d, width) for d in FLOATS]
    for name in ("maximum", "minimum"):
        two += [
            Case(name, lambda b, x, y, name=name: getattr(b, name)(x, y), (d, d), d, width)
            for d in FLOATS
        ]
    return one + two


def assembly(triple: str, cpu: str, width: int) -> str:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = Module()
    for case in cases(width):
        define(module, case)
    parsed = llvm.parse_assembly(module.text())
    parsed.triple = triple
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, opt=2).emit_assembly(parsed)


@pytest.mark.parametrize(("triple", "cpu", "width"), TARGETS, ids=lambda v: str(v))
def test_no_library_is_called(triple: str, cpu: str, width: int) -> None:
    text = assembly(triple, cpu, width)
    defined = set(re.findall(r"^([\w.$]+):", text, re.MULTILINE))
    called = set(
        re.findall(
            r"\s(?:call[lq]?|bl|jmp)\s+(?!\.)([A-Za-z_][\w.]*)(?:@PLT)?$", text, re.MULTILINE
        )
    )
    assert called <= defined
    library = r"\b(?:expf?|logf?|sinf?|cosf?|powf?|tanhf?|fmaf?|floorf?|roundevenf?|ldexpf?)\b"
    assert not re.findall(r"\b(?:call[lq]?|bl|jmp)\s+" + library, text)
    assert ".extern" not in text


def test_ptx_is_strict() -> None:
    """Every rounding is named, so that the assembler of PTX may fuse nothing."""
    text = assembly("nvptx64-nvidia-cuda", "sm_80", 1)
    assert re.findall(r"\b(?:mul|add|fma|div)\.rn\.f32\b", text)
    assert not re.findall(r"\b(?:mul|add|sub|div|sqrt|fma)\.f(?:32|64)\b", text)
    assert ".approx" not in text
    assert ".ftz" not in text
