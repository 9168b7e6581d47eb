"""Calls: what matches runs at once, what does not goes to `miss`, and nothing is corrupted."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

from runtime.programs import (
    ADD,
    F32,
    F64,
    Builder,
    affine,
    affine_executable,
    affine_program,
    callable_of,
    object_code,
)
from symc.ir.program import Accept, BufferKind, Constraint, Copy, SizeExpr, SizeOp
from symc.runtime.executable import Callable, Structure, load


def is_miss(result: object) -> bool:
    return isinstance(result, tuple) and result[:1] == ("miss",)


def test_static_shape() -> None:
    f = callable_of(affine_executable(8))
    x = np.arange(8, dtype=F32)
    y = f(x)
    assert type(y) is np.ndarray
    assert y.dtype == F32
    assert np.array_equal(y, x * 2 + 1)
    assert y.flags.owndata
    assert y.flags.writeable
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("n", [0, 1, 5, 1000, 100_000])
def test_symbolic_shape(n: int) -> None:
    f = callable_of(affine_executable("n"))
    x = np.arange(n, dtype=F32)
    assert np.array_equal(f(x), x * 2 + 1)


def test_zero_dimensions_give_an_array() -> None:
    y = callable_of(affine_executable())(np.array(3, F32))
    assert type(y) is np.ndarray
    assert y.shape == ()
    assert y == 7


def test_repeated_dim_and_constraint() -> None:
    b = Builder("n", "m")
    x = b.input("n", "m")
    b.input("m")
    b.kernel("affine", x, b.output("n", "m"))
    b.constraints.append(Constraint(b.size("n"), b.size("m"), 0, "n and m"))
    f = callable_of(load(b.build(), object_code(affine())))
    square = np.ones((3, 3), F32)
    assert np.array_equal(f(square, np.ones(3, F32)), square * 3)
    assert is_miss(f(square, np.ones(4, F32)))
    assert is_miss(f(np.ones((3, 4), F32), np.ones(4, F32)))


def test_computed_axis() -> None:
    b = Builder("n")
    x = b.input("n")
    twice = SizeExpr(SizeOp.MUL, b.size("n"), b.size(2))
    b.input(twice)
    b.kernel("affine", x, b.output("n"))
    f = callable_of(load(b.build(), object_code(affine())))
    x = np.ones(3, F32)
    assert np.array_equal(f(x, np.ones(6, F32)), x * 3)
    assert is_miss(f(x, np.ones(5, F32)))
    assert np.array_equal(f(x, np.ones(6, F32)), x * 3)


def test_the_first_matching_entry_runs() -> None:
    f = callable_of(affine_executable(8), affine_executable("n"), affine_executable(8, dtype=F64))
    for n, dtype in [(8, F32), (9, F32), (8, F64)]:
        x = np.arange(n, dtype=dtype)
        y = f(x)
        assert y.dtype == dtype
        assert np.array_equal(y, x * 2 + 1)
    assert is_miss(f(np.arange(9, dtype=F64)))
    assert len(f.entries) == 3
    f.remove_entry(f.entries[2])
    assert is_miss(f(np.arange(8, dtype=F64)))
    with pytest.raises(LookupError):
        f.remove_entry(affine_executable(8))
    f.clear_entries()
    assert is_miss(f(np.arange(8, dtype=F32)))


class Subclass(np.ndarray):
    pass


def misaligned(n: int) -> np.ndarray:
    return np.frombuffer(bytearray(4 * n + 1), np.uint8)[1:].view(F32)


@pytest.mark.parametrize(
    "argument",
    [
        np.ones((2, 4), F32).T,
        np.ones((4, 4), F32)[:, ::2],
        np.ones((4, 2), F32)[::-1],
        np.broadcast_to(np.ones(2, F32), (4, 2)),
        np.ones((4, 2), ">f4"),
        np.ones((4, 2), F64),
        np.ones((4, 2), np.int32),
        np.ones((4, 3), F32),
        np.ones(8, F32),
        np.ones((4, 2, 1), F32),
        np.ones((4, 2), F32).view(Subclass),
        misaligned(8).reshape(4, 2),
        [[1.0, 2.0]] * 4,
        None,
        1.0,
        "text",
        object(),
    ],
    ids=lambda a: f"{type(a).__name__}-{getattr(a, 'dtype', '')}-{getattr(a, 'strides', '')}",
)
def test_what_does_not_match_is_a_miss(argument: object) -> None:
    f = callable_of(affine_executable(4, 2))
    missed = f(argument)
    assert is_miss(missed)
    assert missed[1][0] is argument
    assert missed[2] == {}


def test_counts_and_keywords_are_misses() -> None:
    f = callable_of(affine_executable(8))
    x = np.ones(8, F32)
    assert is_miss(f())
    assert is_miss(f(x, x))
    assert f(x, y=3) == ("miss", (x,), {"y": 3})
    assert f(x=3) == ("miss", (), {"x": 3})


def test_without_miss_an_error_is_raised() -> None:
    f = Callable()
    with pytest.raises(LookupError):
        f(np.ones(3, F32))


def test_errors_of_miss_pass_through() -> None:
    def miss(args: object, kwargs: object) -> object:
        raise ZeroDivisionError("from miss")

    with pytest.raises(ZeroDivisionError, match="from miss"):
        Callable(miss)(1)


SCALARS = [
    (F32, Accept.FLOAT, 1.5, True),
    (F64, Accept.FLOAT, 0.1, True),
    (F64, Accept.INT, 3, True),
    (F64, Accept.FLOAT, 3, False),
    (F64, Accept.INT, True, False),
    (F64, Accept.BOOL, True, True),
    (F64, Accept.INT, 1 << 70, False),
    (F64, Accept.ARRAY, 1.0, False),
    (np.dtype(np.int8), Accept.INT, 127, True),
    (np.dtype(np.int8), Accept.INT, 128, False),
    (np.dtype(np.int8), Accept.INT, -129, False),
    (np.dtype(np.uint8), Accept.INT, -1, False),
    (np.dtype(np.uint64), Accept.INT, 2**62, True),
    (np.dtype(np.int64), Accept.INT, -(2**63), True),
    (np.dtype(np.int64), Accept.FLOAT, 1.0, False),
    (np.dtype(bool), Accept.BOOL, True, True),
    (np.dtype(bool), Accept.INT, 1, False),
    (np.dtype(np.float16), Accept.FLOAT, 1.0, False),
]


@pytest.mark.parametrize(("dtype", "accept", "value", "taken"), SCALARS)
def test_python_scalars(dtype: np.dtype, accept: Accept, value: object, taken: bool) -> None:
    b = Builder()
    x = b.input(dtype=dtype, accept=accept)
    b.code.append(Copy(b.output(dtype=dtype), x))
    f = callable_of(load(b.build(), b""))
    result = f(value)
    assert is_miss(result) != taken
    assert not taken or result == np.array(value, dtype)


def test_tuple_and_no_results() -> None:
    b = Builder("n")
    x = b.input("n")
    b.kernel("affine", x, b.output("n"))
    b.code.append(Copy(b.output("n"), x))
    executable = load(b.build(), object_code(affine()))
    x = np.arange(5, dtype=F32)
    first, second = callable_of(executable, structure=Structure.TUPLE)(x)
    assert np.array_equal(first, x * 2 + 1)
    assert np.array_equal(second, x)
    assert not np.shares_memory(first, second)
    assert callable_of(executable, structure=Structure.NONE)(x) is None
    with pytest.raises(ValueError, match="structure"):
        callable_of(executable, structure=Structure.SINGLE)


def test_constants_and_arena() -> None:
    b = Builder("n")
    x = b.input("n")
    values = np.arange(4, dtype=F32)
    constant = b.constant(values)
    temporary = b.buffer(BufferKind.ARENA, 0, F32, b.shape(("n",)), b.size(64))
    b.arena = b.size(SizeExpr(SizeOp.ADD, b.buffers[temporary].bytes, b.size(64)))
    b.kernel("affine", x, temporary)
    b.kernel("add", temporary, constant, b.output("n"))
    b.constraints.append(Constraint(b.size("n"), b.size(4), 0, "n is 4"))
    f = callable_of(load(b.build(), object_code(affine(), ADD)))
    x = np.ones(4, F32)
    assert np.array_equal(f(x), x * 3 + values)
    values[:] = 100
    assert f(x)[0] == 3


def test_steady_state_allocates_nothing() -> None:
    f = callable_of(affine_executable("n"))
    assert f.last_stats() is None
    for n in (8, 9, 8):
        f(np.ones(n, F32))
    stats = f.last_stats()
    assert stats == {"allocations": 0, "kernels": 1, "blocks": 8, "threads": 1}


def test_large_results_reuse_memory_and_stay_apart() -> None:
    f = callable_of(affine_executable("n"))
    x = np.ones(50_000, F32)
    first, second = f(x), f(x)
    assert not np.shares_memory(first, second)
    address = first.ctypes.data
    assert address % 64 == 0
    view = first[10:]
    del first
    third = f(x)
    assert not np.shares_memory(third, view)
    del view
    fourth = f(x)
    assert fourth.ctypes.data == address
    f.release_memory()
    assert np.array_equal(fourth, x * 3)


def donating() -> Callable:
    """Returns its first argument, increased in place by the second."""
    b = Builder("n")
    x = b.input("n", donated=True)
    y = b.input("n")
    b.kernel("add", x, y, x)
    b.outputs.append(x)
    return callable_of(load(b.build(), object_code(ADD)))


@pytest.mark.parametrize("n", [4, 40_000])
def test_a_donated_array_is_returned(n: int) -> None:
    f = donating()
    x, y = np.ones(n, F32), np.full(n, 2, F32)
    result = f(x, y)
    assert result is x
    assert np.all(x == 3)
    made = callable_of(affine_executable("n"))(y)  # a result may be donated in turn
    assert f(made, y) is made


def test_bad_donations() -> None:
    f = donating()
    x, y = np.ones(4, F32), np.ones(4, F32)
    frozen = np.ones(4, F32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        f(frozen, y)
    with pytest.raises(ValueError, match="own"):
        f(np.ones(8, F32)[:4], y)
    with pytest.raises(ValueError, match="shares memory"):
        f(x, x)
    with pytest.raises(ValueError, match="shares memory"):
        f(x, x[:])
    with pytest.raises(ValueError, match="twice"):
        f.call_n(2, x, y)
    assert np.all(x == 1)


def test_call_n() -> None:
    f = callable_of(affine_executable("n"))
    x = np.arange(4, dtype=F32)
    assert np.array_equal(f.call_n(5, x), x * 2 + 1)
    assert f.last_stats()["kernels"] == 5
    for n in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            f.call_n(n, x)
    with pytest.raises(TypeError):
        f.call_n("3", x)
    with pytest.raises(TypeError):
        f.call_n()
    with pytest.raises(LookupError):
        f.call_n(1, [1.0])


def test_resolve_converts_for_call_n_and_bind() -> None:
    def resolve(args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[object, ...]:
        return tuple(np.asarray(arg, F32) for arg in args)

    f = Callable(None, resolve)
    f.add_entry(affine_executable("n"), Structure.SINGLE)
    assert np.array_equal(f.call_n(2, [1, 2]), [3, 5])
    assert np.array_equal(f.bind([1, 2])(), [3, 5])


def test_bind() -> None:
    f = callable_of(affine_executable("n"))
    x = np.arange(4, dtype=F32)
    call = f.bind(x)
    first = call()
    x += 1
    second = call()
    assert np.array_equal(first, (x - 1) * 2 + 1)
    assert np.array_equal(second, x * 2 + 1)
    with pytest.raises(TypeError):
        call(1)
    with pytest.raises(LookupError):
        f.bind(np.ones((2, 2), F32))
    with pytest.raises(TypeError):
        f.bind(x, other=1)


def test_bind_out() -> None:
    f = callable_of(affine_executable("n"))
    x, out = np.arange(4, dtype=F32), np.empty(4, F32)
    call = f.bind(x, out=out)
    assert call() is out
    assert np.array_equal(out, x * 2 + 1)
    x += 1
    call()
    assert np.array_equal(out, x * 2 + 1)
    before = sys.getallocatedblocks()
    for _ in range(100):
        call()
    assert sys.getallocatedblocks() - before < 10
    out.shape = (2, 2)
    with pytest.raises(ValueError, match="shape"):
        call()
    x.shape = (2, 2)
    with pytest.raises(ValueError, match="changed"):
        call()


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (np.empty(4, F64), "dtype"),
        (np.empty(8, F32)[::2], "contiguous"),
        ([0.0] * 4, "not an array"),
        (np.empty(4, ">f4"), "dtype"),
    ],
)
def test_bad_out(out: object, why: str) -> None:
    f = callable_of(affine_executable("n"))
    with pytest.raises(ValueError, match=why):
        f.bind(np.ones(4, F32), out=out)


def test_out_must_not_overlap() -> None:
    f = callable_of(affine_executable("n"))
    memory = np.ones(6, F32)
    with pytest.raises(ValueError, match="argument"):
        f.bind(memory[:4], out=memory[2:])
    with pytest.raises(ValueError, match="argument"):
        f.bind(memory, out=memory)


class Named(Callable):
    """A subclass as the frontend makes it."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda args, kwargs: ("miss", args, kwargs))
        self.name = name


