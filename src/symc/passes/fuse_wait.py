"""Order without data: a group that comes after a value which it does not read.

before: a use of a view that has operands besides the one it shows (a barrier).  after: the using
group merges with none that ends before such an operand, and follows the group that stores the last
value with a buffer behind it, so that nothing is stored that would not be; where there is none
(elementwise work only) the order of the program is all that is kept.

Invariant: an order is an edge of the graph of groups like any other, so merges see it.
"""

from __future__ import annotations

from typing import Final

from symc.ir.core import Node, Value
from symc.passes.fuse_group import Group, current
from symc.passes.fuse_partition import Partition, Use, foldable, has_buffer

FAR: Final = 64  # steps of elementwise work and views that are looked behind


def wait(p: Partition, view: Node, use: Use) -> None:
    """Let the user of `view` come after the operands that the view does not show."""
    if use.group is None:
        return
    for operand in view.operands[1:]:
        anchor, group = _anchor(p, operand), current(use.group)
        group.late = max(group.late, p.numbered(operand))
        if anchor is not None:
            p.use(anchor, Use(group))
            group.waits.append(anchor)


def read(p: Partition, operand: Value, group: Group) -> None:
    """A buffer use of `operand`, through the views that can be folded into its indices."""
    base = foldable(operand)
    p.use(base, Use(group))
    while operand is not base:
        assert operand.node is not None
        wait(p, operand.node, Use(group))
        operand = operand.node.operands[0]


def _anchor(p: Partition, value: Value) -> Value | None:
    """The last value behind `value` that a group stores in any case."""
    for _ in range(FAR):
        if value.node is None or not value.node.operands:
            return None
        if has_buffer(value):
            return value
        value = max(value.node.operands, key=p.numbered)
    return None
