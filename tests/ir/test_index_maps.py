"""Index maps of views against the values of the oracle."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir.op_cases import Case, built, cases, draw
from symc.ir import ops
from symc.ir.affine import Affine, IndexMap, identity, select
from symc.ir.dims import symbol
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Kind
from symc.ir.types import F64, TensorType

VIEWS = [case for case in cases() if case.op.kind is Kind.VIEW]


def at(index: Affine, point: tuple[int, ...]) -> int:
    total = index.offset + sum(f * i for f, i in zip(index.factors, point, strict=True))
    assert isinstance(total, int)
    return total


def gathered(map: IndexMap, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Each element of the result, read at the place that the map names."""
    assert map.rank == len(shape)
    result = np.empty(shape, x.dtype)
    for point in product(*map_ranges(shape)):
        place = tuple(at(index, point) for index in map.indices)
        assert all(0 <= i < n for i, n in zip(place, x.shape, strict=True))
        result[point] = x[place]
    return result


def map_ranges(shape: tuple[int, ...]) -> list[range]:
    return [range(n) for n in shape]


def check(case: Case, rng: np.random.Generator) -> bool:
    """Whether there was a map, which then agreed."""
    function = built(case)
    arrays = draw(case, rng)
    (expected,) = evaluate(function, arrays)
    assert case.op.index_map is not None
    map = case.op.index_map(case.types, function.results[0].type, case.attrs)
    if map is None:
        return False
    np.testing.assert_array_equal(gathered(map, arrays[0], expected.shape), expected)
    return True


@pytest.mark.parametrize("case", VIEWS, ids=str)
def test_samples(case: Case, rng: np.random.Generator) -> None:
    assert check(case, rng) or case.op is ops.RESHAPE


@given(st.data())
def test_reshapes_that_split_have_maps(data: st.DataObject) -> None:
    whole: list[int] = []
    split: list[int] = []
    for _ in range(data.draw(st.integers(0, 4))):
        parts = data.draw(st.lists(st.integers(1, 3), max_size=3))
        whole.append(int(np.prod(parts, dtype=int)))
        split += parts
    type = TensorType(F64, tuple(whole))
    case = Case(ops.RESHAPE, (type,), {"shape": tuple(split)})
    rng = np.random.default_rng(1)
    assert check(case, rng)
    merged = Case(ops.RESHAPE, (type.with_shape(tuple(split)),), {"shape": tuple(whole)})
    check(merged, rng)


def test_symbolic_reshapes() -> None:
    n = symbol("n")
    assert ops.RESHAPE.index_map is not None

    def map(source: tuple, target: tuple) -> IndexMap | None:
        assert ops.RESHAPE.index_map is not None
        types = [TensorType(F64, source)]
        return ops.RESHAPE.index_map(types, TensorType(F64, target), {"shape": target})

    assert map((n,), (1, n, 1)) == IndexMap(3, (Affine((0, 1, 0)),))
    assert map((4 * n,), (n, 4)) == IndexMap(2, (Affine((4, 1)),))
    assert map((4 * n,), (4, n)) == IndexMap(2, (Affine((n, 1)),))
    assert map((n, 3), (3 * n,)) is None
    assert map((n, 1, 3), (n, 3)) == IndexMap(2, (Affine((1, 0)), Affine((0, 0)), Affine((0, 1))))


def test_maps_compose() -> None:
    n = symbol("n")
    flip = IndexMap(1, (Affine((-1,), n - 1),))
    assert flip.after(flip) == identity(1)
    swap = select(2, (1, 0))
    assert swap.after(swap) == identity(2)
