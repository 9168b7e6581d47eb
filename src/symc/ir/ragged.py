"""What may be done with rows whose number differs between the lanes of a batch.

before: a node of a batched graph that mentions a computed dim which is not the same for all lanes.
after: nothing, or UnsupportedError at the user's line.

Such rows are as many as the longest lane has, and zero where a lane has none.  Loops over the same
rows leave lanes alone that are not there; elementwise work keeps rows apart; zeros may follow rows.
All else would show how many rows other lanes have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from symc.ir import ops
from symc.ir.binding import mentioned_by, unbound
from symc.ir.core import Node, Value
from symc.ir.dims import Dim, Symbol, symbols
from symc.ir.errors import UnsupportedError, message
from symc.ir.ops.loop_groups import groups, while_groups
from symc.ir.ops.record import Kind
from symc.ir.types import Literal

if TYPE_CHECKING:
    from symc.ir.core import Locations

_SUMS: Final = frozenset({ops.ADD, ops.SUB, ops.NEG, ops.CAST})


def check_node(node: Node, ragged: Collection[Symbol]) -> None:
    """UnsupportedError unless the node treats each lane by itself."""
    if not ragged:
        return
    found = mentioned_by(node) | _mentioned(node.operands)
    if found.isdisjoint(ragged) or _keeps_apart(node, ragged):
        return
    raise _refused(node.locations)


def over_ragged(node: Node, ragged: Collection[Symbol]) -> bool:
    """Whether a node is a loop over such rows: it differs between the lanes, whatever it reads."""
    if not ragged or node.op is not ops.SCAN:
        return False
    length = groups(node).length
    return isinstance(length, Dim) and not symbols(length).isdisjoint(ragged)


def check_results(values: Iterable[Value], ragged: Collection[Symbol]) -> None:
    """UnsupportedError for results with rows that differ in number."""
    for value in values:
        if not _mentioned([value]).isdisjoint(ragged):
            raise _refused(() if value.node is None else value.node.locations)


def _mentioned(values: Iterable[Value]) -> set[Symbol]:
    return {symbol for value in values for symbol in value.type.symbols() if symbol.computed}


def _refused(locations: Locations) -> UnsupportedError:
    return UnsupportedError(
        message(
            "vmap: rows of a loop that stops at another step for each element",
            got="a use of all rows",
            expected="the last carry, or a loop over the same rows",
            where=locations[0] if locations else None,
            advice="keep what is needed of the rows in the carry",
        )
    )


def _keeps_apart(node: Node, ragged: Collection[Symbol]) -> bool:
    if node.op is ops.SCAN:
        length = groups(node).length
        inside = unbound(node.regions[0].nodes)
        return isinstance(length, Dim) and inside.isdisjoint(ragged) and len(symbols(length)) == 1
    if node.op is ops.WHILE:
        inside = unbound(n for region in node.regions for n in region.nodes)
        most = while_groups(node).most
        bounds = symbols(most) if isinstance(most, Dim) else frozenset()
        return inside.isdisjoint(ragged) and bounds.isdisjoint(ragged)
    match node.op.kind:
        case Kind.ELEMENTWISE:
            return True
        case Kind.SOURCE:
            return node.op is not ops.SIZE
        case Kind.VIEW:
            return _mentioned(node.operands).isdisjoint(ragged) and _starts_fixed(node, ragged)
        case _:
            return _beside_zeros(node, ragged)


def _beside_zeros(node: Node, ragged: Collection[Symbol]) -> bool:
    """Whether a node puts rows, zero where a lane has none, before zeros or over them."""
    if node.op is ops.CONCAT:
        rows, *others = node.operands
        return _ends_in_zeros(rows) and all(map(_is_zero, others))
    if node.op is ops.SET_SLICE:
        under, rows = node.operands
        return _is_zero(under) and _ends_in_zeros(rows) and _starts_fixed(node, ragged)
    return False


def _starts_fixed(node: Node, ragged: Collection[Symbol]) -> bool:
    """Whether all lanes have their rows at the same place."""
    starts = node.attrs.get("starts", ())
    assert isinstance(starts, tuple)
    found = (size for size in starts if isinstance(size, Dim))
    return all(symbols(size).isdisjoint(ragged) for size in found)


def _ends_in_zeros(rows: Value) -> bool:
    """Whether rows are sums of what loops gave, and so zero where a lane has none."""
    todo = [rows]
    while todo:
        node = todo.pop().node
        if node is None:
            return False
        if node.op in _SUMS:
            todo += node.operands
        elif node.op not in {ops.SCAN, ops.WHILE}:
            return False
    return True


def _is_zero(value: Value) -> bool:
    """Whether a value is zeros as derivative rules make them."""
    node = value.node
    while node is not None and node.op is ops.BROADCAST:
        node = node.operands[0].node
    literal = None if node is None else node.attrs.get("value")
    return isinstance(literal, Literal) and not literal.array.any()
