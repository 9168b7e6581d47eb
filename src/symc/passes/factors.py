"""Along which axes a factor of a product varies: broadcasts, permutations and units seen through.

before: a value of the shape of a product.  after: a `Factor`: the value that was spread out, and
which axis of the product each of its axes is.

Elementwise steps of one operand between a broadcast and the product (casts, signs) are looked
through too: they can be done before the broadcast with the same bits.

Invariants: nothing is built until a `Factor` is asked for its value; no value in `opaque` is
looked behind; a factor has no axes of size 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from symc.ir import ops
from symc.ir.core import Node, Value
from symc.ir.ops.attributes import integers
from symc.ir.ops.record import Kind
from symc.ir.term import Term, apply_op, make
from symc.passes.uniform import NOTHING, Opaque
from symc.records import dataclass

# Elementwise steps that are looked through; a longer chain is left where it is.
DEEP: Final = 8
# Factors of one product that are told apart.
MOST: Final = 16

Places = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Factor:
    """`base` under `steps` (the innermost last) varies along the axes of the product in `places`.

    `path`: the values between the product and `base`, both included.
    """

    base: Value
    places: Places
    steps: tuple[Node, ...]
    path: tuple[Value, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the product, in the order of the factor's own."""
        return tuple(place for place in self.places if place is not None)

    def term(self) -> Term:
        """The factor over its own axes alone."""
        kept = [i for i, place in enumerate(self.places) if place is not None]
        made = Term(self.base).reshape([self.base.type.shape[i] for i in kept])
        for step in reversed(self.steps):
            made = apply_op(step.op, (made,), step.attrs)
        return made

    def over(self, axes: Sequence[int], like: Value) -> Term:
        """The factor over `axes` of the product `like`, in that order."""
        mine = self.axes
        order = sorted(range(len(mine)), key=lambda i: axes.index(mine[i]))
        moved = self.term().permute(order)
        shape = [like.type.shape[axis] for axis in axes]
        return moved.broadcast(shape, [axes.index(mine[i]) for i in order])


def factor(value: Value, opaque: Opaque = NOTHING) -> Factor:
    """What `value` is spread out from."""
    shape = value.type.shape
    places: Places = tuple(i if size != 1 else None for i, size in enumerate(shape))
    best = Factor(value, places, (), (value,))
    steps: list[Node] = []
    path = [value]
    while value.node is not None and value not in opaque and len(steps) < DEEP:
        node = value.node
        if node.op.kind is Kind.ELEMENTWISE and node.op.arity == 1:
            steps.append(node)
        else:
            moved = _through(node, places)
            if moved is None:
                break
            narrower = _count(moved) < _count(places)
            places = moved
        value = node.operands[0]
        path.append(value)
        if node.op.kind is Kind.VIEW and (narrower or len(steps) == len(best.steps)):
            best = Factor(value, places, tuple(steps), tuple(path))
    return best


def _count(places: Places) -> int:
    return sum(place is not None for place in places)


def _through(node: Node, places: Places) -> Places | None:
    """The places of the operand's axes, for a view that repeats or reorders elements."""
    shape, given = node.results[0].type.shape, node.operands[0].type.shape if node.operands else ()
    if node.op is ops.BROADCAST:
        spread = zip(given, integers(node.attrs, "axes"), strict=True)
        return tuple(places[axis] if size == shape[axis] else None for size, axis in spread)
    if node.op is ops.PERMUTE:
        order = integers(node.attrs, "axes")
        return tuple(places[order.index(axis)] for axis in range(len(order)))
    if node.op is ops.RESHAPE:
        wide = [place for place, size in zip(places, shape, strict=True) if size != 1]
        if [size for size in given if size != 1] != [size for size in shape if size != 1]:
            return None
        rest = iter(wide)
        return tuple(None if size == 1 else next(rest) for size in given)
    return None


@dataclass(frozen=True, slots=True)
class Group:
    """Factors that are multiplied before the sum; `axes` are all that they vary along."""

    factors: tuple[Factor, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        if len(self.factors) == 1:
            return self.factors[0].axes
        return tuple(sorted({axis for each in self.factors for axis in each.axes}))

    def term(self, like: Value) -> Term:
        """The product of the factors over `axes`."""
        if len(self.factors) == 1:
            return self.factors[0].term()
        first, *rest = (each.over(self.axes, like) for each in self.factors)
        for other in rest:
            first = make(ops.MUL, first, other)
        return first


def leaves(value: Value, opaque: Opaque = NOTHING) -> list[Value] | None:
    """The factors of a product of products, in order; None when there are too many."""
    found: list[Value] = []
    todo = [value]
    while todo:
        top = todo.pop()
        if top.node is not None and top not in opaque and top.node.op is ops.MUL:
            todo.extend(reversed(top.node.operands))
        else:
            found.append(top)
        if len(found) + len(todo) > MOST:
            return None
    return found


def sorted_factors(
    factors: Sequence[Factor], reduced: frozenset[int]
) -> tuple[list[Factor], Group, Group] | None:
    """Factors that are constant along `reduced`, and two groups of the others.

    Each group varies along the axes of one of its factors; None when there are not two such.
    """
    outside = [each for each in factors if reduced.isdisjoint(each.axes)]
    inside = [each for each in factors if not reduced.isdisjoint(each.axes)]
    inside.sort(key=lambda each: -len(each.axes))
    seeds = list(_seeds(inside))
    if len(seeds) != 2:
        return None
    groups: tuple[list[Factor], list[Factor]] = ([seeds[0]], [seeds[1]])
    for each in inside:
        if each in seeds:
            continue
        fits = [i for i, seed in enumerate(seeds) if set(each.axes) <= set(seed.axes)]
        if not fits:
            return None
        groups[fits[-1]].append(each)
    return outside, Group(tuple(groups[0])), Group(tuple(groups[1]))


def _seeds(factors: Sequence[Factor]) -> Iterator[Factor]:
    """Factors, widest first, none within the axes of one before."""
    found: list[set[int]] = []
    for each in factors:
        axes = set(each.axes)
        if not any(axes <= other for other in found):
            found.append(axes)
            yield each
