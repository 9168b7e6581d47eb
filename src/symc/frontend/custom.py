"""`sc.custom_jvp` and `sc.custom_vjp`: functions whose derivatives the user writes.

before: a function of trees and its rules.  after: the same function; a derivative of any order and
in any transform runs the rule where it would have differentiated the function.  A tangent rule
serves both modes; a rule for reverse mode alone refuses forward mode.

Rules run when a derivative is asked for, in the trace that asks.  What they return is checked
against the function's results then, and OpContractError names the rule's line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, Generic, TypeVar

from symc.frontend import trees
from symc.frontend.custom_rules import JvpRule, Pair, Use, VjpRule, captured_by
from symc.frontend.expr import lift
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.regions import mentions, title_of, traced
from symc.ir import ops
from symc.ir.errors import DTypeError, OpContractError, ShapeError, message
from symc.ir.locations import here
from symc.ir.ops.custom import Rule

F = TypeVar("F", bound=Callable[..., Any])


class _Custom(Generic[F]):
    """A function, which of its arguments are not differentiated, and its tangent rule."""

    def __init__(self, fun: F, nondiff_argnums: Sequence[int]) -> None:
        if not callable(fun):
            raise DTypeError(
                message(
                    "custom rule of", got=type(fun).__name__, expected="a function", where=here()
                )
            )
        self.fun = fun
        self.title = title_of(fun)
        self._nondiff = tuple(nondiff_argnums)
        self._signature = _signature(fun)
        self._jvp: Callable[..., Any] | None = None
        update_wrapper(self, fun)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: bound like the function that it wraps."""
        return self if instance is None else _Bound(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not mentions((args, kwargs)):
            return self.fun(*args, **kwargs)
        return self._traced(self._positional(args, kwargs))

    def _tangent_rule(self, jvp: Callable[..., Any]) -> None:
        if not callable(jvp):
            raise DTypeError(
                message(
                    f"defjvp of {self.title}",
                    got=type(jvp).__name__,
                    expected="a function",
                    where=here(),
                )
            )
        self._jvp = jvp

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """A rule per argument, `rule(tangent, result, *primals)`; None for a derivative of 0."""
        if self._nondiff:
            raise OpContractError(
                message(
                    f"defjvps of {self.title}",
                    got="nondiff_argnums",
                    expected="defjvp for a function that has them",
                    where=here(),
                )
            )

        def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Pair:
            result = self(*primals)
            if len(rules) != len(primals):
                raise OpContractError(
                    message(
                        f"defjvps of {self.title}",
                        got=f"{len(rules)} rules",
                        expected=f"{len(primals)}, one per argument",
                        where=line,
                    )
                )
            parts = [
                rule(tangent, result, *primals)
                for rule, tangent in zip(rules, tangents, strict=True)
                if rule is not None
            ]
            return result, _summed(result, parts)

        line = here()
        self._jvp = jvp

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, defaults filled in; TypeError as for the function itself."""
        if self._signature is None and not kwargs:
            return args
        bound = (self._signature or inspect.signature(self.fun)).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise DTypeError(
                message(
                    f"{self.title}: keyword-only arguments",
                    got=", ".join(bound.kwargs),
                    expected="arguments that can be given by position",
                    where=here(),
                )
            )
        return bound.args

    def _traced(self, args: tuple[Any, ...]) -> Any:
        chosen = self._chosen(len(args))
        moving = tuple(arg for i, arg in enumerate(args) if i not in chosen)
        fixed = tuple(arg for i, arg in enumerate(args) if i in chosen)
        leaves, tree = trees.flatten(moving)
        given = [_lifted(leaf, self.title) for leaf in leaves]
        others, fixed_tree = trees.flatten(fixed)
        count = len(given)
        given += [leaf.__symc_operand__() for leaf in others if is_symbolic(leaf)]
        use = Use(
            self.title, chosen, len(args), tree, fixed_tree, tuple(others), tuple(given), count
        )
        region = traced(self.title, lambda own: self.fun(*use.arguments(own)), given)
        region = region.reading(captured_by(self._rules()))
        use.captured = tuple(region.operands[len(given) :])
        use.results = (region.tree, region.weak)
        return region.placed(ops.CUSTOM, {"rule": self._rule(use)})

    def _chosen(self, count: int) -> frozenset[int]:
        for number in self._nondiff:
            if not -count <= number < count:
                raise ShapeError(
                    message(
                        f"{self.title}: nondiff_argnums",
                        got=number,
                        expected=f"below {count}, the number of arguments",
                        where=here(),
                    )
                )
        return frozenset(number % count for number in self._nondiff)

    def _rule(self, use: Use) -> Rule:
        raise NotImplementedError

    def _rules(self) -> list[Callable[..., Any] | None]:
        """The user's functions that rules run."""
        return [self._jvp]


class CustomJvp(_Custom[F]):
    """A function with a tangent rule, which reverse mode transposes."""

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule: `jvp(*nondiff, primals, tangents) -> (result, tangent of the result)`.

        It must be linear in the tangents.  Returns the rule, so that this is a decorator.
        """
        self._tangent_rule(jvp)
        return jvp

    def _rule(self, use: Use) -> Rule:
        return Rule(self.title) if self._jvp is None else JvpRule(use, self._jvp)


class CustomVjp(_Custom[F]):
    """A function with a rule for reverse mode, and perhaps a tangent rule."""

    _vjp: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule for reverse mode.

        `fwd(*args) -> (result, residuals)`; `bwd(*nondiff, residuals, cotangent)` gives a tuple of
        cotangents, one per argument that is differentiated; None in it is zero.
        """
        for rule in (fwd, bwd):
            if not callable(rule):
                raise DTypeError(
                    message(
                        f"defvjp of {self.title}",
                        got=type(rule).__name__,
                        expected="a function",
                        where=here(),
                    )
                )
        self._vjp = (fwd, bwd)

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set a tangent rule for forward mode, as of `custom_jvp`."""
        self._tangent_rule(jvp)
        return jvp

    def _rule(self, use: Use) -> Rule:
        if self._vjp is None:
            return Rule(self.title) if self._jvp is None else JvpRule(use, self._jvp)
        return VjpRule(use, self._vjp, self._jvp)

    def _rules(self) -> list[Callable[..., Any] | None]:
        return [self._jvp, *(self._vjp or ())]


class _Bound:
    """A custom function as a method of `instance`, which is not differentiated."""

    def __init__(self, custom: _Custom[Any], instance: Any) -> None:
        self._custom, self._instance = custom, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._custom(self._instance, *args, **kwargs)


def custom_jvp(fun: Callable[..., Any] | None = None, nondiff_argnums: Sequence[int] = ()) -> Any:
    """`fun` with a tangent rule of the user's: see `CustomJvp`.

    `nondiff_argnums`: arguments through which no derivative passes; they may be anything.
    """
    if fun is None:
        return lambda function: CustomJvp(function, nondiff_argnums)
    return CustomJvp(fun, nondiff_argnums)


def custom_vjp(fun: Callable[..., Any] | None = None, nondiff_argnums: Sequence[int] = ()) -> Any:
    """`fun` with a rule of the user's for reverse mode: see `CustomVjp`.

    `nondiff_argnums`: arguments through which no derivative passes; they may be anything.
    """
    if fun is None:
        return lambda function: CustomVjp(function, nondiff_argnums)
    return CustomVjp(fun, nondiff_argnums)


def _signature(fun: Callable[..., Any]) -> inspect.Signature | None:
    """The parameters of a function; None for one that does not tell."""
    try:
        return inspect.signature(fun)
    except (TypeError, ValueError):
        return None


def _lifted(leaf: Any, title: str) -> Operand:
    """An argument that is differentiated, as an operand."""
    return lift(leaf, f"{title}: argument").__symc_operand__()


def _summed(result: Any, parts: Sequence[Any]) -> Any:
    """The sum of trees like `result`; zeros when there are none."""
    leaves, tree = trees.flatten(result)
    totals = [leaf * 0 if not parts else None for leaf in leaves]
    for part in parts:
        own = trees.flatten(part)[0]
        totals = [new if old is None else old + new for old, new in zip(totals, own, strict=True)]
    return trees.unflatten(tree, totals)
