"""Nested containers of arrays: optree in the one namespace in which static arguments are nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import optree

Structure = optree.PyTreeSpec
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


_register: Callable[..., Any] = optree.register_pytree_node
_register(Static, lambda static: ((), static), lambda static, _: static, namespace=NAMESPACE)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Leaves in order and the structure; None is a node without leaves, dicts sort by key."""
    leaves: list[Any]
    leaves, structure = optree.tree_flatten(tree, namespace=NAMESPACE)
    return leaves, structure


def leaves_of(tree: Any) -> list[Any]:
    """The leaves in order."""
    found: list[Any] = optree.tree_leaves(tree, namespace=NAMESPACE)
    return found


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree with these leaves."""
    return optree.tree_unflatten(structure, leaves)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to each leaf."""
    return optree.tree_map(function, tree, namespace=NAMESPACE)


def paths(structure: Structure) -> list[tuple[Any, ...]]:
    """For each leaf, the keys and positions that lead to it."""
    return optree.treespec_paths(structure)
