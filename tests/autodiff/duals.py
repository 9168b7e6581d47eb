"""Derivatives without symc's rules: the oracle on numbers with infinitesimal parts.

A `Dual` has a part for each subset of infinitesimals e1, e2, ... whose squares are 0: moving inputs
along u e1 + v e2 puts J u in part {1}, J v in part {2}, and the second derivative along u and v in
part {1, 2} of the results.  Elementwise functions have their Taylor coefficients here, written from
their definitions; linear operations are evaluated on each part; products obey Leibniz' rule.
Nothing of `symc.autodiff`, and no rule of an op record, is read.

Conventions at kinks are those of docs/subgradients.md: ties share equally.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from symc.ir import ops
from symc.ir.core import Function, Node
from symc.ir.evaluate import bind
from symc.ir.ops.record import EvaluateContext, Op
from symc.ir.types import is_float

Array = np.ndarray
Dual = list[Array]  # part number is the bit mask of its infinitesimals; one part: it does not move


def value(x: Dual) -> Array:
    return x[0]


def mul(x: Dual, y: Dual) -> Dual:
    """Leibniz' rule: each part of a product pairs the parts whose infinitesimals it joins."""
    return pair(x, y, np.multiply)


def pair(x: Dual, y: Dual, product: Callable[[Array, Array], Array]) -> Dual:
    if len(x) == 1 or len(y) == 1:
        return [product(a, b) for a in x for b in y]
    parts = []
    for mask in range(len(x)):
        subsets = [s for s in range(mask + 1) if s & mask == s]
        parts.append(reduce(np.add, (product(x[s], y[mask ^ s]) for s in subsets)))
    return parts


def apart(f: Callable[..., Array], *xs: Dual) -> Dual:
    """A linear function of all operands together, on each part."""
    count = max(map(len, xs))
    if count == 1:
        return [f(*map(value, xs))]
    whole = [x if len(x) == count else x + [np.zeros_like(x[0])] * (count - 1) for x in xs]
    return [f(*(x[mask] for x in whole)) for mask in range(count)]


def taylor(x: Dual, derivatives: Sequence[Array]) -> Dual:
    """f(x) from f, f', f'', ... at the value of x: the sum of f(m) n**m / m! for n = x - x[0]."""
    moving = [np.zeros_like(x[0]), *x[1:]]
    total = [derivatives[0], *(np.zeros_like(x[0]) for _ in x[1:])]
    power = [np.ones_like(x[0]), *(np.zeros_like(x[0]) for _ in x[1:])]
    for order in range(1, len(x).bit_length()):
        power = mul(power, moving)
        factor = derivatives[order] / math.factorial(order)
        total = [t + factor * p for t, p in zip(total, power, strict=True)]
    return total


# --- derivatives of elementary functions, up to the third, from their definitions


def _tanh(x: Array) -> list[Array]:
    y = np.tanh(x)
    d = 1 / np.cosh(x) ** 2
    return [y, d, -2 * y * d, -2 * d * d + 4 * y * y * d]


def _sigmoid(x: Array) -> list[Array]:
    y, z = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    d = y * z
    return [y, d, d * (z - y), d * (1 - 6 * d)]


def _log(x: Array) -> list[Array]:
    return [np.log(x), 1 / x, -1 / x**2, 2 / x**3]


def _based_log(base: float) -> Callable[[Array], list[Array]]:
    return lambda x: [d / math.log(base) for d in _log(x)]


def _shifted_log(x: Array) -> list[Array]:
    return [np.log1p(x), *_log(1 + x)[1:]]


def _sqrt(x: Array) -> list[Array]:
    return [x**0.5, 0.5 * x**-0.5, -0.25 * x**-1.5, 0.375 * x**-2.5]


def _reciprocal(x: Array) -> list[Array]:
    return [1 / x, -1 / x**2, 2 / x**3, -6 / x**4]


def _exp(x: Array) -> list[Array]:
    return [np.exp(x)] * 4


def _exp2(x: Array) -> list[Array]:
    return [math.log(2) ** order * 2.0**x for order in range(4)]


