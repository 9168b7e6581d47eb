"""Lowering: each group becomes one nest.

before: a `Fusion`.  after: a `Plan`: steps in launch order, one nest each, whose operands are
tensor values; views have become index maps, bodies are functions of scalars.

Invariants: one step per group; operands appear once per nest; every Size of a nest is an expression
over `nest.symbols`, which are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from symc.ir.affine import IndexMap
from symc.ir.binding import bound_by
from symc.ir.core import Locations, Node, Value
from symc.ir.dims import Size, symbols
from symc.ir.entry import Entry
from symc.ir.locations import UNKNOWN
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Operand, Stage
from symc.ir.nest import Store as NestStore
from symc.ir.ops import attributes
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind
from symc.ir.types import TensorType
from symc.passes import lower_control
from symc.passes.fuse_group import Group, Shape
from symc.passes.fuse_index import ZERO, Coordinate, Index, axes_of, coordinate, renamed, to_map
from symc.passes.fuse_partition import Fusion
from symc.passes.lower_body import Body, BodyBuilder, Places, folded, gathered_axes, is_along
from symc.passes.lower_control import Build
from symc.passes.lower_stages import Item, Rows, StagePlan
from symc.passes.plan import Control, Plan, Step

MANY_LOCATIONS = 8


def run(entry: Entry, fusion: Fusion, build: Build) -> Plan:
    """One step per group of `fusion`, in order; `build` plans the bodies of loops."""
    steps = [_step(fusion, group, f"k{i}", build) for i, group in enumerate(fusion.groups)]
    return Plan(entry, _after_sizes(steps), fusion.aliases, {})


def _after_sizes(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps that need a size which another finds out wait for that."""
    found = {
        own.name: step.values[-1]
        for step in reversed(steps)
        if isinstance(step.nest, Control) and (own := bound_by(step.nest.node)) is not None
    }
    if not found:
        return tuple(steps)
    made = []
    for step in steps:
        wanted = [found[name] for name in step.nest.symbols if name in found]
        waits = [value for value in wanted if value is not None and value not in step.values]
        made.append(replace(step, waits=(*step.waits, *waits)) if waits else step)
    return tuple(made)


def _step(fusion: Fusion, group: Group, name: str, build: Build) -> Step:
    if group.shape is Shape.CONTROL:
        assert group.effect is not None
        return lower_control.step(group.effect, name, build)
    return _Lowering(fusion, group, name).step()


