"""Copies and pickles: what they hold, and how they come back.

A compiled function is pickled as the text of its program, its roles, options and shared variables,
and compiled again where it is loaded.  Shared variables are pickled by value; a function and a
variable that are pickled or copied together stay together.

before: a function, or the parts that were pickled.  after: those parts, or a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from symc.frontend import backend
from symc.frontend.trace import Traced
from symc.ir.core import Function
from symc.ir.entry import Entry
from symc.ir.errors import ParseError, SymcError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.text import print_function
from symc.ir.verify import verify
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.frontend.shared import Shared


# Loaded when something is pickled.
PARSE: Final = "symc.ir.parse"


@dataclass(frozen=True, slots=True)
class Packed:
    """A program without its nodes, which are text; shared variables in the order of its states."""

    text: str
    entry: Entry
    states: Sequence[Shared]
    options: Options


def packed(loaded: backend.Loaded) -> Packed:
    """What is pickled of a program; UnsupportedError when its text would not come back."""
    entry, function = loaded.traced.entry, loaded.traced.entry.function
    text = print_function(function, locations=True)
    try:
        import_module(PARSE).parse_function(text)
    except SymcError as error:
        raise UnsupportedError(
            message(
                f"{function.name}: pickle",
                got=f"a program whose text cannot be read again ({error})",
                where=here(),
                advice="pickle what it is made from, and build it where it is loaded",
            )
        ) from error
    bare = Function(function.name, (), (), ())
    return Packed(text, replace(entry, function=bare), loaded.traced.states, loaded.options)


def unpacked(given: Packed) -> backend.Loaded:
    """The program, compiled for this machine; ParseError for one that is not whole."""
    function: Function = import_module(PARSE).parse_function(given.text)
    verify(function)
    entry = replace(given.entry, function=function)
    roles = len(entry.inputs) + len(entry.states) + len(entry.constants)
    if roles != len(function.params) or len(given.states) != len(entry.states):
        expected = f"{roles}, one per input, shared variable and constant"
        subject = f"{function.name}: parameters of a pickled program"
        raise ParseError(message(subject, got=len(function.params), expected=expected))
    return backend.load(Traced(entry, tuple(given.states)), given.options)
