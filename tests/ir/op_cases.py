"""Inputs for the laws that every operation keeps, drawn from the op records alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symc.ir import ops, term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Kind, Op
from symc.ir.types import DTYPE_NAMES, TensorType, is_float, is_int

SHAPES = ((3,), (2, 3), (), (0,), (1, 1))


@dataclass(frozen=True)
class Case:
    """One valid use of an op."""

    op: Op
    types: tuple[TensorType, ...]
    attrs: Attrs

    def __str__(self) -> str:
        attrs = ",".join(f"{name}={value}" for name, value in self.attrs.items())
        return f"{self.op.name}({', '.join(map(str, self.types))}){{{attrs[:60]}}}"


def cases() -> list[Case]:
    """Every sample of every op; ops without samples of their own on several shapes."""
    return [case for op in ops.OPS.values() for case in cases_of(op)]


def cases_of(op: Op) -> Iterator[Case]:
    for types, attrs in op.samples.cases:
        yield Case(op, types, attrs)
    if op.samples.cases or op.kind is not Kind.ELEMENTWISE:
        return
    assert op.arity is not None
    for short in op.samples.dtypes:
        for shape in SHAPES if short in {"f32", "bool"} else SHAPES[:1]:
            yield Case(op, (TensorType(DTYPE_NAMES[short], shape),) * op.arity, {})


def draw(case: Case, rng: np.random.Generator) -> list[np.ndarray]:
    """Ordinary inputs: floats in the op's domain, small integers, indices in range."""
    low, high = case.op.samples.domain
    arrays = []
    for number, type in enumerate(case.types):
        shape = tuple(int(size) for size in type.shape)
        if type.dtype == np.bool_:
            array = rng.integers(0, 2, shape).astype(np.bool_)
        elif is_float(type.dtype):
            array = rng.uniform(low, high, shape).astype(type.dtype)
        elif number == 1 and case.op.kind in {Kind.GATHER, Kind.SCATTER}:
            size = int(case.types[0].shape[int(case.attrs["axis"])])
            reach = 0 if case.attrs["mode"] == "raise" else 2
            array = rng.integers(-size - reach, max(size, 1) + reach, shape).astype(type.dtype)
        else:
            array = rng.integers(-4, 5, shape).astype(type.dtype)
        arrays.append(array)
    return arrays


def built(case: Case) -> Function:
    """A function that is one application of the op."""
    params = [Value(type, name=f"x{i}") for i, type in enumerate(case.types)]
    node = apply(case.op, params, case.attrs)
    return Function("case", tuple(params), (node,), node.results)


def closed(params: Sequence[Value], results: Sequence[Value]) -> Function:
    """The function that computes `results` from `params`."""
    nodes, free = reachable(results)
    assert set(free) <= set(params)
    return Function("closed", tuple(params), tuple(nodes), tuple(results))


def run(params: Sequence[Value], result: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The value of one result."""
    return evaluate(closed(params, [result]), arrays)[0]


def floats(case: Case) -> list[int]:
    """Operands that a derivative may pass."""
    if case.op.no_derivative is not None:
        return []
    rules, linear = case.op.tangents, case.op.linear
    many = case.op.arity is None
    return [
        number
        for number, type in enumerate(case.types)
        if is_float(type.dtype)
        and (number in linear or (many and linear) or (number < len(rules) and rules[number]))
    ]


def tangent(case: Case, params: Sequence[Value], number: int, along: Value) -> Value:
    """The tangent of the result when operand `number` moves along `along`."""
    if case.op.tangents:
        rule = case.op.tangents[number]
        assert rule is not None
        node = apply(case.op, params, case.attrs)
        operands = [term.Term(param) for param in params]
        return rule(term.Term(along), term.Term(node.results[0]), operands, case.attrs).value
    jointly = not case.op.multilinear
    moved = [
        along if i == number else (term.zeros(p.type).value if jointly and is_moved(case, i) else p)
        for i, p in enumerate(params)
    ]
    return apply(case.op, moved, case.attrs).results[0]


def is_moved(case: Case, number: int) -> bool:
    """Whether an op is linear in this operand."""
    return number in case.op.linear or case.op.arity is None


def is_index(case: Case, number: int) -> bool:
    return is_int(case.types[number].dtype)
