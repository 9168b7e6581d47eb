"""Forming contractions: sums of products become matrix products, where that is faster.

before: any tensor function without calls.  after: `sum(a * b)` is a `dot` when each factor is
constant along some axis that the other has (a matrix product written with broadcasts), or when one
factor is a matrix that lies in memory and is read by nothing else (a product with a vector).  A sum
of several matrix products is several sums.  A `dot` without free axes is `sum(a * b)`, one without
a sum is `a * b`, one with ones a sum; the sign of an operand leaves it.

The licence is `contraction`, so nothing happens under `contract="chain"`: sums keep their tree, and
contractions their chain.  With `numerics="fast"` the factors of a longer product are first sorted
by the axes that they have.

Before a function is differentiated nothing is formed: a sum leaves out a slope that is infinite
where nothing is selected, a contraction would multiply it by 0.  So the gradient of a product that
was written with broadcasts has contractions with `numerics="fast"` only; that of `x @ w` always.

Why not every sum of products (2 Zen 3 cores, AVX2, f32, one thread): a sum over axes that both
factors have is bound by memory, its row or column kernel runs at the speed of memory, and what
computes the factors is fused into it.  `sum(x * y)` of a million takes 120 us and the dot of
vectors 219; `sum(A * B, 1)` of 1000 x 1000 takes 73 us, the batched dot 224; over columns 165 and
2544.  A product with a vector gains up to a half (1000 x 1000 by columns: 136 us and 60), but only
where no other kernel reads the matrix anyway, and not where batches are tiny (1000 of 10 x 10: 23
us and 32).  Products of matrices gain at every size tried (2 x 2 x 2: 10 %; 60 x 40 x 50: 20-fold).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from symc.ir import ops, term
from symc.ir.core import Function, Node, Value
from symc.ir.dims import size_product
from symc.ir.ops.attributes import integers
from symc.ir.ops.contract import DotAxes, dot_axes
from symc.ir.ops.record import Kind
from symc.ir.options import CONTRACTION, Options
from symc.ir.term import Term
from symc.passes.algebra_dots import SIGNS_AND_ONES
from symc.passes.draw import Draw
from symc.passes.factors import Factor, Group, factor, leaves, sorted_factors
from symc.passes.pattern import Apply, Hole, Match, Rule, RuleSet
from symc.passes.rewrite import Fired, rewrite
from symc.passes.uniform import NOTHING, Opaque
from symc.records import dataclass

ANY: Final = "any"
X, Y = Hole("x"), Hole("y")
TINY: Final = 1024  # elements of a batch's matrix below which a product with a vector is not formed
TERMS: Final = 16  # products in one sum that are looked at

# Whether nothing else reads a value.
Once = Callable[[Value], bool]
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """The axes of a product as those of a `dot`, and what the result is multiplied by."""

    left: Group
    right: Group
    batch: tuple[int, ...]
    contract: tuple[int, ...]
    left_free: tuple[int, ...]
    right_free: tuple[int, ...]
    outside: tuple[Factor, ...] = ()

    def swapped(self) -> Parts:
        """The factors exchanged."""
        return replace(
            self,
            left=self.right,
            right=self.left,
            left_free=self.right_free,
            right_free=self.left_free,
        )

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the result of the `dot`."""
        return (*self.batch, *self.left_free, *self.right_free)


def parts_of(
    product: Value, reduced: frozenset[int], left: Group, right: Group, outside: tuple[Factor, ...]
) -> Parts | None:
    """A product of two groups as a contraction over `reduced`; None when it is none."""
    wide = [axis for axis, size in enumerate(product.type.shape) if size != 1]
    ours, theirs = set(left.axes), set(right.axes)
    contract = tuple(axis for axis in wide if axis in reduced)
    if not contract or not ours & theirs >= set(contract):
        return None
    kept = [axis for axis in wide if axis not in reduced]
    batch = tuple(axis for axis in kept if axis in ours and axis in theirs)
    left_free = tuple(axis for axis in kept if axis in ours - theirs)
    right_free = tuple(axis for axis in kept if axis in theirs - ours)
    if not left_free and not right_free:
        return None
    return Parts(left, right, batch, contract, left_free, right_free, outside)


