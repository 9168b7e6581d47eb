"""Views: each element of the result is one element of the operand, found by an affine index map.

`reshape` that only splits axes, or adds and removes axes of size 1, has a map; other reshapes have
none: they are another reading of the same row-major buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from symc.ir import term
from symc.ir.affine import Affine, IndexMap, unit
from symc.ir.core import Attrs, Node
from symc.ir.dims import Size, prove_equal, prove_le, size_product
from symc.ir.errors import DomainError, ShapeError, SymcIndexError, message
from symc.ir.ops import attributes
from symc.ir.ops.define import ALL, require_count
from symc.ir.ops.record import Arrays, EvaluateContext, Kind, Linear, Op, Samples
from symc.ir.types import BOOL, F32, F64, I32, TensorType

if TYPE_CHECKING:
    from symc.ir.term import Term

Types = Sequence[TensorType]
Batched = tuple["Term", int]


# --- broadcast -----------------------------------------------------------------------------------


def _broadcast_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("broadcast", types, 1)
    shape = attributes.sizes(attrs, "shape")
    axes = attributes.axes_in(attrs, "axes", len(shape), ascending=True)
    fits = len(axes) == types[0].rank and all(
        size in {1, shape[axis]} for size, axis in zip(types[0].shape, axes, strict=True)
    )
    if not fits:
        raise ShapeError(
            message(
                f"broadcast of {types[0]} to ({', '.join(map(str, shape))})",
                got=f"operand axes placed at {axes}",
                expected="each operand size equal to the result's, or the number 1",
            )
        )
    return (types[0].with_shape(shape),)


def _broadcast_evaluate(
    context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node
) -> Arrays:
    shape = context.shape(node.results[0].type)
    unit_shape = [1] * len(shape)
    for size, axis in zip(arrays[0].shape, attributes.integers(node.attrs, "axes"), strict=True):
        unit_shape[axis] = size
    return (np.array(np.broadcast_to(arrays[0].reshape(unit_shape), shape)),)


def _broadcast_map(types: Types, result: TensorType, attrs: Attrs) -> IndexMap:
    indices = []
    for size, axis in zip(types[0].shape, attributes.integers(attrs, "axes"), strict=True):
        same = size == result.shape[axis]
        indices.append(unit(result.rank, axis) if same else Affine((0,) * result.rank))
    return IndexMap(result.rank, tuple(indices))


def _broadcast_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    axes = attributes.integers(attrs, "axes")
    shape = operands[0].shape
    kept = [axis for size, axis in zip(shape, axes, strict=True) if size == ct.shape[axis]]
    total = ct.sum([axis for axis in range(ct.rank) if axis not in kept])
    places = [i for i, axis in enumerate(axes) if axis in kept]
    return total.broadcast(shape, places)


def _broadcast_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    (x,) = term.batched(operands, axes)
    places = [0, *(axis + 1 for axis in attributes.integers(attrs, "axes"))]
    return x.broadcast((x.shape[0], *attributes.sizes(attrs, "shape")), places), 0


# --- reshape -------------------------------------------------------------------------------------


def _reshape_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    """Sizes that may or may not agree are accepted: whoever reshapes records the constraint."""
    require_count("reshape", types, 1)
    shape = attributes.sizes(attrs, "shape")
    if prove_equal(types[0].elements, size_product(shape)) is False:
        raise ShapeError(
            message(
                f"reshape of {types[0]} to ({', '.join(map(str, shape))})",
                got=f"{types[0].elements} elements",
                expected=f"{size_product(shape)} elements",
            )
        )
    return (types[0].with_shape(shape),)


def _reshape_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    shape = context.shape(node.results[0].type)
    if size_product(shape) != arrays[0].size:
        raise ShapeError(
            message(
                f"reshape to {shape}",
                got=f"{arrays[0].size} elements",
                expected=f"{size_product(shape)} elements",
                where=node.locations[0],
            )
        )
    return (arrays[0].reshape(shape),)


def _reshape_map(types: Types, result: TensorType, attrs: Attrs) -> IndexMap | None:
    """Each operand axis is read off the result axes that it was split into, or there is no map."""
    indices = []
    axis = 0
    for size in types[0].shape:
        factors: list[Size] = [0] * result.rank
        taken: list[int] = []
        covered: Size = 1
        while prove_equal(covered, size) is not True:
            if axis == result.rank:
                return None
            if result.shape[axis] != 1:
                taken.append(axis)
                covered = covered * result.shape[axis]
            axis += 1
        stride: Size = 1
        for place in reversed(taken):
            factors[place] = stride
            stride = stride * result.shape[place]
        indices.append(Affine(tuple(factors)))
    rest_is_unit = all(size == 1 for size in result.shape[axis:])
    return IndexMap(result.rank, tuple(indices)) if rest_is_unit else None


def _reshape_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    return ct.reshape(operands[0].shape)


def _reshape_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    (x,) = term.batched(operands, axes)
    return x.reshape((x.shape[0], *attributes.sizes(attrs, "shape"))), 0


# --- permute -------------------------------------------------------------------------------------


def _permute_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("permute", types, 1)
    axes = attributes.axes_in(attrs, "axes", types[0].rank)
    if len(axes) != types[0].rank:
        raise ShapeError(message(f"permute of {types[0]}", got=axes, expected="every axis once"))
    return (types[0].with_shape(tuple(types[0].shape[axis] for axis in axes)),)


def _permute_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    axes = attributes.integers(node.attrs, "axes")
    return (np.array(np.transpose(arrays[0], axes), order="C"),)


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _permute_map(types: Types, result: TensorType, attrs: Attrs) -> IndexMap:
    axes = inverse(attributes.integers(attrs, "axes"))
    return IndexMap(result.rank, tuple(unit(result.rank, axis) for axis in axes))


def _permute_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    return ct.permute(inverse(attributes.integers(attrs, "axes")))


def _permute_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    (x,) = term.batched(operands, axes)
    return x.permute((0, *(axis + 1 for axis in attributes.integers(attrs, "axes")))), 0


# --- slice ---------------------------------------------------------------------------------------


def check_slice(
    subject: str,
    shape: Sequence[Size],
    starts: Sequence[Size],
    sizes: Sequence[Size],
    steps: Sequence[int],
) -> None:
    """Refuse a slice that surely leaves the operand."""
    if not len(starts) == len(sizes) == len(steps) == len(shape):
        raise ShapeError(message(f"{subject}: starts, sizes and steps", expected="one per axis"))
    if 0 in steps:
        raise DomainError(message(f"{subject}: step 0", got=tuple(steps)))
    for axis, (whole, start, size, step) in enumerate(
        zip(shape, starts, sizes, steps, strict=True)
    ):
        if not prove_le(1, size):
            continue
        last = start + (size - 1) * step
        low, high = (start, last) if step > 0 else (last, start)
        if prove_le(low, -1) or prove_le(whole, high):
            raise SymcIndexError(
                message(
                    f"{subject} of axis {axis}",
                    got=f"elements {start} to {last} in steps of {step}",
                    expected=f"elements of an axis of size {whole}",
                )
            )


def ranges(starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> tuple[slice, ...]:
    """NumPy slices with these elements, for slices inside the operand."""
    found = []
    for start, size, step in zip(starts, sizes, steps, strict=True):
        stop = start + size * step
        found.append(slice(start, None if stop < 0 else stop, step) if size else slice(0, 0))
    return tuple(found)


def check_inside(
    shape: Sequence[int],
    starts: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
    node: Node,
) -> None:
    """`check_slice` on the sizes of a run, at the node's line."""
    try:
        check_slice(node.op.name, shape, starts, sizes, steps)
    except SymcIndexError as error:
        raise SymcIndexError(f"{error}\n  at: {node.locations[0]}") from None


