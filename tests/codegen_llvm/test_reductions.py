"""Reductions: the fixed tree in every layout, for all reducers, static and symbolic."""

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, operand, reduction
from symc.codegen_llvm import abi
from symc.ir.affine import Affine, IndexMap, identity, select
from symc.ir.dims import symbol
from symc.ir.nest import Load, MapStage, Nest, Store
from symc.ir.ops import OPS

LENGTHS = (0, 1, 2, 3, 7, 8, 10, 16, 33, 60, 64, 65, 100, 127, 200, 1000, 4095, 4096, 4097)
LONG = (8192, 12289, 20500, 70001)


def squares(op, x):
    return (op("mul", x, x),)


def dear(op, x):
    return (op("exp", x),)


@pytest.mark.parametrize("build", [None, squares, dear])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_of_static_length(dtype, build, rng):
    for n in (1, 3, 10, 33, 64, 100, 1000, 4097):
        agree(reduction((3, n), (1,), dtype, "sum", build), rng)


@pytest.mark.parametrize("build", [squares, dear])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_of_symbolic_length(dtype, build, rng):
    nest = reduction((2, symbol("n")), (1,), dtype, "sum", build, symbols=("n",))
    machine = None
    for n in (*LENGTHS, *LONG):
        machine = agree(nest, rng, {"n": n}, machine=machine)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_columns_of_static_length(dtype, rng):
    for rows, columns in ((1, 5), (3, 8), (10, 100), (60, 33), (64, 7), (65, 130), (300, 9)):
        agree(reduction((rows, columns), (0,), dtype, "sum", squares), rng)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_columns_of_symbolic_length(dtype, rng):
    shape = (symbol("m"), symbol("n"))
    nest = reduction(shape, (0,), dtype, "sum", squares, symbols=("m", "n"))
    machine = None
    for m, n in ((0, 3), (1, 1), (10, 0), (60, 10), (64, 64), (65, 65), (4100, 17), (12300, 3)):
        machine = agree(nest, rng, {"m": m, "n": n}, machine=machine)


CASES = [
    ("sum", "f4", None),
    ("sum", "i4", None),
    ("sum", "i8", None),
    ("prod", "f8", None),
    ("max", "f4", None),
    ("min", "f8", None),
    ("max", "i8", None),
    ("any", "?", None),
    ("all", "?", None),
    ("argmax", "f4", np.int64),
    ("argmin", "f8", np.int64),
    ("argmax", "i4", np.int64),
]


@pytest.mark.parametrize(("op", "dtype", "result"), CASES)
def test_every_reducer(op, dtype, result, rng):
    for shape, axes in (
        ((5, 37), (1,)),
        ((37, 5), (0,)),
        ((4, 1), (1,)),
        ((3, 4, 5), (0, 2)),
        ((3, 4200), (1,)),
        ((200, 70), (0,)),
    ):
        agree(reduction(shape, axes, dtype, op, result=result), rng)


@pytest.mark.parametrize("op", ["max", "argmax", "argmin"])
def test_the_first_nan_wins(op, rng):
    nest = reduction((6, 100), (1,), "f4", op, result=np.int64 if op != "max" else None)
    x = rng.standard_normal((6, 100)).astype("f4")
    x[1, 50], x[1, 70], x[2, 99], x[3] = np.nan, np.nan, np.nan, np.nan
    x[4] = 1.0
    y = np.zeros(6, nest.operands[1].type.dtype)
    agree(nest, rng, arrays=[x, y])


def test_sums_keep_negative_zero_and_of_nothing_are_positive(rng):
    for n in (0, 1, 5, 100, 5000):
        nest = reduction((2, n), (1,), "f4", "sum")
        agree(nest, rng, arrays=[np.full((2, n), -0.0, "f4"), np.ones(2, "f4")])
        nest = reduction((n, 2), (0,), "f4", "sum")
        agree(nest, rng, arrays=[np.full((n, 2), -0.0, "f4"), np.ones(2, "f4")])


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 4, 5), (0, 2)),
        ((7, 2, 100), (0, 2)),
        ((50, 3, 90), (0, 2)),
        ((3, 4, 5, 6), (1, 3)),
        ((2, 70, 3, 65), (1, 3)),
        ((9, 0, 3), (0, 2)),
        ((0, 5, 3), (0, 2)),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_mixed_axes(shape, axes, symbolic, rng):
    names = tuple("abcd"[: len(shape)]) if symbolic else ()
    sizes = tuple(symbol(name) for name in names) if symbolic else shape
    dims = dict(zip(names, shape, strict=True)) if symbolic else {}
    agree(reduction(sizes, axes, "f4", "sum", squares, symbols=names), rng, dims)


