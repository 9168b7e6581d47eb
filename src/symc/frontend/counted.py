"""Numbers of steps that are values: `scan(..., length=n)` for an integer scalar n.

before: an integer that a call computes or is given.  after: a size that has its value, as the dim
which a loop without rows binds: it counts to n.  A scan of that length is then a scan like any
other, in every order of derivatives.

Invariants: sizes pass as they are, also those that were made values; one value is one size; a
negative number is a DomainError at the user's line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

import numpy as np

from symc.frontend import constraints, emit, trees
from symc.frontend.dims import Dim as PublicDim
from symc.frontend.dims import as_size, public
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.until import Stopped, stopped_scan
from symc.ir import ops, term
from symc.ir.binding import only_symbol, plain_computed
from symc.ir.core import Constraint, Value
from symc.ir.dims import Dim, Size
from symc.ir.errors import DTypeError, message
from symc.ir.locations import here
from symc.ir.ops.counting import count
from symc.ir.term import Term
from symc.ir.types import I64

_LEAST: Final = 1 - 2**63  # whose negation is an i64
# For each number of steps the value that counted to it, whose node knows the dim.  (Not the dim
# itself: it keeps the number alive.)
_counted: Final[WeakKeyDictionary[Value, ref[Value]]] = WeakKeyDictionary()


def is_number(length: Any) -> bool:
    """Whether a number of steps is a value of the program, or an array, and no size."""
    if isinstance(length, np.ndarray):
        return True
    return is_symbolic(length) and not isinstance(length, PublicDim)


def counted(loop: Callable[..., Any], title: str, init: Any, xs: Any, length: Any) -> Any:
    """`loop(init, xs, length=)` over a size, for a length that is a value: over the first rows of
    `xs`, all of which need not be read."""
    size = length_of(length, f"{title}: length")
    return loop(init, first_rows(xs, size, f"{title}: length"), length=public(size))


def counted_until(how: Stopped, init: Any, xs: Any, length: Any) -> tuple[Any, Any]:
    """`stopped_scan` with at most as many steps as a value says."""
    subject = f"{how.title}: length"
    size = length_of(length, subject)
    counted_to = _count_of(size)
    if counted_to is None:
        return stopped_scan(replace(how, length=size), init, xs)
    found = (lift(leaf, subject).__symc_operand__() for leaf in trees.leaves_of(xs))
    needed = [has_rows(x.type.shape[0], size, subject) for x in found if x.type.rank]
    # A value of its own for these rows, through which the loop reads what binds the size.
    limit = emit.value_of(ops.RESHAPE, (counted_to,), {"shape": ()})
    return stopped_scan(replace(how, limit=constraints.attach(limit, needed)), init, xs)


def length_of(length: Any, subject: str) -> Size:
    """A number of steps as a size; DTypeError for anything but a size or an integer scalar."""
    if not is_number(length):
        return as_size(length, subject)
    found = lift(length, subject).__symc_operand__()
    type = found.value.type
    if type.rank or type.dtype.kind not in "iu":
        expected = "an int, a Dim or one integer"
        raise DTypeError(message(subject, got=type, expected=expected, where=here()))
    number = emit.cast(found, I64, subject)
    known = _known(number)
    return _counted_to(number, subject) if known is None else known


def first_rows(xs: Any, length: Size, subject: str) -> Any:
    """The first `length` rows of each leaf of `xs`; at a call that has fewer: SymcIndexError."""
    leaves, tree = trees.flatten(xs)
    return trees.unflatten(tree, [_first_rows(leaf, length, subject) for leaf in leaves])


def _first_rows(leaf: Any, length: Size, subject: str) -> Any:
    x = lift(leaf, subject).__symc_operand__()
    shape = x.value.type.shape
    if not shape or shape[0] == length:
        return leaf
    needed = has_rows(shape[0], length, subject)
    made = Term(x.value).narrow(0, 0, length).value
    return Expr(Operand(constraints.attach(made, [needed]), x.weak))


def has_rows(rows: Size, length: Size, subject: str) -> Constraint:
    """That there is a row for each step."""
    return constraints.at_least(rows, length, f"{subject}: rows of xs", "index")


def _known(number: Value) -> Size | None:
    """The size that a value was made of."""
    size = None if number.node is None else number.node.attrs.get("size")
    return size if isinstance(size, int | Dim) else None


def _counted_to(number: Value, subject: str) -> Dim:
    found = _counted.get(number)
    last = None if found is None else found()
    if last is None:
        under = count(-term.make(ops.MAXIMUM, Term(number), term.full((), _LEAST, I64)))
        steps = Term(number) + Term(under)
        needed = constraints.at_least(-_rows(under), 0, subject, "empty")
        last = count(Term(constraints.attach(steps.value, [needed])))
        _counted[number] = ref(last)
    return _rows(last)


def _count_of(size: Size) -> Value | None:
    """The value that is `size`, where a node of this module found it out."""
    source = only_symbol(size).source if isinstance(size, Dim) and plain_computed(size) else None
    value = None if source is None else source.value
    assert value is None or isinstance(value, Value)
    return value


def _rows(counted: Value) -> Dim:
    """The dim that has the value of `counted`."""
    rows = None if counted.node is None else counted.node.attrs["rows"]
    assert isinstance(rows, Dim)
    return rows
