"""Rows on contractions and on sums of products: what is not part of the sum moves out of it.

Views of operands become axes of the `dot` (a transposed matrix, a repeated row); a sign leaves it;
a product with ones is a sum.  The licence is `contraction`, since an implementation may sum another
way over other axes; a chain keeps its bits.  Factors leave sums, and sums enter products, with
`numerics="fast"` alone: they change which numbers are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from symc.ir import ops, term
from symc.ir.ops.attributes import integers
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind, Op
from symc.ir.options import CONTRACTION
from symc.ir.term import Term
from symc.ir.types import I64
from symc.passes.algebra_reductions import Runs, runs
from symc.passes.draw import Draw
from symc.passes.factors import Factor, factor
from symc.passes.guards import beneath, on_floats
from symc.passes.pattern import Apply, Const, Hole, Match, Rule, RuleSet, Sample

X, Y = Hole("x"), Hole("y")


def _reduced(m: Match) -> tuple[int, ...]:
    return integers(m.node.attrs, "axes")


def _integer(m: Match) -> bool:
    return m.root.type.dtype.kind in "iu"


def _axes(m: Match) -> DotAxes:
    left, right = m.node.operands
    return dot_axes(left.type.rank, right.type.rank, m.node.attrs)


# Views of operands.


def _result_places(axes: DotAxes) -> tuple[list[int], list[int]]:
    """Per operand the number of each axis: those of the result, then the contracted ones."""
    free = len(axes.lhs_batch)
    after = free + len(axes.lhs_free)
    end = after + len(axes.rhs_free)
    left = {axis: i for i, axis in enumerate((*axes.lhs_batch, *axes.lhs_free))}
    left |= {axis: end + i for i, axis in enumerate(axes.lhs_contract)}
    right = {axis: i for i, axis in enumerate(axes.rhs_batch)}
    right |= {axis: after + i for i, axis in enumerate(axes.rhs_free)}
    right |= {axis: end + i for i, axis in enumerate(axes.rhs_contract)}
    return [left[i] for i in range(len(left))], [right[i] for i in range(len(right))]


def _seen_through(m: Match) -> tuple[Factor, Factor] | None:
    """Both operands below their views; None when there is nothing to gain, or a term is lost."""
    left, right = (factor(operand) for operand in m.node.operands)
    if not _moves(left) and not _moves(right):
        return None
    axes = _axes(m)
    for each, contract in ((left, axes.lhs_contract), (right, axes.rhs_contract)):
        if each.steps or any(axis not in each.axes for axis in contract):
            return None
    return left, right


def _moves(each: Factor) -> bool:
    """Whether a permutation or a repetition lies on the way to the base of a factor."""
    return any(
        value.node is not None and value.node.op in (ops.PERMUTE, ops.BROADCAST)
        for value in each.path[:-1]
    )


def _views_of_operands(m: Match) -> bool:
    return _seen_through(m) is not None


def _through_views(m: Match) -> Term:
    """The contraction of what the operands are views of."""
    found = _seen_through(m)
    assert found is not None
    sides = [
        [places[axis] for axis in each.axes]
        for each, places in zip(found, _result_places(_axes(m)), strict=True)
    ]
    left, right = sides
    rank = m.root.type.rank
    shared = sorted(set(left) & set(right))
    batch = [axis for axis in shared if axis < rank]
    terms = [axis for axis in shared if axis >= rank]
    axes = DotAxes(
        tuple(left.index(axis) for axis in batch),
        tuple(right.index(axis) for axis in batch),
        tuple(left.index(axis) for axis in terms),
        tuple(right.index(axis) for axis in terms),
        (),
        (),
    )
    operands = tuple(each.term() for each in found)
    made = term.apply_op(ops.DOT, operands, axes.attrs(str(m.node.attrs["order"])))
    order = [*batch, *(a for a in left if a not in shared), *(a for a in right if a not in shared)]
    made = made.permute(sorted(range(len(order)), key=order.__getitem__))
    return made.broadcast(m.root.type.shape, sorted(order))


def _merged_free_axes(m: Match, side: int) -> Runs | None:
    """The runs of an operand that merges axes of a view, when only free axes are merged."""
    reshape = m.node.operands[side].node
    assert reshape is not None
    source = reshape.operands[0]
    below = source.node
    if below is None or below.op.kind is not Kind.VIEW or below.op is ops.RESHAPE:
        return None
    found = runs(source.type.shape, m.node.operands[side].type.shape)
    axes = _axes(m)
    free = axes.lhs_free if side == 0 else axes.rhs_free
    if found is None or sum(len(theirs) for _, theirs in found) < m.node.operands[side].type.rank:
        return None
    for ours, theirs in found:
        if len(theirs) > 1 or (len(ours) > 1 and theirs[0] not in free):
            return None
    return found if sum(len(ours) for ours, _ in found) == source.type.rank else None


def _unmerged(m: Match, side: int) -> Term:
    """The contraction of the operand as it was, merged afterwards."""
    found = _merged_free_axes(m, side)
    assert found is not None
    axes = _axes(m)
    place = {theirs[0]: ours[0] for ours, theirs in found}
    name = "lhs" if side == 0 else "rhs"
    both = (axes.lhs_batch, axes.lhs_contract) if side == 0 else (axes.rhs_batch, axes.rhs_contract)
    batch, contract = (tuple(place[axis] for axis in group) for group in both)
    attrs = {**m.node.attrs, f"{name}_batch": batch, f"{name}_contract": contract}
    operands = [Term(operand) for operand in m.node.operands]
    operands[side] = m["x"]
    return m.make(ops.DOT, *operands, **attrs).reshape(m.root.type.shape)


# Signs, scales and ones.


def _without(m: Match, side: int) -> Term:
    """The contraction with x in place of one operand."""
    operands = [Term(operand) for operand in m.node.operands]
    operands[side] = m["x"]
    return m.make(ops.DOT, *operands, **m.node.attrs)


def _any_order(m: Match) -> bool:
    return m.node.attrs["order"] == "any"


def _uniform(m: Match) -> bool:
    """Whether y is one number everywhere, constant or not."""
    return not factor(m.holes["y"]).axes


def _scaled_after(m: Match, side: int) -> Term:
    scale = factor(m.holes["y"]).term()
    below = m.node.operands[side].node
    assert below is not None
    return m.make(below.op, _without(m, side), scale.broadcast(m.root.type.shape, ()))


def _sum_of_other(m: Match, side: int) -> Term:
    """The sum of the operand that is not ones, spread out along the free axes of the ones."""
    axes = _axes(m)
    other = Term(m.node.operands[1 - side])
    contract = axes.rhs_contract if side == 0 else axes.lhs_contract
    kept = (*axes.rhs_batch, *axes.rhs_free) if side == 0 else (*axes.lhs_batch, *axes.lhs_free)
    left = [axis for axis in range(other.rank) if axis not in contract]
    made = other.sum(contract).permute([left.index(axis) for axis in kept])
    shared = len(axes.lhs_batch)
    first = shared if side == 1 else shared + len(axes.lhs_free)
    places = [*range(shared), *range(first, first + len(kept) - shared)]
    return made.broadcast(m.root.type.shape, places)


# Factors that are the same for all elements of a sum.


def _constant_factor(m: Match) -> bool:
    """Whether y is the same along every reduced axis, and x is not."""
    reduced = frozenset(_reduced(m))
    ours, theirs = (factor(m.holes[name]).axes for name in "xy")
    return reduced.isdisjoint(theirs) and not reduced.isdisjoint(ours)


def _outside(m: Match) -> Term:
    below, product = beneath(m), m.node.operands[0]
    reduced = _reduced(m)
    kept = [axis for axis in range(product.type.rank) if axis not in reduced]
    total = m.make(ops.SUM, m["x"], axes=reduced)
    return m.make(below.op, total, factor(m.holes["y"]).over(kept, product))


def _integer_factor(m: Match) -> bool:
    return _integer(m) and _constant_factor(m)


def _float_factor(m: Match) -> bool:
    return on_floats(m) and _constant_factor(m)


# The sum of a product of matrices.


def _sums_free_axes(m: Match) -> bool:
    dot = beneath(m)
    shared = len(integers(dot.attrs, "lhs_batch"))
    return all(axis >= shared for axis in _reduced(m))


def _dot_of_sums(m: Match) -> Term:
    """The product of sums: sum(A @ B) over rows is sum(A) @ B."""
    dot = beneath(m)
    axes = dot_axes(m["x"].rank, m["y"].rank, dot.attrs)
    places = [*axes.lhs_batch, *axes.lhs_free], [*axes.rhs_batch, *axes.rhs_free]
    cut = len(places[0])
    shared = len(axes.lhs_batch)
    ours = [places[0][axis] for axis in _reduced(m) if axis < cut]
    theirs = [places[1][axis - cut + shared] for axis in _reduced(m) if axis >= cut]
    left, right = m["x"].sum(ours), m["y"].sum(theirs)

    def moved(kept: Sequence[int], gone: Sequence[int]) -> tuple[int, ...]:
        return tuple(axis - sum(other < axis for other in gone) for axis in kept)

    attrs = {
        "lhs_batch": moved(axes.lhs_batch, ours),
        "rhs_batch": moved(axes.rhs_batch, theirs),
        "lhs_contract": moved(axes.lhs_contract, ours),
        "rhs_contract": moved(axes.rhs_contract, theirs),
        "order": dot.attrs["order"],
    }
    if len(ours) == len(axes.lhs_free) and len(theirs) == len(axes.rhs_free):
        return _of_rows(left, right, dot_axes(left.rank, right.rank, attrs))
    return m.make(ops.DOT, left, right, **attrs)


def _of_rows(left: Term, right: Term, axes: DotAxes) -> Term:
    """A contraction without free axes as the sum that it is (see `contractions.py`)."""
    product = left.permute((*axes.lhs_batch, *axes.lhs_contract))
    product = product * right.permute((*axes.rhs_batch, *axes.rhs_contract))
    return product.sum(range(len(axes.lhs_batch), product.rank))


# Instances.


def _scaled(op: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        m, k = d.size(), d.size()
        x, y = d.input((m, k), dtype), d.input((m,) if d.flip() else (), dtype)
        return term.make(op, x, y.broadcast((m, k), range(y.rank))).sum((1,))

    return sample


def _weighted(op: Op, dtype: np.dtype | None = None) -> Sample:
    def sample(d: Draw) -> Term:
        m, k = d.size(), d.size()
        y = d.input((k,), dtype).broadcast((m, k), (1,))
        return term.make(op, d.input((m, k), dtype), y).sum((1,))

    return sample


def _product(d: Draw) -> Term:
    b, m, k, n = d.size(), d.size(), d.size(), d.size()
    attrs = DotAxes((0,), (1,), (2,), (2,), (), ()).attrs("any")
    return term.apply_op(ops.DOT, (d.input((b, m, k)), d.input((n, b, k))), attrs)


def _summed_product(*axes: int) -> Sample:
    return lambda d: _product(d).sum(axes)


def _scaled_rows(op: Op) -> tuple[Rule, ...]:
    """sum(x * y) as sum(x) * y for a y that is the same along the axes of the sum."""
    left = Apply(ops.SUM, (Apply(op, (X, Y)),))
    floats = Rule(
        f"sum_of_{op.name}",
        left,
        _outside,
        "reassoc",
        _float_factor,
        (_scaled(op),),
        (_weighted(op),),
    )
    if op is ops.DIV:
        return (floats,)
    integer = Rule(
        f"sum_of_{op.name}_integer",
        left,
        _outside,
        guard=_integer_factor,
        examples=(_scaled(op, I64),),
        near=(_weighted(op, I64),),
    )
    return (floats, integer)


def _matmul(x: Term, y: Term, order: str = "any") -> Term:
    attrs = DotAxes((), (), (x.rank - 1,), (0,), (), ()).attrs(order)
    return term.apply_op(ops.DOT, (x, y), attrs)


def _either(side: int, x: Term, y: Term, order: str = "any") -> Term:
    """x @ y, or y.T @ x.T, so that x is the operand of that side."""
    if side == 0:
        return _matmul(x, y, order)
    attrs = DotAxes((), (), (0,), (x.rank - 1,), (), ()).attrs(order)
    return term.apply_op(ops.DOT, (y, x), attrs)


def _transposed(d: Draw) -> Term:
    m, k, n = d.size(), d.size(), d.size()
    return _either(d.integer(0, 1), d.input((k, m)).permute((1, 0)), d.input((k, n)))


def _repeated(d: Draw) -> Term:
    """Weights repeated along the batch, or a row repeated."""
    b, m, k, n = d.size(), d.size(), d.size(), d.size()
    if d.flip():
        return _matmul(d.input((k,)).broadcast((m, k), (1,)), d.input((k, n)))
    attrs = DotAxes((0,), (0,), (2,), (1,), (), ()).attrs("any")
    weights = d.input((k, n)).broadcast((b, k, n), (1, 2))
    return term.apply_op(ops.DOT, (d.input((b, m, k)), weights), attrs)


def _repeated_terms(d: Draw) -> Term:
    return _matmul(d.input((3,)).broadcast((3, 4), (0,)), d.input((4, 2)))


def _merged(side: int, *, view: bool = True) -> Sample:
    def sample(d: Draw) -> Term:
        x = d.input((3, 2, 4))
        x = x.permute((1, 0, 2)) if view else x
        return _either(side, x.reshape((6, 4)), d.input((4, d.size())))

    return sample


def _stored_merge(side: int) -> Sample:
    return _merged(side, view=False)


def _with_factor(side: int, op: Op) -> Sample:
    def sample(d: Draw) -> Term:
        x = d.input((d.size(), 3))
        y = d.input(()).broadcast(x.shape, ())
        return _either(side, term.make(op, x, y), d.input((3, d.size())))

    return sample


def _with_rows(side: int, op: Op) -> Sample:
    def sample(d: Draw) -> Term:
        x = d.input((d.size(), 3))
        y = d.input(x.shape[:1]).broadcast(x.shape, (0,))
        return _either(side, term.make(op, x, y), d.input((3, 2)))

    return sample


def _negated(side: int, order: str = "any") -> Sample:
    return lambda d: _either(side, -d.input((d.size(), 3)), d.input((3, d.size())), order)


def _with_number(side: int, number: float, order: str = "any") -> Sample:
    def sample(d: Draw) -> Term:
        m, n = d.size(), d.size()
        return _either(side, term.full((m, 3), number, d.dtype), d.input((3, n)), order)

    return sample


def _other(side: int, pattern: Apply) -> Apply:
    """The pattern on one side, anything on the other."""
    return Apply(ops.DOT, (pattern, Hole("z")) if side == 0 else (Hole("z"), pattern))


def _side(side: int) -> tuple[Rule, ...]:
    """The rows on one operand of a contraction."""
    name = ("left", "right")[side]
    scaled = tuple(
        Rule(
            f"dot_{op.name}_{name}",
            _other(side, Apply(op, (X, Y))),
            lambda m: _scaled_after(m, side),
            "reassoc",
            _uniform,
            (_with_factor(side, op),),
            (_with_rows(side, op),),
        )
        for op in (ops.MUL, ops.DIV)
    )
    return (
        Rule(
            f"dot_merge_{name}",
            _other(side, Apply(ops.RESHAPE, (Apply(ops.PERMUTE, (Hole("w"),), name="x"),))),
            lambda m: _unmerged(m, side),
            CONTRACTION,
            lambda m: _merged_free_axes(m, side) is not None,
            (_merged(side),),
            (_stored_merge(side),),
        ),
        *scaled,
    )


def _signs_and_ones(side: int) -> tuple[Rule, ...]:
    """Rows on a negated operand, and on one of ones."""
    name = ("left", "right")[side]
    return (
        Rule(
            f"dot_neg_{name}",
            _other(side, Apply(ops.NEG, (X,))),
            lambda m: -_without(m, side),
            CONTRACTION,
            _any_order,
            (_negated(side),),
            (_negated(side, "chain"),),
        ),
        Rule(
            f"dot_ones_{name}",
            Apply(ops.DOT, (Const(1.0), Hole("z")) if side == 0 else (Hole("z"), Const(1.0))),
            lambda m: _sum_of_other(m, side),
            CONTRACTION,
            _any_order,
            (_with_number(side, 1.0),),
            (_with_number(side, 2.0), _with_number(side, 1.0, "chain")),
        ),
    )


# Rows that `contractions.py` has: they change the order of a sum, or the sign of a zero.
SIGNS_AND_ONES: Final = (*_signs_and_ones(0), *_signs_and_ones(1))

RULES = RuleSet(
    (
        Rule(
            "dot_views",
            Apply(ops.DOT, (X, Y)),
            _through_views,
            CONTRACTION,
            _views_of_operands,
            (_transposed, _repeated),
            (_repeated_terms,),
        ),
        *_side(0),
        *_side(1),
        *_scaled_rows(ops.MUL),
        *_scaled_rows(ops.DIV),
        Rule(
            "sum_of_dot",
            Apply(ops.SUM, (Apply(ops.DOT, (X, Y)),)),
            _dot_of_sums,
            "reassoc",
            _sums_free_axes,
            (_summed_product(1), _summed_product(2), _summed_product(1, 2)),
            (_summed_product(0), _summed_product(0, 2)),
        ),
    )
)
