"""Curvature times a vector: `hvp` and `ggn_vp`, without the matrix.

before: a function and a direction.  after: the Hessian, or the generalised Gauss-Newton matrix, of
the function times the direction, in a fixed number of passes over its graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symc.frontend import constraints, trees
from symc.frontend.entering import (
    as_expressions,
    entering,
    filled_values,
    made_by,
    matching,
    require_function,
    transformed,
)
from symc.frontend.gradients import pullback, pushforward, scalar_cost
from symc.frontend.transforms import function_grad, jvp, listed
from symc.ir import term


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of the scalar function f times `tangents`: one part per primal, alone if one.

    Forward over reverse: twice the work of a gradient, whatever the number of variables.
    """
    require_function(f, "hvp")
    given = listed(primals, "hvp: primals")
    numbers = 0 if len(given) == 1 else tuple(range(len(given)))
    return jvp(function_grad(f, numbers), given, listed(tangents, "hvp: tangents"))[1]


def ggn_vp(f: Callable[..., Any], loss: Callable[..., Any], params: Any, v: Any) -> Any:
    """J^T H J v: the generalised Gauss-Newton matrix of `loss(f(params))` times `v`.

    J: the Jacobian of f at `params` (any tree of floats; v and the result have its form).  H: the
    Hessian of the scalar `loss` at the output of f.  Two passes: f with its tangent, then the
    adjoint of f; the curvature of the loss itself is forward over reverse on its own graph.
    """
    require_function(f, "ggn_vp: f")
    require_function(loss, "ggn_vp: loss")

    def product(params: Any, v: Any) -> Any:
        own = entering([params], "ggn_vp")
        moves = matching([v], own.structures, own.flat, "ggn_vp: v")
        out = made_by(f(*own.trees), "ggn_vp: f")
        moved = filled_values(pushforward(out.values, own.flat, moves), out.values)
        at = entering([out.result()], "ggn_vp: output of f")
        cost = made_by(loss(*at.trees), "ggn_vp: loss").leaves[0]
        total = scalar_cost(cost, "ggn_vp")
        one = term.full((), 1, total.type.dtype).value
        slopes = filled_values(pullback([total], [one], at.flat), at.flat)
        curved = filled_values(pushforward(slopes, at.flat, moved), at.flat)
        found = filled_values(pullback(out.values, curved, own.flat), own.flat)
        found = constraints.handed_on(moves, found)
        return trees.unflatten(own.structures[0], as_expressions(found))

    return transformed(product)(params, v)
