"""Messages: what does not fit is named; traps carry the user's line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from runtime.programs import (
    F32,
    TRAP,
    Builder,
    affine,
    affine_program,
    callable_of,
    object_code,
    state_of,
)
from symc.ir.errors import (
    DomainError,
    DTypeError,
    NonFiniteError,
    ShapeError,
    SymcError,
    SymcIndexError,
    SymcOverflowError,
    SymcZeroDivisionError,
)
from symc.ir.program import Accept, Constraint, SizeExpr, SizeOp, Trap
from symc.runtime.executable import check, load
from symc.runtime.faults import trap

ONE = np.ones((2, 3), F32)


def two_inputs() -> Builder:
    b = Builder("n", "m")
    b.input("n", "m")
    b.input("m", 4)
    b.output("n")
    return b


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ((ONE,), TypeError, "number of arguments.*1.*2"),
        ((ONE, np.ones((3, 4))), DTypeError, "input y.*float64.*float32.*astype"),
        ((ONE, np.ones(3, F32)), ShapeError, "rank of input y.*1.*2"),
        ((ONE, np.ones((2, 4), F32)), ShapeError, "size m of y axis 0.*2.*3, as x axis 1"),
        ((ONE, np.ones((3, 5), F32)), ShapeError, "y axis 1.*5.*4"),
        ((ONE, 2.0), DTypeError, "input y.*float"),
        ((ONE, None), DTypeError, "input y.*NoneType.*array"),
    ],
)
def test_check_names_what_does_not_fit(
    args: tuple[object, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match="(?s)" + words):
        check(two_inputs().build(), args)


def test_check_of_computed_sizes_and_constraints() -> None:
    b = two_inputs()
    twice = SizeExpr(SizeOp.MUL, b.size("n"), b.size(2))
    b.input(twice)
    b.constraints.append(Constraint(b.size("n"), b.size("m"), 1, "rows and columns"))
    program = b.build()
    y = np.ones((2, 4), F32)
    square = np.ones((2, 2), F32)
    check(program, (square, y, np.ones(4, F32)))
    with pytest.raises(ShapeError, match=r"(?s)z axis 0.*5.*4 \(n = 2, m = 2\)"):
        check(program, (square, y, np.ones(5, F32)))
    with pytest.raises(ShapeError, match=r"(?s)rows and columns.*2 and 3.*model.py:2"):
        check(program, (ONE, np.ones((3, 4), F32), np.ones(4, F32)))


def test_check_accepts_what_calls_accept() -> None:
    b = Builder()
    b.input(accept=Accept.FLOAT | Accept.INT)
    check(b.build(), (1.5,))
    check(b.build(), (1,))
    with pytest.raises(DTypeError):
        check(b.build(), (True,))
    with pytest.raises(DTypeError):
        check(b.build(), ("text",))


def test_check_of_states() -> None:
    b = Builder("n")
    b.input("n")
    b.state("n")
    check(b.build(), (np.ones(2, F32),), (state_of([1, 2]),))
    with pytest.raises(ShapeError, match="s0 axis 0"):
        check(b.build(), (np.ones(3, F32),), (state_of([1, 2]),))


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        load(affine_program(8), object_code(affine()), threads=threads)


TRAPS = [
    (Trap.INDEX, SymcIndexError, "-7"),
    (Trap.ZERO_DIVISION, SymcZeroDivisionError, "-7"),
    (Trap.NON_FINITE, NonFiniteError, "-inf"),
    (Trap.OVERFLOW, SymcOverflowError, "-7"),
    (Trap.DOMAIN, DomainError, "-7"),
    (99, SymcError, "99"),
]


@pytest.mark.parametrize(("kind", "error", "words"), TRAPS)
def test_traps(kind: int, error: type[SymcError], words: str) -> None:
    b = Builder("n")
    x = b.input("n")
    b.kernel("trap", x, b.output("n"), dims=(int(kind),), traps=True)
    program = b.build()
    f = callable_of(load(program, object_code(TRAP)))
    with pytest.raises(error, match=r"model\.py:1") as caught:
        f(np.ones(3, F32))
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "f:" in str(caught.value)
    with pytest.raises(error):
        f.call_n(3, np.ones(3, F32))
    lost = callable_of(load(dataclasses.replace(program, locations=()), object_code(TRAP)))
    with pytest.raises(error):
        lost(np.ones(3, F32))


def test_traps_in_loops_name_the_step() -> None:
    assert "step 5" in str(trap((1, 0, 5, 2, 3), "f", ("a.py:1",)))
    assert "nan" in str(trap((Trap.NON_FINITE, 0, 0, 2, 0), "f", None))


def test_every_trap_has_a_message() -> None:
    for kind in Trap:
        assert len(str(trap((kind, 0, 0, 0, 1), "f", ("a.py:1",))).splitlines()) <= 6
