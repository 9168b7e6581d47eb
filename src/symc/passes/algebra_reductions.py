"""Rows on reductions: merged, narrowed to what varies, moved below what only reorders.

`max`, `min`, `any`, `all` and integer sums and products have one value in every order, so those
rows keep every bit; a sum of floats keeps its tree only where the order of its elements stays (a
reshape).  The others need `numerics="fast"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir import ops, term
from symc.ir.dims import Size, prove_le, size_product, symbol
from symc.ir.ops.attributes import integers
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, I64
from symc.passes.draw import Draw
from symc.passes.guards import beneath, on_floats
from symc.passes.pattern import Apply, Hole, Match, Rule, RuleSet, Sample

X = Hole("x")

# Reductions of which any order of combination gives the same bits, on every dtype.
EXACT: Final = (ops.MAX, ops.MIN, ops.ANY, ops.ALL)
SUMS: Final = (ops.SUM, ops.PROD)


def _reduced(m: Match) -> tuple[int, ...]:
    return integers(m.node.attrs, "axes")


def _integer(m: Match) -> bool:
    return m.root.type.dtype.kind in "iu"


# Reductions of reductions.


def _merged(m: Match) -> Term:
    first = integers(beneath(m).attrs, "axes")
    kept = [axis for axis in range(m["x"].rank) if axis not in first]
    axes = sorted({*first, *(kept[axis] for axis in _reduced(m))})
    return m.make(m.node.op, m["x"], axes=tuple(axes))


# Reductions of what is the same along an axis.


def _repeats(m: Match) -> list[int]:
    """The reduced axes along which a broadcast repeats one element."""
    inner = beneath(m)
    shape, given = inner.results[0].type.shape, inner.operands[0].type.shape
    placed = zip(integers(inner.attrs, "axes"), given, strict=True)
    varied = {axis for axis, size in placed if size == shape[axis]}
    return [axis for axis in _reduced(m) if axis not in varied]


def _has_repeats(m: Match) -> bool:
    """Whether some reduced axis only repeats, and none of those is empty."""
    shape = m.node.operands[0].type.shape
    repeats = _repeats(m)
    return bool(repeats) and all(prove_le(1, shape[axis]) for axis in repeats)


def _some_repeats(m: Match) -> bool:
    return bool(_repeats(m))


def _integer_repeats(m: Match) -> bool:
    return _integer(m) and _some_repeats(m)


def _of_one(m: Match) -> Term:
    """The reduction over the axes that the operand of a broadcast has, spread out again."""
    axes = integers(beneath(m).attrs, "axes")
    reduced = _reduced(m)
    mine = tuple(i for i, axis in enumerate(axes) if axis in reduced)
    made = m.make(m.node.op, m["x"], axes=mine) if mine else m["x"]
    kept = [axis for axis in range(m.node.operands[0].type.rank) if axis not in reduced]
    return made.broadcast(m.root.type.shape, [kept.index(a) for a in axes if a not in reduced])


def _times_count(m: Match) -> Term:
    """The sum of equal elements as a product with their number."""
    shape = m.node.operands[0].type.shape
    count = size_product(tuple(shape[axis] for axis in _repeats(m)))
    made = _of_one(m)
    if isinstance(count, int):
        return made * m.constant(count)
    number = m.make(ops.SIZE, size=count).cast(made.dtype)
    return made * number.broadcast(made.shape, ())


# Reductions of views.


def _keeps_order(m: Match) -> bool:
    """Whether the axes that a reduction leaves of a permutation are in the operand's order."""
    order, reduced = integers(beneath(m).attrs, "axes"), _reduced(m)
    kept = [axis for i, axis in enumerate(order) if i not in reduced]
    return kept == sorted(kept)


def _sums_in_order(m: Match) -> bool:
    order = integers(beneath(m).attrs, "axes")
    summed = [order[axis] for axis in _reduced(m)]
    return _keeps_order(m) and (_integer(m) or summed == sorted(summed))


def _of_permuted(m: Match) -> Term:
    order = integers(beneath(m).attrs, "axes")
    return m.make(m.node.op, m["x"], axes=tuple(sorted(order[axis] for axis in _reduced(m))))


# Axes of a shape and of a reshape of it that hold the same elements, run by run.
Runs = list[tuple[range, range]]


