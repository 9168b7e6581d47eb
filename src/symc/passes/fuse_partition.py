"""The state of a partition and the decisions shared by all kinds of nodes.

A *use* of a value is either inline (a group computes something from it at an index of its frame) or
a buffer use (the value is loaded as a whole array, or is a result of the function).

Invariants: when a node is visited all uses of its result are known; every use is settled by the
visit: the node is a member of the using group, or stored by another that precedes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from symc.ir.affine import Affine, IndexMap, unit
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, prove_le, size_product
from symc.ir.ops import attributes
from symc.ir.ops.record import Kind
from symc.ir.types import Literal, TensorType
from symc.passes.fuse_cost import CHEAP, LIMIT, cost
from symc.passes.fuse_group import (
    MAX_STORES,
    Apart,
    Axes,
    Group,
    Shape,
    Store,
    current,
    reaches,
)
from symc.passes.fuse_index import (
    ZERO,
    Index,
    axes_of,
    compose,
    coordinate,
    keeps_order,
    renamed,
    selection,
)
from symc.passes.fuse_repeat import repeatable
from symc.records import dataclass

SMALL: Final = 1 << 14  # elements that one thread computes without loss
WIDE: Final = 1 << 17  # a row that is worth several kernels
FEW: Final = 4  # rows below which a wide row is not fused
COPIES: Final = 4  # places at which a cheap value may be computed in one body


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a value.

    group: None for a result of the function.  index: None for a buffer use.  space: the axes over
    which the user is evaluated.  spent: instructions already repeated on the way to the user.
    """

    group: Group | None
    index: Index | None = None
    space: frozenset[int] = frozenset()
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Fusion:
    """The result: groups in launch order; `aliases[v]` is the value whose buffer v shares.

    `uses` and `refusals` say who reads what, and why readers do not compute it: `fuse_reasons.py`.
    """

    function: Function
    groups: tuple[Group, ...]
    axes: Axes
    aliases: dict[Value, Value]
    number: dict[Node, int]
    uses: dict[Value, list[Use]]
    refusals: dict[tuple[Value, Group], Apart]

    def stored(self, value: Value) -> Value:
        """The value whose buffer holds `value`."""
        while value in self.aliases:
            value = self.aliases[value]
        return value


def kind_of(node: Node) -> Kind:
    """The kind of a node's op; a reduction over single elements is a view of them."""
    kind = node.op.kind
    if kind is not Kind.REDUCE or node.op.reducer is None:
        return kind
    shape = node.operands[0].type.shape
    single = all(shape[axis] == 1 for axis in attributes.integers(node.attrs, "axes"))
    carried = node.op.reducer(node.attrs).carried(node.operands[0].type.dtype)
    return Kind.VIEW if single and len(carried) == 1 else kind


def view_map(node: Node) -> IndexMap | None:
    """The index map of a view, or None when it is not affine."""
    if node.op.index_map is None:
        return _first_elements(node)
    types = [operand.type for operand in node.operands]
    return node.op.index_map(types, node.results[0].type, node.attrs)


def _first_elements(node: Node) -> IndexMap:
    """The map of a reduction over axes of size 1."""
    reduced = attributes.integers(node.attrs, "axes")
    rank = node.results[0].type.rank
    kept = iter(range(rank))
    nowhere = Affine((0,) * rank)
    axes = range(node.operands[0].type.rank)
    return IndexMap(rank, tuple(nowhere if a in reduced else unit(rank, next(kept)) for a in axes))


def is_alias(node: Node) -> bool:
    """Whether a view's result can be its operand's buffer."""
    return keeps_order(view_map(node), node.operands[0].type, node.results[0].type)


def splat(value: Value) -> bool:
    """Whether every element of a constant has the same bits."""
    literal = None if value.node is None else value.node.attrs.get("value")
    if not isinstance(literal, Literal):
        return False
    array = literal.array
    return array.size > 0 and array.tobytes() == array.reshape(-1)[:1].tobytes() * array.size


def foldable(value: Value) -> Value:
    """The value to read instead of `value`, through the views that lie between.

    All views are folded when the value behind them has a buffer anyway; otherwise none that leaves
    elements out is.
    """
    bottom = best = value
    while bottom.node is not None and kind_of(bottom.node) is Kind.VIEW:
        map = view_map(bottom.node)
        if map is None or map.valid:
            break
        bottom = bottom.node.operands[0]
    if has_buffer(bottom):
        return bottom
    while best is not bottom:
        assert best.node is not None
        operand = best.node.operands[0]
        if not prove_le(operand.type.elements, best.type.elements):
            break
        best = operand
    return best


