"""Sizes that must agree at each call: recorded where they were assumed equal.

before: an operation met two sizes that cannot be proved equal.  after: the value that was made
under the assumption carries a `Constraint`; a function made of that value has it.

The annotation lives and dies with the value, which is what free graphs of the explicit door need:
there is no trace to keep it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from symc.ir import dims, ops, term
from symc.ir.binding import at_least as at_least_bound
from symc.ir.binding import binders
from symc.ir.build import apply, placed_at
from symc.ir.core import Constraint, Node, Value
from symc.ir.dims import Size, symbol, symbols
from symc.ir.errors import UnsupportedError, message
from symc.ir.locations import here
from symc.ir.types import I64

_carried: Final[WeakKeyDictionary[Value, tuple[Constraint, ...]]] = WeakKeyDictionary()


def must_equal(left: Size, right: Size, reason: str) -> Constraint:
    """The constraint that two sizes are equal, placed at the user's line."""
    return Constraint(left, right, here(), reason)


def at_least(size: Size, bound: Size, reason: str, kind: str) -> Constraint:
    """The constraint `size >= bound`; `kind` as in `Constraint`."""
    return Constraint(dims.minimum(size, bound), bound, here(), reason, kind)


def attach(value: Value, constraints: Iterable[Constraint]) -> Value:
    """`value`, which is right only where `constraints` hold.  It must be the result of a node."""
    added = tuple(c for c in constraints if not _always(c))
    if added:
        _carried[value] = _carried.get(value, ()) + added
    return value


def _always(constraint: Constraint) -> bool:
    """Whether a constraint holds for every number of steps that a loop may run."""
    bound = constraint.right
    if constraint.kind == "equal" or not isinstance(bound, int):
        return False
    computed = [s for s in symbols(constraint.left) if s.computed]
    size = symbol(computed[0].name, computed=True, source=computed[0].source) if computed else 0
    return constraint.left == dims.minimum(size, bound) and at_least_bound(size, bound)


def split_inner(
    found: Iterable[Constraint], nodes: Sequence[Node]
) -> tuple[list[Constraint], list[Constraint]]:
    """Constraints that can be checked outside of these nodes, and those that need a dim which one
    of the nodes binds."""
    bound = binders(nodes)
    outer: list[Constraint] = []
    inner: list[Constraint] = []
    for one in found:
        needs = {*symbols(one.left), *symbols(one.right)}
        (outer if needs.isdisjoint(bound) else inner).append(one)
    return outer, inner


def guarded(values: Sequence[Value], inner: Sequence[Constraint]) -> list[Value]:
    """`values`, where a step traps unless constraints hold; UnsupportedError for sizes that must
    agree, which nothing checks inside of a step."""
    checks = [_check(constraint) for constraint in inner]
    made = list(values)
    for check in checks:
        made = [apply(ops.BARRIER, (value, check)).results[0] for value in made]
    return made


def _check(constraint: Constraint) -> Value:
    """A value that can be read only where a size is large enough."""
    if constraint.kind == "equal":
        raise UnsupportedError(
            message(
                f"{constraint.message}, inside of a loop",
                got="sizes that must agree, one of which an inner loop finds out",
                expected="sizes that agree whatever the number of steps",
                where=constraint.location,
            )
        )
    with placed_at((constraint.location,)):
        size = term.size(constraint.left)
        index = term.where(size.eq(term.size(constraint.right)), term.size(0), term.size(1))
        return term.take(term.full((1,), 0, I64), index, 0, "raise").value


def carried_by(nodes: Sequence[Node]) -> tuple[Constraint, ...]:
    """All constraints of a program's nodes, the first of each pair of sizes."""
    if not _carried:
        return ()
    found: dict[tuple[Size, Size], Constraint] = {}
    for node in nodes:
        for result in node.results:
            for constraint in _carried.get(result, ()):
                found.setdefault((constraint.left, constraint.right), constraint)
    return tuple(found.values())


def of(value: Value) -> tuple[Constraint, ...]:
    """The constraints that one value carries."""
    return _carried.get(value, ())


def handed_on(given: Iterable[Value], made: Sequence[Value]) -> list[Value]:
    """`made`, which is right only where the constraints of `given` hold, whether it reads them or
    not."""
    needed = tuple(constraint for value in given for constraint in of(value))
    if not needed:
        return list(made)
    return [attach(_result_of_a_node(value), needed) for value in made]


def _result_of_a_node(value: Value) -> Value:
    if value.node is not None:
        return value
    return apply(ops.RESHAPE, (value,), {"shape": value.type.shape}).results[0]
