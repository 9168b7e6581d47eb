"""From free values to an `Entry`: which values are inputs, states and hidden constants.

before: results and updates as values of a free graph, and the values that are to be inputs.  after:
a closed `Function` and the roles of its params.  What the results reach besides the inputs must be
shared variables or captured arrays; all else is reported as missing or leaked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from symc.frontend import constraints
from symc.frontend.operand import CapturedValue, StateValue, VarValue
from symc.ir.binding import binders
from symc.ir.core import Attr, Function, Node, Value, reachable_whole
from symc.ir.dims import Dim, Symbol, symbols
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import MissingInputError, TracerError, message
from symc.ir.locations import here
from symc.ir.program import Accept
from symc.ir.types import BOOL, TensorType, is_float
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.frontend.shared import Shared


@dataclass(frozen=True, slots=True)
class Traced:
    """An entry and the shared variables that its states stand for."""

    entry: Entry
    states: tuple[Shared, ...]
    lifted: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """The new value of a shared variable."""

    shared: Shared
    value: Value


def accepted(type: TensorType) -> int:
    """What an input of a declared type takes without conversion, as bits of `Accept`."""
    if type.rank:
        return Accept.ARRAY
    numbers = Accept.ARRAY | Accept.BOOL
    if type.dtype == BOOL:
        return numbers
    return numbers | Accept.INT | (Accept.FLOAT if is_float(type.dtype) else 0)


def build(
    name: str,
    inputs: Sequence[Value],
    infos: Sequence[InputInfo],
    results: Sequence[Value],
    updates: Sequence[Update] = (),
    *,
    lift: bool = False,
) -> Traced:
    """The entry that computes `results` and `updates` from `inputs`.

    With `lift`, captured arrays become inputs after `inputs`, in `Traced.lifted`.
    """
    wanted = (*results, *(update.value for update in updates))
    nodes, free = reachable_whole(wanted, stop=inputs)
    states: dict[Shared, None] = {}
    captured: list[CapturedValue] = []
    for value in free:
        match value:
            case StateValue():
                states[value.shared] = None
            case CapturedValue():
                captured.append(value)
            case _:
                raise _free(name, value)
    states.update(dict.fromkeys(update.shared for update in updates))
    ordered = sorted(states, key=lambda shared: shared.serial)
    number = {shared: i for i, shared in enumerate(ordered)}
    values = [shared.value for shared in ordered]
    params = (*inputs, *captured, *values) if lift else (*inputs, *values, *captured)
    _check_bound(name, params, nodes)
    arrays = tuple(value.array for value in captured)
    taken = [InputInfo(f"captured{i}") for i in range(len(captured))] if lift else []
    entry = Entry(
        Function(name, params, tuple(nodes), wanted, constraints.carried_by(nodes)),
        (*infos, *taken),
        states=tuple(shared.name or f"shared{i}" for i, shared in enumerate(ordered)),
        constants=() if lift else arrays,
        updates=tuple(number[update.shared] for update in updates),
    )
    return Traced(entry, tuple(ordered), arrays if lift else ())


def _free(name: str, value: Value) -> MissingInputError | TracerError:
    if isinstance(value, VarValue):
        return MissingInputError(
            message(
                f"{name}: the outputs depend on {value.name}, which is not an input",
                got=f"{value.name}: {value.type}, declared at {value.location}",
                where=here(),
                advice=f"add {value.name} to the inputs, or to givens=",
            )
        )
    return TracerError(
        message(
            f"{name}: a value of another trace was used (a leaked tracer)",
            got=f"{value.name or 'value'}: {value.type}",
            expected="values made in this trace, shared variables, arrays",
            where=here(),
            advice="pass it as an argument",
        )
    )


def _check_bound(name: str, params: Sequence[Value], nodes: Sequence[Node]) -> None:
    """Every size that the program needs must be the size of an axis of some param."""
    bound: set[Symbol] = set()
    for param in params:
        for size in param.type.shape:
            found = symbols(size)
            if len(found) == 1 and str(size) == next(iter(found)).name:
                bound |= found
    bound.update(binders(nodes))
    for symbol, node in symbols_of(nodes).items():
        if symbol not in bound:
            raise _unbound(name, node, symbol.name)
    for param in params:
        missing = param.type.symbols() - bound
        if missing:
            raise _unbound(name, param, min(symbol.name for symbol in missing))


def symbols_of(nodes: Sequence[Node]) -> dict[Symbol, Node]:
    """The names in result types and attributes, each with the first node that has it."""
    found: dict[Symbol, Node] = {}
    seen: set[int] = set()  # types by identity, which the nodes keep alive
    for node in nodes:
        names: list[Symbol] = []
        for result in node.results:
            if id(result.type) not in seen:
                seen.add(id(result.type))
                names += result.type.symbols()
        for attr in node.attrs.values():
            if isinstance(attr, tuple | Dim):
                names += attr_symbols(attr)
        for symbol in sorted(names, key=lambda symbol: symbol.name) if names else ():
            found.setdefault(symbol, node)
    return found


def attr_symbols(attr: Attr) -> frozenset[Symbol]:
    """The names in an attribute."""
    if isinstance(attr, Dim):
        return symbols(attr)
    if isinstance(attr, tuple):
        return frozenset().union(*map(attr_symbols, attr))
    return frozenset()


def _unbound(name: str, source: Node | Value, missing: str) -> MissingInputError:
    place = source.locations[0] if isinstance(source, Node) else here()
    return MissingInputError(
        message(
            f"{name}: no input has the size {missing}",
            got=source,
            expected=f"an input with an axis of size {missing}",
            where=place,
            advice="add the variable that the size comes from to the inputs",
        )
    )
