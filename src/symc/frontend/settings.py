"""Options of a compiled function: keyword arguments over `sc.options(...)` over the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from symc.ir.errors import DomainError, message
from symc.ir.locations import here
from symc.ir.options import OPTION_NAMES, Options

_NOTHING: Final[Mapping[str, Any]] = {}
_DEFAULTS: Final = Options()
_chosen: ContextVar[Mapping[str, Any]] = ContextVar("options", default=_NOTHING)


@contextmanager
def options(**chosen: Any) -> Iterator[None]:
    """Defaults for functions made inside the `with` block; names and values as in sc.function."""
    resolve(chosen)
    token = _chosen.set({**_chosen.get(), **chosen})
    try:
        yield
    finally:
        _chosen.reset(token)


def current() -> Options:
    """The options of what is called without any: those of `sc.options(...)`, or the defaults."""
    chosen = _chosen.get()
    return Options(**chosen) if chosen else _DEFAULTS


def resolve(given: Mapping[str, Any]) -> Options:
    """The options of one function; DomainError for an unknown name or value."""
    for name in given:
        if name not in OPTION_NAMES:
            raise DomainError(
                message(
                    f"unknown option {name}",
                    expected=" ".join(OPTION_NAMES),
                    where=here(),
                )
            )
    return Options(**{**_chosen.get(), **given})
