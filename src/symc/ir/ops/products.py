"""Products of all but one: what the derivative of a product is made of.

`others` gives, for each element of groups of elements, the product of the other elements of its
group, as a graph that can itself be differentiated.  A factor that is not 0 divides the product of
all; zeros are taken out one at a time.

Exact for groups with up to `ZEROS` zeros, to any order, and for derivatives up to order `ZEROS` of
all groups: lower derivatives of a product with more zeros than their order are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from symc.ir import term

if TYPE_CHECKING:
    from symc.ir.term import Term

ZEROS: Final = 3

PerElement = Callable[["Term"], "Term"]


def others(x: Term, product: PerElement, total: PerElement, one_of: PerElement) -> Term:
    """For each element of `x`, the product of the others of its group; same type as `x`.

    Each of the functions answers at every element, for its group: `product` the product of all
    (and of what else multiplies the group), `total` the sum, `one_of` whether the element is the
    one picked among those that a mask marks.
    """
    zeros = x.eq(0.0)
    found = term.where(zeros, 0.0, product(x) / x)
    rest, removed = x, None
    for _ in range(ZEROS):
        picked = one_of(zeros)
        rest = term.where(picked, 1.0, rest)
        without = product(rest)
        found = term.where(picked, without if removed is None else removed * without, found)
        zero = total(term.where(picked, x, 0.0))
        removed = zero if removed is None else removed * zero
        zeros = zeros & ~picked
    return found