FUNCTIONS: dict[Op, Callable[[Array], list[Array]]] = {
    ops.ABS: lambda x: [np.abs(x), np.sign(x), 0 * x, 0 * x],
    ops.EXP: _exp,
    ops.EXP2: _exp2,
    ops.EXPM1: lambda x: [np.expm1(x), *_exp(x)[1:]],
    ops.LOG: _log,
    ops.LOG1P: _shifted_log,
    ops.LOG2: _based_log(2),
    ops.LOG10: _based_log(10),
    ops.RELU: lambda x: [np.maximum(x, 0), 1.0 * (x > 0), 0 * x, 0 * x],
    ops.SIGMOID: _sigmoid,
    ops.SOFTPLUS: lambda x: [np.logaddexp(0, x), *_sigmoid(x)[:3]],
    ops.SQRT: _sqrt,
    ops.SIN: lambda x: [np.sin(x), np.cos(x), -np.sin(x), -np.cos(x)],
    ops.COS: lambda x: [np.cos(x), -np.sin(x), -np.cos(x), np.sin(x)],
    ops.TANH: _tanh,
}


def power(x: Dual, y: Dual) -> Dual:
    """x**y: by falling factorials for an exponent that cannot move, else exp(y log x)."""
    if len(y) == 1:
        return falling(x, y[0])
    log = taylor(x, _log(x[0])) if len(x) > 1 else [np.log(x[0])]
    exponent = mul(y, log)
    return taylor(exponent, _exp(exponent[0]))


def falling(x: Dual, y: Array) -> Dual:
    if len(x) == 1:
        return [x[0] ** y]
    derivatives, factor = [], np.ones_like(y)
    for order in range(4):
        derivatives.append(np.where(factor == 0, 0.0, factor * x[0] ** (y - order)))
        factor = factor * (y - order)
    return taylor(x, derivatives)


def quotient(x: Dual, y: Dual) -> Dual:
    return mul(x, taylor(y, _reciprocal(y[0])) if len(y) > 1 else [1 / y[0]])


def remainder(x: Dual, y: Dual) -> Dual:
    whole = np.floor_divide(x[0], y[0])
    return apart(lambda a, b: a - whole * b, x, y)


def extreme(x: Dual, y: Dual, beats: Callable[[Array, Array], Array]) -> Dual:
    left, right = beats(x[0], y[0]), beats(y[0], x[0])
    return apart(lambda a, b: np.where(left, a, np.where(right, b, (a + b) / 2)), x, y)


def select(mask: Dual, x: Dual, y: Dual) -> Dual:
    return apart(lambda a, b: np.where(mask[0], a, b), x, y)


BINARY: dict[Op, Callable[..., Dual]] = {
    ops.MUL: mul,
    ops.SCALE: mul,
    ops.DIV: quotient,
    ops.MOD: remainder,
    ops.POW: power,
    ops.MAXIMUM: lambda x, y: extreme(x, y, np.greater),
    ops.MINIMUM: lambda x, y: extreme(x, y, np.less),
    ops.FMA: lambda x, y, z: apart(np.add, mul(x, y), z),
    ops.WHERE: select,
}


# --- reductions and folds, element by element


def reduced(x: Dual, axes: Sequence[int], fold: Callable[[list[Dual]], Dual]) -> Dual:
    """`fold` over the elements along `axes`, for each element of the others."""
    kept = [axis for axis in range(x[0].ndim) if axis not in axes]
    shape = [x[0].shape[axis] for axis in kept]
    count = math.prod(x[0].shape[axis] for axis in axes)
    flat = [p.transpose([*kept, *axes]).reshape((*shape, count)) for p in x]
    return fold([[p[..., j] for p in flat] for j in range(flat[0].shape[-1])])


def product(parts: list[Dual]) -> Dual:
    return reduce(mul, parts)


def shared(parts: list[Dual]) -> Dual:
    """All that equal the first part's extreme, averaged; the extreme is given last."""
    *elements, found = parts
    chosen = [np.equal(x[0], found[0]) for x in elements]
    count = sum(c.astype(float) for c in chosen)
    total = apart(
        lambda *xs: sum(np.where(c, x, 0.0) for c, x in zip(chosen, xs, strict=True)) / count,
        *elements,
    )
    return [found[0], *total[1:]]


def folded(x: Dual, index: Array, v: Dual, node: Node) -> Dual:
    """A scatter that combines by product or extreme, one write after the other."""
    axis, mode = int(node.attrs["axis"]), node.attrs["mode"]  # type: ignore[arg-type]
    along = node.op is ops.SCATTER_FOLD_ALONG
    writers: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for at in np.ndindex(v[0].shape):
        number = at if along else at[axis : axis + index.ndim]
        row = place(int(index[number]), x[0].shape[axis], str(mode))
        if row is not None:
            rest = at[axis + 1 :] if along else at[axis + index.ndim :]
            writers.setdefault((*at[:axis], row, *rest), []).append(at)
    result = [np.array(p) for p in moving(x, len(v))]
    source = moving(v, len(x))
    for target, sources in writers.items():
        elements = [
            [p[target] for p in moving(x, len(v))],
            *([p[s] for p in source] for s in sources),
        ]
        made = product(elements) if node.attrs["combine"] == "mul" else best(elements, node)
        for part, number in zip(result, made, strict=True):
            part[target] = number
    return result


