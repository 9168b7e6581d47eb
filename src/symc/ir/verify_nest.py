"""Checks the invariants of nests (see `nest.py`) that can be decided.

before: any nest.  after: nothing, or OpContractError with the rule and the stage.  What depends on
dims is accepted when it cannot be decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Function, Value
from symc.ir.dims import Size, symbols
from symc.ir.errors import OpContractError, message
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Operand, Stage, Store
from symc.ir.ops.gather import MODES
from symc.ir.ops.record import Kind
from symc.ir.ops.scatter import FOLDS
from symc.ir.types import I64, TensorType, is_int

ROLES = frozenset({"in", "out", "inout", "scratch"})
COMBINES = (None, "add", *FOLDS)


def verify_nest(nest: Nest) -> None:
    """Raise OpContractError unless the nest keeps its invariants."""
    check = _Check(nest)
    check.operands()
    written: set[int] = set()
    stores: list[tuple[Store, tuple[Size, ...]]] = []
    for number, stage in enumerate(nest.stages):
        check.stage = number
        space = iteration_space(nest, stage)
        match stage:
            case MapStage():
                check.map_stage(stage, space, written)
            case ContractStage():
                check.contract_stage(stage, space, written)
        written |= {store.operand for store in stage.stores}
        stores += [(store, space) for store in stage.stores]
    check.disjoint(stores)


def iteration_space(nest: Nest, stage: Stage) -> tuple[Size, ...]:
    """The sizes of the iteration space of a stage's body, loads and stores."""
    match stage:
        case MapStage():
            return (*nest.outer, *stage.inner)
        case ContractStage():
            return (*nest.outer, *stage.batch, *stage.m, *stage.n)


class _Check:
    """The rules, for one nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.stage = -1

    def refuse(self, rule: str, got: object = None) -> NoReturn:
        place = f", stage {self.stage}" if self.stage >= 0 else ""
        where = next((place for place in self.nest.locations if place.line), None)
        raise OpContractError(
            message(f"nest {self.nest.name}{place}: {rule}", got=got, where=where)
        )

    def operands(self) -> None:
        for operand in self.nest.operands:
            if operand.role not in ROLES:
                self.refuse("unknown role of an operand", operand)
            self.known(operand.type.shape)
        self.known(self.nest.outer)

    def known(self, sizes: Iterable[Size]) -> None:
        """Every dim is one that the kernel is given."""
        for size in sizes:
            missing = {s.name for s in symbols(size)} - set(self.nest.symbols)
            if missing:
                self.refuse(f"dims {sorted(missing)} are not among the nest's symbols", size)

    def operand(self, number: int) -> Operand:
        if not 0 <= number < len(self.nest.operands):
            self.refuse("no such operand", number)
        return self.nest.operands[number]

    # Stages.
    def map_stage(self, stage: MapStage, space: tuple[Size, ...], written: set[int]) -> None:
        self.known(stage.inner)
        for load in stage.loads:
            self.load(load, space, written)
        for axis in stage.indices:
            if not 0 <= axis < len(space):
                self.refuse("an index of an axis that does not exist", axis)
        params = [self.operand(load.operand).type.with_shape(()) for load in stage.loads]
        params += [TensorType(I64)] * len(stage.indices)
        self.body(stage.body, params, stage.stores)
        for store in stage.stores:
            self.store(store, space, len(self.nest.outer))

    def contract_stage(
        self, stage: ContractStage, space: tuple[Size, ...], written: set[int]
    ) -> None:
        if self.nest.outer:
            self.refuse("a contraction has no outer axes")
        self.known((*stage.batch, *stage.m, *stage.n, *stage.k))
        self.load(stage.lhs, (*stage.batch, *stage.m, *stage.k), written)
        self.load(stage.rhs, (*stage.batch, *stage.k, *stage.n), written)
        for load in stage.loads:
            self.load(load, space, written)
        params = [TensorType(stage.dtype)]
        params += [self.operand(load.operand).type.with_shape(()) for load in stage.loads]
        self.body(stage.body, params, stage.stores)
        for store in stage.stores:
            if store.reducer is not None:
                self.refuse("a contraction does not reduce further")
            self.store(store, space, len(space))

    def body(self, body: Function, params: Sequence[TensorType], stores: Sequence[Store]) -> None:
        if [param.type for param in body.params] != list(params):
            self.refuse(f"params of the body should be {params}", [p.type for p in body.params])
        if len(body.results) != len(stores):
            self.refuse("the body has one result per store", len(body.results))
        defined: set[Value] = set(body.params)
        for node in body.nodes:
            if node.op.kind not in {Kind.ELEMENTWISE, Kind.SOURCE}:
                self.refuse("bodies have elementwise and source operations only", node)
            if any(value.type.rank for value in node.results):
                self.refuse("bodies compute scalars", node)
            if not defined.issuperset(node.operands):
                self.refuse("an operand in a body is not defined before its use", node)
            defined.update(node.results)
        if not defined.issuperset(body.results):
            self.refuse("a result of a body is not defined")
        for result, store in zip(body.results, stores, strict=True):
            self.result(result, store)

    def result(self, result: Value, store: Store) -> None:
        """The dtype that arrives in the buffer is the buffer's."""
        dtype = result.type.dtype
        if store.reducer is not None:
            dtype = store.reducer.carried(dtype)[-1]
        if dtype != self.operand(store.operand).type.dtype:
            self.refuse("a store of another dtype than its buffer's", (dtype, store.operand))

    # Accesses.
    def load(self, load: Load, space: Sequence[Size], written: set[int]) -> None:
        operand = self.operand(load.operand)
        if operand.role in {"out", "scratch"} and load.operand not in written:
            self.refuse(f"{operand.role} operand {operand.name} is read before it is written")
        self.access(operand, load.map, load.gathers, space)

    def store(self, store: Store, space: Sequence[Size], first_inner: int) -> None:
        operand = self.operand(store.operand)
        if operand.role == "in":
            self.refuse(f"store to the input {operand.name}")
        if store.combine not in COMBINES:
            self.refuse("unknown way to combine", store.combine)
        if bool(store.reduced) != (store.reducer is not None) and store.reducer is None:
            self.refuse("reduced axes without a reducer", store.reduced)
        reduced = {first_inner + axis for axis in store.reduced}
        if any(not first_inner <= axis < len(space) for axis in reduced):
            self.refuse("reduced axes are inner axes", store.reduced)
        if any(index.factors[axis] != 0 for axis in reduced for index in store.map.indices):
            self.refuse("a store depends on an axis that is reduced", str(store.map))
        self.access(operand, store.map, store.gathers, space)
        plain = store.combine is None and not store.gathers
        own = range(len(self.nest.outer)) if operand.role == "scratch" else ()
        if plain and not injective(store.map, operand.type.shape, space, reduced.union(own)):
            self.refuse(f"two points store to one element of {operand.name}", str(store.map))

    def access(
        self,
        operand: Operand,
        map: IndexMap,
        gathers: Sequence[Gather],
        space: Sequence[Size],
    ) -> None:
        """Ranks fit, and plain indices stay inside where that can be decided."""
        shape = operand.type.shape
        if map.rank != len(space) or len(map.indices) != len(shape):
            self.refuse(f"ranks of the map of {operand.name} {operand.type}", str(map))
        if any(len(index.factors) != map.rank for index in map.indices):
            self.refuse(f"factors of the map of {operand.name}", str(map))
        self.known(index.offset for index in map.indices)
        gathered = {gather.axis for gather in gathers}
        for gather in gathers:
            self.gather(gather, operand, space)
        for axis, (index, size) in enumerate(zip(map.indices, shape, strict=True)):
            if axis in gathered or axis in map.valid:
                continue
            if outside(index, size, space):
                self.refuse(f"axis {axis} of {operand.name} {operand.type} is left", str(map))

    def gather(self, gather: Gather, operand: Operand, space: Sequence[Size]) -> None:
        index = self.operand(gather.operand)
        if not is_int(index.type.dtype):
            self.refuse("a gather by something else than integers", index)
        if gather.mode not in MODES or not 0 <= gather.axis < operand.type.rank:
            self.refuse("mode or axis of a gather", gather)
        self.access(index, gather.map, (), space)

    def disjoint(self, stores: Sequence[tuple[Store, tuple[Size, ...]]]) -> None:
        """No two plain stores write the same elements in the same way."""
        seen: set[tuple[int, IndexMap, tuple[Size, ...]]] = set()
        for store, space in stores:
            key = (store.operand, store.map, space)
            if store.combine is None and not store.gathers and key in seen:
                self.refuse("two stores to the same elements", str(store.map))
            seen.add(key)


