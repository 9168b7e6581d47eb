"""The batching sweep: a batch is the stack of its elements, bit for bit.

Every op of the table in every dtype that it takes, with every choice of which operands have a batch
axis, in batches of 0, 1 and 3, static and symbolic; and random programs, whole.
"""

from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest

from fuzz.generate import generate
from fuzz.test_programs import entry_of, run, same_bits
from ir.op_cases import Case, built, cases, draw
from symc.ir import ops, term
from symc.ir.batch import batch_function, batched_values
from symc.ir.build import apply, infer
from symc.ir.core import Function, Value, nodes_so_far, reachable
from symc.ir.dims import Size, symbol
from symc.ir.errors import OpContractError, SymcError
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Kind, NoDerivative, Op, Samples
from symc.ir.options import Options
from symc.ir.types import DTYPE_NAMES, F64, TensorType
from symc.ir.verify import verify

SIZES = (0, 1, 3)


def in_every_dtype() -> Iterator[Case]:
    """Each sample in each dtype that its op takes."""
    for case in cases():
        yield case
        if not case.types or case.op.kind is Kind.ELEMENTWISE:
            continue
        own = case.types[0].dtype
        for short in case.op.samples.dtypes:
            dtype = DTYPE_NAMES[short]
            types = tuple(t.with_dtype(dtype) if t.dtype == own else t for t in case.types)
            if dtype == own or (types[1:2] != case.types[1:2] and is_index(case)):
                continue
            try:
                infer(case.op, types, case.attrs)
            except SymcError:
                continue
            yield Case(case.op, types, case.attrs)


def is_index(case: Case) -> bool:
    return case.op.kind in {Kind.GATHER, Kind.SCATTER}


ALL = [case for case in in_every_dtype() if case.types and case.op.kind is not Kind.CONTROL]


def stacked(
    draws: Sequence[Sequence[np.ndarray]], marks: Sequence[bool], size: int
) -> list[np.ndarray]:
    return [
        np.stack([draws[k][i] for k in range(size)])
        if mark and size
        else np.zeros((0, *draws[0][i].shape), draws[0][i].dtype)
        if mark
        else draws[0][i]
        for i, mark in enumerate(marks)
    ]


def require_stack(
    function: Function,
    batched: Function,
    out: Sequence[bool],
    draws: Sequence[Sequence[np.ndarray]],
    marks: Sequence[bool],
    size: int,
) -> None:
    """The batched function on a batch is the function on each element."""
    got = evaluate(batched, stacked(draws, marks, size), "chain")
    singles = [
        evaluate(function, [d[i] if m else draws[0][i] for i, m in enumerate(marks)], "chain")
        for d in draws[: size or 1]
    ]
    for number, (array, mark) in enumerate(zip(got, out, strict=True)):
        want = [single[number] for single in singles]
        if not mark:
            assert same_bits(array, want[0])
            continue
        assert array.shape == (size, *want[0].shape)
        for i in range(size):
            assert same_bits(array[i], want[i])


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_batch_is_the_stack_of_its_elements(case: Case, rng: np.random.Generator) -> None:
    function = built(case)
    draws = [draw(case, rng) for _ in range(max(SIZES))]
    count = len(case.types)
    for chosen in range(1, 2**count):
        marks = [bool(chosen >> i & 1) for i in range(count)]
        batched, out = batch_function(function, marks, symbol("batch"), (True,))
        verify(batched)
        assert any(out)
        for size in SIZES:
            require_stack(function, batched, out, draws, marks, size)
    everything = [True] * count
    for size in SIZES:
        batched, out = batch_function(function, everything, size)
        require_stack(function, batched, out, draws, everything, size)


