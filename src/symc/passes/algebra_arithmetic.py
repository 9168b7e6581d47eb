"""Rows on elementwise arithmetic with constants: strength reduction, powers, casts, selections.

Rows without a licence keep every bit, on every float and integer; tables are joined in
`algebra.py`.  Not here, because measured to make no difference: `x * 2` as `x + x` (one
instruction either way; the product is the form that other rows look for).
"""

from __future__ import annotations

from math import frexp
from typing import Final

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Node, Value
from symc.ir.ops.attributes import dtype
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, F32, F64, I32, I64, is_float
from symc.passes.draw import Draw
from symc.passes.guards import on_floats
from symc.passes.pattern import Apply, Const, Hole, Match, Pattern, Rule, RuleSet, Sample
from symc.passes.uniform import scalar_constant

X, Y, Z, C, D = (Hole(name) for name in "xyzcd")

MOST: Final = 64  # the largest integer power that is multiplied out


def _number(m: Match, name: str) -> float | int | None:
    """The number that a hole is everywhere, or None."""
    found = scalar_constant(m.holes[name])
    return None if found is None else found.item()


def _integer(m: Match) -> bool:
    return m.root.type.dtype.kind in "iu"


def _bool(m: Match) -> bool:
    return m.holes["x"].type.dtype == BOOL


def _apply(op: Op, *operands: Pattern) -> Apply:
    return Apply(op, operands)


# Division and products by constants.


def _exact_reciprocal(m: Match) -> bool:
    """Whether dividing by the constant is multiplying by another: a power of two, not too small.

    One over the largest power is subnormal, and exact.
    """
    number = _number(m, "c")
    if number is None or abs(frexp(number)[0]) != 0.5:
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(1.0 / number).astype(m.root.type.dtype)))


def _any_reciprocal(m: Match) -> bool:
    number = _number(m, "c")
    if number is None or _exact_reciprocal(m):
        return False
    info = np.finfo(m.root.type.dtype)
    return bool(info.tiny <= abs(number) <= 1.0 / info.tiny)


def _times_reciprocal(m: Match) -> Term:
    number = _number(m, "c")
    assert number is not None
    return m.make(ops.MUL, m["x"], m.constant(1.0 / number))


def _two_constants(m: Match) -> bool:
    return _number(m, "c") is not None and _number(m, "d") is not None


def _two_integers(m: Match) -> bool:
    return _integer(m) and _two_constants(m)


def _merged(m: Match) -> Term:
    """x op c op d as x op (c op d)."""
    return m.make(m.node.op, m["x"], m.make(m.node.op, m["c"], m["d"]))


def _nested(op: Op) -> Apply:
    return _apply(op, _apply(op, X, C), D)


# Powers.


def _exponent(m: Match) -> float | int:
    number = _number(m, "c")
    assert number is not None
    return number


def _small_power(m: Match) -> bool:
    """Whether an integer is raised to a small constant power."""
    number = _number(m, "c")
    return _integer(m) and number is not None and 0 <= number <= MOST


def _whole_power(m: Match) -> bool:
    """Whether a float is raised to a whole or half power that squarings and a root give."""
    number = _number(m, "c")
    if number is None or not on_floats(m):
        return False
    return float(2 * number).is_integer() and 0 < abs(number) <= MOST


def _squarings(m: Match, count: int) -> Term:
    """x to a power of 1 or more, by squaring."""
    assert count > 0
    square, result = m["x"], None
    while True:
        if count & 1:
            result = square if result is None else m.make(ops.MUL, result, square)
        count >>= 1
        if not count:
            assert result is not None
            return result
        square = m.make(ops.MUL, square, square)


def _integer_power(m: Match) -> Term:
    number = int(_exponent(m))
    return m.constant(1) if number == 0 else _squarings(m, number)


def _float_power(m: Match) -> Term:
    number = float(_exponent(m))
    whole, half = divmod(abs(number), 1.0)
    made = _squarings(m, int(whole)) if whole else None
    if half:
        root = m.make(ops.SQRT, m["x"])
        made = root if made is None else m.make(ops.MUL, made, root)
    assert made is not None
    return made if number > 0 else m.make(ops.DIV, m.constant(1.0), made)


