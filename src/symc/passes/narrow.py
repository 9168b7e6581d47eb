"""Only what is read of a contraction or a reduction is computed: `(A @ B)[i]` is `A[i] @ B`.

before: any tensor function.  after: a slice of a contraction, of a reduction or of elementwise work
on one, whose whole result nothing needs, is a slice of what those read.  Bits: unchanged, but for
contractions in any order, which may be summed another way over fewer rows (the licence is
`contraction`).

A slice of elementwise work alone stays: fusion computes only what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.ops.attributes import integers, sizes
from symc.ir.ops.contract import dot_axes
from symc.ir.ops.record import Kind
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes import dce
from symc.passes.share import Note
from symc.passes.sweep import Sweep
from symc.records import dataclass

DEEP: Final = 8  # elementwise steps between a slice and the work that it saves

Once = Callable[[Value], bool]


@dataclass(frozen=True, slots=True)
class Part:
    """Per axis: where a slice begins, how much it takes, and in which steps."""

    starts: tuple[Size, ...]
    sizes: tuple[Size, ...]
    steps: tuple[int, ...]

    def along(self, axes: Sequence[int | None], shape: Sequence[Size]) -> Part:
        """The part of an operand whose axis i is axis `axes[i]` here; whole where that is None."""
        pairs = list(zip(axes, shape, strict=True))
        return Part(
            tuple(0 if axis is None else self.starts[axis] for axis, _ in pairs),
            tuple(size if axis is None else self.sizes[axis] for axis, size in pairs),
            tuple(1 if axis is None else self.steps[axis] for axis, _ in pairs),
        )

    def of(self, value: Value) -> Value:
        """The slice of a value; the value when it is all of it."""
        whole = self.sizes == value.type.shape and set(self.steps) <= {1}
        return value if whole else Term(value).slice(self.starts, self.sizes, self.steps).value


def run(function: Function, options: Options, note: Note | None = None) -> Function:
    """Move slices below what they save."""
    if not _has_both(function):
        return function
    before = live = dce.run(function, options)
    for _ in range(DEEP):
        after = _sweep(live, note)
        if after is live:
            break
        live = dce.run(after, options)
    return function if live is before else live


def _has_both(function: Function) -> bool:
    sliced = any(node.op is ops.SLICE for node in function.nodes)
    return sliced and any(node.op.kind in (Kind.CONTRACT, Kind.REDUCE) for node in function.nodes)


def _sweep(function: Function, note: Note | None) -> Function:
    uses = function.uses()
    results = frozenset(function.results)

    def once(value: Value) -> bool:
        return len(uses.get(value, ())) == 1 and value not in results

    def visit(node: Node) -> Sequence[Value] | None:
        if node.op is not ops.SLICE or not _saves(node, once):
            return None
        below = node.operands[0].node
        assert below is not None
        taken = Part(
            sizes(node.attrs, "starts"),
            node.results[0].type.shape,
            integers(node.attrs, "steps"),
        )
        made = apply(
            below.op,
            [part.of(x) for x, part in zip(below.operands, _parts(below, taken), strict=True)],
            below.attrs,
            locations=below.locations,
        ).results
        if note is not None:
            note("narrowed", node.results[0], made[0])
        return made

    return Sweep(function).run(visit)


def _saves(slice_: Node, once: Once) -> bool:
    """Whether a slice is of part of a contraction or reduction that is needed nowhere else."""
    value = slice_.operands[0]
    if slice_.results[0].type.shape == value.type.shape:
        return False
    for _ in range(DEEP):
        node = value.node
        if node is None or not once(value):
            return False
        if node.op.kind in (Kind.CONTRACT, Kind.REDUCE):
            return True
        if node.op.kind is not Kind.ELEMENTWISE:
            return False
        heavy = [x for x in node.operands if _is_computed(x)]
        if len(heavy) != 1:
            return False
        (value,) = heavy
    return False


def _is_computed(value: Value) -> bool:
    return value.node is not None and value.node.op.kind not in (Kind.SOURCE, Kind.VIEW)


def _parts(node: Node, taken: Part) -> list[Part]:
    """The part of each operand that a part of the result is computed from."""
    shapes = [operand.type.shape for operand in node.operands]
    if node.op.kind is Kind.ELEMENTWISE:
        return [taken for _ in shapes]
    if node.op.kind is Kind.REDUCE:
        reduced = integers(node.attrs, "axes")
        kept = iter(range(len(taken.sizes)))
        axes = [None if axis in reduced else next(kept) for axis in range(len(shapes[0]))]
        return [taken.along(axes, shapes[0])]
    roles = dot_axes(len(shapes[0]), len(shapes[1]), node.attrs)
    after = len(roles.lhs_batch) + len(roles.lhs_free)
    left: list[int | None] = [None] * len(shapes[0])
    right: list[int | None] = [None] * len(shapes[1])
    for i, axis in enumerate((*roles.lhs_batch, *roles.lhs_free)):
        left[axis] = i
    for i, axis in enumerate(roles.rhs_batch):
        right[axis] = i
    for i, axis in enumerate(roles.rhs_free):
        right[axis] = after + i
    return [taken.along(left, shapes[0]), taken.along(right, shapes[1])]
