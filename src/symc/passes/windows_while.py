"""Rows that nobody reads, of a loop that stops when it likes: of a y of which only the first and
the last rows are read, each step puts its row into a small array.

before: `while` loops whose ys may be read by slices alone.  after: a y whose slices lie within the
first k rows, or within the last k, for a static k, is a carry of k rows: row t of the former is in
place t, of the latter in place t mod k.  `ys[-1]` of any number of steps takes the memory of one.

Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from symc.ir import ops, term
from symc.ir.build import placed_at
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far
from symc.ir.dims import Size
from symc.ir.ops import attributes
from symc.ir.ops.loop_groups import Operands, WhileGroups, make_while, while_groups
from symc.ir.ops.regions import closed, fresh
from symc.ir.rewriter import remake, spliced
from symc.ir.specialise import cloned
from symc.ir.term import Term
from symc.ir.types import I64, TensorType
from symc.passes.loops_reads import ys_of
from symc.passes.loops_rows import at_most
from symc.passes.rebuilt import rebuilt
from symc.records import dataclass

_MOST: Final = 4096  # rows that are kept


@dataclass(frozen=True, slots=True)
class _Ends:
    """Of one y: how many of the first rows and of the last ones are read, and by which slices."""

    first: int
    last: int
    of_first: Sequence[Node]
    of_last: Sequence[Node]


@dataclass(frozen=True, slots=True)
class _Buffers:
    """The small arrays that a loop has in the place of a y: results of it."""

    first: Value | None
    last: Value | None


def keep_ends(function: Function) -> Function:
    """Let while loops keep the ends of what is read."""
    uses = function.uses()
    ends: dict[Value, _Ends] = {}
    for node in function.nodes:
        for y in _ys(node):
            found = None if y in function.results else _ends(y, uses.get(y, ()))
            if found is not None:
                ends[y] = found
    if not ends:
        return function
    values: dict[Value, Value] = {}
    buffers: dict[Value, _Buffers] = {}
    for node in function.nodes:
        operands = [values.get(x, x) for x in node.operands]
        if any(y in ends for y in _ys(node)):
            _loop(node, operands, ends, values, buffers)
        elif node.op is ops.SLICE and node.operands[0] in buffers:
            values[node.results[0]] = _slice(node, ends, buffers)
        elif operands != list(node.operands):
            made = remake(node, operands, node.regions)
            values.update(zip(node.results, made.results, strict=True))
    return rebuilt(function, values)


def _ys(node: Node) -> Sequence[Value]:
    return ys_of(node) if node.op is ops.WHILE else ()


def _ends(y: Value, readers: Sequence[Node]) -> _Ends | None:
    """What slices read of a y; None where that is not at its ends alone."""
    if any(node.op is not ops.SLICE for node in readers):
        return None
    rows = y.type.shape[0]
    first, last = 0, 0
    of_first, of_last = [], []
    for node in readers:
        start = attributes.sizes(node.attrs, "starts")[0]
        size = attributes.sizes(node.attrs, "sizes")[0]
        step = attributes.integers(node.attrs, "steps")[0]
        end = start + (size - 1) * step
        low, high = (start, end) if step > 0 else (end, start)
        height, depth = at_most(high + 1), at_most(rows - low)
        if height is not None and (depth is None or height <= depth):
            first = max(first, height)
            of_first.append(node)
        elif depth is not None:
            last = max(last, depth)
            of_last.append(node)
        else:
            return None
    return _Ends(first, last, of_first, of_last) if first + last <= _MOST else None


def _loop(
    node: Node,
    operands: Sequence[Value],
    ends: Mapping[Value, _Ends],
    values: dict[Value, Value],
    buffers: dict[Value, _Buffers],
) -> None:
    """The loop with carries in the place of ys."""
    parts = while_groups(node)
    test, body = node.regions
    consts, carries, xs = parts.split(operands)
    with placed_at(node.locations):
        since = nodes_so_far()
        params = fresh(body)
        numbered = len(params) > len(operands)
        number = params[-1] if numbered else Value(TensorType(I64, ()), name="step")
        results = spliced(body, params)
        kept: list[Value] = []
        starts, inner, after = [], [], []
        for y, row in zip(ys_of(node), results[parts.carries :], strict=True):
            if y not in ends:
                kept.append(row)
                continue
            for count, wraps in ((ends[y].first, False), (ends[y].last, True)):
                if count:
                    buffer = Value(row.type.with_shape((count, *row.type.shape)), name="kept")
                    inner.append(buffer)
                    starts.append(term.zeros(buffer.type).value)
                    after.append(_put(Term(buffer), Term(row), Term(number), wraps=wraps))
        own = parts.split(params)
        given = [*own[0], *own[1], *inner, *own[2], number]
        wanted = [*results[: parts.carries], *after, *kept]
        step, captured = closed(body.name, given, wanted, since)
        assert not captured
        going = _widened(test, inner)
        loop = make_while(
            node.op,
            (going, cloned(step)),
            Operands(consts, [*carries, *starts], xs),
            parts.most,
            parts.rows,
        )
    _bind(node, loop, parts, ends, values, buffers)


def _put(buffer: Term, row: Term, number: Term, *, wraps: bool) -> Value:
    """The row of a step in its place; behind the last one it is lost."""
    count = buffer.shape[0]
    index = term.make(ops.MOD, number, term.size(count)) if wraps else number
    attrs: Attrs = {"axis": 0, "mode": "fill", "combine": "set"}
    return term.scatter(buffer, index, row, attrs).value


def _widened(test: Function, more: Sequence[Value]) -> Function:
    """The condition, with carries that it does not read."""
    params = (*test.params, *(Value(x.type) for x in more))
    return cloned(Function(test.name, params, test.nodes, test.results, test.constraints))


def _bind(
    node: Node,
    loop: Node,
    parts: WhileGroups,
    ends: Mapping[Value, _Ends],
    values: dict[Value, Value],
    buffers: dict[Value, _Buffers],
) -> None:
    """What the results of the old loop have become."""
    values.update(zip(node.results[: parts.carries], loop.results, strict=False))
    values[node.results[-1]] = loop.results[-1]
    rest = iter(loop.results[parts.carries :])
    for y in ys_of(node):
        if y in ends:
            first = next(rest) if ends[y].first else None
            buffers[y] = _Buffers(first, next(rest) if ends[y].last else None)
    for y in ys_of(node):
        if y not in ends:
            values[y] = next(rest)


def _slice(node: Node, ends: Mapping[Value, _Ends], buffers: Mapping[Value, _Buffers]) -> Value:
    """What a slice takes, from the rows that are kept."""
    y = node.operands[0]
    starts = attributes.sizes(node.attrs, "starts")
    sizes = attributes.sizes(node.attrs, "sizes")
    steps = attributes.integers(node.attrs, "steps")
    own = buffers[y]
    with placed_at(node.locations):
        if node in ends[y].of_first:
            assert own.first is not None
            return Term(own.first).slice(starts, sizes, steps).value
        assert own.last is not None
        rows = _wrapped(Term(own.last), starts[0], sizes[0], steps[0])
        return rows.slice((0, *starts[1:]), sizes, (1, *steps[1:])).value


def _wrapped(buffer: Term, start: Size, size: Size, step: int) -> Term:
    """Rows start, start + step, ... where row t is in place t mod the number of rows kept."""
    if buffer.shape[0] == 1 and size == 1:
        return buffer
    shape = (size,)
    places = term.size(start).broadcast(shape, ()) + term.iota(shape, 0) * step
    count = term.size(buffer.shape[0]).broadcast(shape, ())
    return term.take(buffer, term.make(ops.MOD, places, count), 0, "clip")
