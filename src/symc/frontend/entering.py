"""Arguments of a transformed function: chosen, given values of their own, and put back together.

before: trees of arrays, as a user calls a transform.  after: `Entered`: the same trees over values
that stand for nothing else, so that an argument which the function also captures is not
differentiated twice; and derivatives laid out in those trees again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from operator import index
from typing import Any

from symc.frontend import emit, scope, trees
from symc.frontend.eager import call_traced
from symc.frontend.expr import Expr, lift
from symc.frontend.gradients import like, zeros
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.spec import short_name
from symc.frontend.trees import Structure
from symc.ir import ops
from symc.ir.core import Value
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.types import is_float
from symc.records import dataclass

Argnums = int | Sequence[int]


@dataclass(frozen=True, slots=True)
class Entered:
    """Trees whose leaves are values of their own."""

    trees: list[Any]
    structures: list[Structure]
    values: list[list[Value]]

    @property
    def flat(self) -> list[Value]:
        """All leaves in order."""
        return [value for part in self.values for value in part]

    def laid_out(self, leaves: Iterable[Any]) -> list[Any]:
        """Something per leaf, in the trees."""
        rest = iter(leaves)
        return [
            trees.unflatten(structure, [next(rest) for _ in part])
            for structure, part in zip(self.structures, self.values, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Made:
    """What the function returned: its leaves as expressions and values, their tree, and aux."""

    tree: Structure
    leaves: list[Expr]
    aux: Any = None

    @property
    def values(self) -> list[Value]:
        return [leaf.__symc_operand__().value for leaf in self.leaves]

    def result(self) -> Any:
        """The result in the form that the function returned it."""
        return trees.unflatten(self.tree, self.leaves)


def transformed(symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """A function of symbolic values, which also takes concrete ones."""

    @wraps(symbolic)
    def function(*args: Any, **kwargs: Any) -> Any:
        if runs_symbolic((args, kwargs)):
            return symbolic(*args, **kwargs)
        return call_traced(symbolic, args, kwargs)

    return function


def runs_symbolic(arguments: Any) -> bool:
    """Whether a call is part of a trace or has a symbolic argument."""
    return scope.current() is not None or any(map(is_symbolic, trees.leaves_of(arguments)))


def is_function(target: Any) -> bool:
    """Whether the first argument of a transform is a function, not an expression."""
    return callable(target) and not is_symbolic(target)


def require_function(target: Any, subject: str) -> None:
    """DTypeError for a transform of something that is not a function."""
    if not is_function(target):
        raise DTypeError(
            message(subject, got=type(target).__name__, expected="a function", where=here())
        )


def parameter_names(f: Callable[..., Any]) -> list[str]:
    """The names of a function's parameters; none where Python does not know them."""
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return []


def leaf_name(path: tuple[Any, ...], names: Sequence[str]) -> str:
    """The name of the leaf at `path` of `(args, kwargs)`: `argument params['w']`."""
    kind, first, *rest = path
    if not kind:
        first = names[first] if first < len(names) else f"args[{first}]"
    return f"argument {first}" + "".join(f"[{part!r}]" for part in rest)


def chosen_numbers(argnums: Argnums, count: int, subject: str) -> list[int]:
    """`argnums` as positions from the front, among `count` positional arguments."""
    listed = list(argnums) if isinstance(argnums, list | tuple) else [argnums]
    numbers = []
    for number in listed:
        try:
            position = index(number)  # type: ignore[arg-type]
        except TypeError:
            position = None
        if position is None or isinstance(number, bool):
            raise DTypeError(
                message(
                    f"{subject}: argnums",
                    got=repr(number),
                    expected="an int or a sequence of ints",
                    where=here(),
                )
            )
        if not -count <= position < count:
            raise ShapeError(
                message(
                    f"{subject}: argnums",
                    got=position,
                    expected=f"below {count}, the positional arguments",
                    where=here(),
                )
            )
        numbers.append(position % count)
    if len(set(numbers)) != len(numbers):
        raise ShapeError(
            message(f"{subject}: argnums", got=argnums, expected="each once", where=here())
        )
    return numbers