def runs(source: Sequence[Size], target: Sequence[Size]) -> Runs | None:
    """Shortest runs of axes of two shapes with equal numbers of elements; None when unknown.

    Trailing axes of size 1 are left out.
    """
    found: Runs = []
    i = j = 0
    while i < len(source) and j < len(target):
        first, second = i, j
        left, right = source[i], target[j]
        i, j = i + 1, j + 1
        while left != right:
            if i < len(source) and (left == 1 or (right != 1 and prove_le(left, right))):
                left, i = left * source[i], i + 1
            elif j < len(target) and (right == 1 or prove_le(right, left)):
                right, j = right * target[j], j + 1
            else:
                return None
        found.append((range(first, i), range(second, j)))
    rest = (*source[i:], *target[j:])
    return found if all(size == 1 for size in rest) else None


def _reduced_runs(m: Match) -> list[int] | None:
    """The axes of a reshape's operand that a reduction reduces; None when it cuts a run."""
    shape, reduced = m.node.operands[0].type.shape, _reduced(m)
    found = runs(m["x"].shape, shape)
    if found is None:
        return None
    axes: list[int] = []
    for ours, theirs in found:
        inside = [axis in reduced or shape[axis] == 1 for axis in theirs]
        if any(axis in reduced for axis in theirs):
            if not all(inside):
                return None
            axes += ours
    return axes


def _of_reshaped(m: Match) -> Term:
    axes = _reduced_runs(m)
    assert axes is not None
    made = m.make(m.node.op, m["x"], axes=tuple(axes)) if axes else m["x"]
    return made.reshape(m.root.type.shape)


def _whole_runs(m: Match) -> bool:
    return bool(_reduced_runs(m))


def _single(m: Match) -> bool:
    """Whether only axes of size 1 are reduced."""
    shape = m.node.operands[0].type.shape
    return all(shape[axis] == 1 for axis in _reduced(m))


# Instances.


