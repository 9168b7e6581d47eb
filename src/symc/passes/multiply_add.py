"""A product and a sum as one rounding: `x * y + z` as `fma(x, y, z)`.

before: any tensor function, with `numerics="fast"`.  after: sums and differences of floats one
operand of which is a product are one operation, which takes half the time where each step of a loop
waits for the one before.

Runs after all tables that look for products: none of them knows `fma`.  The licence is `contract`.
"""

from __future__ import annotations

from typing import Final

from symc.ir import ops
from symc.ir.core import Function
from symc.ir.options import Options
from symc.passes.guards import on_floats
from symc.passes.pattern import Apply, Hole, Rule, RuleSet
from symc.passes.rewrite import Fired, rewrite

LICENCE: Final = "contract"

X, Y, Z = (Hole(name) for name in "xyz")
_PRODUCT: Final = Apply(ops.MUL, (X, Y))

RULES: Final = RuleSet(
    (
        Rule(
            "x * y + z",
            Apply(ops.ADD, (_PRODUCT, Z)),
            lambda m: m.make(ops.FMA, m["x"], m["y"], m["z"]),
            LICENCE,
            on_floats,
        ),
        Rule(
            "x * y - z",
            Apply(ops.SUB, (_PRODUCT, Z)),
            lambda m: m.make(ops.FMA, m["x"], m["y"], m.make(ops.NEG, m["z"])),
            LICENCE,
            on_floats,
        ),
        Rule(
            "z - x * y",
            Apply(ops.SUB, (Z, _PRODUCT)),
            lambda m: m.make(ops.FMA, m.make(ops.NEG, m["x"]), m["y"], m["z"]),
            LICENCE,
            on_floats,
        ),
    )
)


def run(function: Function, options: Options, fired: Fired | None = None) -> Function:
    """Take every product that is added to something together with the sum."""
    return rewrite(function, RULES, options, fired) if LICENCE in options.licences else function
