"""`sc.checkpoint`: reverse mode computes again what it would have to store.

before: a function of trees.  after: the same function; its derivatives in reverse mode read its
arguments, and of the values inside only those that the policy saves: by kind of operation, by what
a function says of it, or by the names that `checkpoint_name` gave.  Values have the bits that
they have without; so have derivatives, but for what several uses add to one argument: each
checkpointed function adds up its own part first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from symc.frontend import trees
from symc.frontend.operand import is_symbolic
from symc.frontend.regions import Region, mentions, title_of, traced
from symc.ir import ops
from symc.ir.core import Function, Value
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.ir.ops.record import Kind
from symc.ir.types import is_float

# Whether to store a value that a node computes.
Saves = Callable[[Value], bool]
Policy = str | Collection[str] | Callable[..., bool]
EVERYTHING: Final = "everything"
POLICIES: Final[Mapping[str, Saves]] = {
    "nothing": lambda value: False,
    "dots": lambda value: value.node is not None and value.node.op.kind is Kind.CONTRACT,
}


def checkpoint(
    f: Callable[..., Any] | None = None,
    policy: Policy | None = None,
) -> Callable[..., Any]:
    """`f`, of which reverse mode stores the arguments and what `policy` says; also a decorator.

    `policy`: None or "nothing", "everything", "dots" (the results of contractions), a list of names
    (the values that `checkpoint_name` gave one of them), or a function
    `policy(op, *operand_types, **attributes) -> bool` that is asked about each operation of `f` by
    its name.  DomainError for another word.
    """
    saves = _saves(policy)
    if f is None:
        return lambda function: checkpoint(function, policy)
    if not callable(f):
        raise DTypeError(
            message("checkpoint", got=type(f).__name__, expected="a function", where=here())
        )
    if saves is None:
        return f
    title, chosen, body = title_of(f), saves, f

    @wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not mentions((args, kwargs)):
            return body(*args, **kwargs)
        region = _region(title, body, args, kwargs)
        function, saved = _with_saved(region.function, chosen)
        return region.placed(ops.CHECKPOINT, {"saved": saved}, function)

    return checkpointed


def checkpoint_name(x: Any, name: str) -> Any:
    """`x` under a name, by which a policy of `checkpoint` saves it; concrete arrays stay nameless.

    DTypeError for a name that is no text.
    """
    if not isinstance(name, str):
        raise DTypeError(
            message("checkpoint_name", got=type(name).__name__, expected="a str", where=here())
        )
    if is_symbolic(x):
        x.__symc_operand__().value.name = name
    return x


def _saves(policy: object) -> Saves | None:
    """What the policy says of a value; None when it saves everything."""
    if isinstance(policy, str):
        if policy == EVERYTHING:
            return None
        if policy in POLICIES:
            return POLICIES[policy]
    elif policy is None:
        return POLICIES["nothing"]
    elif callable(policy):
        return _asking(policy)
    elif isinstance(policy, Collection) and all(isinstance(name, str) for name in policy):
        names = frozenset(policy)
        return lambda value: value.name in names
    raise DomainError(
        message(
            "checkpoint: policy",
            got=repr(policy),
            expected=f"None, names of values, a function, "
            f"{', '.join(map(repr, (*POLICIES, EVERYTHING)))}",
            where=here(),
        )
    )


def _asking(policy: Callable[..., bool]) -> Saves:
    def saves(value: Value) -> bool:
        node = value.node
        assert node is not None
        types = [operand.type for operand in node.operands]
        return bool(policy(node.op.name, *types, **node.attrs))

    return saves


def _region(
    title: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Region:
    """`f` traced on its symbolic leaves; the others are part of the region."""
    leaves, tree = trees.flatten((args, kwargs))
    given = [leaf.__symc_operand__() for leaf in leaves if is_symbolic(leaf)]

    def body(own: list[Any]) -> Any:
        rest = iter(own)
        inner = [next(rest) if is_symbolic(leaf) else leaf for leaf in leaves]
        positional, named = trees.unflatten(tree, inner)
        return f(*positional, **named)

    return traced(title, body, given)


def _with_saved(function: Function, saves: Saves) -> tuple[Function, int]:
    """The function with the values that are saved as further results, and their number."""
    saved = [
        result
        for node in function.nodes
        for result in node.results
        if is_float(result.type.dtype) and saves(result)
    ]
    return replace(function, results=(*function.results, *saved)), len(saved)
