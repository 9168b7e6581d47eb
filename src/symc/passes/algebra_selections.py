"""Rows on selections: conditions that are joined, selections that are logic, work on two numbers.

Rows without a licence keep every bit.  Selections with the same condition one in the other, and by
a negation, are rows of `algebra_arithmetic.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Node, Value
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL
from symc.passes.draw import Draw
from symc.passes.guards import on_floats
from symc.passes.pattern import Apply, Const, Hole, Match, Pattern, Rule, RuleSet, Sample
from symc.passes.uniform import scalar_constant

X, Y, Z, C, D = (Hole(name) for name in "xyzcd")

# Ops that cost much more than a selection.
DEAR: Final = (
    ops.EXP,
    ops.EXP2,
    ops.EXPM1,
    ops.LOG,
    ops.LOG1P,
    ops.LOG2,
    ops.LOG10,
    ops.TANH,
    ops.SIGMOID,
    ops.SOFTPLUS,
    ops.SQRT,
    ops.SIN,
    ops.COS,
)


def _where(*operands: Pattern, attrs: Callable[[Node], bool] | None = None) -> Apply:
    return Apply(ops.WHERE, operands, attrs=attrs)


def _is_where(value: Value) -> bool:
    return value.node is not None and value.node.op is ops.WHERE


# Asked before the search for a match: selections are many, and few are nested or of bools.


def _selects_first(node: Node) -> bool:
    return _is_where(node.operands[1])


def _selects_second(node: Node) -> bool:
    return _is_where(node.operands[2])


def _is_bool(node: Node) -> bool:
    return node.results[0].type.dtype == BOOL


def _numbers(m: Match) -> bool:
    """Whether a selection is between two numbers."""
    return all(scalar_constant(m.holes[name]) is not None for name in "xy")


def _three_numbers(m: Match) -> bool:
    return _numbers(m) and scalar_constant(m.holes["z"]) is not None


def _on_each(m: Match) -> Term:
    """The root's op on both sides of a selection."""
    sides = (m.make(m.node.op, m[name]) for name in "xy")
    return m.make(ops.WHERE, m["c"], *sides)


def _on_each_with(m: Match) -> Term:
    sides = (m.make(m.node.op, m[name], m["z"]) for name in "xy")
    return m.make(ops.WHERE, m["c"], *sides)


def _not(m: Match) -> Term:
    return m.make(ops.NOT, m["c"])


# Instances.


def _mask(d: Draw, like: Term) -> Term:
    return d.mask(like.shape)


def _two_numbers(op: Op) -> Sample:
    def sample(d: Draw) -> Term:
        like = d.input(d.shape())
        chosen = term.make(
            ops.WHERE,
            _mask(d, like),
            d.constant(d.number(), like),
            d.constant(d.number(), like),
        )
        return term.make(op, chosen)

    return sample


def _one_number(op: Op) -> Sample:
    def sample(d: Draw) -> Term:
        like = d.input(d.shape())
        return term.make(
            op, term.make(ops.WHERE, _mask(d, like), like, d.constant(d.number(), like))
        )

    return sample


def _by_number(op: Op, *, constant: bool = True) -> Sample:
    def sample(d: Draw) -> Term:
        like = d.input(d.shape())
        sides = (d.constant(d.number(), like) for _ in range(2))
        chosen = term.make(ops.WHERE, _mask(d, like), *sides)
        return term.make(op, chosen, d.constant(d.number(), like) if constant else like)

    return sample


def _nested(first: bool) -> Sample:
    """A selection in one side of another, with one value on the same side of both."""

    def sample(d: Draw) -> Term:
        x = d.input(d.shape())
        y, c, e = d.input(x.shape), _mask(d, x), _mask(d, x)
        inner = term.make(ops.WHERE, e, x, y)
        return term.make(ops.WHERE, c, inner, y) if first else term.make(ops.WHERE, c, x, inner)

    return sample


