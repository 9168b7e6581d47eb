"""The scalar body of one stage: what a point of the iteration space computes.

before: (value, index) pairs that a stage needs, in terms of a group's frame.  after: loads with
index maps, a Function over 0-d values, and its results in the order asked.

Values inside the group are computed where they are needed, once per index; views vanish into
indices; constants, sizes and ramps become scalar nodes; all else is loaded.

Invariant: iterative; nodes are created in program order, so operands come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value
from symc.ir.dims import Size
from symc.ir.nest import Gather, Load
from symc.ir.ops import attributes
from symc.ir.ops.record import Kind, Op
from symc.ir.types import I64, Literal, TensorType
from symc.passes.fuse_group import Group
from symc.passes.fuse_index import ZERO, Coordinate, Index, compose, to_map
from symc.passes.fuse_partition import Fusion, foldable, kind_of, splat, view_map
from symc.records import dataclass

Key = tuple[Value, Index]


@dataclass(frozen=True, slots=True)
class Places:
    """How a group's values reach memory, for the bodies of its stages.

    operand: number of the nest's operand that holds a value which is loaded.
    home: a value of the group that an earlier stage stored: operand number and index, else None.
    """

    operand: Callable[[Value], int]
    home: Callable[[Value], tuple[int, Index] | None]


@dataclass(frozen=True, slots=True)
class Body:
    """A finished body: `loads`, the `indices` it takes, the function."""

    loads: tuple[Load, ...]
    indices: tuple[int, ...]
    function: Function


def folded(value: Value, index: Index) -> Key:
    """`foldable(value)` and the index at which it is read where `value` is read at `index`."""
    base = foldable(value)
    while value is not base:
        assert value.node is not None
        map = view_map(value.node)
        assert map is not None
        value, index = value.node.operands[0], compose(map, index)
    return base, index


class BodyBuilder:
    """Builds the body of one stage of `group` over the iteration axes `point`."""

    def __init__(self, fusion: Fusion, group: Group, places: Places, point: Sequence[int]) -> None:
        self._fusion = fusion
        self._group = group
        self._places = places
        self._point = tuple(point)
        self._made: dict[Key, Value] = {}
        self._forward: dict[Key, Key] = {}
        self._nodes: list[Node] = []
        self._loads: dict[Load, Value] = {}
        self._indices: dict[int, Value] = {}
        self._first: list[Value] = []

    def given(self, key: Key) -> None:
        """A value that the body receives as its first param (a contraction's element)."""
        param = Value(TensorType(key[0].type.dtype))
        self._first.append(param)
        self._made[key] = param

    def build(self, name: str, wanted: Sequence[Key]) -> Body:
        """The body that computes `wanted`, in that order."""
        for key in self._needed(wanted):
            self._make(key)
        results = tuple(self._made[self._source(key)] for key in wanted)
        indices = tuple(sorted(self._indices))
        params = (
            *self._first,
            *self._loads.values(),
            *(self._indices[i] for i in indices),
        )
        function = Function(name, params, tuple(self._nodes), results)
        return Body(tuple(self._loads), indices, function)

    def _needed(self, wanted: Sequence[Key]) -> list[Key]:
        """Every (value, index) that must be made, operands first."""
        todo = list(wanted)
        seen: dict[Key, None] = {}
        number = self._fusion.number
        while todo:
            key = todo.pop()
            if key in seen or key in self._made:
                continue
            seen[key] = None
            todo += self._operands(key)
        real = [key for key in seen if key not in self._forward]
        return sorted(real, key=lambda k: -1 if k[0].node is None else number[k[0].node])

    def _operands(self, key: Key) -> list[Key]:
        value, index = key
        node = value.node
        if node is None or self._places.home(value) is not None:
            return []
        if kind_of(node) is Kind.VIEW:
            map = view_map(node)
            if map is None:
                return []
            self._forward[key] = (node.operands[0], compose(map, index))
            return [self._forward[key]]
        if node.op.kind is Kind.ELEMENTWISE and node in self._group.members:
            return [(operand, index) for operand in node.operands]
        return []

    def _source(self, key: Key) -> Key:
        while key in self._forward:
            key = self._forward[key]
        return key

    def _make(self, key: Key) -> None:
        value, index = key
        node = value.node
        home = self._places.home(value)
        if home is not None:
            self._made[key] = self._load(Load(home[0], to_map(home[1], self._point)), value)
        elif node is None or node not in self._group.members:
            self._made[key] = self._leaf(key)
        elif node.op.kind is Kind.SOURCE:
            self._made[key] = self._scalar_source(node, index)
        elif node.op.kind is Kind.GATHER:
            self._made[key] = self._load(self._gathered(node, index), value)
        else:
            operands = [self._made[self._source((o, index))] for o in node.operands]
            self._made[key] = self._apply(node, operands)

    def _leaf(self, key: Key) -> Value:
        value, index = key
        return self._load(Load(self._places.operand(value), to_map(index, self._point)), value)

    def _load(self, load: Load, value: Value) -> Value:
        if load not in self._loads:
            self._loads[load] = Value(_scalar(value.type.dtype))
        return self._loads[load]

    def _gathered(self, node: Node, index: Index) -> Load:
        table, indices = node.operands
        axis = attributes.integer(node.attrs, "axis")
        where, base = gathered_axes(axis, index, indices.type.rank, along=is_along(node))
        return Load(
            self._places.operand(table),
            to_map(base, self._point),
            (self.gather(node, indices, where),),
        )

    def gather(self, node: Node, indices: Value, where: Index) -> Gather:
        """The read of an index array at `where` for a gather or scatter."""
        source, place = folded(indices, where)
        mode = attributes.choice(node.attrs, "mode", ("raise", "clip", "wrap", "fill"))
        axis = attributes.integer(node.attrs, "axis")
        return Gather(self._places.operand(source), to_map(place, self._point), axis, mode)

    def _apply(self, node: Node, operands: Sequence[Value]) -> Value:
        """`node` on scalars: its result is a scalar of the same dtype."""
        types = (_scalar(node.results[0].type.dtype),)
        made = Node(node.op, tuple(operands), node.attrs, types, locations=node.locations)
        self._nodes.append(made)
        return made.results[0]

    def _scalar_source(self, node: Node, index: Index) -> Value:
        value = node.results[0]
        if splat(value):
            literal = attributes.literal(node.attrs).array
            return self._constant(node, literal.reshape(-1)[0])
        if "axis" not in node.attrs:
            return self._apply(node, ())
        ramp = self._coordinate(node, index[attributes.integer(node.attrs, "axis")])
        if value.type.dtype == I64:
            return ramp
        return self._new(node, ops.CAST, (ramp,), {"dtype": value.type.dtype})

    def _new(self, node: Node, op: Op, operands: Sequence[Value], attrs: Attrs) -> Value:
        made = apply(op, operands, attrs, locations=node.locations)
        self._nodes.append(made)
        return made.results[0]

    def _constant(self, node: Node, value: np.generic) -> Value:
        return self._new(node, ops.CONSTANT, (), {"value": Literal(np.asarray(value))})

    def _integer(self, node: Node, size: Size) -> Value:
        if isinstance(size, int):
            return self._constant(node, np.int64(size))
        return self._new(node, ops.SIZE, (), {"size": size})

    def _coordinate(self, node: Node, coordinate: Coordinate) -> Value:
        """A coordinate of a ramp as an i64 value."""
        offset, terms = coordinate
        total: Value | None = None if offset == 0 and terms else self._integer(node, offset)
        for axis, factor in terms:
            part = self._index(axis)
            if factor != 1:
                part = self._new(node, ops.MUL, (part, self._integer(node, factor)), {})
            total = part if total is None else self._new(node, ops.ADD, (total, part), {})
        assert total is not None
        return total

    def _index(self, axis: int) -> Value:
        place = self._point.index(axis)
        if place not in self._indices:
            self._indices[place] = Value(TensorType(I64))
        return self._indices[place]


@cache
def _scalar(dtype: np.dtype) -> TensorType:
    return TensorType(dtype)


def is_along(node: Node) -> bool:
    """Whether a gather or scatter pairs each index with one element, rather than a slice."""
    indices = node.operands[1].type
    moved = node.operands[2].type if len(node.operands) > 2 else node.results[0].type
    return moved.rank == indices.rank == node.operands[0].type.rank


def gathered_axes(axis: int, index: Index, rank: int, *, along: bool) -> tuple[Index, Index]:
    """Where the index array of `rank` axes and the table are read for an element at `index`.

    The gathered axis of the table reads 0 until the gathered index replaces it.
    """
    if along:
        return index, (*index[:axis], ZERO, *index[axis + 1 :])
    stop = axis + rank
    return index[axis:stop], (*index[:axis], ZERO, *index[stop:])
