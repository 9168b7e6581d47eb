"""What derivatives must not do: pass NaN from a branch not taken, make zeros, or cost too much."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from symc import UnsupportedError
from symc.autodiff.jvp import tangents
from symc.autodiff.vjp import gradient
from symc.compile.derive import pullback, pushforward
from symc.ir import ops, term
from symc.ir.core import Function, Value, reachable
from symc.ir.evaluate import evaluate
from symc.ir.ops.record import Tangents
from symc.ir.term import Term
from symc.ir.text import print_function
from symc.ir.types import F32, F64, I64, TensorType

Branch = Callable[[Term], Term]


def param(*shape: int, dtype: np.dtype = F64) -> Term:
    return Term(Value(TensorType(dtype, shape), name="x"))


def run(results: list[Value], inputs: dict[Value, np.ndarray]) -> list[np.ndarray]:
    nodes, _ = reachable(results)
    function = Function("run", tuple(inputs), tuple(nodes), tuple(results))
    return list(evaluate(function, list(inputs.values())))


def grad(cost: Term, x: Term) -> Term:
    one = term.full((), 1.0)
    (found,) = gradient([cost.value], [one.value], [x.value])
    assert found is not None
    return Term(found)


def counted(results: list[Value]) -> Counter[str]:
    return Counter(node.op.name for node in reachable(results)[0])


@contextmanager
def shallow(limit: int = 200) -> Iterator[None]:
    """A recursion limit that no walk over a large graph would survive."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


# --- a branch that was not taken

