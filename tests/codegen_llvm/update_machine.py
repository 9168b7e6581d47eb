"""Builds and runs one weight update on arrays, for the tests of updates.

before: x, g, W (and V, with a momentum) as arrays.
after: d, and W (and V) rewritten by the generated code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from codegen_llvm.contract_machine import BLOCKS, DTYPES, MIDDLE, Compiled, kernel_text
from symc.codegen_llvm.contract import (
    Blocking,
    Contraction,
    Lanes,
    Operand,
    TileRow,
    Update,
    UpdateHooks,
    VectorTarget,
    element,
    emit_update,
    store_to,
    update_blocking,
)
from symc.codegen_llvm.contract.lanes import splat
from symc.codegen_llvm.text import Emitter, Reg

RATE = -0.25  # of the step: exact in every float format


@dataclass(frozen=True)
class UpdateCase:
    """Sizes; `names` holds the letters of "mkn" that are known at run time only."""

    dtype: str
    m: int
    k: int
    n: int
    names: str = ""
    order: str = "any"
    backward: bool = True
    momentum: bool = False
    target: VectorTarget = MIDDLE


def build_update(case: UpdateCase) -> tuple[str, Blocking]:
    """The module: buffers x, g, W, d, V, scratch."""
    shapes = []

    def body(e: Emitter, pointers: list[Reg], sizes: list[Reg]) -> None:
        x, g, w, d, v, scratch = pointers
        m = sizes[2] if "m" in case.names else case.m
        k = sizes[0] if "k" in case.names else case.k
        n = sizes[1] if "n" in case.names else case.n
        weights = Operand(w, n, 1)
        u = Update(
            case.dtype,
            m,
            k,
            n,
            Operand(x, k, 1),
            Operand(g, n, 1),
            weights,
            case.order,
            case.backward,
        )
        shapes.append(update_blocking(u, case.target))
        lanes = Lanes(e, case.dtype, case.target.lanes(case.dtype), case.target.mask_registers)
        step = splat(e, Reg(str(RATE) if lanes.floating else "-2", case.dtype), lanes.width)

        def revise(inner: Emitter, run: TileRow, old: Reg) -> None:
            del inner
            value = run.value
            if case.momentum:
                place = element(lanes, Operand(v, n, 1), run)
                value = lanes.plus(lanes.load(place, run.mask), value)
                lanes.store_tail(value, place, run.mask, run.count)
            new = lanes.fma(step, value, old)
            lanes.store_tail(new, element(lanes, weights, run), run.mask, run.count)

        shape = Contraction(case.dtype, m, k, n, u.g, weights)
        finish = store_to(Operand(d, k, 1), shape, case.target) if case.backward else None
        emit_update(e, u, BLOCKS, UpdateHooks(revise, finish), case.target, scratch)

    return kernel_text(6, 3, body), shapes[0]


@dataclass
class Arrays:
    """Inputs and outputs of an update, by address and as arrays."""

    x: np.ndarray
    g: np.ndarray
    w: np.ndarray
    d: np.ndarray
    v: np.ndarray


def arrays(case: UpdateCase, seed: int, *, integers: bool = True) -> Arrays:
    """Fresh operands: small integers (all sums exact) or full mantissas."""
    rng = np.random.default_rng(seed)
    kind = DTYPES[case.dtype]

    def draw(*shape: int) -> np.ndarray:
        if integers:
            return rng.integers(-4, 5, shape).astype(kind)
        return rng.standard_normal(shape).astype(kind)

    m, k, n = case.m, case.k, case.n
    return Arrays(draw(m, k), draw(m, n), draw(k, n), np.full((m, k), 77, kind), draw(k, n))


def run_update(
    case: UpdateCase, data: Arrays, cuts: tuple[int, ...] = (), built: object = None
) -> None:
    """Run a case in place on its arrays, the last piece of the cut first."""
    text, shape = build_update(case) if built is None else built
    code = Compiled(text) if isinstance(text, str) else text
    count = shape.count(case.k, case.n)
    scratch = np.full(shape.scratch_bytes + 128, 0xFF, np.uint8)
    start = -scratch.ctypes.data % 64
    buffers = [x.ctypes.data for x in (data.x, data.g, data.w, data.d, data.v)]
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    for begin, end in reversed(list(pairwise(edges))):
        code.run([*buffers, scratch.ctypes.data + start], [case.k, case.n, case.m], (begin, end))
    assert (scratch[start + shape.scratch_bytes :] == 0xFF).all()
