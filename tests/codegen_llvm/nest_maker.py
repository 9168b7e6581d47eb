"""Nests by hand, and the comparison of generated code with the nest oracle."""

import numpy as np

from codegen_llvm.nest_machine import Machine
from symc.ir.affine import IndexMap, identity, select
from symc.ir.build import apply
from symc.ir.core import Function, Value
from symc.ir.evaluate_nest import evaluate_nest
from symc.ir.nest import Load, MapStage, Nest, Operand, Store
from symc.ir.ops import OPS
from symc.ir.types import TensorType


def body(types, build):
    """A scalar function: `build(op, *params)` returns its results; `op(name, *values, **attrs)`."""
    params = tuple(Value(TensorType(np.dtype(t))) for t in types)
    nodes = []

    def op(name, *operands, **attrs):
        node = apply(OPS[name], operands, attrs)
        nodes.append(node)
        return node.results[0]

    results = build(op, *params)
    return Function("body", params, tuple(nodes), tuple(results))


def operand(name, dtype, shape, role="in"):
    return Operand(name, TensorType(np.dtype(dtype), tuple(shape)), role)


def elementwise(shape, dtypes, results, build, *, symbols=()):
    """A flat elementwise nest: operands of `dtypes`, then outputs of `results`."""
    rank = len(shape)
    types = [*dtypes, *results]
    operands = tuple(
        operand(f"o{i}", t, shape, "in" if i < len(dtypes) else "out") for i, t in enumerate(types)
    )
    stage = MapStage(
        (),
        tuple(Load(i, identity(rank)) for i in range(len(dtypes))),
        (),
        body(dtypes, build),
        tuple(Store(len(dtypes) + i, identity(rank)) for i in range(len(results))),
    )
    return Nest("elementwise", operands, tuple(shape), (stage,), symbols)


def reduction(shape, axes, dtype, op, build=None, *, symbols=(), result=None):
    """`op` over `axes` of one operand of `shape`; the outer axes are those that remain."""
    rank = len(shape)
    kept = [a for a in range(rank) if a not in axes]
    order = [*kept, *axes]
    place = [order.index(a) for a in range(rank)]
    outer = tuple(shape[a] for a in kept)
    inner = tuple(shape[a] for a in axes)
    operands = (operand("x", dtype, shape), operand("y", result or dtype, outer, "out"))
    function = body([dtype], build or (lambda op, x: (x,)))
    reduced = tuple(range(len(axes)))
    store = Store(1, select(rank, range(len(kept))), OPS[op].reducer({}), reduced)
    stage = MapStage(inner, (Load(0, select(rank, place)),), (), function, (store,))
    return Nest(op, operands, outer, (stage,), symbols)


def numbers(rng, dtype, shape):
    """Ordinary numbers with some special ones."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "i":
        return rng.integers(-9, 10, shape).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    if x.size:
        flat = x.reshape(-1)
        where = rng.integers(0, x.size, max(1, x.size // 50))
        flat[where] = rng.choice(np.array([0.0, -0.0, 1.0], dtype), where.size)
    return x


def same_bits(a, b):
    """Equal but for the payload of NaN."""
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    bits = f"i{a.dtype.itemsize}"
    return bool(np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))))


def shape_of(nest, number, dims):
    from symc.ir.dims import substitute

    return tuple(substitute(s, dict(dims)) for s in nest.operands[number].type.shape)


def random_arrays(nest, rng, dims):
    return [
        None if o.role == "scratch" else numbers(rng, o.type.dtype, shape_of(nest, i, dims))
        for i, o in enumerate(nest.operands)
    ]


def agree(nest, rng, dims=None, *, arrays=None, target=None, machine=None):
    """Check every buffer and the trap against the oracle, for several splits and alignments."""
    dims = dims or {}
    machine = machine or Machine(nest, target)
    arrays = arrays or random_arrays(nest, rng, dims)
    wanted = evaluate_nest(nest, arrays, dims)
    for split, at_start in ((0, False), (1, True), (3, False)):
        got, trap = machine.run(arrays, dims, split=split, at_start=at_start)
        for number, (a, b) in enumerate(zip(got, wanted.arrays, strict=True)):
            if a is not None:
                assert same_bits(a, b), (nest.name, number, dims, split, a, b)
        assert trap == wanted.trap
    return machine


__all__ = ["IndexMap", "agree", "body", "elementwise", "operand", "reduction"]
