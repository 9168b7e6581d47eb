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

from symc.ir import dims, ops
from symc.ir.build import apply
from symc.ir.core import Constraint, Node, Value
from symc.ir.dims import Size
from symc.ir.locations import here

_carried: Final[WeakKeyDictionary[Value, tuple[Constraint, ...]]] = WeakKeyDictionary()


def must_equal(left: Size, right: Size, reason: str) -> Constraint:
    """The constraint that two sizes are equal, placed at the user's line."""
    return Constraint(left, right, here(), reason)


def at_least(size: Size, bound: Size, reason: str, kind: str) -> Constraint:
    """The constraint `size >= bound`; `kind` as in `Constraint`."""
    return Constraint(dims.minimum(size, bound), bound, here(), reason, kind)


def attach(value: Value, constraints: Iterable[Constraint]) -> Value:
    """`value`, which is right only where `constraints` hold.  It must be the result of a node."""
    added = tuple(constraints)
    if added:
        _carried[value] = _carried.get(value, ()) + added
    return value


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
