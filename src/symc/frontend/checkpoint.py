"""`sc.checkpoint`: reverse mode computes again what it would have to store.

before: a function of trees.  after: the same function; its derivatives in reverse mode read its
arguments, and of the values inside only those that the policy saves.  Values have the bits that
they have without; so have derivatives, but for what several uses add to one argument: each
checkpointed function adds up its own part first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from symc.frontend import trees
from symc.frontend.operand import is_symbolic
from symc.frontend.regions import Region, mentions, title_of, traced
from symc.ir import ops
from symc.ir.core import Function, Node
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.ir.ops.record import Kind
from symc.ir.types import is_float

# Whether to store the results of a node.
Saves = Callable[[Node], bool]
EVERYTHING: Final = "everything"
POLICIES: Final[Mapping[str, Saves]] = {
    "nothing": lambda node: False,
    "dots": lambda node: node.op.kind is Kind.CONTRACT,
}


def checkpoint(
    f: Callable[..., Any] | None = None,
    policy: str | Callable[..., bool] | None = None,
) -> Callable[..., Any]:
    """`f`, of which reverse mode stores the arguments and what `policy` says; also a decorator.

    `policy`: None or "nothing", "everything", "dots" (the results of contractions), or a function
    `policy(op, *operand_types, **attributes) -> bool` that is asked about each operation of `f` by
    its name.  DomainError for another name.
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


def _saves(policy: str | Callable[..., bool] | None) -> Saves | None:
    """What the policy says of a node; None when it saves everything."""
    if policy == EVERYTHING:
        return None
    if policy is None:
        return POLICIES["nothing"]
    if isinstance(policy, str) and policy in POLICIES:
        return POLICIES[policy]
    if callable(policy):
        asked = policy
        return lambda node: bool(
            asked(node.op.name, *(operand.type for operand in node.operands), **node.attrs)
        )
    raise DomainError(
        message(
            "checkpoint: policy",
            got=repr(policy),
            expected=f"None, a function, {', '.join(map(repr, (*POLICIES, EVERYTHING)))}",
            where=here(),
        )
    )


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
        if saves(node)
        for result in node.results
        if is_float(result.type.dtype)
    ]
    return replace(function, results=(*function.results, *saved)), len(saved)
