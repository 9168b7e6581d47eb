"""The operand groups of loops: `consts | carries | xs`, and how they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from symc.ir.binding import fresh_dim, plain_computed, sourced
from symc.ir.build import apply
from symc.ir.core import Attr, Attrs, Function, Node, Value, nodes_so_far
from symc.ir.dims import Dim, Size
from symc.ir.errors import DomainError, message
from symc.ir.ops import attributes
from symc.ir.ops.record import Op
from symc.ir.types import TensorType
from symc.records import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of a y that a scan keeps: `size` of them, from row `start` on, every `step`th."""

    start: Size
    size: Size
    step: int

    def place(self, row: int, start: int, size: int) -> int | None:
        """Where a row goes, given the values of start and size; None for one that is not kept."""
        place, rest = divmod(row - start, self.step)
        return place if rest == 0 and 0 <= place < size else None


@dataclass(frozen=True, slots=True)
class Groups:
    """How many operands of a scan are constants, carries and sequences, and how it runs.

    kept: which rows of each y there are, or nothing when that is all of them.
    """

    consts: int
    carries: int
    xs: int
    length: Size
    reverse: bool
    kept: tuple[Window, ...] = ()

    def split(self, row: Sequence[T]) -> tuple[list[T], list[T], list[T]]:
        """A row per operand (or per param) as its three groups."""
        first, second = self.consts, self.consts + self.carries
        return list(row[:first]), list(row[first:second]), list(row[second : second + self.xs])

    def attrs(self) -> dict[str, Attr]:
        """The attributes of the node."""
        counts: dict[str, Attr] = {"carries": self.carries, "xs": self.xs}
        kept = tuple(size for w in self.kept for size in (w.start, w.size, w.step))
        rows: dict[str, Attr] = {"kept": kept} if kept else {}
        return {**counts, "length": self.length, "reverse": self.reverse, **rows}


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
    reverse = attrs["reverse"] is True
    return Groups(operands - carries - xs, carries, xs, length, reverse, _windows(attrs))


def _windows(attrs: Attrs) -> tuple[Window, ...]:
    """The windows that attributes tell; DomainError when they are none."""
    if "kept" not in attrs:
        return ()
    found = attributes.sizes(attrs, "kept")
    made = []
    for i in range(0, len(found) - 2, 3):
        start, size, step = found[i : i + 3]
        if not isinstance(step, int) or step < 1:
            raise DomainError(message("scan: kept", got=found, expected="steps of 1 or more"))
        made.append(Window(start, size, step))
    if len(found) % 3:
        raise DomainError(message("scan: kept", got=found, expected="start, size, step for each y"))
    return tuple(made)


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


@dataclass(frozen=True, slots=True)
class WhileGroups:
    """The same of a `while`.

    most: the largest number of steps, or None; xs have that many rows.  rows: the dim that the loop
    binds, or None: then it gives neither ys nor how many steps it ran.
    """

    consts: int
    carries: int
    xs: int
    most: Size | None
    rows: Dim | None

    def split(self, row: Sequence[T]) -> tuple[list[T], list[T], list[T]]:
        """A row per operand (or per param of the body) as its three groups."""
        first, second = self.consts, self.consts + self.carries
        return list(row[:first]), list(row[first:second]), list(row[second : second + self.xs])

    def attrs(self) -> dict[str, Attr]:
        """The attributes of the node."""
        found: dict[str, Attr] = {"carries": self.carries, "xs": self.xs}
        if self.most is not None:
            found["most"] = self.most
        if self.rows is not None:
            found["rows"] = self.rows
        return found


def while_groups(node: Node) -> WhileGroups:
    """The groups of a while node."""
    return read_while(len(node.operands), node.attrs)


def read_while(operands: int, attrs: Attrs) -> WhileGroups:
    """The groups of a while of so many operands; DomainError when the attributes do not fit."""
    carries, xs = attrs.get("carries"), attrs.get("xs", 0)
    if not isinstance(carries, int) or not isinstance(xs, int) or min(carries, xs) < 0:
        raise DomainError(message("while: carries, xs", got=(carries, xs), expected="counts"))
    if carries + xs > operands:
        raise DomainError(message("while: carries, xs", got=(carries, xs), expected=operands))
    most, rows = attrs.get("most"), attrs.get("rows")
    if isinstance(most, bool) or not isinstance(most, int | Dim | None):
        raise DomainError(message("while: most", got=most, expected="a size"))
    if xs and most is None:
        raise DomainError(message("while: most", got=None, expected="the rows of the xs"))
    if rows is not None and not (isinstance(rows, Dim) and plain_computed(rows)):
        raise DomainError(message("while: rows", got=rows, expected="a computed dim"))
    return WhileGroups(operands - carries - xs, carries, xs, most, rows)


def make_while(
    op: Op, regions: tuple[Function, Function], given: Operands, most: Size | None, rows: Dim | None
) -> Node:
    """A while node over a condition with params `consts | carries` and a body with params
    `consts | carries | steps of xs | number`."""
    parts = WhileGroups(len(given.consts), len(given.carries), len(given.xs), most, rows)
    operands = (*given.consts, *given.carries, *given.xs)
    return sourced(apply(op, operands, parts.attrs(), regions=regions))


def own_dim(least: int = 0) -> Dim:
    """A dim that nothing binds yet, and that is never below `least`."""
    return fresh_dim(nodes_so_far(), least)