def entering(arguments: Sequence[Any], subject: str) -> Entered:
    """Arguments whose leaves are values of their own; DTypeError unless all are floats."""
    entered = Entered([], [], [])
    for argument in arguments:
        leaves, tree = trees.flatten(argument)
        own = [_entered(leaf, subject) for leaf in leaves]
        entered.trees.append(trees.unflatten(tree, own))
        entered.structures.append(tree)
        entered.values.append([leaf.__symc_operand__().value for leaf in own])
    return entered


def _entered(leaf: Any, subject: str) -> Expr:
    """A leaf as a new value with the same contents."""
    made = lift(leaf, subject).__symc_operand__()
    if not is_float(made.dtype):
        raise DTypeError(
            message(
                f"{subject}: derivatives exist for floats only",
                got=f"an argument of {short_name(made.dtype)}",
                expected="f32 or f64",
                where=here(),
                advice="pass a float, or choose other argnums",
            )
        )
    same = emit.value_of(ops.RESHAPE, (made.value,), {"shape": made.type.shape})
    return Expr(Operand(same, made.weak))


def chosen_arguments(
    args: Sequence[Any], argnums: Argnums, subject: str
) -> tuple[Entered, list[Any]]:
    """The chosen arguments entered, and all arguments with those in their places."""
    numbers = chosen_numbers(argnums, len(args), subject)
    entered = entering([args[number] for number in numbers], subject)
    full = list(args)
    for number, tree in zip(numbers, entered.trees, strict=True):
        full[number] = tree
    return entered, full


def made_by(returned: Any, subject: str, *, has_aux: bool = False) -> Made:
    """What a function returned, with `has_aux` as a pair `(result, aux)`."""
    out, aux = _with_aux(returned) if has_aux else (returned, None)
    leaves, tree = trees.flatten(out)
    return Made(tree, [lift(leaf, f"{subject}: result") for leaf in leaves], aux)


def _with_aux(made: Any) -> tuple[Any, Any]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise ShapeError(
            message(
                "has_aux: what the function returned",
                got=type(made).__name__,
                expected="a pair (result, aux)",
                where=here(),
            )
        )
    return made


def filled(found: Sequence[Value | None], like_values: Sequence[Value]) -> list[Expr]:
    """Derivatives as expressions, zeros where there is no dependence."""
    return as_expressions(filled_values(found, like_values))


def as_expressions(values: Sequence[Value]) -> list[Expr]:
    """Values as the user sees them."""
    return [Expr(Operand(value)) for value in values]


def filled_values(found: Sequence[Value | None], like_values: Sequence[Value]) -> list[Value]:
    """Derivatives, zeros where there is no dependence."""
    pairs = zip(found, like_values, strict=True)
    return [zeros(value.type) if made is None else made for made, value in pairs]


def matching(
    given: Sequence[Any], structures: Sequence[Structure], flat: Sequence[Value], subject: str
) -> list[Value]:
    """Leaves of `given` in the types of `flat`; the structures must agree."""
    leaves = require_structures(given, structures, subject)
    return [like(leaf, value.type, subject) for leaf, value in zip(leaves, flat, strict=True)]


def require_structures(
    given: Sequence[Any], structures: Sequence[Structure], subject: str
) -> list[Any]:
    """The leaves of `given`, one tree per structure; ShapeError for other trees."""
    leaves, found = [], []
    for item in given:
        own, structure = trees.flatten(item)
        leaves += own
        found.append(structure)
    if found != list(structures):
        raise ShapeError(
            message(
                f"{subject}: another structure",
                got=" ".join(map(str, found)) or "nothing",
                expected=" ".join(map(str, structures)),
                where=here(),
            )
        )
    return leaves
