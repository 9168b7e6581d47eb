"""What nodes cost: instructions per vector, and which math functions a module uses often.

Invariants: the counts are of text that was really written, for the same dtypes and width; they
decide sizes of code and estimates of time, never bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from symc.codegen_llvm.lanes import Lanes, LlvmBuilder
from symc.codegen_llvm.text import Emitter, Module
from symc.ir.core import Node
from symc.ir.ops.record import Op
from symc.ir.types import dtype_name
from symc.scalar.builder import Body

OFTEN = 4  # uses of a math function in one module above which it becomes a function of the module

Types = tuple[np.dtype[Any], ...]
Key = tuple[Op, Types, tuple[tuple[str, object], ...]]


class _Counting(LlvmBuilder):
    """Expands everything in place and remembers the names of math functions."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(Emitter(Module()), 8)
        self.names = names
        self.deferred = []

    def call(self, name: str, body: Body, args: Sequence[Lanes]) -> Lanes:
        self.names.append(name)
        return super().call(name, body, args)


@lru_cache(maxsize=4096)
def _measured(
    op: Op, dtypes: Types, attrs: tuple[tuple[str, object], ...]
) -> tuple[int, list[str], int]:
    """Instructions, math functions, rare branches."""
    if op.scalar is None:
        return 0, [], 0
    names: list[str] = []
    builder = _Counting(names)
    operands = [Lanes(f"%x{i}", dtype) for i, dtype in enumerate(dtypes)]
    op.scalar(builder, *operands, dict(attrs))
    return len(builder.emitter.lines), names, len(builder.deferred or ())


def _key(node: Node) -> Key:
    dtypes = tuple(operand.type.dtype for operand in node.operands)
    attrs = tuple(sorted(node.attrs.items())) if node.operands else ()
    return node.op, dtypes, attrs


def instructions(nodes: Iterable[Node]) -> int:
    """Instructions per vector of these nodes, with math functions in place."""
    return sum(_measured(*_key(node))[0] for node in nodes)


def rare_branches(nodes: Iterable[Node], outline: frozenset[str] = frozenset()) -> int:
    """How many rare branches these nodes have, beside those in functions of the module."""
    measured = (_measured(*_key(node)) for node in nodes)
    return sum(rare for _, names, rare in measured if outline.isdisjoint(names))


def called(nodes: Iterable[Node]) -> frozenset[str]:
    """Names of all math functions that the nodes call."""
    return frozenset(name for node in nodes for name in _measured(*_key(node))[1])


def frequent(nodes: Iterable[Node]) -> frozenset[str]:
    """Names of math functions that the nodes call more than `OFTEN` times in one dtype."""
    uses: Counter[tuple[str, str]] = Counter()
    for node in nodes:
        for name in _measured(*_key(node))[1]:
            uses[name, dtype_name(node.results[0].type.dtype)] += 1
    return frozenset(name for (name, _), count in uses.items() if count > OFTEN)
