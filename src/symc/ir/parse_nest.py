"""Text to nests: the reverse of `generic_nest.py`.

before: text.  after: nests whose text is the same, and which `verify_nest` accepts.

Invariant: malformed text of any kind raises ParseError with line and column, and nothing else.
"""

from __future__ import annotations

from functools import lru_cache

from symc.ir.affine import Affine, IndexMap
from symc.ir.attr_fields import Fields
from symc.ir.attr_text import Reader
from symc.ir.core import Attr, Function, Locations
from symc.ir.errors import OpContractError
from symc.ir.generic_nest import CONTRACT_STAGE, MAP_STAGE, NEST
from symc.ir.lexer import Token
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Operand, Stage, Store
from symc.ir.ops import OPS
from symc.ir.ops.record import Reducer
from symc.ir.parse import Block, Blocks
from symc.ir.text import RETURN
from symc.ir.types import TensorType
from symc.ir.verify_nest import verify_nest


def parse_nests(text: str) -> tuple[Nest, ...]:
    """All nests of a text; ParseError for anything else."""
    reader = _Nests(text)
    found: list[Nest] = []
    while reader.read.here.kind != "end":
        found.append(reader.nest())
    return tuple(found)


def parse_nest(text: str) -> Nest:
    """The one nest of a text; ParseError for anything else."""
    reader = _Nests(text)
    found = reader.nest()
    if reader.read.here.kind != "end":
        raise reader.read.error("text after the end of the nest")
    return found


@lru_cache(maxsize=1)
def reducers() -> dict[str, Reducer]:
    """The reducers of all operations, by name."""
    found = (op.reducer({}) for op in OPS.values() if op.reducer is not None)
    return {reducer.name: reducer for reducer in found}


class _Nests:
    """A cursor over nests."""

    def __init__(self, text: str) -> None:
        self.read = Reader(text)
        self.blocks = Blocks(self.read)

    def nest(self) -> Nest:
        """One nest."""
        read, blocks = self.read, self.blocks
        start = read.here
        blocks.name(NEST)
        read.sign("(", ")", "(", "{")
        types = [value.type for value in blocks.label().values()]
        stages: list[Stage] = []
        while read.here.text != f'"{RETURN}"':
            stages.append(self.stage())
        blocks.name(RETURN)
        read.sign("(", ")", ":", "(", ")", "->", "(", ")", "}", ")")
        fields = Fields(read, start, read.attrs())
        locations = self.end()
        nest = Nest(
            fields.text("sym_name"),
            _operands(fields, types),
            fields.sizes("outer"),
            tuple(stages),
            fields.texts("dims"),
            locations,
        )
        fields.done()
        self.verify(nest, start)
        return nest

    def verify(self, nest: Nest, start: Token) -> None:
        try:
            verify_nest(nest)
        except OpContractError as error:
            raise self.read.error(str(error), start) from None

    def end(self) -> Locations:
        """`: () -> ()` and a location, if one is written."""
        self.read.sign(":", "(", ")", "->", "(", ")")
        return self.read.locations() if self.read.sees("loc") else ()

    def stage(self) -> Stage:
        """One stage with its body."""
        read = self.read
        start = read.kind("string")
        read.sign("(", ")", "(", "{")
        block = self.blocks.region()
        fields = _Accesses(read, start, read.attrs())
        self.end()
        match start.text[1:-1]:
            case name if name == MAP_STAGE:
                stage: Stage = _map_stage(fields, block)
            case name if name == CONTRACT_STAGE:
                stage = _contract_stage(fields, block)
            case _:
                raise read.error("expected a stage", start)
        fields.done()
        return stage


def _operands(fields: Fields, types: list[TensorType]) -> tuple[Operand, ...]:
    names, roles = fields.texts("names"), fields.texts("roles")
    if not len(names) == len(roles) == len(types):
        fields.refuse("a nest needs one name and one role per operand")
    return tuple(map(Operand, names, types, roles))


def _map_stage(fields: _Accesses, block: Block) -> MapStage:
    return MapStage(
        inner=fields.sizes("inner"),
        loads=fields.loads(),
        indices=fields.wholes("indices"),
        body=_body(fields, block),
        stores=fields.stores(),
    )


def _contract_stage(fields: _Accesses, block: Block) -> ContractStage:
    batch, m, n, k = (fields.sizes(name) for name in ("batch", "m", "n", "k"))
    return ContractStage(
        batch=batch,
        m=m,
        n=n,
        k=k,
        lhs=fields.as_load(fields.take("lhs"), "lhs"),
        rhs=fields.as_load(fields.take("rhs"), "rhs"),
        dtype=fields.dtype("dtype"),
        order=fields.text("order"),
        loads=fields.loads(),
        body=_body(fields, block),
        stores=fields.stores(),
    )


def _body(fields: Fields, block: Block) -> Function:
    names: tuple[Attr, ...] = ()
    if "names" in fields.attrs:
        names = fields.parts(fields.take("names"), "names", len(block.params))
    for param, name in zip(block.params, names, strict=False):
        param.name = None if name is None else fields.as_text(name, "names")
    return Function(fields.text("sym_name"), block.params, tuple(block.nodes), block.results)


class _Accesses(Fields):
    """The attributes of a stage."""

    def loads(self) -> tuple[Load, ...]:
        return self.each(self.take("loads"), "loads", self.as_load)

    def stores(self) -> tuple[Store, ...]:
        return self.each(self.take("stores"), "stores", self.as_store)

    def as_load(self, value: Attr, name: str) -> Load:
        operand, map, gathers, fill = self.parts(value, name, 4)
        if not isinstance(fill, bool | int | float):
            self.refuse(f"{name}: expected a number to fill with")
        found = self.each(gathers, name, self.as_gather)
        return Load(self.as_whole(operand, name), self.as_map(map, name), found, fill)

    def as_store(self, value: Attr, name: str) -> Store:
        operand, map, reducer, reduced, gathers, combine = self.parts(value, name, 6)
        return Store(
            self.as_whole(operand, name),
            self.as_map(map, name),
            None if reducer is None else self.as_reducer(reducer, name),
            self.each(reduced, name, self.as_whole),
            self.each(gathers, name, self.as_gather),
            None if combine is None else self.as_text(combine, name),
        )

    def as_reducer(self, value: Attr, name: str) -> Reducer:
        found = reducers().get(self.as_text(value, name))
        return found if found is not None else self.refuse(f"{name}: unknown reducer {value}")

    def as_gather(self, value: Attr, name: str) -> Gather:
        operand, map, axis, mode = self.parts(value, name, 4)
        place = self.as_map(map, name)
        return Gather(
            self.as_whole(operand, name), place, self.as_whole(axis, name), self.as_text(mode, name)
        )

    def as_map(self, value: Attr, name: str) -> IndexMap:
        rank, rows, valid = self.parts(value, name, 3)
        count = self.as_whole(rank, name)

        def row(value: Attr, name: str) -> Affine:
            *factors, offset = self.each(self.parts(value, name, count + 1), name, self.as_size)
            return Affine(tuple(factors), offset)

        return IndexMap(count, self.each(rows, name, row), self.each(valid, name, self.as_whole))
