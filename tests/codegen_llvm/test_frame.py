"""Vectors that a kernel keeps on its stack never lie across two cache lines."""

from __future__ import annotations

import re

import numpy as np
import pytest

import symc as sc


def assembly() -> str:
    """Of a body with more values alive than there are registers."""
    x = np.linspace(0.1, 3.0, 4096, dtype=np.float32)
    f = sc.jit(lambda x, y: sc.tanh(x) * y + sc.exp(-x * x) * sc.log1p(y) - sc.sqrt(x))
    f(x, x)
    text: str = f.asm()
    return text


def test_spilled_vectors_are_aligned() -> None:
    text = assembly()
    kernel = text[text.index("k0_k0:") :]
    if "%rsp" not in kernel:
        pytest.skip("another instruction set")
    assert re.findall(r"andq\s+\$-64, %rsp", kernel)
    assert re.findall(r"vmovap[sd]\s+%[yz]mm\d+, \d*\(%rsp\)", kernel)
    assert not re.findall(r"vmovup[sd]\s+%[yz]mm\d+, -?\d*\(%r[sb]p\)", kernel)
