"""Loops whose values are few: the whole state lies in registers.

before: a scan or a while loop whose values have static shapes of a few elements each.  after: a
native loop in which every element of every value is a scalar register: carries are phis, steps of
sequences are loaded and ys stored element by element, constants are loaded once.  Constants of any
size from which steps take elements (`tables`) stay in memory.  Nothing is called in a step and
nothing but sequences, ys and tables touches memory.

Bits are those of the kernels: elementwise ops by their scalar rule, sums over the fixed tree;
contractions are ascending fma chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Final

import numpy as np

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import add, as_reg, mul
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.indirect import checked_scalar
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder, memory_type
from symc.codegen_llvm.space import Access, Indirect
from symc.codegen_llvm.text import Reg
from symc.ir import ops
from symc.ir.affine import Affine
from symc.ir.core import Function, Node, Value
from symc.ir.ops import attributes
from symc.ir.ops.contract import dot_axes
from symc.ir.ops.loop_groups import groups, while_groups
from symc.ir.ops.record import EvaluateContext, Kind
from symc.ir.ops.reduce import LANES
from symc.ir.types import TensorType
from symc.passes.fuse_cost import cost
from symc.records import dataclass

ELEMENTS: Final = 32  # of one value
STATE: Final = 48  # elements of all params of a body
WORK: Final = 600  # estimated instructions of a step

_PLACED: Final = frozenset({Kind.VIEW, Kind.ASSEMBLE})
_KNOWN: Final = frozenset(
    {Kind.ELEMENTWISE, Kind.SOURCE, Kind.VIEW, Kind.ASSEMBLE, Kind.REDUCE, Kind.CONTRACT}
)

_TAKEN: Final = 8  # estimated instructions of an element that is taken from a table

Elements = list[Lanes]


@dataclass(frozen=True, slots=True)
class Table:
    """A constant that stays in memory, contiguous."""

    place: Reg
    type: TensorType


Given = Elements | Table


def fits(loop: Node) -> bool:
    """Whether all values of a loop's bodies are few enough, and made by ops that are known here."""
    if loop.op is ops.SCAN:
        consts = groups(loop).consts
    elif loop.op is ops.WHILE:
        consts = while_groups(loop).consts
    else:
        return False
    far = tables(loop.regions, consts)
    whole = all(_fits_body(body, far) for body in loop.regions)
    return whole and work(loop.regions) <= WORK


def _fits_body(body: Function, far: frozenset[Value]) -> bool:
    near = sum(_count(param.type) for param in body.params if param not in far)
    return near <= STATE and all(_fits_node(node, far) for node in body.nodes)


def tables(bodies: Iterable[Function], consts: int) -> frozenset[Value]:
    """Constants, and other shapes of them, that all bodies only take elements from."""
    roots: dict[Value, int] = {}
    taken: set[int] = set()
    plain: set[int] = set()  # read in another way
    for body in bodies:
        roots |= {param: i for i, param in enumerate(body.params[:consts])}
        for node in body.nodes:
            rest = node.operands
            if node.op in {ops.RESHAPE, ops.TAKE} and rest[0] in roots:
                if node.op is ops.TAKE:
                    taken.add(roots[rest[0]])
                else:
                    roots[node.results[0]] = roots[rest[0]]
                rest = rest[1:]
            plain |= {roots[x] for x in rest if x in roots}
        plain |= {roots[x] for x in body.results if x in roots}
    return frozenset(x for x, i in roots.items() if i in taken - plain and _is_table(x.type))


def _is_table(type: TensorType) -> bool:
    return isinstance(type.elements, int) and type.elements > 0


def work(functions: Iterable[Function]) -> int:
    """The estimated instructions of one run of bodies that fit."""
    return sum(_work(node) for function in functions for node in function.nodes)


def _count(type: TensorType) -> int:
    """The number of elements; more than fit when it is not known."""
    return type.elements if isinstance(type.elements, int) else STATE + 1


def _fits_node(node: Node, far: frozenset[Value]) -> bool:
    if node.op in {ops.TAKE, ops.RESHAPE} and node.operands[0] in far:
        values = (*node.operands[1:], *node.results)
        return all(value in far or _count(value.type) <= ELEMENTS for value in values)
    if node.op.kind not in _KNOWN or node.op.effects:
        return False
    if node.op is ops.SIZE and not isinstance(node.attrs["size"], int):
        return False
    values = (*node.operands, *node.results)
    return all(_count(value.type) <= ELEMENTS for value in values)