UNSAFE: dict[str, Branch] = {
    "log": lambda x: term.make(ops.LOG, x),
    "sqrt": lambda x: term.make(ops.SQRT, x),
    "reciprocal": lambda x: 1.0 / x,
    "power": lambda x: term.make(ops.POW, x, term.full(x.shape, 0.3)),
    "exp": lambda x: term.make(ops.EXP, 1000.0 - x),
    "log of sum": lambda x: term.make(ops.LOG, x * x - x),
    "quotient": lambda x: (x + 1.0) / (x * x),
    "gather": lambda x: term.take(
        term.make(ops.LOG, x), term.constant(np.array([3, 2, 1, 0])), 0, "raise"
    ),
    "view": lambda x: term.make(ops.LOG, x.reshape((2, 2))).permute((0, 1)).reshape((4,)),
    "reduction": lambda x: (x * (1.0 / x)).reshape((4, 1)).sum([1]),
}
HOLES = np.array([0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("branch", UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_branch_not_taken_passes_no_nan(branch: Branch, order: int) -> None:
    x = param(4)
    mask = x.ne(0.0)
    cost = term.where(mask, branch(x), x * 2.0).sum([0])
    for _ in range(order):
        derivative = grad(cost, x)
        cost = derivative.sum([0])
    (found,) = run([derivative.value], {x.value: HOLES})
    assert found.tolist() == [2.0 if order == 1 else 0.0] * 4


@pytest.mark.parametrize("branch", UNSAFE.values(), ids=UNSAFE.keys())
def test_forward_mode_over_reverse_mode_passes_no_nan(branch: Branch) -> None:
    x, along = param(4), param(4)
    cost = term.where(x.ne(0.0), branch(x), x * x).sum([0])
    (moved,) = tangents([grad(cost, x).value], [x.value], [along.value])
    assert moved is not None
    (found,) = run([moved], {x.value: HOLES, along.value: np.ones(4)})
    assert found.tolist() == [2.0] * 4


def test_a_loss_written_out_by_hand_has_a_stable_gradient() -> None:
    """-log(exp(z) / sum(exp(z))) at logits whose exponentials overflow or vanish."""
    z = param(2, 3)
    exponentials = term.make(ops.EXP, z)
    shares = exponentials / exponentials.sum([1]).broadcast(z.shape, [0])
    cost = -term.make(ops.LOG, shares).narrow(1, 0, 1).sum([0, 1])
    one = term.full((), 1.0)
    (pulled,) = pullback([cost.value], [one.value], [z.value])
    assert pulled is not None
    logits = np.array([[-800.0, 0.0, 1.0], [0.5, 0.25, -900.0]])
    (found,) = run([pulled], {z.value: logits})
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    expected = shifted / shifted.sum(1, keepdims=True) - np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-300)
    along = param(2, 3)
    (pushed,) = pushforward([cost.value], [z.value], [along.value])
    assert pushed is not None
    direction = np.ones((2, 3))
    (moved,) = run([pushed], {z.value: logits, along.value: direction})
    np.testing.assert_allclose(moved, (expected * direction).sum(), atol=1e-13)


def test_nothing_is_rewritten_behind_what_is_differentiated() -> None:
    """d log(u) / du at u = exp(x) is 1 / u, although log(exp(x)) alone would be x."""
    x = param(3)
    u = term.make(ops.EXP, x)
    cost = term.make(ops.LOG, u).sum([0])
    (pulled,) = pullback([cost.value], [term.full((), 1.0).value], [u.value])
    assert pulled is not None
    point = np.array([0.0, 1.0, 2.0])
    (found,) = run([pulled], {x.value: point})
    np.testing.assert_allclose(found, np.exp(-point), rtol=1e-14)
    power = term.make(ops.RESHAPE, term.full((3,), 2.0), shape=(3,))
    (pulled,) = pullback(
        [term.make(ops.POW, x, power).sum([0]).value], [term.full((), 1.0).value], [power.value]
    )
    assert pulled is not None


# --- what is not there costs nothing


def test_only_the_way_from_input_to_result_is_walked() -> None:
    x, other = param(4), param(4)
    beside = other
    for _ in range(50):
        beside = term.make(ops.TANH, beside)
    cost = (x * beside).sum([0])
    before = len(reachable([cost.value])[0])
    after = len(reachable([grad(cost, x).value, cost.value])[0])
    assert after - before <= 6
    (missing,) = gradient([beside.sum([0]).value], [term.full((), 1.0).value], [x.value])
    assert missing is None
    (still,) = tangents([beside.value], [x.value], [param(4).value])
    assert still is None


def test_integers_and_masks_carry_nothing() -> None:
    x, index = param(4), param(3, dtype=I64)
    rounded = x.cast(I64)
    cost = term.take(x, index, 0, "raise").sum([0]) + rounded.cast(F64).sum([0])
    assert counted([grad(cost, x).value])["scatter"] == 1
    (none,) = gradient([rounded.cast(F64).value], [x.value], [x.value])
    assert none is None
    (none,) = tangents([rounded.value], [x.value], [x.value])
    assert none is None


@pytest.mark.parametrize(
    ("build", "made"),
    [
        (lambda x, y: x + y, 0),
        (lambda x, y: y - x, 1),
        (lambda x, y: x - y, 0),
        (lambda x, y: x.reshape((2, 2)).reshape((4,)) + y, 2),
    ],
    ids=["add", "sub from", "sub", "views"],
)
def test_a_missing_tangent_is_no_array_of_zeros(
    build: Callable[[Term, Term], Term], made: int
) -> None:
    x, y, along = param(4), param(4), param(4)
    (pushed,) = tangents([build(x, y).value], [x.value], [along.value])
    assert pushed is not None
    nodes, free = reachable([pushed])
    assert len(nodes) == made
    assert free == [along.value]


def test_equal_graphs_have_equal_derivatives_in_every_process() -> None:
    """Sums of cotangents are taken in one order, whatever the hash seed."""
    texts = set()
    for _ in range(3):
        x = param(4, dtype=F32)
        parts = [term.make(op, x) for op in (ops.TANH, ops.SIN, ops.EXP, ops.SIGMOID)]
        cost = (parts[0] * parts[1] + parts[2] * parts[3] + x * x).sum([0])
        one = term.full((), 1.0, F32)
        (found,) = gradient([cost.value], [one.value], [x.value])
        assert found is not None
        nodes, _ = reachable([found])
        texts.add(print_function(Function("g", (x.value,), tuple(nodes), (found,))))
    assert len(texts) == 1


# --- long chains

CHAIN = (ops.TANH, ops.NEG, ops.SIN, ops.ABS, ops.SIGMOID)
ARITHMETIC: tuple[Branch, ...] = (lambda x: x * 1.5, lambda x: x + 0.5, lambda x: x - 0.25)


def chain(x: Term, length: int) -> Term:
    y = x
    for number in range(length):
        step = number % (len(CHAIN) + len(ARITHMETIC))
        y = term.make(CHAIN[step], y) if step < len(CHAIN) else ARITHMETIC[step - len(CHAIN)](y)
    return y


def test_a_chain_of_30_000_operations() -> None:
    """Differentiated without recursion, in a number of nodes proportional to its length."""
    counts = []
    with shallow():
        for length in (3_000, 30_000):
            x, along = param(2), param(2)
            y = chain(x, length)
            before = len(reachable([y.value])[0])
            (pulled,) = gradient([y.value], [along.value], [x.value])
            (pushed,) = tangents([y.value], [x.value], [along.value])
            assert pulled is not None
            assert pushed is not None
            counts.append(len(reachable([y.value, pulled, pushed])[0]) / before)
            del y, pulled, pushed
            gc.collect()
    assert counts[1] <= counts[0] * 1.01
    assert counts[1] <= 12


def test_a_ladder_of_shared_values_stays_linear() -> None:
    """x doubles 200 times: 2**200 paths, each node visited once."""
    x = param()
    y = x
    for _ in range(200):
        y = y + y
    pulled = grad(y, x)
    assert len(reachable([pulled.value])[0]) <= 2 * 200 + 2
    (found,) = run([pulled.value], {x.value: np.array(1.0)})
    assert found == 2.0**200


# --- refusals


def test_a_derivative_that_is_not_offered_names_the_line() -> None:
    """No op of the table refuses; one of another package may."""

    def refuse(t: Term, y: Term, operands: object, attrs: object) -> Term:
        raise UnsupportedError("not yet")

    refusing = replace(ops.EXP, derivative=Tangents((refuse,)))
    x = param(4)
    made = term.make(refusing, x)
    with pytest.raises(UnsupportedError, match=r"test_rules\.py:\d+"):
        tangents([made.value], [x.value], [param(4).value])
    with pytest.raises(UnsupportedError, match=r"test_rules\.py:\d+"):
        grad(made.sum([0]), x)


def test_derivatives_carry_the_line_of_what_they_derive() -> None:
    x = param(4)
    cost = term.make(ops.TANH, x).sum([0])
    lines = {location for node in reachable([cost.value])[0] for location in node.locations}
    tangent = next(place for place in lines if place.file == __file__)
    places = [node.locations[0] for node in reachable([grad(cost, x).value])[0]]
    assert places.count(tangent) >= len(places) - 2  # the seed has the line that asked for it
