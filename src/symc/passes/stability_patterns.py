"""The ways in which people write the pieces of the stability table, and what its rows build with.

`negated(p)` is a pattern for -p, however it was written: -x, 0 - x, -1 * x, x / -1; and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from symc.ir import ops
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import is_float
from symc.passes.pattern import (
    Apply,
    Build,
    Const,
    Either,
    Guard,
    Hole,
    Match,
    Pattern,
    Rule,
    Sample,
)

X: Final = Hole("x")
Y: Final = Hole("y")
ONE: Final = Const(1.0)
MINUS_ONE: Final = Const(-1.0)
ZERO: Final = Const(0.0)
MEANING: Final = "meaning"
_REPEAT: Final = frozenset({ops.BROADCAST, ops.RESHAPE, ops.PERMUTE})


def _applied(op: Op) -> Callable[..., Apply]:
    return lambda *operands: Apply(op, operands)


exp: Final = _applied(ops.EXP)
log: Final = _applied(ops.LOG)
expm1: Final = _applied(ops.EXPM1)
log1p: Final = _applied(ops.LOG1P)
sigmoid: Final = _applied(ops.SIGMOID)
softplus: Final = _applied(ops.SOFTPLUS)
tanh: Final = _applied(ops.TANH)
neg: Final = _applied(ops.NEG)
add: Final = _applied(ops.ADD)
sub: Final = _applied(ops.SUB)
mul: Final = _applied(ops.MUL)
div: Final = _applied(ops.DIV)


def negated(x: Pattern) -> Either:
    """-x or 0 - x; -1 * x and x / -1 have become the first."""
    return Either((neg(x), sub(ZERO, x)))


def plus_one(x: Pattern) -> Either:
    """1 + x or x - -1."""
    return Either((add(ONE, x), sub(x, MINUS_ONE)))


def one_minus(x: Pattern) -> Either:
    """1 - x or 1 + -x."""
    return Either((sub(ONE, x), add(ONE, negated(x))))


def floats(m: Match) -> bool:
    """Whether the root is a float."""
    return is_float(m.root.type.dtype)


def row(
    name: str,
    left: Apply,
    right: Build,
    guard: Guard = floats,
    *,
    examples: tuple[Sample, ...] = (),
    near: tuple[Sample, ...] = (),
) -> Rule:
    """A row of the stability table."""
    return Rule(name, left, right, MEANING, guard, examples, near)


def minus(m: Match, x: Term) -> Term:
    """-x, without a second sign where `x` is one already."""
    node = m.behind(x.value)
    if node is not None and node.op is ops.NEG:
        return Term(node.operands[0])
    return m.make(ops.NEG, x)


def below_views(m: Match, x: Term, build: Callable[[Term], Term]) -> Term:
    """`build(x)`, an elementwise function, computed below the views of `x` that repeat elements."""
    path = []
    node = m.behind(x.value)
    value = x.value
    while node is not None and node.op in _REPEAT:
        path.append(node)
        value = node.operands[0]
        node = m.behind(value)
    made = build(Term(value))
    for step in reversed(path):
        made = m.make(step.op, made, **step.attrs)
    return made


def log_of(m: Match, name: str) -> Term:
    """The logarithm of a hole, below its views."""
    return below_views(m, m[name], lambda x: m.make(ops.LOG, x))


def of(op: Op, name: str = "x") -> Build:
    """The right-hand side `op(hole)`."""
    return lambda m: m.make(op, m[name])


def of_minus(op: Op, name: str = "x") -> Build:
    """The right-hand side `op(-hole)`."""
    return lambda m: m.make(op, minus(m, m[name]))


def minus_of(op: Op, name: str = "x") -> Build:
    """The right-hand side `-op(hole)`."""
    return lambda m: m.make(ops.NEG, m.make(op, m[name]))


def hole(name: str) -> Build:
    """The right-hand side that is the hole itself."""
    return lambda m: m[name]
