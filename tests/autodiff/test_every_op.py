"""First and second derivatives of every op of the table, in both modes, by differences."""

import numpy as np
import pytest

from ir.op_cases import Case, cases, draw, floats, run
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Value
from symc.ir.types import F64, is_float


def in_f64(case: Case) -> Case:
    types = tuple(t.with_dtype(F64) if is_float(t.dtype) else t for t in case.types)
    return Case(case.op, types, {k: F64 if k == "dtype" else v for k, v in case.attrs.items()})


CASES = [in_f64(case) for case in cases() if floats(case)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_orders_in_both_modes(case: Case, rng: np.random.Generator) -> None:
    """z = op(x)**2: H u v by differences of J u, and both transposes by inner products."""
    params = [Value(type) for type in case.types]
    moving = [params[i] for i in floats(case)]
    us, vs = ([Value(x.type) for x in moving] for _ in range(2))
    y = term.Term(apply(case.op, params, case.attrs).results[0])
    z = (y * y).value
    w = Value(z.type)
    (first,) = tangents([z], moving, us)
    assert first is not None
    (second,) = tangents([first], moving, vs)
    inputs = [*params, *us, *vs, w]
    arrays = draw(case, rng)
    du, dv = ([rng.normal(size=x.type.shape) for x in moving] for _ in range(2))
    weight = rng.normal(size=z.type.shape)

    def value(of: Value | None, step: float = 0.0) -> np.ndarray:
        data = list(arrays)
        for number, direction in zip(floats(case), dv, strict=True):
            data[number] = data[number] + step * direction
        return np.zeros(()) if of is None else run(inputs, of, [*data, *du, *dv, weight])

    def slope(step: float) -> np.ndarray:
        return (value(first, step) - value(first, -step)) / (2 * step)

    expected = (4 * slope(5e-4) - slope(1e-3)) / 3
    np.testing.assert_allclose(value(second) + 0 * expected, expected, rtol=1e-5, atol=1e-5)
    for pushed, of, along in ((value(first), z, du), (value(second), first, dv)):
        pulled = gradient([of], [w], moving)
        inner = sum((value(p) * d).sum() for p, d in zip(pulled, along, strict=True))
        np.testing.assert_allclose((weight * pushed).sum(), inner, rtol=1e-9, atol=1e-9)