def test_transposed_operand(rng):
    """Rows of a transposed view: strided reads, or columns of the operand."""
    for m, n in ((30, 7), (7, 300), (100, 100)):
        operands = (operand("x", "f4", (n, m)), operand("y", "f4", (m,), "out"))
        store = Store(1, select(2, (0,)), OPS["sum"].reducer({}), (0,))
        function = body(["f4"], lambda op, x: (x,))
        stage = MapStage((n,), (Load(0, select(2, (1, 0))),), (), function, (store,))
        agree(Nest("t", operands, (m,), (stage,)), rng)


@pytest.mark.parametrize("symbolic", [False, True])
def test_whole_arrays_in_chunks(symbolic, rng):
    for count in (0, 5, 65536, 131072, 200_000, 1_000_003):
        n = symbol("n") if symbolic else count
        nest = reduction((n,), (0,), "f4", "sum", squares, symbols=("n",) if symbolic else ())
        machine = agree(nest, rng, {"n": count} if symbolic else {})
        assert len(machine.launches) == (2 if symbolic or count >= 131072 else 1)


def test_whole_arrays_with_broadcasts(rng):
    """(x - row)^2 over both axes: two axes that are not one in memory, in chunks."""
    m, n = 700, 300
    operands = (operand("x", "f4", (m, n)), operand("r", "f4", (m,)), operand("y", "f4", (), "out"))
    store = Store(2, IndexMap(2, ()), OPS["sum"].reducer({}), (0, 1))

    def build(op, x, r):
        d = op("sub", x, r)
        return (op("mul", d, d),)

    loads = (Load(0, identity(2)), Load(1, select(2, (0,))))
    stage = MapStage((m, n), loads, (), body(["f4", "f4"], build), (store,))
    machine = agree(Nest("variance", operands, (), (stage,)), rng)
    assert len(machine.launches) == 2


def test_argmax_of_everything(rng):
    nest = reduction((300_000,), (0,), "f4", "argmax", result=np.int64)
    agree(nest, rng)


def test_several_reducers_and_a_map_in_one_stage(rng):
    m, n = 6, 150
    operands = (
        operand("x", "f4", (m, n)),
        operand("s", "f4", (m,), "out"),
        operand("i", "i8", (m,), "out"),
        operand("y", "f4", (m, n), "out"),
        operand("c", "f4", (n,), "out"),
    )
    row = select(2, (0,))

    def build(op, x):
        e = op("exp", x)
        return (e, x, e, x)

    stores = (
        Store(1, row, OPS["sum"].reducer({}), (1,)),
        Store(2, row, OPS["argmax"].reducer({}), (1,)),
        Store(3, identity(2)),
        Store(4, select(2, (1,)), OPS["max"].reducer({}), (0,)),
    )
    stage = MapStage((m, n), (Load(0, identity(2)),), (), body(["f4"], build), stores)
    agree(Nest("several", operands, (), (stage,)), rng)


