"""Trees: what is recognised, what is built, and that no reference is lost or kept."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

from runtime.programs import F32, Builder, affine, object_code
from symc.runtime.executable import Callable, Executable, Node, Structure, Tree, load


class Pair(NamedTuple):
    left: object
    right: object


class Twin(NamedTuple):
    left: object
    right: object


LEAF = (Node.LEAF, 0)
NO_KEYWORDS = (Node.DICT, 0, ())


def executable(inputs: int = 1) -> Executable:
    """Results 2x + 1 of each input, all of f32[n]."""
    b = Builder("n")
    for _ in range(inputs):
        b.kernel("affine", b.input("n"), b.output("n"))
    return load(b.build(), object_code(affine()))


def missed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    return ("miss", args, kwargs)


def call_of(arguments: list[Any], results: Any = Structure.SINGLE, inputs: int = 1) -> Callable:
    """`arguments`: the nodes of one positional argument."""
    f = Callable(missed)
    tree = Tree([(Node.TUPLE, 2), (Node.TUPLE, 1), *arguments, NO_KEYWORDS])
    f.add_entry(executable(inputs), results, arguments=tree)
    return f


def is_miss(result: object) -> bool:
    return isinstance(result, tuple) and result[:1] == ("miss",)


X = np.arange(3, dtype=F32)


class Box:
    """A container of another library."""

    def __init__(self, inner: object, tag: object = "tag") -> None:
        self.inner = inner
        self.tag = tag


def open_box(box: Box) -> tuple[tuple[object, ...], object]:
    return (box.inner,), box.tag


def close_box(tag: object, children: tuple[object, ...]) -> Box:
    return Box(*children, tag)


BOX = (Node.CUSTOM, 1, Box, open_box, close_box, "tag")


@pytest.mark.parametrize(
    ("nodes", "fitting", "others"),
    [
        ([(Node.TUPLE, 1), LEAF], (X,), [[X], (X, X), (), X, None, Pair(X, X)]),
        ([(Node.LIST, 1), LEAF], [X], [(X,), [X, X], [], X]),
        ([(Node.DICT, 1, ("a",)), LEAF], {"a": X}, [{"b": X}, {"a": X, "b": X}, {}, [X]]),
        ([(Node.TUPLE, 2), LEAF, (Node.NONE, 0)], (X, None), [(X, X), (None, None), (None, X)]),
        (
            [(Node.RECORD, 2, Pair), LEAF, (Node.NONE, 0)],
            Pair(X, None),
            [(X, None), Pair(None, X), Twin(X, None)],
        ),
        ([BOX, LEAF], Box(X), [Box(X, "other"), Box((X,)), X, (X,)]),
        ([BOX, (Node.LIST, 1), LEAF], Box([X]), [Box(X), Box((X,))]),
        ([LEAF], X, [[X], (X,), None, {"a": X}]),
    ],
)
def test_arguments_of_the_structure_alone_match(
    nodes: list[Any], fitting: object, others: list[object]
) -> None:
    f = call_of(nodes)
    assert np.array_equal(f(fitting), X * 2 + 1)
    for other in others:
        assert is_miss(f(other)), other
    assert is_miss(f(fitting, fitting))
    assert is_miss(f())
    assert is_miss(f(fitting, y=X))
    assert np.array_equal(f(fitting), X * 2 + 1)


def test_keywords_and_static_values() -> None:
    f = Callable(missed)
    nodes = [(Node.TUPLE, 2), (Node.TUPLE, 1), (Node.STATIC, 0, "mode")]
    nodes += [(Node.DICT, 2, ("y", "z")), (Node.LEAF, 1), (Node.LEAF, 0)]
    f.add_entry(executable(2), Structure.TUPLE, arguments=Tree(nodes))
    z, y = f("".join(["mo", "de"]), y=X, z=X + 1)
    assert np.array_equal(y, X * 2 + 1)
    assert np.array_equal(z, X * 2 + 3)
    for wrong in ("other", b"mode", ["mode"], X):
        assert is_miss(f(wrong, y=X, z=X))
    assert is_miss(f("mode", X, z=X))
    assert is_miss(f("mode", y=X))
    assert is_miss(f("mode", y=X, w=X))


RESULTS = [
    ([LEAF], None),
    ([(Node.LIST, 1), LEAF], [None]),
    ([(Node.DICT, 2, ("b", "a")), LEAF, (Node.NONE, 0)], {"b": None, "a": None}),
    ([(Node.TUPLE, 2), (Node.LIST, 0), (Node.RECORD, 2, Pair), LEAF, (Node.TUPLE, 0)], None),
    ([BOX, LEAF], None),
]


@pytest.mark.parametrize("nodes", [nodes for nodes, _ in RESULTS])
def test_results_are_built_and_recognised_again(nodes: list[Any]) -> None:
    f = Callable(missed)
    f.add_entry(executable(), Tree(nodes))
    g = call_of(nodes)
    assert np.array_equal(g(f(X)), X * 4 + 3)


def test_dicts_keep_the_order_of_their_keys() -> None:
    f = Callable(missed)
    keys = ("b", "a", 3)
    tree = Tree([(Node.DICT, 3, keys), (Node.LEAF, 1), (Node.LEAF, 2), (Node.LEAF, 0)])
    f.add_entry(executable(3), tree)
    made = f(X, X + 1, X + 2)
    assert tuple(made) == keys
    assert [made[k][0] for k in keys] == [3, 5, 1]


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [LEAF, LEAF],
        [(Node.TUPLE, 2), LEAF],
        [(Node.LEAF, 1)],
        [(Node.TUPLE, 2), LEAF, LEAF],
        [(Node.DICT, 1, ()), LEAF],
        [(Node.DICT, 1, ["a"]), LEAF],
        [(Node.DICT, 1), LEAF],
        [(Node.RECORD, 1, list), LEAF],
        [(Node.CUSTOM, 1, Box), LEAF],
        [(Node.NONE, 1), LEAF],
        [(99, 0)],
        [(Node.LEAF,)],
        [Node.LEAF],
        [*[(Node.LIST, 1)] * 1000, LEAF],
        [(Node.LEAF, 1 << 40)],
    ],
)
def test_nodes_that_form_no_tree(nodes: list[Any]) -> None:
    with pytest.raises(ValueError, match="tree"):
        Tree(nodes)


def test_what_is_no_node() -> None:
    for wrong in (3, [("a", 0)], [(0, -1)], [(Node.STATIC, 0, [])]):
        with pytest.raises((TypeError, OverflowError)):
            Tree(wrong)  # type: ignore[arg-type]


def test_entries_fit_their_trees() -> None:
    f = Callable(missed)
    two = Tree([(Node.TUPLE, 2), LEAF, (Node.LEAF, 1)])
    for results, arguments in ((two, None), (0, two), (0, Tree([LEAF]))):
        with pytest.raises(ValueError, match="fit"):
            f.add_entry(executable(), results, arguments=arguments)
    for results, arguments in (("a", None), (0, "a")):
        with pytest.raises(TypeError):
            f.add_entry(executable(), results, arguments=arguments)  # type: ignore[arg-type]
    assert not f.entries


def test_errors_of_registered_functions_reach_the_caller() -> None:
    def broken(*_: object) -> object:
        raise KeyError("broken")

    f = call_of([(Node.CUSTOM, 1, Box, broken, close_box, "tag"), LEAF])
    with pytest.raises(KeyError, match="broken"):
        f(Box(X))
    for nonsense in (lambda _: 3, lambda _: (3, "tag"), lambda _: ((), "tag", ()), lambda _: ((),)):
        f = call_of([(Node.CUSTOM, 1, Box, nonsense, close_box, "tag"), LEAF])
        try:
            assert is_miss(f(Box(X)))
        except TypeError:
            continue
    g = Callable(missed)
    g.add_entry(executable(), Tree([(Node.CUSTOM, 1, Box, open_box, broken, "tag"), LEAF]))
    with pytest.raises(KeyError, match="broken"):
        g(X)


def test_containers_that_change_during_the_walk() -> None:
    """Equality of a key and a container's own function empty the list that holds them."""
    given: list[Any] = []

    def emptied(box: Box) -> tuple[tuple[object, ...], object]:
        given.clear()
        gc.collect()
        return open_box(box)

    nodes = [(Node.LIST, 2), (Node.CUSTOM, 1, Box, emptied, close_box, "tag"), (Node.LEAF, 0)]
    f = call_of([*nodes, (Node.LEAF, 1)], Structure.TUPLE, 2)
    given += [Box(np.ones(3, F32)), np.ones(3, F32)]
    assert is_miss(f(given))

    class Key:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            outer.clear()
            gc.collect()
            return False

    outer: dict[object, Any] = {}
    inner = [(Node.DICT, 1, ("a",)), LEAF]
    g = call_of([(Node.DICT, 1, ("out",)), *inner])
    outer["out"] = {Key(): np.ones(3, F32)}
    assert is_miss(g(outer))