@pytest.mark.parametrize("op", [op for op in ops.OPS.values() if op.samples.dtypes], ids=str)
def test_compiled_batches_are_stacks_of_elements(op: Op, rng: np.random.Generator) -> None:
    """One program per op: every choice of batched operands of a case, as machine code."""
    case = next(case for case in ALL if case.op is op)
    function, draws = built(case), [draw(case, rng) for _ in range(3)]
    given: dict[Value, np.ndarray] = {}
    results: list[Value] = []
    wanted: list[np.ndarray] = []
    for choice in range(1, 2 ** len(case.types)):
        marks = [bool(choice >> i & 1) for i in range(len(case.types))]
        batched, out = batch_function(function, marks, symbol("batch"))
        given.update(zip(batched.params, stacked(draws, marks, 3), strict=True))
        results += batched.results
        rows = [[d[i] if m else draws[0][i] for i, m in enumerate(marks)] for d in draws]
        singles = zip(*(evaluate(function, row, "chain") for row in rows), strict=True)
        wanted += [np.stack(s) if mark else s[0] for s, mark in zip(singles, out, strict=True)]
    nodes, _ = reachable(results, stop=given)
    whole = Function("batches", tuple(given), tuple(nodes), tuple(results))
    got = run(entry_of(whole), Options(contract="chain", cache=False), list(given.values()))
    for result, want in zip(got, wanted, strict=True):
        assert same_bits(result, want)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    """Whole programs over symbolic sizes, with any params batched, and a batch of batches."""
    program = generate(Random(seed), {})
    function, rng = program.function, np.random.default_rng(seed)
    draws = [
        [rng.permutation(array.reshape(-1)).reshape(array.shape) for array in program.arrays]
        for _ in range(3)
    ]
    marks = [bool(bit) for bit in rng.integers(0, 2, len(draws[0]))]
    size: Size = symbol("batch") if seed % 2 else 3
    batched, out = batch_function(function, marks, size)
    verify(batched)
    require_stack(function, batched, out, draws, marks, 3)
    twice, _ = batch_function(batched, [True] * len(marks), 2)
    verify(twice)
    arrays = stacked(draws, marks, 3)
    got = evaluate(twice, [np.stack([a, a]) for a in arrays], "chain")
    once = evaluate(batched, arrays, "chain")
    for two, one in zip(got, once, strict=True):
        for i in range(2):
            assert same_bits(two[i] if two.ndim > one.ndim else two, one)


def test_what_depends_on_no_batch_is_shared() -> None:
    x, w = Value(TensorType(F64, (3,))), Value(TensorType(F64, (3,)))
    shared = term.Term(w) * 2.0
    since = nodes_so_far()
    result = term.Term(x) + shared * shared
    batch = Value(TensorType(F64, (5, 3)))
    known = batched_values([result.value], {x: batch}, 5, since=since)
    assert set(known.now) == known.whole == {x, result.value}
    nodes, free = reachable([known.now[result.value]])
    assert set(free) == {batch, w}
    assert sum(node.op is ops.MUL for node in nodes) == 2


def test_results_that_are_not_batched_unless_asked() -> None:
    x, y = Value(TensorType(F64, (3,))), Value(TensorType(F64))
    double = term.Term(y) * 2.0
    node = double.value.node
    assert node is not None
    nodes, _ = reachable([double.value])
    function = Function("f", (x, y), tuple(nodes), (x, double.value))
    batched, out = batch_function(function, [True, False], 4)
    assert out == (True, False)
    assert [r.type.shape for r in batched.results] == [(4, 3), ()]
    batched, out = batch_function(function, [False, False], 4, [False, True])
    assert out == (False, True)
    assert [r.type.shape for r in batched.results] == [(3,), (4,)]
    np.testing.assert_array_equal(
        evaluate(batched, [np.ones(3), np.array(1.5)])[1], np.full(4, 3.0)
    )


def test_calls_batch_through_their_region() -> None:
    x, w = Value(TensorType(F64, (3,))), Value(TensorType(F64, (3,)))
    product = term.Term(x) * term.Term(w)
    nodes, _ = reachable([product.value, w])
    callee = Function("callee", (x, w), tuple(nodes), (product.value, w))
    a, b = Value(TensorType(F64, (3,))), Value(TensorType(F64, (3,)))
    call = apply(ops.CALL, (a, b), {"name": "callee"}, regions=(callee,))
    function = Function("f", (a, b), (call,), call.results)
    batched, out = batch_function(function, [True, False], symbol("n"))
    assert out == (True, False)
    verify(batched)
    rows, row = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 3.0])
    got = evaluate(batched, [rows, row])
    np.testing.assert_array_equal(got[0], rows * row)
    np.testing.assert_array_equal(got[1], row)


def test_an_op_without_a_batching_rule_cannot_be_declared() -> None:
    samples, fields = Samples(("f64",)), {"derivative": NoDerivative("a test")}
    with pytest.raises(TypeError, match="batch"):
        Op("lonely", Kind.VIEW, 1, None, None, samples, **fields)  # type: ignore[call-arg,arg-type]
    with pytest.raises(OpContractError, match="lonely"):
        Op("lonely", Kind.VIEW, 1, None, None, samples, batch=None, **fields)  # type: ignore[arg-type]


def test_long_chains_batch_in_one_sweep() -> None:
    x = Value(TensorType(F64, (2,)))
    y = term.Term(x)
    for _ in range(5_000):
        y = y * 0.5
    known = batched_values([y.value], {x: Value(TensorType(F64, (7, 2)))}, 7)
    assert known.of(y.value)[0].type.shape == (7, 2)
