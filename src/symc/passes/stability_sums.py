"""Rows of the stability table for sums of exponentials: softmax, its logarithm, log-sum-exp.

All shift by the largest element, whose exponential is then 1.  No derivative passes the shift: the
results do not depend on it.  A row knows a shift that is there already, from whoever wrote it, and
does not shift again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from symc.ir import ops, term
from symc.ir.core import Node, Value
from symc.ir.dims import Size
from symc.ir.ops.attributes import integers
from symc.ir.ops.record import Kind
from symc.ir.term import Term
from symc.ir.types import BOOL, I64
from symc.passes.draw import Draw
from symc.passes.pattern import Apply, Either, Hole, Match, Pattern, Rule, transparent
from symc.passes.stability_patterns import (
    ONE,
    ZERO,
    X,
    Y,
    add,
    below_views,
    div,
    exp,
    floats,
    log,
    log1p,
    mul,
    row,
    sub,
)

_AXES = "axes"


def _total(x: Pattern, name: str = "total") -> Apply:
    return Apply(ops.SUM, (x,), name=name)


def _axes(node: Node) -> tuple[int, ...]:
    return integers(node.attrs, _AXES)


def _spread(m: Match, x: Term, like: Term, axes: tuple[int, ...]) -> Term:
    """`x`, which lacks `axes`, repeated along them."""
    kept = tuple(axis for axis in range(like.rank) if axis not in axes)
    if not axes:
        return x
    return m.make(ops.BROADCAST, x, shape=like.shape, axes=kept)


def _shift(m: Match, x: Term, axes: tuple[int, ...]) -> Term:
    """The largest of `x` along `axes`, 0 where that is not finite; a constant to derivatives."""
    largest = m.make(ops.STOP_GRADIENT, m.make(ops.MAX, x, axes=axes))
    finite = m.make(ops.ISFINITE, largest)
    return m.make(ops.WHERE, finite, largest, m.constant(0.0, largest))


def _log_of_shifted(m: Match, x: Term, axes: tuple[int, ...]) -> Term:
    """log(sum(e^x)) where the largest x is 0 (or all are not finite).

    The ones are taken out of the sum, so that what is far below 1 is not lost beside them: with
    `count` zeros among x the sum is count (1 + rest / count).
    """
    zero = m.make(ops.EQ, x, m.constant(0.0, x))
    raised = m.make(ops.EXP, x)
    ones = m.make(ops.CAST, zero, dtype=x.dtype)
    rest = m.make(ops.SUM, m.make(ops.SUB, raised, ones), axes=axes)
    count = m.make(ops.SUM, ones, axes=axes)
    one = m.constant(1.0, count)
    least = m.make(ops.MAXIMUM, count, one)
    missing = m.make(ops.SUB, count, least)
    ratio = m.make(ops.DIV, m.make(ops.ADD, rest, missing), least)
    return m.make(ops.ADD, m.make(ops.LOG, least), m.make(ops.LOG1P, ratio))


def _wide(m: Match, x: Term) -> Term:
    """`x` in the dtype of the root where that has more bits."""
    wider = m.type.dtype.itemsize > x.dtype.itemsize
    return m.make(ops.CAST, x, dtype=m.type.dtype) if wider else x


def _log_of_sum_of_exp(m: Match) -> Term:
    x, axes = _wide(m, m["x"]), _axes(m.named("total"))
    if _is_shifted(x.value, axes):
        return m.moved("total", _log_of_shifted(m, x, axes))
    shift = _shift(m, x, axes)
    away = m.make(ops.SUB, x, _spread(m, shift, x, axes))
    rest = m.moved("total", _log_of_shifted(m, away, axes))
    return m.make(ops.ADD, m.moved("total", shift), rest)


def _not_empty(m: Match) -> bool:
    node = m.named("total")
    shape = node.operands[0].type.shape
    return floats(m) and bool(_axes(node)) and all(shape[axis] != 0 for axis in _axes(node))


def _source(value: Value) -> Value:
    """What a shift repeats: behind views, casts, and what keeps it finite and constant."""
    while value.node is not None:
        node = value.node
        if transparent(node):
            value = node.operands[0]
        elif node.op is ops.WHERE and _guards_finite(node):
            value = node.operands[1]
        else:
            break
    return value


def _plain(value: Value) -> Value:
    """What a value rounds: behind casts between floats and what stops derivatives."""
    while value.node is not None and value.node.op in {ops.STOP_GRADIENT, ops.CAST}:
        if not transparent(value.node):
            break
        value = value.node.operands[0]
    return value


def _guards_finite(node: Node) -> bool:
    test = node.operands[0].node
    return test is not None and test.op is ops.ISFINITE and test.operands[0] is node.operands[1]


def _is_shift(value: Value) -> bool:
    node = _source(value).node
    return node is not None and node.op is ops.MAX


def _is_shifted(value: Value, axes: tuple[int, ...]) -> bool:
    """Whether `value` is some y less the largest of that y along `axes`."""
    node = value.node
    if node is None or node.op is not ops.SUB:
        return False
    largest = _source(node.operands[1]).node
    if largest is None or largest.op is not ops.MAX or _axes(largest) != axes:
        return False
    if _plain(largest.operands[0]) is not _plain(node.operands[0]):
        return False
    return _spreads_over(node.operands[1], largest.results[0], axes)


def _spreads_over(value: Value, reduced: Value, axes: tuple[int, ...]) -> bool:
    """Whether `value` repeats `reduced` along the axes that it lacks, each element in its place."""
    places: list[int | None] = list(range(value.type.rank))
    while value is not reduced:
        node = value.node
        if node is None:
            return False
        if node.op is ops.BROADCAST:
            wanted = integers(node.attrs, _AXES)
            places = [places[axis] for axis in wanted]
        elif node.op is ops.RESHAPE:
            moved = _unit_places(node, places)
            if moved is None:
                return False
            places = moved
        elif node.op is ops.WHERE:
            value = node.operands[1]
            continue
        elif node.op.kind is not Kind.ELEMENTWISE:
            return False
        value = node.operands[0]
    kept = [axis for axis in range(value.type.rank + len(axes)) if axis not in axes]
    found = zip(places, kept, value.type.shape, strict=True)
    return all(place == axis or (place is None and size == 1) for place, axis, size in found)


def _unit_places(node: Node, places: list[int | None]) -> list[int | None] | None:
    """Places of the operand's axes when a reshape only adds or drops axes of size 1."""
    result, operand = node.results[0].type.shape, node.operands[0].type.shape
    wide = [place for size, place in zip(result, places, strict=True) if size != 1]
    if [size for size in result if size != 1] != [size for size in operand if size != 1]:
        return None
    left = iter(wide)
    return [None if size == 1 else next(left) for size in operand]


