"""Random composed programs: both modes, to second order, against dual numbers and rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from autodiff.duals import Dual, duals
from autodiff.programs import TABLE, Program, program
from fuzz.test_programs import entry_of, run, same_bits
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.options import Options
from symc.passes import OPTIMISING, define, run_passes

# Parts run apart from each other: 500 programs in all, of which 16 others are compiled.
PARTS, COUNT = 5, 100
COMPILED = 4
EXACT = 1e-11  # of the sum of what is added up


def expected(p: Program, first: list[np.ndarray], second: list[np.ndarray]) -> list[Dual]:
    """Duals of the results, moved along `first` e1 + `second` e2."""
    moves = dict(zip(p.wrt, zip(first, second, strict=True), strict=True))
    inputs = []
    for param, array in p.arrays.items():
        u, v = moves.get(param, (None, None))
        inputs.append([array] if u is None or v is None else [array, u, v, 0 * array])
    function = Function("duals", tuple(p.arrays), p.function.nodes, p.function.results)
    return duals(function, inputs)


class Derived:
    """All derivatives of a program's results along u and v, and with cotangents w."""

    def __init__(self, p: Program) -> None:
        self.results = list(p.function.results)
        self.u, self.v = ([Value(x.type) for x in p.wrt] for _ in range(2))
        self.w = [Value(result.type) for result in self.results]
        self.pushed = tangents(self.results, p.wrt, self.u)
        self.pulled = gradient(self.results, self.w, p.wrt)
        moved = [(t, w) for t, w in zip(self.pushed, self.w, strict=True) if t is not None]
        ts, ws = [t for t, _ in moved], [w for _, w in moved]
        self.twice = dict(zip(ts, tangents(ts, p.wrt, self.v), strict=True))
        self.pulled_pushed = gradient(ts, ws, p.wrt)
        found = [(ct, u) for ct, u in zip(self.pulled, self.u, strict=True) if ct is not None]
        cts, us = [ct for ct, _ in found], [u for _, u in found]
        pushed = tangents(cts, p.wrt, self.v)
        self.pushed_pulled = dict(zip(cts, pushed, strict=True))
        self.pulled_pulled = gradient(cts, us, p.wrt)

    def wanted(self) -> list[Value]:
        groups = [self.pushed, self.pulled, self.twice.values(), self.pulled_pushed]
        groups += [self.pushed_pulled.values(), self.pulled_pulled]
        return list(dict.fromkeys(x for group in groups for x in group if x is not None))


