"""Choices between branches: what `cond`, `switch` and `ifelse` make.

before: the number of the branch, and a function for each.  after: one `switch` node; each function
is traced once into a region that sees its arguments and what it captures.

Invariants: all branches give one tree of one type; a weakly typed number gives way to the dtype
that another branch has in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symc.frontend import constraints, emit, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import Region, title_of, traced
from symc.frontend.sequences import captured_first
from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Value
from symc.ir.errors import DTypeError, ShapeError, SymcError, message
from symc.ir.locations import here
from symc.ir.ops.switch import joined

Branch = Callable[..., Any]


def choice(title: str, number: Value, branches: Sequence[Branch], operands: tuple[Any, ...]) -> Any:
    """The results of branch `number` (an i64 scalar, clamped) on `operands`.

    DTypeError where branches give another tree or dtypes, ShapeError for other shapes.
    """
    leaves, tree = trees.flatten(operands)
    given = [lift(leaf, f"{title}: operand").__symc_operand__() for leaf in leaves]

    def run(f: Branch) -> Callable[[list[Expr]], Any]:
        return lambda own: f(*trees.unflatten(tree, own))

    titles = list(map(title_of, branches))
    bodies = list(map(run, branches))
    regions = [traced(name, body, given) for name, body in zip(titles, bodies, strict=True)]
    dtypes = _common_dtypes(regions)
    for i, region in enumerate(regions):
        if [result.type.dtype for result in region.function.results] != dtypes:
            regions[i] = traced(titles[i], _in_dtypes(title, bodies[i], dtypes), given)
    _require_alike(title, titles, regions)
    parts = [captured_first(region, len(given)) for region in regions]
    made, captured = joined(parts, len(given))
    values = (number, *captured, *(operand.value for operand in given))
    node = apply(ops.SWITCH, values, {}, regions=made)
    found = [c for region in regions for c in region.constraints]
    for value in node.results:
        constraints.attach(value, found)
    weak = zip(*(region.weak for region in regions), strict=True)
    pairs = zip(node.results, map(all, weak), strict=True)
    return trees.unflatten(regions[0].tree, [Expr(Operand(*pair)) for pair in pairs])


def _common_dtypes(regions: Sequence[Region]) -> list[np.dtype]:
    """Per result, the dtype of the first branch that is sure of it; else what numbers become."""
    rows = [[r.type.dtype for r in region.function.results] for region in regions]
    if any(region.tree != regions[0].tree for region in regions):
        return rows[0]
    found = []
    for i in range(len(rows[0])):
        sure = [row[i] for row, region in zip(rows, regions, strict=True) if not region.weak[i]]
        found.append(sure[0] if sure else np.result_type(*(row[i] for row in rows)))
    return found


def _in_dtypes(
    title: str, body: Callable[[list[Expr]], Any], dtypes: Sequence[np.dtype]
) -> Callable[[list[Expr]], Any]:
    """A branch whose weakly typed results have these dtypes."""

    def run(own: list[Expr]) -> Any:
        leaves, tree = trees.flatten(body(own))
        if len(leaves) != len(dtypes):
            return trees.unflatten(tree, leaves)
        found = []
        for leaf, dtype in zip(leaves, dtypes, strict=True):
            made = lift(leaf, f"{title}: result").__symc_operand__()
            fits = dtype.kind in (made.dtype.kind, "f")
            if made.weak and made.dtype != dtype and fits:
                made = Operand(emit.cast(made, dtype, f"{title}: result"), made.weak)
            found.append(Expr(made))
        return trees.unflatten(tree, found)

    return run


def _require_alike(title: str, titles: Sequence[str], regions: Sequence[Region]) -> None:
    """One tree, and one type per result, in all branches."""
    first = regions[0]
    for name, region in zip(titles[1:], regions[1:], strict=True):
        types = [r.type for r in region.function.results]
        wanted = [r.type for r in first.function.results]
        if region.tree == first.tree and types == wanted:
            continue
        dtypes = [type.dtype for type in types] == [type.dtype for type in wanted]
        kind: type[SymcError] = ShapeError if region.tree == first.tree and dtypes else DTypeError
        raise kind(
            message(
                f"{title}: the branches differ",
                got=f"{name} gives {_described(region)}",
                expected=f"{_described(first)}, as {titles[0]} gives",
                where=here(),
            )
        )


def _described(region: Region) -> str:
    types = ", ".join(str(result.type) for result in region.function.results)
    return f"{region.tree} of {types}"
