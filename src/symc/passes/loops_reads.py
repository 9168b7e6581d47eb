"""Slices of what is computed from ys move to the ys: `(2 * ys.T)[:, -1]` reads the last row of ys.

before: loops, work on their ys row by row, and slices of it.  after: where nothing else reads a y,
the slices are of the y, and the work is done on those rows only.  Then `loops_rows` sees which rows
of it are read at all.

What is followed: elementwise work, views that keep the axis of the rows, reductions over other
axes, and contractions in which it is free or a batch axis.  Not followed: a y of which all slices
together read more rows than it has, since they would be computed more than once.

Bits: those of the rows; contractions are summed in any order, as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.build import apply, placed_at
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.dims import Size, substitute, symbols
from symc.ir.ops import attributes
from symc.ir.ops.contract import dot_axes
from symc.ir.ops.loop_groups import groups, while_groups
from symc.ir.ops.record import Kind
from symc.ir.ops.scan_snapshots import plain_results
from symc.ir.rewriter import remake
from symc.ir.term import Term
from symc.passes.rebuilt import rebuilt
from symc.passes.sweep import Sweep
from symc.records import dataclass

SAMPLE: Final = 10_007  # what a named size is taken to be where only costs depend on it


LOOPS: Final = frozenset({ops.SCAN, ops.SCAN_SNAPSHOTS, ops.WHILE})


def ys_of(node: Node) -> Sequence[Value]:
    """The stacked results of a loop."""
    if node.op is ops.SCAN:
        return node.results[groups(node).carries :]
    if node.op is ops.SCAN_SNAPSHOTS:
        return node.results[groups(node).carries : plain_results(node)]
    parts = while_groups(node)
    return () if parts.rows is None else node.results[parts.carries : -1]


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows that are read: `size` of them, from `start` on in steps of `step`."""

    start: Size
    size: Size
    step: int

    def of(self, value: Value, axis: int) -> Value:
        """Those of an array whose rows lie along an axis."""
        shape = value.type.shape
        starts = [self.start if i == axis else 0 for i in range(len(shape))]
        sizes = [self.size if i == axis else size for i, size in enumerate(shape)]
        steps = [self.step if i == axis else 1 for i in range(len(shape))]
        return Term(value).slice(starts, sizes, steps).value


def guessed(size: Size) -> int:
    """A size where all dims are large."""
    found = substitute(size, {symbol.name: SAMPLE for symbol in symbols(size)})
    return found if isinstance(found, int) else SAMPLE


def pushed(function: Function) -> Function:
    """The function with slices moved to the ys that they are of; itself when there are none."""
    if not any(node.op in LOOPS for node in function.nodes):
        return function
    if not any(node.op is ops.SLICE for node in function.nodes):
        return function
    function = Sweep(function).run(_of_what_it_is_of)
    rows = _Rows(function)
    chosen = rows.chosen()
    if not chosen:
        return function
    memos: dict[Taken, dict[Value, Value]] = {}
    values: dict[Value, Value] = {}
    for node in function.nodes:
        taken = chosen.get(node.results[0]) if node.results else None
        if taken is not None:
            memo = memos.setdefault(taken, {})
            values[node.results[0]] = rows.moved(node, taken, memo, values)
        elif not values.keys().isdisjoint(node.operands):
            operands = [values.get(x, x) for x in node.operands]
            values.update(
                zip(node.results, remake(node, operands, node.regions).results, strict=True)
            )
    return rebuilt(function, values)


def _of_what_it_is_of(node: Node) -> Sequence[Value] | None:
    """A slice of a slice of something is a slice of that."""
    below = node.operands[0].node if node.op is ops.SLICE else None
    if below is None or below.op is not ops.SLICE:
        return None
    inner = attributes.sizes(below.attrs, "starts"), attributes.integers(below.attrs, "steps")
    outer = attributes.sizes(node.attrs, "starts"), attributes.integers(node.attrs, "steps")
    starts = [a + b * step for a, step, b in zip(*inner, outer[0], strict=True)]
    steps = [a * b for a, b in zip(inner[1], outer[1], strict=True)]
    sizes = attributes.sizes(node.attrs, "sizes")
    with placed_at(node.locations):
        return [Term(below.operands[0]).slice(starts, sizes, steps).value]


