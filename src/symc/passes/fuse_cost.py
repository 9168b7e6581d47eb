"""How much code an elementwise op makes: its scalar rule run on a builder that only counts.

before: an op record.  after: an estimate of the LLVM instructions of one application.
Invariants: the estimate depends on op, dtypes and attributes only, and is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from symc.ir.core import Node
from symc.ir.ops.record import Kind, Op
from symc.ir.types import BOOL

LIMIT: Final = 2000  # estimated instructions of one kernel body
DEAR: Final = 20  # from here on an application is not worth repeating
CHEAP: Final = 12  # a chain up to this much may be repeated instead of stored

_COMPARISONS: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


class _Counter:
    """A scalar builder whose lanes are dtypes; every operation adds to `count`."""

    def __init__(self) -> None:
        self.count = 0

    def dtype(self, x: Any) -> np.dtype[Any]:
        found: np.dtype[Any] = np.dtype(x)
        return found

    def const(self, value: float, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return dtype

    def table(self, values: Sequence[float], dtype: np.dtype[Any], index: Any) -> np.dtype[Any]:
        self.count += 4
        return dtype

    def cast(self, x: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
        self.count += 2
        return dtype

    bitcast = cast

    def select(self, mask: Any, a: Any, b: Any) -> Any:
        self.count += 1
        return a

    def div(self, a: Any, b: Any = None) -> Any:
        self.count += 6
        return a

    sqrt = floordiv = mod = div

    def rare(self, mask: Any, fast: Any, slow: Any, args: Any) -> Any:
        self.count += 8
        return fast

    def call(self, name: str, body: Any, args: Sequence[Any]) -> Any:
        return body(self, *args)

    def __getattr__(self, name: str) -> Any:
        def operation(first: Any, *rest: Any) -> Any:
            self.count += 1
            return BOOL if name in _COMPARISONS else first

        return operation


@cache
def _counted(op: Op, dtypes: tuple[np.dtype[Any], ...], attrs: tuple[tuple[str, Any], ...]) -> int:
    assert op.scalar is not None
    counter = _Counter()
    op.scalar(counter, *dtypes, dict(attrs))
    return max(counter.count, 1)


def cost(node: Node) -> int:
    """Estimated LLVM instructions of one application of `node`."""
    if node.op.kind is not Kind.ELEMENTWISE:
        return 2
    dtypes = tuple([operand.type.dtype for operand in node.operands])
    return _counted(node.op, dtypes, tuple(sorted(node.attrs.items())) if node.attrs else ())