# Casts.

# What a cast to the second loses nothing from: the first.
LOSSLESS: Final = frozenset(
    {(BOOL, other) for other in (I32, I64, F32, F64)} | {(I32, I64), (I32, F64), (F32, F64)}
)


def _first_is_lossless(m: Match) -> bool:
    source = m.holes["x"].type.dtype
    between = m.node.operands[0].type.dtype
    return (source, between) in LOSSLESS


def _one_cast(m: Match) -> Term:
    return m["x"].cast(dtype(m.node.attrs))


# Selections and logic.


def _integers_below(m: Match) -> bool:
    return not is_float(m.holes["x"].type.dtype)


def _truth(m: Match) -> Term:
    return m.constant(1)


def _falsehood(m: Match) -> Term:
    return m.constant(0)


def _x(m: Match) -> Term:
    return m["x"]


def _swap(m: Match) -> Term:
    return m.make(ops.WHERE, m["c"], m["y"], m["x"])


def _is_where(value: Value) -> bool:
    return value.node is not None and value.node.op is ops.WHERE


# Asked before the search for a match: selections are many, and few are nested.


def _selects_first(node: Node) -> bool:
    return _is_where(node.operands[1])


def _selects_second(node: Node) -> bool:
    return _is_where(node.operands[2])


_NEGATED: Final = ((ops.LT, ops.GE), (ops.LE, ops.GT), (ops.GT, ops.LE), (ops.GE, ops.LT))


def _opposite(name: str, op: Op, other: Op) -> Rule:
    """not (x op y) as x other y: for floats only where NaN allows."""
    exact = op in (ops.EQ, ops.NE)
    return Rule(
        f"not_{name}",
        _apply(ops.NOT, _apply(op, X, Y)),
        lambda m: m.make(other, m["x"], m["y"]),
        guard=None if exact else _integers_below,
        examples=(lambda d: ~term.make(op, *_pair(d, d.dtype if exact else I64)),),
        near=() if exact else (lambda d: ~term.make(op, *_pair(d, d.dtype)),),
    )


def _pair(d: Draw, type: np.dtype) -> tuple[Term, Term]:
    shape = d.shape()
    return d.input(shape, type), d.input(shape, type)


def _same(name: str, op: Op, value: bool, *, exact: bool = True) -> Rule:
    """x op x, which is the same for every x (but NaN, when it is not `exact`)."""
    return Rule(
        f"{name}_self",
        _apply(op, X, X),
        _truth if value else _falsehood,
        guard=None if exact else _integers_below,
        examples=(lambda d: _twice(op, d.input(d.shape(), d.dtype if exact else I64)),),
        near=() if exact else (lambda d: _twice(op, d.input(d.shape())),),
    )


def _twice(op: Op, x: Term) -> Term:
    return term.make(op, x, x)


def _both(op: Op) -> Sample:
    return lambda d: _twice(op, d.mask(d.shape()))


# Instances.


def _by(op: Op, number: float, kind: np.dtype | None = None) -> Sample:
    """`op` of an input and a constant."""

    def sample(d: Draw) -> Term:
        x = d.input(d.shape(), kind)
        return term.make(op, x, d.constant(int(number) if x.dtype.kind == "i" else number, x))

    return sample


def _chain(op: Op, kind: np.dtype | None = None, *, inputs: tuple[int, ...] = (0,)) -> Sample:
    """`op` of an input and two constants, those at `inputs` inputs too."""

    def sample(d: Draw) -> Term:
        x = d.input(d.shape(), kind)
        parts = [d.input(x.shape, kind) if i in inputs else d.constant(3 + i, x) for i in range(3)]
        return term.make(op, term.make(op, parts[0], parts[1]), parts[2])

    return sample


