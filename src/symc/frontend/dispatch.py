"""Array functions: symbolic on symbolic arguments, computed at once on concrete ones.

before: a function of Exprs.  after: the same function, which also takes concrete arrays; NumPy's
functions of the same meaning lead to it when they meet a symbolic value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from symc.frontend import eager
from symc.frontend.operand import is_symbolic
from symc.frontend.protocols import STANDS_FOR

F = TypeVar("F", bound=Callable[..., Any])


def array_function(*stands_for: Callable[..., Any]) -> Callable[[F], F]:
    """Declare an array function; `stands_for`: functions of NumPy with the same meaning."""

    def declare(body: F) -> F:
        @wraps(body)
        def function(*args: Any, **kwargs: Any) -> Any:
            if any(map(_mentions, args)) or any(map(_mentions, kwargs.values())):
                return body(*args, **kwargs)
            return eager.call(body, args, kwargs)

        for numpy_function in stands_for:
            STANDS_FOR[numpy_function] = function
        return function  # type: ignore[return-value]

    return declare


def _mentions(argument: Any) -> bool:
    """Whether an argument is symbolic, or a sequence with a symbolic item."""
    if isinstance(argument, list | tuple):
        return any(map(_mentions, argument))
    return is_symbolic(argument)
