"""One pass on a text, of whatever level it is: what `python -m symc opt` does.

before: the text of a function, of kernels or of a program, and the name of a pass or later stage.
after: what the pass makes of it, as text that reads back (LLVM text after `codegen`).

Invariant: with `check`, what the pass made was compared with the oracle first; the trials are those
of `check="passes"`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from symc.codegen_llvm import compile_nests
from symc.compile.reproducer import options_of
from symc.compile.simulate import nests_of
from symc.compile.validate import BUFFERS, CODEGEN, LOWER, Validator, alone
from symc.ir.core import Function
from symc.ir.errors import DomainError, message
from symc.ir.generic_nest import NEST, nests_text
from symc.ir.generic_program import PROGRAM, program_text
from symc.ir.lexer import tokens
from symc.ir.nest import Nest
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.parse_nest import parse_nests
from symc.ir.parse_program import parse_program
from symc.ir.program import Program
from symc.ir.text import print_function
from symc.passes import MEANING, OPTIMISING, PASSES, buffers, plan_build, run_passes
from symc.records import dataclass

LATER: Final = (LOWER, BUFFERS, CODEGEN)
DEFAULT: Final = (*MEANING, *OPTIMISING[3])


@dataclass(frozen=True, slots=True)
class Level:
    """What was read or made: a function, kernels, a program, or LLVM text."""

    what: Function | tuple[Nest, ...] | Program | str
    options: Options


def read(text: str) -> Level:
    """The level that a text is of, by its first operation; ParseError for anything else."""
    first = next(tokens(text)).text
    options = options_of(text)
    if first == f'"{NEST}"':
        return Level(parse_nests(text), options)
    if first == f'"{PROGRAM}"':
        return Level(parse_program(text), options)
    return Level(parse_function(text), options)


def run(level: Level, name: str, *, check: bool) -> Level:
    """What pass `name` makes of a level; DomainError when it does not take that."""
    what = level.what
    if isinstance(what, Function):
        return replace(level, what=_on_function(what, name, level.options, check=check))
    if isinstance(what, tuple) and name == CODEGEN:
        return replace(level, what=compile_nests(what).llvm)
    kind = (
        "kernels" if isinstance(what, tuple) else "a program" if isinstance(what, Program) else ""
    )
    raise DomainError(message(f"pass {name}", got=kind or "LLVM text", expected="a function"))


def _on_function(
    function: Function, name: str, options: Options, *, check: bool
) -> Function | tuple[Nest, ...] | Program | str:
    validator = Validator(options)
    if name in PASSES:
        after = run_passes(function, (name,), options)
        if check:
            validator(name, function, after)
        return after
    if check:
        validator.stage(name, alone(function))
    plan = plan_build.run(alone(function))
    if name == LOWER:
        return tuple(nests_of(plan))
    made = compile_nests([step.nest for step in plan.steps])
    return made.llvm if name == CODEGEN else buffers.run(plan, made.launches)


def text(level: Level) -> str:
    """The text of a level, which reads back unless it is LLVM's."""
    match level.what:
        case Function() as function:
            return print_function(function)
        case Program() as program:
            return program_text(program)
        case str() as llvm:
            return llvm
        case nests:
            return nests_text(nests)
