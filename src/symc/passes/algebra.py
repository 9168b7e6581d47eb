"""Algebraic simplification.

before: any tensor function.  after: identities are gone and chains of views are merged.  Rows
without a licence keep every bit, on every float and integer; the others need `numerics="fast"`.
"""

from __future__ import annotations

from typing import Final

from symc.ir import ops
from symc.ir.core import Function, Node
from symc.ir.ops.attributes import integers, sizes
from symc.ir.ops.record import Op
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes import (
    algebra_arithmetic,
    algebra_dots,
    algebra_reductions,
    algebra_scatter,
    algebra_selections,
    algebra_views,
)
from symc.passes.guards import beneath, on_floats, on_integers
from symc.passes.pattern import Apply, Const, Hole, Match, Pattern, Rule, RuleSet
from symc.passes.rewrite import Fired, rewrite
from symc.passes.uniform import scalar_constant

X = Hole("x")
Y = Hole("y")
C = Hole("c")


def _binary(op: Op, left: Pattern, right: Pattern) -> Apply:
    return Apply(op, (left, right))


def _x(m: Match) -> Term:
    return m["x"]


def _zeros(m: Match) -> Term:
    return m.constant(0)


def _same_type(m: Match) -> bool:
    return m.holes["x"].type == m.root.type


def _axes(node: Node) -> tuple[int, ...]:
    return integers(node.attrs, "axes")


def _merge_broadcasts(m: Match) -> Term:
    outer = _axes(m.node)
    axes = tuple(outer[axis] for axis in _axes(beneath(m)))
    return m.make(ops.BROADCAST, m["x"], shape=m.root.type.shape, axes=axes)


def _merge_permutations(m: Match) -> Term:
    inner = _axes(beneath(m))
    return m.make(ops.PERMUTE, m["x"], axes=tuple(inner[axis] for axis in _axes(m.node)))


def _permute_of_broadcast(m: Match) -> Term:
    place = {old: new for new, old in enumerate(_axes(m.node))}
    axes = [place[axis] for axis in _axes(beneath(m))]
    order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    x = m["x"]
    if order != tuple(range(len(axes))):
        x = m.make(ops.PERMUTE, x, axes=order)
    return m.make(ops.BROADCAST, x, shape=m.root.type.shape, axes=tuple(sorted(axes)))


def _is_identity_permutation(m: Match) -> bool:
    axes = _axes(m.node)
    return axes == tuple(range(len(axes)))


def _merge_slices(m: Match) -> Term:
    inner, outer = beneath(m).attrs, m.node.attrs
    strides = integers(inner, "steps")
    begins = zip(sizes(inner, "starts"), strides, sizes(outer, "starts"), strict=True)
    starts = tuple(first + second * stride for first, stride, second in begins)
    steps = tuple(p * q for p, q in zip(strides, integers(outer, "steps"), strict=True))
    return m.make(ops.SLICE, m["x"], starts=starts, sizes=outer["sizes"], steps=steps)


def _is_whole_slice(m: Match) -> bool:
    """From 0, as many as there are: by steps of 1, then, since no slice leaves its operand."""
    return _same_type(m) and all(start == 0 for start in sizes(m.node.attrs, "starts"))


def _knows(node: Node) -> bool:
    """Whether the condition of a selection is a constant."""
    return scalar_constant(node.operands[0]) is not None


