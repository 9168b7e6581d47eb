"""`sc.draw`: a program as a picture.

before: a compiled function, or expressions.  after: SVG or DOT, as text and perhaps in a file.  No
other program is needed; the compiler's printers are loaded by the first picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from symc.frontend.inspecting import Inspectable
from symc.frontend.operand import is_symbolic
from symc.ir.core import Function, Value, reachable_whole
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here

FORMATS: Final = ("svg", "dot")


class Drawing(str):
    """The text of a picture; a notebook shows SVG as such."""

    __slots__ = ()

    def _repr_svg_(self) -> str | None:
        return str(self) if self.startswith("<svg") else None


def draw(
    f: Any, path: str | Path | None = None, format: str | None = None, stage: str | None = None
) -> Drawing:
    """The graph of `f`: a compiled function (the program called last), or expressions.

    path: a file to write too.  format: "svg" or "dot"; by default what the path ends in, else svg.
    stage: traced, defined, optimized (the default), kernels or program; of expressions there is
    only what was written.  A graph of more than 500 operations is drawn by kernels.  Raises
    DomainError for another format or stage, DTypeError for something else than a program.
    """
    form = _format(path, format)
    if isinstance(f, Inspectable):
        text = f.current.compiled.draw(stage or "optimized", form)
    else:
        if stage is not None:
            raise DomainError(
                message(
                    "draw: stage of an expression",
                    got=repr(stage),
                    expected="a compiled function",
                    where=here(),
                    advice="sc.draw(sc.function([...], expression), stage=...)",
                )
            )
        levels = import_module("symc.compile.levels")
        text = levels.draw_function(_written(f), form)
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return Drawing(text)


def _format(path: str | Path | None, format: str | None) -> str:
    suffix = "" if path is None else Path(path).suffix.removeprefix(".").lower()
    chosen = format or (suffix if suffix in FORMATS else FORMATS[0])
    if chosen not in FORMATS:
        got = repr(format)
        expected = " or ".join(FORMATS)
        raise DomainError(message("draw: format", got=got, expected=expected, where=here()))
    return chosen


def _written(f: Any) -> Function:
    """Expressions as a function of whatever they reach."""
    results = list(_values(f))
    nodes, free = reachable_whole(results)
    return Function("expression", tuple(free), tuple(nodes), tuple(results))


def _values(f: Any) -> Iterable[Value]:
    parts = f if isinstance(f, list | tuple) and f else [f]
    for part in parts:
        if not is_symbolic(part):
            raise DTypeError(
                message(
                    "draw",
                    got=type(part).__name__,
                    expected="a compiled function, an expression, or a list of expressions",
                    where=here(),
                    advice="sc.jit(f).lower(...) compiles a Python function",
                )
            )
        yield part.__symc_operand__().value
