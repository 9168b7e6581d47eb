"""Copies and pickles of compiled functions, shared variables and symbolic values."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symc as sc

X = np.arange(3.0)


def through(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


@sc.jit
def doubled(tree: Any) -> Any:
    return {"r": tree["x"] * 2}


def plain(x: Any) -> Any:
    return x + 1


tripled = sc.jit(plain, donate_argnums=0)


class Model:
    @sc.jit(static_argnums=0)
    def step(self, x: Any) -> Any:
        return x * 3


def counter() -> tuple[Any, Any]:
    x, w = sc.var("x", "f64[n]"), sc.shared(np.ones(3), name="w")
    table = np.linspace(0, 1, 30)
    made = sc.function(
        [x], [x + w, sc.sum(x) + table], updates={w: w * 2}, name="count up", opt=2, threads=1
    )
    return made, w


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_function_and_its_state_come_back_together(protocol: int) -> None:
    f, w = counter()
    f(X)
    g, v = through((f, w), protocol)
    assert v is not w
    assert v.name == "w"
    np.testing.assert_array_equal(v.get(), [2, 2, 2])
    for a, b in zip(g(X), f(X), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(v.get(), [4, 4, 4])
    g(X)
    np.testing.assert_array_equal(v.get(), [8, 8, 8])
    np.testing.assert_array_equal(w.get(), [4, 4, 4])
    assert repr(g) == repr(f)
    assert g.ir() == f.ir()
    assert g.current.options == f.current.options


def test_forms_of_results_names_and_trust() -> None:
    x, y = sc.var("x", "f64[n]"), sc.var("y", "f64[n]")
    w = sc.shared(np.zeros(3))
    single = through(sc.function([x], x * 2, trust_input=True))
    assert single(X).tolist() == [0, 2, 4]
    with pytest.raises(sc.ShapeError, match="trust_input"):
        single([1.0])
    single.trust_input = False
    assert through(single)([1.0]).tolist() == [2]
    assert through(sc.function([x], [x * 2]))(X)[0].tolist() == [0, 2, 4]
    nothing, v = through((sc.function([x], updates={w: x}), w))
    assert nothing(X) is None
    assert v.get().tolist() == [0, 1, 2]
    named = through(sc.function([x, y], x - y))
    assert named(y=X, x=X + 1).tolist() == [1, 1, 1]
    with pytest.raises(sc.ShapeError):
        named(X, np.ones(2))


def test_constraints_and_errors_keep_their_lines() -> None:
    x = sc.var("x", "f64[n]")
    f = sc.function([x], sc.reshape(x, (-1, 4)))
    for g in (f, through(f)):
        assert g(np.ones(8)).shape == (2, 4)
        with pytest.raises(sc.ShapeError, match=r"test_pickling\.py"):
            g(np.ones(10))


def test_scalars_take_what_they_took() -> None:
    x, i = sc.var("x", "f32"), sc.var("i", "i64")
    f = through(sc.function([x, i], x * i))
    assert f(2, 3) == 6
    assert f(2.5, True) == 2.5
    with pytest.raises(TypeError):
        f(1.0, 2.5)


def test_copies_of_functions_and_state() -> None:
    f, w = counter()
    same, apart = copy.copy(f), copy.deepcopy(f)
    f(X)
    np.testing.assert_array_equal(same(X)[0], X + 2)
    np.testing.assert_array_equal(apart(X)[0], X + 1)
    np.testing.assert_array_equal(w.get(), [4, 4, 4])
    for twin in (copy.copy(w), copy.deepcopy(w), through(w)):
        assert type(twin) is sc.Shared
        assert twin.name == "w"
        twin.set(np.zeros(3))
        np.testing.assert_array_equal(w.get(), [4, 4, 4])
        g = sc.function([], twin + w)
        np.testing.assert_array_equal(g(), [4, 4, 4])
    model = {"w": w, "f": f}
    other = copy.deepcopy(model)
    other["f"](X)
    np.testing.assert_array_equal(other["w"].get(), [8, 8, 8])
    np.testing.assert_array_equal(w.get(), [4, 4, 4])


def test_copies_of_symbolic_values() -> None:
    x = sc.var("x", "f64[n]")
    assert copy.copy(x) is x
    assert copy.deepcopy([x])[0] is x
    y = x
    for _ in range(5000):
        y = y + 1
    for twin in (copy.copy(y), copy.deepcopy(y)):
        old = y
        twin += 1
        assert y is old
        a, b = sc.function([x], [y, twin])(X)
        np.testing.assert_array_equal(a + 1, b)


@pytest.mark.parametrize("make", [lambda x: x * 2, lambda x: x])
def test_symbolic_values_are_not_pickled(make: Callable[[Any], Any]) -> None:
    with pytest.raises(sc.UnsupportedError, match=r"compiled function(.|\n)*test_pickling"):
        pickle.dumps(make(sc.var("x", "f64[n]")))


def test_jits_by_name_and_by_function() -> None:
    for value in (doubled, Model.step):
        assert through(value) is value
        assert copy.copy(value) is value
        assert copy.deepcopy(value) is value
    made = through(tripled)
    assert made is not tripled
    x = X.copy()
    assert made(x) is x
    assert x.tolist() == [1, 2, 3]
    copied = copy.deepcopy(sc.jit(lambda x: x + 1, trust_input=True))
    assert copied.trust_input
    assert copied(X).tolist() == [1, 2, 3]
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(sc.jit(lambda x: x))


def test_another_process_runs_it(tmp_path: Path) -> None:
    f, w = counter()
    path = tmp_path / "f.pickle"
    path.write_bytes(pickle.dumps((f, w)))
    code = (
        "import pickle, sys, numpy as np\n"
        "f, w = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(f(np.arange(3.))[0].tolist(), w.get().tolist())\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == "[1.0, 2.0, 3.0] [2.0, 2.0, 2.0]\n"