def _work(node: Node) -> int:
    made = sum(_count(result.type) for result in node.results)
    match node.op.kind:
        case Kind.ELEMENTWISE:
            return made * cost(node)
        case Kind.GATHER:
            return made * _TAKEN
        case Kind.REDUCE:
            return 2 * _count(node.operands[0].type)
        case Kind.CONTRACT:
            left = node.operands[0].type
            axes = dot_axes(left.rank, node.operands[1].type.rank, node.attrs)
            terms = [left.shape[axis] for axis in axes.lhs_contract]
            return made * int(np.prod([t for t in terms if isinstance(t, int)], dtype=np.int64))
        case _:
            return 0


class Registers:
    """Evaluates small functions element by element, through `k`."""

    def __init__(self, k: KernelEmitter, outline: frozenset[str]) -> None:
        self._k = k
        self._b = LlvmBuilder(k, 1, outline=outline)
        self._context = EvaluateContext({}, "chain", _no_regions)

    # Memory.
    def load(self, pointer: Reg, type: TensorType) -> Elements:
        """All elements of a value from memory."""
        found = []
        memory = memory_type(type.dtype)
        for i in range(_count(type)):
            at = self._at(pointer, memory, i)
            align = type.dtype.itemsize
            reg = self._k.emit(memory, f"load {memory}, {at}, align {align}")
            found.append(self._b.from_memory(reg, type.dtype))
        return found

    def store(self, pointer: Reg, type: TensorType, elements: Elements) -> None:
        """All elements of a value to memory."""
        memory = memory_type(type.dtype)
        for i, element in enumerate(elements):
            at = self._at(pointer, memory, i)
            self._k.line(f"store {self._b.to_memory(element)}, {at}, align {type.dtype.itemsize}")

    def _at(self, pointer: Reg, memory: str, i: int) -> Reg:
        if i == 0:
            return pointer
        return self._k.emit("ptr", f"getelementptr {memory}, {pointer}, i64 {i}")

    # Registers.
    def reg(self, element: Lanes) -> Reg:
        """An element as a register."""
        return self._b.reg(element)

    def wrapped(self, reg: Reg, dtype: np.dtype) -> Lanes:
        """A register as an element."""
        return self._b.wrap(reg, dtype)

    def type(self, dtype: np.dtype) -> str:
        """The LLVM type of an element."""
        return self._b.type(dtype)

    def constants(self, pointers: Sequence[Reg], bodies: Sequence[Function]) -> list[Given]:
        """The first params of all bodies, which lie at `pointers`: loaded, or as tables."""
        far = tables(bodies, len(pointers))
        return [
            Table(pointer, x.type) if x in far else self.load(pointer, x.type)
            for pointer, x in zip(pointers, bodies[-1].params, strict=False)
        ]

    def run(self, function: Function, given: Sequence[Given]) -> list[Elements]:
        """The results of a function on elements of its params."""
        values: dict[Value, Elements] = {}
        far: dict[Value, Table] = {}
        for param, x in zip(function.params, given, strict=True):
            if isinstance(x, Table):
                far[param] = x
            else:
                values[param] = x
        for number, node in enumerate(function.nodes):
            result, first = node.results[0], node.operands[0] if node.operands else None
            if first not in far:
                values[result] = self._node(node, [values[x] for x in node.operands])
            elif node.op is ops.RESHAPE:
                far[result] = Table(far[first].place, result.type)
            else:
                index = values[node.operands[1]]
                values[result] = self._taken(node, far[first], index, number)
        return [values[result] for result in function.results]

    def _taken(self, node: Node, table: Table, index: Elements, number: int) -> Elements:
        """Elements of a table at computed places, as the mode of the node says."""
        axis, mode = attributes.integer(node.attrs, "axis"), node.attrs["mode"]
        assert isinstance(mode, str)
        sizes = [int(str(size)) for size in table.type.shape]
        inner, size = prod(sizes[axis + 1 :]), sizes[axis]
        dtype = node.operands[1].type.dtype
        nowhere = Affine((), 0)
        term = Indirect(Access(0, dtype, nowhere), 1, size, mode, number, nowhere)
        found = []
        places = []
        for point, element in enumerate(index):
            read = (self._b.reg(element), point)
            places.append(checked_scalar(self._k, term, read, None))
        for outer in range(prod(sizes[:axis])):
            for at, usable in places:
                first = mul(self._k, at, inner)
                for i in range(inner):
                    place = add(self._k, first, outer * size * inner + i)
                    found.append(self._one(table, place, usable))
        return found

    def _one(self, table: Table, place: Extent, usable: Reg | None) -> Lanes:
        """One element of a table; 0 where it is not usable."""
        dtype = table.type.dtype
        memory = memory_type(dtype)
        at = self._k.emit("ptr", f"getelementptr {memory}, {table.place}, {as_reg(place)}")
        reg = self._k.emit(memory, f"load {memory}, {at}, align {dtype.itemsize}")
        value = self._b.from_memory(reg, dtype)
        if usable is None:
            return value
        wanted = self._b.wrap(usable, np.dtype(np.bool_))
        found: Lanes = self._b.select(wanted, value, self._b.const(0, dtype))
        return found

    def _node(self, node: Node, operands: list[Elements]) -> Elements:
        kind = node.op.kind
        if kind is Kind.ELEMENTWISE:
            assert node.op.scalar is not None
            scalar = node.op.scalar
            return [scalar(self._b, *row, node.attrs) for row in zip(*operands, strict=True)]
        if kind is Kind.SOURCE:
            return self._source(node)
        if kind in _PLACED:
            pool = [element for elements in operands for element in elements]
            return [pool[i] for i in self._places(node)]
        if kind is Kind.REDUCE:
            return self._reduced(node, operands[0])
        return self._contracted(node, operands[0], operands[1])

    def _source(self, node: Node) -> Elements:
        (array,) = node.op.evaluate(self._context, [], node)
        dtype = node.results[0].type.dtype
        return [self._b.const(x, dtype) for x in np.asarray(array).reshape(-1).tolist()]

    def _places(self, node: Node) -> list[int]:
        """Where each element of a view, or of assembled pieces, comes from."""
        numbers, start = [], 0
        for operand in node.operands:
            count = _count(operand.type)
            shape = tuple(int(str(size)) for size in operand.type.shape)
            numbers.append(np.arange(start, start + count).reshape(shape))
            start += count
        (found,) = node.op.evaluate(self._context, numbers, node)
        places: list[int] = np.asarray(found).reshape(-1).tolist()
        return places

    def _reduced(self, node: Node, elements: Elements) -> Elements:
        assert node.op.reducer is not None
        type = node.operands[0].type
        axes = attributes.integers(node.attrs, "axes")
        kept = [axis for axis in range(type.rank) if axis not in axes]
        numbers = _numbered(type).transpose((*kept, *axes))
        length = int(np.prod([numbers.shape[i] for i in range(len(kept), type.rank)], dtype=int))
        rows = numbers.reshape(-1, length) if length else np.zeros((0, 0), int)
        if not length:
            rows = np.zeros((_count(node.results[0].type), 0), int)
        return [self._row(node, [elements[i] for i in row]) for row in rows.tolist()]

    def _row(self, node: Node, row: Elements) -> Lanes:
        """One reduction by the fixed tree; lanes beyond the row are skipped."""
        assert node.op.reducer is not None
        reducer, dtype = node.op.reducer(node.attrs), node.operands[0].type.dtype
        index = np.dtype(np.int64)
        started = [reducer.start(self._b, x, self._b.const(i, index)) for i, x in enumerate(row)]
        width = min(LANES, 1 << max(len(row) - 1, 0).bit_length())
        if not started:
            carried = reducer.carried(dtype)
            pairs = zip(reducer.identity(dtype), carried, strict=True)
            started = [tuple(self._b.const(value, d) for value, d in pairs)]
        while width > 1:
            width //= 2
            low, high = started[:width], started[width:]
            started = [
                reducer.combine(self._b, x, high[i]) if i < len(high) else x
                for i, x in enumerate(low)
            ]
        found = reducer.finish(self._b, started[0])
        if not row and dtype.kind == "f":
            found = self._b.add(found, self._b.const(0.0, self._b.dtype(found)))
        result: Lanes = found
        return result

    def _contracted(self, node: Node, left: Elements, right: Elements) -> Elements:
        """Ascending chains from +0, as the oracle sums in chain order."""
        types = [operand.type for operand in node.operands]
        axes = dot_axes(types[0].rank, types[1].rank, node.attrs)
        a = _grouped(types[0], (axes.lhs_batch, axes.lhs_free, axes.lhs_contract))
        b = _grouped(types[1], (axes.rhs_batch, axes.rhs_contract, axes.rhs_free))
        dtype = node.results[0].type.dtype
        found = []
        for batch in range(a.shape[0]):
            for m in range(a.shape[1]):
                for n in range(b.shape[2]):
                    total = self._b.const(0.0 if dtype.kind == "f" else 0, dtype)
                    for i, j in zip(a[batch, m].tolist(), b[batch, :, n].tolist(), strict=True):
                        total = self._b.fma(left[i], right[j], total)
                    found.append(total)
        return found


def _no_regions(*_: object) -> tuple[np.ndarray, ...]:
    raise AssertionError("a body in registers has no regions")


def _numbered(type: TensorType) -> np.ndarray:
    shape = tuple(int(str(size)) for size in type.shape)
    return np.arange(_count(type)).reshape(shape)


def _grouped(type: TensorType, axes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The numbers of elements over three groups of axes."""
    numbers = _numbered(type)
    sizes = [int(np.prod([numbers.shape[i] for i in group], dtype=int)) for group in axes]
    return numbers.transpose([i for group in axes for i in group]).reshape(sizes)
