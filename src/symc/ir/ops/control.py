"""Control flow: operations with regions.

A region is a closed function; it sees its params only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from symc.ir.core import Attrs, Function
from symc.ir.errors import DomainError, ShapeError, UnsupportedError, message
from symc.ir.ops import regions
from symc.ir.ops.record import Kind, Op, Samples, Tangents
from symc.ir.ops.regions import Types
from symc.ir.types import TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term


def _call_types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    if not isinstance(attrs.get("name"), str):
        raise DomainError(message("attribute name", got=attrs.get("name"), expected="a string"))
    return regions.region_types(types, inner[0])


def _inline_first(t: Term, y: Term, operands: Sequence[Term], attrs: Attrs) -> Term:
    raise UnsupportedError(
        message(f"derivative of a call of {attrs['name']}", advice="inline it first")
    )


CALL: Final = Op(
    "call",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("call", 1),
    regions.evaluated,
    Samples((), errors=(((), {"name": "f"}, ShapeError),)),
    derivative=Tangents((_inline_first,)),
    regions=1,
    runs_region=True,
    infer_regions=_call_types,
    batch=None,
    batch_regions=regions.batched,
)
