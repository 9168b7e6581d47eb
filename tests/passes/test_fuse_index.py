"""Laws of sparse affine indices, on random chains of maps against the places they name."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from symc.ir import ops
from symc.ir.affine import Affine, IndexMap, identity
from symc.ir.core import Value
from symc.ir.dims import Size, substitute, symbol
from symc.ir.term import Term, make
from symc.ir.types import F64, TensorType
from symc.passes.draw import Draw
from symc.passes.fuse_index import (
    Index,
    axes_of,
    compose,
    coordinate,
    keeps_order,
    renamed,
    selection,
    shifted,
    strides,
    to_map,
)

SEEDS = range(40)
# Sizes of what the maps name by a symbol.
DIMS = {"a": 5, "b": -3}
Point = tuple[int, ...]


def number(draw: Draw) -> Size:
    """A factor or offset: small, of either sign, now and then a symbol."""
    return draw.choose((symbol("a"), symbol("b"), 0, 1, -1, 2, -3, 4))


def affine(draw: Draw, rank: int) -> Affine:
    return Affine(tuple(number(draw) for _ in range(rank)), number(draw))


def index_map(draw: Draw, rank: int) -> IndexMap:
    return IndexMap(rank, tuple(affine(draw, rank) for _ in range(draw.integer(0, 3))))


def places(map: IndexMap, point: Point) -> Point:
    """Where the map sends a point: written out with plain integers."""
    rows = []
    for index in map.indices:
        factors = [substitute(factor, DIMS) for factor in index.factors]
        total = substitute(index.offset, DIMS) + int(np.dot(factors, point))
        rows.append(total)
    return tuple(rows)


def at(index: Index, values: dict[int, int]) -> Point:
    """Where an index stands when each frame axis has a value."""
    return tuple(
        substitute(offset, DIMS) + sum(substitute(f, DIMS) * values[axis] for axis, f in terms)
        for offset, terms in index
    )


def points(draw: Draw, rank: int) -> list[Point]:
    return [tuple(draw.integer(-4, 4) for _ in range(rank)) for _ in range(4)]


@pytest.mark.parametrize("seed", SEEDS)
def test_maps_compose_as_functions(seed: int) -> None:
    draw = Draw(seed)
    rank = draw.integer(0, 3)
    inner = index_map(draw, rank)
    outer = index_map(draw, len(inner.indices))
    both = outer.after(inner)
    assert both.rank == rank
    for point in points(draw, rank):
        assert places(both, point) == places(outer, places(inner, point))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_index_composes_as_a_map_does(seed: int) -> None:
    """On frame axes in any order; shifted and turned into a map as well."""
    draw = Draw(seed)
    rank = draw.integer(0, 3)
    axes = [3 * axis + 1 for axis in draw.permutation(rank)]
    inner = index_map(draw, rank)
    outer = index_map(draw, len(inner.indices))
    start = compose(inner, tuple(coordinate(axis) for axis in axes))
    index = compose(outer, start)
    starts = [number(draw) for _ in index]
    steps = [number(draw) for _ in index]
    moved = shifted(index, starts, steps)
    for point in points(draw, rank):
        values = dict(zip(axes, point, strict=True))
        wanted = places(outer, places(inner, point))
        assert at(start, values) == places(inner, point)
        assert at(index, values) == wanted
        assert places(to_map(index, axes), point) == wanted
        assert at(moved, values) == tuple(
            substitute(s, DIMS) + substitute(t, DIMS) * c
            for s, t, c in zip(starts, steps, wanted, strict=True)
        )
    for part in (start, index, moved):
        assert axes_of(part) <= set(axes)
        for _, terms in part:
            assert list(terms) == sorted(terms)
            assert all(factor != 0 for _, factor in terms)


@pytest.mark.parametrize("seed", SEEDS)
def test_renaming_merges_axes(seed: int) -> None:
    """Two axes found to be one have the sum of their factors; opposite ones vanish."""
    draw = Draw(seed)
    rank = draw.integer(1, 3)
    index = compose(index_map(draw, rank), tuple(coordinate(axis) for axis in range(rank)))
    names = [draw.integer(0, 2) for _ in range(rank)]
    merged = renamed(index, names.__getitem__)
    for point in points(draw, 3):
        values = dict(enumerate(point))
        assert at(merged, values) == at(index, {axis: values[names[axis]] for axis in range(rank)})
    assert all(factor != 0 for _, terms in merged for _, factor in terms)
    assert renamed(index, lambda axis: axis) is index


def viewed(draw: Draw) -> Term:
    """A view of an input with a map: any of them, axes of size 1 and single elements too."""
    shape = tuple(draw.choose((1, 2, 3)) for _ in range(draw.integer(0, 3)))
    x = draw.input(shape)
    match draw.integer(0, 3):
        case 0:
            return make(ops.PERMUTE, x, axes=draw.permutation(x.rank))
        case 1:
            wide = [*shape, draw.choose((1, 2))]
            axes = sorted(draw.permutation(len(wide))[: x.rank])
            return x.broadcast([shape[axes.index(i)] if i in axes else wide[-1]
                                for i in range(len(wide))], axes)  # fmt: skip
        case 2:
            starts, sizes, steps = [], [], []
            for size in shape:
                start, step = draw.integer(0, size - 1), draw.choose((1, -1, 2))
                reach = (start if step < 0 else size - 1 - start) // abs(step)
                starts.append(start)
                sizes.append(reach + 1 if draw.flip() else draw.integer(1, reach + 1))
                steps.append(step)
            return x.slice(starts, sizes, steps)
        case _:
            place = draw.integer(0, x.rank)
            return x.reshape((*shape[:place], 1, *shape[place:]))


def map_of(view: Value) -> IndexMap:
    node = view.node
    assert node is not None
    assert node.op.index_map is not None
    map = node.op.index_map([x.type for x in node.operands], view.type, node.attrs)
    assert map is not None
    return map


def in_order(map: IndexMap, source: tuple[Size, ...], result: tuple[Size, ...]) -> bool:
    """Whether the elements read are all of the source's, in row-major order."""
    every = product(*(range(substitute(size, {})) for size in result))
    read = [int(np.ravel_multi_index(places(map, point), source)) for point in every]
    return read == list(range(prod(source)))


