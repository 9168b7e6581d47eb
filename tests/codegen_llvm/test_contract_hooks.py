"""Load hooks: an operand may be computed on the way in; indices and masks are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen_llvm.contract_machine import (
    BLOCKS,
    MIDDLE,
    WIDE,
    Case,
    Compiled,
    contraction,
    kernel_text,
)
from symc.codegen_llvm.contract import (
    Access,
    Blocking,
    Hooks,
    Lanes,
    Operand,
    blocking,
    emit_contraction,
    store_to,
)
from symc.codegen_llvm.contract.size import add, mul, offset
from symc.codegen_llvm.contract.spec import Load
from symc.codegen_llvm.contract.tiles import plan
from symc.codegen_llvm.text import Emitter, Reg

# (m, n, k), the layouts of a and b by name, and the kernel that such a product takes
KINDS = {
    "tile": ((7, 37, 20), "NN"),
    "packed vectors": ((30, 37, 40), "NN"),
    "packed squares": ((30, 37, 40), "NT"),
    "packed elements": ((9, 21, 13), "NS"),
    "dot": ((5, 21, 400), "NT"),
    "dot of one row": ((1, 21, 400), "NT"),
    "stream": ((1, 300, 21), "NN"),
    "rows": ((9, 90, 2), "TN"),
}


def build(case: Case) -> tuple[str, Blocking]:
    """A product whose operands are read by index; the generator's own addresses are not valid."""
    shapes = []

    def body(e: Emitter, pointers: list[Reg], sizes: list[Reg]) -> None:
        a, b, out, scratch = pointers
        lost = Reg("null", "ptr")
        c = contraction(case, (lost, lost), sizes)
        shapes.append(blocking(c, case.target))
        lanes = Lanes(e, c.dtype, case.target.lanes(c.dtype), case.target.mask_registers)

        def through(base: Reg, operand: Operand) -> Load:
            def load(inner: Emitter, access: Access) -> Reg:
                steps = add(
                    inner, mul(inner, access.row, operand.row), mul(inner, access.col, operand.col)
                )
                place = offset(inner, base, mul(inner, steps, lanes.size))
                if access.along == "none":
                    one = inner.emit(c.dtype, f"load {c.dtype}, ptr {place.name}")
                    return lanes.plus(one, one)
                value = lanes.load(place, access.mask)
                return lanes.plus(value, value)

            return load

        hooks = Hooks(store_to(Operand(out, case.n, 1), c, case.target))
        hooks = replace(hooks, load_a=through(a, c.a), load_b=through(b, c.b))
        emit_contraction(e, c, BLOCKS, hooks, case.target, scratch)

    return kernel_text(4, 7, body), shapes[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", ["", "m", "nk"])
def test_operands_are_read_through_their_hooks(kind: str, names: str) -> None:
    (m, n, k), layout = KINDS[kind]
    rng = np.random.default_rng(1)
    a = rng.integers(-4, 5, (m, k)).astype(np.float32)
    b = rng.integers(-4, 5, (k, n)).astype(np.float32)
    stored_a = np.ascontiguousarray(a.T).T if layout[0] == "T" else a
    stored_b = np.ascontiguousarray(b.T).T if layout[1] == "T" else b
    if layout[1] == "S":
        stored_b = np.repeat(b, 2, axis=1)[:, ::2]
    steps = [tuple(step // 4 for step in x.strides) for x in (stored_a, stored_b)]
    for target in (WIDE, MIDDLE):
        case = Case("float", m, n, k, *steps, names, "any", target)
        text, shape = build(case)
        out = np.full((m, n), 77, np.float32)
        scratch = np.zeros(shape.scratch_bytes, np.uint8)
        buffers = [x.ctypes.data for x in (stored_a, stored_b, out, scratch)]
        dims = [m, n, k, *steps[0], *steps[1]]
        Compiled(text).run(buffers, dims, (0, shape.count(m, n)))
        assert np.array_equal(out, 4 * (a @ b))


@pytest.mark.parametrize("kind", KINDS)
def test_the_products_above_take_the_kernels_they_name(kind: str) -> None:
    (m, n, k), layout = KINDS[kind]
    a = (1, m) if layout[0] == "T" else (k, 1)
    b = {"N": (n, 1), "T": (1, k), "S": (2 * n, 2)}[layout[1]]
    case = Case("float", m, n, k, a, b, "", "any", MIDDLE)
    chosen = plan(contraction(case, [Reg("null", "ptr")] * 2, [Reg("0", "i64")] * 7), MIDDLE)
    packed = kind.startswith("packed")
    assert (chosen.kind, chosen.packed) == ("tile" if packed else kind.split(maxsplit=1)[0], packed)
