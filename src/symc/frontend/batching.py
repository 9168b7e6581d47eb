"""`vmap`: a function written for one element, applied to a whole batch at once.

before: a function over trees of arrays, and which axis of each argument runs over the elements.
after: a function over arrays with that axis, whose operations are batched one by one: no loop is
made, products with a shared matrix become one product.  What does not depend on a mapped argument
is computed once.

The function sees arrays without the mapped axis; it is traced in a scope of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from symc.frontend import constraints, scope, trees
from symc.frontend.dims import as_size
from symc.frontend.entering import (
    leaf_name,
    made_by,
    parameter_names,
    require_function,
    transformed,
)
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import fit
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.prefixes import as_axis, axes_of_leaves
from symc.ir import dims
from symc.ir.batch import Batched, batched_values, repeated
from symc.ir.core import Function, Value, nodes_so_far, reachable_whole
from symc.ir.dims import Size
from symc.ir.errors import DomainError, ShapeError, message
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.term import Term
from symc.passes import branches
from symc.records import dataclass


def vmap(
    f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, *, axis_size: Any = None
) -> Callable[..., Any]:
    """f over a batch.

    `in_axes`: the axis of each positional argument that runs over the elements, None where all
    elements see the whole argument: one for all, or a tuple with an int, None or tree of them (a
    prefix of the argument's tree) per argument; negative axes count from the end.  Arguments given
    by name are mapped over axis 0.  `out_axes`: where the axis goes in each result, one for all or
    a prefix of the result's tree; None for a result that is the same for all elements.
    `axis_size`: the number of elements, needed when no argument is mapped.

    Sizes of the mapped axes must agree: ShapeError.
    """
    require_function(f, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not isinstance(in_axes, tuple):
        in_axes = as_axis(in_axes, "vmap: in_axes")
    names = parameter_names(f)

    def batched(*args: Any, **kwargs: Any) -> Any:
        given = _Arguments(names, in_axes, args, kwargs)
        return _over_batch(f, given, out_axes, axis_size)

    return _in_the_name_of(f, transformed(batched))


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A leaf that is mapped: its name in messages, and its value with the mapped axis at 0."""

    name: str
    value: Value
    weak: bool

    @property
    def size(self) -> Size:
        return self.value.type.shape[0]


class _Arguments:
    """The leaves of a call, and which of them are mapped."""

    def __init__(
        self, names: Sequence[str], in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ShapeError(
                message(
                    "vmap: in_axes",
                    got=f"{len(in_axes)} entries",
                    expected=f"{len(args)}, the positional arguments",
                    where=here(),
                )
            )
        wanted = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        prefix = (wanted, dict.fromkeys(kwargs, 0))
        axes = axes_of_leaves(prefix, (args, kwargs), "vmap: in_axes")
        self.leaves, self.tree = trees.flatten((args, kwargs))
        self.mapped: dict[int, _Mapped] = {}
        for number, (path, axis) in enumerate(zip(trees.paths(self.tree), axes, strict=True)):
            if axis is not None:
                name = leaf_name(path, names)
                self.mapped[number] = _mapped(self.leaves[number], axis, name)


def _mapped(leaf: Any, axis: int, name: str) -> _Mapped:
    made = lift(leaf, f"vmap: {name}").__symc_operand__()
    rank = made.type.rank
    if not -rank <= axis < rank:
        raise ShapeError(
            message(
                f"vmap: {name} has no axis {axis} to map",
                got=made.type,
                expected=f"an axis of {rank}" if rank else "an array of rank 1 or more",
                where=here(),
                advice="in_axes=None for an argument that all elements share",
            )
        )
    return _Mapped(name, Term(made.value).move_axis(axis % rank, 0).value, made.weak)


def _over_batch(f: Callable[..., Any], given: _Arguments, out_axes: Any, axis_size: Any) -> Any:
    size, first = _common_size(list(given.mapped.values()), axis_size)
    batches = {
        Value(m.value.type.with_shape(m.value.type.shape[1:]), name=m.name): _sized(m, size, first)
        for m in given.mapped.values()
    }
    elements = dict(zip(given.mapped, batches, strict=True))
    since = nodes_so_far()
    title = getattr(f, "__name__", type(f).__name__)
    with scope.enter(f"vmap of {title}"):
        own = [
            _own(leaf)
            if number not in elements
            else Expr(Operand(elements[number], given.mapped[number].weak))
            for number, leaf in enumerate(given.leaves)
        ]
        args, kwargs = trees.unflatten(given.tree, own)
        made = made_by(f(*args, **kwargs), "vmap")
        found = [leaf.__symc_operand__() for leaf in made.leaves]
    axes = axes_of_leaves(out_axes, made.result(), "vmap: out_axes")
    values = _with_lazy_branches([x.value for x in found], batches, since)
    batched = batched_values(values, batches, size, since=since)
    for old, new in batched.now.items():
        constraints.attach(new, constraints.of(old))
    placed = [_placed(x, batched, size, axis) for x, axis in zip(values, axes, strict=True)]
    results = constraints.handed_on(batches.values(), placed)
    pairs = zip(results, found, strict=True)
    return trees.unflatten(made.tree, [Expr(Operand(value, x.weak)) for value, x in pairs])


def _with_lazy_branches(
    results: Sequence[Value], elements: Iterable[Value], since: int
) -> Sequence[Value]:
    """`results` with what only one branch of a choice needs inside of that branch, where batching
    keeps it from the elements that take another."""
    stop = tuple(elements)
    nodes, free = reachable_whole(results, stop=stop, since=since)
    params = tuple(dict.fromkeys((*stop, *free)))
    function = Function("batched", params, tuple(nodes), tuple(results))
    made = branches.run(function, Options()).results
    needed = constraints.carried_by(nodes) if made != function.results else ()
    return [constraints.attach(value, needed) if value.node else value for value in made]


def _own(leaf: Any) -> Any:
    """A leaf that all elements see, as an array that the function may rebind."""
    if is_symbolic(leaf):
        return Expr(leaf.__symc_operand__())
    return lift(leaf, "vmap") if isinstance(leaf, np.ndarray | np.generic) else leaf


def _common_size(mapped: Sequence[_Mapped], axis_size: Any) -> tuple[Size, str]:
    """The number of elements, and the name of an argument that has it; ShapeError names the
    arguments that surely differ."""
    named = [(m.name, m.size) for m in mapped]
    if axis_size is not None:
        named.insert(0, ("axis_size", as_size(axis_size, "vmap: axis_size")))
    if not named:
        raise DomainError(
            message(
                "vmap: no argument is mapped",
                expected="an axis that is not None in in_axes",
                where=here(),
                advice="axis_size=n for n equal results",
            )
        )
    first, common = next(((n, size) for n, size in named if isinstance(size, int)), named[0])
    for name, size in named:
        if dims.prove_equal(common, size) is False:
            raise ShapeError(
                message(
                    f"vmap: the mapped axes of {first} and {name} differ in size",
                    got=f"{common} and {size}",
                    expected="one size",
                    where=here(),
                    advice="in_axes=None for an argument that all elements share",
                )
            )
    return common, first


def _sized(mapped: _Mapped, size: Size, first: str) -> Value:
    """The batch in exactly `size` elements, as `first` has; what may differ is checked at calls."""
    type = mapped.value.type
    wanted = type.with_shape((size, *type.shape[1:]))
    return fit(mapped.value, wanted, f"vmap: the mapped axes of {first} and {mapped.name}")


def _placed(element: Value, batched: Batched, size: Size, axis: int | None) -> Value:
    """A result with the batch axis at `axis`, or without one."""
    value, whole = batched.of(element)
    if axis is None:
        if not whole:
            return value
        raise ShapeError(
            message(
                "vmap: out_axes is None for a result that differs between elements",
                got=f"{element.type} per element",
                expected="an axis",
                where=here(),
            )
        )
    rank = element.type.rank + 1
    if not -rank <= axis < rank:
        raise ShapeError(
            message(
                f"vmap: out_axes places the batch at axis {axis}",
                got=f"{element.type} per element",
                expected=f"an axis from {-rank} to {rank - 1}",
                where=here(),
            )
        )
    return Term(value if whole else repeated(value, size)).move_axis(0, axis % rank).value


def _in_the_name_of(f: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with the name of f and its parameters, but not their types: ranks differ."""
    empty = inspect.Parameter.empty
    function.__name__ = getattr(f, "__name__", type(f).__name__)
    function.__qualname__ = getattr(f, "__qualname__", function.__name__)
    function.__doc__ = getattr(f, "__doc__", None)
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return function
    parameters = [p.replace(annotation=empty) for p in signature.parameters.values()]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=empty
    )
    return function