def _softmax(m: Match) -> Term:
    """e^x / sum(e^y) with both exponents less the largest y."""
    x, y, axes = m["x"], _wide(m, m["y"]), _axes(m.named("total"))
    shift = _shift(m, y, axes)
    raised = m.make(ops.EXP, m.make(ops.SUB, y, _spread(m, shift, y, axes)))
    total = m.moved("total", m.make(ops.SUM, raised, axes=axes))
    above = m.make(ops.EXP, m.make(ops.SUB, x, m.moved("total", shift)))
    return m.make(ops.DIV, above, total)


def _not_shifted(m: Match) -> bool:
    return _not_empty(m) and not _is_shifted(m.places["y"].value, _axes(m.named("total")))


def _logaddexp(m: Match) -> Term:
    """high + softplus(low - high), with an infinite high not taken off."""
    x, y = m["x"], m["y"]
    first = m.make(ops.GT, x, y)
    high, low = m.make(ops.WHERE, first, x, y), m.make(ops.WHERE, first, y, x)
    finite = m.make(ops.ISFINITE, high)
    taken = m.make(ops.WHERE, finite, high, m.constant(0.0))
    return m.make(ops.ADD, high, m.make(ops.SOFTPLUS, m.make(ops.SUB, low, taken)))


def _less_shift_first(m: Match) -> Term:
    """(x - shift) - rest: the two large terms meet before anything small is added."""
    return m.make(ops.SUB, m.make(ops.SUB, m["x"], m["s"]), m["r"])