class Overriding(Callable):
    def __call__(self, *args: object, **kwargs: object) -> object:
        return ("own", args)


VECTORCALL = 1 << 11


def test_subclasses_keep_the_fast_path() -> None:
    assert Callable.__flags__ & VECTORCALL
    assert Named.__flags__ & VECTORCALL
    assert not Overriding.__flags__ & VECTORCALL
    f = Named("f")
    f.add_entry(affine_executable("n"), Structure.SINGLE)
    assert np.array_equal(f(np.ones(2, F32)), [3, 3])
    assert Overriding()(1) == ("own", (1,))


def test_cycles_are_collected() -> None:
    f = Named("f")
    executable = affine_executable("n")
    f.add_entry(executable, Structure.SINGLE)
    f.myself = f
    gone = weakref.ref(f), weakref.ref(executable)
    f(np.ones(2, F32))
    del f, executable
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_calls_do_not_leak() -> None:
    f = callable_of(affine_executable("n"))
    x, large = np.ones(4, F32), np.ones(50_000, F32)
    calls = [
        lambda: f(x),
        lambda: f(large),
        lambda: f(x, 1),
        lambda: f.bind(x)(),
        lambda: f.call_n(3, x),
    ]
    for call in calls:
        for _ in range(10):
            call()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(1000):
            call()
        gc.collect()
        assert sys.getallocatedblocks() - before < 100


