"""`sc.jit` with nested arguments and results: what they give, and which run without Python."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import optree
import pytest

import symc as sc


class Pair(NamedTuple):
    w: Any
    b: Any


@dataclass
class Layer:
    w: Any
    b: Any
    name: str = "layer"


optree.register_pytree_node(
    Layer,
    lambda layer: ((layer.w, layer.b), layer.name),
    lambda name, parts: Layer(*parts, name),
    namespace="symc",
)

W, B = np.full((3, 2), 2.0), np.ones(2)
X = np.arange(3.0)

CONTAINERS = [
    lambda w, b: (w, b),
    lambda w, b: [w, b],
    lambda w, b: {"w": w, "b": b},
    lambda w, b: {2: w, 1: [b, None]},
    lambda w, b: Pair(w, {"deep": (b,)}),
    lambda w, b: OrderedDict(w=w, b=b),
    lambda w, b: defaultdict(list, w=w, b=b),
    lambda w, b: deque([w, b]),
    lambda w, b: Layer(w, b),
    lambda w, b: [Layer(w, Pair(b, ())), {}, None],
]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that Python looked at."""
    calls: list[Any] = []
    original = sc.Jit._read

    def counted(self: Any, args: Any, kwargs: Any) -> Any:
        calls.append(args)
        return original(self, args, kwargs)

    monkeypatch.setattr(sc.Jit, "_read", counted)
    return calls


def leaves(tree: Any) -> list[Any]:
    return optree.tree_leaves(tree, namespace="symc")


def doubled(tree: Any) -> Any:
    return optree.tree_map(lambda leaf: leaf * 2, tree, namespace="symc")


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_in_and_out(container: Callable[..., Any], read: list[Any]) -> None:
    f = sc.jit(lambda params, x: (doubled(params), sum(map(sc.sum, leaves(params))) + x))
    params = container(W, B)
    for _ in range(5):
        new, total = f(params, X)
        assert type(new) is type(params)
        assert optree.tree_structure(new, namespace="symc") == optree.tree_structure(
            params, namespace="symc"
        )
        assert repr(new) == repr(doubled(params))
        assert total.tolist() == (X + 14).tolist()
    assert len(read) == 1
    assert f.compiles == 1
    new, _ = f(f(params, X)[0], X)
    assert repr(new) == repr(doubled(doubled(params)))


def test_keywords_defaults_and_static_values(read: list[Any]) -> None:
    @sc.jit(static_argnames=("mode",))
    def f(params: Any, *, x: Any, mode: Any = "sum") -> Any:
        return {"r": params["w"] * x if mode == "mul" else params["w"] + x}

    for _ in range(3):
        assert f({"w": X}, x=X, mode="mul")["r"].tolist() == [0, 1, 4]
        assert f(x=X, params={"w": X})["r"].tolist() == [0, 2, 4]
        assert f({"w": X}, mode=("a", 1), x=X)["r"].tolist() == [0, 2, 4]
        assert f({"w": X}, x=2.0)["r"].tolist() == [2, 3, 4]
    assert len(read) == 4
    with pytest.raises(TypeError):
        f({"w": X}, mode="mul")


def test_a_method_with_its_instance_static(read: list[Any]) -> None:
    class Model:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        @sc.jit(static_argnums=0)
        def step(self, params: Any) -> Any:
            return [p * self.scale for p in params]

    two, three = Model(2.0), Model(3.0)
    for _ in range(3):
        assert two.step([X, B])[0].tolist() == [0, 2, 4]
        assert three.step([X, B])[0].tolist() == [0, 3, 6]
    assert len(read) == 2


def test_a_static_value_that_changes_is_traced_again() -> None:
    class Settings:
        rate = 2.0

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Settings) and self.rate == other.rate

        def __hash__(self) -> int:
            return hash(self.rate)

    f = sc.jit(lambda x, settings: x * settings.rate, static_argnums=1)
    settings = Settings()
    assert f(X, settings).tolist() == [0, 2, 4]
    settings.rate = 3.0
    assert f(X, settings).tolist() == [0, 3, 6]