def _logic(truth: bool, *, first: bool) -> Sample:
    def sample(d: Draw) -> Term:
        c = d.mask(d.shape())
        x, number = d.mask(c.shape), term.full(c.shape, truth, BOOL)
        return term.make(ops.WHERE, c, number, x) if first else term.make(ops.WHERE, c, x, number)

    return sample


def _of_integers(d: Draw) -> Term:
    """1 is True among bools alone."""
    x = d.input(d.shape(), np.dtype(np.int64))
    return term.make(ops.WHERE, _mask(d, x), d.constant(1, x), x)


def _work(op: Op) -> Rule:
    """op(where(c, 1, 2)) as where(c, op(1), op(2)), which is folded."""
    return Rule(
        f"{op.name}_of_numbers",
        Apply(op, (_where(C, X, Y),)),
        _on_each,
        guard=_numbers,
        examples=(_two_numbers(op),),
        near=(_one_number(op),),
    )


def _arithmetic(op: Op) -> Rule:
    return Rule(
        f"{op.name}_of_numbers",
        Apply(op, (_where(C, X, Y), Z)),
        _on_each_with,
        guard=_three_numbers,
        examples=(_by_number(op),),
        near=(_by_number(op, constant=False),),
    )


RULES = RuleSet(
    (
        Rule(
            "where_and",
            _where(C, _where(D, X, Y), Y, attrs=_selects_first),
            lambda m: m.make(ops.WHERE, m.make(ops.AND, m["c"], m["d"]), m["x"], m["y"]),
            examples=(_nested(first=True),),
        ),
        Rule(
            "where_or",
            _where(C, X, _where(D, X, Y), attrs=_selects_second),
            lambda m: m.make(ops.WHERE, m.make(ops.OR, m["c"], m["d"]), m["x"], m["y"]),
            examples=(_nested(first=False),),
        ),
        Rule(
            "where_is_or",
            _where(C, Const(1), X, attrs=_is_bool),
            lambda m: m.make(ops.OR, m["c"], m["x"]),
            examples=(_logic(True, first=True),),
            near=(_of_integers,),
        ),
        Rule(
            "where_is_and",
            _where(C, X, Const(0), attrs=_is_bool),
            lambda m: m.make(ops.AND, m["c"], m["x"]),
            examples=(_logic(False, first=False),),
        ),
        Rule(
            "where_is_not_and",
            _where(C, Const(0), X, attrs=_is_bool),
            lambda m: m.make(ops.AND, _not(m), m["x"]),
            examples=(_logic(False, first=True),),
        ),
        Rule(
            "where_is_not_or",
            _where(C, X, Const(1), attrs=_is_bool),
            lambda m: m.make(ops.OR, _not(m), m["x"]),
            examples=(_logic(True, first=False),),
        ),
        *map(_work, DEAR),
        *map(_arithmetic, (ops.ADD, ops.SUB, ops.MUL, ops.DIV)),
        Rule(
            "mul_where_zero",
            Apply(ops.MUL, (X, _where(C, Const(0.0), Y))),
            lambda m: m.make(ops.WHERE, m["c"], m.constant(0.0), m.make(ops.MUL, m["x"], m["y"])),
            "no_nan",
            on_floats,
        ),
        Rule(
            "mul_where_else_zero",
            Apply(ops.MUL, (X, _where(C, Y, Const(0.0)))),
            lambda m: m.make(ops.WHERE, m["c"], m.make(ops.MUL, m["x"], m["y"]), m.constant(0.0)),
            "no_nan",
            on_floats,
        ),
        Rule(
            "div_where_zero",
            Apply(ops.DIV, (_where(C, Const(0.0), Y), X)),
            lambda m: m.make(ops.WHERE, m["c"], m.constant(0.0), m.make(ops.DIV, m["y"], m["x"])),
            "no_nan",
            on_floats,
        ),
        Rule(
            "div_where_else_zero",
            Apply(ops.DIV, (_where(C, Y, Const(0.0)), X)),
            lambda m: m.make(ops.WHERE, m["c"], m.make(ops.DIV, m["y"], m["x"]), m.constant(0.0)),
            "no_nan",
            on_floats,
        ),
    )
)
