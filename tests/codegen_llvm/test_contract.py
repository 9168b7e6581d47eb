"""Contractions: every shape, layout and order; bits under any cut; no byte out of bounds."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from codegen_llvm.contract_machine import (
    DTYPES,
    MIDDLE,
    NARROW,
    WIDE,
    Case,
    Guarded,
    assembly,
    build,
    chain_product,
    run,
    undefined_symbols,
)

TARGETS = {"512": WIDE, "256": MIDDLE, "128": NARROW}
LAYOUTS = list(itertools.product((False, True), repeat=2))


def values(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random elements: full mantissas for floats, all bits for integers."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(DTYPES[dtype])
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, kind, endpoint=True)


def small(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Small integers, whose sums are exact in every order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(DTYPES[dtype])


def stored(x: np.ndarray, transposed: bool) -> np.ndarray:
    """The same matrix, stored by columns where `transposed`."""
    return np.ascontiguousarray(x.T).T if transposed else np.ascontiguousarray(x)


def case_of(a: np.ndarray, b: np.ndarray, dtype: str, **options: object) -> Case:
    """A case for two arrays as they lie in memory."""
    (m, k), n = a.shape, b.shape[1]
    steps = [tuple(step // x.itemsize for step in x.strides) for x in (a, b)]
    return Case(dtype, m, n, k, steps[0], steps[1], **options)


def product(a: np.ndarray, b: np.ndarray, dtype: str, **options: object) -> np.ndarray:
    """The generated product of two arrays."""
    out = np.full((a.shape[0], b.shape[1]), 77, a.dtype)
    run(case_of(a, b, dtype, **options), a.ctypes.data, b.ctypes.data, out)
    return out


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", ["", "m", "n", "mnks"])
@pytest.mark.parametrize("order", ["chain", "any"])
def test_products_are_exact_on_small_integers(
    width: str, layout: tuple[bool, bool], names: str, order: str
) -> None:
    cases = (("float", 7, 37, 130), ("double", 13, 100, 29), ("i32", 2, 10, 129), ("i64", 1, 9, 97))
    turn = LAYOUTS.index(layout) + (order == "any")
    for dtype, m, n, k in (cases[turn % 4], cases[(turn + 1) % 4]):
        a = stored(small(dtype, (m, k), 1), layout[0])
        b = stored(small(dtype, (k, n), 2), layout[1])
        out = product(a, b, dtype, names=names, order=order, target=TARGETS[width])
        assert np.array_equal(out, a @ b), (dtype, m, n, k)


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", ["", "mnks"])
def test_chain_is_one_ascending_fma_chain(
    width: str, layout: tuple[bool, bool], names: str
) -> None:
    a = stored(values("float", (9, 600), 3), layout[0])
    b = stored(values("float", (600, 35), 4), layout[1])
    out = product(a, b, "float", names=names, target=TARGETS[width])
    assert np.array_equal(out.view(np.int32), chain_product(a, b).view(np.int32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_sums_are_carried_from_panel_to_panel(layout: tuple[bool, bool]) -> None:
    for names, dtype in (("", "float"), ("mnk", "double")):
        a = stored(small(dtype, (27, 1300), 3), layout[0])
        b = stored(small(dtype, (1300, 21), 4), layout[1])
        for target in (WIDE, MIDDLE):
            assert np.array_equal(product(a, b, dtype, names=names, target=target), a @ b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", ["m", "k", "mnk"])
def test_sizes_of_the_call_decide_on_packing(layout: tuple[bool, bool], names: str) -> None:
    for target, n in ((WIDE, 1024), (MIDDLE, 45)):
        for m, k in ((23, 33), (24, 31), (24, 32), (130, 32)):
            a = stored(values("float", (m, k), 5), layout[0])
            b = stored(values("float", (k, n), 6), layout[1])
            out = product(a, b, "float", names=names, target=target)
            assert np.array_equal(out, chain_product(a, b))


def test_one_row_known_at_the_call_is_streamed_with_the_same_bits() -> None:
    b = values("float", (90, 300), 1)
    typical = Case("float", 7, 300, 90, (90, 1), (300, 1), "m")
    for target in TARGETS.values():
        program = build(replace(typical, target=target)).compile()
        for m in (0, 1, 2, 5):
            a = values("float", (m, 90), 2)
            out = np.full((m, 300), 77, np.float32)
            case = replace(typical, m=m, target=target)
            run(case, a.ctypes.data, b.ctypes.data, out, (1, 3), program)
            assert np.array_equal(out, chain_product(a, b))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_integers_wrap(layout: tuple[bool, bool]) -> None:
    for dtype in ("i32", "i64"):
        a = stored(values(dtype, (5, 130), 5), layout[0])
        b = stored(values(dtype, (130, 21), 6), layout[1])
        for order in ("chain", "any"):
            assert np.array_equal(product(a, b, dtype, order=order), a @ b)


def test_any_strides() -> None:
    big = small("float", (80, 90), 7)
    a, b = big[1:31:3, 2:82:2], big[::2, 5:85:3]
    for names in ("", "mnks"):
        for order in ("chain", "any"):
            assert np.array_equal(product(a, b, "float", names=names, order=order), a @ b)
    still = np.broadcast_to(big[0, :20, None], (20, 33))
    assert np.array_equal(product(big[:4, :20], still, "float"), big[:4, :20] @ still)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["chain", "any"])
def test_free_order_stays_within_its_bound(layout: tuple[bool, bool], order: str) -> None:
    for m, n, k in ((1, 10, 784), (10, 33, 1000), (60, 40, 300)):
        a = stored(values("float", (m, k), 8), layout[0])
        b = stored(values("float", (k, n), 9), layout[1])
        exact = a.astype(np.float64) @ b.astype(np.float64)
        bound = 2 * (k + 2) * np.finfo(np.float32).eps * (np.abs(a) @ np.abs(b))
        assert (np.abs(product(a, b, "float", order=order) - exact) <= bound).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", ["", "mnk"])
@pytest.mark.parametrize("order", ["chain", "any"])
def test_cuts_change_no_bit(layout: tuple[bool, bool], names: str, order: str) -> None:
    for m, n, k in ((1, 300, 200), (300, 70, 40), (10, 10, 784)):
        a = stored(values("float", (m, k), 10), layout[0])
        b = stored(values("float", (k, n), 11), layout[1])
        case = case_of(a, b, "float", names=names, order=order)
        whole, cut = np.zeros((m, n), np.float32), np.zeros((m, n), np.float32)
        code = build(case).compile()
        run(case, a.ctypes.data, b.ctypes.data, whole, (), code)
        run(case, a.ctypes.data, b.ctypes.data, cut, (1, 2, 3, 5, 8), code)
        assert np.array_equal(whole.view(np.int32), cut.view(np.int32))


@pytest.mark.parametrize("names", ["", "mnk"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_sizes(names: str, layout: tuple[bool, bool]) -> None:
    for m, n, k in ((0, 5, 3), (5, 0, 3), (5, 9, 0), (0, 0, 0)):
        a = Case("float", m, n, k, (1, m) if layout[0] else (k, 1), (1, k) if layout[1] else (n, 1))
        out = np.full((m, n), 77, np.float32)
        for order in ("chain", "any"):
            run(replace(a, names=names, order=order), 8, 8, out)
            assert (out == 0).all()


@pytest.mark.parametrize("size", [1, 3, 4, 17])
def test_batches_broadcast(size: int) -> None:
    a, b = small("double", (4, 1, size, size), 12), small("double", (5, size, size), 13)
    square = size * size
    for names in ("", "mnk"):
        case = Case(
            "double", size, size, size, (size, 1), (size, 1), names,
            batch=(4, 5), batch_a=(square, 0), batch_b=(0, square),
        )  # fmt: skip
        out = np.full((4, 5, size, size), 77.0)
        run(case, a.ctypes.data, b.ctypes.data, out, (3, 7, 11))
        assert np.array_equal(out, a @ b)


def test_dear_epilogue_is_emitted_once_in_a_loop() -> None:
    for width, n in itertools.product(TARGETS.values(), (5, 37, 200)):
        a, b = small("float", (11, 30), 14), small("float", (30, n), 15)
        case = case_of(a, b, "float", target=width, finish_cost=500)
        out = np.full((11, n), 77, np.float32)
        run(case, a.ctypes.data, b.ctypes.data, out)
        assert np.array_equal(out, a @ b)
    kernels = build(case).text.count("fma.") - 1
    assert kernels > 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["chain", "any"])
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_no_byte_out_of_bounds(
    layout: tuple[bool, bool], order: str, at_end: bool, dtype: str
) -> None:
    kind = DTYPES[dtype]
    typical = Case(
        dtype, 5, 11, 7, (1, 5) if layout[0] else (7, 1), (1, 7) if layout[1] else (11, 1),
        "mnks", order,
    )  # fmt: skip
    code = build(typical).compile()
    for m, n, k in itertools.product((1, 2, 3, 5, 7), range(1, 19), (1, 2, 3, 5, 8, 9, 17)):
        a = small(dtype, (m, k), m)
        b = small(dtype, (k, n), n)
        guards = [Guarded(x * y * a.itemsize, at_end=at_end) for x, y in ((m, k), (k, n), (m, n))]
        for guard, x, turned in zip(guards, (a, b), layout, strict=False):
            shape = x.shape[::-1] if turned else x.shape
            guard.view(kind, shape)[:] = x.T if turned else x
        steps = (1, m) if layout[0] else (k, 1), (1, k) if layout[1] else (n, 1)
        case = Case(dtype, m, n, k, *steps, names="mnks", order=order)
        run(case, *(guard.address for guard in guards), (), code)
        assert np.array_equal(guards[2].view(kind, (m, n)), a @ b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", TARGETS)
def test_static_tails_stay_in_bounds(layout: tuple[bool, bool], width: str) -> None:
    for m, n, k in ((1, 10, 33), (5, 19, 7), (7, 35, 101), (2, 3, 130)):
        a, b = small("float", (m, k), m), small("float", (k, n), n)
        guards = [Guarded(x * y * 4) for x, y in ((m, k), (k, n), (m, n))]
        for guard, x, turned in zip(guards, (a, b), layout, strict=False):
            shape = x.shape[::-1] if turned else x.shape
            guard.view(np.float32, shape)[:] = x.T if turned else x
        steps = (1, m) if layout[0] else (k, 1), (1, k) if layout[1] else (n, 1)
        case = Case("float", m, n, k, *steps, order="any", target=TARGETS[width])
        run(case, *(guard.address for guard in guards))
        assert np.array_equal(guards[2].view(np.float32, (m, n)), a @ b)


@pytest.mark.parametrize(
    ("width", "cpu"), [("512", "znver4"), ("256", "znver3"), ("256", "haswell")]
)
def test_objects_need_no_external_symbol(width: str, cpu: str) -> None:
    for dtype, layout in itertools.product(("float", "i64"), LAYOUTS):
        a = stored(small(dtype, (13, 130), 1), layout[0])
        b = stored(small(dtype, (130, 37), 2), layout[1])
        for names in ("", "mnks"):
            case = case_of(a, b, dtype, names=names, order="any", target=TARGETS[width])
            assert undefined_symbols(build(case).text, cpu) == []


def test_hot_loops_keep_their_sums_in_registers() -> None:
    a, b = small("float", (60, 300), 1), small("float", (300, 500), 2)
    for cpu, target, sums in (("znver4", WIDE, 24), ("znver3", MIDDLE, 12)):
        case = case_of(a, b, "float", order="any", target=target)
        blocks = re.split(r"\n(?=\.LBB)", assembly(build(case).text, cpu))
        hot = [block for block in blocks if block.count("vfmadd") == sums]
        assert hot
        for block in hot:
            assert not re.search(r"%[yz]mm[^\n]*\(%rsp\)|\(%rsp\)[^\n]*%[yz]mm", block)