class _Lowering:
    """The nest of one group while it is written."""

    def __init__(self, fusion: Fusion, group: Group, name: str) -> None:
        self._fusion = fusion
        self._group = group
        self._name = name
        self._operands: list[Operand] = []
        self._values: list[Value | None] = []
        self._olds: list[Value | None] = []
        self._number: dict[tuple[Value, str], int] = {}
        self._home: dict[Value, tuple[int, Index]] = {}

    def step(self) -> Step:
        """The finished step."""
        match self._group.shape:
            case Shape.MAP:
                outer, stages = self._map()
            case Shape.ROW:
                outer, stages = self._rows()
            case Shape.CONTRACT:
                outer, stages = (), (self._contract(),)
            case Shape.FIXED | Shape.CONTROL:
                outer, stages = self._fixed()
        nest = Nest(self._name, tuple(self._operands), outer, stages, (), self._locations())
        nest = Nest(nest.name, nest.operands, outer, stages, nest_symbols(nest), nest.locations)
        waits = tuple(dict.fromkeys(self._group.waits))
        return Step(nest, tuple(self._values), tuple(self._olds), may_trap(nest), waits)

    # Operands.
    def _operand(self, value: Value, role: str, old: Value | None = None) -> int:
        key = (value, role)
        if key not in self._number:
            self._number[key] = len(self._operands)
            name = f"{role}{len(self._operands)}"
            self._operands.append(Operand(name, value.type, role))
            self._values.append(value)
            self._olds.append(old)
        return self._number[key]

    def _input(self, value: Value) -> int:
        return self._operand(value, "in")

    def _scratch(self, item: Item, place: Sequence[int]) -> int:
        sizes = tuple(self._size(axis) for axis in place)
        number = len(self._operands)
        type = TensorType(item.value.type.dtype, sizes)
        self._operands.append(Operand(f"scratch{number}", type, "scratch"))
        self._values.append(None)
        self._olds.append(None)
        return number

    def _size(self, axis: int) -> Size:
        return self._fusion.axes.sizes[axis]

    def _sizes(self, axes: Iterable[int]) -> tuple[Size, ...]:
        return tuple(self._size(axis) for axis in axes)

    def _renamed(self, index: Index) -> Index:
        return renamed(index, self._fusion.axes.find)

    # One pass over the whole frame.
    def _map(self) -> tuple[tuple[Size, ...], tuple[Stage, ...]]:
        rows = [(s, self._renamed(s.index), self._renamed(s.place)) for s in self._group.stores]
        point = _axis_order(rows[0][2])
        builder = self._builder(point)
        body = builder.build(self._name, [(store.value, index) for store, index, _ in rows])
        stores = tuple(
            NestStore(self._operand(store.target, "out"), to_map(place, point))
            for store, _, place in rows
        )
        return self._sizes(point), (_map_stage((), body, stores),)

    def _builder(
        self, point: Sequence[int], before: Mapping[Value, int] | None = None, depth: int = 0
    ) -> BodyBuilder:
        def home(value: Value) -> tuple[int, Index] | None:
            ready = before is not None and before.get(value, depth) < depth
            return self._home.get(value) if ready else None

        places = Places(self._input, home)
        return BodyBuilder(self._fusion, self._group, places, point)

    # Rows: stages that share outer axes.
    def _rows(self) -> tuple[tuple[Size, ...], tuple[Stage, ...]]:
        rows = Rows(self._fusion, self._group)
        wanted = frozenset(map(self._fusion.axes.find, self._group.outer or ()))
        outer = [axis for axis in _axis_order(rows.stores[0].place) if axis in wanted]
        plans = rows.stages()
        for plan in plans:
            for item in plan.items:
                if item.value in rows.kept and item.value not in self._home:
                    self._place(item, outer)
        stages = tuple(self._row_stage(plan, outer, rows.kept) for plan in plans)
        return self._sizes(outer), stages

    def _place(self, item: Item, outer: Sequence[int]) -> None:
        """Decide where a kept value lies."""
        if item.store is not None:
            number = self._operand(item.store.target, "out")
            self._home[item.value] = (number, item.store.place)
            return
        axes = [axis for axis in _axis_order(item.index) if axis not in outer]
        number = self._scratch(item, axes)
        self._home[item.value] = (number, tuple(coordinate(axis) for axis in axes))

    def _row_stage(
        self, plan: StagePlan, outer: Sequence[int], kept: Mapping[Value, int]
    ) -> MapStage:
        point = [*outer, *plan.inner]
        builder = self._builder(point, kept, plan.depth)
        wanted = [
            (item.value, item.index)
            if item.reduction is None
            else (item.value.node.operands[0], item.reduction.operand)  # type: ignore[union-attr]
            for item in plan.items
        ]
        body = builder.build(self._name, wanted)
        stores = tuple(self._row_store(item, point, len(outer)) for item in plan.items)
        return _map_stage(self._sizes(plan.inner), body, stores)

    def _row_store(self, item: Item, point: Sequence[int], outer: int) -> NestStore:
        if item.store is not None:
            number, place = self._operand(item.store.target, "out"), item.store.place
        else:
            number, place = self._home[item.value]
        map = to_map(place, point)
        if item.reduction is None:
            return NestStore(number, map)
        node = item.reduction.node
        assert node.op.reducer is not None
        reduced = tuple(point.index(axis) - outer for axis in item.reduction.reduced)
        return NestStore(number, map, node.op.reducer(node.attrs), tuple(sorted(reduced)))

    # Contractions.
    def _contract(self) -> ContractStage:
        assert self._group.contract is not None
        node, index = self._group.contract
        index = self._renamed(index)
        value = node.results[0]
        lhs, rhs = node.operands
        axes = dot_axes(lhs.type.rank, rhs.type.rank, node.attrs)
        batch = _axis_order(index[: len(axes.lhs_batch)])
        free = len(axes.lhs_batch) + len(axes.lhs_free)
        m, n = _axis_order(index[len(axes.lhs_batch) : free]), _axis_order(index[free:])
        contracted = [lhs.type.shape[axis] for axis in axes.lhs_contract]
        k = [self._fusion.axes.new(size) for size in contracted]
        left, right = _operand_indices(axes, index, k)
        point = [*batch, *m, *n]
        builder = self._builder(point)
        builder.given((value, index))
        rows = [(s, self._renamed(s.index), self._renamed(s.place)) for s in self._group.stores]
        loads = (
            self._plain_load(lhs, left, [*batch, *m, *k]),
            self._plain_load(rhs, right, [*batch, *k, *n]),
        )
        body = builder.build(self._name, [(store.value, place) for store, place, _ in rows])
        stores = tuple(
            NestStore(self._operand(store.target, "out"), to_map(place, point))
            for store, _, place in rows
        )
        return ContractStage(
            batch=self._sizes(batch),
            m=self._sizes(m),
            n=self._sizes(n),
            k=self._sizes(k),
            lhs=loads[0],
            rhs=loads[1],
            dtype=value.type.dtype,
            order=attributes.choice(node.attrs, "order", ("any", "chain")),
            loads=body.loads,
            body=body.function,
            stores=stores,
        )

    def _plain_load(self, value: Value, index: Index, point: Sequence[int]) -> Load:
        base, place = folded(value, index)
        return Load(self._input(base), to_map(place, point))

    # Writes into part of a buffer.
    def _fixed(self) -> tuple[tuple[Size, ...], tuple[Stage, ...]]:
        node = self._group.effect
        assert node is not None
        store = self._group.stores[0]
        index, place = self._renamed(store.index), self._renamed(store.place)
        if node.op.kind is not Kind.SCATTER:
            point = _axis_order(index)
            body = self._builder(point).build(self._name, [(store.value, index)])
            number = self._operand(store.target, "inout", node.operands[0])
            stores = (NestStore(number, to_map(place, point)),)
            return self._sizes(point), (_map_stage((), body, stores),)
        return self._scatter(node, store.value, index)

    def _scatter(
        self, node: Node, value: Value, index: Index
    ) -> tuple[tuple[Size, ...], tuple[Stage, ...]]:
        """Rows that never meet are parallel; the indices' own axes run in row-major order."""
        axis = attributes.integer(node.attrs, "axis")
        along = is_along(node)
        where, base = gathered_axes(axis, index, node.operands[1].type.rank, along=along)
        meeting = axes_of(index[axis : axis + 1]) if along else axes_of(where)
        outer = [a for a in _axis_order(index) if a not in meeting]
        inner = [a for a in _axis_order(index) if a in meeting]
        point = [*outer, *inner]
        builder = self._builder(point)
        body = builder.build(self._name, [(value, index)])
        gather: Gather = builder.gather(node, node.operands[1], where)
        combine = attributes.choice(node.attrs, "combine", ("set", "add", "mul", "min", "max"))
        number = self._operand(node.results[0], "inout", node.operands[0])
        store = NestStore(
            number,
            to_map(base, point),
            gathers=(gather,),
            combine=None if combine == "set" else combine,
        )
        stage = _map_stage(self._sizes(inner), body, (store,))
        return self._sizes(outer), (stage,)

    def _locations(self) -> Locations:
        members = {*self._group.members, *filter(None, (self._group.effect,))}
        nodes = sorted(members, key=self._fusion.number.__getitem__)
        found = dict.fromkeys(location for node in nodes for location in node.locations)
        known = [location for location in found if location != UNKNOWN]
        return tuple(known[:MANY_LOCATIONS]) or (UNKNOWN,)


