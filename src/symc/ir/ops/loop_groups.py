"""The operand groups of a scan: `consts | carries | xs`, and how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from symc.ir.build import apply
from symc.ir.core import Attr, Attrs, Function, Node, Value
from symc.ir.dims import Dim, Size
from symc.ir.errors import DomainError, message
from symc.ir.ops.record import Op
from symc.ir.types import TensorType
from symc.records import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Groups:
    """How many operands of a scan are constants, carries and sequences, and how it runs."""

    consts: int
    carries: int
    xs: int
    length: Size
    reverse: bool

    def split(self, row: Sequence[T]) -> tuple[list[T], list[T], list[T]]:
        """A row per operand (or per param) as its three groups."""
        first, second = self.consts, self.consts + self.carries
        return list(row[:first]), list(row[first:second]), list(row[second : second + self.xs])

    def attrs(self) -> dict[str, Attr]:
        """The attributes of the node."""
        counts: dict[str, Attr] = {"carries": self.carries, "xs": self.xs}
        return {**counts, "length": self.length, "reverse": self.reverse}


def groups(node: Node) -> Groups:
    """The groups of a scan node."""
    return read_groups(len(node.operands), node.attrs)


def read_groups(operands: int, attrs: Attrs) -> Groups:
    """The groups of a scan of so many operands; DomainError when the attributes do not fit."""
    carries, xs, length = attrs.get("carries"), attrs.get("xs"), attrs.get("length")
    if not isinstance(carries, int) or not isinstance(xs, int) or min(carries, xs) < 0:
        raise DomainError(message("scan: carries, xs", got=(carries, xs), expected="counts"))
    if carries + xs > operands:
        raise DomainError(message("scan: carries, xs", got=(carries, xs), expected=operands))
    if isinstance(length, bool) or not isinstance(length, int | Dim):
        raise DomainError(message("scan: length", got=length, expected="a size"))
    if not isinstance(attrs.get("reverse"), bool):
        raise DomainError(message("scan: reverse", got=attrs.get("reverse"), expected="a bool"))
    return Groups(operands - carries - xs, carries, xs, length, attrs["reverse"] is True)


@dataclass(frozen=True, slots=True)
class Operands:
    """The operands of a scan, by group."""

    consts: Sequence[Value]
    carries: Sequence[Value]
    xs: Sequence[Value]


def make_scan(op: Op, body: Function, given: Operands, length: Size, reverse: bool) -> Node:
    """A scan node over a body with params `consts | carries | steps of xs | number`."""
    parts = Groups(len(given.consts), len(given.carries), len(given.xs), length, reverse)
    operands = (*given.consts, *given.carries, *given.xs)
    return apply(op, operands, parts.attrs(), regions=(body,))


def stacked_type(type: TensorType, length: Size) -> TensorType:
    """The type of `length` values of `type` along a new leading axis."""
    return type.with_shape((length, *type.shape))
