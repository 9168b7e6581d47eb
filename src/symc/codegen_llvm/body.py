"""The body of a stage in its loops: every load and node at the outermost level where it can stand.

Before: a `Work` and the order of its loops, as levels of axes (the last one is the vector's).
After: `enter` has written all that varies no deeper than a level; `vector` writes the rest for one
vector and returns the body's results.

Invariants: values of outer levels are lanes like all others (the same number in each), so that a
body is evaluated by one builder; loads of a stage stand before its stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import add, as_reg, mul, offset
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.indirect import checked_scalar, inside_scalar
from symc.codegen_llvm.lanes import Lanes
from symc.codegen_llvm.memory import Position, VectorMemory
from symc.codegen_llvm.order import ordered
from symc.codegen_llvm.space import Access, Work, Write
from symc.codegen_llvm.text import Reg
from symc.codegen_llvm.vector_access import VectorAccess
from symc.ir.affine import Affine
from symc.ir.core import Node, Value, reachable
from symc.ir.dims import prove_le, size_product
from symc.ir.types import Literal
from symc.records import dataclass

Axes = tuple[int, ...]
I64 = np.dtype(np.int64)
_NONE: Mapping[Access, Lanes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loops:
    """The levels of a stage's loops, outermost first; the last binds the vector axis, if any."""

    levels: tuple[Axes, ...]

    @property
    def last(self) -> int:
        """The vector's level."""
        return len(self.levels) - 1

    @property
    def axis(self) -> int | None:
        """The vector axis."""
        return self.levels[-1][0] if self.levels[-1] else None

    def level(self, form: Affine) -> int:
        """The innermost level on which `form` depends."""
        found = 0
        for number, axes in enumerate(self.levels):
            if any(form.factors[axis] != 0 for axis in axes):
                found = number
        return found