def _twice(first: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        x = term.make(first, d.input((2, 3, 4), dtype), axes=d.axes(3))
        return term.make(first, x, axes=d.axes(x.rank)) if x.rank else x

    return sample


def _of_different(d: Draw) -> Term:
    return term.make(ops.MAX, term.make(ops.MIN, d.input((2, 3, 4)), axes=(0,)), axes=(0,))


def _spread(op: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        m = d.size()
        x = d.input((m, 1) if d.flip() else (m, 3), dtype)
        return term.make(op, x.broadcast((m, 2, 3), (0, 2)), axes=(1,) if d.flip() else (1, 2))

    return sample


def _spread_elsewhere(op: Op, dtype: np.dtype | None = None) -> Sample:
    return lambda d: term.make(op, d.input((4, 3), dtype).broadcast((4, 2, 3), (0, 2)), axes=(2,))


def _spread_unknown(d: Draw) -> Term:
    """Along an axis that may be empty."""
    return term.make(ops.ANY, d.mask((4,)).broadcast((4, symbol("n")), (0,)), axes=(1,))


def _permuted(op: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        x = term.make(ops.PERMUTE, d.input((2, 3, 4), dtype), axes=d.permutation(3))
        return term.make(op, x, axes=(0, 1, 2) if d.flip() else (1, 2))

    return sample


def _transposed(op: Op, dtype: np.dtype | None = None) -> Sample:
    return lambda d: term.make(op, d.input((2, 3), dtype).permute((1, 0)), axes=(0, 1))


def _reordered(op: Op, dtype: np.dtype | None = None) -> Sample:
    """A permutation that is seen in the axes that are left."""
    return lambda d: term.make(op, d.input((2, 3, 4), dtype).permute((2, 1, 0)), axes=(1,))


def _ordered(op: Op) -> Sample:
    return lambda d: term.make(op, d.input((2, 3, d.size())).permute((0, 2, 1)), axes=(2,))


def _reshaped(op: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        n = d.size()
        x = d.input((n, 2, 3, 4), dtype).reshape((n, 6, 1, 2, 2))
        return term.make(op, x, axes=d.choose([(1,), (3, 4), (0, 1, 2, 3, 4), (1, 2)]))

    return sample


def _half_a_run(op: Op, dtype: np.dtype | None = None) -> Sample:
    return lambda d: term.make(op, d.input((4, 3), dtype).reshape((2, 2, 3)), axes=(1,))


def _unit(op: Op, dtype: np.dtype | None = None) -> Sample:
    return lambda d: term.make(op, d.input((d.size(), 1, 3), dtype), axes=(1,))


def _mask(op: Op) -> np.dtype | None:
    return BOOL if op in (ops.ANY, ops.ALL) else None


def _exact(op: Op) -> tuple[Rule, ...]:
    """The rows that hold for a reduction which has one value in every order."""
    name, kind = op.name, _mask(op)
    return (
        Rule(
            f"{name}_of_{name}",
            Apply(op, (Apply(op, (X,)),)),
            _merged,
            examples=(_twice(op, kind),),
            near=(_of_different,),
        ),
        Rule(
            f"{name}_of_broadcast",
            Apply(op, (Apply(ops.BROADCAST, (X,)),)),
            _of_one,
            guard=_has_repeats,
            examples=(_spread(op, kind),),
            near=(_spread_elsewhere(op, kind), _spread_unknown),
        ),
        Rule(
            f"{name}_of_permute",
            Apply(op, (Apply(ops.PERMUTE, (X,)),)),
            _of_permuted,
            guard=_keeps_order,
            examples=(_permuted(op, kind),),
            near=(_reordered(op, kind),),
        ),
    )


def _sum_rows(op: Op) -> tuple[Rule, ...]:
    """The same for sums and products: exact on integers, with a licence on floats."""
    name, nested = op.name, Apply(op, (Apply(op, (X,)),))
    return (
        Rule(
            f"{name}_of_{name}_integer",
            nested,
            _merged,
            guard=_integer,
            examples=(_twice(op, I64),),
        ),
        Rule(f"{name}_of_{name}", nested, _merged, "reassoc", examples=(_twice(op),)),
        Rule(
            f"{name}_of_permute",
            Apply(op, (Apply(ops.PERMUTE, (X,)),)),
            _of_permuted,
            guard=_sums_in_order,
            examples=(_ordered(op), _permuted(op, I64), _transposed(op, I64)),
            near=(_transposed(op), _reordered(op), _reordered(op, I64)),
        ),
    )


def _views(op: Op) -> tuple[Rule, ...]:
    """Rows on reshapes; they keep the order of the elements."""
    kind = _mask(op)
    return (
        Rule(
            f"{op.name}_of_reshape",
            Apply(op, (Apply(ops.RESHAPE, (X,)),)),
            _of_reshaped,
            guard=_whole_runs,
            examples=(_reshaped(op, kind),),
            near=(_half_a_run(op, kind),),
        ),
    )


def _of_one_element(op: Op) -> Rule:
    kind = _mask(op)
    return Rule(
        f"{op.name}_of_one",
        Apply(op, (X,)),
        lambda m: m["x"].reshape(m.root.type.shape),
        guard=_single,
        examples=(_unit(op, kind),),
        near=(_half_a_run(op, kind),),
    )


def _of_neg(name: str, op: Op, other: Op, licence: str | None, kind: np.dtype | None) -> Rule:
    """op(-x) as -other(x)."""
    return Rule(
        name,
        Apply(op, (Apply(ops.NEG, (X,)),)),
        lambda m: -m.make(other, m["x"], axes=_reduced(m)),
        licence,
        _integer if kind is not None else on_floats,
        (lambda d: term.make(op, -d.input((3, d.size()), kind), axes=(0,)),),
    )


def _of_not(op: Op, other: Op) -> Rule:
    return Rule(
        f"{op.name}_of_not",
        Apply(op, (Apply(ops.NOT, (X,)),)),
        lambda m: ~m.make(other, m["x"], axes=_reduced(m)),
        examples=(lambda d: term.make(op, ~d.mask((3, d.size())), axes=(0,)),),
    )


_BROADCAST: Final = Apply(ops.SUM, (Apply(ops.BROADCAST, (X,)),))

RULES = RuleSet(
    (
        *(row for op in EXACT for row in _exact(op)),
        *(row for op in SUMS for row in _sum_rows(op)),
        *(row for op in (*EXACT, *SUMS, ops.ARGMAX, ops.ARGMIN) for row in _views(op)),
        *map(_of_one_element, (*EXACT, *SUMS)),
        Rule(
            "sum_of_broadcast_integer",
            _BROADCAST,
            _times_count,
            guard=_integer_repeats,
            examples=(_spread(ops.SUM, I64),),
            near=(_spread_elsewhere(ops.SUM, I64),),
        ),
        Rule(
            "sum_of_broadcast",
            _BROADCAST,
            _times_count,
            "reassoc",
            _some_repeats,
            (_spread(ops.SUM),),
            (_spread_elsewhere(ops.SUM),),
        ),
        _of_neg("max_of_neg", ops.MAX, ops.MIN, None, None),
        _of_neg("min_of_neg", ops.MIN, ops.MAX, None, None),
        _of_neg("sum_of_neg", ops.SUM, ops.SUM, "no_signed_zero", None),
        _of_neg("sum_of_neg_integer", ops.SUM, ops.SUM, None, I64),
        _of_not(ops.ANY, ops.ALL),
        _of_not(ops.ALL, ops.ANY),
    )
)
