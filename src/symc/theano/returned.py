"""What the step of a Theano scan returned: outputs, updates, and a condition to stop.

before: one value, a list, a dict, or several of them, each part optional.  after: a `Returned`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from symc.frontend.shared import Shared
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.records import dataclass


class until:  # noqa: N801  (Theano's name)
    """A condition after which a scan stops."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Returned:
    """The parts of what a step returned."""

    outputs: list[Any]
    updates: list[tuple[Shared, Any]]
    single: bool
    stops: Any = None  # whether the loop stops after this step; None: it goes on


def parsed(made: Any, title: str) -> Returned:
    """The parts, in Theano's order: outputs, updates, until."""
    several = isinstance(made, tuple | list) and any(_is_updates(x) or _stops(x) for x in made)
    updates: list[tuple[Shared, Any]] = []
    conditions, kept = [], []
    for part in made if several else [made]:
        if _stops(part):
            conditions.append(part.condition)
        elif _is_updates(part):
            updates += part.items() if isinstance(part, Mapping) else part
        else:
            kept.append(part)
    _require_once(updates, title)
    if len(conditions) > 1:
        raise DomainError(message(title, got="two until", expected="one condition", where=here()))
    if len(kept) > 1:
        found = Returned(kept, updates, single=False)
    else:
        found = _outputs(kept[0] if kept else None, updates)
    return replace(found, stops=conditions[0]) if conditions else found


def _require_once(updates: list[tuple[Shared, Any]], title: str) -> None:
    seen: set[Shared] = set()
    for target, _ in updates:
        if target in seen:
            raise DomainError(
                message(
                    f"{title}: two updates of shared variable {target.name}",
                    expected="one new value each",
                    where=here(),
                )
            )
        seen.add(target)


def _outputs(given: Any, updates: list[tuple[Shared, Any]]) -> Returned:
    if given is None:
        return Returned([], updates, single=False)
    if isinstance(given, list | tuple):
        return Returned(list(given), updates, single=len(given) == 1)
    if isinstance(given, Mapping):
        keys = [type(key).__name__ for key in given]
        raise DTypeError(
            message("updates", got=keys, expected="shared variables as keys", where=here())
        )
    return Returned([given], updates, single=True)


def _is_updates(part: Any) -> bool:
    if isinstance(part, Mapping):
        return all(isinstance(key, Shared) for key in part)
    if not isinstance(part, list | tuple) or not part:
        return False
    return all(isinstance(x, tuple | list) and len(x) == 2 and _keys(x) for x in part)


def _keys(pair: Any) -> bool:
    return isinstance(pair[0], Shared)


def _stops(part: Any) -> bool:
    return isinstance(part, until)
