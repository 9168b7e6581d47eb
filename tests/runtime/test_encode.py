"""Encoding: deterministic, in step with the C++ side, and refused when altered."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from runtime.programs import Builder, affine, affine_program, callable_of, object_code, updating
from symc.ir.errors import CompileError, ParseError, UnsupportedError
from symc.ir.program import BufferKind, Copy, SizeOp
from symc.runtime import encode as room
from symc.runtime.encode import DTYPES, OPCODES, encode
from symc.runtime.executable import Executable, load

CPP = Path(__file__).parents[2] / "cpp" / "runtime"


def enumerators(name: str) -> int:
    """How many enumerators an enum of program.h has."""
    text = (CPP / "program.h").read_text()
    found = re.search(rf"enum class {name} : std::uint8_t \{{([^}}]*)\}}", text)
    assert found is not None
    return len(found.group(1).split(","))


def test_opcodes_agree_with_the_runtime() -> None:
    rows = re.findall(r"^SYMC_OPCODE\((\w+), (\d+)", (CPP / "opcodes.def").read_text(), re.M)
    assert {(kind.__name__, code) for kind, code in OPCODES.items()} == {
        (name, int(code)) for name, code in rows
    }


def test_enumerations_agree_with_the_runtime() -> None:
    assert enumerators("DType") == len(DTYPES)
    assert enumerators("SizeOp") == len(SizeOp)
    assert enumerators("BufferKind") == len(BufferKind)
    versions = re.findall(r"program_version = (\d+)", (CPP / "program.h").read_text())
    assert versions == [str(room.VERSION)]
    abi = re.findall(r"SYMC_ABI_VERSION (\d+)", (CPP / "symc.h").read_text())
    assert abi == [str(room.ABI_VERSION)]


def test_equal_programs_have_equal_bytes() -> None:
    assert encode(affine_program("n")) == encode(affine_program("n"))
    assert encode(affine_program("n")) != encode(affine_program(8))


def test_locations_are_not_in_the_bytes() -> None:
    program = affine_program("n")
    moved = dataclasses.replace(program, locations=("elsewhere.py:1", "elsewhere.py:2"))
    assert encode(moved) == encode(program)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(name: str) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    value = np.array([1, 0, 1]).astype(dtype)
    b = Builder()
    b.code.append(Copy(b.output(3, dtype=dtype), b.input(3, dtype=dtype)))
    b.code.append(Copy(b.output(3, dtype=dtype), b.constant(value)))
    result = callable_of(load(b.build(), b""), structure=1)(value)
    for array in result:
        assert array.dtype == dtype
        assert array.tobytes() == value.tobytes()


def test_constants_of_any_layout() -> None:
    value = np.arange(6, dtype=">i4").reshape(2, 3).T
    b = Builder()
    constant = b.constant(value)
    native = value.dtype.newbyteorder("=")
    b.buffers[constant] = dataclasses.replace(b.buffers[constant], dtype=native)
    b.code.append(Copy(b.output(3, 2, dtype=native), constant))
    result = callable_of(load(b.build(), b""))()
    assert np.array_equal(result, value)


@pytest.mark.parametrize("dtype", ["object", "S4", "datetime64[s]", "longdouble"])
def test_dtypes_that_the_runtime_does_not_have(dtype: str) -> None:
    with pytest.raises(UnsupportedError):
        encode(affine_program(8, dtype=np.dtype(dtype)))


def test_altered_programs_are_refused_or_harmless() -> None:
    whole = encode(updating("n", in_place=False))
    code = object_code(affine())
    for length in range(len(whole)):
        with pytest.raises(ParseError):
            Executable(whole[:length], code)
    bits = random.Random(3)
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= 1 << bits.randrange(8)
        try:
            Executable(bytes(altered), code)
        except (ParseError, UnsupportedError, CompileError, ValueError, MemoryError):
            continue


def test_altered_objects_are_refused() -> None:
    program = encode(affine_program(8))
    code = object_code(affine())
    with pytest.raises(CompileError):
        Executable(program, b"")
    with pytest.raises(CompileError):
        Executable(program, b"not an object")
    for length in range(0, len(code), 7):
        with pytest.raises((CompileError, MemoryError)):
            Executable(program, code[:length])


def test_a_kernel_that_is_not_there() -> None:
    with pytest.raises(CompileError, match="affine"):
        load(affine_program(8), object_code(affine().replace("@affine", "@other")))


def test_external_symbols_are_refused() -> None:
    text = affine() + "\ndeclare float @sinf(float)\n"
    text = text.replace(
        "%y = fadd float %m, 1.0", "%s = call float @sinf(float %m)\n  %y = fadd float %s, 1.0"
    )
    with pytest.raises(CompileError, match="sinf"):
        load(affine_program(8), object_code(text))


def test_constant_pools_are_mapped() -> None:
    """A kernel whose vector constants LLVM puts into .rodata."""
    table = ", ".join(f"float {k}.0" for k in range(8))
    text = f"@table = private constant [8 x float] [{table}]\n" + affine().replace(
        "%y = fadd float %m, 1.0",
        "%t = getelementptr [8 x float], ptr @table, i64 0, i64 %i\n"
        "  %c = load float, ptr %t\n  %y = fadd float %m, %c",
    )
    f = callable_of(load(affine_program(8), object_code(text)))
    assert np.array_equal(f(np.ones(8, np.float32)), 2 + np.arange(8))
