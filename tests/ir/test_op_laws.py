"""Laws of every operation, over the whole table; a new op is tested by being in it."""

import numpy as np
import pytest

from ir.op_cases import Case, built, cases, draw, floats, run, tangent
from symc.ir import ops, term
from symc.ir.build import apply, infer, placed_at
from symc.ir.core import Function, Value
from symc.ir.errors import SymcError
from symc.ir.evaluate import evaluate
from symc.ir.locations import Location
from symc.ir.ops.record import Kind, Op
from symc.ir.parse import parse_function
from symc.ir.text import print_function
from symc.ir.types import F64, TensorType, is_float
from symc.ir.verify import verify

ALL = cases()
LINEAR = [case for case in ALL if case.op.transpose and floats(case)]
SMOOTH = [
    case
    for case in ALL
    if floats(case) and all(type.dtype != np.float32 or type.rank for type in case.types)
]


@pytest.mark.parametrize("op", ops.OPS.values(), ids=lambda op: op.name)
def test_samples_are_complete(op: Op) -> None:
    assert op.samples.errors, "an op needs inputs that it refuses"
    assert op.kind is Kind.CONTROL or op.samples.cases or op.samples.dtypes
    differentiable = bool(op.tangents or op.linear or op.modes)
    assert differentiable != (op.no_derivative is not None)
    assert not (op.tangents and op.linear)
    if op.linear:
        assert op.transpose is not None
    assert op.kind is Kind.SOURCE or (op.batch is None) != (op.batch_regions is None)
    assert (op.kind is Kind.ELEMENTWISE) == (op.scalar is not None)
    assert (op.kind is Kind.REDUCE) == (op.reducer is not None)
    assert (op.kind is Kind.VIEW) == (op.index_map is not None)
    assert ops.OPS[op.name] is op
    assert op in vars(ops).values()


@pytest.mark.parametrize("case", ALL, ids=str)
def test_inferred_types_are_those_of_values(case: Case, rng: np.random.Generator) -> None:
    function = built(case)
    verify(function)
    arrays = draw(case, rng)
    kept = [array.copy() for array in arrays]
    for order in ("any", "chain"):
        (result,) = evaluate(function, arrays, order)  # checks the type itself
        assert result.shape == function.results[0].type.shape
    for array, copy in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_text_reads_back(case: Case) -> None:
    for locations in (False, True):
        text = print_function(built(case), locations)
        again = parse_function(text)
        assert print_function(again, locations) == text
        assert again.nodes[0].op is case.op
        assert again.nodes[0].attrs == built(case).nodes[0].attrs


REFUSED = [
    (op, types, attrs, error)
    for op in ops.OPS.values()
    for types, attrs, error in op.samples.errors
]


