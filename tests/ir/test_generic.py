"""Nests and programs as text: exact round trips, malformed input, other readers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest

from fuzz.generate import generate
from passes.programs import N, dot, entry_of, function, given, softmax, training_step
from passes.run_program import plain_launches
from symc.codegen_llvm import compile_nests
from symc.ir import ops
from symc.ir.core import Constraint, Function
from symc.ir.entry import Entry
from symc.ir.errors import ParseError
from symc.ir.generic_nest import nest_text, nests_text
from symc.ir.generic_program import program_text
from symc.ir.locations import UNKNOWN, Location
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.parse_nest import parse_nest, parse_nests
from symc.ir.parse_program import parse_program
from symc.ir.program import Buffer, BufferKind, Commit, Jump, Program, SizeExpr, SizeOp
from symc.ir.term import Term, constant, make
from symc.ir.text import print_function
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.ir.types import BOOL, F32, I64
from symc.passes import MEANING, OPTIMISING, buffers, plan_build, run_passes
from symc.passes.plan import Plan
from symc.runtime.encode import encode
from symc.runtime.executable import Callable, State, Structure, load


def table_rows(i: Term) -> Term:
    """Updates of a scatter."""
    return i.cast(F32).broadcast((3, 5), (1,))


def sample() -> Entry:
    """Rows, a contraction with an epilogue, gathers, scatters, constants, several dims."""
    x, w, i = given("x", N, 3), given("w", 3, 4), given("i", 5, dtype=I64)
    h = make(ops.TANH, dot(softmax(x), w))
    table = constant(np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.1]], np.float32))
    results = [
        h,
        make(ops.ARGMAX, h, axes=(1,)),
        make(ops.TAKE, table, i, axis=0, mode="fill"),
        make(ops.SCATTER, w, i, table_rows(i), axis=1, mode="clip", combine="add"),
        dot(x, table),
        make(ops.CONCAT, x, x * 2.0, axis=0),
    ]
    return entry_of(function([p.value for p in (x, w, i)], results))


def made(entry: Entry) -> tuple[Plan, Program, bytes]:
    plan = plan_build.run(entry)
    compiled = compile_nests([step.nest for step in plan.steps])
    return plan, buffers.run(plan, compiled.launches), compiled.object


ENTRIES = {"sample": sample, "training": lambda: training_step((7, 6, 4), N, momentum=True)}


@pytest.mark.parametrize("build", ENTRIES.values(), ids=ENTRIES.keys())
def test_nests_are_read_back_exactly(build: object) -> None:
    assert callable(build)
    nests = [step.nest for step in plan_build.run(build()).steps]
    for places in (False, True):
        text = nests_text(nests, places)
        again = parse_nests(text)
        assert nests_text(again, places) == text
        assert list(map(print_nest, again)) == list(map(print_nest, nests))
    known = [[place for place in nest.locations if place != UNKNOWN] for nest in nests]
    assert [[p for p in nest.locations if p != UNKNOWN] for nest in again] == known
    assert compile_nests(list(parse_nests(text))).llvm == compile_nests(nests).llvm


@pytest.mark.parametrize("build", ENTRIES.values(), ids=ENTRIES.keys())
def test_programs_are_read_back_exactly(build: object) -> None:
    assert callable(build)
    _, program, _ = made(build())
    text = program_text(program)
    again = parse_program(text)
    assert program_text(again) == text
    assert print_program(again) == print_program(program)
    assert encode(again) == encode(program)
    assert (again.locations, again.inputs, again.code) == (
        program.locations,
        program.inputs,
        program.code,
    )


def test_a_program_from_text_gives_the_same_bits(rng: np.random.Generator) -> None:
    _, program, code = made(sample())
    arrays = [rng.normal(size=(6, 3)), rng.normal(size=(3, 4))]
    given = [a.astype(np.float32) for a in arrays] + [np.array([0, 2, 7, -1, 1])]
    results = []
    for one in (program, parse_program(program_text(program))):
        run = Callable()
        run.add_entry(load(one, code), Structure.TUPLE)
        results.append(run(*given))
    for left, right in zip(*results, strict=True):
        assert left.tobytes() == right.tobytes()


def test_a_training_step_from_text_changes_its_states_alike(rng: np.random.Generator) -> None:
    _, program, code = made(training_step((7, 6, 4), 5))
    assert not program.dims
    x = rng.normal(size=(5, 7)).astype(np.float32)
    labels = rng.integers(0, 4, 5)
    contents = []
    for one in (program, parse_program(program_text(program))):
        shapes = [[one.sizes[entry].a for entry in slot.shape] for slot in one.states]
        states = [State(np.full(shape, 0.25, np.float32), "s") for shape in shapes]
        run = Callable()
        run.add_entry(load(one, code, states), Structure.TUPLE)
        run(x, labels)
        contents.append([state.get().tobytes() for state in states])
    assert contents[0] == contents[1]


def odd() -> Program:
    """What no pass makes yet: jumps, names in need of quotes."""
    return Program(
        name='with "quotes"',
        dims=("n", "m m"),
        sizes=(SizeExpr(SizeOp.DIM, 1), SizeExpr(SizeOp.CONST, -3), SizeExpr(SizeOp.MAX, 0, 1)),
        constraints=(),
        inputs=(),
        states=(),
        constants=(np.arange(40, dtype=np.int64).reshape(4, 10), np.array(np.nan)),
        buffers=(
            Buffer(BufferKind.CONST, 1, F32, (), 2, 2),
            Buffer(BufferKind.ARENA, 0, BOOL, (0,), 1),
        ),
        outputs=(),
        updates=(),
        arena=1,
        code=(Jump(1), Jump(3, 1), Commit()),
        locations=("ü.py:3, b.py:4",),
    )


def test_programs_with_jumps_and_odd_names() -> None:
    again = parse_program(program_text(odd()))
    assert program_text(again) == program_text(odd())
    assert encode(again) == encode(odd())


def test_kinds_of_constraints_are_kept() -> None:
    for kind in ("equal", "index", "empty"):
        for place in (UNKNOWN, Location("m.py", 3)):
            one = Constraint(N, 4, place, "why", kind)
            text = print_function(Function("f", (), (), (), (one,)), True)
            assert parse_function(text).constraints == (one,)
    with pytest.raises(ParseError, match="unknown kind"):
        parse_function(text.replace('"empty"', '"full"'))


def test_xdsl_reads_them(tmp_path: Path) -> None:
    plan, program, _ = made(sample())
    path = tmp_path / "sample.mlir"
    path.write_text(nests_text([s.nest for s in plan.steps], True) + program_text(program))
    tool = Path(sys.executable).parent / "xdsl-opt"
    done = subprocess.run(
        [tool, "--allow-unregistered-dialect", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"symc.') == path.read_text().count('"symc.')


NEST = nest_text(plan_build.run(sample()).steps[0].nest)
PROGRAM = program_text(made(sample())[1])
WRONG: list[tuple[str, str, str, str]] = [
    ("nest", '"symc.nest"', '"symc.net"', 'expected "symc.nest"'),
    ("nest", "roles = [", 'roles = ["in", ', "one name and one role per operand"),
    ("nest", '"in"', '"inward"', "unknown role"),
    ("nest", "stores = ", "stored = ", "stores is missing"),
    ("nest", "sym_name = ", "extra = 1, sym_name = ", "unknown attribute extra"),
    ("nest", "symc.map_stage", "symc.mop_stage", "expected a stage"),
    ("nest", "inner = [", 'inner = ["a"], inter = [', "inner: expected a size"),
    ("nest", "loads = [[0, ", "loads = [[99, ", "no such operand"),
    ("program", '"symc.program"', '"symc.prog"', 'expected "symc.program"'),
    ("program", "arena = ", "arena = 9", "there is no size"),
    ("program", 'kind = "input"', 'kind = "inpet"', "unknown kind of buffer"),
    ("program", '"symc.commit"', '"symc.omit"', "unknown instruction"),
    ("program", "%1 = ", "%0 = ", "defined twice"),
    ("program", '"symc.return"(%', '"symc.return"(%77', "is not defined"),
    ("program", '["const"', '["cost"', "unknown operation"),
    ("program", 'dtype = "float32"', 'dtype = "float33"', "unknown dtype"),
]


@pytest.mark.parametrize(("level", "old", "new", "problem"), WRONG)
def test_errors_say_what_and_where(level: str, old: str, new: str, problem: str) -> None:
    text = NEST if level == "nest" else PROGRAM
    assert old in text
    parse = parse_nest if level == "nest" else parse_program
    with pytest.raises(ParseError, match=r"line \d+, column \d+") as caught:
        parse(text.replace(old, new, 1))  # type: ignore[operator]
    assert problem in str(caught.value)


@pytest.mark.parametrize("level", ["nest", "program"])
def test_mutations_never_raise_anything_else(level: str, rng: np.random.Generator) -> None:
    text = NEST if level == "nest" else PROGRAM
    parse = parse_nests if level == "nest" else parse_program
    alphabet = list('{}[]()<>=:,"%^!#?x0123456789-.abcntu\\ \n')
    pieces = [piece for piece in text.replace(",", " , ").split(" ") if piece]
    for _ in range(400):
        characters = list(text)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(0, len(characters)))
            match rng.integers(0, 4):
                case 0:
                    characters[place] = str(rng.choice(alphabet))
                case 1:
                    del characters[place : place + int(rng.integers(1, 30))]
                case 2:
                    characters[place:place] = str(rng.choice(pieces))
                case _:
                    del characters[place:]
            if not characters:
                break
        with suppress(ParseError):
            parse("".join(characters))  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(12))
def test_random_kernels_and_programs_are_read_back_exactly(seed: int) -> None:
    function = run_passes(
        generate(Random(seed), {}).function, (*MEANING, *OPTIMISING[3]), Options()
    )
    plan = plan_build.run(entry_of(function))
    program = buffers.run(plan, plain_launches(plan))
    text = nests_text([step.nest for step in plan.steps])
    assert nests_text(parse_nests(text)) == text
    assert encode(parse_program(program_text(program))) == encode(program)