def as_dot(m: Match, parts: Parts) -> Term:
    """The contraction, spread out to the type of the sum `m.root`."""
    (product,) = m.node.operands
    if list(parts.order) != sorted(parts.order):
        parts = min(parts, parts.swapped(), key=lambda p: list(p.order) != sorted(p.order))
    left, right = parts.left.axes, parts.right.axes
    axes = DotAxes(
        tuple(left.index(axis) for axis in parts.batch),
        tuple(right.index(axis) for axis in parts.batch),
        tuple(left.index(axis) for axis in parts.contract),
        tuple(right.index(axis) for axis in parts.contract),
        (),
        (),
    )
    order = _free_order(parts)
    operands = (parts.left.term(product), parts.right.term(product))
    made = term.apply_op(ops.DOT, operands, axes.attrs(ANY))
    made = made.permute(sorted(range(len(order)), key=order.__getitem__))
    reduced = integers(m.node.attrs, "axes")
    kept = [axis for axis in range(product.type.rank) if axis not in reduced]
    made = made.broadcast(m.root.type.shape, [kept.index(axis) for axis in sorted(order)])
    for each in parts.outside:
        made = made * each.over(kept, product)
    return made


def _free_order(parts: Parts) -> list[int]:
    """The axes of the product that the `dot` has, free ones as its operands have them."""
    left = [axis for axis in parts.left.axes if axis in parts.left_free]
    right = [axis for axis in parts.right.axes if axis in parts.right_free]
    return [*parts.batch, *left, *right]


def _two_factors(product: Value, reduced: frozenset[int], opaque: Opaque) -> Parts | None:
    """A product as it is written."""
    assert product.node is not None
    left, right = (Group((factor(operand, opaque),)) for operand in product.node.operands)
    return parts_of(product, reduced, left, right, ())


def _many_factors(product: Value, reduced: frozenset[int], opaque: Opaque) -> Parts | None:
    """A product of more than two factors, sorted by their axes."""
    found = leaves(product, opaque)
    if found is None or len(found) < 3:
        return None
    groups = sorted_factors([factor(each, opaque) for each in found], reduced)
    if groups is None:
        return None
    outside, left, right = groups
    return parts_of(product, reduced, left, right, tuple(outside))


def _reduced(node: Node) -> frozenset[int]:
    return frozenset(integers(node.attrs, "axes"))


def _matrices(parts: Parts | None) -> bool:
    return parts is not None and bool(parts.left_free) and bool(parts.right_free)


def _with_vector(parts: Parts | None, product: Value, once: Once) -> bool:
    """Whether one side is a matrix in memory that only this product reads."""
    if parts is None or (parts.left_free and parts.right_free):
        return False
    group = parts.left if parts.left_free else parts.right
    if len(group.factors) != 1:
        return False
    (matrix,) = group.factors
    if matrix.steps or not _in_memory(matrix.base) or not all(map(once, matrix.path)):
        return False
    inner = (*parts.contract, *parts.left_free, *parts.right_free)
    size = size_product(tuple(product.type.shape[axis] for axis in inner))
    return not parts.batch or not isinstance(size, int) or size >= TINY


_STORED: Final = frozenset({Kind.CONTRACT, Kind.SCATTER, Kind.ASSEMBLE})


def _in_memory(value: Value) -> bool:
    return value.node is None or value.node.op.kind in _STORED


# Sums of several products.


def _products(value: Value, opaque: Opaque) -> list[Value]:
    """The products that `value` adds up; none when it adds up anything else, or too much."""
    found: list[Value] = []
    todo = [value]
    while todo:
        top = todo.pop()
        op = None if top.node is None or top in opaque else top.node.op
        if op not in (ops.ADD, ops.SUB, ops.MUL) or len(found) + len(todo) > TERMS:
            return []
        assert top.node is not None
        if op is ops.MUL:
            found.append(top)
        else:
            todo.extend(top.node.operands)
    return found


def _apart(m: Match) -> Term:
    """The sum of two products as two sums, added or subtracted as they are."""
    below = m.node.operands[0].node
    assert below is not None
    axes = integers(m.node.attrs, "axes")
    left, right = (Term(operand).sum(axes) for operand in below.operands)
    return term.make(below.op, left, right)


# Contractions that are none.


def _axes_of(m: Match) -> DotAxes:
    left, right = m.node.operands
    return dot_axes(left.type.rank, right.type.rank, m.node.attrs)