def test_leaves_outlive_their_containers() -> None:
    """A registered function drops what an earlier leaf stands in; the call reads that leaf."""
    given: list[Any] = []

    def emptied(box: Box) -> tuple[tuple[object, ...], object]:
        given[0].clear()
        gc.collect()
        return open_box(box)

    custom = (Node.CUSTOM, 1, Box, emptied, close_box, "tag")
    nodes = [(Node.LIST, 2), (Node.LIST, 1), (Node.LEAF, 0), custom, (Node.LEAF, 1)]
    f = call_of(nodes, Structure.TUPLE, 2)
    given += [[np.ones(1000, F32)], Box(np.ones(1000, F32))]
    assert f(given)[0].tolist() == [3] * 1000


def test_other_threads_may_change_containers() -> None:
    f = call_of([(Node.DICT, 1, ("a",)), (Node.LIST, 1), LEAF])
    given: dict[str, Any] = {"a": [np.ones(1 << 16, F32)]}
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            given["a"] = [np.ones(1 << 16, F32)]
            given["a"][0] = np.ones(1 << 16, F32)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert f(given)[-1] == 3
    finally:
        stop.set()
        thread.join()


def test_no_reference_is_lost_or_kept() -> None:
    leaf = np.arange(3, dtype=F32)
    pair = Pair(leaf, None)
    given = {"p": pair, "b": [Box(leaf), (leaf,)]}
    nodes = [(Node.DICT, 2, ("p", "b")), (Node.RECORD, 2, Pair), LEAF, (Node.NONE, 0)]
    nodes += [(Node.LIST, 2), BOX, (Node.LEAF, 1), (Node.TUPLE, 1), (Node.LEAF, 2)]
    tree = Tree(nodes)
    f = Callable(missed)
    arguments = Tree([(Node.TUPLE, 2), (Node.TUPLE, 1), *nodes, NO_KEYWORDS])
    f.add_entry(executable(3), tree, arguments=arguments)
    watched = [leaf, pair, given, given["b"], tree, arguments, f, None, Pair, Box, "tag", open_box]

    def counts() -> list[int]:
        gc.collect()
        return [*map(sys.getrefcount, watched), len(gc.get_objects())]

    def calls() -> None:
        for _ in range(200):
            f(given)
            f({"p": pair})
            f({"p": pair, "b": [Box(leaf), leaf]})
            f(given, k=leaf)
            f.bind(given)()

    calls()
    before = counts()
    calls()
    after = counts()
    assert all(abs(a - b) < 20 for a, b in zip(after, before, strict=True)), (before, after)


