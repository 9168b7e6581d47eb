"""Sums over the steps of a loop, taken behind it.

before: a loop taken apart, some of whose carries are sums: every step adds to them, and nothing
else reads them.  after: a carry to which only products are added is gone; its last value is its
start and one sum over all steps, of stacked factors: the gradient of a weight is one contraction.

What is added may be several terms, and may stand behind what commutes with a sum: views, negations,
additions, pieces put into zeros or side by side; so a weight may be used twice in a step, or in
slices.  The licence is `contraction`: products summed over an index, in any order.  Other sums keep
their place, unless `reassoc` is granted; so do products of which the array for all steps would be
much larger than what it is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from symc.ir import moves, ops, term
from symc.ir.build import apply, placed_at
from symc.ir.core import Node, Value, nodes_so_far, reachable
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind
from symc.ir.term import Term
from symc.passes.loops_form import Carry, Loop, Row
from symc.passes.loops_guard import all_may_be_kept
from symc.passes.loops_move import Later, Stacks, computed, inner_nodes, read_of
from symc.passes.nominal import nominal
from symc.records import dataclass

_LINEAR: Final = frozenset({ops.NEG, ops.ADD, ops.SUB, ops.SET_SLICE, ops.CONCAT})
_GROWTH: Final = 2  # bytes of a product for all steps, per byte of what it is made of


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a sum: what a step adds, or takes away.

    parts: what it is made of, by operations that commute with a sum.  leaves: what is summed, each
    part or the whole term; outside: what is done to the sums of the leaves, operands first.
    """

    added: Value
    negative: bool
    parts: list[Value]
    leaves: list[Value]
    outside: list[Node]


@dataclass(frozen=True, slots=True)
class _Sum:
    """A carry that is a sum."""

    carry: Carry
    terms: list[Part]

    @property
    def leaves(self) -> list[Value]:
        """All that is summed over the steps, each once; zeros are not."""
        return list(dict.fromkeys(x for t in self.terms for x in t.leaves if not is_zero(x)))


def accumulate(loop: Loop, *, reassociate: bool) -> list[Later]:
    """Move carries that only sum products behind the loop."""
    readers = readers_of(loop)
    found: list[_Sum] = []
    for carry in loop.carries:
        terms = parts_of(carry, readers, loop.wanted)
        if terms and all(_may_move(loop, t, reassociate=reassociate) for t in terms):
            one = _Sum(carry, terms)
            if all_may_be_kept(loop, (x for leaf in one.leaves for x in _factors(leaf))):
                found.append(one)
    inside = {n for n in loop.nodes() if n.op.kind is Kind.CONTROL}
    gone = {one.carry.param for one in found}
    loop.carries = [carry for carry in loop.carries if carry.param not in gone]
    core = inside | inner_nodes(loop)
    return [_total(loop, one, core) for one in found if one.carry.result is not None]


def readers_of(loop: Loop) -> dict[Value, list[Node]]:
    """For each value of a step, the nodes that read it, once per operand."""
    found: dict[Value, list[Node]] = {}
    for node in loop.nodes():
        for x in node.operands:
            found.setdefault(x, []).append(node)
    return found


def parts_of(
    carry: Carry, users: Mapping[Value, Sequence[Node]], wanted: Sequence[Value]
) -> list[Part] | None:
    """What each step adds to a carry that is read by nothing else."""
    value, found = carry.param, []
    while value is not carry.after:
        readers = users.get(value, ())
        if len(readers) != 1 or any(x is value for x in wanted):
            return None
        (node,) = readers
        if node.op not in {ops.ADD, ops.SUB}:
            return None
        left, right = node.operands
        if node.op is ops.SUB and right is value:
            return None
        found.append(_term(right if left is value else left, negative=node.op is ops.SUB))
        (value,) = node.results
    alone = not users.get(value) and sum(x is value for x in wanted) == 1
    return found if alone else None


def _term(added: Value, *, negative: bool) -> Part:
    """The term with all that may be done after the sum taken off."""
    outside: list[Node] = []
    leaves: dict[Value, None] = {}
    seen: set[Node] = set()
    todo = [added]
    while todo:
        value = todo.pop()
        node = value.node
        if node is None or not _commutes(node) or is_zero(value):
            leaves[value] = None
        elif node not in seen:
            seen.add(node)
            outside.append(node)
            todo += node.operands
    outside.sort(key=lambda node: node.serial)
    parts = list(leaves)
    products = any(x.node is not None and x.node.op.kind is Kind.CONTRACT for x in parts)
    if not products and all(node.op.kind is not Kind.ASSEMBLE for node in outside):
        # Elementwise sums are taken of the whole term: one pass over one array.
        return Part(added, negative, parts, [added], [])
    return Part(added, negative, parts, parts, outside)


def _commutes(node: Node) -> bool:
    """Whether a sum over the steps may be taken before this operation."""
    return node.op in _LINEAR or (node.op.kind is Kind.VIEW and len(node.operands) == 1)