def _no_free_axes(m: Match) -> bool:
    axes = _axes_of(m)
    free = (*axes.lhs_free, *axes.rhs_free)
    return m.node.attrs["order"] == ANY and bool(axes.lhs_contract) and not free


def _no_sum(m: Match) -> bool:
    return m.node.attrs["order"] == ANY and not _axes_of(m).lhs_contract


def _as_sum(m: Match) -> Term:
    axes = _axes_of(m)
    product = m["x"].permute((*axes.lhs_batch, *axes.lhs_contract))
    product = product * m["y"].permute((*axes.rhs_batch, *axes.rhs_contract))
    return product.sum(range(len(axes.lhs_batch), product.rank))


def _as_product(m: Match) -> Term:
    axes, shape = _axes_of(m), m.root.type.shape
    left = m["x"].permute((*axes.lhs_batch, *axes.lhs_free))
    right = m["y"].permute((*axes.rhs_batch, *axes.rhs_free))
    shared, ours = len(axes.lhs_batch), left.rank
    right_axes = (*range(shared), *range(ours, len(shape)))
    return left.broadcast(shape, range(ours)) * right.broadcast(shape, right_axes)


# Instances and near misses of the rows.


def _outer(d: Draw) -> tuple[Term, Term]:
    """Factors of a matrix product, spread out over (m, k, n)."""
    m, k, n = (d.size() for _ in range(3))
    left, right = d.input((m, k)), d.input((n, k)).permute((1, 0))
    return left.broadcast((m, k, n), (0, 1)), right.broadcast((m, k, n), (1, 2))


def _matrix_product(d: Draw) -> Term:
    left, right = _outer(d)
    return ((left if d.flip() else -left) * right).sum((1,))


def _scaled_matrix(d: Draw) -> Term:
    left, right = _outer(d)
    return term.make(ops.SCALE, left, right).sum((1,))


def _vector_product(d: Draw) -> Term:
    m, k = d.size(), d.size()
    return (d.input((m, k)) * d.input((k,)).broadcast((m, k), (1,))).sum((1,))


def _row_products(d: Draw) -> Term:
    shape = d.shape(2)
    return (d.input(shape) * d.input(shape)).sum((1,))


def _sum_of_one_factor(d: Draw) -> Term:
    """A reduced axis that only one factor has."""
    m, k, n = (d.size() for _ in range(3))
    left, right = d.input((m,)), d.input((k, n))
    return (left.broadcast((m, k, n), (0,)) * right.broadcast((m, k, n), (1, 2))).sum((1,))


def _computed_matrix(d: Draw) -> Term:
    m, k = d.size(), d.size()
    matrix = term.make(ops.TANH, d.input((m, k)))
    return (matrix * d.input((k,)).broadcast((m, k), (1,))).sum((1,))


def _weighted(d: Draw) -> Term:
    """A product of three factors, of which one has no reduced axis."""
    left, right = _outer(d)
    weight = d.input(left.shape[2:]).broadcast(left.shape, (2,))
    return (left * right * weight).sum((1,))


def _full_weight(d: Draw) -> Term:
    left, right = _outer(d)
    return (left * right * d.input(left.shape)).sum((1,))


def _two_products(d: Draw) -> Term:
    (left, right), sign = _outer(d), d.flip()
    other = left * d.input(right.shape[1:]).broadcast(left.shape, (1, 2))
    return (left * right + other if sign else left * right - other).sum((1,))


def _dot_of_elements(d: Draw) -> Term:
    """A contraction that multiplies element by element."""
    m, k = d.size(), d.size()
    return _dot(d.input((m, k)), d.input((k, m)), DotAxes((0, 1), (1, 0), (), (), (), ()))


def _two_row_products(d: Draw) -> Term:
    """A sum of products of vectors: two reductions would read what one does."""
    x, y = d.input(shape := d.shape(2)), d.input(shape)
    return (x * y + y * d.input(shape)).sum((1,))


def _product_and_more(d: Draw) -> Term:
    left, right = _outer(d)
    return (left * right + d.input(left.shape)).sum((1,))


def _dot(x: Term, y: Term, axes: DotAxes, order: str = ANY) -> Term:
    return term.apply_op(ops.DOT, (x, y), axes.attrs(order))


