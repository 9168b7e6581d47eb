"""Laws of the derivatives of every op of the table, for both float dtypes and to third order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from autodiff.duals import duals
from ir.op_cases import Case, built, cases, closed, draw, floats
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Node, Value
from symc.ir.dims import symbol
from symc.ir.evaluate import bind, evaluate
from symc.ir.ops.record import EvaluateContext, Op
from symc.ir.term import Term
from symc.ir.types import F32, F64, I64, TensorType, is_float


def with_floats(case: Case, dtype: np.dtype) -> Case:
    types = tuple(t.with_dtype(dtype) if is_float(t.dtype) else t for t in case.types)
    return Case(case.op, types, {k: dtype if k == "dtype" else v for k, v in case.attrs.items()})


def distinct(found: Sequence[Case]) -> list[Case]:
    return list({str(case): case for case in found}.values())


CASES = distinct([with_floats(case, F64) for case in cases() if floats(case)])


def by_hand(op: Op, *types: TensorType, **attrs: object) -> Case:
    return Case(op, types, attrs)  # type: ignore[arg-type]


N, P = symbol("n"), symbol("p")
SYMBOLIC = [
    (by_hand(ops.PROD, TensorType(F64, (N,)), axes=(0,)), 1),
    (by_hand(ops.PROD, TensorType(F64, (P, 2, N)), axes=(0, 2)), 2),
    (by_hand(ops.PROD, TensorType(F64, (2, N)), axes=(1,)), 3),
    (by_hand(ops.PROD, TensorType(F64, (2, N)), axes=(1,)), 5),
]


class Moved:
    """An op's operands, arrays for them, and three directions."""

    def __init__(self, case: Case, arrays: Sequence[np.ndarray], rng: np.random.Generator) -> None:
        self.case, self.arrays = case, list(arrays)
        self.params = [Value(type) for type in case.types]
        self.numbers = floats(case)
        self.wrt = [self.params[i] for i in self.numbers]
        self.along = [[Value(x.type) for x in self.wrt] for _ in range(3)]
        self.directions = [
            [np.asarray(rng.normal(size=arrays[i].shape)) for i in self.numbers] for _ in range(3)
        ]
        self.y = Term(apply(case.op, self.params, case.attrs).results[0])
        self.z = (self.y * self.y * self.y + self.y).value
        self.w = Value(self.z.type)

    def run(self, wanted: Sequence[Value | None], weight: np.ndarray) -> list[np.ndarray]:
        """Values of derivatives; 0 for one that is None."""
        made = [x for x in wanted if x is not None]
        inputs = [*self.params, *(x for group in self.along for x in group), self.w]
        data = [*self.arrays, *(x for group in self.directions for x in group), weight]
        found = iter(evaluate(closed(inputs, made), data, "chain"))
        return [np.zeros(()) if x is None else next(found) for x in wanted]

    def duals(self) -> list[np.ndarray]:
        """The 8 parts of z along the three directions."""
        u, v, w = self.directions
        inputs = []
        for i, array in enumerate(self.arrays):
            if i not in self.numbers:
                inputs.append([array])
                continue
            k = self.numbers.index(i)
            none = np.zeros_like(array)
            inputs.append([array, u[k], v[k], none, w[k], none, none, none])
        (found,) = duals(closed(self.params, [self.z]), inputs)
        return found

    def forward(self, orders: int) -> list[Value | None]:
        """Tangents along 1, along 1 and 2, along all three."""
        found: list[Value | None] = []
        last: Value | None = self.z
        for along in self.along[:orders]:
            last = tangents([last], self.wrt, along)[0] if last is not None else None
            found.append(last)
        return found

    def reverse(self, last: Value | None) -> list[Value | None]:
        return gradient([last], [self.w], self.wrt) if last is not None else [None] * len(self.wrt)

    def only_reverse(self, orders: int) -> list[list[Value | None]]:
        """Gradients of gradients of gradients, each paired with the next direction."""
        found = [self.reverse(self.z)]
        for along in self.along[: orders - 1]:
            pairs = [(g, u) for g, u in zip(found[-1], along, strict=True) if g is not None]
            results, seeds = [g for g, _ in pairs], [u for _, u in pairs]
            found.append(gradient(results, seeds, self.wrt))
        return found


