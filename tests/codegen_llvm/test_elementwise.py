"""Elementwise nests: tails, dtypes, broadcasts, transposes, symbolic sizes, hoisting."""

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, elementwise, operand
from symc.codegen_llvm import compile_nests
from symc.ir.affine import Affine, IndexMap, identity, select
from symc.ir.dims import symbol
from symc.ir.nest import Load, MapStage, Nest, Store

SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 33, 64, 100, 4095, 4096, 4097, 9001)


def cheap(op, x, y):
    return (op("add", op("mul", x, y), x),)


def dear(op, x, y):
    return (op("mul", op("tanh", x), op("exp", y)),)


@pytest.mark.parametrize("build", [cheap, dear])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_static_size(build, dtype, rng):
    for n in (0, 1, 2, 3, 5, 8, 13, 16, 31, 40, 4099):
        agree(elementwise((n,), [dtype, dtype], [dtype], build), rng)


@pytest.mark.parametrize("build", [cheap, dear])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_symbolic_size(build, dtype, rng):
    n = symbol("n")
    nest = elementwise((n,), [dtype, dtype], [dtype], build, symbols=("n",))
    machine = None
    for size in SIZES:
        machine = agree(nest, rng, {"n": size}, machine=machine)


@pytest.mark.parametrize(
    ("dtypes", "results", "build"),
    [
        (["?", "?"], ["?"], lambda op, a, b: (op("xor", a, b),)),
        (["f4", "f4"], ["?"], lambda op, a, b: (op("lt", a, b),)),
        (["?", "f4", "f4"], ["f4"], lambda op, c, a, b: (op("where", c, a, b),)),
        (["i4", "i4"], ["i4"], lambda op, a, b: (op("mul", a, b),)),
        (["i8", "i8"], ["i8"], lambda op, a, b: (op("add", a, b),)),
        (["f4"], ["f8"], lambda op, a: (op("cast", a, dtype=np.dtype("f8")),)),
        (
            ["i8", "f4"],
            ["f4"],
            lambda op, i, a: (op("mul", op("cast", i, dtype=np.dtype("f4")), a),),
        ),
        (["f4"], ["f4", "f4"], lambda op, a: (op("neg", a), op("abs", a))),
    ],
)
def test_dtypes(dtypes, results, build, rng):
    n = symbol("n")
    machine = None
    nest = elementwise((n,), dtypes, results, build, symbols=("n",))
    for size in (0, 1, 5, 16, 33, 40):
        machine = agree(nest, rng, {"n": size}, machine=machine)
        agree(elementwise((size,), dtypes, results, build), rng)


def test_contiguous_axes_become_one_loop(rng):
    nest = elementwise((20, 10, 3), ["f4", "f4"], ["f4"], cheap)
    machine = agree(nest, rng)
    assert machine.launches[0].blocks == 1
    assert machine.compiled.llvm.count("phi i64") == 1


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("sizes", [(4, 5, 6), (1, 9, 1), (3, 1, 17), (2, 0, 3), (5, 33, 2)])
def test_broadcast_and_permute(sizes, symbolic, rng):
    names = ("a", "b", "c") if symbolic else ()
    a, b, c = (symbol(name) for name in names) if symbolic else sizes
    dims = dict(zip(names, sizes, strict=True)) if symbolic else {}
    operands = (
        operand("x", "f4", (c, a, b)),
        operand("row", "f4", (c,)),
        operand("column", "f4", (a,)),
        operand("one", "f4", ()),
        operand("y", "f4", (a, b, c), "out"),
    )
    loads = (
        Load(0, select(3, (2, 0, 1))),
        Load(1, select(3, (2,))),
        Load(2, select(3, (0,))),
        Load(3, IndexMap(3, ())),
    )

    def build(op, x, row, column, one):
        hoisted = op("exp", op("mul", column, one))
        return (op("add", op("mul", x, row), hoisted),)

    stage = MapStage((), loads, (), body(["f4"] * 4, build), (Store(4, identity(3)),))
    agree(Nest("views", operands, (a, b, c), (stage,), names), rng, dims)


def test_slices_with_steps_and_reversal(rng):
    for start, step, size in ((0, 2, 50), (99, -1, 100), (98, -3, 33), (5, 7, 13), (3, 1, 97)):
        operands = (operand("x", "f4", (100,)), operand("y", "f4", (100,), "inout"))
        view = IndexMap(1, (Affine((step,), start),))
        stage = MapStage(
            (),
            (Load(0, view),),
            (),
            body(["f4"], lambda op, x: (op("neg", x),)),
            (Store(1, view),),
        )
        agree(Nest("slice", operands, (size,), (stage,)), rng)