def test_other_structures_are_other_programs(read: list[Any]) -> None:
    f = sc.jit(lambda tree: sum(i * sc.sum(leaf) for i, leaf in enumerate(leaves(tree), 1)))
    a, b = np.ones(2), np.full(2, 10.0)
    trees = [{"a": a, "b": b}, {"b": a, "a": b}, [a, b], (a, b), {"a": a, "c": b}, Pair(a, b)]
    for _ in range(2):
        found = [float(f(tree)) for tree in trees]
        assert found == [42, 24, 42, 42, 42, 42]
    assert len(read) == 5
    assert f.compiles == 5
    assert float(f({"a": [a], "b": b})) == 42
    assert float(f({"b": b, "a": a})) == 42
    assert f.compiles == 6


def test_results_whose_structure_depends_on_sizes(read: list[Any]) -> None:
    f = sc.jit(lambda t: [t["x"]] * t["x"].shape[0] if t["x"].shape[0] < 4 else t["x"])
    for _ in range(2):
        assert len(f({"x": np.ones(2)})) == 2
        assert len(f({"x": np.ones(3)})) == 3
        assert type(f({"x": np.ones(5)})) is np.ndarray


def test_what_needs_conversion_is_converted(read: list[Any]) -> None:
    f = sc.jit(lambda t: t["x"] + t["y"], in_specs=[{"x": "f64[n]", "y": "f64[n]"}])
    for given in (X.astype("f4"), X, [0.0, 1.0, 2.0][0] + X, np.ones((3, 2))[:, 0]):
        assert f({"x": given, "y": X}).tolist() == (given + X).tolist()
    g = sc.jit(lambda t: t[0] * 2)
    assert g((np.ones((3, 3)).T,)).tolist() == [[2] * 3] * 3
    assert g((3,)) == 6
    assert g((True,)) == 2
    with pytest.raises(sc.DTypeError):
        g(("text",))


def test_donated_parameters_come_back(read: list[Any]) -> None:
    @sc.jit(donate_argnums=(0,))
    def step(params: Any, x: Any) -> Any:
        return {"w": params["w"] - x, "b": [params["b"][0] * 2]}

    params = {"w": np.ones(3), "b": [np.ones(2)]}
    step(params, X)
    params = {"w": np.ones(3), "b": [np.ones(2)]}
    w, b = params["w"], params["b"][0]
    new = step(params, X)
    assert new["w"] is w
    assert new["b"][0] is b
    assert w.tolist() == [1, 0, -1]
    with pytest.raises(sc.DomainError, match="donated"):
        step({"w": np.broadcast_to(1.0, 3), "b": [b]}, X)
    both = np.ones(3)
    g = sc.jit(lambda t: [t[0] + 1, t[1] + 1], donate_argnums=0)
    g([np.ones(3), np.ones(3)])
    with pytest.raises(ValueError, match="shares memory"):
        g([both, both])


def test_prepared_and_repeated_calls_of_trees() -> None:
    f = sc.jit(lambda params, x: {"r": params["w"] * x, "s": [x + 1]})
    x = X.copy()
    call = f.bind({"w": X}, x)
    assert call()["r"].tolist() == [0, 1, 4]
    x += 1
    assert call()["r"].tolist() == [0, 2, 6]
    assert f.call_n(3, {"w": X}, x)["s"][0].tolist() == [2, 3, 4]
    assert f.call_n(2, {"w": X.astype("f4")}, x.astype("f4"))["s"][0].tolist() == [2, 3, 4]
    out = {"r": np.zeros(3), "s": [np.zeros(3)]}
    assert f.bind({"w": X}, x, out=out)() is out
    assert out["r"].tolist() == [0, 2, 6]
    with pytest.raises(sc.DomainError, match=r"expected(.|\n)*test_jit_trees.py"):
        f.bind({"w": X}, x, out=[np.zeros(3), np.zeros(3)])
    with pytest.raises(sc.ShapeError, match="result 1"):
        f.bind({"w": X}, x, out={"r": np.zeros(3), "s": [np.zeros(4)]})


def test_deep_nesting(read: list[Any]) -> None:
    def nested(depth: int, leaf: Any) -> Any:
        for _ in range(depth):
            leaf = [leaf]
        return leaf

    f = sc.jit(lambda tree: optree.tree_map(lambda x: x + 1, tree))
    for depth in (1, 50, 400):
        for _ in range(2):
            got = f(nested(depth, X))
        for _ in range(depth):
            (got,) = got
        assert got.tolist() == [1, 2, 3]
