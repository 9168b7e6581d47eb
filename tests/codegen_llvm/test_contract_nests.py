"""Contractions as nests: many axes, views as operands, epilogues, updates in place."""

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, operand
from symc.ir.affine import Affine, IndexMap, identity, select, unit
from symc.ir.dims import symbol
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Store
from symc.ir.types import TensorType

PLAIN = body(["f4"], lambda op, acc: (acc,))


def matrices(m, n, k, *, ta=False, tb=False, dtype="f4", order="chain", symbols=()):
    """C = A B, either of them given transposed."""
    operands = (
        operand("a", dtype, (k, m) if ta else (m, k)),
        operand("b", dtype, (n, k) if tb else (k, n)),
        operand("c", dtype, (m, n), "out"),
    )
    stage = ContractStage(
        (),
        (m,),
        (n,),
        (k,),
        Load(0, select(2, (1, 0) if ta else (0, 1))),
        Load(1, select(2, (1, 0) if tb else (0, 1))),
        np.dtype(dtype),
        order,
        (),
        body([dtype], lambda op, acc: (acc,)),
        (Store(2, identity(2)),),
    )
    return Nest("matmul", operands, (), (stage,), symbols)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matrices(dtype, ta, tb, rng):
    for m, n, k in ((3, 5, 7), (1, 40, 20), (40, 1, 20), (17, 33, 65), (0, 3, 4), (3, 4, 0)):
        agree(matrices(m, n, k, ta=ta, tb=tb, dtype=dtype), rng)


@pytest.mark.parametrize("tb", [False, True])
def test_matrices_of_symbolic_sizes(tb, rng):
    names = ("k", "m", "n")
    m, n, k = (symbol(name) for name in "mnk")
    nest = matrices(m, n, k, tb=tb, symbols=names)
    machine = None
    for sizes in ((3, 5, 7), (1, 40, 20), (40, 1, 20), (20, 50, 65), (0, 3, 4), (3, 4, 0)):
        dims = dict(zip("mnk", sizes, strict=True))
        machine = agree(nest, rng, dims, machine=machine)


def test_any_order_is_exact_on_small_integers(rng):
    for m, n, k in ((1, 100, 300), (60, 50, 200), (5, 1, 1000)):
        nest = matrices(m, n, k, order="any")
        values = [rng.integers(-3, 4, o.type.shape).astype("f4") for o in nest.operands]
        agree(nest, rng, arrays=values)


@pytest.mark.parametrize("n", [3, 8, 37])
def test_epilogue_with_bias_and_function(n, rng):
    m, k = 9, 20
    operands = (
        operand("x", "f4", (m, k)),
        operand("w", "f4", (k, n)),
        operand("b", "f4", (n,)),
        operand("s", "f4", (m,)),
        operand("h", "f4", (m, n), "out"),
        operand("z", "?", (m, n), "out"),
    )

    def build(op, acc, b, s):
        z = op("mul", op("add", acc, b), op("exp", s))
        return op("tanh", z), op("lt", z, b)

    stage = ContractStage(
        (),
        (m,),
        (n,),
        (k,),
        Load(0, identity(2)),
        Load(1, identity(2)),
        np.dtype("f4"),
        "chain",
        (Load(2, select(2, (1,))), Load(3, select(2, (0,)))),
        body(["f4"] * 3, build),
        (Store(4, identity(2)), Store(5, identity(2))),
    )
    agree(Nest("layer", operands, (), (stage,)), rng)


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_update_in_place(batch, rng):
    """W -= x^T g, the weights read and written by the epilogue."""
    rows, columns = 33, 21
    operands = (
        operand("x", "f4", (batch, rows)),
        operand("g", "f4", (batch, columns)),
        operand("w", "f4", (rows, columns), "inout"),
    )
    stage = ContractStage(
        (),
        (rows,),
        (columns,),
        (batch,),
        Load(0, select(2, (1, 0))),
        Load(1, identity(2)),
        np.dtype("f4"),
        "chain",
        (Load(2, identity(2)),),
        body(["f4", "f4"], lambda op, acc, w: (op("sub", w, acc),)),
        (Store(2, identity(2)),),
    )
    agree(Nest("update", operands, (), (stage,)), rng)


def batched(shape_a, shape_b, order_out):
    """einsum("bhmk,bhkn->...") with the result's axes permuted."""
    b, h, m, k = shape_a
    n = shape_b[-1]
    sizes = (b, h, m, n)
    out = tuple(sizes[axis] for axis in order_out)
    operands = (
        operand("a", "f4", shape_a),
        operand("b", "f4", shape_b),
        operand("c", "f4", out, "out"),
    )
    stage = ContractStage(
        (b, h),
        (m,),
        (n,),
        (k,),
        Load(0, identity(4)),
        Load(1, identity(4)),
        np.dtype("f4"),
        "chain",
        (),
        PLAIN,
        (Store(2, select(4, order_out)),),
    )
    return Nest("batched", operands, (), (stage,))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (3, 2, 1, 0)])
def test_batches_and_permuted_results(order, rng):
    agree(batched((2, 3, 5, 4), (2, 3, 4, 6), order), rng)
    agree(batched((2, 1, 1, 4), (2, 1, 4, 9), order), rng)


