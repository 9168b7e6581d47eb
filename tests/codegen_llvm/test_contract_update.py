"""Weight updates: W is rewritten, and multiplied on the way, in one pass."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from codegen_llvm.contract_machine import (
    MIDDLE,
    NARROW,
    WIDE,
    Compiled,
    Guarded,
    chain_product,
    undefined_symbols,
)
from codegen_llvm.update_machine import (
    RATE,
    Arrays,
    UpdateCase,
    arrays,
    build_update,
    run_update,
)

TARGETS = {"512": WIDE, "256": MIDDLE, "128": NARROW}


def guarded(case: UpdateCase, at_end: bool) -> tuple[Arrays, list[Guarded]]:
    """Operands whose ends (or starts) touch forbidden pages, and the pages themselves."""
    plain = arrays(case, case.n)
    pages, views = [], []
    for source in (plain.x, plain.g, plain.w, plain.d, plain.v):
        page = Guarded(source.nbytes, at_end=at_end)
        view = page.view(np.float32, source.shape)
        view[:] = source
        pages.append(page)
        views.append(view)
    return Arrays(*views), pages


def rate(case: UpdateCase) -> float:
    """The factor of the step."""
    return RATE if case.dtype in ("float", "double") else -2


SIZES = (
    ("float", 1, 70, 37),
    ("double", 1, 3, 1),
    ("i32", 40, 60, 40),
    ("i64", 2, 33, 8),
    ("float", 3, 5, 19),
    ("double", 10, 40, 50),
    ("float", 14, 37, 9),
    ("float", 16, 9, 3),
)


@pytest.mark.parametrize("order", ["any", "chain"])
@pytest.mark.parametrize("size", range(len(SIZES)))
def test_update_and_backward_product(order: str, size: int) -> None:
    width = list(TARGETS)[size % 3]
    for names, target in (("", TARGETS[width]), ("", MIDDLE), ("m", MIDDLE), ("mkn", WIDE)):
        case = UpdateCase(*SIZES[size], names, order, target=target)
        data = arrays(case, case.m)
        old = data.w.copy()
        run_update(case, data)
        assert np.array_equal(data.d, data.g @ old.T)
        expected = (old + rate(case) * (data.x.T @ data.g)).astype(old.dtype)
        assert np.array_equal(data.w, expected)


@pytest.mark.parametrize("backward", [False, True])
def test_momentum_rewrites_two_matrices(backward: bool) -> None:
    for m in (1, 4):
        case = UpdateCase("float", m, 41, 29, backward=backward, momentum=True)
        data = arrays(case, 3)
        w, v = data.w.copy(), data.v.copy()
        run_update(case, data)
        v += data.x.T @ data.g
        assert np.array_equal(data.v, v)
        assert np.array_equal(data.w, w + np.float32(RATE) * v)
        assert backward == np.array_equal(data.d, data.g @ w.T)


@pytest.mark.parametrize("width", TARGETS)
def test_chain_order_is_two_fma_chains(width: str) -> None:
    case = UpdateCase("float", 5, 37, 150, order="chain", target=TARGETS[width])
    data = arrays(case, 4, integers=False)
    old = data.w.copy()
    run_update(case, data)
    assert np.array_equal(data.d, chain_product(data.g, old.T.copy()))
    gradient = chain_product(data.x.T.copy(), data.g)
    stepped = (np.float64(RATE) * gradient + old).astype(np.float32)
    assert np.array_equal(data.w, stepped)


@pytest.mark.parametrize("names", ["", "kn"])
@pytest.mark.parametrize("order", ["any", "chain"])
def test_cuts_change_no_bit(names: str, order: str) -> None:
    for m in (1, 6):
        case = UpdateCase("float", m, 200, 77, names, order)
        text, shape = build_update(case)
        built = (Compiled(text), shape)
        whole, cut = arrays(case, 5, integers=False), arrays(case, 5, integers=False)
        run_update(case, whole, (), built)
        run_update(case, cut, (1, 2, 5), built)
        for one, other in ((whole.w, cut.w), (whole.d, cut.d)):
            assert np.array_equal(one.view(np.int32), other.view(np.int32))


def test_free_order_stays_within_its_bound() -> None:
    case = UpdateCase("float", 1, 64, 784)
    data = arrays(case, 6, integers=False)
    old = data.w.astype(np.float64)
    run_update(case, data)
    bound = 2 * (784 + 2) * np.finfo(np.float32).eps * (np.abs(data.g) @ np.abs(old.T))
    assert (np.abs(data.d - data.g.astype(np.float64) @ old.T) <= bound).all()


def test_empty_sizes() -> None:
    for k, n, names in itertools.product((0, 3), (0, 5), ("", "mkn")):
        case = UpdateCase("float", 2, k, n, names)
        data = arrays(case, 7)
        expected = data.g @ data.w.T
        run_update(case, data)
        assert np.array_equal(data.d, expected)


@pytest.mark.parametrize("at_end", [False, True])
def test_no_byte_out_of_bounds(at_end: bool) -> None:
    typical = UpdateCase("float", 2, 5, 11, "kn")
    text, shape = build_update(typical)
    built = (Compiled(text), shape)
    for k, n in itertools.product((1, 2, 3, 4, 5, 8, 33), range(1, 19)):
        case = replace(typical, k=k, n=n)
        data, pages = guarded(case, at_end)
        old = data.w.copy()
        run_update(case, data, (), built)
        assert np.array_equal(data.d, data.g @ old.T)
        assert np.array_equal(data.w, old + np.float32(RATE) * (data.x.T @ data.g))
        assert len(pages) == 5


@pytest.mark.parametrize(("width", "cpu"), [("512", "znver4"), ("256", "znver3")])
def test_objects_need_no_external_symbol(width: str, cpu: str) -> None:
    for m, names in ((1, ""), (3, "mkn"), (16, "")):
        case = UpdateCase("float", m, 70, 37, names, target=TARGETS[width])
        assert undefined_symbols(build_update(case)[0], cpu) == []
