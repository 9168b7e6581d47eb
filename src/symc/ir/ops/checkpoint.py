"""`checkpoint`: a region of which reverse mode stores nothing; and `barrier`, which keeps it so.

Reverse mode runs the region again from its operands once the cotangent has arrived.  What it reads
goes through `barrier(x, after)`, which is `x` when `after` is there: the second run has operands of
its own, so that no pass takes it for the first, and its kernels stand after those of the cotangent.

The last `saved` results of a checkpoint are values inside the region that its policy stores; the
second run reads them instead of computing them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.affine import IndexMap, unit
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far
from symc.ir.errors import DomainError, ShapeError, message
from symc.ir.ops import regions
from symc.ir.ops.define import ALL, require_count
from symc.ir.ops.record import (
    Arrays,
    BatchContext,
    Derive,
    EvaluateContext,
    Kind,
    Linear,
    Modes,
    Op,
    Samples,
)
from symc.ir.ops.regions import Moved, Placed, Types
from symc.ir.rewriter import closed_over, spliced
from symc.ir.types import F32, F64, I32, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


# --- barrier -------------------------------------------------------------------------------------


def _barrier_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("barrier", types, 2)
    return (types[0],)


def _barrier_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    return (arrays[0],)


def _barrier_map(types: Types, result: TensorType, attrs: Attrs) -> IndexMap:
    rank = result.rank
    return IndexMap(rank, tuple(unit(rank, axis) for axis in range(rank)))


def _barrier_batch(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    """What is waited for may have a batch axis that the result does not get."""
    return [(term.make(BARRIER, *operands), axes[0])]


BARRIER: Final = Op(
    "barrier",
    Kind.VIEW,
    2,
    _barrier_infer,
    _barrier_evaluate,
    Samples(
        ALL,
        cases=(
            ((TensorType(F32, (3,)), TensorType(F64, ())), {}),
            ((TensorType(I32, (2, 3)), TensorType(F32, (4,))), {}),
            ((TensorType(F64, ()), TensorType(F64, (2,))), {}),
        ),
        errors=(((TensorType(F32, (3,)),), {}, ShapeError),),
    ),
    derivative=Linear((0,), lambda ct, operands, attrs, number: ct),
    batch=None,
    batch_regions=_barrier_batch,
    index_map=_barrier_map,
)


def late(value: Value, after: Sequence[Value]) -> Value:
    """`value`, not to be read before all of `after` are there."""
    for one in after:
        value = apply(BARRIER, (value, one)).results[0]
    return value


# --- checkpoint ----------------------------------------------------------------------------------


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    (region,) = inner
    saved = attrs.get("saved")
    if not isinstance(saved, int) or not 0 <= saved <= len(region.results):
        raise DomainError(
            message("attribute saved", got=saved, expected=f"0 to {len(region.results)}")
        )
    return regions.region_types(types, region)


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """A checkpoint of the tangents: reverse mode over forward mode stores nothing either."""
    return regions.pushed(tangents, node, moved, {"saved": 0})


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """The region again, after the cotangents, and its adjoint."""
    (region,) = node.regions
    since = nodes_so_far()
    given = [ct for ct in cotangents if ct is not None]
    params = [Value(param.type, name=param.name) for param in region.params]
    seeds = [Value(ct.type, name="cotangent") for ct in given]
    again = spliced(region, params)
    reached = [x for x, ct in zip(again, cotangents, strict=True) if ct is not None]
    targets = [param for param, asked in zip(params, wanted, strict=True) if asked]
    found = gradient(reached, seeds, targets, since)
    kept = [value for value in found if value is not None]
    count = len(region.results) - _saved(node)
    computed = zip(again[count:], node.results[count:], strict=True)
    stored = {inner: outer for inner, outer in computed if inner.node is not None}
    adjoint, captured = closed_over(region.name, (*params, *seeds), [*kept, *stored], since)
    inside = adjoint.results[len(kept) :]
    instead = {x: late(y, given) for x, y in zip(inside, stored.values(), strict=True)}
    operands = [late(x, given) for x in node.operands]
    made = iter(spliced(adjoint, [*operands, *given, *captured], instead))
    pulled = iter([None if value is None else next(made) for value in found])
    return [next(pulled) if mark else None for mark in wanted]


def _saved(node: Node) -> int:
    saved = node.attrs["saved"]
    assert isinstance(saved, int)
    return saved


CHECKPOINT: Final = Op(
    "checkpoint",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("checkpoint", 1),
    regions.evaluated,
    Samples((), errors=(((), {"saved": 0}, ShapeError),)),
    derivative=Modes(_push, _pull),
    regions=1,
    runs_region=True,
    infer_regions=_types,
    batch=None,
    batch_regions=regions.batched,
)
