"""The order of contractions.

before: any tensor function without calls.  after: under `contract="chain"` every contraction is one
ascending fma chain per element; otherwise the orders stay as they are.  This defines the program
that the oracle evaluates.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.ops.record import Kind
from symc.ir.options import Options
from symc.passes.sweep import Sweep

CHAIN = "chain"


def run(function: Function, options: Options) -> Function:
    """Turn every contraction into a chain where the options ask for it."""
    return Sweep(function).run(_chained) if options.contract == CHAIN else function


def _chained(node: Node) -> Sequence[Value] | None:
    if node.op.kind is not Kind.CONTRACT or node.attrs["order"] == CHAIN:
        return None
    attrs = {**node.attrs, "order": CHAIN}
    return apply(node.op, node.operands, attrs, locations=node.locations).results
