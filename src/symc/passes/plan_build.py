"""From an optimised entry to kernels in launch order.

before: an Entry whose calls have been inlined.  after: a `Plan`, ready for code generation; its
nests and what the code generator says about them go to `buffers.run`.
"""

from __future__ import annotations

from symc.ir.entry import Entry
from symc.passes import fuse, lower, plan_order
from symc.passes.plan import Plan


def run(entry: Entry) -> Plan:
    """Fuse, lower, and order the kernels of `entry`."""
    return plan_order.run(_lowered(entry))


def body(entry: Entry) -> Plan:
    """The same for the body of a loop, whose carries are the loop's own."""
    return plan_order.run(_lowered(entry), inside=True)


def _lowered(entry: Entry) -> Plan:
    return lower.run(entry, fuse.run(entry.function), body)
