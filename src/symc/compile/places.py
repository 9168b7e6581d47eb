"""The user's lines of a stored program.

before: a traced function and the locations of the program made from it.  after: metadata that names
locations by number, which a later process turns into the lines of its own source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from symc.ir.core import Function, Locations
from symc.ir.locations import UNKNOWN

SEPARATOR = ", "


def numbers(function: Function, locations: Sequence[str]) -> dict[str, object]:
    """For each location, a list of (owner, position there); an owner is a node or a constraint.

    A fused kernel has several lines in one text.
    """
    known: dict[str, tuple[int, int]] = {}
    for owner, places in enumerate(_owners(function)):
        for position, place in enumerate(places):
            known.setdefault(str(place), (owner, position))
    listed = [text.split(SEPARATOR) for text in locations]
    return {"places": [[list(known[line]) for line in lines if line in known] for lines in listed]}


def attach(function: Function, metadata: Mapping[str, object]) -> list[str]:
    """This process's own locations for the numbers of a cache entry."""
    owners = list(_owners(function))
    stored = metadata.get("places")
    return [_joined(owners, pairs) for pairs in stored] if isinstance(stored, list) else []


def _owners(function: Function) -> Iterator[Locations]:
    """Locations of the nodes, then of the constraints; then those of regions."""
    todo = [function]
    while todo:
        current = todo.pop()
        for node in current.nodes:
            yield node.locations
            todo.extend(node.regions)
        for constraint in current.constraints:
            yield (constraint.location,)


def _joined(owners: Sequence[Locations], pairs: object) -> str:
    lines = [_line(owners, pair) for pair in pairs] if isinstance(pairs, list) else []
    return SEPARATOR.join(dict.fromkeys(lines)) or str(UNKNOWN)


def _line(owners: Sequence[Locations], pair: object) -> str:
    match pair:
        case [int(owner), int(position)] if 0 <= owner < len(owners) and position >= 0:
            places = owners[owner]
            return str(places[min(position, len(places) - 1)])
        case _:
            return str(UNKNOWN)
