"""What the report says of loops, for people: as lines of text, and as rows of a table.

before: the loops of a completed report.  after: their text; the data has all, the text lists the
first of what is many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from symc.ir import moves, ops
from symc.ir.report_loops import LoopReport, Moved, Stayed, Vanished

LISTED: Final = 30
_WHERE: Final = {
    moves.CONSTANT: "once, before the loop",
    moves.BEFORE: "for all steps, before the loop",
    moves.AFTER: "for all steps, after the loop",
    moves.SUM: "summed over the steps, after the loop",
    moves.ROWS: "for the last rows, after the loop",
    moves.JOINED: "in each step, as one",
    moves.SPLIT: "in each step, as two",
}
_WHY: Final = {
    "rows": "what it reads is too much to keep for all steps",
    "memory": "its values are too much to keep for all steps",
    "cheap": "not worth an array",
    "control": "loops and choices stay",
}
_END: Final = {
    moves.ONCE: "runs once: its step stands in its place",
    moves.GONE: "all work left it",
}


def loop_lines(loop: LoopReport) -> Iterator[str]:
    """The lines of one loop, the first without indent."""
    yield head(loop)
    yield f"  a step: {loop.step}; as traced {loop.step_before}"
    if loop.kind != ops.WHILE.name:
        yield f"  all steps, with what left: {loop.whole}; as traced {loop.whole_before}"
    for place in loop.merged:
        yield f"  does the work of the loop at {place} too"
    for one in loop.moved[:LISTED]:
        yield f"  moved: {moved_line(one)} at {one.location}"
    if loop.memory != 0:
        yield f"  memory for what moved: {loop.memory} bytes"
    for product in loop.products:
        yield f"  contraction of a step: {product.value} as {product.shape} at {product.location}"
    for row in loop.kept:
        yield f"  keeps {row.rows} rows of {row.value}: {row.bytes} bytes"
    for stayed in loop.stayed[:LISTED]:
        yield f"  stays: {stayed.value} ({reason(stayed)}) at {stayed.location}"
        if stayed.reason in {"carry", "rows"}:
            yield f"    {path(stayed)}"


def head(loop: LoopReport) -> str:
    """One line: what loop it is, how long it runs, and as what."""
    steps = f"{loop.after} operations a step, {loop.before} as traced"
    form = "in registers" if loop.form == "registers" else f"{loop.kernels} kernels a step"
    ways = ", reversed" if loop.reverse else ""
    inside = "" if loop.inside is None else f", inside loop {loop.inside}"
    title = f"{loop.kind} {loop.name} of {loop.length}{ways}{inside} at {loop.location}"
    return f"{title}: {steps}, {loop.carries} carries, native, {form}"


def moved_line(one: Moved) -> str:
    """What moved, where to, as which contractions, and what that keeps."""
    shapes = ", ".join(product.shape for product in one.products)
    text = f"{one.value} {_WHERE[one.kind]}"
    if one.rows:
        text += f" ({one.rows} rows)"
    if shapes:
        text += f", as {shapes}"
    return text if one.memory == 0 else f"{text}; keeps {one.memory} bytes"


def reason(one: Stayed) -> str:
    """Why an operation stayed, in words."""
    needs = f"needs {', '.join(one.carries)}"
    if one.reason == "carry":
        return needs
    return f"{needs}; {_WHY[one.reason]}" if one.carries else _WHY[one.reason]


def path(one: Stayed) -> str:
    """The dependences that keep an operation, as one line."""
    return " -> ".join(link.value for link in one.path)


def vanished_line(loop: Vanished) -> str:
    """One line for a loop that is gone."""
    ways = "reversed loop" if loop.reverse else "loop"
    return f"the {ways} at {loop.location} is gone: {_END[loop.reason]}"