class _Rows:
    """Along which axis the rows of a y lie in what is computed from it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.axis: dict[Value, int] = {}
        self.root: dict[Value, Value] = {}
        self._uses = function.uses()
        for node in function.nodes:
            self._follow(node)

    def _follow(self, node: Node) -> None:
        if node.op in LOOPS:
            for y in ys_of(node):
                self.axis[y], self.root[y] = 0, y
            return
        if len(node.results) != 1 or not any(x in self.axis for x in node.operands):
            return
        (result,) = node.results
        for axis in range(result.type.rank):
            wanted = _operand_axes(node, axis)
            if wanted is not None and all(
                x not in self.axis or self.axis[x] == own
                for x, own in zip(node.operands, wanted, strict=True)
            ):
                self.axis[result] = axis
                self.root[result] = next(self.root[x] for x in node.operands if x in self.root)
                return

    def chosen(self) -> dict[Value, Taken]:
        """Results of slices that are to move -> the rows that they take."""
        narrow = self._narrow()
        found: dict[Value, Taken] = {}
        total: dict[Value, int] = {}
        for node in self.function.nodes:
            taken = self._taken(node)
            if taken is None or node.operands[0] not in narrow:
                continue
            value = node.operands[0]
            root = self.root[value]
            if value is root or root not in narrow:
                continue
            found[node.results[0]] = taken
            total[root] = total.get(root, 0) + guessed(taken.size)
        roots = {root for root, count in total.items() if count <= guessed(root.type.shape[0])}
        return {
            x: rows
            for x, rows in found.items()
            if x.node is not None and self.root[x.node.operands[0]] in roots
        }

    def _taken(self, node: Node) -> Taken | None:
        """The rows that a slice takes, when it leaves some out."""
        if node.op is not ops.SLICE or node.operands[0] not in self.axis:
            return None
        if node.results[0] in self.axis:
            return None
        axis = self.axis[node.operands[0]]
        return Taken(
            attributes.sizes(node.attrs, "starts")[axis],
            attributes.sizes(node.attrs, "sizes")[axis],
            attributes.integers(node.attrs, "steps")[axis],
        )

    def _narrow(self) -> set[Value]:
        """Values that nothing but slices of rows reads, in the end."""
        results = set(self.function.results)
        found: set[Value] = set()
        for value in reversed(self.axis):
            readers = self._uses.get(value, ())
            if value not in results and all(
                self._taken(node) is not None or (node.op not in LOOPS and node.results[0] in found)
                for node in readers
            ):
                found.add(value)
        return found

    def moved(
        self, node: Node, taken: Taken, memo: dict[Value, Value], values: Mapping[Value, Value]
    ) -> Value:
        """What a slice takes, computed from those rows of the y."""
        value = node.operands[0]
        for step in self._between(value):
            (result,) = step.results
            if result not in memo:
                memo[result] = self._narrowed(step, taken, memo, values)
        axis = self.axis[value]
        rows = memo[value]
        starts = list(attributes.sizes(node.attrs, "starts"))
        steps = list(attributes.integers(node.attrs, "steps"))
        starts[axis], steps[axis] = 0, 1
        sizes = attributes.sizes(node.attrs, "sizes")
        whole = rows.type.shape == tuple(sizes) and set(steps) == {1}
        return rows if whole else Term(rows).slice(starts, sizes, steps).value

    def _between(self, value: Value) -> list[Node]:
        """The nodes between ys and a value, in order."""
        found: set[Node] = set()
        todo = [value]
        while todo:
            node = todo.pop().node
            if node is None or node in found or node.op in LOOPS:
                continue
            found.add(node)
            todo += [x for x in node.operands if x in self.axis]
        return sorted(found, key=lambda node: node.serial)

    def _narrowed(
        self, node: Node, taken: Taken, memo: Mapping[Value, Value], values: Mapping[Value, Value]
    ) -> Value:
        """A node on those rows of what it reads."""
        axis = self.axis[node.results[0]]
        wanted = _operand_axes(node, axis)
        assert wanted is not None
        operands = []
        for x, own in zip(node.operands, wanted, strict=True):
            if x in memo:
                operands.append(memo[x])
            else:
                now = values.get(x, x)
                operands.append(now if own is None else taken.of(now, own))
        attrs = dict(node.attrs)
        for name in ("shape", "sizes"):
            if name in attrs:
                shape: list[Attr] = list(attributes.sizes(attrs, name))
                shape[axis] = taken.size
                attrs[name] = tuple(shape)
        return apply(node.op, operands, attrs, locations=node.locations).results[0]


def _operand_axes(node: Node, axis: int) -> list[int | None] | None:
    """Per operand the axis that becomes `axis` of the result, None where it is read whole.

    None: some operand's elements do not stand in the result row by row.
    """
    shapes = [x.type.shape for x in node.operands]
    rows = node.results[0].type.shape[axis]
    match node.op.kind:
        case Kind.ELEMENTWISE:
            return [axis for _ in shapes]
        case Kind.REDUCE:
            reduced = attributes.integers(node.attrs, "axes")
            kept = [i for i in range(len(shapes[0])) if i not in reduced]
            return [kept[axis]]
        case Kind.CONTRACT:
            return _contracted(node, axis)
        case Kind.VIEW:
            own = _viewed(node, axis)
            return None if own is None or shapes[0][own] != rows else [own]
        case _:
            return None


def _contracted(node: Node, axis: int) -> list[int | None]:
    lhs, rhs = (len(x.type.shape) for x in node.operands)
    roles = dot_axes(lhs, rhs, node.attrs)
    batch, left = len(roles.lhs_batch), len(roles.lhs_free)
    if axis < batch:
        return [roles.lhs_batch[axis], roles.rhs_batch[axis]]
    if axis < batch + left:
        return [roles.lhs_free[axis - batch], None]
    return [None, roles.rhs_free[axis - batch - left]]


def _viewed(node: Node, axis: int) -> int | None:
    """The axis of the operand of a view that becomes `axis`, unchanged."""
    if len(node.operands) != 1:
        return None
    shape = node.operands[0].type.shape
    match node.op:
        case ops.PERMUTE:
            return attributes.integers(node.attrs, "axes")[axis]
        case ops.BROADCAST:
            axes = attributes.integers(node.attrs, "axes")
            return axes.index(axis) if axis in axes else None
        case ops.RESHAPE:
            same = shape[: axis + 1] == node.results[0].type.shape[: axis + 1]
            return axis if same else None
        case ops.SLICE:
            step = attributes.integers(node.attrs, "steps")[axis]
            start = attributes.sizes(node.attrs, "starts")[axis]
            return axis if step == 1 and start == 0 else None
        case _:
            return None