def extent(index: Affine, space: Sequence[Size]) -> tuple[int, int] | None:
    """Least and greatest value over a space, None when not decided or the space is empty."""
    if not isinstance(index.offset, int):
        return None
    low = high = index.offset
    for factor, size in zip(index.factors, space, strict=True):
        if factor == 0 and size != 0:
            continue
        if not isinstance(factor, int) or not isinstance(size, int) or size == 0:
            return None
        low, high = low + min(0, factor * (size - 1)), high + max(0, factor * (size - 1))
    return low, high


def outside(index: Affine, size: Size, space: Sequence[Size]) -> bool:
    """Whether an index surely leaves [0, size)."""
    found = extent(index, space)
    return found is not None and isinstance(size, int) and not 0 <= found[0] <= found[1] < size


def injective(
    map: IndexMap, shape: Sequence[Size], space: Sequence[Size], ignored: set[int]
) -> bool:
    """False when two points of the space surely have one place in a row-major buffer.

    Places differ when each step along an axis is longer than all shorter steps together reach.
    """
    if not all(isinstance(size, int) for size in (*shape, *space)) or 0 in space:
        return True
    steps: list[tuple[int, int]] = []
    for axis, count in enumerate(space):
        if axis in ignored or count == 1:
            continue
        stride: Size = 0
        weight: Size = 1
        for index, size in zip(reversed(map.indices), reversed(shape), strict=True):
            stride = stride + index.factors[axis] * weight
            weight = weight * size
        if not isinstance(stride, int) or not isinstance(count, int):
            return True
        steps.append((abs(stride), count))
    reach = 0
    for stride, count in sorted(steps):
        if stride <= reach:
            return False
        reach += stride * (count - 1)
    return True