def test_many_rows_columns_and_terms(rng):
    """Two axes of each kind, none of them next to its like in memory."""
    m, n, k = (3, 4), (2, 5), (3, 6)
    operands = (
        operand("a", "f4", (m[0], k[0], m[1], k[1])),
        operand("b", "f4", (k[0], n[0], k[1], n[1])),
        operand("c", "f4", (m[0], n[0], m[1], n[1]), "out"),
        operand("v", "f4", (m[1], n[0])),
    )
    stage = ContractStage(
        (),
        m,
        n,
        k,
        Load(0, select(4, (0, 2, 1, 3))),
        Load(1, select(4, (0, 2, 1, 3))),
        np.dtype("f4"),
        "chain",
        (Load(3, select(4, (1, 2))),),
        body(["f4", "f4"], lambda op, acc, v: (op("mul", acc, v),)),
        (Store(2, select(4, (0, 2, 1, 3))),),
    )
    machine = agree(Nest("many", operands, (), (stage,)), rng)
    assert len(machine.launches) == 3  # two copies


def test_rows_taken_apart_by_the_epilogue(rng):
    """Rows are one for the operand, two for the result."""
    operands = (
        operand("a", "f4", (3, 4, 7)),
        operand("b", "f4", (7, 10)),
        operand("c", "f4", (4, 3, 10), "out"),
    )
    stage = ContractStage(
        (),
        (3, 4),
        (10,),
        (7,),
        Load(0, identity(3)),
        Load(1, identity(2)),
        np.dtype("f4"),
        "chain",
        (),
        PLAIN,
        (Store(2, select(3, (1, 0, 2))),),
    )
    machine = agree(Nest("rows", operands, (), (stage,)), rng)
    assert len(machine.launches) == 1


def test_views_as_operands(rng):
    """A reversed and stepped left operand, a broadcast right one."""
    operands = (
        operand("a", "f4", (20, 30)),
        operand("b", "f4", (8,)),
        operand("c", "f4", (5, 9), "out"),
    )
    view = IndexMap(2, (Affine((3, 0), 2), Affine((0, -2), 25)))
    stage = ContractStage(
        (),
        (5,),
        (9,),
        (8,),
        Load(0, view),
        Load(1, select(2, (0,))),
        np.dtype("f4"),
        "chain",
        (),
        PLAIN,
        (Store(2, identity(2)),),
    )
    agree(Nest("views", operands, (), (stage,)), rng)


def test_gathered_rows_are_copied_first(rng):
    operands = (
        operand("e", "f4", (50, 6)),
        operand("i", "i8", (9,)),
        operand("b", "f4", (6, 5)),
        operand("c", "f4", (9, 5), "out"),
    )
    gather = Gather(1, select(2, (0,)), 0, "raise")
    stage = ContractStage(
        (),
        (9,),
        (5,),
        (6,),
        Load(0, IndexMap(2, (Affine((0, 0)), unit(2, 1))), (gather,)),
        Load(2, identity(2)),
        np.dtype("f4"),
        "chain",
        (),
        PLAIN,
        (Store(3, identity(2)),),
    )
    nest = Nest("embedded", operands, (), (stage,))
    values = [rng.random((50, 6)).astype("f4"), rng.integers(-50, 50, 9)]
    values += [rng.random((6, 5)).astype("f4"), np.zeros((9, 5), "f4")]
    agree(nest, rng, arrays=values)


def test_dot_of_vectors_and_outer_product(rng):
    for sizes in (((), (), (100,)), ((7,), (), (30,)), ((7,), (9,), ()), ((), (9,), (30,))):
        m, n, k = sizes
        operands = (
            operand("a", "f4", (*m, *k)),
            operand("b", "f4", (*k, *n)),
            operand("c", "f4", (*m, *n), "out"),
        )
        stage = ContractStage(
            (),
            m,
            n,
            k,
            Load(0, identity(len(m) + len(k))),
            Load(1, identity(len(k) + len(n))),
            np.dtype("f4"),
            "chain",
            (),
            PLAIN,
            (Store(2, identity(len(m) + len(n))),),
        )
        agree(Nest("dot", operands, (), (stage,)), rng)


def test_stages_around_a_contraction(rng):
    """A map before and after it in one nest; what they share becomes a temporary."""
    m, n, k = 6, 11, 9
    operands = (
        operand("x", "f4", (m, k)),
        operand("w", "f4", (k, n)),
        operand("y", "f4", (m, n), "out"),
        operand("t", "f4", (m, k), "scratch"),
    )
    before = MapStage(
        (m, k),
        (Load(0, identity(2)),),
        (),
        body(["f4"], lambda op, x: (op("exp", x),)),
        (Store(3, identity(2)),),
    )
    product = ContractStage(
        (),
        (m,),
        (n,),
        (k,),
        Load(3, identity(2)),
        Load(1, identity(2)),
        np.dtype("f4"),
        "chain",
        (),
        PLAIN,
        (Store(2, identity(2)),),
    )
    machine = agree(Nest("chain", operands, (), (before, product)), rng)
    assert len(machine.launches) == 2
    assert TensorType(np.dtype("f4"), (m, k)).bytes in machine.launches[0].temporaries
