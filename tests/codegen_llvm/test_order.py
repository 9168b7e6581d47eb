"""The order of instructions, and bodies that are tried without their rare branches."""

from __future__ import annotations

import re

import numpy as np
import pytest

import symc as sc
from scalar.lanes_jit import same_bits
from symc.codegen_llvm.order import FEW, ordered
from symc.scalar import math
from symc.scalar.numpy_builder import NumpyBuilder

NUMPY = NumpyBuilder()


def chains(count: int, length: int) -> list[str]:
    """Dependent sums, one chain after the other, and a sum of their ends."""
    lines, ends = [], []
    for chain in range(count):
        last = f"%x{chain}"
        for step in range(length):
            lines.append(f"  %c{chain}.{step} = fadd <8 x float> {last}, splat (float {step}.0)")
            last = f"%c{chain}.{step}"
        ends.append(last)
    total = ends[0]
    for chain, end in enumerate(ends[1:]):
        lines.append(f"  %s{chain} = fadd <8 x float> {total}, {end}")
        total = f"%s{chain}"
    return [*lines, f"  %unused = fmul <8 x float> {total}, {total}"]


def names(line: str) -> tuple[str, list[str]]:
    name, text = line.strip().split(" = ")
    return name, re.findall(r"%[\w.]+", text)


def test_values_stand_before_their_uses_and_what_nothing_uses_is_gone() -> None:
    lines = chains(3, 12)
    after = ordered(lines, {"%s1"})
    assert sorted(after) == sorted(lines[:-1])
    defined = {f"%x{chain}" for chain in range(3)}
    for line in after:
        name, operands = names(line)
        assert defined.issuperset(operands)
        defined.add(name)


def test_chains_take_turns() -> None:
    after = [names(line)[0] for line in ordered(chains(3, 12), {"%s1"})]
    assert [name.split(".")[0] for name in after[:3]] == ["%c0", "%c1", "%c2"]


def test_instructions_of_equal_text_are_one() -> None:
    lines = chains(1, FEW)
    twice = [*lines[:-1], f"  %again = {lines[0].split(' = ')[1]}", "  %r = fadd T %again, %c0.20"]
    after = ordered(twice, {"%r"})
    assert not [line for line in after if line.startswith("  %again")]
    assert after[-1] == "  %r = fadd T %c0.0, %c0.20"


def test_short_texts_and_several_blocks_stay() -> None:
    lines = chains(2, FEW)
    assert ordered(lines[:3], set()) == lines[:3]
    assert ordered([*lines, "label:"], set()) == [*lines, "label:"]


def expression(m: object, x: object, y: object) -> object:
    return m.tanh(x) * y + m.exp(-x * x) * m.log1p(y) - m.log(x)  # type: ignore[attr-defined]


class Oracle:
    """The functions of the library on arrays."""

    def __getattr__(self, name: str) -> object:
        return lambda x: getattr(math, name)(NUMPY, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 16, 33, 150])
def test_unusual_lanes_anywhere(dtype: type, size: int) -> None:
    """A vector with an unusual lane is done again, in place of it, whole or partial."""
    rng = np.random.default_rng(size)
    f = sc.jit(lambda x, y: expression(sc, x, y))
    unusual = [0.0, -1.0, np.inf, np.nan, 1e-40, 1e30, 20.0]
    for count in (0, 1, size):
        x, y = (rng.uniform(0.1, 3, size).astype(dtype) for _ in range(2))
        for place in rng.integers(0, size, count):
            x[place], y[place] = rng.choice(unusual, 2)
        with np.errstate(all="ignore"):
            want = expression(Oracle(), x, y)
        assert same_bits(f(x, y), want).all()


def test_the_usual_body_has_no_rare_branch_inside() -> None:
    f = sc.jit(lambda x, y: expression(sc, x, y))
    f(np.ones(100, np.float32), np.ones(100, np.float32))
    text = f.llvm()
    whole = text[text.index("\nwhole") : text.index("\nusual")]
    assert whole.count("br i1") == 1
    assert "@symc.rare" not in whole
    assert "@symc.rare" in text[text.index("\nother") :]