def inner(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """An inner product, and the sum of the magnitudes of its terms."""
    products = [a * b for a, b in pairs]
    return sum(float(x.sum()) for x in products), sum(float(np.abs(x).sum()) for x in products)


def compare(p: Program, d: Derived, found: dict[Value | None, np.ndarray], at: dict) -> None:
    """Forward parts element by element, the rest by inner products."""
    part = dict(zip(d.results, at["duals"], strict=True))

    def array(value: Value | None) -> np.ndarray:
        return found[value] if value is not None else np.zeros(())

    for result, pushed in zip(d.results, d.pushed, strict=True):
        close(array(pushed), part[result][1])
        twice = d.twice[pushed] if pushed is not None else None
        close(array(twice), part[result][3])
    first, _ = inner([(at[w], part[r][1]) for w, r in zip(d.w, d.results, strict=True)])
    second, reach = inner([(at[w], part[r][3]) for w, r in zip(d.w, d.results, strict=True)])
    over = [d.pushed_pulled[ct] if ct is not None else None for ct in d.pulled]
    for cotangents, along, wanted in (
        (d.pulled, d.u, first),
        (d.pulled_pushed, d.v, second),
        (over, d.u, second),
        (d.pulled_pulled, d.v, second),
    ):
        pairs = [(array(ct), at[x]) for ct, x in zip(cotangents, along, strict=True)]
        got, size = inner(pairs)
        assert abs(got - wanted) <= EXACT * (1 + size + reach), (got, wanted)


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    size = 1 + float(np.max(np.abs(wanted), initial=0.0))
    assert np.all(np.abs(got - wanted) <= EXACT * size), (got, wanted)


Drawn = tuple[Program, Derived, dict]


def one(number: int, seen: Mapping[str, int]) -> Drawn | None:
    """A program with finite derivatives, these, and arrays for all that they read; or None."""
    p = program(number, seen)
    if p is None:
        return None
    rng = np.random.default_rng(number)
    u, v = ([rng.normal(size=p.arrays[x].shape) for x in p.wrt] for _ in range(2))
    parts = expected(p, u, v)
    kept = [i for i, x in enumerate(parts) if len(x) > 1 and all(np.isfinite(a).all() for a in x)]
    if not kept:
        return None
    results = tuple(p.function.results[i] for i in kept)
    nodes, _ = reachable(results)
    p.function = Function("program", p.function.params, tuple(nodes), results)
    d = Derived(p)
    at: dict = dict(zip([*d.u, *d.v], [*u, *v], strict=True))
    at |= {w: rng.normal(size=parts[i][0].shape) for w, i in zip(d.w, kept, strict=True)}
    return p, d, {**at, "duals": [parts[i] for i in kept]}


def check(drawn: Drawn) -> None:
    """Compare with duals, and with what the optimising passes make of the derivatives."""
    p, d, at = drawn
    wanted = d.wanted()
    arrays = {x: array for x, array in at.items() if x != "duals"}
    values = p.run(wanted, arrays)
    compare(p, d, dict(zip(wanted, values, strict=True)), at)
    check_rewritten(p, wanted, arrays, values)


def check_rewritten(
    p: Program, wanted: list[Value], at: dict[Value, np.ndarray], values: list[np.ndarray]
) -> None:
    """Optimising passes without licences keep every bit of every derivative."""
    arrays = {**p.arrays, **at}
    nodes, _ = reachable(wanted)
    function = Function("derivatives", tuple(arrays), tuple(nodes), tuple(wanted))
    rewritten = run_passes(function, OPTIMISING[3], Options(contract="chain"))
    got = evaluate(rewritten, list(arrays.values()), order="chain")
    for a, b in zip(values, got, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (np.signbit(a) == np.signbit(b))[~np.isnan(a)].all()


@pytest.mark.parametrize("part", range(PARTS))
def test_programs(part: int) -> None:
    seen: Counter[str] = Counter()
    compared, number = 0, part * 10**5
    while compared < COUNT:
        drawn = one(number, seen)
        number += 1
        if drawn is not None:
            check(drawn)
            compared += 1
            seen.update(drawn[0].used)
    assert number - part * 10**5 <= 2 * compared
    assert [op.name for op in TABLE if not seen[op.name]] == []


def compile_and_compare(drawn: Drawn) -> None:
    """Code of both ends of the scale of optimisation, rewritten and fused or not."""
    p, d, at = drawn
    arrays = p.arrays | {x: np.asarray(a) for x, a in at.items() if x != "duals"}
    wanted = d.wanted()
    nodes, _ = reachable(wanted)
    function = Function("derivatives", tuple(arrays), tuple(nodes), tuple(wanted))
    defined = define(function, Options(contract="chain"))
    expected = evaluate(defined, list(arrays.values()), order="chain")
    for opt in (0, 3):
        options = Options(opt=opt, contract="chain")
        got = run(entry_of(function), options, list(arrays.values()))
        for a, b in zip(expected, got, strict=True):
            assert same_bits(a, b), opt


@pytest.mark.parametrize("part", range(4))
def test_compiled_derivatives_have_the_bits_of_the_oracle(part: int) -> None:
    compared, number = 0, 10**6 + 10**5 * part
    while compared < COMPILED:
        drawn = one(number, {})
        number += 1
        if drawn is not None:
            compile_and_compare(drawn)
            compared += 1
