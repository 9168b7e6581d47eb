"""docs/stability.md lists every row of the table, with the errors that it has and had.

`pytest --bless` writes the page's table anew; what a row becomes, and why, stays as it was written.
"""

from __future__ import annotations

from pathlib import Path

import mpmath
import numpy as np

from passes.accuracy import DIFFERENCES, MOST_ULP, POINTS, slack_of, ulps_between
from passes.exact import exactly
from passes.rule_examples import instances
from passes.test_rules import SETS, STRICT, arrays, fires, results_of
from symc.ir import ops
from symc.ir.core import Function
from symc.ir.ops.record import Op
from symc.ir.types import F64
from symc.passes import stabilise
from symc.passes.pattern import Apply, Const, Either, Hole, Pattern, Rule

PAGE = Path(__file__).parents[2] / "docs" / "stability.md"
HEAD = "| row | as written | becomes | why | ULP before | ULP after |\n|---|---|---|---|---|---|\n"
INFIX: dict[Op, str] = {
    ops.ADD: " + ",
    ops.SUB: " - ",
    ops.MUL: " * ",
    ops.DIV: " / ",
    ops.POW: "**",
}


def written(pattern: Pattern, inside: bool = False) -> str:
    """A pattern as people write it: the first spelling of each part."""
    match pattern:
        case Hole(name):
            return name
        case Const(value):
            return f"{value:g}"
        case Either(options):
            return written(options[0], inside)
        case Apply(op, (left, right)) if op in INFIX:
            text = f"{written(left, True)}{INFIX[op]}{written(right, True)}"
            return f"({text})" if inside else text
        case Apply(op, (x,)) if op is ops.NEG:
            return f"-{written(x, True)}"
        case Apply(op, operands):
            return f"{op.name}({', '.join(map(written, operands))})"


def plain_instance(rule: Rule) -> Function:
    """An instance in f64 without views in between."""
    for instance in instances(rule, False, 40):
        function = instance.function
        small = all(isinstance(size, int) for x in function.params[:-3] for size in x.type.shape)
        floats = all(x.type.dtype == F64 for x in function.params if x.type.dtype.kind == "f")
        fits = floats and function.results[0].type.dtype == F64 and small
        if fits and rule.name in fires(SETS["stabilise.RULES"], function, STRICT)[0]:
            return function
    raise AssertionError(f"{rule.name} has no plain instance")


def errors(rule: Rule) -> tuple[float, float]:
    """The largest error at the listed points, as written and as the table makes it."""
    before = plain_instance(rule)
    _, after = fires(SETS["stabilise.RULES"], before, STRICT)
    found = [0.0, 0.0]
    for seed in range(6):
        inputs = arrays(before, POINTS, seed)
        wanted = exactly(before, inputs)[0]
        slack = np.zeros(wanted.shape)
        if rule.name in DIFFERENCES:
            slack = slack_of(before, inputs, wanted)
        for number, function in enumerate((before, after)):
            triples = zip(results_of(function, inputs).flat, wanted.flat, slack.flat, strict=True)
            found[number] = max([found[number], *(error(*triple) for triple in triples)])
    return found[0], found[1]


def error(got: np.floating, exact: mpmath.mpf, slack: float) -> float:
    """Units in the last place; where they are many, those that conditioning does not explain."""
    found = ulps_between(got, exact)
    return found if found <= MOST_ULP else ulps_between(got, exact, slack)


def shown(ulps: float) -> str:
    """An error to a tenth; all is lost when a quarter of the digits is."""
    return "lost" if ulps > 1e4 else f"{ulps:.1f}"


def table(texts: dict[str, tuple[str, str]]) -> str:
    lines = []
    for rule in stabilise.RULES.rules:
        becomes, why = texts.get(rule.name, ("", ""))
        before, after = errors(rule)
        name = f"{rule.name}*" if rule.name in DIFFERENCES else rule.name
        cells = (name, f"`{written(rule.left)}`", becomes, why, shown(before), shown(after))
        lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def texts_of(page: str) -> dict[str, tuple[str, str]]:
    """What the rows of the page become, and why."""
    found = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if line.startswith("| ") and len(cells) == 6 and cells[1].startswith("`"):
            found[cells[0].removeprefix("| ").removesuffix("*")] = (cells[2], cells[3])
    return found


def test_the_page_is_the_table(bless: bool) -> None:
    page = PAGE.read_text()
    before, _, rest = page.partition(HEAD)
    after = rest[rest.index("\n\n") :] if "\n\n" in rest else "\n"
    made = before + table(texts_of(page)).rstrip("\n") + after
    if bless:
        PAGE.write_text(made)
        return
    assert page == made
    assert all(becomes and why for becomes, why in texts_of(page).values())
