"""Random programs beyond those of tests/autodiff: derivatives against duals, and compiled."""

from __future__ import annotations

import os
from collections import Counter

from autodiff.test_random import check, compile_and_compare, one

EXAMPLES = int(os.environ.get("SYMC_FUZZ_EXAMPLES", "500"))
FIRST = int(os.environ.get("SYMC_FUZZ_FIRST", str(2 * 10**6)))


def test_derivatives_of_more_programs() -> None:
    """A twentieth as many as programs; one in five is compiled."""
    seen: Counter[str] = Counter()
    compared = 0
    for number in range(FIRST, FIRST + EXAMPLES // 20):
        drawn = one(number, seen)
        if drawn is None:
            continue
        check(drawn)
        seen.update(drawn[0].used)
        if number % 5 == 0:
            compile_and_compare(drawn)
        compared += 1
    print(f"{compared} programs", dict(sorted(seen.items())))
    assert compared >= EXAMPLES // 40
