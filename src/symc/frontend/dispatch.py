"""Array functions: symbolic on symbolic arguments, computed at once on concrete ones.

before: a function of Exprs.  after: the same function, which also takes concrete arrays; NumPy's
functions of the same meaning lead to it when they meet a symbolic value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from symc.frontend import eager
from symc.frontend.operand import mentions_symbolic
from symc.frontend.protocols import METHODS, STANDS_FOR

F = TypeVar("F", bound=Callable[..., Any])


def array_function(*stands_for: Callable[..., Any]) -> Callable[[F], F]:
    """Declare an array function; `stands_for`: functions of NumPy with the same meaning."""

    def declare(body: F) -> F:
        @wraps(body)
        def function(*args: Any, **kwargs: Any) -> Any:
            if any(map(mentions_symbolic, args)) or any(map(mentions_symbolic, kwargs.values())):
                return body(*args, **kwargs)
            return eager.call(body, args, kwargs)

        for numpy_function in stands_for:
            STANDS_FOR[numpy_function] = function
        return function  # type: ignore[return-value]

    return declare


def stands_for(*numpy_functions: Callable[..., Any]) -> Callable[[F], F]:
    """Declare a function that decides by itself what is symbolic, and its names in NumPy."""

    def declare(function: F) -> F:
        for numpy_function in numpy_functions:
            STANDS_FOR[numpy_function] = function
        return function

    return declare


def method(function: F) -> F:
    """Declare an array function to be a method of symbolic values too, as it is of ndarrays."""
    METHODS[function.__name__] = function
    return function