RULES = RuleSet(
    (
        Rule("add_minus_zero", _binary(ops.ADD, X, Const(-0.0)), _x, guard=on_floats),
        Rule("add_zero_integer", _binary(ops.ADD, X, Const(0)), _x, guard=on_integers),
        Rule("add_zero", _binary(ops.ADD, X, Const(0.0)), _x, "no_signed_zero"),
        Rule("sub_zero", _binary(ops.SUB, X, Const(0.0)), _x),
        Rule("mul_one", _binary(ops.MUL, X, Const(1.0)), _x),
        Rule("div_one", _binary(ops.DIV, X, Const(1.0)), _x),
        Rule("mul_zero_integer", _binary(ops.MUL, X, Const(0)), _zeros, guard=on_integers),
        Rule("mul_zero", _binary(ops.MUL, X, Const(0.0)), _zeros, "no_nan"),
        Rule("sub_self_integer", _binary(ops.SUB, X, X), _zeros, guard=on_integers),
        Rule("sub_self", _binary(ops.SUB, X, X), _zeros, "no_nan"),
        Rule("mul_minus_one", _binary(ops.MUL, X, Const(-1.0)), lambda m: m.make(ops.NEG, m["x"])),
        Rule("neg_neg", Apply(ops.NEG, (Apply(ops.NEG, (X,)),)), _x),
        Rule("not_not", Apply(ops.NOT, (Apply(ops.NOT, (X,)),)), _x),
        Rule("abs_abs", Apply(ops.ABS, (Apply(ops.ABS, (X,)),)), lambda m: m.make(ops.ABS, m["x"])),
        Rule("abs_neg", Apply(ops.ABS, (Apply(ops.NEG, (X,)),)), lambda m: m.make(ops.ABS, m["x"])),
        Rule(
            "add_neg",
            _binary(ops.ADD, X, Apply(ops.NEG, (Y,))),
            lambda m: m.make(ops.SUB, m["x"], m["y"]),
        ),
        Rule(
            "sub_neg",
            _binary(ops.SUB, X, Apply(ops.NEG, (Y,))),
            lambda m: m.make(ops.ADD, m["x"], m["y"]),
        ),
        Rule(
            "mul_neg_neg",
            _binary(ops.MUL, Apply(ops.NEG, (X,)), Apply(ops.NEG, (Y,))),
            lambda m: m.make(ops.MUL, m["x"], m["y"]),
        ),
        Rule("scale_one", _binary(ops.SCALE, X, Const(1.0)), _x, "no_signed_zero"),
        Rule("max_self", _binary(ops.MAXIMUM, X, X), _x),
        Rule("min_self", _binary(ops.MINIMUM, X, X), _x),
        Rule("where_same", Apply(ops.WHERE, (C, X, X)), _x),
        Rule("where_true", Apply(ops.WHERE, (Const(1), X, Y), attrs=_knows), _x),
        Rule("where_false", Apply(ops.WHERE, (Const(0), Y, X), attrs=_knows), _x),
        Rule("cast_same", Apply(ops.CAST, (X,)), _x, guard=_same_type),
        Rule("broadcast_same", Apply(ops.BROADCAST, (X,)), _x, guard=_same_type),
        Rule("reshape_same", Apply(ops.RESHAPE, (X,)), _x, guard=_same_type),
        Rule("permute_same", Apply(ops.PERMUTE, (X,)), _x, guard=_is_identity_permutation),
        Rule(
            "slice_whole",
            Apply(ops.SLICE, (X,)),
            _x,
            guard=_is_whole_slice,
            near=(lambda d: d.input((4,)).slice((3,), (4,), (-1,)),),
        ),
        Rule(
            "broadcast_broadcast",
            Apply(ops.BROADCAST, (Apply(ops.BROADCAST, (X,)),)),
            _merge_broadcasts,
        ),
        Rule(
            "permute_permute", Apply(ops.PERMUTE, (Apply(ops.PERMUTE, (X,)),)), _merge_permutations
        ),
        Rule(
            "permute_broadcast",
            Apply(ops.PERMUTE, (Apply(ops.BROADCAST, (X,)),)),
            _permute_of_broadcast,
        ),
        Rule(
            "reshape_reshape",
            Apply(ops.RESHAPE, (Apply(ops.RESHAPE, (X,)),)),
            lambda m: m.make(ops.RESHAPE, m["x"], shape=m.root.type.shape),
        ),
        Rule("slice_slice", Apply(ops.SLICE, (Apply(ops.SLICE, (X,)),)), _merge_slices),
    )
)


# All rows; a row that comes first is tried first.
TABLES: Final = (
    RULES,
    algebra_arithmetic.RULES,
    algebra_selections.RULES,
    algebra_views.RULES,
    algebra_reductions.RULES,
    algebra_scatter.RULES,
    algebra_dots.RULES,
)
_ALL: Final = RuleSet(tuple(row for table in TABLES for row in table.rules))


def run(function: Function, options: Options, fired: Fired | None = None) -> Function:
    """Apply the tables until nothing fires."""
    return rewrite(function, _ALL, options, fired)
