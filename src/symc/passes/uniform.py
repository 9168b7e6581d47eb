"""What is the same number everywhere, and what only moves or rounds elements.

Neither looks behind `opaque`, the params of a function: they may have been made by nodes outside.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.dims import prove_le
from symc.ir.ops.attributes import integer
from symc.ir.ops.record import Kind
from symc.ir.types import Literal, is_float

Opaque = frozenset[Value]
NOTHING: Final[Opaque] = frozenset()


def transparent(node: Node) -> bool:
    """Whether each element of the result is one of operand 0, as it is or rounded."""
    if node.op.kind is Kind.VIEW or node.op is ops.STOP_GRADIENT:
        return True
    if node.op is ops.CAST:
        return is_float(node.operands[0].type.dtype) and is_float(node.results[0].type.dtype)
    return node.op.kind is Kind.GATHER and _reads_elements(node)


def _reads_elements(gather: Node) -> bool:
    """Whether nothing that a gather reads is the 0 that stands for an element out of range."""
    mode, axis = gather.attrs["mode"], integer(gather.attrs, "axis")
    if mode == "raise":
        return True
    return mode != "fill" and prove_le(1, gather.operands[0].type.shape[axis])


def scalar_constant(value: Value, opaque: Opaque = NOTHING) -> np.ndarray | None:
    """The 0-d constant that every element of `value` equals, or None.

    Looks through views, and through casts to a float.
    """
    to = value.type.dtype
    node = value.node
    while node is not None and node.op is not ops.CONSTANT:
        if not _repeats(node) or value in opaque:
            return None
        value = node.operands[0]
        node = value.node
    if node is None or value in opaque:
        return None
    literal = node.attrs["value"]
    assert isinstance(literal, Literal)
    found = _uniform(literal.array)
    if found is None or found.dtype == to:
        return found
    cast = found.astype(to)
    return cast if cast.item() == found.item() else None


def _repeats(node: Node) -> bool:
    op = node.op
    return op.kind is Kind.VIEW or (op is ops.CAST and is_float(node.results[0].type.dtype))


def _uniform(array: np.ndarray) -> np.ndarray | None:
    """The number that all elements are, bit for bit; None when they differ or there are none."""
    if array.ndim == 0:
        return array
    flat = array.reshape(-1)
    first = flat[:1]
    if array.size == 0 or flat[-1:].tobytes() != first.tobytes():
        return None
    if array.size > 2 and array.tobytes() != first.tobytes() * array.size:
        return None
    return first.reshape(())


def constant_is(value: Value, wanted: float, opaque: Opaque = NOTHING) -> bool:
    """Whether every element of `value` is the constant `wanted`, sign of zero included."""
    found = scalar_constant(value, opaque)
    if found is None or found.dtype.kind not in "fiub":
        return False
    number = found.item()
    same_sign = found.dtype.kind != "f" or np.signbit(number) == np.signbit(float(wanted))
    return bool(number == wanted and same_sign)