def _casts(*kinds: np.dtype) -> Sample:
    """An input of the first dtype, cast to each of the others."""

    def sample(d: Draw) -> Term:
        x = d.input(d.shape(), kinds[0])
        for kind in kinds[1:]:
            x = term.make(ops.CAST, x, dtype=kind)
        return x

    return sample


def _masks(op: Op, value: bool) -> Sample:
    def sample(d: Draw) -> Term:
        x = d.mask(d.shape())
        return term.make(op, x, d.constant(value, x))

    return sample


def _integers(op: Op, value: int) -> Sample:
    return _by(op, value, I64)


def _chains(op: Op) -> tuple[Rule, Rule]:
    """x op c op d: exact on integers, with a licence on floats."""
    return (
        Rule(
            f"{op.name}_constants_integer",
            _nested(op),
            _merged,
            guard=_two_integers,
            examples=(_chain(op, I32), _chain(op, I64)),
            near=(_chain(op, I64, inputs=(0, 1)), _chain(op, I64, inputs=(0, 2))),
        ),
        Rule(
            f"{op.name}_constants",
            _nested(op),
            _merged,
            "reassoc",
            _two_constants,
            (_chain(op),),
            (_chain(op, inputs=(0, 1)), _chain(op, inputs=(0, 2))),
        ),
    )


def _absorbed(op: Op, value: bool, *, keeps: bool) -> Rule:
    """x op value, on masks: x itself, or the value."""
    return Rule(
        f"{op.name}_{str(value).lower()}",
        _apply(op, X, Const(value)),
        _x if keeps else (_truth if value else _falsehood),
        guard=_bool,
        examples=(_masks(op, value),),
        near=(_integers(op, int(value)),),
    )


def _again(op: Op) -> Rule:
    """An op that changes nothing the second time."""
    return Rule(f"{op.name}_{op.name}", _apply(op, _apply(op, X)), lambda m: m.make(op, m["x"]))


def _within(op: Op) -> Rule:
    """maximum(maximum(x, y), y)."""
    return Rule(
        f"{op.name}_within", _apply(op, _apply(op, X, Y), Y), lambda m: m.make(op, m["x"], m["y"])
    )


