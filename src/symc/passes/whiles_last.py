"""The last row of a y, where nobody reads another: it is carried, and no row is stored.

before: a while loop, a y of which is read only by slices of its last row.  after: the y is a carry;
the slices are views of its last value.  Where no step ran there is no last row: whoever reads it
has said that there is one (a constraint of the function).
"""

from __future__ import annotations

from symc.ir import ops, term
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Dim
from symc.ir.ops import attributes
from symc.ir.ops.loop_groups import while_groups
from symc.passes.whiles_form import Carry, Rebuilt, While, made, taken_apart


def carried_rows(function: Function) -> Function:
    """The function with such ys carried."""
    readers = _last_readers(function)
    if not readers:
        return function
    sliced = {reader for row in readers.values() for reader in row}
    new = Rebuilt(function)
    for node in function.nodes:
        if node in sliced:
            continue
        if node.op is not ops.WHILE or not any(result in readers for result in node.results):
            new.keep(node)
            continue
        loop = taken_apart(node, [new.of(x) for x in node.operands])
        taken = _taken(loop, readers)
        found = made(loop)
        for y, result in taken:
            for reader in readers[y]:
                found[reader.results[0]] = _shown(found.pop(result), reader)
        new.put({old: value for old, value in found.items() if old not in readers})
    return new.function()


def _last_readers(function: Function) -> dict[Value, list[Node]]:
    """ys that only slices of the last row read -> those slices."""
    rows: dict[Value, Dim] = {}
    for node in function.nodes:
        if node.op is ops.WHILE:
            parts = while_groups(node)
            if parts.rows is not None:
                rows |= dict.fromkeys(node.results[parts.carries : -1], parts.rows)
    found: dict[Value, list[Node]] = {y: [] for y in rows if y not in function.results}
    for node in function.nodes:
        for x in node.operands:
            if x in found and _is_last(node, rows[x]):
                found[x].append(node)
            else:
                found.pop(x, None)
    return {y: readers for y, readers in found.items() if readers}


def _is_last(node: Node, rows: Dim) -> bool:
    """Whether a node is a slice of the last row."""
    if node.op is not ops.SLICE:
        return False
    starts = attributes.sizes(node.attrs, "starts")
    return starts[0] == rows - 1 and attributes.sizes(node.attrs, "sizes")[0] == 1


def _taken(loop: While, readers: dict[Value, list[Node]]) -> list[tuple[Value, Value]]:
    """Make carries of ys: (the y, what stands for its last value)."""
    found = []
    kept = []
    for row in loop.ys:
        if row.result not in readers:
            kept.append(row)
            continue
        param, last = Value(row.value.type), Value(row.value.type)
        start = term.zeros(row.value.type).value
        loop.carries.append(Carry(param, start, row.value, last))
        assert row.result is not None
        found.append((row.result, last))
    loop.ys = kept
    return found


def _shown(last: Value, reader: Node) -> Value:
    """What a slice of the last row shows, from the row itself."""
    row = term.Term(last).reshape((1, *last.type.shape))
    starts = (0, *attributes.sizes(reader.attrs, "starts")[1:])
    sizes = attributes.sizes(reader.attrs, "sizes")
    steps = attributes.integers(reader.attrs, "steps")
    return row.slice(starts, sizes, steps).value
