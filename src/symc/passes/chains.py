"""Products of three and more matrices in their cheapest order: `(A @ B) @ v` as `A @ (B @ v)`.

before: any tensor function.  after: with `numerics="fast"` a chain of plain matrix products, none
of whose inner results is needed elsewhere, is multiplied in the order with the fewest
multiplications (dynamic programming over the sizes).  The licence is `reassoc`: the bound of a
contraction is that of one product, and another order has other products.

A size that is not known takes several values, small and large; the order that is cheapest at the
middle one is taken if it is no dearer than the written one at any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Final

from symc.ir import ops, term
from symc.ir.build import placed_at
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size, substitute, symbols
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes import dce
from symc.passes.share import Note
from symc.passes.sweep import Sweep
from symc.records import dataclass

LICENCE: Final = "reassoc"
TRIED: Final = (64, 4, 1024)  # values of a size that is not known, the first for the choice
UNKNOWN: Final = 3  # unknown sizes beyond which a chain is left as it is
LONGEST: Final = 32  # factors of a chain: the search is cubic
LESS: Final = 0.9  # part of the multiplications that may remain

# How a chain is multiplied: a factor's number, or two parts.
Tree = int | tuple["Tree", "Tree"]


@dataclass(frozen=True, slots=True)
class Factor:
    """A matrix or vector in a chain; `turned`: its rows are its second axis, or a row is meant."""

    value: Value
    turned: bool

    def axes(self, *, first: bool) -> tuple[int | None, int | None]:
        """Which axes are its rows and columns; a vector is a row at the head of a chain."""
        if self.value.type.rank == 2:
            return (1, 0) if self.turned else (0, 1)
        return (None, 0) if first else (0, None)


def run(function: Function, options: Options, note: Note | None = None) -> Function:
    """Multiply chains in their cheapest order, where the options allow it."""
    if LICENCE not in options.licences or sum(n.op is ops.DOT for n in function.nodes) < 2:
        return function
    live = dce.run(function, options)
    uses = live.uses()
    inner = {
        node.results[0]
        for node in live.nodes
        if _is_plain(node)
        and [_is_plain(user) for user in uses.get(node.results[0], ())] == [True]
        and node.results[0] not in function.results
    }

    def visit(node: Node) -> Sequence[Value] | None:
        if not _is_plain(node) or node.results[0] in inner:
            return None
        made = _reordered(node, inner)
        if made is not None and note is not None:
            note("matrix_chain", node.results[0], made)
        return None if made is None else (made,)

    return Sweep(function).run(visit)


def _is_plain(node: Node) -> bool:
    """Whether a node is a product of matrices or vectors that may be summed in any order."""
    if node.op is not ops.DOT or node.attrs["order"] != "any":
        return False
    axes = _axes(node)
    ranks = {operand.type.rank for operand in node.operands}
    plain = not axes.lhs_batch and len(axes.lhs_contract) == 1
    return plain and ranks <= {1, 2} and node.results[0].type.rank > 0


def _axes(node: Node) -> DotAxes:
    left, right = node.operands
    return dot_axes(left.type.rank, right.type.rank, node.attrs)


def _reordered(root: Node, inner: set[Value]) -> Value | None:
    """The chain under `root` in its cheapest order; None when it is in that order."""
    written, factors = _chain(root, inner)
    if not 3 <= len(factors) <= LONGEST:
        return None
    sizes = _sizes(factors)
    names = sorted({symbol.name for size in sizes for symbol in symbols(size)})
    if len(names) > UNKNOWN:
        return None
    values = [dict(zip(names, case, strict=True)) for case in product(TRIED, repeat=len(names))]
    cases = [[_known(size, value) for size in sizes] for value in values]
    best = _cheapest(cases[0])
    if _count(best, cases[0]) > LESS * _count(written, cases[0]):
        return None
    if any(_count(best, case) > _count(written, case) for case in cases):
        return None
    with placed_at(root.locations):
        return _built(best, factors)


def _known(size: Size, values: dict[str, int]) -> int:
    found = substitute(size, dict(values))
    return found if isinstance(found, int) else TRIED[0]


def _chain(root: Node, inner: set[Value]) -> tuple[Tree, list[Factor]]:
    """How a chain is multiplied, and its factors from left to right."""
    factors: list[Factor] = []
    done: list[Tree] = []
    # A value to take apart, and whether it is turned; None: join the last two trees.
    todo: list[tuple[Value, bool] | None] = [(root.results[0], False)]
    while todo:
        item = todo.pop()
        if item is None:
            right, left = done.pop(), done.pop()
            done.append((left, right))
            continue
        value, turned = item
        node = value.node
        if node is None or (value not in inner and node is not root):
            factors.append(Factor(value, turned))
            done.append(len(factors) - 1)
            continue
        parts = list(_operands(node))
        if turned:
            parts = [(operand, not over) for operand, over in reversed(parts)]
        todo += [None, parts[1], parts[0]]
    return done[0], factors


def _operands(node: Node) -> Iterator[tuple[Value, bool]]:
    """The two factors of a product, and whether each is turned before it is multiplied."""
    axes = _axes(node)
    for side, contract in enumerate((axes.lhs_contract[0], axes.rhs_contract[0])):
        operand = node.operands[side]
        if operand.type.rank == 2:
            yield operand, contract == side
        else:
            yield operand, side == (0 if _is_column(operand) else 1)


def _is_column(value: Value) -> bool:
    """Whether a vector that a product makes has the rows of its left factor."""
    node = value.node
    return node is not None and node.op is ops.DOT and bool(_axes(node).lhs_free)


def _sizes(factors: Sequence[Factor]) -> list[Size]:
    """Rows of each factor, and the columns of the last."""
    found: list[Size] = []
    for i, factor in enumerate(factors):
        rows, columns = factor.axes(first=i == 0)
        found.append(1 if rows is None else factor.value.type.shape[rows])
    found.append(1 if columns is None else factor.value.type.shape[columns])
    return found


def _cheapest(sizes: Sequence[int]) -> Tree:
    """The order with the fewest multiplications."""
    count = len(sizes) - 1
    costs: dict[tuple[int, int], int] = {(i, i): 0 for i in range(count)}
    trees: dict[tuple[int, int], Tree] = {(i, i): i for i in range(count)}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            costs[i, j], cut = min(
                (costs[i, k] + costs[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
            trees[i, j] = (trees[i, cut], trees[cut + 1, j])
    return trees[0, count - 1]


def _count(tree: Tree, sizes: Sequence[int]) -> int:
    """Multiplications of an order."""
    total, todo = 0, [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, tuple):
            first, cut, last = _edge(part, 0), _edge(part[1], 0), _edge(part, 1)
            total += sizes[first] * sizes[cut] * sizes[last + 1]
            todo += part
    return total


def _edge(tree: Tree, side: int) -> int:
    """The first (0) or last (1) factor of a tree."""
    while isinstance(tree, tuple):
        tree = tree[side]
    return tree


Made = tuple[Term, int | None, int | None]  # a product, its axis of rows, its axis of columns


def _built(tree: Tree, factors: Sequence[Factor]) -> Value:
    """The products, innermost first."""
    done: list[Made] = []
    todo: list[Tree | Callable[[Made, Made], Made]] = [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, tuple):
            todo += [_times, part[1], part[0]]
        elif isinstance(part, int):
            done.append((Term(factors[part].value), *factors[part].axes(first=part == 0)))
        else:
            right, left = done.pop(), done.pop()
            done.append(part(left, right))
    return done[0][0].value


def _times(left: Made, right: Made) -> Made:
    x, rows, over = left
    y, under, columns = right
    assert over is not None
    assert under is not None
    axes = DotAxes((), (), (over,), (under,), (), ())
    made = term.apply_op(ops.DOT, (x, y), axes.attrs("any"))
    row = None if rows is None else 0
    return made, row, None if columns is None else made.rank - 1
