"""Tracing a Python function: from argument types to a program.

before: a function of trees of arrays, and the type of each leaf.  after: a `Trace`: the program and
the tree that its results form.  The function's Python code runs once; what it leaks raises
TracerError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symc.frontend import scope, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import graft
from symc.frontend.operand import Operand
from symc.frontend.signature import LeafPlace
from symc.frontend.specialise import Leaf
from symc.frontend.trace import Traced, accepted, build
from symc.frontend.trees import Static
from symc.ir import ops
from symc.ir.core import Node, Value, reachable_whole
from symc.ir.entry import InputInfo
from symc.ir.program import Accept
from symc.ir.types import BOOL, F64, I32, I64, TensorType
from symc.records import dataclass
from symc.runtime.executable import Structure, Tree

_WEAK_ACCEPT = {BOOL: Accept.BOOL, I32: Accept.INT, I64: Accept.INT, F64: Accept.FLOAT}


@dataclass(frozen=True, slots=True)
class Trace:
    """A traced function: its program, and how results are put together."""

    traced: Traced
    tree: trees.Structure


def trace(
    fn: Callable[..., Any],
    tree: trees.Structure,
    leaves: Sequence[Leaf],
    places: Sequence[LeafPlace],
    types: Sequence[TensorType],
    *,
    lift_captured: bool = False,
) -> Trace:
    """Run `fn` on symbolic leaves of `types`."""
    title = getattr(fn, "__name__", "function")
    values = [Value(type, name=p.name) for type, p in zip(types, places, strict=True)]
    with scope.enter(title, lifts=lift_captured):
        symbols = [
            Expr(Operand(value, leaf.weak), name=value.name)
            for value, leaf in zip(values, leaves, strict=True)
        ]
        args, kwargs = trees.unflatten(tree, symbols)
        made = fn(*map(unwrapped, args), **{k: unwrapped(v) for k, v in kwargs.items()})
        results, out_tree = trees.flatten(made)
        outputs = [lift(r, f"{title}: result").__symc_operand__().value for r in results]
    values, outputs = _narrowed(values, leaves, outputs)
    infos = [
        InputInfo(place.name, _accept(value.type, leaf), place.donated)
        for place, value, leaf in zip(places, values, leaves, strict=True)
    ]
    traced = build(title, values, infos, outputs, lift=lift_captured)
    return Trace(traced, out_tree)


def _narrowed(
    values: list[Value], leaves: Sequence[Leaf], outputs: list[Value]
) -> tuple[list[Value], list[Value]]:
    """Python ints that only ever meet i32 arrays as i32 inputs: the call checks their range."""
    weak = {v for v, leaf in zip(values, leaves, strict=True) if leaf.weak and v.type.dtype == I64}
    if not weak:
        return values, outputs
    users: dict[Value, list[Node]] = {}
    for node in reachable_whole(outputs, stop=values)[0]:
        for operand in weak.intersection(node.operands):
            users.setdefault(operand, []).append(node)
    replaced: dict[Value, Value] = {}
    narrow: dict[Value, Value] = {}
    for value, nodes in users.items():
        casts = all(node.op is ops.CAST and node.results[0].type.dtype == I32 for node in nodes)
        if casts and value not in outputs:
            narrow[value] = Value(TensorType(I32), name=value.name)
            replaced.update((node.results[0], narrow[value]) for node in nodes)
    if not narrow:
        return values, outputs
    return [narrow.get(value, value) for value in values], graft(outputs, replaced, {})


def unwrapped(argument: Any) -> Any:
    """A static argument's value."""
    return argument.value if isinstance(argument, Static) else argument


def _accept(type: TensorType, leaf: Leaf) -> int:
    if leaf.declared is not None:
        return accepted(type)
    return _WEAK_ACCEPT[type.dtype] if leaf.weak else Accept.ARRAY


def structure_of(tree: trees.Structure) -> Structure | Tree | None:
    """How native calls hand out results of this form; None when only Python can form it."""
    if tree.is_leaf():
        return Structure.SINGLE
    if trees.is_tuple(tree):
        return Structure.TUPLE
    return Structure.NONE if tree.type is type(None) else trees.native(tree)
