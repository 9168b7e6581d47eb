"""Sums that keep their order, taken behind the loop with the products that they add up.

before: a loop taken apart, a carry of which only adds up what a step computes, and is read by
nothing else.  after: where what is added needs a contraction that no other carry needs, the carry
is gone: what it added is computed for all steps at once, and a small loop of its own adds it up in
the order of the steps.  So the output layer of a network is one product of matrices also where the
step adds up its loss.

Bits: the sum keeps its order; contractions are ordered anew, as `order="any"` allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from symc.ir import moves, ops
from symc.ir.build import placed_at
from symc.ir.core import Function, Node, Value, nodes_so_far, reachable
from symc.ir.ops.loop_groups import Operands, make_scan
from symc.ir.ops.record import Kind
from symc.ir.term import Term
from symc.passes.loops_form import Carry, Loop, Row
from symc.passes.loops_guard import all_may_be_kept
from symc.passes.loops_move import Later, Stacks, computed, inner_nodes, read_of
from symc.passes.loops_sums import Part, parts_of, readers_of
from symc.passes.nominal import nominal

MOST: Final = 16  # carries of one loop that are looked at


def fold(loop: Loop) -> list[Later]:
    """Move carries that add up results of products behind the loop, each to a loop of its own."""
    found: list[Later] = []
    if loop.sized():
        return found
    readers = readers_of(loop)
    for carry in loop.carries[:MOST]:
        parts = parts_of(carry, readers, loop.wanted)
        if parts and carry.result is not None:
            later = _taken(loop, carry, parts)
            if later is not None:
                found.append(later)
    return found


def _taken(loop: Loop, carry: Carry, parts: Sequence[Part]) -> Later | None:
    """The carry taken out of the loop; None, and the loop as it was, where that saves nothing."""
    added = [part.added for part in parts]
    nodes, _ = reachable(added, stop=loop.params)
    if not any(node.op.kind is Kind.CONTRACT for node in nodes):
        return None
    before = loop.carries
    loop.carries = [other for other in before if other is not carry]
    core = {n for n in loop.nodes() if n.op.kind is Kind.CONTROL} | inner_nodes(loop)
    read = read_of(loop, [Row(value, None) for value in added], core)
    if not _pays(nodes, core, read, added) or not all_may_be_kept(loop, [*read, *added]):
        loop.carries = before
        return None
    return _apart(loop, carry, parts, read)


def _pays(
    nodes: Sequence[Node], core: set[Node], read: Sequence[Value], added: Sequence[Value]
) -> bool:
    """Whether a product leaves with the sum, for arrays that are no larger than what it reads."""
    heavy = any(node.op.kind is Kind.CONTRACT and node not in core for node in nodes)
    kept, stacked = (sum(nominal(x.type.bytes) for x in xs) for xs in (added, read))
    return heavy and bool(read) and kept <= stacked


def _apart(loop: Loop, carry: Carry, parts: Sequence[Part], read: Sequence[Value]) -> Later:
    """What is added for all steps, and the loop that adds it up."""
    fixed = [x for x in read if x not in loop.consts]
    stacks, kept = Stacks(loop, {}), len(loop.ys)
    given = {x: stacks.of(x) for x in fixed}
    rows = {Value(part.added.type): part.added for part in parts}
    whole = computed(loop, given, rows)
    move = loop.moved(moves.AFTER, parts[0].added, fixed)
    memory = sum((y.result.type.bytes for y in loop.ys[kept:] if y.result is not None), start=0)
    where = carry.after.node.locations if carry.after.node else loop.node.locations
    body = _adding(loop, carry, parts)

    def later(real: Mapping[Value, Value]) -> dict[Value, Value]:
        since = nodes_so_far()
        arrays = list(whole(real).values())
        move.became(arrays[0], since, memory)
        with placed_at(where):
            given = Operands([], [carry.start], arrays)
            node = make_scan(ops.SCAN, body, given, loop.length, loop.reverse)
        assert carry.result is not None
        return {carry.result: node.results[0]}

    return later


def _adding(loop: Loop, carry: Carry, parts: Sequence[Part]) -> Function:
    """The step that adds one row of each part."""
    total, number = Value(carry.param.type), Value(loop.number.type)
    steps = [Value(part.added.type) for part in parts]
    value = Term(total)
    for part, step in zip(parts, steps, strict=True):
        with placed_at(loop.node.locations):
            value = value - Term(step) if part.negative else value + Term(step)
    params = (total, *steps, number)
    nodes, _ = reachable([value.value], stop=params)
    return Function(loop.node.regions[0].name, params, tuple(nodes), (value.value,))
