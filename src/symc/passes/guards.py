"""What the rows of several rule tables ask of a match.

before: a match.  after: a part of it, or whether a row applies.
"""

from __future__ import annotations

from symc.ir.core import Node
from symc.ir.ops.attributes import integers
from symc.ir.types import is_float
from symc.passes.pattern import Match


def beneath(m: Match) -> Node:
    """The node under the root, in rows whose pattern has one there."""
    node = m.node.operands[0].node
    assert node is not None
    return node


def reduced_axes(m: Match) -> tuple[int, ...]:
    """The axes of the root, a reduction."""
    return integers(m.node.attrs, "axes")


def on_floats(m: Match) -> bool:
    """Whether the root is of a floating dtype."""
    return is_float(m.root.type.dtype)


def on_integers(m: Match) -> bool:
    """Whether the root is of an integer dtype."""
    return m.root.type.dtype.kind in "iu"