def test_an_entry_removed_by_its_own_miss() -> None:
    f = Callable(lambda args, kwargs: f.clear_entries())
    f.add_entry(affine_executable(8), Structure.SINGLE)
    assert f(np.ones(9, F32)) is None
    assert f.entries == ()


def test_add_entry_wants_an_executable() -> None:
    with pytest.raises(TypeError, match="Executable"):
        Callable().add_entry(object(), Structure.SINGLE)


def test_too_much_memory() -> None:
    b = Builder("n")
    x = b.input("n")
    huge = b.size(1 << 50)
    output = b.buffer(BufferKind.OUTPUT, 0, F32, (b.size("n"), huge))
    b.outputs.append(output)
    b.kernel("affine", x, output, blocks=b.size(0))
    f = callable_of(load(b.build(), object_code(affine())))
    with pytest.raises(MemoryError):
        f(np.ones(8, F32))
    with pytest.raises(MemoryError):
        f(np.ones(1 << 14, F32))
    assert f(np.ones(0, F32)).shape == (0, 1 << 50)


def test_an_arena_that_does_not_fit() -> None:
    b = Builder("n")
    x = b.input("n")
    b.buffer(BufferKind.ARENA, 0, F32, b.shape(("n",)), b.size(0))
    b.arena = b.size(1 << 55)
    b.kernel("affine", x, b.output("n"))
    f = callable_of(load(b.build(), object_code(affine())))
    with pytest.raises(MemoryError):
        f(np.ones(8, F32))


def test_program_of_affine_is_plain_data() -> None:
    assert affine_program(8) == affine_program(8)
