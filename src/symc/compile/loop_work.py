"""Work of operations for the report: arithmetic, bytes, and the shapes of contractions.

before: nodes, steps of loops, or what was made outside of one.  after: `Work` and `Product`s in
the sizes of the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, size_product
from symc.ir.formula import formula
from symc.ir.ops.contract import dot_axes
from symc.ir.ops.loop_groups import groups, while_groups
from symc.ir.ops.record import Kind
from symc.ir.report_loops import Product, Work

SHOWN: Final = 48
_NOTHING: Final[Mapping[Value, str]] = {}


def flops(node: Node) -> Size:
    """Arithmetic operations of a node; one step of a while loop, all branches of a choice."""
    match node.op.kind:
        case Kind.ELEMENTWISE:
            return node.results[0].type.elements
        case Kind.REDUCE:
            return node.operands[0].type.elements
        case Kind.CONTRACT:
            return product(node).flops
        case Kind.SCATTER:
            return node.operands[-1].type.elements
        case Kind.CONTROL:
            return length(node) * _total(n for region in node.regions for n in region.nodes)
        case Kind.SOURCE | Kind.VIEW | Kind.ASSEMBLE | Kind.GATHER:
            return 0


def length(node: Node) -> Size:
    """How often the regions of a node run, as far as that is known."""
    return groups(node).length if node.op is ops.SCAN else 1


def _total(nodes: Iterable[Node]) -> Size:
    total: Size = 0
    for node in nodes:
        total = total + flops(node)
    return total


def step_work(body: Function) -> Work:
    """The work of one run of a body: its params that are read, and its results."""
    return made_work(body.nodes, body.params, body.results)


def made_work(nodes: Sequence[Node], given: Iterable[Value], results: Iterable[Value]) -> Work:
    """The work of nodes that compute `results` from `given`."""
    readers: dict[Value, list[Node]] = {}
    for node in nodes:
        for x in node.operands:
            readers.setdefault(x, []).append(node)
    moved: Size = 0
    for value in given:
        moved = moved + _read(value, readers.get(value, ()))
    for value in dict.fromkeys(results):
        moved = moved + value.type.bytes
    return Work(_total(nodes), moved)


def _read(value: Value, readers: Sequence[Node]) -> Size:
    """Bytes that are read of an array: rows and pieces where nothing else is."""
    if not readers:
        return 0
    total: Size = 0
    for node in readers:
        rows = node.op.kind is Kind.GATHER and node.operands[0] is value
        if not rows and node.op is not ops.SLICE:
            return value.type.bytes
        total = total + node.results[0].type.bytes
    return total


def product(node: Node, names: Mapping[Value, str] = _NOTHING) -> Product:
    """The shape of a contraction."""
    left, right = (operand.type for operand in node.operands)
    axes = dot_axes(left.rank, right.rank, node.attrs)
    return Product(
        formula(node.results[0], SHOWN, names),
        node.locations[0],
        _sizes(left.shape, axes.lhs_batch),
        _sizes(left.shape, axes.lhs_free),
        _sizes(right.shape, axes.rhs_free),
        _sizes(left.shape, axes.lhs_contract),
    )


def _sizes(shape: Sequence[Size], axes: Iterable[int]) -> Size:
    return size_product(tuple(shape[axis] for axis in axes))


def products(nodes: Iterable[Node], names: Mapping[Value, str] = _NOTHING) -> list[Product]:
    """The contractions among nodes."""
    return [product(node, names) for node in nodes if node.op.kind is Kind.CONTRACT]


def called(values: Iterable[Value]) -> dict[Value, str]:
    """What the results of loops are called."""
    found = {}
    for value in values:
        node = value.node
        if node is None or node.op not in {ops.SCAN, ops.WHILE}:
            continue
        i, title = value.index, node.regions[-1].name
        carries = groups(node).carries if node.op is ops.SCAN else while_groups(node).carries
        ways = f"{title}(reversed)" if node.op is ops.SCAN and groups(node).reverse else title
        found[value] = f"{ways}.last{i}" if i < carries else f"{ways}.ys{i - carries}"
    return found
