"""Golden files of the passes on tensor IR.

`tests/golden/<pass>/<idea>.ir` holds a function before and, after a line of dashes, what the pass
makes of it.  For each: text and round trip, verifier, idempotence, and that the oracle gives the
same bits before and after on random and special inputs (rows of the stability table excepted: they
gain accuracy and are tested against mpmath).  `pytest --bless` rewrites the expected half.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from symc.ir.core import Function
from symc.ir.dims import substitute
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.text import print_function
from symc.ir.types import BOOL
from symc.ir.verify import verify
from symc.passes import INEXACT, PASSES, dce

GOLDEN = Path(__file__).parent.parent / "golden"
RULE = "// -----\n"
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, 1e-310, np.inf, -np.inf, np.nan])
CASES = [path for name in PASSES for path in sorted((GOLDEN / name).glob("*.ir"))]


def inputs(function: Function, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = []
    for param in function.params:
        shape = tuple(substitute(size, dict.fromkeys("abcmnk", 5)) for size in param.type.shape)
        if param.type.dtype == BOOL:
            found.append(rng.random(shape) < 0.5)
        elif param.type.dtype.kind == "f":
            mixed = np.where(
                rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), rng.normal(size=shape)
            )
            found.append(mixed.astype(param.type.dtype))
        else:
            found.append(rng.integers(-9, 9, shape).astype(param.type.dtype))
    return found


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return np.array_equal(left, right)
    nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(nan | ((left == right) & (np.signbit(left) == np.signbit(right)))))


def options_of(comment: str) -> Options:
    """The options named in a line `// options: contract=chain numerics=fast`."""
    for line in comment.splitlines():
        if line.startswith("// options: "):
            pairs = (pair.split("=") for pair in line.removeprefix("// options: ").split())
            return Options(**dict(pairs))
    return Options()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, bless: bool) -> None:
    text = path.read_text()
    before_text, _, expected = text.partition(RULE)
    comment = "".join(
        line for line in before_text.splitlines(keepends=True) if line.startswith("//")
    )
    before = parse_function(before_text)
    assert len(before.nodes) <= 15
    verify(before)
    run = PASSES[path.parent.name]
    options = options_of(comment)
    after = run(before, options)
    verify(after)
    printed = print_function(after).rstrip() + "\n"
    assert print_function(parse_function(printed)).rstrip() + "\n" == printed
    again = run(after, options)
    assert print_function(again) == print_function(after)
    if path.parent.name not in INEXACT:
        for seed in range(3):
            arrays = inputs(before, seed)
            for left, right in zip(evaluate(before, arrays), evaluate(after, arrays), strict=True):
                assert same_bits(left, right)
    if bless:
        source = print_function(before).rstrip() + "\n"
        path.write_text(comment + source + RULE + printed)
        return
    assert expected == printed


def test_a_pass_that_changes_nothing_returns_the_same_function() -> None:
    for path in CASES:
        function = parse_function(path.read_text().partition(RULE)[2])
        clean = dce.run(function, Options())
        run = PASSES[path.parent.name]
        settled = run(clean, Options())
        assert run(settled, Options()) is settled