def softmax(m, n, symbols=(), dtype="f4"):
    row = select(1, (0,))
    both = identity(2)
    operands = (
        operand("x", dtype, (m, n)),
        operand("y", dtype, (m, n), "out"),
        operand("m", dtype, (), "scratch"),
        operand("s", dtype, (), "scratch"),
        operand("e", dtype, (n,), "scratch"),
    )
    none, inner = IndexMap(2, ()), select(2, (1,))
    largest = MapStage(
        (n,),
        (Load(0, both),),
        (),
        body([dtype], lambda op, x: (x,)),
        (Store(2, none, OPS["max"].reducer({}), (0,)),),
    )

    def exponentials(op, x, top):
        e = op("exp", op("sub", x, top))
        return (e, e)

    stores = (Store(3, none, OPS["sum"].reducer({}), (0,)), Store(4, inner))
    summed = MapStage(
        (n,), (Load(0, both), Load(2, none)), (), body([dtype] * 2, exponentials), stores
    )

    def divided(op, e, s):
        return (op("div", e, s),)

    last = MapStage(
        (n,), (Load(4, inner), Load(3, none)), (), body([dtype] * 2, divided), (Store(1, both),)
    )
    del row
    return Nest("softmax", operands, (m,), (largest, summed, last), symbols)


@pytest.mark.parametrize("n", [1, 10, 64, 100, 1000, 5000])
def test_softmax_is_one_kernel(n, rng):
    machine = agree(softmax(7, n), rng)
    assert len(machine.launches) == 1


def test_softmax_of_symbolic_size(rng):
    nest = softmax(symbol("m"), symbol("n"), ("m", "n"))
    machine = None
    for m, n in ((0, 4), (3, 1), (5, 10), (2, 1000), (1, 4097)):
        machine = agree(nest, rng, {"m": m, "n": n}, machine=machine)


def test_softmax_over_the_first_axis(rng):
    """Stages by columns: scratch holds one value for each column of the panel."""
    for n, m in ((10, 33), (100, 70), (5, 1000)):
        nest = softmax(m, n)
        flip = select(2, (1, 0))

        def turn(load, flip=flip):
            return Load(load.operand, flip) if load.operand in (0, 1) else load

        stages = tuple(
            MapStage(
                s.inner,
                tuple(turn(load) for load in s.loads),
                s.indices,
                s.body,
                tuple(Store(1, flip) if t.operand == 1 else t for t in s.stores),
            )
            for s in nest.stages
        )
        x, y = operand("x", "f4", (n, m)), operand("y", "f4", (n, m), "out")
        turned = Nest("columns", (x, y, *nest.operands[2:]), (m,), stages)
        machine = agree(turned, rng)
        assert "phi" in machine.compiled.llvm


def test_padding_before_a_reduction(rng):
    operands = (operand("x", "f4", (3, 50)), operand("y", "f4", (3,), "out"))
    view = IndexMap(2, (Affine((1, 0)), Affine((0, 1), -4)), (1,))
    store = Store(1, select(2, (0,)), OPS["sum"].reducer({}), (0,))
    function = body(["f4"], lambda op, x: (x,))
    stage = MapStage((60,), (Load(0, view, fill=2.0),), (), function, (store,))
    agree(Nest("padded", operands, (3,), (stage,)), rng)


def test_stages_without_outer_axes_become_kernels_of_their_own(rng):
    """y = x - sum(x) over a long array: a temporary holds the sum."""
    n = 300_000
    operands = (
        operand("x", "f4", (n,)),
        operand("y", "f4", (n,), "out"),
        operand("s", "f4", (), "scratch"),
    )
    none = IndexMap(1, ())
    summed = MapStage(
        (n,),
        (Load(0, identity(1)),),
        (),
        body(["f4"], lambda op, x: (x,)),
        (Store(2, none, OPS["sum"].reducer({}), (0,)),),
    )
    loads = (Load(0, identity(1)), Load(2, none))
    centred = MapStage(
        (n,),
        loads,
        (),
        body(["f4"] * 2, lambda op, x, s: (op("sub", x, s),)),
        (Store(1, identity(1)),),
    )
    machine = agree(Nest("centre", operands, (), (summed, centred)), rng)
    assert len(machine.launches) == 3


@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_long_reductions_can_be_cancelled(axes, rng):
    shape = (20_000, 3) if axes == (0,) else (3, 20_000)
    machine = agree(reduction(shape, axes, "f4", "sum"), rng)
    machine.cancelled = True
    x, y = np.ones(shape, "f4"), np.full(3, 7, "f4")
    results, code = machine.run([x, y])
    assert code == abi.CANCELLED
    assert np.all(results[1] == 7)
