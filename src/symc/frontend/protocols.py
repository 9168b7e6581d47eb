"""NumPy's protocols: which array function stands for which function of NumPy.

before: `np.exp(x)`, `ndarray * x` on a symbolic `x`.  after: symc's function of the same meaning,
or an UnsupportedError that names what is missing.  The table is filled where array functions are
defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from symc.ir.errors import TracerError, UnsupportedError, message
from symc.ir.locations import here

STANDS_FOR: Final[dict[Callable[..., Any], Callable[..., Any]]] = {}

# Methods that symbolic values have beside those of the Array API, because ndarrays have them.
METHODS: Final[dict[str, Callable[..., Any]]] = {}


def ufunc(called: Any, method: str, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What `__array_ufunc__` answers."""
    if kwargs.get("out") is not None:
        raise TracerError(
            message(
                f"numpy.{called.__name__} cannot write a symbolic value into an ndarray",
                where=here(),
                advice="x = x + y instead of `x += y` or out=, with x from symc",
            )
        )
    if method != "__call__":
        raise _missing(f"{called.__name__}.{method}")
    return function(called, inputs, kwargs)


def function(called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What `__array_function__` answers."""
    found = STANDS_FOR.get(called)
    if found is None:
        raise _missing(called.__name__)
    if "out" in kwargs and kwargs["out"] is not None:
        raise TracerError(
            message(
                f"numpy.{called.__name__}: out= of a symbolic result",
                where=here(),
                advice="use the result",
            )
        )
    try:
        return found(*args, **kwargs)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        raise _missing(f"{called.__name__} with {', '.join(kwargs)}") from error


def _missing(name: str) -> UnsupportedError:
    return UnsupportedError(
        message(
            f"numpy.{name} has no symbolic form",
            where=here(),
            advice="an array function of symc, or the call outside the traced program",
        )
    )


def no_pickle(value: object) -> UnsupportedError:
    """The error for a symbolic value, which is part of a graph."""
    return UnsupportedError(
        message(
            "pickle of a symbolic value",
            got=repr(value),
            expected="a compiled function, a shared variable or an array",
            where=here(),
            advice="sc.function([...], expression), which is pickled with its program",
        )
    )
