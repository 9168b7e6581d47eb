"""Prefixes: one thing said of a whole subtree, such as the axis that `vmap` maps.

before: a tree of ints and Nones that stops above the leaves of another tree.  after: the int or
None for each leaf of that tree.  None is something said, not an empty tree, as it is in a tree of
arrays.
"""

from __future__ import annotations

from importlib import import_module
from operator import index
from typing import Any, Final

from symc.frontend.trees import NAMESPACE
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here

# Loaded with the first tree.
OPTREE: Final = "optree"


def axes_of_leaves(prefix: Any, tree: Any, subject: str) -> list[int | None]:
    """What `prefix` says of each leaf of `tree`, in the order of `trees.flatten`."""
    optree = import_module(OPTREE)
    try:
        said = optree.broadcast_prefix(prefix, tree, none_is_leaf=True, namespace=NAMESPACE)
    except ValueError as error:
        raise ShapeError(
            message(
                f"{subject}: not a prefix of the tree ({str(error).rstrip('.')})",
                got=repr(prefix),
                expected=str(optree.tree_structure(tree, namespace=NAMESPACE)),
                where=here(),
            )
        ) from None
    leaves = optree.tree_leaves(tree, none_is_leaf=True, namespace=NAMESPACE)
    return [
        as_axis(axis, subject) for axis, leaf in zip(said, leaves, strict=True) if leaf is not None
    ]


def as_axis(axis: Any, subject: str) -> int | None:
    """An int, or None; else DTypeError."""
    if axis is None:
        return None
    try:
        number = index(axis)
    except TypeError:
        number = None
    if number is None or isinstance(axis, bool):
        raise DTypeError(
            message(
                f"{subject}: not an axis", got=repr(axis), expected="an int or None", where=here()
            )
        )
    return number
