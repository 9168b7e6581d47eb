"""Every operation alone, on its own samples, through fusion, lowering and buffers."""

from __future__ import annotations

import numpy as np
import pytest

from passes.programs import check, entry_of, function, given
from symc.ir.ops import OPS
from symc.ir.ops.record import Kind, Op
from symc.ir.term import apply_op
from symc.ir.types import DTYPE_NAMES, TensorType


def cases(op: Op) -> list[tuple[tuple[TensorType, ...], dict[str, object]]]:
    if op.samples.cases:
        return [(types, dict(attrs)) for types, attrs in op.samples.cases]
    types = [TensorType(DTYPE_NAMES[name], (3, 4)) for name in op.samples.dtypes]
    return [((type,) * (op.arity or 1), {}) for type in types]


ALL = [
    pytest.param(op, types, attrs, id=f"{name}-{i}")
    for name, op in OPS.items()
    if op.kind is not Kind.CONTROL
    for i, (types, attrs) in enumerate(cases(op))
]


@pytest.mark.parametrize(("op", "types", "attrs"), ALL)
def test_one_operation(
    op: Op, types: tuple[TensorType, ...], attrs: dict[str, object], rng: np.random.Generator
) -> None:
    params = [given(f"x{i}", *t.shape, dtype=t.dtype) for i, t in enumerate(types)]
    result = apply_op(op, params, attrs)  # type: ignore[arg-type]
    arrays = [sample(type, rng) for type in types]
    f = function([p.value for p in params], [result])
    check(entry_of(f), arrays)


def sample(type: TensorType, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(int(size) for size in type.shape)  # type: ignore[arg-type]
    if type.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if type.dtype.kind == "i":
        return rng.integers(-1, 2, shape).astype(type.dtype)
    return np.asarray(rng.normal(size=shape)).astype(type.dtype)