@pytest.mark.parametrize("seed", range(200))
def test_a_view_keeps_order_exactly_when_it_reads_in_order(seed: int) -> None:
    view = viewed(Draw(seed)).value
    assert view.node is not None
    source = view.node.operands[0].type
    map = map_of(view)
    read = in_order(map, source.shape, view.type.shape)
    assert keeps_order(map, source, view.type) == read


@pytest.mark.parametrize("shape", list(product((1, 2, 3), repeat=3)), ids=str)
def test_strides_are_those_of_rows(shape: tuple[int, ...]) -> None:
    assert strides(shape) == tuple(step // 8 for step in np.empty(shape).strides)


def test_order_of_symbolic_sizes() -> None:
    n, m = symbol("n"), symbol("m")
    x = TensorType(F64, (n, m, 2))
    assert keeps_order(identity(3), x, x)
    split = IndexMap(4, (Affine((1, 0, 0, 0)), Affine((0, 1, 0, 0)), Affine((0, 0, 0, 1))))
    assert keeps_order(split, x, TensorType(F64, (n, m, 1, 2)))
    for axis, last in enumerate((n - 1, m - 1, 1)):
        flipped = [Affine(tuple(int(i == j) for j in range(3))) for i in range(3)]
        flipped[axis] = Affine(tuple(-int(axis == j) for j in range(3)), last)
        assert not keeps_order(IndexMap(3, tuple(flipped)), x, x)
    assert strides(x.shape) == (2 * m, 2, 1)


def test_a_guarded_map_keeps_no_order_and_a_flattening_does() -> None:
    x = TensorType(F64, (3,))
    padded = IndexMap(1, (Affine((1,)),), valid=(0,))
    assert not keeps_order(padded, x, x)
    assert keeps_order(None, x, x)
    assert not keeps_order(identity(1), TensorType(F64, (4,)), x)


def test_what_selects_axes() -> None:
    """One axis per coordinate, each once, from 0 by 1; axes of size 1 aside."""
    i, j = coordinate(4), coordinate(2)
    pair = TensorType(F64, (3, 5))
    assert selection((i, j), pair) == (4, 2)
    assert selection((), TensorType(F64)) == ()
    assert selection(((0, ()), j), TensorType(F64, (1, 5))) == (2,)
    assert selection((i, i), TensorType(F64, (3, 3))) is None
    for wrong in ((1, ((4, 1),)), (0, ((4, 2),)), (0, ((4, 1), (5, 1))), (0, ())):
        assert selection((wrong, j), pair) is None