def test_cycles_through_a_tree_are_collected() -> None:
    class Owner:
        pass

    owner = Owner()
    f = Callable(missed)
    nodes = [(Node.TUPLE, 2), (Node.TUPLE, 2), (Node.STATIC, 0, owner), LEAF, NO_KEYWORDS]
    f.add_entry(executable(), Structure.SINGLE, arguments=Tree(nodes))
    owner.f = f  # type: ignore[attr-defined]
    assert np.array_equal(f(owner, X), X * 2 + 1)
    gone = weakref.ref(owner)
    del owner, f, nodes
    gc.collect()
    assert gone() is None


def test_prepared_calls_and_repeated_ones() -> None:
    nodes = [(Node.LIST, 1), LEAF]
    f = call_of(nodes, Tree([(Node.DICT, 1, ("r",)), LEAF]))
    x = X.copy()
    call = f.bind([x])
    assert call()["r"].tolist() == [1, 3, 5]
    x += 1
    assert call()["r"].tolist() == [3, 5, 7]
    assert f.call_n(3, [x])["r"].tolist() == [3, 5, 7]
    out = {"r": np.zeros(3, F32)}
    assert f.bind([x], out=out)() is out
    assert out["r"].tolist() == [3, 5, 7]
    with pytest.raises(ValueError, match="structure of the results"):
        f.bind([x], out=[np.zeros(3, F32)])
    with pytest.raises(ValueError, match="argument"):
        f.bind([x], out={"r": x})
