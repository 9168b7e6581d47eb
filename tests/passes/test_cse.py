"""Equal computations are done once: either order, constants, comparisons, regions (R2.1-2)."""

from __future__ import annotations

import numpy as np

from symc.ir import ops, term
from symc.ir.build import apply
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.term import Term
from symc.ir.types import F64, TensorType
from symc.passes import MEANING, cse, run_passes


def values(count: int) -> list[Term]:
    return [Term(Value(TensorType(F64, (3,)), name=f"x{i}")) for i in range(count)]


def merged(params: list[Term], results: list[Term]) -> Function:
    """The function after the pass, checked to compute what it did."""
    nodes, _ = reachable([x.value for x in results])
    before = Function(
        "f", tuple(x.value for x in params), tuple(nodes), tuple(x.value for x in results)
    )
    after = cse.run(before, Options())
    arrays = [np.linspace(-1, 1, 3) + i for i in range(len(params))]
    for left, right in zip(evaluate(before, arrays), evaluate(after, arrays), strict=True):
        assert np.array_equal(left, right)
    assert cse.run(after, Options()) is after
    return after


def count(function: Function, op: ops.Op) -> int:
    return sum(node.op is op for node in function.nodes)


def test_either_order_of_commutative_operands() -> None:
    x, y = values(2)
    after = merged([x, y], [(x + y) * 2.0, (y + x) * 3.0])
    assert count(after, ops.ADD) == 1


def test_operands_that_do_not_commute_stay() -> None:
    x, y = values(2)
    assert count(merged([x, y], [x - y, y - x]), ops.SUB) == 2


def test_equal_constants_are_one() -> None:
    (x,) = values(1)
    after = merged([x], [x + 2.0, x * 2.0])
    assert count(after, ops.CONSTANT) == 1
    assert count(merged([x], [x + 0.0, x + -0.0]), ops.CONSTANT) == 2


def test_mirrored_comparisons_are_one() -> None:
    x, y = values(2)
    after = merged([x, y], [x.gt(y), y.lt(x), x.ge(y), y.le(x)])
    assert len(after.nodes) == 2
    assert len(merged([x, y], [x.gt(y), x.lt(y)]).nodes) == 2


def called(operands: list[Term], number: float, swapped: bool = False) -> Term:
    """A call whose body adds and multiplies."""
    a, b = (Value(x.type, name="p") for x in operands)
    left, right = (Term(b), Term(a)) if swapped else (Term(a), Term(b))
    result = term.make(ops.EXP, left + right) * number
    nodes, _ = reachable([result.value])
    body = Function("body", (a, b), tuple(nodes), (result.value,))
    return Term(
        apply(ops.CALL, [x.value for x in operands], {"name": "g"}, regions=(body,)).results[0]
    )


def test_equal_regions_are_one() -> None:
    x, y = values(2)
    after = merged([x, y], [called([x, y], 2.0), called([x, y], 2.0, swapped=True)])
    assert count(after, ops.CALL) == 1


def test_regions_that_differ_stay() -> None:
    x, y = values(2)
    after = merged([x, y], [called([x, y], 2.0), called([x, y], 3.0), called([y, x], 2.0)])
    assert count(after, ops.CALL) == 3


def test_a_chain_of_equal_steps_is_linear() -> None:
    """Two copies of a chain of 10,000 nodes become one."""
    (x,) = values(1)
    left = right = x
    for _ in range(10_000):
        left, right = -left, -right
    nodes, _ = reachable([left.value, right.value])
    before = Function("chain", (x.value,), tuple(nodes), (left.value, right.value))
    assert len(cse.run(before, Options()).nodes) == 10_000


def test_the_defined_program_has_one_of_each() -> None:
    x, y = values(2)
    results = [(x + y) * 2.0, (y + x) * 3.0]
    nodes, _ = reachable([r.value for r in results])
    function = Function(
        "f", (x.value, y.value), tuple(nodes), tuple(result.value for result in results)
    )
    assert count(run_passes(function, MEANING, Options()), ops.ADD) == 1
