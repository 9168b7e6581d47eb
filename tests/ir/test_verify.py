"""The verifiers: what they accept, and the rule that each broken program violates."""

from dataclasses import replace

import numpy as np
import pytest

from ir.op_cases import closed
from symc.ir import ops, term
from symc.ir.affine import Affine, IndexMap, identity, select
from symc.ir.build import apply, parameter
from symc.ir.core import Constraint, Function, Node, Value
from symc.ir.dims import symbol
from symc.ir.errors import OpContractError
from symc.ir.locations import UNKNOWN, Location
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Operand, Store
from symc.ir.ops.reduce import ADDED, FIRST_LARGEST
from symc.ir.types import F32, I64, TensorType
from symc.ir.verify import verify
from symc.ir.verify_nest import verify_nest

N = symbol("n")
X = TensorType(F32, (3,))


def chain() -> Function:
    x = parameter("x", F32, (3,))
    t = term.Term(x)
    return closed([x], [((t * t + t) * t).value])


def test_good_functions_pass() -> None:
    verify(chain())
    n = parameter("x", F32, (N, 2))
    verify(closed([n], [term.full((N + 1,), 0.0).value]))


def node(*operands: Value, type: TensorType = X, op: ops.Op = ops.ADD) -> Node:
    place = (Location("model.py", 7),)
    return Node(op, operands, {}, (type,), locations=place)


def broken() -> dict[str, Function]:
    f = chain()
    x = f.params[0]
    stray = parameter("y", F32, (3,))
    wrong = node(x, x, type=TensorType(F32, (4,)))
    misfit = node(x, parameter("z", F32, (4,)))
    unknown_dim = term.full((symbol("k"),), 0.0)
    copy = replace_op()
    nowhere = Node(ops.NEG, (x,), {}, (X,), locations=())
    shared = apply(ops.CALL, (x,), {"name": "g"}, regions=(Function("g", (x,), (), (x,)),))
    leaky = Function("g", (stray,), (leak := node(x, x),), leak.results)
    leaking = apply(ops.CALL, (x,), {"name": "g"}, regions=(leaky,))
    stolen = node(x, x)
    stolen.results = f.nodes[0].results
    return {
        "not defined before its use": Function("f", f.params, f.nodes[::-1], f.results),
        "the results should be": Function("f", f.params, (wrong,), wrong.results),
        "the operands do not fit": Function(
            "f", (*f.params, misfit.operands[1]), (misfit,), misfit.results
        ),
        "a result of the function is not defined": Function("f", f.params, (), f.results),
        "a node occurs twice": Function("f", f.params, f.nodes + f.nodes[:1], f.results),
        "a parameter occurs twice": Function("f", (x, x), f.nodes, f.results),
        "a parameter is the result of a node": Function(
            "f", (x, f.nodes[0].results[0]), f.nodes[1:], f.results
        ),
        "no parameter has dim k": closed([], [unknown_dim.value]),
        "no parameter has dim q": replace(
            f, constraints=(Constraint(symbol("q"), 3, UNKNOWN, "sizes"),)
        ),
        "not in the table": copy,
        "the node has no location": Function("f", f.params, (nowhere,), nowhere.results),
        "shared between functions": Function("f", f.params, (shared,), shared.results),
        "an operand is not defined": Function("f", f.params, (leaking,), leaking.results),
        "a result belongs to another node": Function("f", f.params, (stolen,), ()),
    }


def replace_op() -> Function:
    x = parameter("x", F32, (3,))
    other = replace(ops.ADD, name="sum_of_two")
    made = Node(other, (x, x), {}, (X,), locations=(UNKNOWN,))
    return Function("f", (x,), (made,), made.results)


@pytest.mark.parametrize("rule", broken())
def test_each_rule(rule: str) -> None:
    with pytest.raises(OpContractError, match=rule):
        verify(broken()[rule])


def test_the_message_has_a_window_and_the_line() -> None:
    f = chain()
    bad = node(f.nodes[0].results[0], f.params[0], type=TensorType(F32, (9,)))
    g = Function("f", f.params, (f.nodes[0], bad, *f.nodes[1:]), f.results)
    with pytest.raises(OpContractError) as caught:
        verify(g)
    text = str(caught.value)
    assert "model.py:7" in text
    marked = [line for line in text.splitlines() if line.startswith(">")]
    assert len(marked) == 1
    assert '"symc.add"' in marked[0]
    assert "tensor<9xf32>" in marked[0]
    assert '"symc.mul"' in text


# --- nests ----------------------------------------------------------------------------------------


def body(params: int, results: int = 1, dtype: np.dtype = F32) -> Function:
    """Adds its params; the same result for each store."""
    values = tuple(Value(TensorType(dtype)) for _ in range(params))
    total = term.Term(values[0])
    for value in values[1:]:
        total = total + term.Term(value)
    made = closed(values, [total.value])
    return Function("body", values, made.nodes, made.results * results)


def operand(name: str, role: str, *shape: int, dtype: np.dtype = F32) -> Operand:
    return Operand(name, TensorType(dtype, shape), role)


def rows() -> Nest:
    """Row sums, then the rows plus their sums: two stages over 4 rows of 6."""
    operands = (operand("x", "in", 4, 6), operand("s", "scratch"), operand("y", "out", 4, 6))
    load = Load(0, identity(2))
    row = IndexMap(2, ())
    first = MapStage((6,), (load,), (), body(1), (Store(1, row, ADDED, (0,)),))
    second = MapStage((6,), (load, Load(1, row)), (), body(2), (Store(2, identity(2)),))
    return Nest("rows", operands, (4,), (first, second))


