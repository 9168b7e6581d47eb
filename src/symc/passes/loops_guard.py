"""Whether an array of all values of a step is worth its memory.

before: a loop taken apart, and a value that could leave it.  after: yes or no.  What is kept for
all steps may be

- twice as large as the rows that it is computed from, for elementwise work;
- 16 times as large where the work is a reduction, a gather or a contraction, and more where its
  sums are long, since each byte that is kept then saves more work;
- four times as large as what a step carries and gives anyway, for a gather or a contraction of at
  least two terms: `x_t @ U` of a network has the size of its state;
- 64 KiB in any case.

`memory_limit` of the options is a bound on top: no array that moving needs is larger for sure, with
sizes that are not known at their largest, so 0 leaves all work where it needs none.  Else sizes
that are not known count as 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from symc.ir.core import Node, Value, reachable
from symc.ir.dims import Size, prove_le
from symc.ir.ops.contract import dot_axes
from symc.ir.ops.record import Kind
from symc.passes.loops_form import Loop
from symc.passes.nominal import nominal

SMALL: Final = 1 << 16
PLAIN: Final = 2
HEAVY: Final = 16
LONG: Final = 8  # per term of a contraction
MOST: Final = 256
STATE: Final = 4

_KINDS: Final = frozenset({Kind.CONTRACT, Kind.REDUCE, Kind.GATHER, Kind.SCATTER})
_ROUNDS: Final = 8


def may_keep(loop: Loop, bytes: Size) -> bool:
    """Whether an array of so many bytes is within the limit that the user set."""
    return loop.limit is None or prove_le(bytes, loop.limit)


def worth_keeping(loop: Loop, value: Value) -> bool:
    """Whether the values of all steps may be kept in an array before the loop."""
    row = value.type.bytes
    if not may_keep(loop, row * loop.length):
        return False
    own = nominal(row)
    if isinstance(loop.length, int) and own * loop.length <= SMALL:
        return True
    nodes, free = reachable([value], stop=loop.params)
    params = {*free, *(x for node in nodes for x in node.operands)}
    reads = sum(nominal(x.type.bytes) for x in (*loop.xs, loop.number) if x in params)
    factor, state = PLAIN, False
    for node in nodes:
        if node.op.kind in _KINDS:
            terms = _terms(node)
            factor = max(factor, HEAVY, min(LONG * terms, MOST))
            state = state or terms > 1 or node.op.kind is Kind.GATHER
    return own <= factor * reads or (state and own <= STATE * _state(loop))


def _terms(node: Node) -> int:
    """The terms of each sum of a contraction; 1 for anything else."""
    if node.op.kind is not Kind.CONTRACT:
        return 1
    left, right = (x.type for x in node.operands)
    axes = dot_axes(left.rank, right.rank, node.attrs)
    terms = 1
    for axis in axes.lhs_contract:
        terms *= nominal(left.shape[axis])
    return terms


def _state(loop: Loop) -> int:
    """Bytes that a step hands on: carries and rows."""
    values = [*(c.param for c in loop.carries), *(row.value for row in loop.ys)]
    return sum(nominal(x.type.bytes) for x in values)


def affordable(
    loop: Loop, leaving: set[Node], crossing: Callable[[Loop, set[Node]], list[Value]]
) -> list[Value]:
    """The values that cross out of a loop when `leaving` leave it, without those that are too
    large; what those are made of may leave in their place."""
    for _ in range(_ROUNDS):
        found = crossing(loop, leaving)
        dear = {value.node for value in found if not worth_keeping(loop, value)}
        if not dear:
            return found
        leaving = leaving - dear
    return [value for value in crossing(loop, leaving) if worth_keeping(loop, value)]


def all_may_be_kept(loop: Loop, values: Iterable[Value]) -> bool:
    """Whether arrays of the values of all steps are within the limit that the user set."""
    return all(may_keep(loop, value.type.bytes * loop.length) for value in values)
