"""Nested containers of arrays: optree in the one namespace in which static arguments are nodes.

optree is loaded by the first traced call: `import symc` stays short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from symc.runtime.executable import Node, Tree

if TYPE_CHECKING:
    from optree import PyTreeSpec

Structure: TypeAlias = "PyTreeSpec"

NAMESPACE: Final = "symc"


class Static:
    """A static argument in its place in the tree; equal when type and value are.

    The hash is kept: a value that changed since is another one.  An attribute of an array function
    may have none (`axes=([1], [0])`).
    """

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self._hash = hash((type(value), value))
        except TypeError:
            self._hash = 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Static)
            and self._hash == other._hash
            and type(self.value) is type(other.value)
            and bool(self.value == other.value)
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


@cache
def _optree() -> ModuleType:
    """optree, which knows `Static`."""
    optree = import_module("optree")
    optree.register_pytree_node(
        Static, lambda static: ((), static), lambda static, _: static, namespace=NAMESPACE
    )
    return optree


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Leaves in order and the structure; None is a node without leaves, dicts sort by key."""
    leaves: list[Any]
    leaves, structure = _optree().tree_flatten(tree, namespace=NAMESPACE)
    return leaves, structure


def leaves_of(tree: Any) -> list[Any]:
    """The leaves in order."""
    found: list[Any] = _optree().tree_leaves(tree, namespace=NAMESPACE)
    return found


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree with these leaves."""
    return _optree().tree_unflatten(structure, leaves)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to each leaf."""
    return _optree().tree_map(function, tree, namespace=NAMESPACE)


class _Mark:
    """Stands for a leaf."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


_PLAIN: Final[dict[type, Node]] = {tuple: Node.TUPLE, list: Node.LIST}


def is_flat(structure: Structure) -> bool:
    """Whether `(args, kwargs)` are positional leaves alone."""
    args, kwargs = structure.children()
    return not kwargs.num_children and all(child.is_leaf() for child in args.children())


def is_tuple(structure: Structure) -> bool:
    """Whether it is a tuple of leaves."""
    return structure.type is tuple and all(child.is_leaf() for child in structure.children())


def native(structure: Structure) -> Tree | None:
    """The structure as native calls recognise and build it.

    None when they cannot: it is nested too deeply, or a registered container refuses such leaves.
    """
    try:
        pending = [unflatten(structure, [_Mark(i) for i in range(structure.num_leaves)])]
        nodes = []
        while pending:
            node, children = _described(pending.pop())
            nodes.append(node)
            pending.extend(reversed(children))
        return Tree(nodes)
    except Exception:  # noqa: BLE001  (the code of registered containers may raise anything)
        return None


def _described(part: Any) -> tuple[tuple[Any, ...], Sequence[Any]]:
    """One node, and its children."""
    kind = type(part)
    if kind is _Mark:
        return (Node.LEAF, part.number), ()
    if part is None:
        return (Node.NONE, 0), ()
    if kind is Static:
        return (Node.STATIC, 0, part.value), ()
    if kind in _PLAIN:
        return (_PLAIN[kind], len(part)), part
    if kind is dict:
        return (Node.DICT, len(part), tuple(part)), list(part.values())
    if _optree().is_namedtuple_class(kind):
        return (Node.RECORD, len(part), kind), part
    rule = _optree().register_pytree_node.get(kind, namespace=NAMESPACE)
    children, metadata, *_ = rule.flatten_func(part)
    children = tuple(children)
    parts = (kind, rule.flatten_func, rule.unflatten_func, metadata)
    return (Node.CUSTOM, len(children), *parts), children


def paths(structure: Structure) -> list[tuple[Any, ...]]:
    """For each leaf, the keys and positions that lead to it."""
    found: list[tuple[Any, ...]] = _optree().treespec_paths(structure)
    return found
