"""Scans that run in parts: the last k steps apart, for truncated reverse mode, and segments of
steps that reverse mode runs again, for less memory.

before: how to scan some rows.  after: scans of parts of the rows, their ys side by side; values are
those of one scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isqrt
from typing import Any, Final

import numpy as np

from symc.frontend import trees
from symc.frontend.checkpoint import checkpoint
from symc.frontend.elementwise import where
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import traced
from symc.ir import dims, ops, term
from symc.ir.dims import Size
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.records import dataclass

Step = Callable[[Any, Any], Any]
# How rows are scanned: (step, first carry, rows, their number) -> (carry, ys).
Scan = Callable[[Step, Any, Any, Size], tuple[Any, Any]]
# How many steps a segment has: a number, or the root of the number of all steps.
Every = int | str
SQRT: Final = "sqrt"
_DOUBLINGS: Final = 31


@dataclass(frozen=True, slots=True)
class Steps:
    """A step, how it is scanned, over how many rows, and the direction."""

    scan: Scan
    step: Step
    title: str
    length: Size
    reverse: bool

    def run(self, init: Any, xs: Any) -> tuple[Any, Any]:
        """All of them, one after another."""
        return self.scan(self.step, init, xs, self.length)


def truncation(truncate: Any, title: str) -> int | None:
    """A checked `truncate`."""
    if truncate is None:
        return None
    if isinstance(truncate, bool) or not isinstance(truncate, int) or truncate < 0:
        raise DomainError(
            message(f"{title}: truncate", got=truncate, expected="an int >= 0", where=here())
        )
    return truncate


def backwards(reverse: Any, title: str) -> bool:
    """A checked `reverse`."""
    if not isinstance(reverse, bool | np.bool_):
        raise DTypeError(
            message(f"{title}: reverse", got=repr(reverse), expected="True or False", where=here())
        )
    return bool(reverse)


def remembered(step: Step, chosen: Any, title: str) -> tuple[Step, Every | None]:
    """The step under a policy for its values, and of how many steps a carry is stored."""
    if chosen is None:
        return step, None
    if chosen == SQRT:
        return step, SQRT
    if isinstance(chosen, int):
        if isinstance(chosen, bool) or chosen < 1:
            raise DomainError(
                message(f"{title}: checkpoint", got=chosen, expected="an int >= 1", where=here())
            )
        return step, chosen
    return checkpoint(step, chosen), None


def in_parts(
    steps: Steps, init: Any, xs: Any, last: int | None, every: Every | None
) -> tuple[Any, Any]:
    """`(carry, ys)` of a scan whose last `last` steps alone have cotangents."""
    late = steps.length if last is None else dims.minimum(steps.length, last)
    early = steps.length - late
    if early == 0:
        return _in_segments(steps, init, xs, every)
    first, second = _split(xs, early, late, reverse=steps.reverse)
    carry, before = _forward_only(replace(steps, length=early), init, first)
    if not dims.prove_le(1, early):
        carry = _unless_empty(early, init, carry)
    carry, after = _in_segments(replace(steps, length=late), carry, second, every)
    return carry, _joined(before, after, reverse=steps.reverse)


def _forward_only(steps: Steps, init: Any, xs: Any) -> tuple[Any, Any]:
    leaves, tree = trees.flatten((init, xs))
    given = [lift(leaf, f"{steps.title}: init").__symc_operand__() for leaf in leaves]

    def body(own: list[Expr]) -> Any:
        init, xs = trees.unflatten(tree, own)
        return steps.run(init, xs)

    found: tuple[Any, Any] = traced(steps.title, body, given).placed(ops.FORWARD_ONLY, {})
    return found


def _unless_empty(length: Size, init: Any, carry: Any) -> Any:
    """What `length` steps made of the first carry; that carry itself when there are none."""
    none = Expr(Operand(term.size(length).eq(0).value))
    leaves, tree = trees.flatten(carry)
    pairs = zip(trees.flatten(init)[0], leaves, strict=True)
    made = [
        where(none, lift(start, "scan: init").astype(leaf.dtype), leaf) for start, leaf in pairs
    ]
    return trees.unflatten(tree, made)


def _in_segments(steps: Steps, init: Any, xs: Any, every: Every | None) -> tuple[Any, Any]:
    """Segments of steps under a checkpoint, and the steps that remain."""
    if every is None:
        return steps.run(init, xs)
    size = _root(steps.length) if every == SQRT else int(every)
    count = steps.length // size
    run, rest = count * size, steps.length - count * size
    first, second = _split(xs, run, rest, reverse=steps.reverse)
    segment = replace(steps, length=size)
    outer = replace(steps, step=checkpoint(segment.run), length=count)
    rows = _each(first, lambda x: x.reshape((count, size, *x.shape[1:])))
    carry, ys = outer.run(init, rows)
    ys = _each(ys, lambda y: y.reshape((run, *y.shape[2:])))
    if rest == 0:
        return carry, ys
    carry, after = checkpoint(replace(steps, length=rest).run)(carry, second)
    return carry, _joined(ys, after, reverse=steps.reverse)


def _root(length: Size) -> Size:
    """The root of a number of steps; of a symbolic one a power of two within a factor of two."""
    if isinstance(length, int):
        return max(1, isqrt(length))
    size: Size = 1
    for doubling in range(1, _DOUBLINGS):
        size = size + dims.minimum(1, length // 4**doubling) * 2 ** (doubling - 1)
    return size


def _each(rows: Any, change: Callable[[Term], Term]) -> Any:
    """A tree of rows with every leaf changed."""
    leaves, tree = trees.flatten(rows)
    made = []
    for leaf in leaves:
        found = lift(leaf, "scan: rows").__symc_operand__()
        made.append(Expr(Operand(change(Term(found.value)).value, found.weak)))
    return trees.unflatten(tree, made)


def _split(xs: Any, first: Size, second: Size, *, reverse: bool) -> tuple[Any, Any]:
    """The rows that run first, and those that run then."""
    starts = (second, 0) if reverse else (0, first)
    return (
        _each(xs, lambda x: x.narrow(0, starts[0], first)),
        _each(xs, lambda x: x.narrow(0, starts[1], second)),
    )


def _joined(first: Any, second: Any, *, reverse: bool) -> Any:
    """The ys of what ran first and then, in the order of the rows."""
    low, high = (second, first) if reverse else (first, second)
    leaves, tree = trees.flatten(low)
    above: Sequence[Any] = trees.flatten(high)[0]
    pairs = zip(leaves, above, strict=True)
    made = [Expr(Operand(term.concat([_term(a), _term(b)], 0).value)) for a, b in pairs]
    return trees.unflatten(tree, made)


def _term(leaf: Expr) -> Term:
    return Term(leaf.__symc_operand__().value)
