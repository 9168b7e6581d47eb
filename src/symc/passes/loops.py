"""Loops: what needs no loop leaves it, equal loops become one, what nobody reads is not kept.

before: any tensor function.  after: each scan carries and stacks only what is read; scans that run
the same steps are one; work that depends on no carry stands before the loop, work that only stacked
results need behind it, sums of products are contractions; a loop with nothing left in it is gone;
a loop of one step is its body.

The licence is `contraction`: sums of products over the steps are taken in any order, unless under
`contract="chain"`.  All else keeps its bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from symc.ir import moves, ops, term
from symc.ir.core import Function, Node, Value
from symc.ir.moves import Move, Note, place
from symc.ir.ops.loop_groups import groups
from symc.ir.options import Options
from symc.ir.rewriter import remake
from symc.ir.term import Term
from symc.passes import cse
from symc.passes.loops_folds import fold
from symc.passes.loops_form import Loop, made, pruned, taken_apart
from symc.passes.loops_join import join, split, unjoin
from symc.passes.loops_merge import joined, mergeable
from symc.passes.loops_move import Later, copied, hoist, sink
from symc.passes.loops_reads import pushed
from symc.passes.loops_rows import last_rows
from symc.passes.loops_sums import accumulate
from symc.passes.merging import units
from symc.passes.rebuilt import rebuilt


def run(function: Function, options: Options, note: Note = lambda move: None) -> Function:
    """Move work out of loops, merge those that are left, and move what that set free."""
    function = pushed(function)
    if not any(node.op is ops.SCAN for node in function.nodes):
        return function
    function = _rebuilt(last_rows(function, note), options, note)
    # Equal work that left two loops must be one value, so that their steps are seen to be equal.
    function = cse.run(function, options)
    sets = mergeable(function)
    return _rebuilt(_merged(function, sets, note), options, note) if sets else function


def _reads(function: Function) -> set[Value]:
    found = {operand for node in function.nodes for operand in node.operands}
    found.update(function.results)
    return found


def _rebuilt(function: Function, options: Options, note: Note) -> Function:
    """Every scan with less in it."""
    read = _reads(function)
    given = frozenset(function.params)
    values: dict[Value, Value] = {}
    for node in function.nodes:
        operands = [values.get(x, x) for x in node.operands]
        if node.op is ops.SCAN:
            loop = taken_apart(node, operands, read)
            loop.limit, loop.given = options.memory_limit, given
            values.update(_changed(loop, operands, options, note))
        else:
            kept = remake(node, operands, node.regions)
            values.update(zip(node.results, kept.results, strict=True))
    return rebuilt(function, values)


def _changed(
    loop: Loop, operands: Sequence[Value], options: Options, note: Note
) -> dict[Value, Value]:
    """Old results -> new ones of a scan over `operands`."""
    node = loop.node
    if groups(node).length == 1:
        note(Move(moves.ONCE, place(node), groups(node).reverse))
        return _one_step(node, operands)
    changed = pruned(loop)
    later: list[Later] = []
    if options.contract != "chain":
        changed = split(loop) or changed
    changed = join(loop) or changed
    if options.contract != "chain":
        reassociate = "reassoc" in options.licences
        later += accumulate(loop, reassociate=reassociate)
        later += fold(loop)
    later += sink(loop)
    changed = hoist(loop) or changed or bool(later)
    pruned(loop)
    if not changed and operands == list(node.operands):
        return {}
    if not changed:
        kept = remake(node, operands, node.regions)
        return dict(zip(node.results, kept.results, strict=True))
    real = made(loop)
    found = dict(real)
    for compute in later:
        found.update(compute(real))
    if not loop.carries and not loop.ys:
        loop.moved(moves.GONE)
    for move in loop.moves:
        note(move)
    return found


def _one_step(node: Node, operands: Sequence[Value]) -> dict[Value, Value]:
    """The body in place of a loop that runs once."""
    loop = taken_apart(node, operands, node.results)
    instead = {**loop.consts, **{carry.param: carry.start for carry in loop.carries}}
    for param, whole in loop.xs.items():
        instead[param] = Term(whole).reshape(whole.type.shape[1:]).value
    instead[loop.number] = term.full((), 0, loop.number.type.dtype).value
    values = copied(loop.nodes(), instead)
    found = {}
    for carry in loop.carries:
        if carry.result is not None:
            found[carry.result] = values.get(carry.after, carry.after)
    for row in loop.ys:
        if row.result is not None:
            one = Term(values.get(row.value, row.value))
            found[row.result] = one.reshape((1, *one.shape)).value
    return found


def _merged(function: Function, sets: Sequence[Sequence[Node]], note: Note) -> Function:
    """Each set as one scan."""
    read = _reads(function)
    member = {node: chosen for chosen in sets for node in chosen}
    values: dict[Value, Value] = {}
    for unit in units(function.nodes, member):
        operands = [[values.get(x, x) for x in node.operands] for node in unit]
        if len(unit) == 1:
            kept = remake(unit[0], operands[0], unit[0].regions)
            values.update(zip(unit[0].results, kept.results, strict=True))
            continue
        rows = zip(unit, operands, strict=True)
        loops = [taken_apart(node, given, read) for node, given in rows]
        for loop in loops:
            unjoin(loop)
        one = joined(loops)
        for other in unit[1:]:
            note(Move(moves.MERGED, place(unit[0]), one.reverse, other=place(other)))
        pruned(one)
        values.update(made(one))
        values.update({x: values.get(y, y) for x, y in one.also.items()})
    return rebuilt(function, values)