@pytest.mark.parametrize(("op", "types", "attrs", "error"), REFUSED)
def test_errors_are_typed_and_name_the_line(
    op: Op, types: tuple[TensorType, ...], attrs: dict, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        apply(op, [Value(type) for type in types], attrs)
    assert isinstance(caught.value, SymcError)
    text = str(caught.value)
    assert "test_op_laws.py:" in text
    assert len(text.splitlines()) <= 6
    with placed_at((Location("model.py", 12),)), pytest.raises(error, match=r"model\.py:12"):
        apply(op, [Value(type) for type in types], attrs)


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_transpose(case: Case, rng: np.random.Generator) -> None:
    """<w, J v> = <J^T w, v>, in f64."""
    types = tuple(t.with_dtype(F64) if is_float(t.dtype) else t for t in case.types)
    attrs = {k: F64 if k == "dtype" else v for k, v in case.attrs.items()}
    case = Case(case.op, types, attrs)
    arrays = draw(case, rng)
    params = [Value(type) for type in types]
    (out,) = infer(case.op, types, case.attrs)
    for number in floats(case):
        v, w = Value(types[number]), Value(out)
        v_data = rng.normal(size=types[number].shape)
        w_data = rng.normal(size=out.shape)
        pushed = tangent(case, params, number, v)
        assert case.op.transpose is not None
        operands = [term.Term(param) for param in params]
        pulled = case.op.transpose(term.Term(w), operands, case.attrs, number).value
        assert pulled.type == types[number]
        data = [*arrays, v_data, w_data]
        jv = run([*params, v, w], pushed, data)
        jtw = run([*params, v, w], pulled, data)
        np.testing.assert_allclose(
            (w_data * jv).sum(), (jtw * v_data).sum(), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_tangent_is_the_derivative(case: Case, rng: np.random.Generator) -> None:
    """Against central differences with one step of Richardson extrapolation, in f64."""
    types = tuple(t.with_dtype(F64) if is_float(t.dtype) else t for t in case.types)
    attrs = {k: F64 if k == "dtype" else v for k, v in case.attrs.items()}
    case = Case(case.op, types, attrs)
    arrays = draw(case, rng)
    params = [Value(type) for type in types]
    function = built(case)
    for number in floats(case):
        along = Value(types[number])
        direction = rng.uniform(0.5, 1.0, types[number].shape)
        pushed = tangent(case, params, number, along)
        got = run([*params, along], pushed, [*arrays, direction])

        def moved(step: float, number: int = number, direction: np.ndarray = direction):
            data = list(arrays)
            data[number] = data[number] + step * direction
            return evaluate(function, data)[0]

        def slope(step: float) -> np.ndarray:
            return (moved(step) - moved(-step)) / (2 * step)

        expected = (4 * slope(5e-4) - slope(1e-3)) / 3
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


EDGES = [op for op in ops.OPS.values() if op.kind is Kind.ELEMENTWISE and op.tangents]


@pytest.mark.parametrize("op", EDGES, ids=lambda op: op.name)
def test_a_zero_tangent_stays_zero_at_edges(op: Op) -> None:
    """Infinite and undefined slopes must not reach what does not move."""
    points = (*op.samples.edges, 1.0, -1.5, 0.0, -0.0)
    assert op.arity is not None
    grid = np.array(np.meshgrid(*[points] * op.arity)).reshape(op.arity, -1)
    type = TensorType(F64, (grid.shape[1],))
    case = Case(op, (type,) * op.arity, {})
    params = [Value(type) for _ in range(op.arity)]
    for number in floats(case):
        along = Value(type)
        pushed = tangent(case, params, number, along)
        got = run([*params, along], pushed, [*grid, np.zeros(grid.shape[1])])
        assert (got == 0).all(), (points, got)


BATCHED = [case for case in ALL if case.op.batch is not None]


@pytest.mark.parametrize("case", BATCHED, ids=str)
def test_batching_is_a_loop(case: Case, rng: np.random.Generator) -> None:
    """Every subset of operands with a batch axis, at every place; contractions in chain order."""
    assert case.op.batch is not None
    count = 3
    draws = [draw(case, rng) for _ in range(count)]
    function = built(case)
    for chosen in range(1, 2 ** len(case.types)):
        for place in (0, -1):
            axes, params, data = [], [], []
            for number, type in enumerate(case.types):
                axis = place % (type.rank + 1) if chosen >> number & 1 else None
                arrays = [d[number] for d in draws]
                array = arrays[0] if axis is None else np.stack(arrays, axis)
                axes.append(axis)
                data.append(array)
                params.append(Value(TensorType(type.dtype, array.shape)))
            result, at = case.op.batch([term.Term(p) for p in params], axes, case.attrs)
            assert at == 0
            nodes = closed_over(params, result.value)
            got = evaluate(nodes, data, "chain")[0]
            for i in range(count):
                one = [draws[i if axis is not None else 0][k] for k, axis in enumerate(axes)]
                expected = evaluate(function, one, "chain")[0]
                np.testing.assert_array_equal(got[i], expected)


def closed_over(params: list[Value], result: Value) -> Function:
    from ir.op_cases import closed

    return closed(params, [result])
