"""Reads and writes at positions that are data: modes, traps, the order of scatters."""

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, operand
from symc.ir.affine import Affine, IndexMap, identity, select, unit
from symc.ir.dims import symbol
from symc.ir.nest import Gather, Load, MapStage, Nest, Store
from symc.ir.ops import OPS

MODES = ("clip", "wrap", "fill", "raise")


def taken(size, count, dtype, mode, index="i8", symbols=()):
    """y[j] = x[i[j]]"""
    operands = (
        operand("x", dtype, (size,)),
        operand("i", index, (count,)),
        operand("y", dtype, (count,), "out"),
    )
    gather = Gather(1, identity(1), 0, mode)
    load = Load(0, IndexMap(1, (Affine((0,)),)), (gather,), fill=7)
    function = body([dtype], lambda op, x: (x,))
    stage = MapStage((), (load,), (), function, (Store(2, identity(1)),))
    return Nest("take", operands, (count,), (stage,), symbols)


def rows_taken(size, count, width, mode):
    """y[j, c] = x[i[j], c]: an index that is fixed along a vector."""
    operands = (
        operand("x", "f4", (size, width)),
        operand("i", "i4", (count,)),
        operand("y", "f4", (count, width), "out"),
    )
    gather = Gather(1, select(2, (0,)), 0, mode)
    load = Load(0, IndexMap(2, (Affine((0, 0)), unit(2, 1))), (gather,), fill=7)
    function = body(["f4"], lambda op, x: (x,))
    stage = MapStage((), (load,), (), function, (Store(2, identity(2)),))
    return Nest("rows", operands, (count, width), (stage,))


def arrays(nest, rng, low, high):
    found = []
    for o in nest.operands:
        shape = o.type.shape
        if o.name == "i":
            found.append(rng.integers(low, high, shape).astype(o.type.dtype))
        else:
            found.append(rng.integers(0, 100, shape).astype(o.type.dtype))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "?", "i8"])
def test_elements(mode, dtype, rng):
    for size, count in ((10, 5), (10, 40), (1, 33), (3, 16), (0, 5), (5, 0)):
        nest = taken(size, count, dtype, mode)
        agree(nest, rng, arrays=arrays(nest, rng, 0, max(size, 1)))
        agree(nest, rng, arrays=arrays(nest, rng, -2 * size - 1, 2 * size + 2))


@pytest.mark.parametrize("mode", MODES)
def test_elements_of_symbolic_sizes(mode, rng):
    nest = taken(symbol("m"), symbol("n"), "f4", mode, symbols=("m", "n"))
    machine = None
    for m, n in ((10, 5), (0, 3), (7, 100), (1, 1)):
        x, y = rng.random(m).astype("f4"), np.zeros(n, "f4")
        i = rng.integers(-m - 2, m + 3, n)
        machine = agree(nest, rng, {"m": m, "n": n}, arrays=[x, i, y], machine=machine)


@pytest.mark.parametrize("mode", MODES)
def test_rows(mode, rng):
    for size, count, width in ((10, 5, 33), (3, 4, 8), (0, 2, 5), (4, 3, 1)):
        nest = rows_taken(size, count, width, mode)
        agree(nest, rng, arrays=arrays(nest, rng, 0, max(size, 1)))
        agree(nest, rng, arrays=arrays(nest, rng, -size - 2, size + 3))


def test_the_first_offender_is_reported(rng):
    nest = taken(10, 100, "f4", "raise")
    i = np.zeros(100, np.int64)
    i[[37, 38, 90]] = 10, -11, 55
    machine = agree(nest, rng, arrays=[np.ones(10, "f4"), i, np.zeros(100, "f4")])
    _, trap = machine.run([np.ones(10, "f4"), i, np.zeros(100, "f4")])
    assert (trap.index, trap.value) == (37, 10)
    assert machine.launches[0].traps


def scattered(size, count, width, mode, combine):
    """y[i[j], c] combined with v[j, c]: rows in order."""
    operands = (
        operand("v", "f4", (count, width)),
        operand("i", "i8", (count,)),
        operand("y", "f4", (size, width), "inout"),
    )
    gather = Gather(1, select(2, (0,)), 0, mode)
    function = body(["f4"], lambda op, x: (x,))
    store = Store(2, IndexMap(2, (Affine((0, 0)), unit(2, 1))), gathers=(gather,), combine=combine)
    load = Load(0, identity(2))
    stage = MapStage((count, width), (load,), (), function, (store,))
    return Nest("scatter", operands, (), (stage,))


@pytest.mark.parametrize("combine", [None, "add", "mul", "min", "max"])
@pytest.mark.parametrize("mode", MODES)
def test_scatter(mode, combine, rng):
    for size, count, width in ((4, 30, 10), (5, 9, 1), (3, 20, 33), (0, 3, 4), (3, 0, 2)):
        nest = scattered(size, count, width, mode, combine)
        agree(nest, rng, arrays=arrays(nest, rng, -size - 1, size + 2))


def test_scatter_along_a_vector_keeps_the_order(rng):
    """y[i[j]] = v[j] and += v[j] with many collisions."""
    for combine in (None, "add"):
        for count in (1, 7, 8, 100):
            operands = (
                operand("v", "f4", (count,)),
                operand("i", "i4", (count,)),
                operand("y", "f4", (3,), "inout"),
            )
            gather = Gather(1, identity(1), 0, "wrap")
            store = Store(2, IndexMap(1, (Affine((0,)),)), gathers=(gather,), combine=combine)
            function = body(["f4"], lambda op, x: (x,))
            stage = MapStage((count,), (Load(0, identity(1)),), (), function, (store,))
            nest = Nest("s", operands, (), (stage,))
            values = [
                rng.standard_normal(count).astype("f4"),
                rng.integers(-9, 9, count).astype("i4"),
                np.ones(3, "f4"),
            ]
            agree(nest, rng, arrays=values)


def test_take_inside_a_reduction(rng):
    """sum over k of x[i[j, k]]"""
    operands = (
        operand("x", "f4", (20,)),
        operand("i", "i8", (6, 50)),
        operand("y", "f4", (6,), "out"),
    )
    gather = Gather(1, identity(2), 0, "raise")
    load = Load(0, IndexMap(2, (Affine((0, 0)),)), (gather,))
    store = Store(2, select(2, (0,)), OPS["sum"].reducer({}), (0,))
    function = body(["f4"], lambda op, x: (x,))
    stage = MapStage((50,), (load,), (), function, (store,))
    nest = Nest("bag", operands, (6,), (stage,))
    values = [rng.random(20).astype("f4"), rng.integers(-20, 20, (6, 50)), np.zeros(6, "f4")]
    agree(nest, rng, arrays=values)
    values[1][4, 20] = 20
    agree(nest, rng, arrays=values)
