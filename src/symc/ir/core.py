"""The program as typed SSA: values, nodes, functions.

Levels above the kernels all use these three nouns.  A `Function` is a closed list of nodes in
program order; regions of control-flow nodes are Functions too, and see nothing but their params.

Invariants: immutable once in a Function (a pass rebuilds through `rewriter`); identity equality;
no recursion over graphs anywhere; a node's operands come before it in `Function.nodes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir.binding import in_order, sources, unbound
from symc.ir.dims import Size, Symbol
from symc.ir.locations import UNKNOWN, Location
from symc.ir.types import Literal, TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.ops.record import Op

Attr = int | float | str | bool | None | Size | np.dtype | Literal | tuple["Attr", ...]
Attrs = Mapping[str, Attr]
Locations = tuple[Location, ...]

# Creation order of nodes; it is program order when a graph is collected into a function.
_serial: Final = count()


class Value:
    """One SSA value: a parameter (`node is None`) or result `index` of `node`."""

    __slots__ = ("__weakref__", "index", "name", "node", "type")

    def __init__(
        self, type: TensorType, node: Node | None = None, index: int = 0, name: str | None = None
    ) -> None:
        self.type = type
        self.node = node
        self.index = index
        self.name = name

    def __repr__(self) -> str:
        made_by = "param" if self.node is None else self.node.op.name
        return f"<Value {self.name or ''}:{self.type} of {made_by}>"


class Node:
    """One operation applied: `results = op(operands) {attrs} (regions)`."""

    __slots__ = ("attrs", "locations", "op", "operands", "regions", "results", "serial")

    def __init__(
        self,
        op: Op,
        operands: tuple[Value, ...],
        attrs: Attrs,
        types: tuple[TensorType, ...],
        *,
        regions: tuple[Function, ...] = (),
        locations: Locations = (UNKNOWN,),
    ) -> None:
        self.op = op
        self.operands = operands
        self.attrs = attrs
        self.regions = regions
        self.locations = locations
        self.serial = next(_serial)
        if len(types) == 1:
            self.results: tuple[Value, ...] = (Value(types[0], self),)
        else:
            self.results = tuple([Value(type, self, i) for i, type in enumerate(types)])

    def __repr__(self) -> str:
        return f"<Node {self.op.name} -> {', '.join(str(r.type) for r in self.results)}>"


@dataclass(frozen=True, slots=True)
class Constraint:
    """Two sizes that must be equal at each call but could not be proved so.

    `kind` says which error a failure is: "equal" (ShapeError), "index" (SymcIndexError) or "empty"
    (DomainError); for the last two `left` is `min(size, right)`, and the size must be >= `right`.
    """

    left: Size
    right: Size
    location: Location
    message: str
    kind: str = "equal"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Function:
    """A closed function: `nodes` in program order compute `results` from `params`."""

    name: str
    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    results: tuple[Value, ...]
    constraints: tuple[Constraint, ...] = ()

    def __repr__(self) -> str:
        return f"<Function {self.name}: {len(self.params)} params, {len(self.nodes)} nodes>"

    def uses(self) -> dict[Value, list[Node]]:
        """For each value, the nodes that read it (once per operand position)."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for operand in node.operands:
                found.setdefault(operand, []).append(node)
        return found


def nodes_so_far() -> int:
    """A number above that of every node made so far, and not above that of any later one."""
    return next(_serial)


def reachable(
    results: Iterable[Value], stop: Iterable[Value] = (), since: int = 0
) -> tuple[list[Node], list[Value]]:
    """Nodes that `results` depend on, in creation order, and the free values they reach.

    Does not look behind values in `stop`; those never count as free.  Results of nodes older than
    number `since` (see `nodes_so_far`) count as free.  Iterative and linear.
    """
    stopped = set(stop)
    seen: set[Node] = set()
    free: dict[Value, None] = {}
    todo = list(results)
    while todo:
        value = todo.pop()
        if value in stopped:
            continue
        if value.node is None or value.node.serial < since:
            free[value] = None
        elif value.node not in seen:
            seen.add(value.node)
            todo.extend(value.node.operands)
    return in_order(sorted(seen, key=lambda node: node.serial)), list(free)


def reachable_whole(
    results: Iterable[Value], stop: Iterable[Value] = (), since: int = 0
) -> tuple[list[Node], list[Value]]:
    """As `reachable`, with the nodes, not older than `since`, that bind the computed dims that
    nodes mention.

    For free graphs only: in a function all nodes that bind are among its nodes.
    """
    wanted = list(results)
    while True:
        nodes, free = reachable(wanted, stop, since)
        known = {*wanted, *free}
        own = (value for value in sources(nodes) if value.node and value.node.serial >= since)
        more = [value for value in own if value not in known]
        if not more:
            return nodes, free
        wanted += more


def nodes_behind(
    results: Iterable[Value], params: Sequence[Value], counts: Mapping[Symbol, Value]
) -> list[Node]:
    """The nodes of a function that results need, in order, those that bind the dims of `counts`
    included: for each of those dims its value."""
    nodes, _ = reachable(results, stop=params)
    roots, left = list(results), dict(counts)
    while left:
        missing = sorted(unbound(nodes) & left.keys(), key=lambda dim: dim.name)
        if not missing:
            break
        roots += [left.pop(dim) for dim in missing]
        nodes, _ = reachable(roots, stop=params)
    return nodes