def _takes_off_a_shift(m: Match) -> bool:
    return floats(m) and _is_shift(m.places["s"].value)


def _masked(m: Match) -> Term:
    low = m.constant(-float("inf"))
    return m.make(ops.EXP, m.make(ops.WHERE, m["mask"], m["x"], low))


def _hand_written_shift(d: Draw) -> Term:
    """e^(x - max x) / sum(e^(x - max x)), which cannot overflow."""
    x = d.input(d.shape(2))
    axes = d.axes(2)
    kept = [axis for axis in range(2) if axis not in axes]
    largest = term.make(ops.MAX, x, axes=axes).broadcast(x.shape, kept)
    raised = term.make(ops.EXP, x - largest)
    return raised / raised.sum(axes).broadcast(x.shape, kept)


def _log_of(m: Match, name: str) -> Term:
    return below_views(m, m[name], lambda x: m.make(ops.LOG, x))


def _is_mask(node: Node) -> bool:
    return node.operands[0].type.dtype == BOOL


def _log_of_pick(m: Match) -> Term:
    """The sum of log p where the class is hit, -inf where none is."""
    hit, axes = m["hit"], _axes(m.named("total"))
    logs = m.make(ops.LOG, m["x"])
    chosen = m.make(ops.SUM, m.make(ops.WHERE, hit, logs, m.constant(0.0, logs)), axes=axes)
    found = m.make(ops.ANY, hit, axes=axes)
    made = m.make(ops.WHERE, found, chosen, m.constant(-float("inf"), chosen))
    return m.moved("total", made)


def _picks_one(m: Match) -> bool:
    """Whether at most one element along the summed axis is hit, of something with a good log."""
    axes = _axes(m.named("total"))
    counted = m.named("iota")
    probability = m.places["x"].value
    while probability.node is not None and transparent(probability.node):
        probability = probability.node.operands[0]
    node = probability.node
    if node is None or m.places["iota"].path or not _not_empty(m):
        return False
    heads = [node, *(operand.node for operand in node.operands if operand.node is not None)]
    raised = any(head.op in {ops.EXP, ops.SIGMOID} for head in heads[:2])
    index = m.places["index"].value.node
    same = index is not None and index.op is ops.BROADCAST
    if not (raised and same and index is not None):
        return False
    return axes == (counted.attrs["axis"],) and axes[0] not in integers(index.attrs, _AXES)


def _unlike_index(d: Draw) -> Term:
    """A sum over positions that may all be hit: the class differs along the summed axis."""
    x = d.input(d.shape(2))
    hit = term.make(ops.EQ, d.input(x.shape, I64), term.iota(x.shape, 1))
    return term.make(ops.LOG, (term.make(ops.EXP, x) * hit.cast(x.dtype)).sum((1,)))


def _other_axis(d: Draw) -> Term:
    """A sum over an axis along which the class does not count."""
    x = d.input(d.shape(2))
    index = d.input(x.shape[:1], I64).broadcast(x.shape, (0,))
    hit = term.make(ops.EQ, index, term.iota(x.shape, 1))
    return term.make(ops.LOG, (term.make(ops.EXP, x) * hit.cast(x.dtype)).sum((0,)))


def _picked(d: Draw) -> Term:
    """log(sum(p * one_hot(class)))."""
    x = d.input(d.shape(2))
    index = d.input(x.shape[:1], I64).broadcast(x.shape, (0,))
    hit = term.make(ops.EQ, index, term.iota(x.shape, 1))
    raised = term.make(d.choose((ops.EXP, ops.SIGMOID)), x)
    return term.make(ops.LOG, (raised * hit.cast(x.dtype)).sum((1,)))