@pytest.mark.parametrize("dtype", ["f4", "f8", "?", "i8"])
def test_guarded_reads_pad(dtype, rng):
    for n, low, total in ((10, 3, 20), (1, 0, 5), (33, 7, 40), (0, 2, 4), (100, 100, 300)):
        operands = (operand("x", dtype, (n,)), operand("y", dtype, (total,), "out"))
        view = IndexMap(1, (Affine((1,), -low),), (0,))
        function = body([dtype], lambda op, x: (x,))
        stage = MapStage((), (Load(0, view, fill=1),), (), function, (Store(1, identity(1)),))
        agree(Nest("pad", operands, (total,), (stage,)), rng)
        operands = (operand("x", dtype, (3, n)), operand("y", dtype, (5, total), "out"))
        view = IndexMap(2, (Affine((1, 0), -1), Affine((0, 1), -low)), (0, 1))
        stage = MapStage((), (Load(0, view, fill=1),), (), function, (Store(1, identity(2)),))
        agree(Nest("pad2", operands, (5, total), (stage,)), rng)


def test_indices_and_sizes_of_the_iteration(rng):
    n = symbol("n")
    f4 = np.dtype("f4")

    def build(op, x, i, j):
        place = op("add", op("mul", i, op("size", size=n * 2 + 1)), j)
        return (op("add", x, op("cast", place, dtype=f4)),)

    operands = (operand("x", "f4", (n, 5)), operand("y", "f4", (n, 5), "out"))
    stage = MapStage(
        (),
        (Load(0, identity(2)),),
        (0, 1),
        body(["f4", "i8", "i8"], build),
        (Store(1, identity(2)),),
    )
    agree(Nest("ramp", operands, (n, 5), (stage,), ("n",)), rng, {"n": 7})


def test_scalars(rng):
    agree(elementwise((), ["f4", "f4"], ["f4"], dear), rng)


def test_update_in_place(rng):
    operands = (operand("x", "f4", (77,), "inout"), operand("g", "f4", (77,)))
    function = body(["f4", "f4"], lambda op, x, g: (op("sub", x, g),))
    loads = (Load(0, identity(1)), Load(1, identity(1)))
    stage = MapStage((), loads, (), function, (Store(0, identity(1)),))
    agree(Nest("update", operands, (77,), (stage,)), rng)


def test_equal_nests_share_code():
    nests = [elementwise((8,), ["f4", "f4"], ["f4"], dear) for _ in range(3)]
    nests.append(elementwise((9,), ["f4", "f4"], ["f4"], dear))
    compiled = compile_nests(nests)
    symbols = [launches[0].symbol for launches in compiled.launches]
    assert symbols[0] == symbols[1] == symbols[2] != symbols[3]
    assert compiled.llvm.count("define i32") == 2


def test_functions_used_often_are_written_once():
    def build(op, x, y):
        for _ in range(6):
            x = op("tanh", op("add", x, y))
        return (x,)

    text = compile_nests([elementwise((64,), ["f4", "f4"], ["f4"], build)]).llvm
    assert text.count("define internal <8 x float> @symc.tanh") == 1 or "@symc.tanh" in text


def test_fills_that_compare_equal_are_told_apart():
    view = IndexMap(1, (Affine((1,), -1),), (0,))
    function = body(["f4"], lambda op, x: (x,))
    nests = []
    for fill in (0.0, -0.0, 0.0):
        stage = MapStage((), (Load(0, view, fill=fill),), (), function, (Store(1, identity(1)),))
        operands = (operand("x", "f4", (9,)), operand("y", "f4", (9,), "out"))
        nests.append(Nest("pad", operands, (9,), (stage,)))
    first, second, third = (made[0].symbol for made in compile_nests(nests).launches)
    assert first == third != second


def test_costs_follow_the_size_of_a_block():
    def cost(rows, columns):
        row = Load(0, select(2, (1,)))
        operands = (operand("x", "f4", (columns,)), operand("y", "f4", (rows, columns), "out"))
        function = body(["f4"], lambda op, x: (op("exp", x),))
        stage = MapStage((), (row,), (), function, (Store(1, identity(2)),))
        launch = compile_nests([Nest("c", operands, (rows, columns), (stage,))]).launches[0][0]
        assert launch.blocks == rows * -(-columns // 4096)
        return launch.cost

    assert cost(60, 10) * 50 < cost(60, 4096) == cost(60, 8192)
