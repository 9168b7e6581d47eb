"""A chain of 100,000 nodes goes through everything under a small recursion limit."""

import gc
import inspect
import sys
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from ir.op_cases import closed
from symc.ir import ops, term
from symc.ir.build import parameter, placed_at
from symc.ir.core import Function, Node, Value
from symc.ir.errors import OpContractError
from symc.ir.evaluate import evaluate
from symc.ir.locations import Location
from symc.ir.parse import parse_function
from symc.ir.text import print_function
from symc.ir.types import F64
from symc.ir.verify import verify
from symc.passes.sweep import Sweep

LENGTH = 100_000


@pytest.fixture
def few_frames() -> Iterator[None]:
    """Room for 200 frames more than the test runner itself needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    yield
    sys.setrecursionlimit(before)


def chain(length: int) -> Function:
    x = parameter("x", F64, (3,))
    t = term.Term(x)
    makers = (ops.NEG, ops.ABS, ops.FLOOR, ops.SQRT)
    with placed_at((Location("model.py", 1),)):
        for i in range(length // 2):
            t = term.make(makers[i % 4], t)
            t = term.make(ops.ADD, t, term.Term(x))
    return closed([x], [t.value])


def negation_free(node: Node) -> list[Value] | None:
    """-x becomes x."""
    return [node.operands[0]] if node.op is ops.NEG else None


def test_long_chains(few_frames: None) -> None:
    function = chain(LENGTH)
    assert len(function.nodes) == LENGTH
    verify(function)
    data = [np.array([0.5, 1.0, 2.0])]
    (expected,) = evaluate(function, data)
    text = print_function(function, locations=True)
    again = parse_function(text)
    assert print_function(again, locations=True) == text
    np.testing.assert_array_equal(evaluate(again, data)[0], expected)
    shorter = Sweep(function).run(negation_free)
    assert len(shorter.nodes) == LENGTH - LENGTH // 8
    freed = weakref.ref(function.nodes[LENGTH // 2].results[0])
    del function, shorter
    gc.collect()
    assert freed() is None


def test_a_window_far_down_the_chain(few_frames: None) -> None:
    function = chain(5000)
    nodes = list(function.nodes)
    nodes[3000], nodes[3001] = nodes[3001], nodes[3000]
    with pytest.raises(OpContractError, match="not defined before its use"):
        verify(Function("f", function.params, tuple(nodes), function.results))