def _summed(d: Draw) -> Term:
    x = d.input(d.shape())
    return term.make(ops.LOG, term.make(ops.EXP, x).sum(d.axes(x.rank)))


def _of_nothing(d: Draw) -> Term:
    x = d.input((2, 0))
    return term.make(ops.LOG, term.make(ops.EXP, x).sum((1,)))


def _normalised(d: Draw, over: bool) -> Term:
    x = d.input(d.shape())
    axes = d.axes(x.rank)
    kept = [axis for axis in range(x.rank) if axis not in axes]
    raised = term.make(ops.EXP, x)
    total = raised.sum(axes).broadcast(x.shape, kept)
    return raised / total if over else raised * (1.0 / total)


def _log_normaliser(d: Draw, written: bool) -> Term:
    x = d.input(d.shape(2))
    shift = term.make(ops.STOP_GRADIENT, term.make(ops.MAX, x, axes=(1,)))
    raised = term.make(ops.EXP, x - shift.broadcast(x.shape, (0,)))
    if written:
        rest = term.make(ops.LOG, raised.sum((1,)))
    else:
        rest = term.make(ops.LOG, shift) + term.make(ops.LOG1P, shift)
    return x - (shift + rest).broadcast(x.shape, (0,))


def _weighted(d: Draw, weight: Callable[[Sequence[Size]], Term]) -> Term:
    x = d.input(d.shape())
    raised = term.make(ops.EXP, x)
    weights = term.make(ops.CAST, weight(x.shape), dtype=x.dtype)
    return weights * raised if d.flip() else raised * weights


def _no_shift(d: Draw) -> Term:
    x, y = d.input(shape := d.shape(2)), d.input(shape)
    return x - (y + term.make(ops.LOG, x))


_S, _MASK = Hole("s"), Hole("mask")
_HIT = Apply(ops.EQ, (Hole("index"), Apply(ops.IOTA, (), name="iota")), name="hit")
_REST = Either(
    (
        Apply(ops.LOG, (Hole("l"),), name="r"),
        Apply(ops.ADD, (log(Hole("l")), log1p(Hole("k"))), name="r"),
    )
)

SUMS: Final[tuple[Rule, ...]] = (
    row(
        "log_of_sum_of_exp",
        log(_total(exp(X))),
        _log_of_sum_of_exp,
        _not_empty,
        examples=(_summed,),
        near=(_of_nothing,),
    ),
    row(
        "log_of_sum_over",
        log(div(_total(exp(X)), Y)),
        lambda m: m.make(ops.SUB, m.make(ops.LOG, m["total"]), _log_of(m, "y")),
    ),
    row(
        "log_of_pick",
        log(_total(mul(X, Apply(ops.CAST, (_HIT,), _is_mask)))),
        _log_of_pick,
        _picks_one,
        examples=(_picked,),
        near=(_unlike_index, _other_axis),
    ),
    row(
        "exp_over_sum_of_exp",
        div(exp(X), _total(exp(Y))),
        _softmax,
        _not_shifted,
        examples=(lambda d: _normalised(d, True),),
        near=(_hand_written_shift,),
    ),
    row(
        "exp_times_reciprocal_of_sum",
        mul(exp(X), div(ONE, _total(exp(Y)))),
        _softmax,
        _not_shifted,
        examples=(lambda d: _normalised(d, False),),
    ),
    row("log_of_two_exps", log(add(exp(X), exp(Y))), _logaddexp),
    row(
        "less_shift_first",
        sub(X, add(_S, _REST)),
        _less_shift_first,
        _takes_off_a_shift,
        examples=(lambda d: _log_normaliser(d, True), lambda d: _log_normaliser(d, False)),
        near=(_no_shift,),
    ),
    row("exp_where", Apply(ops.WHERE, (_MASK, exp(X), ZERO)), _masked),
    row(
        "exp_times_mask",
        mul(exp(X), Apply(ops.CAST, (_MASK,), _is_mask)),
        _masked,
        examples=(lambda d: _weighted(d, d.mask),),
        near=(lambda d: _weighted(d, d.input),),
    ),
)
