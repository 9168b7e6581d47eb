"""Golden files of fusion, lowering and buffers: a function, and the kernels or program made of it.

`tests/golden/{fuse,lower,buffers}/<idea>.ir` holds comments, a function, a line of dashes, and what
is expected.  A comment `// roles: states=1 updates=0 donated=0` gives params and results their
roles.  Each is also run against the oracle, and its kernels and its program are written in generic
form and read back.  `pytest --bless` rewrites the expected half.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from passes.programs import check, draw, entry_of
from symc.ir.entry import Entry
from symc.ir.generic_nest import nests_text
from symc.ir.generic_program import program_text
from symc.ir.parse import parse_function
from symc.ir.parse_nest import parse_nests
from symc.ir.parse_program import parse_program
from symc.ir.text import print_function
from symc.ir.text_nest import print_nest
from symc.ir.text_program import print_program
from symc.ir.types import I64
from symc.ir.verify import verify
from symc.runtime.encode import encode

GOLDEN = Path(__file__).parent.parent / "golden"
RULE = "// -----\n"
PASSES = ("fuse", "lower", "buffers")
CASES = [path for name in PASSES for path in sorted((GOLDEN / name).glob("*.ir"))]


def roles(comment: str) -> dict[str, list[int]]:
    found = {"states": [0], "updates": [], "donated": []}
    for name, numbers in re.findall(r"(states|updates|donated)=([\d,]+)", comment):
        found[name] = [int(number) for number in numbers.split(",")]
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, bless: bool, rng: np.random.Generator) -> None:
    source, _, expected = path.read_text().partition(RULE)
    comment = "".join(line for line in source.splitlines(keepends=True) if line.startswith("//"))
    function = parse_function(source)
    verify(function)
    given = roles(comment)
    entry: Entry = entry_of(
        function, states=given["states"][0], updates=given["updates"], donated=given["donated"]
    )
    arrays = [draw(param.type, rng, {"n": 5, "m": 3}) for param in function.params]
    arrays = [np.abs(a) % 3 if a.dtype == I64 else a for a in arrays]
    plan, program = check(entry, arrays)
    nests = [step.nest for step in plan.steps]
    again = parse_nests(nests_text(nests))
    assert nests_text(again) == nests_text(nests)
    assert list(map(print_nest, again)) == list(map(print_nest, nests))
    read = parse_program(program_text(program))
    assert encode(read) == encode(program)
    assert print_program(read) == print_program(program)
    if path.parent.name == "buffers":
        made = print_program(program)
    else:
        made = "\n".join(map(print_nest, nests))
    if bless:
        path.write_text(comment + print_function(function).rstrip() + "\n" + RULE + made)
        return
    assert expected == made
