"""The stability table: expressions that come out more accurate than they were written.

before: any tensor function without calls.  after: the *defined* program: the patterns below stand
in their accurate form, and powers with small constant exponents in the form NumPy gives them.
These rows change bits; they run before anything is compared with the oracle, which evaluates the
result. Tested against mpmath; docs/stability.md lists them.

Patterns look through views, gathers and casts.  What is differentiated is the defined program, and
the derivative is brought into accurate form again.
"""

from __future__ import annotations

from symc.ir.core import Function
from symc.ir.options import Options
from symc.passes.pattern import RuleSet
from symc.passes.rewrite import Fired, rewrite
from symc.passes.stability_pointwise import (
    EXPONENTIALS,
    LOGS,
    POWERS,
    SIGMOIDS,
    SIGNS,
    SOFTPLUSES,
)
from symc.passes.stability_sums import GROWING, SHARES, SUMS

RULES = RuleSet(
    (*SUMS, *LOGS, *GROWING, *EXPONENTIALS, *SIGMOIDS, *SHARES, *SOFTPLUSES, *SIGNS, *POWERS),
    through=True,
)


def run(function: Function, options: Options, fired: Fired | None = None) -> Function:
    """Bring every pattern of the table into its accurate form."""
    return rewrite(function, RULES, options, fired)