class StageBody:
    """One stage under construction.

    `base(access)` gives the address of element 0 of the operand.  `writes`: those whose results are
    wanted, in the order in which `vector` returns them.  What stands above loops that may run no
    time at all reads and reports nothing then (`_runs`).
    """

    def __init__(
        self,
        memory: VectorMemory,
        work: Work,
        loops: Loops,
        base: Callable[[Access], Reg],
        writes: Sequence[Write],
    ) -> None:
        self.memory = memory
        self.k: KernelEmitter = memory.k
        self.work = work
        self.loops = loops
        self.base = base
        self.writes = tuple(writes)
        self.results = tuple(work.body.results[write.result] for write in writes)
        self.index: dict[int, Extent] = {}
        self.pointers: dict[Access, Reg] = {}
        self.valid: dict[Access, Reg | None] = {}
        self.places: dict[tuple[Access, Extent], Reg] = {}  # of the vector being written
        self._entered: list[tuple[dict[Access, Reg], dict[Access, Reg | None]]] = []
        self.values: dict[Value, Lanes] = {}
        self.reorders = False  # whether the instructions of a vector may change places
        self._plan()
        self._runs: Reg | None = None
        inner = [work.sizes[axis] for axes in loops.levels[1:] for axis in axes]
        if not all(prove_le(1, size) for size in inner) and self._hoists():
            points = as_reg(self.k.size(size_product(tuple(inner))))
            self._runs = self.k.at_entry("i1", f"icmp ne {points}, 0")

    def _hoists(self) -> bool:
        """Whether something is read above the innermost loop."""
        return any(self.access_level(access) < self.loops.last for access in self.accesses)

    def _plan(self) -> None:
        nodes, _ = reachable(self.results)
        params = self.work.body.params[self.work.given :]
        used = {operand for node in nodes for operand in node.operands} | set(self.results)
        loads = zip(params, self.work.loads, strict=False)
        self.loads = [(param, load) for param, load in loads if param in used]
        indices = zip(params[len(self.work.loads) :], self.work.indices, strict=True)
        self.indices = [(param, form) for param, form in indices if param in used]
        levels = {param: self.access_level(load) for param, load in self.loads}
        levels |= {param: self.loops.level(form) for param, form in self.indices}
        levels |= dict.fromkeys(self.work.body.params[: self.work.given], self.loops.last)
        self.nodes: list[list[Node]] = [[] for _ in self.loops.levels]
        for node in nodes:
            level = max((levels[operand] for operand in node.operands), default=0)
            levels[node.results[0]] = level
            self.nodes[level].append(node)
        self.levels = levels
        roots = [load for _, load in self.loads] + [write.access for write in self.writes]
        self.accesses = list(dict.fromkeys(a for root in roots for a in root.each()))

    def only_stores(self) -> None:
        """Leave out loads and nodes: nothing but the addresses of stores is wanted."""
        self.loads, self.indices = [], []
        self.nodes = [[] for _ in self.loops.levels]
        self.accesses = [write.access for write in self.writes]

    def access_level(self, access: Access) -> int:
        """The innermost level on which the access depends."""
        return max(self.loops.level(form) for form in access.forms())

    @property
    def vector_nodes(self) -> list[Node]:
        """Nodes that are evaluated for every vector."""
        return self.nodes[-1]

    # Levels above the vector.

    def enter(self, level: int, indices: Mapping[int, Extent]) -> None:
        """Write what varies with `level` but no deeper; `indices` are its axes' values."""
        self.index.update(indices)
        self.places = {}
        del self._entered[level:]
        if level > 0:
            pointers, valid = self._entered[level - 1]
            self.pointers, self.valid = dict(pointers), dict(valid)
        for access in self.accesses:
            self._advance(access, level, indices)
        self._entered.append((self.pointers, self.valid))
        for param, load in self.loads:
            if self.levels[param] == level < self.loops.last:
                self.values[param] = self._read_invariant(load)
        for param, form in self.indices:
            if self.levels[param] == level < self.loops.last:
                lanes = self.memory.splat_extent(self.evaluate(form))
                self.values[param] = self.memory.builder.wrap(lanes, I64)
        if level < self.loops.last:
            self.run(self.nodes[level], self.values)

    def evaluate(self, form: Affine) -> Extent:
        """The value of a form over the axes bound so far; the vector axis counts as 0."""
        total = self.k.size(form.offset)
        for axis, factor in enumerate(form.factors):
            if factor != 0 and axis in self.index:
                total = add(self.k, total, mul(self.k, self.index[axis], self.k.size(factor)))
        return total

    def _advance(self, access: Access, level: int, indices: Mapping[int, Extent]) -> None:
        """The access's address and validity as far as levels up to this one decide them."""
        item = access.dtype.itemsize
        if level == 0:
            start = mul(self.k, self.k.size(access.at.offset), item)
            self.pointers[access] = offset(self.k, self.base(access), start)
            self.valid[access] = None
        delta: Extent = 0
        for axis, value in indices.items():
            factor = access.at.factors[axis]
            if factor != 0:
                step = mul(self.k, value, self.k.size(factor * item))
                delta = add(self.k, delta, step)
        pointer = offset(self.k, self.pointers[access], delta)
        valid = self.valid[access]
        for guard in access.guards:
            if self.loops.level(guard.at) == level < self.loops.last:
                test = inside_scalar(self.k, self.evaluate(guard.at), self.k.size(guard.size))
                valid = self.memory_and(valid, test)
        for term in access.indirect:
            if self.access_level(term.index) == level < self.loops.last:
                number = self._scalar(term.index)
                point = self.evaluate(term.point)
                checked, usable = checked_scalar(self.k, term, (number, point), self._runs)
                step = mul(self.k, checked, mul(self.k, self.k.size(term.stride), item))
                pointer = offset(self.k, pointer, step)
                valid = self.memory_and(valid, usable)
        self.pointers[access], self.valid[access] = pointer, valid

    def memory_and(self, left: Reg | None, right: Reg | None) -> Reg | None:
        """Both i1 conditions; None is true."""
        return self.memory.both(left, right)

    def _scalar(self, access: Access) -> Reg:
        valid = self.memory_and(self.valid[access], self._runs)
        return self.memory.read_scalar(self.pointers[access], access.dtype, valid)

    def _read_invariant(self, load: Access) -> Lanes:
        lanes = self.memory.splat(self._scalar(load))
        value = self.memory.lanes(lanes, load.dtype)
        valid = self.valid[load]
        if valid is None:
            return value
        mask = self.memory.builder.wrap(self.memory.splat(valid), np.dtype(np.bool_))
        fill = self.memory.builder.const(load.fill, load.dtype)
        return self.memory.builder.select(mask, value, fill)

    def run(self, nodes: Sequence[Node], values: dict[Value, Lanes]) -> None:
        """Evaluate elementwise and source nodes in order."""
        builder = self.memory.builder
        for node in nodes:
            (result,) = node.results
            scalar = node.op.scalar
            if scalar is not None:
                operands = [values[operand] for operand in node.operands]
                values[result] = scalar(builder, *operands, node.attrs)
                continue
            literal = node.attrs.get("value")
            if isinstance(literal, Literal):
                values[result] = builder.const(literal.array.item(), result.type.dtype)
                continue
            size = node.attrs["size"]
            lanes = self.memory.splat_extent(self.k.size(size))  # type: ignore[arg-type]
            values[result] = builder.wrap(lanes, I64)

    # The vector's level.

    def vector(
        self, position: Position, *given: Lanes, known: Mapping[Access, Lanes] = _NONE
    ) -> tuple[Lanes, ...]:
        """Write loads and nodes of one vector; returns the wanted results.

        `given`: values of the body's leading params.  `known`: loads that need not be written.
        """
        self.places = {}
        values = dict(self.values) | dict(zip(self.work.body.params, given, strict=False))
        accesses = VectorAccess(self, position)
        inner = [(p, load) for p, load in self.loads if self.levels[p] == self.loops.last]
        values |= {param: known[load] for param, load in inner if load in known}
        inner = [(param, load) for param, load in inner if param not in values]
        for (param, _), value in zip(
            inner, accesses.read([load for _, load in inner]), strict=True
        ):
            values[param] = value
        for param, form in self.indices:
            if self.levels[param] == self.loops.last and param not in values:
                values[param] = self.memory.builder.wrap(accesses.lanes_of(form), I64)
        first = len(self.k.lines)
        self.run(self.vector_nodes, values)
        results = tuple(values[result] for result in self.results)
        if self.reorders:
            kept = {lanes.name for lanes in (*results, *(self.memory.builder.deferred or ()))}
            self.k.lines[first:] = ordered(self.k.lines[first:], kept)
        return results

    def store(self, position: Position, values: Sequence[tuple[int, Lanes]]) -> None:
        """Write lanes to the accesses of the numbered writes of `self.writes`."""
        pairs = [(self.writes[number], value) for number, value in values]
        VectorAccess(self, position).write(pairs)
