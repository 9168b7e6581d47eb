"""Rows on what is scattered into zeros: it is scattered into what it would be added to.

The gradient of a table of which some rows are read is zeros but for those rows.  With these rows an
update of the table writes the rows alone.  Exact on integers; a sum of floats takes another order
where places meet, with the licence `reassoc`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Final

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Node
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import I64
from symc.passes.draw import Draw
from symc.passes.guards import on_floats, on_integers
from symc.passes.pattern import Apply, Const, Guard, Hole, Match, Pattern, Rule, RuleSet, Sample
from symc.passes.uniform import scalar_constant

X, V, INDEX, C = (Hole(name) for name in "xvic")
REASSOC: Final = "reassoc"
# Modes in which no place is out of range, for instances with any places.
MODES: Final = ("clip", "wrap", "fill")


def _adds(node: Node) -> bool:
    return node.attrs["combine"] == "add"


def _scattered(op: Op) -> Pattern:
    return Apply(op, (Const(0.0), INDEX, V), attrs=_adds, name="written")


def _onto(m: Match, base: Term, values: Term) -> Term:
    """The same scatter of other values, into `base`."""
    node = m.named("written")
    return m.make(node.op, base, m["i"], values, **node.attrs)


def _plus(m: Match) -> Term:
    return _onto(m, m["x"], m["v"])


def _minus(m: Match) -> Term:
    return _onto(m, m["x"], m.make(ops.NEG, m["v"]))


def _negated(m: Match) -> Term:
    return _onto(m, m.constant(0), m.make(ops.NEG, m["v"]))


def _times(m: Match) -> Term:
    number = scalar_constant(m.holes["c"])
    assert number is not None
    values = m["v"]
    return _onto(m, m.constant(0), m.make(ops.MUL, values, m.constant(number.item(), values)))


def _finite_number(m: Match) -> bool:
    number = scalar_constant(m.holes["c"])
    return number is not None and isfinite(number.item())


def _float_number(m: Match) -> bool:
    return on_floats(m) and _finite_number(m)


def _integer_number(m: Match) -> bool:
    return on_integers(m) and _finite_number(m)


# Instances.


def _rows(d: Draw, op: Op, kind: np.dtype | None, *, base: float = 0, combine: str = "add") -> Term:
    """Values scattered into a number."""
    along = op is ops.SCATTER_ALONG
    places = d.input((3, 4) if along else (3,), I64)
    values = d.input((3, 4), kind)
    onto = term.full((5, 4), base, values.dtype)
    attrs = {"axis": 0, "mode": d.choose(MODES), "combine": combine}
    return term.make(op, onto, places, values, **attrs)


Over = Callable[[Draw, Term], Term]


def _plus_input(d: Draw, rows: Term) -> Term:
    x = d.input(rows.shape, rows.dtype)
    return x + rows if d.flip() else rows + x


def _from_input(d: Draw, rows: Term) -> Term:
    return d.input(rows.shape, rows.dtype) - rows


def _by_number(d: Draw, rows: Term) -> Term:
    return rows * d.constant(3 if rows.dtype.kind == "i" else d.number(), rows)


def _by_input(d: Draw, rows: Term) -> Term:
    return rows * d.input(rows.shape, rows.dtype)


def _turned(d: Draw, rows: Term) -> Term:
    return -rows


def _sample(over: Over, op: Op, kind: np.dtype | None) -> Sample:
    return lambda d: over(d, _rows(d, op, kind))


def _near(over: Over, op: Op, kind: np.dtype | None) -> tuple[Sample, ...]:
    """Into ones, and where the last value wins."""
    return (
        lambda d: over(d, _rows(d, op, kind, base=1)),
        lambda d: over(d, _rows(d, op, kind, combine="set")),
    )


def _table(op: Op) -> list[Rule]:
    zeros = _scattered(op)
    shapes: list[tuple[str, Apply, Callable[[Match], Term], Over, Guard | None]] = [
        ("add", Apply(ops.ADD, (X, zeros)), _plus, _plus_input, None),
        ("sub", Apply(ops.SUB, (X, zeros)), _minus, _from_input, None),
        ("mul", Apply(ops.MUL, (zeros, C)), _times, _by_number, _finite_number),
        ("neg", Apply(ops.NEG, (zeros,)), _negated, _turned, None),
    ]
    rows = []
    for name, left, right, over, guard in shapes:
        more = (_sample(_by_input, op, None),) if guard is not None else ()
        floats = on_floats if guard is None else _float_number
        integers = on_integers if guard is None else _integer_number
        rows += [
            Rule(
                f"{name}_{op.name}",
                left,
                right,
                REASSOC,
                floats,
                (_sample(over, op, None),),
                (*_near(over, op, None), *more),
            ),
            Rule(
                f"{name}_{op.name}_integer",
                left,
                right,
                guard=integers,
                examples=(_sample(over, op, I64),),
                near=_near(over, op, I64),
            ),
        ]
    return rows


RULES = RuleSet(tuple(row for op in (ops.SCATTER, ops.SCATTER_ALONG) for row in _table(op)))