def _map_stage(inner: tuple[Size, ...], body: Body, stores: tuple[NestStore, ...]) -> MapStage:
    return MapStage(inner, body.loads, body.indices, body.function, stores)


def _axis_order(index: Index) -> list[int]:
    """The axes of an index, in its order."""
    return list(dict.fromkeys(axis for _, terms in index for axis, _ in terms))


def _operand_indices(axes: DotAxes, index: Index, k: Sequence[int]) -> tuple[Index, Index]:
    """Where both operands of a contraction are read, by the result's index and contracted axes."""
    shared = len(axes.lhs_batch)
    free = shared + len(axes.lhs_free)

    def placed(rank: int, groups: Sequence[tuple[Sequence[int], Sequence[Coordinate]]]) -> Index:
        found = [ZERO] * rank
        for where, parts in groups:
            for axis, part in zip(where, parts, strict=True):
                found[axis] = part
        return tuple(found)

    contracted = [coordinate(axis) for axis in k]
    lhs_rank = shared + len(axes.lhs_free) + len(k)
    rhs_rank = shared + len(axes.rhs_free) + len(k)
    batch = index[:shared]
    left = placed(
        lhs_rank,
        [
            (axes.lhs_batch, batch),
            (axes.lhs_free, index[shared:free]),
            (axes.lhs_contract, contracted),
        ],
    )
    right = placed(
        rhs_rank,
        [(axes.rhs_batch, batch), (axes.rhs_contract, contracted), (axes.rhs_free, index[free:])],
    )
    return left, right


# Facts about a finished nest.
def _accesses(stage: Stage) -> list[Load | NestStore]:
    plain: list[Load | NestStore] = [*stage.loads, *stage.stores]
    return [*plain, stage.lhs, stage.rhs] if isinstance(stage, ContractStage) else plain


def _gathers(stage: Stage) -> Iterable[Gather]:
    return (gather for access in _accesses(stage) for gather in access.gathers)


def _maps(stage: Stage) -> Iterable[IndexMap]:
    yield from (access.map for access in _accesses(stage))
    yield from (gather.map for gather in _gathers(stage))


def _stage_sizes(stage: Stage) -> Iterable[Size]:
    if isinstance(stage, ContractStage):
        yield from (*stage.batch, *stage.m, *stage.n, *stage.k)
    else:
        yield from stage.inner
    for map in _maps(stage):
        for affine in map.indices:
            yield affine.offset
            yield from affine.factors
    for node in stage.body.nodes:
        if "size" in node.attrs:
            yield attributes.size(node.attrs, "size")


def nest_symbols(nest: Nest) -> tuple[str, ...]:
    """The names of all dims that occur in a nest, sorted."""
    sizes = [size for operand in nest.operands for size in operand.type.shape]
    sizes += nest.outer
    for stage in nest.stages:
        sizes += _stage_sizes(stage)
    found = {symbol.name for size in sizes for symbol in symbols(size)}
    return tuple(sorted(found))


def may_trap(nest: Nest) -> bool:
    """Whether some access of the nest may write to the status record."""
    return any(gather.mode == "raise" for stage in nest.stages for gather in _gathers(stage))
