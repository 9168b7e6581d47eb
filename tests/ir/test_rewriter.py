"""Copies of functions, and making nodes."""

import numpy as np
import pytest

from ir.op_cases import closed
from symc.ir import ops, term
from symc.ir.build import apply, check_type, parameter, placed_at
from symc.ir.core import Constraint, Function, reachable
from symc.ir.dims import symbol
from symc.ir.errors import DTypeError, OpContractError, ShapeError, SymcOverflowError
from symc.ir.evaluate import evaluate
from symc.ir.locations import UNKNOWN, Location
from symc.ir.rewriter import MOST_LOCATIONS, merged_locations, spliced
from symc.ir.specialise import specialise
from symc.ir.types import F32, F64, I32, TensorType
from symc.ir.verify import verify

PLACE = (Location("model.py", 5),)


def function() -> Function:
    x = parameter("x", F64, (4,))
    with placed_at(PLACE):
        t = term.Term(x)
        inner = closed([x2 := parameter("r", F64, (4,))], [(term.Term(x2) + term.Term(x2)).value])
        called = apply(ops.CALL, ((t * t).value,), {"name": "g"}, regions=(inner,))
        result = term.Term(called.results[0]) + t
    return closed([x], [result.value, (t * t).value])


def test_splicing_copies() -> None:
    f = function()
    y = parameter("y", F64, (4,))
    results = spliced(f, [y])
    g = closed([y], results)
    verify(g)
    assert not set(g.nodes) & set(f.nodes)
    for got, expected in zip(evaluate(g, [np.ones(4)]), evaluate(f, [np.ones(4)]), strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(OpContractError):
        spliced(f, [])


def test_locations_merge() -> None:
    a, b = Location("a.py", 1), Location("b.py", 2)
    assert merged_locations((a,), (b, a), (UNKNOWN,)) == (a, b)
    assert merged_locations((UNKNOWN,)) == (UNKNOWN,)
    many = tuple(Location("a.py", i) for i in range(100))
    assert len(merged_locations(many)) == MOST_LOCATIONS


def test_nodes_know_the_line_that_made_them() -> None:
    x = parameter("x", F64, (4,))
    node = apply(ops.NEG, (x,))
    assert node.locations[0].file == __file__
    with placed_at(PLACE):
        assert apply(ops.NEG, (x,)).locations == PLACE
        explicit = (Location("c.py", 1),)
        assert apply(ops.NEG, (x,), locations=explicit).locations == explicit
    assert apply(ops.NEG, (x,)).locations != PLACE


def test_attributes_are_normalised() -> None:
    x = parameter("x", F32, (2, 3))
    node = apply(ops.SUM, (x,), {"axes": [np.int64(1)]})
    assert node.attrs == {"axes": (1,)}
    assert apply(ops.CAST, (x,), {"dtype": np.int32}).results[0].type.dtype == I32


def test_sizes_that_cannot_be() -> None:
    check_type("x", TensorType(F32, (2**61 - 1,)))
    with pytest.raises(SymcOverflowError):
        check_type("x", TensorType(F32, (2**61,)))
    with pytest.raises(SymcOverflowError):
        parameter("x", F64, (2**40, 2**40))
    with pytest.raises(SymcOverflowError):
        parameter("x", F64, (2**70, 0))
    parameter("x", F64, (2**40, 2**40, 0))
    with pytest.raises(ShapeError):
        parameter("x", F64, (3, -1))


def test_dims_are_bound_and_checked() -> None:
    n = symbol("n")
    x, y = parameter("x", F64, (n, 2 * n)), parameter("y", F64, (n,))
    f = closed([x, y], [term.full((n + 1,), 1.0).value])
    assert evaluate(f, [np.zeros((3, 6)), np.zeros(3)])[0].shape == (4,)
    with pytest.raises(ShapeError, match="input y, axis 0"):
        evaluate(f, [np.zeros((3, 6)), np.zeros(4)])
    with pytest.raises(ShapeError, match="input x, axis 1"):
        evaluate(f, [np.zeros((3, 5)), np.zeros(3)])
    with pytest.raises(ShapeError, match="arguments"):
        evaluate(f, [np.zeros((3, 6))])
    with pytest.raises(ShapeError, match="input y"):
        evaluate(f, [np.zeros((3, 6)), np.zeros((3, 1))])
    with pytest.raises(DTypeError, match="input y"):
        evaluate(f, [np.zeros((3, 6)), np.zeros(3, np.float32)])


def test_results_are_new_arrays() -> None:
    x = parameter("x", F64, (2,))
    data = np.ones(2)
    same, other = evaluate(Function("f", (x,), (), (x, x)), [data])
    same[0] = 5
    assert data[0] == 1
    assert other[0] == 1


def test_reachable_stops() -> None:
    x = parameter("x", F64, (2,))
    t = term.Term(x)
    middle = t + t
    end = middle * t
    nodes, free = reachable([end.value])
    assert [node.op for node in nodes] == [ops.ADD, ops.MUL]
    assert free == [x]
    nodes, free = reachable([end.value], stop=[middle.value])
    assert [node.op for node in nodes] == [ops.MUL]
    assert free == [x]


def test_specialising_reaches_everything() -> None:
    n = symbol("n")
    r = parameter("r", F64, (n,))
    inner = closed([r], [(term.Term(r) + term.full((n,), 1.0)).value])
    x = parameter("x", F64, (n,))
    call = apply(ops.CALL, (x,), {"name": "g"}, regions=(inner,))
    count = term.size(2 * n + 1)
    f = closed([x], [call.results[0], count.value])
    f = Function(f.name, f.params, f.nodes, f.results, (Constraint(n, 3, UNKNOWN, "n is 3"),))
    g = specialise(f, {"n": 3})
    verify(g)
    assert not any("n" in str(value.type) for node in g.nodes for value in node.results)
    assert g.constraints[0].left == 3
    for got, expected in zip(evaluate(g, [np.ones(3)]), evaluate(f, [np.ones(3)]), strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ShapeError):
        specialise(f, {"n": -1})