def dot(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> tuple[float, float]:
    """An inner product, and the sum of the magnitudes of what it adds."""
    terms = [np.asarray(a * b) for a, b in zip(left, right, strict=True)]
    return sum(float(x.sum()) for x in terms), sum(float(np.abs(x).sum()) for x in terms)


def agree(m: Moved, rng: np.random.Generator, orders: int = 3) -> None:
    """Orders 1 to `orders` in all modes against duals."""
    tolerance = 1e-11
    parts = m.duals()
    weight = np.asarray(rng.normal(size=parts[0].shape))
    pushed = m.forward(orders)
    wanted = [parts[1], parts[3], parts[7]][:orders]
    for got, part in zip(m.run(pushed, weight), wanted, strict=True):
        size = 1 + float(np.max(np.abs(part), initial=0))
        assert np.all(np.abs(got - part) <= tolerance * size), (got, part)
    mixed = [m.reverse(last) for last in (m.z, *pushed[:-1])]
    for pulled in (mixed, m.only_reverse(orders)):
        for order, cotangents in enumerate(pulled):
            got, size = dot(m.run(cotangents, weight), m.directions[order])
            expected, other = dot([weight], [wanted[order]])
            assert abs(got - expected) <= tolerance * (1 + size + other), (order, got, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_orders_in_both_modes(case: Case, rng: np.random.Generator) -> None:
    folds = case.attrs.get("combine") == "mul"  # below, their third derivatives: large graphs
    agree(Moved(case, draw(case, rng), rng), rng, 2 if folds else 3)


@pytest.mark.parametrize(("case", "zeros"), SYMBOLIC, ids=str)
def test_products_over_sizes_not_known(case: Case, zeros: int, rng: np.random.Generator) -> None:
    """Exact with zeros among the factors: no quotient of zeros is taken."""
    shape = [{"n": 5, "p": 2}[str(s)] if not isinstance(s, int) else s for s in case.types[0].shape]
    x = rng.uniform(0.5, 1.5, shape)
    x[..., :zeros] = 0
    agree(Moved(case, [x], rng), rng)


FOLDS = [
    (by_hand(op, TensorType(F64, (3,)), TensorType(I64, (7,)), TensorType(F64, (7,)),
             axis=0, mode=mode, combine=combine), zeros)
    for op in (ops.SCATTER_FOLD, ops.SCATTER_FOLD_ALONG)
    for mode, zeros in (("clip", 0), ("wrap", 1), ("fill", 2), ("fill", 3))
    for combine in ("mul", "max", "min")
]  # fmt: skip


@pytest.mark.parametrize(("case", "zeros"), FOLDS, ids=str)
def test_folds_with_repeated_indices_zeros_and_ties(
    case: Case, zeros: int, rng: np.random.Generator
) -> None:
    x, v = rng.integers(1, 3, 3) * 1.0, rng.integers(1, 3, 7) * 1.0
    index = np.array([0, 0, 0, 1, -1, 7, 1])
    v[:zeros] = 0
    folds = case.attrs["combine"] == "mul"
    agree(Moved(case, [x, index, v], rng), rng, 3 if not folds or zeros == 3 else 2)
    x[0] = 0
    agree(Moved(case, [x, index, v], rng), rng, 2)


# --- first order, by itself


def seeds(case: Case, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    arrays = draw(case, rng)
    return arrays, np.asarray(rng.normal(size=evaluate(built(case), arrays)[0].shape))


def first_order(case: Case) -> tuple[list[Value], Value, list[Value], Value, list[Value | None]]:
    """Params with directions and a weight, the tangent, and the cotangents."""
    params = [Value(type) for type in case.types]
    wrt = [params[i] for i in floats(case)]
    along = [Value(x.type) for x in wrt]
    y = apply(case.op, params, case.attrs).results[0]
    w = Value(y.type)
    (pushed,) = tangents([y], wrt, along)
    assert pushed is not None
    return [*params, *along, w], pushed, wrt, w, gradient([y], [w], wrt)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reverse_mode_is_the_transpose_of_forward_mode(
    case: Case, rng: np.random.Generator
) -> None:
    """<w, J v> = <J^T w, v> to 1e-12 of what is added up."""
    arrays, weight = seeds(case, rng)
    inputs, pushed, _, _, pulled = first_order(case)
    directions = [np.asarray(rng.normal(size=arrays[i].shape)) for i in floats(case)]
    data = [*arrays, *directions, weight]
    made = [x for x in pulled if x is not None]
    tangent, *cotangents = evaluate(closed(inputs, [pushed, *made]), data, "chain")
    moved = [d for d, x in zip(directions, pulled, strict=True) if x is not None]
    left, size = dot([weight], [tangent])
    right, other = dot(cotangents, moved)
    assert abs(left - right) <= 1e-12 * (size + other)


SINGLE = [with_floats(case, F32) for case in CASES]


@pytest.mark.parametrize("case", SINGLE, ids=str)
def test_single_precision_rules_are_those_of_double_precision(
    case: Case, rng: np.random.Generator
) -> None:
    arrays, weight = seeds(case, rng)
    weight = weight.astype(F32)
    directions = [rng.normal(size=arrays[i].shape).astype(F32) for i in floats(case)]
    found = []
    for dtype in (F32, F64):
        inputs, pushed, _, _, pulled = first_order(with_floats(case, dtype))
        data = [x.astype(dtype) if is_float(x.dtype) else x for x in (*arrays, *directions, weight)]
        made = [x for x in pulled if x is not None]
        found.append(evaluate(closed(inputs, [pushed, *made]), data, "chain"))
    for single, double in zip(*found, strict=True):
        assert single.dtype == F32
        size = 1 + np.max(np.abs(double), initial=0)
        assert np.all(np.abs(single - double) <= 64 * np.finfo(F32).eps * size)


# --- complex step


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


COMPLEX: dict[Op, Callable[..., np.ndarray]] = {
    ops.ADD: np.add,
    ops.COS: np.cos,
    ops.DIV: np.divide,
    ops.EXP: np.exp,
    ops.EXP2: np.exp2,
    ops.EXPM1: np.expm1,
    ops.FMA: lambda x, y, z: x * y + z,
    ops.LOG: np.log,
    ops.LOG1P: np.log1p,
    ops.LOG2: np.log2,
    ops.LOG10: np.log10,
    ops.MUL: np.multiply,
    ops.NEG: np.negative,
    ops.POW: np.power,
    ops.SCALE: np.multiply,
    ops.SIGMOID: _sigmoid,
    ops.SIN: np.sin,
    ops.SOFTPLUS: lambda x: np.log1p(np.exp(x)),
    ops.SQRT: np.sqrt,
    ops.SUB: np.subtract,
    ops.TANH: np.tanh,
}
STRUCTURAL = {
    ops.BARRIER, ops.BROADCAST, ops.CONCAT, ops.DOT, ops.PERMUTE, ops.RESHAPE, ops.SET_SLICE,
    ops.SLICE, ops.SUM, ops.TAKE, ops.TAKE_ALONG, ops.SCATTER, ops.SCATTER_ALONG,
}  # fmt: skip
ANALYTIC = [case for case in CASES if case.op in COMPLEX or case.op in STRUCTURAL]
STEP = 1e-100


def in_complex(case: Case, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The op on complex numbers: NumPy's function, or the oracle, which moves and adds them."""
    if case.op in COMPLEX:
        return COMPLEX[case.op](*arrays)
    real = [np.asarray(x.real, t.dtype) for x, t in zip(arrays, case.types, strict=True)]
    context = EvaluateContext(bind(built(case), real), "any", lambda f, a: ())
    return case.op.evaluate(context, arrays, node)[0]


@pytest.mark.parametrize("case", ANALYTIC, ids=str)
def test_complex_step(case: Case, rng: np.random.Generator) -> None:
    """f(x + i h v) = f(x) + i h J v for a step too small to be seen in f(x)."""
    arrays, weight = seeds(case, rng)
    inputs, pushed, _, _, _ = first_order(case)
    directions = [np.asarray(rng.normal(size=arrays[i].shape)) for i in floats(case)]
    (got,) = evaluate(closed(inputs, [pushed]), [*arrays, *directions, weight], "chain")
    moved = list(arrays)
    for i, direction in zip(floats(case), directions, strict=True):
        moved[i] = arrays[i] + 1j * STEP * direction
    expected = in_complex(case, built(case).nodes[0], moved).imag / STEP
    size = np.max(np.abs(expected), initial=1e-300)
    assert np.all(np.abs(got - expected) <= 1e-13 * size), (got, expected)


def test_what_complex_step_leaves_out_is_not_analytic() -> None:
    left = {case.op for case in CASES} - set(COMPLEX) - STRUCTURAL
    assert left == {
        ops.ABS, ops.CAST, ops.MAX, ops.MAXIMUM, ops.MIN, ops.MINIMUM, ops.MOD, ops.PROD, ops.RELU,
        ops.SCATTER_FOLD, ops.SCATTER_FOLD_ALONG, ops.WHERE,
    }  # fmt: skip


MIXED = [case for case in cases() if floats(case) and is_float(built(case).results[0].type.dtype)]


@pytest.mark.parametrize("case", MIXED, ids=str)
def test_cotangents_have_the_types_of_operands(case: Case) -> None:
    """Of casts, too, whose operand and result differ."""
    _, pushed, wrt, w, pulled = first_order(case)
    assert pushed.type == w.type
    assert [ct.type for ct in pulled if ct is not None] == [
        x.type for x, ct in zip(wrt, pulled, strict=True) if ct is not None
    ]


# --- linear maps


def small_integers(case: Case, rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs of which all sums of products are exact."""
    drawn = zip(draw(case, rng), case.types, strict=True)
    return [rng.integers(-4, 5, x.shape) * 1.0 if is_float(t.dtype) else x for x, t in drawn]


LINEAR = [case for case in CASES if case.op.linear]


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_transposing_twice_gives_the_map(case: Case, rng: np.random.Generator) -> None:
    """Bit for bit, and the transpose of a sum is the sum of the transposes."""
    inputs, pushed, wrt, w, pulled = first_order(case)
    along = inputs[len(case.types) : len(case.types) + len(wrt)]
    kept = [(ct, u) for ct, u in zip(pulled, along, strict=True) if ct is not None]
    (back,) = gradient([ct for ct, _ in kept], [u for _, u in kept], [w])
    assert back is not None
    cotangents = [ct for ct, _ in kept]
    function = closed(inputs, [pushed, back, *cotangents])
    arrays = small_integers(case, rng)
    shape = evaluate(built(case), arrays)[0].shape
    weights = [rng.integers(-4, 5, shape) * 1.0 for _ in range(2)]
    directions = [rng.integers(-4, 5, x.type.shape) * 1.0 for x in wrt]
    found = [
        evaluate(function, [*arrays, *directions, weight])
        for weight in (*weights, weights[0] + weights[1])
    ]
    np.testing.assert_array_equal(found[0][0], found[0][1])
    for first, second, both in zip(*(parts[2:] for parts in found), strict=True):
        np.testing.assert_array_equal(first + second, both)
