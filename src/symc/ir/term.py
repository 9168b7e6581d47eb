"""Terms: values with operators, in which derivative, batching and rewrite rules are written.

before: values of a graph.  after: more nodes of the same graph, one per operator applied.

Operands of an operator must have one shape and dtype, as the IR demands; only Python numbers are
adapted: they become constants of the other side's dtype, broadcast to its shape.  Axes are 0 or
more.  The frontend has its own symbolic value with the rules that users expect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Attrs, Value
from symc.ir.dims import Size, size_product
from symc.ir.errors import ShapeError, message
from symc.ir.ops.record import Op
from symc.ir.types import F64, I64, Literal, TensorType

Number = int | float | bool


class Term:
    """A value with operators; `t.value` is the value itself."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Term({self.value!r})"

    @property
    def type(self) -> TensorType:
        return self.value.type

    @property
    def shape(self) -> tuple[Size, ...]:
        return self.value.type.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.type.dtype

    @property
    def rank(self) -> int:
        return self.value.type.rank

    # Elementwise.  `other` is a Term of the same type, or a number.
    def __add__(self, other: Term | Number) -> Term:
        return make(ops.ADD, self, lift(other, self))

    def __radd__(self, other: Number) -> Term:
        return make(ops.ADD, lift(other, self), self)

    def __sub__(self, other: Term | Number) -> Term:
        return make(ops.SUB, self, lift(other, self))

    def __rsub__(self, other: Number) -> Term:
        return make(ops.SUB, lift(other, self), self)

    def __mul__(self, other: Term | Number) -> Term:
        return make(ops.MUL, self, lift(other, self))

    def __rmul__(self, other: Number) -> Term:
        return make(ops.MUL, lift(other, self), self)

    def __truediv__(self, other: Term | Number) -> Term:
        return make(ops.DIV, self, lift(other, self))

    def __rtruediv__(self, other: Number) -> Term:
        return make(ops.DIV, lift(other, self), self)

    def __neg__(self) -> Term:
        return make(ops.NEG, self)

    def __and__(self, other: Term) -> Term:
        return make(ops.AND, self, other)

    def __or__(self, other: Term) -> Term:
        return make(ops.OR, self, other)

    def __invert__(self) -> Term:
        return make(ops.NOT, self)

    def eq(self, other: Term | Number) -> Term:
        return make(ops.EQ, self, lift(other, self))

    def ne(self, other: Term | Number) -> Term:
        return make(ops.NE, self, lift(other, self))

    def lt(self, other: Term | Number) -> Term:
        return make(ops.LT, self, lift(other, self))

    def le(self, other: Term | Number) -> Term:
        return make(ops.LE, self, lift(other, self))

    def gt(self, other: Term | Number) -> Term:
        return make(ops.GT, self, lift(other, self))

    def ge(self, other: Term | Number) -> Term:
        return make(ops.GE, self, lift(other, self))

    def cast(self, dtype: np.dtype) -> Term:
        """This term in `dtype`; itself when it has it."""
        return self if self.dtype == dtype else make(ops.CAST, self, dtype=dtype)

    # Shapes.
    def broadcast(self, shape: Sequence[Size], axes: Sequence[int]) -> Term:
        """Operand axis i becomes result axis `axes[i]`; axes of size 1 may stretch."""
        if tuple(shape) == self.shape and tuple(axes) == tuple(range(self.rank)):
            return self
        return make(ops.BROADCAST, self, shape=tuple(shape), axes=tuple(axes))

    def broadcast_to(self, shape: Sequence[Size]) -> Term:
        """NumPy's rule: axes are matched from the right."""
        lead = len(shape) - self.rank
        return self.broadcast(shape, range(lead, len(shape)))

    def reshape(self, shape: Sequence[Size]) -> Term:
        if tuple(shape) == self.shape:
            return self
        return make(ops.RESHAPE, self, shape=tuple(shape))

    def permute(self, axes: Sequence[int]) -> Term:
        """Result axis i is operand axis `axes[i]`."""
        if tuple(axes) == tuple(range(self.rank)):
            return self
        return make(ops.PERMUTE, self, axes=tuple(axes))

    def move_axis(self, source: int, target: int) -> Term:
        """Axis `source` becomes axis `target`; the others keep their order."""
        rest = [axis for axis in range(self.rank) if axis != source]
        rest.insert(target, source)
        return self.permute(rest)

    def expand(self, axis: int) -> Term:
        """A new axis of size 1 at `axis`."""
        shape = (*self.shape[:axis], 1, *self.shape[axis:])
        return self.broadcast(shape, [i for i in range(len(shape)) if i != axis])

    def slice(
        self, starts: Sequence[Size], sizes: Sequence[Size], steps: Sequence[int] | None = None
    ) -> Term:
        """Element j of an axis is `starts + j * steps` of the operand."""
        taken = tuple(steps) if steps is not None else (1,) * self.rank
        return make(ops.SLICE, self, starts=tuple(starts), sizes=tuple(sizes), steps=taken)

    def narrow(self, axis: int, start: Size, size: Size) -> Term:
        """`size` elements of one axis from `start` on."""
        starts = [start if i == axis else 0 for i in range(self.rank)]
        sizes = [size if i == axis else whole for i, whole in enumerate(self.shape)]
        return self.slice(starts, sizes)

    def set_slice(self, value: Term, starts: Sequence[Size], steps: Sequence[int]) -> Term:
        """This term with `value` written over a slice."""
        return make(ops.SET_SLICE, self, value, starts=tuple(starts), steps=tuple(steps))

    # Reductions.
    def sum(self, axes: Sequence[int]) -> Term:
        """The sum over `axes`, which disappear; itself when there are none."""
        return make(ops.SUM, self, axes=tuple(sorted(axes))) if axes else self


