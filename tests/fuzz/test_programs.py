"""Random programs: oracle = O0 = O3 = any thread count = static sizes = cached, bit for bit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from fuzz.generate import TABLE, Generated, generate
from symc.compile import compile_entry
from symc.ir.entry import Entry, InputInfo
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Kind
from symc.ir.options import Options
from symc.ir.specialise import specialise
from symc.passes import define
from symc.runtime.executable import Callable, Structure

EXAMPLES = int(os.environ.get("SYMC_FUZZ_EXAMPLES", "500"))
PARTS = 2  # tests that run in parallel


def run(entry: Entry, options: Options, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    compiled = compile_entry(entry, options, ())
    callable_ = Callable()
    callable_.add_entry(compiled.executable, Structure.TUPLE)
    return callable_(*arrays)


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return np.array_equal(left, right)
    nan = np.isnan(left)
    if not np.array_equal(nan, np.isnan(right)):
        return False
    bits = np.dtype(f"u{left.dtype.itemsize}")
    return np.array_equal(
        np.ascontiguousarray(left).view(bits)[~nan], np.ascontiguousarray(right).view(bits)[~nan]
    )


def entry_of(function) -> Entry:
    return Entry(
        function, tuple(InputInfo(p.name or f"p{i}") for i, p in enumerate(function.params))
    )


def variants(program: Generated) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    symbolic = entry_of(program.function)
    static = entry_of(specialise(program.function, program.sizes))
    chain = {"contract": "chain"}
    yield "O0", run(symbolic, Options(opt=0, threads=1, **chain), program.arrays)
    for threads in (1, 2, 3):
        # The first of these compiles, the others find it in the cache.
        yield (
            f"O3 threads={threads}",
            run(symbolic, Options(threads=threads, **chain), program.arrays),
        )
    yield "O3 static", run(static, Options(cache=False, **chain), program.arrays)


def note(program: Generated, seen: Counter[str], shares: Counter[str]) -> None:
    seen.update(program.used)
    kinds = {op.kind for op in TABLE if program.used[op.name]}
    shares["programs"] += 1
    shares["reduction"] += Kind.REDUCE in kinds
    shares["gather or update"] += bool(kinds & {Kind.GATHER, Kind.SCATTER, Kind.ASSEMBLE})
    shares["size 0 or 1"] += bool({0, 1} & set(program.sizes.values()))


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_agree_bit_for_bit(part: int) -> None:
    seen: Counter[str] = Counter()
    shares: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES // PARTS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @seed(part)
    @given(st.integers(0, 2**48))
    def agree(number: int) -> None:
        program = generate(Random(number), seen)
        note(program, seen, shares)
        defined = define(program.function, Options(contract="chain"))
        expected = evaluate(defined, program.arrays, order="chain")
        for title, got in variants(program):
            for result, (left, right) in enumerate(zip(expected, got, strict=True)):
                assert same_bits(left, right), f"{title}: result {result}: {left!r} {right!r}"

    agree()
    print(dict(shares), dict(sorted(seen.items())))
    total = shares["programs"]
    assert shares["reduction"] >= 0.3 * total
    assert shares["gather or update"] >= 0.3 * total
    assert shares["size 0 or 1"] >= 0.2 * total
    assert min(seen[op.name] for op in TABLE) >= min(20, 20 * total // 250)
