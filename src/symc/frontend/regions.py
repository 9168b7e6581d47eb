"""Functions traced into a region: what `checkpoint` and custom rules wrap.

before: a Python function and its arguments.  after: a closed function of the symbolic leaves, the
values that it captured besides, and its results put back together.  On concrete arguments nothing
is traced: the function is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from symc.frontend import constraints, scope, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.trees import Structure
from symc.ir.build import apply
from symc.ir.core import Attrs, Constraint, Function, Value, nodes_so_far, reachable_whole
from symc.ir.ops.record import Op
from symc.ir.rewriter import closed_over
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """A traced function.

    operands: what goes into `function`: the leaves asked for, then what was captured.  tree, weak:
    the structure of the results, and which dtypes give way.
    """

    function: Function
    operands: list[Value]
    constraints: tuple[Constraint, ...]
    tree: Structure
    weak: tuple[bool, ...]

    def reading(self, values: Sequence[Value]) -> Region:
        """The region with `values` as further operands, which it does not use."""
        more = [value for value in values if value not in self.operands]
        if not more:
            return self
        params = (*self.function.params, *(Value(value.type) for value in more))
        function = replace(self.function, params=params)
        return replace(self, function=function, operands=[*self.operands, *more])

    def placed(self, op: Op, attrs: Attrs, function: Function | None = None) -> Any:
        """The results of a node of `op` with this region, or with `function` in its place."""
        node = apply(op, self.operands, attrs, regions=(function or self.function,))
        if node.results:
            constraints.attach(node.results[0], self.constraints)
        shown = zip(node.results, self.weak, strict=False)
        leaves = [Expr(Operand(value, weak)) for value, weak in shown]
        return trees.unflatten(self.tree, leaves)


def mentions(tree: Any) -> bool:
    """Whether some leaf is symbolic."""
    return any(map(is_symbolic, trees.leaves_of(tree)))


def traced(title: str, body: Callable[[list[Expr]], Any], given: Sequence[Operand]) -> Region:
    """`body` on values of its own that stand for `given`."""
    since = nodes_so_far()
    params = [Value(operand.type) for operand in given]
    with scope.enter(title):
        own = [Expr(Operand(x, operand.weak)) for x, operand in zip(params, given, strict=True)]
        leaves, tree = trees.flatten(body(own))
        results = [lift(leaf, f"{title}: result").__symc_operand__() for leaf in leaves]
    values = [result.value for result in results]
    # Of the nodes as they were traced: the function has copies of those that read what it captures.
    nodes = reachable_whole(values, stop=params, since=since)[0]
    needed, inner = constraints.split_inner(constraints.carried_by(nodes), nodes)
    if inner:
        values = constraints.guarded(values, inner)
    function, captured = closed_over(title, params, values, since)
    operands = [*(operand.value for operand in given), *captured]
    return Region(function, operands, tuple(needed), tree, tuple(result.weak for result in results))


def title_of(function: Any) -> str:
    """The name of a function in messages."""
    return str(getattr(function, "__name__", "function"))
