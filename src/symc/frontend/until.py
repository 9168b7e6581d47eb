"""`scan(..., until=)`: a loop that stops after the step which makes its condition true.

before: a step, a condition on the carry, the first carry and the sequences.  after: one `while`
node that carries, beside the carry, whether it goes on; its ys have as many rows as steps ran, a
dim that the node binds.

Invariants: the first step runs whenever there is one; the step that makes the condition true is
kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symc.frontend import constraints, trees
from symc.frontend.carries import Carried, carried, settled
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import Region, title_of, traced
from symc.frontend.sequences import captured_first, pair_of, sequences
from symc.frontend.trees import Structure
from symc.ir import ops, term
from symc.ir.core import Function, Value, nodes_so_far
from symc.ir.dims import Size
from symc.ir.errors import DTypeError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.ops.loop_groups import Operands, make_while, own_dim
from symc.ir.ops.regions import closed
from symc.ir.types import BOOL, I64, TensorType
from symc.records import dataclass

FLAG = TensorType(BOOL, ())
NUMBER = TensorType(I64, ())


@dataclass(frozen=True, slots=True)
class Stopped:
    """A scan that may stop early: its step, when it stops, and the largest number of steps: a
    size, or a value, which may be 0."""

    step: Callable[[Any, Any], tuple[Any, Any]]
    until: Callable[[Any], Any]
    title: str
    length: Size | None
    limit: Value | None = None


def refuse_beside(title: str, **others: object) -> None:
    """UnsupportedError for what a scan that may stop early cannot be asked for as well."""
    for name, value in others.items():
        if value is not None and value is not False:
            raise UnsupportedError(
                message(
                    f"{title}: until together with {name}",
                    got=f"{name}={value!r}",
                    expected=f"until without {name}",
                    where=here(),
                )
            )


def stopped_scan(how: Stopped, init: Any, xs: Any) -> tuple[Any, Any]:
    """(carry, ys) of the steps that ran."""
    number = [] if how.limit is None else [Operand(Value(NUMBER))]
    endless = how.limit is not None and not trees.leaves_of(xs)
    seqs = sequences(xs, 0 if endless else how.length, how.title)

    def traced_with(carry: Carried) -> tuple[Region, Carried, Structure]:
        trees_seen: list[Structure] = []

        def body(own: list[Expr]) -> Any:
            count = len(carry.operands)
            x = trees.unflatten(seqs.tree, own[count : count + len(seqs.steps)])
            made = how.step(trees.unflatten(carry.tree, own[:count]), x)
            after, y = pair_of(made, how.title)
            leaves = carry.leaves(after)
            trees_seen.append(trees.flatten(y)[1])
            return leaves, _goes_on(how, trees.unflatten(carry.tree, leaves), own[-1]), y

        region = traced(how.title, body, [*carry.operands, *seqs.steps, *number])
        return region, carry, trees_seen[0]

    carry = carried(init, f"{how.title}: init")
    region, carry, ys_tree = settled(carry, traced_with, how.title)
    count = len(carry.operands)
    body, captured = captured_first(region, count + len(seqs.steps) + len(number))
    body = _with_flag(body, len(captured) + count)
    given = Operands(captured, [*carry.values, _starts(how)], seqs.values)
    test = _flagged(how.until, [x.type for x in (*given.consts, *given.carries)])
    sure = how.limit is None and isinstance(seqs.length, int) and seqs.length > 0
    rows = own_dim(1 if sure else 0) if len(body.results) > count + 1 else None
    node = make_while(ops.WHILE, (test, body), given, None if endless else seqs.length, rows)
    for value in node.results:
        constraints.attach(value, region.constraints)
    ys = node.results[count + 1 : -1] if rows is not None else ()
    return (
        trees.unflatten(carry.tree, [Expr(Operand(x)) for x in node.results[:count]]),
        trees.unflatten(ys_tree, [Expr(Operand(y)) for y in ys]),
    )


def _starts(how: Stopped) -> Value:
    """Whether there is a first step, as far as a limit says."""
    if how.limit is None:
        return term.constant(np.array(True)).value
    return term.Term(how.limit).gt(0).value


def _goes_on(how: Stopped, carry: Any, number: Expr) -> Expr:
    """Whether there is a step after this one, as far as the condition and a limit say."""
    title = f"{how.title}: until"
    found = lift(how.until(carry), title).__symc_operand__()
    if found.value.type != FLAG:
        raise DTypeError(message(title, got=found.value.type, expected="one bool", where=here()))
    going = ~term.Term(found.value)
    if how.limit is not None:
        after = term.Term(number.__symc_operand__().value) + 1
        going = going & after.lt(term.Term(how.limit))
    return Expr(Operand(going.value))


def _with_flag(body: Function, place: int) -> Function:
    """The body with a carry more, which it does not read."""
    params = (*body.params[:place], Value(FLAG, name="going"), *body.params[place:])
    return Function(body.name, params, body.nodes, body.results, body.constraints)


def _flagged(until: Callable[[Any], Any], types: list[TensorType]) -> Function:
    """The condition of the loop: its last carry."""
    params = [Value(type) for type in types]
    test, captured = closed(title_of(until), params, params[-1:], nodes_so_far())
    assert not captured
    return test
