"""Rows of a loop that nobody reads are not kept: of a y of which only slices are read, a scan keeps
the rows that are in them.

before: scans whose ys may be read by slices alone.  after: such a y has only the rows between the
first and the last that a slice takes, in its steps; slices that are far apart have a y each.
`ys[-100:]` takes the memory of 100 rows, `ys[::2]` of half of them, also through transposes, casts
and arithmetic (`loops_reads`).

It runs when derivatives have been taken: what the adjoint reads is read by a scan, and stays.

Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.ops import attributes
from symc.ir.ops.loop_groups import Groups, Window, groups
from symc.ir.options import Options
from symc.ir.rewriter import remake
from symc.ir.term import Term
from symc.passes import dce
from symc.passes.loops_reads import guessed, pushed
from symc.passes.rebuilt import rebuilt
from symc.passes.windows_while import keep_ends
from symc.records import dataclass

_WORTH: Final = (3, 4)  # kept rows per row, at most


@dataclass(frozen=True, slots=True)
class _Kept:
    """One y: its windows, and for each slice of it the number of its window."""

    windows: Sequence[Window]
    slices: Mapping[Node, int]


def run(function: Function, options: Options) -> Function:
    """Let scans keep what is read."""
    if not any(node.op in {ops.SCAN, ops.WHILE} for node in function.nodes):
        return function
    function = keep_ends(dce.run(pushed(function), options))
    uses = function.uses()
    kept: dict[Value, _Kept] = {}
    for node in function.nodes:
        if node.op is ops.SCAN and not groups(node).kept:
            for y in node.results[groups(node).carries :]:
                found = None if y in function.results else _kept(y, uses.get(y, ()))
                if found is not None:
                    kept[y] = found
    return _rebuilt(function, kept) if kept else function


def _kept(y: Value, readers: Sequence[Node]) -> _Kept | None:
    """The windows of a y; None where all rows are read, or nearly so."""
    if not readers or any(node.op is not ops.SLICE for node in readers):
        return None
    windows: list[Window] = []
    slices: dict[Node, int] = {}
    for node in readers:
        own = _window(node)
        for i, other in enumerate(windows):
            cover = _cover(other, own)
            if cover is not None:
                windows[i], slices[node] = cover, i
                break
        else:
            slices[node] = len(windows)
            windows.append(own)
    total = sum(guessed(window.size) for window in windows)
    some, all = _WORTH
    return _Kept(windows, slices) if total * all <= guessed(y.type.shape[0]) * some else None


def _window(node: Node) -> Window:
    """The rows that a slice takes, upwards."""
    start = attributes.sizes(node.attrs, "starts")[0]
    size = attributes.sizes(node.attrs, "sizes")[0]
    step = attributes.integers(node.attrs, "steps")[0]
    if size == 1:
        return Window(start, 1, 1)
    return Window(start, size, step) if step > 0 else Window(start + (size - 1) * step, size, -step)


def _last(window: Window) -> Size:
    return window.start + (window.size - 1) * window.step


def _cover(a: Window, b: Window) -> Window | None:
    """Both windows in one that has no more rows than they have together."""
    step = b.step if a.size == 1 else a.step
    if b.size != 1 and b.step != step:
        return None
    before, after = a.start - b.start, _last(b) - _last(a)
    if not isinstance(before, int) or not isinstance(after, int):
        return None
    if before % step or after % step:
        return None
    more = max(before, 0) // step + max(after, 0) // step
    size = a.size + more
    if guessed(size) > guessed(a.size) + guessed(b.size):
        return None
    return Window(b.start if before > 0 else a.start, size, step)


def _rebuilt(function: Function, kept: Mapping[Value, _Kept]) -> Function:
    values: dict[Value, Value] = {}
    rows: dict[Value, list[Value]] = {}  # y -> its windows
    for node in function.nodes:
        operands = [values.get(x, x) for x in node.operands]
        if node.op is ops.SCAN and any(result in kept for result in node.results):
            values.update(_scan(node, operands, kept, rows))
        elif node.op is ops.SLICE and node.operands[0] in rows:
            y = node.operands[0]
            values[node.results[0]] = _slice(node, kept[y], rows[y])
        elif operands != list(node.operands):
            made = remake(node, operands, node.regions)
            values.update(zip(node.results, made.results, strict=True))
    return rebuilt(function, values)


def _scan(
    node: Node,
    operands: Sequence[Value],
    kept: Mapping[Value, _Kept],
    rows: dict[Value, list[Value]],
) -> Iterable[tuple[Value, Value]]:
    """The scan with a y per window; old results -> new ones, for those that stay as they are."""
    parts = groups(node)
    (body,) = node.regions
    whole = Window(0, parts.length, 1)
    ys = node.results[parts.carries :]
    of_y = [kept[y].windows if y in kept else [whole] for y in ys]
    wanted = list(body.results[: parts.carries])
    for value, windows in zip(body.results[parts.carries :], of_y, strict=True):
        wanted += [value] * len(windows)
    flat = tuple(window for windows in of_y for window in windows)
    how = Groups(parts.consts, parts.carries, parts.xs, parts.length, parts.reverse, flat)
    inner = Function(body.name, body.params, body.nodes, tuple(wanted), body.constraints)
    made = apply(node.op, operands, how.attrs(), regions=(inner,), locations=node.locations)
    found = list(zip(node.results[: parts.carries], made.results, strict=False))
    rest = iter(made.results[parts.carries :])
    for y, windows in zip(ys, of_y, strict=True):
        own = [next(rest) for _ in windows]
        if y in kept:
            rows[y] = own
        else:
            found.append((y, own[0]))
    return found


def _slice(node: Node, kept: _Kept, rows: Sequence[Value]) -> Value:
    """A slice of a y, taken of its window."""
    number = kept.slices[node]
    window = kept.windows[number]
    starts = list(attributes.sizes(node.attrs, "starts"))
    sizes = attributes.sizes(node.attrs, "sizes")
    steps = list(attributes.integers(node.attrs, "steps"))
    starts[0] = (starts[0] - window.start) // window.step
    steps[0] = 1 if sizes[0] == 1 else steps[0] // window.step
    return Term(rows[number]).slice(starts, sizes, steps).value