def make(op: Op, *operands: Term, **attrs: object) -> Term:
    """The single result of `op` applied to terms."""
    return apply_op(op, operands, attrs)  # type: ignore[arg-type]


def apply_op(op: Op, operands: Sequence[Term], attrs: Attrs) -> Term:
    """The single result of `op` applied to terms, attributes given as a mapping."""
    return Term(apply(op, tuple(x.value for x in operands), attrs).results[0])


def lift(other: Term | Number, like: Term) -> Term:
    """A number as a constant of the dtype and shape of `like`; a term as it is."""
    if isinstance(other, Term):
        return other
    return full(like.shape, other, like.dtype)


def constant(array: np.ndarray) -> Term:
    """A constant tensor."""
    return make(ops.CONSTANT, value=Literal(np.asarray(array)))


def full(shape: Sequence[Size], number: Number, dtype: np.dtype = F64) -> Term:
    """A tensor with `number` in every element."""
    return constant(np.array(number, dtype)).broadcast(tuple(shape), ())


def zeros(type: TensorType) -> Term:
    """Zeros of a type."""
    return full(type.shape, 0, type.dtype)


def iota(shape: Sequence[Size], axis: int, dtype: np.dtype = I64) -> Term:
    """Each element is its index along `axis`."""
    return make(ops.IOTA, shape=tuple(shape), axis=axis, dtype=dtype)


def size(value: Size) -> Term:
    """A size as an i64 scalar."""
    return make(ops.SIZE, size=value)


def where(mask: Term, left: Term | Number, right: Term | Number) -> Term:
    """`left` where the bool `mask` is set, else `right`; one of them must be a term."""
    like = left if isinstance(left, Term) else right
    assert isinstance(like, Term)
    return make(ops.WHERE, mask, lift(left, like), lift(right, like))


def scale(tangent: Term, slope: Term | Number) -> Term:
    """0 where one of them is 0, else `tangent * slope`.

    A plain product when that is the same: one is a constant of finite numbers that are not 0.
    """
    slope = lift(slope, tangent)
    for factor in (constant_array(slope), constant_array(tangent)):
        if factor is not None and np.all(np.isfinite(factor) & (factor != 0)):
            return make(ops.MUL, tangent, slope)
    return make(ops.SCALE, tangent, slope)


def constant_array(term: Term) -> np.ndarray | None:
    """The elements of a constant, or of a broadcast or reshape of one."""
    value = term.value
    while value.node is not None and value.node.op in {ops.BROADCAST, ops.RESHAPE}:
        value = value.node.operands[0]
    if value.node is None or value.node.op is not ops.CONSTANT:
        return None
    literal = value.node.attrs["value"]
    return literal.array if isinstance(literal, Literal) else None


def sign(x: Term) -> Term:
    """-1, 0 or 1; NaN for NaN."""
    return make(ops.SIGN, x)


def cos(x: Term) -> Term:
    """The cosine."""
    return make(ops.COS, x)


def concat(terms: Sequence[Term], axis: int) -> Term:
    """Terms side by side along `axis`."""
    return make(ops.CONCAT, *terms, axis=axis)


def take(x: Term, index: Term, axis: int, mode: str) -> Term:
    """Whole slices of `x` at the positions `index` of `axis`."""
    return make(ops.TAKE, x, index, axis=axis, mode=mode)


def scatter(x: Term, index: Term, values: Term, attrs: Attrs) -> Term:
    """`x` with whole slices set or added at positions; attrs axis, mode, combine."""
    return apply_op(ops.SCATTER, (x, index, values), attrs)


def scatter_along(x: Term, index: Term, values: Term, attrs: Attrs) -> Term:
    """`x` with elements set or added at positions; attrs axis, mode, combine."""
    return apply_op(ops.SCATTER_ALONG, (x, index, values), attrs)


def batched(operands: Sequence[Term], axes: Sequence[int | None]) -> list[Term]:
    """Operands with their batch axis at 0; those without one are repeated along it."""
    count = batch_size(operands, axes)
    moved = []
    for operand, axis in zip(operands, axes, strict=True):
        if axis is None:
            shape = (count, *operand.shape)
            moved.append(operand.broadcast(shape, range(1, len(shape))))
        else:
            moved.append(operand.move_axis(axis, 0))
    return moved


def batch_size(operands: Sequence[Term], axes: Sequence[int | None]) -> Size:
    """The size of the batch axis, which all operands that have one share."""
    found = {x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None}
    if len(found) != 1:
        got = " and ".join(map(str, found)) or "no batch axis"
        raise ShapeError(message("batch axes", got=got, expected="one size"))
    return found.pop()


def element_count(term: Term) -> Size:
    """How many elements a term has."""
    return size_product(term.shape)