def best(elements: list[Dual], node: Node) -> Dual:
    pick = np.max if node.attrs["combine"] == "max" else np.min
    return shared([*elements, [pick([e[0] for e in elements])]])


def moving(x: Dual, count: int) -> Dual:
    """`x` with as many parts as `count`, if it has one."""
    return x if len(x) > 1 else x + [np.zeros_like(x[0])] * (count - 1)


def place(i: int, size: int, mode: str) -> int | None:
    """Where index i of an axis leads, or nowhere."""
    if mode == "wrap" and size:
        return i % size
    if mode == "clip" and size:
        return min(max(i, 0), size - 1)
    if mode == "raise":
        return i + size if i < 0 else i
    return i if 0 <= i < size else None


# --- functions


class Machine:
    """One evaluation of a function on duals."""

    def __init__(self, function: Function, arrays: Sequence[Array]) -> None:
        self.context = EvaluateContext(bind(function, arrays), "chain", lambda f, a: ())

    def plain(self, node: Node, operands: Sequence[Array]) -> Array:
        return node.op.evaluate(self.context, operands, node)[0]

    def step(self, node: Node, operands: Sequence[Dual]) -> Dual:
        """The result of one node."""
        (result,) = node.results
        found = self.plain(node, [x[0] for x in operands])
        if (
            not is_float(result.type.dtype)
            or node.op in STILL
            or not any(len(x) > 1 for x in operands)
        ):
            return [found]
        parts = self.parts(node, operands, found)
        return [found, *(np.asarray(p, result.type.dtype) for p in parts[1:])]

    def parts(self, node: Node, operands: Sequence[Dual], found: Array) -> Dual:
        op = node.op
        if op in FUNCTIONS:
            return taylor(operands[0], FUNCTIONS[op](operands[0][0]))
        if op in BINARY:
            return BINARY[op](*operands)
        if op is ops.DOT:
            return pair(*operands, lambda a, b: self.plain(node, [a, b]))
        if op is ops.PROD:
            return self.product(node, operands[0])
        if op in {ops.MAX, ops.MIN}:
            axes = node.attrs["axes"]
            return reduced(operands[0], axes, lambda xs: shared([*xs, [found]]))  # type: ignore[arg-type]
        if op in {ops.SCATTER_FOLD, ops.SCATTER_FOLD_ALONG}:
            return folded(operands[0], operands[1][0], operands[2], node)
        assert op in LINEAR, op
        return self.linear(node, operands)

    def product(self, node: Node, x: Dual) -> Dual:
        axes = node.attrs["axes"]
        if any(x[0].shape[axis] == 0 for axis in axes):  # type: ignore[union-attr]
            one = self.plain(node, [x[0]])
            return [one, *(np.zeros_like(one) for _ in x[1:])]
        return reduced(x, axes, product)  # type: ignore[arg-type]

    def linear(self, node: Node, operands: Sequence[Dual]) -> Dual:
        """Each part of the float operands, with the same integers beside them."""
        moved = [i for i, x in enumerate(operands) if is_float(x[0].dtype)]

        def on(*parts: Array) -> Array:
            whole = [x[0] for x in operands]
            for i, part in zip(moved, parts, strict=True):
                whole[i] = part
            return self.plain(node, whole)

        return apart(on, *(operands[i] for i in moved))


LINEAR = frozenset({
    ops.BARRIER, ops.NEG, ops.ADD, ops.SUB, ops.CAST, ops.BROADCAST, ops.RESHAPE, ops.PERMUTE,
    ops.SLICE, ops.CONCAT, ops.SET_SLICE, ops.SUM, ops.TAKE, ops.TAKE_ALONG, ops.SCATTER,
    ops.SCATTER_ALONG,
})  # fmt: skip
STILL = frozenset({
    ops.SIGN, ops.FLOOR, ops.CEIL, ops.RINT, ops.TRUNC, ops.FLOORDIV, ops.STOP_GRADIENT,
})  # fmt: skip


def duals(function: Function, inputs: Sequence[Dual]) -> list[Dual]:
    """Results of a function of single-result nodes on duals, all with the same infinitesimals."""
    machine = Machine(function, [x[0] for x in inputs])
    values = dict(zip(function.params, inputs, strict=True))
    with np.errstate(all="ignore"):
        for node in function.nodes:
            (result,) = node.results
            values[result] = machine.step(node, [values[x] for x in node.operands])
    return [values[result] for result in function.results]