def product() -> Nest:
    operands = (operand("a", "in", 4, 5), operand("b", "in", 5, 6), operand("c", "out", 4, 6))
    stage = ContractStage(
        (), (4,), (6,), (5,),
        Load(0, identity(2)), Load(1, identity(2)), F32, "any", (), body(1),
        (Store(2, identity(2)),),
    )  # fmt: skip
    return Nest("product", operands, (), (stage,))


def gathered() -> Nest:
    operands = (
        operand("x", "in", 9, 6),
        operand("i", "in", 4, dtype=I64),
        operand("y", "out", 4, 6),
    )
    point = IndexMap(2, (Affine((0, 0)), Affine((0, 1))))
    gather = Gather(1, select(2, (0,)), 0, "clip")
    stage = MapStage((), (Load(0, point, (gather,)),), (), body(1), (Store(2, identity(2)),))
    return Nest("gathered", operands, (4, 6), (stage,))


def test_good_nests_pass() -> None:
    for nest in (rows(), product(), gathered()):
        verify_nest(nest)
    symbolic = Nest(
        "n",
        (Operand("x", TensorType(F32, (N,)), "in"), Operand("y", TensorType(F32, (N,)), "out")),
        (N,),
        (MapStage((), (Load(0, identity(1)),), (), body(1), (Store(1, identity(1)),)),),
        ("n",),
    )
    verify_nest(symbolic)
    with pytest.raises(OpContractError, match="dims"):
        verify_nest(replace(symbolic, symbols=()))
    reversed_rows = IndexMap(2, (Affine((-1, 0), 3), Affine((0, 1))))
    verify_nest(with_stage(rows(), 1, stores=(Store(2, reversed_rows),)))


def with_stage(nest: Nest, number: int, **fields: object) -> Nest:
    stages = list(nest.stages)
    stages[number] = replace(stages[number], **fields)
    return replace(nest, stages=tuple(stages))


def with_operand(nest: Nest, number: int, **fields: object) -> Nest:
    operands = list(nest.operands)
    operands[number] = replace(operands[number], **fields)
    return replace(nest, operands=tuple(operands))


def broken_nests() -> dict[str, Nest]:
    n = rows()
    shifted = IndexMap(2, (Affine((1, 0)), Affine((0, 1), 1)))
    flat = IndexMap(2, (Affine((1, 0)), Affine((0, 0))))
    row = IndexMap(2, ())
    bad_gather = Gather(1, select(2, (0,)), 0, "mirror")
    (g,) = gathered().stages
    assert isinstance(g, MapStage)
    store = Store(1, row, ADDED, (0,))
    return {
        "unknown role": with_operand(n, 0, role="input"),
        "no such operand": with_stage(n, 0, loads=(Load(9, identity(2)),)),
        "an index of an axis": with_stage(n, 0, indices=(5,)),
        "params of the body": with_stage(n, 0, body=body(2)),
        "one result per store": with_stage(n, 0, body=body(1, 2)),
        "another dtype than its buffer's": with_stage(n, 0, stores=(
            replace(store, reducer=FIRST_LARGEST),)),
        "read before it is written": replace(n, stages=n.stages[1:]),
        "store to the input": with_stage(n, 1, stores=(Store(0, identity(2)),)),
        "unknown way to combine": with_stage(n, 1, stores=(
            Store(2, identity(2), combine="xor"),)),
        "reduced axes are inner axes": with_stage(n, 0, stores=(replace(store, reduced=(1,)),)),
        "depends on an axis that is reduced": with_stage(n, 1, stores=(
            Store(2, identity(2), ADDED, (0,)),)),
        "reduced axes without a reducer": with_stage(n, 0, stores=(
            replace(store, reducer=None),)),
        "two points store": with_stage(n, 1, stores=(Store(2, flat),)),
        "axis 1 of x": with_stage(n, 0, loads=(Load(0, shifted),)),
        "axis 1 of y": with_stage(n, 1, stores=(Store(2, shifted),)),
        "ranks of the map": with_stage(n, 0, loads=(Load(0, identity(1)),)),
        "by something else than integers": with_operand(
            gathered(), 1, type=TensorType(F32, (4,))),
        "mode or axis": with_stage(gathered(), 0, loads=(
            replace(g.loads[0], gathers=(bad_gather,)),)),
        "a contraction has no outer axes": replace(product(), outer=(4,)),
        "two stores to the same elements": with_stage(
            n, 1, body=body(2, 2), stores=(Store(2, identity(2)),) * 2),
    }  # fmt: skip


@pytest.mark.parametrize("rule", broken_nests())
def test_each_nest_rule(rule: str) -> None:
    with pytest.raises(OpContractError, match=rule):
        verify_nest(broken_nests()[rule])


def test_bodies_are_scalar_and_in_order() -> None:
    n = rows()
    first = n.stages[0]
    assert isinstance(first, MapStage)
    x = first.body.params[0]
    wide = Value(TensorType(F32, (3,)))
    total = apply(ops.SUM, (wide,), {"axes": (0,)})
    reducing = Function("body", (x,), (total,), total.results)
    with pytest.raises(OpContractError, match="elementwise and source operations only"):
        verify_nest(with_stage(n, 0, body=reducing))
    late = apply(ops.NEG, (x,))
    after = apply(ops.NEG, late.results)
    swapped = Function("body", (x,), (after, late), after.results)
    with pytest.raises(OpContractError, match="not defined before its use"):
        verify_nest(with_stage(n, 0, body=swapped))