RULES = RuleSet(
    (
        Rule(
            "div_power_of_two",
            _apply(ops.DIV, X, C),
            _times_reciprocal,
            guard=_exact_reciprocal,
            examples=tuple(_by(ops.DIV, c) for c in (2.0, -0.25, 2.0**60, 2.0**127)),
            near=tuple(_by(ops.DIV, c) for c in (3.0, 0.0, float("inf"), 2.0**-1074)),
        ),
        Rule(
            "div_constant",
            _apply(ops.DIV, X, C),
            _times_reciprocal,
            "reciprocal",
            _any_reciprocal,
            (_by(ops.DIV, 3.0), _by(ops.DIV, -10.0)),
            tuple(_by(ops.DIV, c) for c in (2.0, 0.0, float("nan"))),
        ),
        *_chains(ops.ADD),
        *_chains(ops.MUL),
        Rule(
            "pow_integer",
            _apply(ops.POW, X, C),
            _integer_power,
            guard=_small_power,
            examples=tuple(_by(ops.POW, c, I64) for c in (0, 1, 2, 3, 13)),
            near=tuple(_by(ops.POW, c, I64) for c in (-1, 65)),
        ),
        Rule(
            "pow_squarings",
            _apply(ops.POW, X, C),
            _float_power,
            "approximate",
            _whole_power,
            tuple(_by(ops.POW, c) for c in (3.0, 4.0, 10.0, -2.0, -0.5, 1.5)),
            (*(_by(ops.POW, c) for c in (0.3, 65.0, 0.0)), _by(ops.POW, -2.0, I64)),
        ),
        Rule(
            "cast_cast",
            _apply(ops.CAST, _apply(ops.CAST, X)),
            _one_cast,
            guard=_first_is_lossless,
            examples=(_casts(F32, F64, I32), _casts(I32, I64, F32), _casts(BOOL, F32, I64)),
            near=(_casts(F64, F32, F64), _casts(I64, I32, I64), _casts(I32, F32, I64)),
        ),
        Rule(
            "mul_neg",
            _apply(ops.MUL, _apply(ops.NEG, X), Y),
            lambda m: m.make(ops.NEG, m.make(ops.MUL, m["x"], m["y"])),
        ),
        Rule(
            "div_neg",
            _apply(ops.DIV, _apply(ops.NEG, X), Y),
            lambda m: m.make(ops.NEG, m.make(ops.DIV, m["x"], m["y"])),
            examples=(lambda d: -(x := d.input(d.shape())) / d.input(x.shape),),
        ),
        Rule(
            "minus_zero_minus",
            _apply(ops.SUB, Const(-0.0), X),
            lambda m: m.make(ops.NEG, m["x"]),
            guard=on_floats,
            examples=(lambda d: -0.0 - d.input(d.shape()),),
            near=(lambda d: 0 - d.input(d.shape(), I64),),
        ),
        Rule(
            "zero_minus",
            _apply(ops.SUB, Const(0.0), X),
            lambda m: m.make(ops.NEG, m["x"]),
            "no_signed_zero",
            on_floats,
            (lambda d: 0.0 - d.input(d.shape()),),
        ),
        Rule(
            "zero_minus_integer",
            _apply(ops.SUB, Const(0), X),
            lambda m: m.make(ops.NEG, m["x"]),
            guard=_integer,
            examples=(lambda d: 0 - d.input(d.shape(), I64),),
        ),
        Rule(
            "neg_sub",
            _apply(ops.NEG, _apply(ops.SUB, X, Y)),
            lambda m: m.make(ops.SUB, m["y"], m["x"]),
            "no_signed_zero",
            examples=(lambda d: -(d.input((x := d.input(d.shape())).shape) - x),),
        ),
        Rule(
            "div_self",
            _apply(ops.DIV, X, X),
            lambda m: m.constant(1.0),
            "no_nan",
            examples=(lambda d: _twice(ops.DIV, d.input(d.shape())),),
        ),
        Rule(
            "derivative_barrier",
            _apply(ops.STOP_GRADIENT, X),
            _x,
        ),
        *map(_again, (ops.FLOOR, ops.CEIL, ops.RINT, ops.TRUNC, ops.RELU, ops.SIGN)),
        _within(ops.MAXIMUM),
        _within(ops.MINIMUM),
        *(_opposite(op.name, op, other) for op, other in _NEGATED),
        _opposite("eq", ops.EQ, ops.NE),
        _opposite("ne", ops.NE, ops.EQ),
        _same("lt", ops.LT, False),
        _same("gt", ops.GT, False),
        _same("le", ops.LE, True, exact=False),
        _same("ge", ops.GE, True, exact=False),
        _same("eq", ops.EQ, True, exact=False),
        _same("ne", ops.NE, False, exact=False),
        _absorbed(ops.AND, True, keeps=True),
        _absorbed(ops.AND, False, keeps=False),
        _absorbed(ops.OR, False, keeps=True),
        _absorbed(ops.OR, True, keeps=False),
        Rule("and_self", _apply(ops.AND, X, X), _x, examples=(_both(ops.AND),)),
        Rule("or_self", _apply(ops.OR, X, X), _x, examples=(_both(ops.OR),)),
        Rule("xor_self", _apply(ops.XOR, X, X), _falsehood, examples=(_both(ops.XOR),)),
        Rule(
            "where_not",
            _apply(ops.WHERE, _apply(ops.NOT, C), X, Y),
            _swap,
        ),
        Rule(
            "where_where_true",
            Apply(ops.WHERE, (C, _apply(ops.WHERE, C, X, Y), Z), attrs=_selects_first),
            lambda m: m.make(ops.WHERE, m["c"], m["x"], m["z"]),
        ),
        Rule(
            "where_where_false",
            Apply(ops.WHERE, (C, X, _apply(ops.WHERE, C, Y, Z)), attrs=_selects_second),
            lambda m: m.make(ops.WHERE, m["c"], m["x"], m["z"]),
        ),
    )
)
