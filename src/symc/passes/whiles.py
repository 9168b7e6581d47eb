"""While loops: what nobody reads is not computed, equal loops are one, the last row is a carry.

before: any tensor function.  after: the same results, where
- a y of which only the last row is read is carried instead of stored, whatever the number of steps;
- ys, carries and operands that nobody reads are gone, and so is the number of steps;
- what a step computes from constants only is computed before the loop;
- loops that run the same steps are one loop with the work of all: carries that start alike and are
  changed alike are one carry, and their conditions are equal then.  So the loop that stores what
  reverse mode reads is the loop that computes the value.

Bits: unchanged.
"""

from __future__ import annotations

from symc.ir import ops
from symc.ir.core import Function
from symc.ir.options import Options
from symc.passes.whiles_form import Rebuilt, counted, made, read_of, taken_apart
from symc.passes.whiles_last import carried_rows
from symc.passes.whiles_merge import merged


def run(function: Function, options: Options) -> Function:
    """Simplify the while loops of one function; those in its regions have had their turn."""
    if not any(node.op is ops.WHILE for node in function.nodes):
        return function
    return merged(_simpler(carried_rows(function)))


def _simpler(function: Function) -> Function:
    """Each loop without what nobody reads, and without what does not change from step to step."""
    read, dims = read_of(function), counted(function)
    new = Rebuilt(function)
    for node in function.nodes:
        if node.op is not ops.WHILE:
            new.keep(node)
            continue
        loop = taken_apart(node, [new.of(x) for x in node.operands])
        changed = loop.prune([result in read for result in node.results], dims)
        changed = loop.lift() or changed
        if changed:
            new.put(made(loop))
        else:
            new.keep(node)
    return new.function()
