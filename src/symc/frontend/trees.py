"""Nested containers of arrays: optree in the one namespace in which static arguments are nodes.

optree is loaded by the first traced call: `import symc` stays short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from optree import PyTreeSpec

Structure: TypeAlias = "PyTreeSpec"

NAMESPACE: Final = "symc"


class Static:
    """A static argument in its place in the tree; equal when type and value are."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Static)
            and type(self.value) is type(other.value)
            and bool(self.value == other.value)
        )

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))

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


def paths(structure: Structure) -> list[tuple[Any, ...]]:
    """For each leaf, the keys and positions that lead to it."""
    found: list[tuple[Any, ...]] = _optree().treespec_paths(structure)
    return found
