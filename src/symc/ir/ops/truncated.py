"""`forward_only`: a region that cotangents do not enter; tangents pass.

What truncated backpropagation puts around the steps before the last k.  Forward mode is the same
op over values and tangents, so that reverse mode over it stops there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symc.ir.core import Attrs, Function, Node, Value
from symc.ir.errors import ShapeError
from symc.ir.ops import regions
from symc.ir.ops.record import Derive, Kind, Modes, Op, Samples
from symc.ir.ops.regions import Moved, Types
from symc.ir.types import TensorType


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    return regions.region_types(types, inner[0])


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    return regions.pushed(tangents, node, moved, {})


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    return [None] * len(wanted)


FORWARD_ONLY: Final = Op(
    "forward_only",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("forward_only", 1),
    regions.evaluated,
    Samples((), errors=(((), {}, ShapeError),)),
    derivative=Modes(_push, _pull),
    regions=1,
    runs_region=True,
    infer_regions=_types,
    batch=None,
    batch_regions=regions.batched,
)
