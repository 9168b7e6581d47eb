"""Contractions that share an operand, or add up, as one.

before: any tensor function without calls.  after: products of one array with several narrow ones
that do not depend on each other (`x @ w_i`, `x_t @ W`, `A @ v_i`) are one contraction with those
side by side, and its result in slices; a sum of contractions over few terms each (`sum x_t^T g_t`)
is one over all terms.  The licence is `contraction`.

Pieces of one array (`x[t]`) are put side by side as a view of it.  Others are copied, so both are
made only where the cost model says that they pay: it counts the bytes that move, with copies, and
asks for 1.6 times fewer and 64 KiB saved.  A size that is not known counts as 64.  Measured on 2
Zen 3 cores, f32, one thread: 16 products of a row with 256 x 256 weights 81 us, as one 47; 8
products of 1000 x 512 with a column 273 us, as one 138; the sum of 16 outer products of 256 x 256
255 us, as one 29.  The four gates of an LSTM (`x @ W_i`, 128 x 128 each) move the same bytes as one
product and take the same time (batch 1: 4.2 us and 4.3; batch 10: 22 us and 31): they stay apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from heapq import heapify, heappop, heappush
from typing import Final

from symc.ir import ops, term
from symc.ir.build import placed_at
from symc.ir.core import Attrs, Function, Node, Value
from symc.ir.dims import Size, substitute, symbols
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.options import CONTRACTION, Options
from symc.ir.rewriter import merged_locations, place_new, remake
from symc.ir.term import Term
from symc.passes import dce
from symc.passes.pieces import joined
from symc.records import dataclass

# Called with a name, what was replaced and what was made of it.
Note = Callable[[str, Value, Value], None]

NOMINAL: Final = 64  # elements that a size counts as which is not known
LESS: Final = 1.6  # how many times fewer bytes must move
SAVED: Final = 1 << 16  # bytes that must be saved
NARROW: Final = (16, 8)  # rows of a left operand, columns of a right one, that count as narrow
FEW: Final = 16  # terms of a contraction that counts as short
MOST: Final = 4096  # groups behind a contraction that are looked at for cycles


@dataclass(slots=True, eq=False)
class Plan:
    """Nodes that are replaced together; `build` makes values for their results.

    reads: what `build` is given, in terms of the function as it was.
    """

    name: str
    members: list[Node]
    reads: list[Value]
    build: Callable[[Sequence[Value]], list[Value]]


def run(function: Function, options: Options, note: Note | None = None) -> Function:
    """Join contractions where that moves fewer bytes."""
    if sum(node.op is ops.DOT for node in function.nodes) < 2 or _ordered(function):
        return function
    before = live = dce.run(function, options)
    for find in (_sums, _shared):
        plans = list(find(live, options))
        if plans:
            live = dce.run(_rebuilt(live, plans, note), options)
    return function if live is before else live


def _ordered(function: Function) -> bool:
    """Whether something must happen in the order of the program."""
    return any(node.op.effects & {"io", "state"} for node in function.nodes)


# Costs.


def elements(sizes: Iterable[Size]) -> int:
    """A number of elements, with sizes that are not known taken as `NOMINAL`."""
    total = 1
    for size in sizes:
        values = {symbol.name: NOMINAL for symbol in symbols(size)}
        value = substitute(size, values)
        total *= value if isinstance(value, int) else NOMINAL
    return total


def _count(value: Value) -> int:
    return elements(value.type.shape)


def _pays(apart: int, together: int, itemsize: int) -> bool:
    return apart >= LESS * together and (apart - together) * itemsize >= SAVED


def _gathered(parts: Sequence[Value], axis: int) -> Term:
    """Values side by side: a view where they are pieces of one array, else a copy."""
    return joined(parts, axis) or term.concat([Term(part) for part in parts], axis)


def _copies(parts: Sequence[Value], axis: int) -> int:
    """The elements that move when values are put side by side and read."""
    times = 1 if joined(parts, axis) is not None else 3
    return times * sum(map(_count, parts))


# Sums of contractions.


def _sums(function: Function, options: Options) -> Iterable[Plan]:
    if CONTRACTION not in options.licences:
        return
    uses = function.uses()
    results = set(function.results)

    def once(value: Value) -> bool:
        return len(uses.get(value, ())) == 1 and value not in results

    for node in function.nodes:
        if node.op is not ops.ADD or _is_inner(node, uses, once):
            continue
        plan = _sum_plan(node, _leaves(node, once), "reassoc" in options.licences)
        if plan is not None:
            yield plan


def _is_inner(node: Node, uses: dict[Value, list[Node]], once: Callable[[Value], bool]) -> bool:
    """Whether an addition is an operand of another, and of nothing else."""
    (value,) = node.results
    return once(value) and uses[value][0].op is ops.ADD


def _leaves(root: Node, once: Callable[[Value], bool]) -> list[Value]:
    """What a tree of additions adds up, left to right."""
    found: list[Value] = []
    todo = list(reversed(root.operands))
    while todo:
        value = todo.pop()
        if value.node is not None and value.node.op is ops.ADD and once(value):
            todo.extend(reversed(value.node.operands))
        else:
            found.append(value)
    return found


def _sum_plan(root: Node, leaves: Sequence[Value], licensed: bool) -> Plan | None:
    """The contractions among the leaves as one; None when they are not alike or it costs more."""
    groups: dict[object, list[Node]] = {}
    for leaf in leaves:
        node = leaf.node
        if node is not None and node.op is ops.DOT and _is_short(node):
            groups.setdefault(_sum_key(node), []).append(node)
    dots = max(groups.values(), key=len, default=[])
    members = {dot.results[0] for dot in dots}
    others = [leaf for leaf in leaves if leaf not in members]
    if len(dots) < 2 or len(members) < len(dots) or (len(others) > 1 and not licensed):
        return None
    left, right = ([dot.operands[side] for dot in dots] for side in (0, 1))
    axes = _axes(dots[0])
    along = axes.lhs_contract[0], axes.rhs_contract[0]
    out = _count(root.results[0])
    apart = sum(map(_count, (*left, *right))) + 2 * len(dots) * out
    together = _copies(left, along[0]) + _copies(right, along[1]) + out
    if not _pays(apart, together, root.results[0].type.dtype.itemsize):
        return None
    count = len(dots)

    def build(values: Sequence[Value]) -> list[Value]:
        sides = (values[:count], values[count : 2 * count])
        pair = [_gathered(parts, axis) for parts, axis in zip(sides, along, strict=True)]
        total = term.apply_op(ops.DOT, pair, dots[0].attrs)
        for other in map(Term, values[2 * count :]):
            total = other + total
        return [total.value]

    return Plan("sum_of_dots", [root], [*left, *right, *others], build)


def _axes(node: Node) -> DotAxes:
    left, right = node.operands
    return dot_axes(left.type.rank, right.type.rank, node.attrs)


def _is_short(node: Node) -> bool:
    """Whether a contraction may be summed in any order and has few terms."""
    contract = _axes(node).lhs_contract
    terms = elements(node.operands[0].type.shape[axis] for axis in contract)
    return node.attrs["order"] == "any" and bool(contract) and terms <= FEW


def _sum_key(node: Node) -> object:
    """Equal for contractions whose terms can be put side by side."""
    axes = _axes(node)
    firsts = axes.lhs_contract[0], axes.rhs_contract[0]
    shapes = [
        tuple(size for axis, size in enumerate(operand.type.shape) if axis != first)
        for operand, first in zip(node.operands, firsts, strict=True)
    ]
    return (axes, *shapes)


# Contractions that share an operand.


@dataclass(slots=True, eq=False)
class Group:
    """Contractions of one array; operand `side` is the one that differs.

    needs: the groups that members depend on, as bits.
    """

    side: int
    bit: int
    members: list[Node] = field(default_factory=list)
    needs: int = 0


def _shared(function: Function, options: Options) -> Iterable[Plan]:
    for group in _independent(function):
        plan = _shared_plan(group)
        if plan is not None:
            yield plan


def _keys(node: Node) -> list[tuple[object, ...]]:
    """Per side that is narrow: equal for contractions that can be joined along that side."""
    axes = _axes(node)
    roles = (axes.lhs_free, axes.rhs_free)
    found: list[tuple[object, ...]] = []
    for side, free in enumerate(roles):
        shape = node.operands[side].type.shape
        if free and not _narrow(shape[free[0]], side):
            continue
        rest = tuple(size for axis, size in enumerate(shape) if axis not in free[:1])
        found.append((node.operands[1 - side], side, axes, node.attrs["order"], rest))
    return found


def _narrow(size: Size, side: int) -> bool:
    return isinstance(size, int) and 0 < size <= NARROW[side]


def _independent(function: Function) -> list[Group]:
    """Groups of contractions with equal keys, none of which depends on another of its group.

    Nor do groups depend on each other in a circle: each could be made at one place.
    """
    keys = {node: _keys(node) for node in function.nodes if node.op is ops.DOT}
    count: dict[object, int] = {}
    for each in keys.values():
        for key in each:
            count[key] = count.get(key, 0) + 1
    groups: list[Group] = []
    latest: dict[object, Group] = {}
    behind: dict[Value, int] = {}
    for node in function.nodes:
        needs = 0
        for operand in node.operands:
            needs |= behind.get(operand, 0)
        best = max(keys.get(node, ()), key=lambda key: count[key], default=None)
        if best is not None and count[best] > 1:
            group = latest.get(best)
            if group is None or not _may_join(group, needs, groups):
                side = best[1]
                assert isinstance(side, int)
                group = latest[best] = Group(side, 1 << len(groups))
                groups.append(group)
            group.members.append(node)
            group.needs |= needs
            needs |= group.bit
        if needs:
            for result in node.results:
                behind[result] = needs
    return [group for group in groups if len(group.members) > 1]


def _may_join(group: Group, needs: int, groups: Sequence[Group]) -> bool:
    """Whether nothing in `needs` depends on the group, as far as the groups have grown."""
    reached, todo = 0, needs
    for _ in range(MOST):
        todo &= ~reached
        if not todo:
            return not reached & group.bit
        low = todo & -todo
        reached |= low
        todo |= groups[low.bit_length() - 1].needs
    return False


def _shared_plan(group: Group) -> Plan | None:
    """The group as one contraction; None when that costs more."""
    side, members = group.side, group.members
    first = members[0]
    axes = _axes(first)
    free = axes.lhs_free if side == 0 else axes.rhs_free
    along = free[0] if free else 0
    parts = [node.operands[side] for node in members]
    shared = first.operands[1 - side]
    spread = [part if free else _expanded(part) for part in parts]
    out = sum(_count(node.results[0]) for node in members)
    apart = len(members) * _count(shared) + sum(map(_count, parts)) + out
    together = _count(shared) + _copies(spread, along) + 3 * out
    if not _pays(apart, together, shared.type.dtype.itemsize):
        return None
    attrs = first.attrs if free else _shifted(axes, side, str(first.attrs["order"]))
    place = len(axes.lhs_batch) + (len(axes.lhs_free) if side == 1 else 0)

    def build(values: Sequence[Value]) -> list[Value]:
        given = [value if free else _expanded(value) for value in values[1:]]
        whole = _gathered(given, along)
        pair = [whole, whole]
        pair[1 - side] = Term(values[0])
        made = term.apply_op(ops.DOT, pair, attrs)
        found, start = [], 0
        for node, value in zip(members, given, strict=True):
            size = value.type.shape[along]
            assert isinstance(size, int)
            piece = made.narrow(place, start, size)
            found.append(piece.reshape(node.results[0].type.shape).value)
            start += size
        return found

    return Plan("shared_operand", list(members), [shared, *parts], build)


def _expanded(value: Value) -> Value:
    """A value with a first axis of size 1."""
    return Term(value).reshape((1, *value.type.shape)).value


def _shifted(axes: DotAxes, side: int, order: str) -> Attrs:
    """The attributes of a contraction one of whose operands got a first axis."""
    ours = (axes.lhs_batch, axes.lhs_contract) if side == 0 else (axes.rhs_batch, axes.rhs_contract)
    batch, contract = (tuple(axis + 1 for axis in group) for group in ours)
    if side == 0:
        return replace(axes, lhs_batch=batch, lhs_contract=contract).attrs(order)
    return replace(axes, rhs_batch=batch, rhs_contract=contract).attrs(order)


# The function with plans carried out.


def _rebuilt(function: Function, plans: Sequence[Plan], note: Note | None) -> Function:
    """Nodes in the order of the program, each plan as early as what it reads allows."""
    owner: dict[Node, Node | Plan] = {node: node for node in function.nodes}
    for plan in plans:
        owner.update(dict.fromkeys(plan.members, plan))
    units = list(dict.fromkeys(owner[node] for node in function.nodes))
    number = {unit: i for i, unit in enumerate(units)}
    users: list[list[int]] = [[] for _ in units]
    waiting = [0] * len(units)
    for unit, i in number.items():
        reads = unit.reads if isinstance(unit, Plan) else unit.operands
        before = {owner[value.node] for value in reads if value.node in owner}
        waiting[i] = len(before)
        for each in before:
            users[number[each]].append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    heapify(ready)
    made = Rebuilding(function, note)
    while ready:
        i = heappop(ready)
        made.add(units[i])
        for user in users[i]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heappush(ready, user)
    assert not any(waiting), "contractions that were joined depend on each other"
    return made.finished()


class Rebuilding:
    """A function under construction: values so far, and nodes in order."""

    def __init__(self, function: Function, note: Note | None) -> None:
        self.function = function
        self.note = note
        self.values: dict[Value, Value] = {}
        self.placed: dict[Node, None] = {}

    def add(self, unit: Node | Plan) -> None:
        """Place a node, or what a plan makes."""
        if isinstance(unit, Node):
            now = remake(unit, [self.values.get(x, x) for x in unit.operands], unit.regions)
            self.placed[now] = None
            self.values.update(zip(unit.results, now.results, strict=True))
            return
        places = merged_locations(*(node.locations for node in unit.members))
        with placed_at(places):
            made = unit.build([self.values.get(x, x) for x in unit.reads])
        place_new(made, self.placed)
        if self.note is not None:
            self.note(unit.name, unit.members[0].results[0], made[0])
        for node, value in zip(unit.members, made, strict=True):
            (old,) = node.results
            self.values[old] = value

    def finished(self) -> Function:
        """The function."""
        results = tuple(self.values.get(result, result) for result in self.function.results)
        return replace(self.function, nodes=tuple(self.placed), results=results)
