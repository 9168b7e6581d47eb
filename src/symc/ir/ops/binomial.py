"""How many steps can be gone back over with few snapshots, as integer arithmetic in the graph.

With c snapshots, of which one is of the first state, and no step run forward more than t times,
`reach(c, t)` = (c + t)! / (c! t!) steps can be reversed: Griewank, Achieving logarithmic growth of
temporal and spatial complexity in reverse automatic differentiation, 1992.  `split` says where the
next snapshot goes so that a known number of steps is run forward as few times as possible:
Griewank and Walther, Algorithm 799: revolve, 2000.

All terms are i64 scalars >= 0.  The loops run as often as the smaller argument is large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.ops.arithmetic import FLOORDIV, MAXIMUM, MINIMUM
from symc.ir.ops.emitted_loops import while_of

if TYPE_CHECKING:
    from symc.ir.term import Term


def quotient(left: Term, right: Term) -> Term:
    """left // right."""
    return term.make(FLOORDIV, left, right)


def least(left: Term, right: Term) -> Term:
    """The smaller one."""
    return term.make(MINIMUM, left, right)


def most(left: Term, right: Term) -> Term:
    """The larger one."""
    return term.make(MAXIMUM, left, right)


def reach(c: Term, t: Term) -> Term:
    """How many steps can be reversed with c snapshots in t runs forward."""
    few, many = least(c, t), most(c, t)
    zero, one = term.size(0), term.size(1)
    found = while_of(
        "reach",
        [zero, one],
        lambda carry: carry[0].lt(few),
        lambda carry: [
            carry[0] + 1,
            quotient(carry[1] * (many + carry[0] + 1), carry[0] + 1),
        ],
    )
    return found[1]


def split(steps: Term, c: Term) -> Term:
    """The number of steps to the next snapshot; steps >= 2, c >= 2, else 0 or 1.

    t: the fewest runs that will do.  The first part has at most reach(c, t - 1) steps, and leaves
    more than what c - 1 snapshots manage in t - 1 runs.
    """
    zero, one = term.size(0), term.size(1)

    def more(carry: list[Term]) -> list[Term]:
        t, now, _ = carry
        return [t + 1, quotient(now * (c + t + 1), t + 1), now]

    found = while_of(
        "split",
        [zero, one, one],
        lambda carry: carry[1].lt(steps),
        lambda carry: more(list(carry)),
    )
    t, _, before = found
    fewer = quotient(before * c, most(c + t - 1, one))
    return least(before, steps - fewer)
