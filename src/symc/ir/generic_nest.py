"""Nests in MLIR's generic form, which `parse_nest.py` reads back and `mlir-opt` and xDSL accept.

before: nests.  after: one `symc.nest` operation each: its block's params are the operands, its
stages are operations with the body as their region.  Accesses are attributes:

    load    [operand, map, gathers, fill]
    store   [operand, map, reducer, reduced axes, gathers, combine]
    gather  [operand, map, axis, mode]
    map     [rank, rows, guarded axes]; a row holds the factors of the iteration indices, then the
            offset

Invariants: the text holds everything that a nest holds (its user lines only when asked for); equal
nests print alike.  `text_nest.py` writes the shorter form for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from symc.ir.affine import IndexMap
from symc.ir.core import Attr, Function, Value
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Stage, Store
from symc.ir.text import RETURN, Printer, attrs_text, location_text

NEST = "symc.nest"
MAP_STAGE = "symc.map_stage"
CONTRACT_STAGE = "symc.contract_stage"


def nests_text(nests: Iterable[Nest], locations: bool = False) -> str:
    """The nests one after the other; with `locations`, the user's lines."""
    return "".join(nest_text(nest, locations) for nest in nests)


def nest_text(nest: Nest, locations: bool = False) -> str:
    """The nest as one operation, ending in a newline."""
    return "\n".join(_lines(nest, Printer(locations=locations))) + "\n"


def _lines(nest: Nest, printer: Printer) -> Iterator[str]:
    params = [
        f"%{printer.number(Value(operand.type))}: {printer.type(operand.type)}"
        for operand in nest.operands
    ]
    yield f'"{NEST}"() ({{'
    yield f"^bb0({', '.join(params)}):" if params else "^bb0:"
    for stage in nest.stages:
        yield from _stage(stage, printer)
    yield f'  "{RETURN}"() : () -> ()'
    attrs: dict[str, Attr] = {
        "sym_name": nest.name,
        "names": tuple(operand.name for operand in nest.operands),
        "roles": tuple(operand.role for operand in nest.operands),
        "outer": nest.outer,
        "dims": nest.symbols,
    }
    shown = printer.locations and nest.locations
    place = f" {location_text(nest.locations)}" if shown else ""
    yield f"}}) {attrs_text(attrs)} : () -> (){place}"


def _stage(stage: Stage, printer: Printer) -> Iterator[str]:
    match stage:
        case MapStage():
            name = MAP_STAGE
            own: dict[str, Attr] = {"inner": stage.inner, "indices": stage.indices}
        case ContractStage():
            name = CONTRACT_STAGE
            own = {"batch": stage.batch, "m": stage.m, "n": stage.n, "k": stage.k}
            own |= {"lhs": load_attr(stage.lhs), "rhs": load_attr(stage.rhs)}
            own |= {"dtype": stage.dtype, "order": stage.order}
    yield f'  "{name}"() ({{'
    yield from _body(stage.body, printer)
    attrs = own | {
        "loads": tuple(map(load_attr, stage.loads)),
        "stores": tuple(map(store_attr, stage.stores)),
        "sym_name": stage.body.name,
    }
    names = tuple(param.name for param in stage.body.params)
    if any(name is not None for name in names):
        attrs["names"] = names
    yield f"  }}) {attrs_text(attrs)} : () -> ()"


def _body(body: Function, printer: Printer) -> Iterator[str]:
    yield printer.block(body, 2)
    for node in body.nodes:
        yield f"    {printer.before(node)}{printer.after(node)}"
    yield f"    {printer.returned(body)}"


def load_attr(load: Load) -> Attr:
    """A load as an attribute."""
    gathers = tuple(map(gather_attr, load.gathers))
    return (load.operand, map_attr(load.map), gathers, load.fill)


def store_attr(store: Store) -> Attr:
    """A store as an attribute; the reducer goes by its name."""
    reducer = None if store.reducer is None else store.reducer.name
    gathers = tuple(map(gather_attr, store.gathers))
    place = map_attr(store.map)
    return (store.operand, place, reducer, store.reduced, gathers, store.combine)


def gather_attr(gather: Gather) -> Attr:
    """A gathered index as an attribute."""
    return (gather.operand, map_attr(gather.map), gather.axis, gather.mode)


def map_attr(map: IndexMap) -> Attr:
    """An index map as an attribute."""
    rows = tuple((*index.factors, index.offset) for index in map.indices)
    return (map.rank, rows, map.valid)
