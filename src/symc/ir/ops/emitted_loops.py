"""Loops that derivative rules write: a `while` from two functions of terms.

before: the first values of the carries, and how a condition and a step are built from terms.
after: one `while` node; whatever the functions read from outside is a constant operand of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Function, Value, nodes_so_far
from symc.ir.ops.regions import closed
from symc.ir.ops.switch import joined
from symc.ir.ops.while_loop import WHILE
from symc.ir.specialise import cloned

if TYPE_CHECKING:
    from symc.ir.term import Term

Test = Callable[[Sequence["Term"]], "Term"]
Step = Callable[[Sequence["Term"]], Sequence["Term"]]


def while_of(name: str, starts: Sequence[Term], test: Test, step: Step) -> list[Term]:
    """The last carries of `carry = step(carry)` as long as `test(carry)` holds."""
    regions = [
        _region(name, starts, lambda carry: [test(carry)]),
        _region(name, starts, step),
    ]
    made, captured = joined(regions, len(starts))
    operands = [*captured, *(start.value for start in starts)]
    node = apply(WHILE, operands, {"carries": len(starts)}, regions=made)
    return [term.Term(result) for result in node.results]


def _region(name: str, starts: Sequence[Term], build: Step) -> tuple[Function, list[Value]]:
    since = nodes_so_far()
    params = [Value(start.type) for start in starts]
    results = build([term.Term(param) for param in params])
    function, captured = closed(name, params, [result.value for result in results], since)
    return cloned(function), captured
