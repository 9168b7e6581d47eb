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
    fusion = fuse.run(entry.function)
    return plan_order.run(lower.run(entry, fusion, run))