_STORED: Final = frozenset({Kind.REDUCE, Kind.CONTRACT, Kind.SCATTER, Kind.ASSEMBLE, Kind.CONTROL})


def has_buffer(value: Value) -> bool:
    """Whether a value lies in memory whatever fusion decides (or nearly always does)."""
    node = value.node
    if node is None or kind_of(node) in _STORED:
        return True
    return node.op.kind is Kind.SOURCE and "value" in node.attrs and not splat(value)


class Partition:
    """Groups in the making over one function."""

    def __init__(self, function: Function) -> None:
        self.number = {node: i for i, node in enumerate(function.nodes)}
        self.uses: dict[Value, list[Use]] = {}
        self.axes = Axes()
        self.groups: list[Group] = []
        self.back: dict[Group, None] = {}
        self.aliases: dict[Value, Value] = {}
        self.refusals: dict[tuple[Value, Group], Apart] = {}
        self.copied: dict[Value, list[Use]] = {}  # uses of views that are stored
        self._costs = {node: cost(node) for node in function.nodes}
        self.repeatable = repeatable(function, self._costs)
        self._light: dict[Value, int] = {}
        self._smaller: dict[tuple[tuple[Size, ...], tuple[Size, ...]], bool] = {}
        self._row_level: set[Value] = set()
        self._follows: set[Value] = set()  # computed from an anchor by elementwise steps and views
        for node in function.nodes:
            self._classify(node)
        for result in function.results:
            self.use(result, Use(None))

    def _classify(self, node: Node) -> None:
        """What is cheap to repeat, and what comes from a reduction at the same size."""
        value = node.results[0]
        kind = kind_of(node)
        if kind is Kind.SOURCE:
            self._light[value] = 2
        elif kind is Kind.REDUCE:
            self._row_level.add(value)
            self._follows.add(value)
        elif kind is Kind.CONTRACT:
            self._follows.add(value)
        elif kind in (Kind.VIEW, Kind.ELEMENTWISE):
            if any(operand in self._row_level for operand in node.operands):
                self._note_row_level(node)
            if any(operand in self._follows for operand in node.operands):
                self._follows.add(value)
            self._note_light(node)

    def _note_row_level(self, node: Node) -> None:
        value = node.results[0]
        type = node.operands[0].type
        if type.shape == value.type.shape or type.elements == value.type.elements:
            self._row_level.add(value)

    def _note_light(self, node: Node) -> None:
        value = node.results[0]
        total = 0 if kind_of(node) is Kind.VIEW else self._costs[node]
        for operand in node.operands:
            if operand in self._light:
                total += self._light[operand]
            elif self._is_smaller(operand.type, value.type):
                total += 2
            else:
                return
        if total <= CHEAP:
            self._light[value] = total

    def _is_smaller(self, type: TensorType, than: TensorType) -> bool:
        """Whether a value of `type` is a scalar or surely has fewer elements."""
        if not type.rank or type.shape == than.shape:
            return not type.rank
        key = (type.shape, than.shape)
        if key not in self._smaller:
            self._smaller[key] = prove_le(type.elements + 1, than.elements)
        return self._smaller[key]

    def is_light(self, value: Value) -> bool:
        """Whether repeating `value` costs little and reads nothing as large as itself."""
        return value in self._light

    def is_row_level(self, value: Value) -> bool:
        """Whether `value` comes from a reduction by elementwise steps at the same size."""
        return value in self._row_level

    def in_body(self, value: Value) -> bool:
        """Whether a source is computed where it is used; else it is a constant in memory."""
        assert value.node is not None
        return "value" not in value.node.attrs or splat(value)

    def numbered(self, value: Value) -> int:
        """The number of the node that makes `value`."""
        return -1 if value.node is None else self.number[value.node]

    # Uses.
    def use(self, value: Value, use: Use) -> None:
        """Record a use."""
        self.uses.setdefault(value, []).append(use)

    def split(self, value: Value) -> tuple[dict[Group, list[Use]], list[Use]]:
        """Inline uses by group and buffer uses, in terms of current groups and axes."""
        inline: dict[Group, list[Use]] = {}
        buffered: list[Use] = []
        for use in self.uses.get(value, ()):
            group = use.group
            if group is None or use.index is None:
                buffered.append(use)
                continue
            if group.heir is not None or not self.axes.settled(use.space):
                group = current(group)
                use = self.renewed(use)
            inline.setdefault(group, []).append(use)
        return inline, buffered

    def renewed(self, use: Use) -> Use:
        """An inline use in terms of current groups and axes."""
        assert use.group is not None
        assert use.index is not None
        index = renamed(use.index, self.axes.find)
        return Use(current(use.group), index, self.axes.found(use.space), use.spent)

    def is_shared(self, value: Value) -> bool:
        """Whether more than one group may load or compute `value`."""
        uses = self.uses.get(value, ())
        return len(uses) > 1 and any(use.group is not uses[0].group for use in uses)

    def living(self) -> Iterator[Group]:
        """Groups that were not merged into others."""
        return (group for group in self.groups if group.heir is None and group.stores)

    def refuse(self, value: Value, group: Group, reason: Apart) -> bool:
        """Note why `group` does not compute `value`, or merge with others that use it; False."""
        self.refusals[value, group] = reason
        return False

    # Frames.
    def frame(self, shape: Sequence[Size]) -> tuple[Index, list[int]]:
        """New axes for a value of `shape`: its index and the axes (none for size 1)."""
        index: list[tuple[Size, tuple[tuple[int, Size], ...]]] = []
        axes: list[int] = []
        for size in shape:
            if size == 1:
                index.append(ZERO)
                continue
            axes.append(self.axes.new(size))
            index.append(coordinate(axes[-1]))
        return tuple(index), axes

    def live(self, group: Group) -> frozenset[int]:
        """The axes of a group's frame."""
        return self.axes.found(group.axes)

    def outer(self, group: Group) -> frozenset[int] | None:
        """The parallel axes of a group with stages."""
        return None if group.outer is None else self.axes.found(group.outer)

    def covers(self, group: Group, axes: frozenset[int]) -> bool:
        """Whether every store of the group enumerates `axes`."""
        return all(axes <= axes_of(renamed(store.index, self.axes.find)) for store in group.stores)

    def rows_fit(self, group: Group, outer: frozenset[int], inner: Iterable[Size] = ()) -> bool:
        """Whether a group may be computed row by row, with `outer` the axes of the rows.

        `inner`: sizes of axes that it would gain.
        """
        have = self.outer(group)
        if group.shape not in (Shape.MAP, Shape.ROW) or (have is not None and have != outer):
            return False
        if have is None and not self.covers(group, outer):
            return False
        rest = [self.axes.sizes[a] for a in self.live(group) - outer]
        rows = size_product(tuple(self.axes.sizes[axis] for axis in outer))
        row = size_product((*rest, *inner))
        if not outer and rest:
            return isinstance(row, int) and row <= SMALL
        return not (isinstance(rows, int) and rows <= FEW and prove_le(WIDE, row))

    def make_rows(self, group: Group, outer: frozenset[int]) -> None:
        """Fix the parallel axes of a group."""
        group.shape = Shape.ROW
        group.outer = outer

    def whole(self, index: Index, type: TensorType) -> tuple[int, ...] | None:
        """The axes that enumerate all of a value read at `index`; None when it is only a part."""
        chosen = selection(index, type)
        if chosen is None:
            return None
        wide = [size for size in type.shape if size != 1]
        return chosen if [self.axes.sizes[axis] for axis in chosen] == wide else None

    def storable(self, group: Group, index: Index, type: TensorType) -> bool:
        """Whether the group meets each element of a value read at `index` exactly once."""
        chosen = self.whole(index, type)
        if chosen is None or len(group.stores) >= MAX_STORES:
            return False
        axes = frozenset(chosen)
        match group.shape:
            case Shape.MAP | Shape.CONTRACT:
                return axes == self.live(group)
            case Shape.ROW:
                outer = self.outer(group)
                return outer is not None and outer <= axes
            case Shape.FIXED | Shape.CONTROL:
                return False

    # Joining.
    def repeat(self, node: Node, inline: dict[Group, list[Use]]) -> bool:
        """Compute a light node in every group that uses it; False when one refuses."""
        for group, uses in inline.items():
            places = {use.index for use in uses}
            if len(places) > COPIES or group.cost + self._costs[node] * len(places) > LIMIT:
                return False
        for group, uses in inline.items():
            self.join(node, group, uses)
        return True

    def join_one(self, node: Node, inline: dict[Group, list[Use]], buffered: Sequence[Use]) -> bool:
        """Make `node` a member of the first group that takes it, stored if others need it."""
        for group in sorted(inline, key=attrgetter("lo")) if len(inline) > 1 else inline:
            others = [use for g, uses in inline.items() if g is not group for use in uses]
            others += buffered
            if not self._takes(node, group, inline[group]):
                continue
            if others and not self.may_store(node.results[0], group, inline[group], others):
                continue
            self.join(node, group, inline[group])
            if others:
                self.store(node.results[0], group, inline[group], others)
            return True
        return False

    def _takes(self, node: Node, group: Group, uses: Sequence[Use]) -> bool:
        value, places = node.results[0], {use.index for use in uses}
        if group.cost + self._costs[node] * len(places) > LIMIT:
            return self.refuse(value, group, Apart.CODE)
        if len(places) > COPIES:
            return self.refuse(value, group, Apart.PLACES)
        if self._spent(node, group, uses) <= CHEAP:
            return True
        return self.refuse(value, group, Apart.PLACES if len(places) > 1 else Apart.REPEATED)

    def _spent(self, node: Node, group: Group, uses: Sequence[Use]) -> int:
        """Instructions repeated when `node` is computed where it is used."""
        one_place = len(uses) == 1 or len({use.index for use in uses}) == 1
        total = 0
        for use in uses:
            assert use.index is not None
            axes = axes_of(use.index)
            if one_place and (use.space <= axes or self._at_rows(node, group, axes)):
                total = max(total, use.spent)
            else:
                total = max(total, use.spent + self._costs[node])
        return total

    def _at_rows(self, node: Node, group: Group, axes: frozenset[int]) -> bool:
        """Whether a value indexed by `axes` is computed once per row of the group."""
        if group.shape is Shape.ROW:
            return self.outer(group) == axes
        if node.results[0] not in self._row_level or not self.rows_fit(group, axes):
            return False
        self.make_rows(group, axes)
        return True

    def may_store(
        self, value: Value, group: Group, uses: Sequence[Use], others: Sequence[Use]
    ) -> bool:
        """Whether `group` can store a value that it uses, for `others` to load."""
        index = uses[0].index
        if index is None or any(use.index != index for use in uses):
            return self.refuse(value, group, Apart.PLACES)
        readers = [use.group for use in others if use.group is not None]
        if not self.storable(group, index, value.type):
            part = self.whole(index, value.type) is None
            return self.refuse(value, group, Apart.PART if part else Apart.WHOLE)
        if self._crosses(value, group, index):
            return self.refuse(value, group, Apart.ACROSS)
        if all(current(r) is not group for r in readers) and not reaches(readers, [group]):
            return True
        return self.refuse(value, group, Apart.ORDER)

    def _crosses(self, value: Value, group: Group, index: Index) -> bool:
        """Whether a group sums over leading axes of a value that belongs with what makes it.

        Stored once under its contraction or in its rows, it is read again here at less cost than
        those would take without it.
        """
        outer = self.outer(group)
        if group.shape is not Shape.ROW or outer is None or value not in self._follows:
            return False
        chosen = selection(index, value.type)
        return chosen is not None and chosen[-1:] != () and chosen[-1] in outer < frozenset(chosen)

    def store(self, value: Value, group: Group, uses: Sequence[Use], others: Sequence[Use]) -> None:
        """Let `group` store a value that it uses, for `others` to load."""
        index = uses[0].index
        assert index is not None
        group.add_store(Store(value, index, value, index), self.numbered(value))
        self.precede(group, others)

    def precede(self, group: Group, readers: Iterable[Use]) -> None:
        """Order `group` before the groups that load what it stores."""
        group.precede(use.group for use in readers if use.group is not None)

    def join(self, node: Node, group: Group, uses: Sequence[Use]) -> None:
        """Make `node` a member of `group`, evaluated where it is used."""
        spent = self._spent(node, group, uses)
        places = list(dict.fromkeys(use.index for use in uses))
        group.members.add(node)
        group.cost += self._costs[node] * len(places)
        group.note(self.number[node])
        for place in places:
            assert place is not None
            self.use_operands(node, group, place, spent)

    def use_operands(self, node: Node, group: Group, index: Index, spent: int) -> None:
        """Record the uses that a member read at `index` makes of its operands."""
        kind = node.op.kind
        if kind is Kind.GATHER:
            self.use(node.operands[0], Use(group))
            self.use(foldable(node.operands[1]), Use(group))
            return
        is_view = kind is not Kind.ELEMENTWISE and kind_of(node) is Kind.VIEW
        map = view_map(node) if is_view else None
        use = Use(group, index if map is None else compose(map, index), axes_of(index), spent)
        for operand in node.operands:
            self.use(operand, use)

    def own(self, node: Node, readers: Sequence[Use]) -> Group:
        """A new group that stores the result of `node` over its own shape."""
        value = node.results[0]
        index, axes = self.frame(value.type.shape)
        group = self.new_group(Shape.MAP, axes, node)
        group.add_store(Store(value, index, value, index), self.number[node])
        self.precede(group, readers)
        self.join(node, group, [Use(group, index, axes_of(index))])
        return group

    def new_group(self, shape: Shape, axes: list[int], node: Node) -> Group:
        """An empty group."""
        group = Group(shape, axes, back=self.back)
        group.note(self.number[node])
        self.groups.append(group)
        return group