def _slice_infer(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    require_count("slice", types, 1)
    sizes = attributes.sizes(attrs, "sizes")
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    check_slice(f"slice of {types[0]}", types[0].shape, starts, sizes, steps)
    return (types[0].with_shape(sizes),)


def _slice_evaluate(context: EvaluateContext, arrays: Sequence[np.ndarray], node: Node) -> Arrays:
    sizes = context.shape(node.results[0].type)
    starts = context.sizes(attributes.sizes(node.attrs, "starts"))
    steps = attributes.integers(node.attrs, "steps")
    check_inside(arrays[0].shape, starts, sizes, steps, node)
    return (np.array(arrays[0][ranges(starts, sizes, steps)], order="C"),)


def _slice_map(types: Types, result: TensorType, attrs: Attrs) -> IndexMap:
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    indices = []
    for axis in range(result.rank):
        factors = tuple(steps[axis] if i == axis else 0 for i in range(result.rank))
        indices.append(Affine(factors, starts[axis]))
    return IndexMap(result.rank, tuple(indices))


def _slice_transpose(ct: Term, operands: Sequence[Term], attrs: Attrs, number: int) -> Term:
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    return term.zeros(operands[0].type).set_slice(ct, starts, steps)


def _slice_batch(operands: Sequence[Term], axes: Sequence[int | None], attrs: Attrs) -> Batched:
    (x,) = term.batched(operands, axes)
    starts, steps = attributes.sizes(attrs, "starts"), attributes.integers(attrs, "steps")
    sizes = (x.shape[0], *attributes.sizes(attrs, "sizes"))
    return x.slice((0, *starts), sizes, (1, *steps)), 0


_A, _B = TensorType(F32, (3, 4)), TensorType(F64, (6,))
BROADCAST: Final = Op(
    "broadcast",
    Kind.VIEW,
    1,
    _broadcast_infer,
    _broadcast_evaluate,
    Samples(
        ALL,
        cases=(
            ((TensorType(F32),), {"shape": (2, 3), "axes": ()}),
            ((_A,), {"shape": (2, 3, 4), "axes": (1, 2)}),
            ((TensorType(F64, (3, 1)),), {"shape": (3, 5, 2), "axes": (0, 2)}),
            ((TensorType(BOOL, (1,)),), {"shape": (0,), "axes": (0,)}),
        ),
        errors=(
            ((_A,), {"shape": (3, 5), "axes": (0, 1)}, ShapeError),
            ((_A,), {"shape": (4, 3), "axes": (1, 0)}, DomainError),
            ((_A,), {"shape": (3, 4), "axes": (0,)}, ShapeError),
            ((_B,), {"shape": (6, -1), "axes": (0,)}, ShapeError),
        ),
    ),
    index_map=_broadcast_map,
    derivative=Linear((0,), _broadcast_transpose),
    batch=_broadcast_batch,
)
RESHAPE: Final = Op(
    "reshape",
    Kind.VIEW,
    1,
    _reshape_infer,
    _reshape_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A,), {"shape": (2, 6)}),
            ((_B,), {"shape": (2, 1, 3)}),
            ((TensorType(F32, (1, 3, 1)),), {"shape": (3,)}),
            ((TensorType(I32, (0, 3)),), {"shape": (5, 0)}),
        ),
        errors=(((_B,), {"shape": (4,)}, ShapeError), ((_B,), {"shape": (-2, -3)}, ShapeError)),
    ),
    index_map=_reshape_map,
    derivative=Linear((0,), _reshape_transpose),
    batch=_reshape_batch,
)
PERMUTE: Final = Op(
    "permute",
    Kind.VIEW,
    1,
    _permute_infer,
    _permute_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A,), {"axes": (1, 0)}),
            ((TensorType(F64, (2, 3, 4)),), {"axes": (2, 0, 1)}),
        ),
        errors=(
            ((_A,), {"axes": (0, 0)}, DomainError),
            ((_A,), {"axes": (0, 2)}, DomainError),
            ((_A,), {"axes": (0,)}, ShapeError),
        ),
    ),
    index_map=_permute_map,
    derivative=Linear((0,), _permute_transpose),
    batch=_permute_batch,
)
SLICE: Final = Op(
    "slice",
    Kind.VIEW,
    1,
    _slice_infer,
    _slice_evaluate,
    Samples(
        ALL,
        cases=(
            ((_A,), {"starts": (1, 0), "sizes": (2, 2), "steps": (1, 3)}),
            ((_B,), {"starts": (5,), "sizes": (3,), "steps": (-2,)}),
            ((_B,), {"starts": (5,), "sizes": (6,), "steps": (-1,)}),
            ((_B,), {"starts": (6,), "sizes": (0,), "steps": (1,)}),
        ),
        errors=(
            ((_B,), {"starts": (4,), "sizes": (3,), "steps": (1,)}, SymcIndexError),
            ((_B,), {"starts": (1,), "sizes": (3,), "steps": (-1,)}, SymcIndexError),
            ((_B,), {"starts": (0,), "sizes": (3,), "steps": (0,)}, DomainError),
            ((_A,), {"starts": (0,), "sizes": (3,), "steps": (1,)}, ShapeError),
        ),
    ),
    index_map=_slice_map,
    derivative=Linear((0,), _slice_transpose),
    batch=_slice_batch,
)
