"""Lowering of control flow: a node with regions becomes one `Control` step.

before: a `scan`, `while` or `switch` node, its regions optimised.  after: a step whose operands are
all that the node takes and gives; its bodies are planned like programs.

Invariants: results that nobody reads have a buffer too; an operand that is given twice stands
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from symc.ir import ops
from symc.ir.binding import bound_by
from symc.ir.core import Attr, Function, Locations, Node, Value
from symc.ir.dims import Dim, symbols
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import CompileError, message
from symc.ir.locations import UNKNOWN
from symc.ir.nest import Operand
from symc.ir.ops.loop_groups import groups, while_groups
from symc.passes.plan import Control, Plan, Step

MANY_LOCATIONS = 8

Build = Callable[[Entry], Plan]


def step(node: Node, name: str, build: Build) -> Step:
    """The step of a node with regions, whose bodies `build` plans.

    CompileError for a region that should have been inlined.
    """
    reads = [Operand(f"in{i}", x.type, "in") for i, x in enumerate(node.operands)]
    writes = [Operand(f"out{i}", x.type, "out") for i, x in enumerate(node.results)]
    control = Control(
        name,
        node,
        (*reads, *writes),
        tuple(build(entry) for entry in _entries(node)),
        tuple(sorted(_names(node))),
        _locations(node),
    )
    values = (*node.operands, *node.results)
    return Step(control, values, (None,) * len(values), _traps(node))


def _entries(node: Node) -> tuple[Entry, ...]:
    if node.op is ops.SCAN:
        return (_scan_body(node),)
    if node.op is ops.WHILE:
        return (_plain(node.regions[0]), _while_body(node))
    if node.op is ops.SWITCH:
        return tuple(_plain(branch) for branch in node.regions)
    raise CompileError(
        message("lower: a region was not inlined", got=node.op.name, where=node.locations[0])
    )


def _inputs(params: Sequence[Value]) -> tuple[InputInfo, ...]:
    return tuple(InputInfo(param.name or f"p{i}") for i, param in enumerate(params))


def _plain(function: Function) -> Entry:
    return Entry(function, _inputs(function.params))


def _scan_body(node: Node) -> Entry:
    """Inputs: constants, steps of the sequences, the number; states: the carries."""
    (body,) = node.regions
    parts = groups(node)
    consts, carries, xs = parts.split(body.params)
    results = (*body.results[parts.carries :], *body.results[: parts.carries])
    return _stateful(body, [*consts, *xs, body.params[-1]], carries, results)


def _while_body(node: Node) -> Entry:
    """As for a scan; the number is there if the body takes it."""
    body = node.regions[1]
    parts = while_groups(node)
    consts, carries, xs = parts.split(body.params)
    number = body.params[len(node.operands) :]
    results = (*body.results[parts.carries :], *body.results[: parts.carries])
    return _stateful(body, [*consts, *xs, *number], carries, results)


def _stateful(
    body: Function, inputs: Sequence[Value], carries: Sequence[Value], results: Sequence[Value]
) -> Entry:
    function = Function(
        body.name, (*inputs, *carries), body.nodes, tuple(results), body.constraints
    )
    names = tuple(f"carry{i}" for i in range(len(carries)))
    return Entry(function, _inputs(inputs), names, (), tuple(range(len(carries))))


def _nodes(node: Node) -> Iterator[Node]:
    """The node and all nodes inside its regions."""
    todo = [node]
    while todo:
        current = todo.pop()
        yield current
        todo += [inner for region in current.regions for inner in region.nodes]


def _traps(node: Node) -> bool:
    return any(
        "trap" in inner.op.effects or inner.attrs.get("mode") == "raise" for inner in _nodes(node)
    )


def _names(node: Node) -> set[str]:
    """The names of all sizes that the node and its regions read and do not find out."""
    found: set[str] = set()
    own: set[str] = set()
    for inner in _nodes(node):
        bound = bound_by(inner)
        if bound is not None:
            own.add(bound.name)
        values = (*inner.operands, *inner.results)
        params = [param for region in inner.regions for param in region.params]
        for value in (*values, *params):
            found |= {symbol.name for symbol in value.type.symbols()}
        found |= _attr_names(inner.attrs.values())
    return found - own


def _attr_names(attrs: Iterable[Attr]) -> set[str]:
    found: set[str] = set()
    todo = list(attrs)
    while todo:
        attr = todo.pop()
        if isinstance(attr, Dim):
            found |= {symbol.name for symbol in symbols(attr)}
        elif isinstance(attr, tuple):
            todo += attr
    return found


def _locations(node: Node) -> Locations:
    found = dict.fromkeys(place for inner in _nodes(node) for place in inner.locations)
    known = tuple(place for place in found if place != UNKNOWN)
    return known[:MANY_LOCATIONS] or (UNKNOWN,)
