"""Work moved out of a loop: before it and after it, as whole arrays.

- `hoist`: what depends on constants alone is computed once before the loop; what depends on
  sequences, the number of the step and constants, but on no carry, for all steps at once: `x_t @ W`
  becomes one product of matrices.
- `sink`: what only ys depend on is computed for all steps at once after the loop, from stacked
  values.

before: a loop taken apart.  after: the same loop with less in it, and `Later`s: results to compute
once the new loop is there.  Elementwise work and reductions keep their bits; contractions are
ordered anew, as `order="any"` allows.

Views and sources stay with their readers; loops inside a body stay where they are.  Nothing is
moved for cheap arithmetic alone, and nothing is stacked that is much larger than what it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from symc.ir import moves, term
from symc.ir.batch import batched_values, repeated
from symc.ir.build import apply, placed_at
from symc.ir.core import Node, Value, nodes_so_far, reachable
from symc.ir.dims import Size, prove_le
from symc.ir.moves import Move
from symc.ir.ops.loop_groups import stacked_type
from symc.ir.ops.record import Kind
from symc.passes.fuse_cost import CHEAP, cost
from symc.passes.loops_form import Loop, Row
from symc.passes.loops_guard import affordable, all_may_be_kept, may_keep
from symc.records import dataclass

_STAYS: Final = frozenset({Kind.VIEW, Kind.SOURCE})
_HEAVY: Final = frozenset({Kind.CONTRACT, Kind.REDUCE, Kind.SCATTER, Kind.GATHER})
_GROWTH: Final = 2  # stacked bytes per byte of ys that they replace
_GROWTH_OF_PRODUCTS: Final = 16

# Real rows of placeholders -> the results to put in the place of old ones.
Later = Callable[[Mapping[Value, Value]], dict[Value, Value]]


def _heavy(node: Node) -> bool:
    """Whether moving this node alone is worth an array."""
    kind = node.op.kind
    return kind in _HEAVY or (kind is Kind.ELEMENTWISE and cost(node) > CHEAP)


def _with_heavy(nodes: Iterable[Node]) -> set[Node]:
    """Those of `nodes` (in order) that are heavy, or computed from one that is."""
    found: set[Node] = set()
    for node in nodes:
        behind = any(x.node in found for x in node.operands if x.node is not None)
        if behind or _heavy(node):
            found.add(node)
    return found


# Before the loop.
def hoist(loop: Loop) -> bool:
    """Move what depends on no carry before the loop; whether something left."""
    once = _hoist_constants(loop)
    return _hoist_rows(loop) or once


def _hoist_constants(loop: Loop) -> bool:
    """Compute what depends on constants alone once."""
    once = _only_from(loop, set(loop.consts))
    gone = _crossing(loop, {n for n in once if n.op.kind not in _STAYS})
    gone = [value for value in gone if may_keep(loop, value.type.bytes)]
    since = nodes_so_far()
    known = copied(once, loop.consts) if gone else {}
    for value in gone:
        loop.moved(moves.CONSTANT, value).became(known[value], since, value.type.bytes)
        _as_param(loop, value, loop.consts, known[value])
    return bool(gone)


def _hoist_rows(loop: Loop) -> bool:
    """Compute what depends on sequences, too, for all steps at once."""
    each = _only_from(loop, {*loop.consts, *loop.xs, loop.number})
    constant = set(_only_from(loop, set(loop.consts)))
    left = affordable(loop, _with_heavy(n for n in each if n not in constant), _crossing)
    if not left:
        return False
    since = nodes_so_far()
    whole = stacked(loop, left, dict(loop.xs))
    for value, row in zip(left, whole, strict=True):
        loop.moved(moves.BEFORE, value).became(row, since, row.type.bytes)
        _as_param(loop, value, loop.xs, row)
    return True


def _only_from(loop: Loop, known: set[Value]) -> list[Node]:
    """The nodes that read nothing but `known` values and each other."""
    found, sized = [], loop.sized()
    for node in loop.nodes():
        if node.op.kind is Kind.CONTROL or node in sized:
            continue
        if all(x in known for x in node.operands):
            known.update(node.results)
            found.append(node)
    return found


def _crossing(loop: Loop, leaving: set[Node]) -> list[Value]:
    """Values of leaving nodes that the rest of the body reads; views stay with their readers."""
    read: set[Value] = set(loop.wanted)
    found: list[Value] = []
    for node in reversed(loop.nodes()):
        if node in leaving and node.op.kind not in _STAYS:
            found += [x for x in node.results if x in read]
        elif node not in leaving or not read.isdisjoint(node.results):
            read.update(node.operands)
    return found


def _as_param(loop: Loop, value: Value, group: dict[Value, Value], operand: Value) -> None:
    """A value of the body becomes a param of a group."""
    param = Value(value.type, name=value.name)
    group[param] = operand
    _replace(loop, {value: param})


def _replace(loop: Loop, instead: Mapping[Value, Value]) -> None:
    """Read other values in the body."""
    nodes = [node for node in loop.nodes() if not any(r in instead for r in node.results)]
    current = copied(nodes, instead)
    for carry in loop.carries:
        carry.after = current.get(carry.after, carry.after)
    for row in loop.ys:
        row.value = current.get(row.value, row.value)
    loop.counts = {dim: current.get(count, count) for dim, count in loop.counts.items()}


def copied(nodes: Iterable[Node], instead: Mapping[Value, Value]) -> dict[Value, Value]:
    """`instead`, and the results of those nodes that read them, on the new operands."""
    current = dict(instead)
    for node in nodes:
        if not any(x in current for x in node.operands) and node.operands:
            continue
        operands = [current.get(x, x) for x in node.operands]
        made = apply(node.op, operands, node.attrs, regions=node.regions, locations=node.locations)
        current.update(zip(node.results, made.results, strict=True))
    return current


def stacked(loop: Loop, values: Sequence[Value], given: dict[Value, Value]) -> list[Value]:
    """Values of the step for all steps; `given` maps some to their whole arrays."""
    behind, _ = reachable(values, stop=[*given, *loop.params])
    outside = copied(behind, {p: x for p, x in loop.consts.items() if p not in given})
    starts = [outside.get(value, value) for value in values]
    with placed_at(loop.node.locations):
        batches = {outside.get(value, value): whole for value, whole in given.items()}
        batches[loop.number] = term.iota((loop.length,), 0).value
        found = batched_values(starts, batches, loop.length)
        pairs = [found.of(x) for x in starts]
        return [x if whole else repeated(x, loop.length) for x, whole in pairs]


# After the loop.
@dataclass(slots=True)
class Stacks:
    """Rows that the loop is to give: those that it gives already, and new ones."""

    loop: Loop
    rows: dict[Value, Value]

    def of(self, value: Value) -> Value:
        """A stand-in for the stacked values."""
        if value not in self.rows:
            for row in self.loop.ys:
                if row.value is value and row.result is not None:
                    self.rows[value] = row.result
                    return row.result
            made = Value(stacked_type(value.type, self.loop.length))
            self.loop.ys.append(Row(value, made))
            self.rows[value] = made
        return self.rows[value]


def inner_nodes(loop: Loop) -> set[Node]:
    """The nodes that carries depend on."""
    nodes, _ = reachable([carry.after for carry in loop.carries], stop=loop.params)
    return set(nodes)


def sink(loop: Loop) -> list[Later]:
    """Move what only ys depend on behind the loop."""
    core = inner_nodes(loop)
    outer = [n for n in loop.nodes() if n not in core]
    sized = loop.sized()
    movable = [n for n in outer if n.op.kind is not Kind.CONTROL and n not in sized]
    heavy = _with_heavy(movable)
    rows = [
        row
        for row in loop.ys
        if row.result is not None
        and (row.value.node in heavy or (row.value.node in set(movable) and not loop.carries))
    ]
    chosen = [row for row in rows if _all_movable(loop, row, core, set(movable))]
    if not chosen:
        return []
    read = read_of(loop, chosen, core)
    new = [x for x in read if all(row.value is not x for row in loop.ys)]
    if not _worth(loop, chosen, new) or not all_may_be_kept(loop, new):
        return []
    loop.ys = [row for row in loop.ys if row not in chosen]
    stacks = Stacks(loop, {})
    given = {value: stacks.of(value) for value in read}
    results = {row.result: row.value for row in chosen if row.result is not None}
    noted = [loop.moved(moves.AFTER, value, read) for value in results.values()]
    memory = sum((stacks.of(value).type.bytes for value in new), start=0)
    return [computed(loop, given, results, noted, memory)]


def _all_movable(loop: Loop, row: Row, core: set[Node], movable: set[Node]) -> bool:
    """Whether all that the row needs outside of the core can be moved."""
    nodes, _ = reachable([row.value], stop=[*loop.params, *(r for n in core for r in n.results)])
    return all(node in movable for node in nodes)


def read_of(loop: Loop, rows: Sequence[Row], core: set[Node]) -> list[Value]:
    """What the rows read of the core: its values, and carries."""
    inside = {r for n in core for r in n.results}
    carried = {carry.param for carry in loop.carries}
    stops = [*loop.params, *inside]
    nodes, _ = reachable([row.value for row in rows], stop=stops)
    operands = [x for n in nodes for x in n.operands] + [row.value for row in rows]
    return list(dict.fromkeys(x for x in operands if x in inside or x in carried))


def _worth(loop: Loop, rows: Sequence[Row], new: Sequence[Value]) -> bool:
    """Whether the arrays that are stacked anew stay in proportion to those that go."""
    if not new:
        return True
    stops = [*loop.params, *(r for n in inner_nodes(loop) for r in n.results)]
    nodes, _ = reachable([row.value for row in rows], stop=stops)
    products = any(node.op.kind is Kind.CONTRACT for node in nodes)
    factor = _GROWTH_OF_PRODUCTS if products else _GROWTH
    more: Size = 0
    for value in new:
        more = more + value.type.bytes
    less: Size = 0
    for row in rows:
        less = less + row.value.type.bytes
    return prove_le(more, less * factor)


def computed(
    loop: Loop,
    given: Mapping[Value, Value],
    results: Mapping[Value, Value],
    noted: Sequence[Move] = (),
    memory: Size = 0,
) -> Later:
    """Results from stacked values: old result -> value of the step."""
    xs, consts = dict(loop.xs), dict(loop.consts)

    def later(real: Mapping[Value, Value]) -> dict[Value, Value]:
        since = nodes_so_far()
        whole = {value: real.get(row, row) for value, row in given.items()}
        frozen = Loop(loop.node, loop.length, loop.reverse, loop.number, consts, xs)
        found = stacked(frozen, list(results.values()), {**xs, **whole})
        for i, (move, value) in enumerate(zip(noted, found, strict=False)):
            move.became(value, since, 0 if i else memory)
        return dict(zip(results, found, strict=True))

    return later
