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

from symc.ir import moves, ops
from symc.ir.core import Function, nodes_so_far
from symc.ir.moves import Move, Note, place
from symc.ir.options import Options
from symc.passes.whiles_form import Rebuilt, counted, made, read_of, taken_apart
from symc.passes.whiles_last import carried_rows
from symc.passes.whiles_merge import merged


def run(function: Function, options: Options, note: Note = lambda move: None) -> Function:
    """Simplify the while loops of one function; those in its regions have had their turn."""
    if not any(node.op is ops.WHILE for node in function.nodes):
        return function
    return merged(_simpler(carried_rows(function), note))


def _simpler(function: Function, note: Note) -> Function:
    """Each loop without what nobody reads, and without what does not change from step to step."""
    read, dims = read_of(function), counted(function)
    new = Rebuilt(function)
    for node in function.nodes:
        if node.op is not ops.WHILE:
            new.keep(node)
            continue
        loop = taken_apart(node, [new.of(x) for x in node.operands])
        changed = loop.prune([result in read for result in node.results], dims)
        known, since = set(loop.consts.values()), nodes_so_far()
        changed = loop.lift() or changed
        for value in loop.consts.values():
            if value not in known:
                move = Move(moves.CONSTANT, place(node), reverse=False, value=value)
                move.became(value, since, value.type.bytes)
                note(move)
        if changed:
            new.put(made(loop))
        else:
            new.keep(node)
    return new.function()