def is_zero(value: Value) -> bool:
    """Whether a value is +0 everywhere, and a view of a constant."""
    while value.node is not None and value.node.op.kind is Kind.VIEW:
        value = value.node.operands[0]
    array = term.constant_array(Term(value))
    return array is not None and not array.any()


def _may_move(loop: Loop, one: Part, *, reassociate: bool) -> bool:
    licensed = reassociate or all(map(_licensed, one.parts))
    return licensed and all(_fits(loop, leaf) for leaf in one.leaves) and not _sized(loop, one)


def _sized(loop: Loop, one: Part) -> bool:
    """Whether a leaf is made of values with sizes that only a step knows."""
    sized = loop.sized()
    if not sized:
        return False
    loops = (r for n in loop.nodes() if n.op.kind is Kind.CONTROL for r in n.results)
    nodes, _ = reachable(one.leaves, stop=[*loop.params, *loops])
    return not sized.isdisjoint(nodes)


def _licensed(value: Value) -> bool:
    """Whether sums of `value` over the steps may be taken in any order: it is made of products."""
    todo, seen = [value], {value}
    while todo:
        one = todo.pop()
        node = one.node
        if one.type.dtype.kind in "iu" or is_zero(one):
            continue
        if node is not None and (_commutes(node) or node.op is ops.SUM):
            todo += [x for x in node.operands if x not in seen]
            seen.update(node.operands)
        elif node is None or not _is_product(node):
            return False
    return True


def _is_product(node: Node) -> bool:
    contraction = node.op.kind is Kind.CONTRACT and node.attrs["order"] != "chain"
    return contraction or node.op in {ops.MUL, ops.SCALE}


def _fits(loop: Loop, leaf: Value) -> bool:
    """Whether no product behind a leaf is much larger for all steps than its factors."""
    if leaf.node is None or leaf.node.op.kind is Kind.CONTRACT:
        return True
    nodes, _ = reachable([leaf], stop=loop.params)
    for node in nodes:
        if node.op.kind is Kind.CONTRACT:
            factors = sum(nominal(x.type.bytes) for x in node.operands)
            if nominal(node.results[0].type.bytes) > _GROWTH * factors:
                return False
    return True


def _total(loop: Loop, one: _Sum, core: set[Node]) -> Later:
    """The last value of a carry that was a sum: its start and the sum over all steps."""
    carry, leaves = one.carry, one.leaves
    factors = list(dict.fromkeys(x for leaf in leaves for x in _factors(leaf)))
    read = read_of(loop, [Row(factor, None) for factor in factors], core)
    fixed = [x for x in read if x not in loop.consts]
    stacks, kept = Stacks(loop, {}), len(loop.ys)
    given = {x: stacks.of(x) for x in fixed}
    rows = {Value(factor.type): factor for factor in factors}
    whole = computed(loop, given, rows)
    move = loop.moved(moves.SUM, one.terms[0].added, fixed)
    memory = sum((y.result.type.bytes for y in loop.ys[kept:] if y.result is not None), start=0)
    where = carry.after.node.locations if carry.after.node else loop.node.locations

    def later(real: Mapping[Value, Value]) -> dict[Value, Value]:
        since = nodes_so_far()
        arrays = {rows[key]: array for key, array in whole(real).items()}
        with placed_at(where):
            sums = {x: _summed(x.node, [arrays[f] for f in _factors(x)]) for x in leaves}
            found = Term(carry.start)
            for part in one.terms:
                total = _rebuilt(part, sums)
                found = found - total if part.negative else found + total
        move.became(total.value, since, memory)
        assert carry.result is not None
        return {carry.result: found.value}

    return later


def _factors(leaf: Value) -> Sequence[Value]:
    """The arrays that are stacked for a leaf."""
    node = leaf.node
    return [leaf] if node is None or node.op.kind is not Kind.CONTRACT else node.operands


def _rebuilt(one: Part, sums: Mapping[Value, Term]) -> Term:
    """The sum of a term from those of its leaves."""
    current = {x: total.value for x, total in sums.items()}
    current.update({x: term.zeros(x.type).value for x in one.leaves if x not in sums})
    for node in one.outside:
        made = apply(node.op, [current[x] for x in node.operands], node.attrs)
        current[node.results[0]] = made.results[0]
    return Term(current[one.added])


def _summed(node: Node | None, arrays: Sequence[Value]) -> Term:
    """The sum over axis 0 of stacked values; a product of stacked factors is one contraction."""
    if node is None or node.op.kind is not Kind.CONTRACT:
        return Term(arrays[0]).sum((0,))
    left, right = arrays
    axes = dot_axes(left.type.rank - 1, right.type.rank - 1, node.attrs)
    moved = DotAxes(
        tuple(i + 1 for i in axes.lhs_batch),
        tuple(i + 1 for i in axes.rhs_batch),
        (0, *(i + 1 for i in axes.lhs_contract)),
        (0, *(i + 1 for i in axes.rhs_contract)),
        (),
        (),
    )
    attrs = moved.attrs(str(node.attrs["order"]))
    return term.make(ops.DOT, Term(left), Term(right), **attrs)
