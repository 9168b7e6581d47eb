"""A backward product and the update of the same weights: one kernel, one walk over the weights."""

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, operand
from symc.ir.affine import identity, select
from symc.ir.dims import symbol
from symc.ir.nest import ContractStage, Load, Nest, Store


def step(m, k, n, *, order="chain", momentum=False, turned=False, symbols=()):
    """d = tanh'(g W^T), then W -= x^T g (and a momentum); `turned`: d is computed as (W g^T)^T."""
    operands = [
        operand("x", "f4", (m, k)),
        operand("g", "f4", (m, n)),
        operand("w", "f4", (k, n), "inout"),
        operand("h", "f4", (m, k)),
        operand("d", "f4", (k, m) if turned else (m, k), "out"),
        operand("v", "f4", (k, n), "inout"),
    ]
    f4 = np.dtype("f4")
    both, flipped = identity(2), select(2, (1, 0))
    scaled = body(["f4", "f4"], lambda op, acc, h: (op("mul", acc, op("sub", h, op("mul", h, h))),))
    if turned:
        product = ContractStage(
            (), (k,), (m,), (n,), Load(2, both), Load(1, flipped), f4, order,
            (Load(3, flipped),), scaled, (Store(4, both),),
        )  # fmt: skip
    else:
        product = ContractStage(
            (), (m,), (k,), (n,), Load(1, both), Load(2, flipped), f4, order,
            (Load(3, both),), scaled, (Store(4, both),),
        )  # fmt: skip

    def plain(op, acc, w):
        return (op("sub", w, acc),)

    def moving(op, acc, w, v):
        new = op("add", op("mul", v, v), acc)
        return op("sub", w, new), new

    loads = (Load(2, both), Load(5, both)) if momentum else (Load(2, both),)
    stores = (Store(2, both), Store(5, both)) if momentum else (Store(2, both),)
    function = body(["f4"] * 3, moving) if momentum else body(["f4"] * 2, plain)
    update = ContractStage(
        (), (k,), (n,), (m,), Load(0, flipped), Load(1, both), f4, order, loads, function, stores
    )
    return Nest("step", tuple(operands), (), (product, update), symbols)


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_bits_in_chain_order(momentum, turned, rng):
    for m, k, n in ((1, 7, 5), (1, 100, 50), (3, 60, 33), (10, 50, 10), (2, 1, 9)):
        nest = step(m, k, n, momentum=momentum, turned=turned)
        machine = agree(nest, rng)
        assert len(machine.launches) == 1


@pytest.mark.parametrize("momentum", [False, True])
def test_any_order_on_small_integers(momentum, rng):
    for m, k, n in ((1, 100, 70), (4, 60, 40), (10, 97, 64)):
        nest = step(m, k, n, order="any", momentum=momentum)
        values = [rng.integers(-3, 4, o.type.shape).astype("f4") for o in nest.operands]
        machine = agree(nest, rng, arrays=values)
        assert len(machine.launches) == 1


def test_rows_known_at_the_call(rng):
    nest = step(symbol("m"), 60, 40, symbols=("m",))
    machine = None
    for m in (0, 1, 2, 10):
        machine = agree(nest, rng, {"m": m}, machine=machine)
    assert len(machine.launches) == 1


def test_weights_of_one_column_take_two_kernels(rng):
    machine = agree(step(3, 20, 1), rng)
    assert len(machine.launches) == 2
