"""Work that only some branches of a choice need is done in those branches.

before: any tensor function.  after: a node all of whose uses lie in branches of one `switch`, and
not in all of them, stands in those branches, with whatever only it needed; so it runs only when
such a branch is taken, and a check in it fails only then.  A switch takes only what a branch reads,
and switches on one number are one, where none needs another (`branches_merge.py`).

In the body of a scan, work that depends on constants alone stays where it is: `loops` moves it out
of the loop, where it runs once; a check among it goes with its branch all the same.  Nothing is
moved into a loop.  Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final

from symc.ir import ops
from symc.ir.binding import binders, mentioned_by
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Symbol
from symc.ir.ops.loop_groups import groups
from symc.ir.ops.masked import TRAP
from symc.ir.ops.record import Kind
from symc.ir.ops.switch import joined
from symc.ir.options import Options
from symc.ir.rewriter import remake
from symc.passes import dce
from symc.passes.branches_merge import merged
from symc.passes.sweep import Sweep
from symc.records import dataclass

DEEPEST: Final = 16  # choices inside of each other that work is moved through
_KEPT: Final = frozenset({"io", "state"})
_WITH_READERS: Final = frozenset({Kind.VIEW, Kind.SOURCE})


def run(function: Function, options: Options) -> Function:
    """Sink what single branches need into them, in the function and in its regions."""
    if not _chooses(function):
        return function
    return _sunk(function, 0, frozenset())


def _chooses(function: Function) -> bool:
    """Whether there is a choice, at any depth."""
    todo = [function]
    while todo:
        for node in todo.pop().nodes:
            if node.op is ops.SWITCH:
                return True
            todo.extend(node.regions)
    return False


def _sunk(function: Function, depth: int, fixed: frozenset[Value]) -> Function:
    """One function, `depth` choices down; then its regions, which are few levels deep.

    `fixed`: params that are the same in all steps of the loop that the function is the body of.
    """
    function = _placed(merged(dce.run(function, Options())), depth, fixed)

    def visit(node: Node) -> Sequence[Value] | None:
        if not any(map(_chooses, node.regions)):
            return None
        below = depth + (node.op is ops.SWITCH)
        regions = tuple(_sunk(region, below, _fixed(node, region)) for region in node.regions)
        made = remake(node, node.operands, regions)
        return None if made is node else made.results

    return Sweep(function).run(visit)


def _fixed(node: Node, region: Function) -> frozenset[Value]:
    """The params of a region that do not change from step to step."""
    if node.op is not ops.SCAN:
        return frozenset()
    return frozenset(groups(node).split(region.params)[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Home:
    """Some branches of one switch, where nodes go; `outer`: where the switch itself goes."""

    switch: Node
    branches: frozenset[int]
    outer: _Home | None
    depth: int


@dataclass(slots=True)
class _Homes:
    """Where each node of a function goes; None: it stays."""

    deepest: int
    binders: Mapping[Symbol, Sequence[Node]]
    of: dict[Node, _Home | None] = field(default_factory=dict)
    uses: dict[Value, _Home | None] = field(default_factory=dict)
    known: dict[tuple[Node, frozenset[int]], _Home] = field(default_factory=dict)

    def home(self, switch: Node, branches: frozenset[int]) -> _Home | None:
        """The home in some branches of a switch; where the switch is when that is all of them."""
        outer = self.of[switch]
        depth = outer.depth + 1 if outer else 1
        if len(branches) == len(switch.regions) or depth > self.deepest:
            return outer
        key = (switch, branches)
        return self.known.setdefault(key, _Home(switch, branches, outer, depth))

    def use(self, value: Value, home: _Home | None) -> None:
        """Note a use of a value at a home."""
        self.uses[value] = self._meet(self.uses[value], home) if value in self.uses else home

    def _meet(self, left: _Home | None, right: _Home | None) -> _Home | None:
        """The innermost home from which both can be reached."""
        while left is not right:
            if left is None or right is None:
                return None
            if left.switch is right.switch:
                return self.home(left.switch, left.branches | right.branches)
            if left.depth >= right.depth:
                left = left.outer
            else:
                right = right.outer
        return left

    def place(self, node: Node, *, stays: bool) -> None:
        """Settle where a node goes, all of whose readers are settled."""
        homes = [self.uses[result] for result in node.results if result in self.uses]
        home = homes[0] if homes and not stays else None
        for other in homes[1:]:
            home = self._meet(home, other)
        self.of[node] = home
        for symbol in mentioned_by(node) if self.binders else ():
            for binder in self.binders.get(symbol, ()):
                self.use(binder.results[-1], home)
        if node.op is not ops.SWITCH:
            for operand in node.operands:
                self.use(operand, home)
            return
        self.use(node.operands[0], home)
        for operand, branches in zip(node.operands[1:], _readers(node), strict=True):
            if branches:
                self.use(operand, self.home(node, branches))


def _readers(switch: Node) -> list[frozenset[int]]:
    """For each operand after the number, the branches that read it."""
    found: list[set[int]] = [set() for _ in switch.operands[1:]]
    for i, region in enumerate(switch.regions):
        read = {operand for node in region.nodes for operand in node.operands}
        read.update(region.results)
        for branches, param in zip(found, region.params, strict=True):
            if param in read:
                branches.add(i)
    return list(map(frozenset, found))


def _placed(function: Function, depth: int, fixed: frozenset[Value]) -> Function:
    """The nodes of one function at their homes."""
    if all(node.op is not ops.SWITCH for node in function.nodes):
        return function
    homes = _Homes(DEEPEST - depth, binders(function.nodes))
    for result in function.results:
        homes.use(result, None)
    kept = _kept_for_loop(function, fixed)
    for node in reversed(function.nodes):
        homes.place(node, stays=node in kept or bool(node.op.effects & _KEPT))
    moved: dict[Node, list[tuple[_Home, Node]]] = {}
    for node in function.nodes:
        home = homes.of[node]
        if home is not None and (node.operands or node.regions):
            moved.setdefault(home.switch, []).append((home, node))
    given = frozenset(function.params)
    if not moved and not any(_takes_too_much(node, given) for node in function.nodes):
        return function
    stay = [node for node in function.nodes if homes.of[node] is None or not node.operands]
    top = _Level(dict(zip(function.params, function.params, strict=True)), given)
    builder = _Builder(moved, given)
    for node in stay:
        builder.add(top, node)
    results = tuple(top.values[result] for result in function.results)
    made = Function(function.name, function.params, tuple(top.nodes), results, function.constraints)
    return dce.run(made, Options())


def _takes_too_much(node: Node, given: frozenset[Value]) -> bool:
    """Whether a switch takes what no branch reads, or can make for itself."""
    if node.op is not ops.SWITCH:
        return False
    return any(_from_source(x, given) for x in node.operands[1:]) or not all(_readers(node))


def _from_source(value: Value, given: frozenset[Value]) -> bool:
    """Whether a value is a view of a constant, or of another node without operands.

    `given`: the params of the function.  A derivative may be taken of the result of a node, which
    is a param then: nothing is seen behind it.
    """
    while value not in given and value.node is not None:
        node = value.node
        if node.op.kind is not Kind.VIEW or len(node.operands) != 1:
            return not node.operands and not node.regions
        value = node.operands[0]
    return False


def _kept_for_loop(function: Function, fixed: frozenset[Value]) -> set[Node]:
    """The nodes of a body that `loops` takes out of it: of constants alone, and never failing."""
    found: set[Node] = set()
    if not fixed:
        return found
    same = set(fixed)
    for node in function.nodes:
        if node.op.kind is Kind.CONTROL or not same.issuperset(node.operands):
            continue
        same.update(node.results)
        if node.op.kind not in _WITH_READERS and TRAP not in node.op.effects:
            found.add(node)
    return found


@dataclass(slots=True)
class _Level:
    """A function being built: old values -> new ones, and the nodes so far.

    given: the params of the function that all levels are made of.  captured: old values of the
    level around it that it reads, with the params they are here.
    """

    values: dict[Value, Value]
    given: frozenset[Value]
    nodes: list[Node] = field(default_factory=list)
    captured: dict[Value, Value] = field(default_factory=dict)

    def read(self, value: Value) -> Value:
        """What a value is here: made here, made again, or a param."""
        found = self.values.get(value)
        if found is not None:
            return found
        if not _from_source(value, self.given):
            found = self.captured[value] = Value(value.type, name=value.name)
            self.values[value] = found
            return found
        chain = [value.node]
        while chain[-1] is not None and chain[-1].operands:
            chain.append(chain[-1].operands[0].node)
        for node in reversed(chain):
            assert node is not None
            if node.results[0] not in self.values:
                self.place(node, _copied(node, [self.values[x] for x in node.operands]))
        return self.values[value]

    def place(self, old: Node, made: Node) -> None:
        """Append a node that stands for an old one."""
        self.nodes.append(made)
        self.values.update(zip(old.results, made.results, strict=True))


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds levels from old nodes; `moved`: what goes into the branches of each switch.

    given: the params of the function.
    """

    moved: dict[Node, list[tuple[_Home, Node]]]
    given: frozenset[Value]

    def add(self, level: _Level, node: Node) -> None:
        """Append a node, a switch with what moves into it."""
        if node in self.moved or _takes_too_much(node, self.given):
            level.place(node, self._switch(level, node))
            return
        operands = [level.read(x) for x in node.operands]
        same = all(new is old for new, old in zip(operands, node.operands, strict=True))
        level.place(node, node if same and operands else _copied(node, operands))

    def _switch(self, level: _Level, node: Node) -> Node:
        branches = []
        for number in range(len(node.regions)):
            function, captured = self._branch(node, number)
            branches.append((function, captured))
        regions, outer = joined(branches, 0)
        operands = [level.read(node.operands[0]), *map(level.read, outer)]
        return apply(node.op, operands, node.attrs, regions=regions, locations=node.locations)

    def _branch(self, node: Node, number: int) -> tuple[Function, Sequence[Value]]:
        """A branch with what moves into it: a function of what it captures, and that."""
        region = node.regions[number]
        level = _Level({}, self.given)
        for inner in _of_branch(self.moved.get(node, ()), number):
            self.add(level, inner)
        needed = {operand for inner in region.nodes for operand in inner.operands}
        needed.update(region.results)
        for param, operand in zip(region.params, node.operands[1:], strict=True):
            if param in needed:
                level.values[param] = level.read(operand)
        for inner in region.nodes:
            operands = [level.values[x] for x in inner.operands]
            level.place(inner, _copied(inner, operands))
        results = tuple(level.values[result] for result in region.results)
        params = tuple(level.captured.values())
        made = Function(region.name, params, tuple(level.nodes), results, region.constraints)
        return made, list(level.captured)


def _of_branch(moved: Iterable[tuple[_Home, Node]], number: int) -> Iterator[Node]:
    return (node for home, node in moved if number in home.branches)


def _copied(node: Node, operands: Sequence[Value]) -> Node:
    """The node on other operands of the same types."""
    types = tuple(result.type for result in node.results)
    made = Node(
        node.op,
        tuple(operands),
        node.attrs,
        types,
        regions=node.regions,
        locations=node.locations,
    )
    for old, new in zip(node.results, made.results, strict=True):
        new.name = old.name
    return made