def _row_dots(d: Draw, order: str = ANY) -> Term:
    m, k = d.size(), d.size()
    return _dot(d.input((m, k)), d.input((k, m)), DotAxes((0,), (1,), (1,), (0,), (), ()), order)


def _chain_dots(d: Draw) -> Term:
    return _row_dots(d, "chain")


def _matrix_dot(d: Draw) -> Term:
    m, k = d.size(), d.size()
    return _dot(d.input((m, k)), d.input((k, m)), DotAxes((), (), (1,), (0,), (), ()))


def _outer_dot(d: Draw, order: str = ANY) -> Term:
    b, m, n = d.size(), d.size(), d.size()
    return _dot(d.input((m, b)), d.input((b, n)), DotAxes((1,), (0,), (), (), (), ()), order)


def _chain_outer(d: Draw) -> Term:
    return _outer_dot(d, "chain")


_PRODUCT: Final = Apply(ops.SUM, (Apply(ops.MUL, (X, Y)),))


def table(once: Once, opaque: Opaque) -> RuleSet:
    """The rows, for a function with these params in which `once` says what is read once."""

    def of(m: Match, split: Callable[[Value, frozenset[int], Opaque], Parts | None]) -> Parts:
        found = split(m.node.operands[0], _reduced(m.node), opaque)
        assert found is not None
        return found

    def pays(m: Match) -> bool:
        product = m.node.operands[0]
        parts = _two_factors(product, _reduced(m.node), opaque)
        return _matrices(parts) or _with_vector(parts, product, once)

    def pays_sorted(m: Match) -> bool:
        return _matrices(_many_factors(m.node.operands[0], _reduced(m.node), opaque))

    def all_matrices(m: Match) -> bool:
        found = _products(m.node.operands[0], opaque)
        reduced = _reduced(m.node)
        return bool(found) and all(_matrices(_two_factors(x, reduced, opaque)) for x in found)

    return RuleSet(
        (
            Rule(
                "sum_of_product",
                _PRODUCT,
                lambda m: as_dot(m, of(m, _two_factors)),
                CONTRACTION,
                pays,
                (_matrix_product, _vector_product),
                (_row_products, _sum_of_one_factor, _computed_matrix),
            ),
            Rule(
                "sum_of_scaled",
                Apply(ops.SUM, (Apply(ops.SCALE, (X, Y)),)),
                lambda m: m.make(ops.SUM, m.make(ops.MUL, m["x"], m["y"]), **m.node.attrs),
                "no_nan",
                None,
                (_scaled_matrix,),
            ),
            Rule(
                "sum_of_long_product",
                _PRODUCT,
                lambda m: as_dot(m, of(m, _many_factors)),
                "reassoc",
                pays_sorted,
                (_weighted,),
                (_full_weight,),
            ),
            *(
                Rule(
                    f"sum_of_products_{op.name}",
                    Apply(ops.SUM, (Apply(op, (X, Y)),)),
                    _apart,
                    CONTRACTION,
                    all_matrices,
                    (_two_products,),
                    (_product_and_more, _two_row_products),
                )
                for op in (ops.ADD, ops.SUB)
            ),
            Rule(
                "dot_of_rows",
                Apply(ops.DOT, (X, Y)),
                _as_sum,
                CONTRACTION,
                _no_free_axes,
                (_row_dots,),
                (_chain_dots, _matrix_dot, _dot_of_elements),
            ),
            Rule(
                "dot_without_sum",
                Apply(ops.DOT, (X, Y)),
                _as_product,
                CONTRACTION,
                _no_sum,
                (_outer_dot,),
                (_chain_outer, _matrix_dot),
            ),
            *SIGNS_AND_ONES,
        )
    )


RULES = table(lambda value: True, NOTHING)

_ROOTS: Final = frozenset({ops.SUM, ops.DOT})


def run(function: Function, options: Options, fired: Fired | None = None) -> Function:
    """Form contractions where the options allow any order of their sums."""
    if options.contract != ANY or all(node.op not in _ROOTS for node in function.nodes):
        return function
    count: dict[Value, int] = dict.fromkeys(function.results, 1)
    for node in function.nodes:
        for operand in node.operands:
            count[operand] = count.get(operand, 0) + 1
    rules = table(lambda value: count.get(value) == 1, frozenset(function.params))
    return rewrite(function, rules, options, fired)
