"""Nests as text for people: what each kernel reads, computes and writes, in which loops.

before: a `Nest`.  after: lines such as

    nest k0(in0: in f32[n,10], out1: out f32[n])
      for i0 < n:
        for i1 < 10:
          %0 = in0[i0, i1]
          %1 = exp(%0)
          out1[i0] = sum over i1 of %1

Invariants: equal nests print alike; names are given in order, so the text is deterministic.  The
form is for reading and for golden tests; `generic_nest.py` writes what is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symc.ir.affine import Affine, IndexMap
from symc.ir.core import Attr, Node, Value
from symc.ir.dims import Size
from symc.ir.nest import ContractStage, Gather, Load, MapStage, Nest, Store
from symc.ir.types import Literal, dtype_name


def print_nest(nest: Nest) -> str:
    """The nest as indented lines, ending in a newline."""
    return "\n".join(_lines(nest)) + "\n"


def _lines(nest: Nest) -> Iterator[str]:
    operands = ", ".join(f"{op.name}: {op.role} {op.type}" for op in nest.operands)
    symbols = f" dims {', '.join(nest.symbols)}" if nest.symbols else ""
    yield f"nest {nest.name}({operands}){symbols}"
    names = [f"i{axis}" for axis in range(len(nest.outer))]
    indent = "  "
    if nest.outer:
        yield f"{indent}{_loop(names, nest.outer)}"
        indent += "  "
    for stage in nest.stages:
        text = _Stage(nest, stage)
        yield from (indent + line for line in text.lines(names))


def _loop(names: Sequence[str], sizes: Sequence[Size]) -> str:
    ranges = ", ".join(f"{name} < {size}" for name, size in zip(names, sizes, strict=True))
    return f"for {ranges}:" if ranges else "once:"


class _Stage:
    """The lines of one stage."""

    def __init__(self, nest: Nest, stage: MapStage | ContractStage) -> None:
        self._operands = [operand.name for operand in nest.operands]
        self._stage = stage
        self._names: dict[Value, str] = {}

    def lines(self, outer: Sequence[str]) -> Iterator[str]:
        match self._stage:
            case MapStage() as stage:
                names = [*outer, *(f"i{len(outer) + axis}" for axis in range(len(stage.inner)))]
                yield _loop(names[len(outer) :], stage.inner)
                yield from ("  " + line for line in self._body(names, iter(stage.body.params)))
            case ContractStage() as stage:
                yield from self._contract(stage)

    def _contract(self, stage: ContractStage) -> Iterator[str]:
        batch = [f"b{i}" for i in range(len(stage.batch))]
        m = [f"m{i}" for i in range(len(stage.m))]
        n = [f"n{i}" for i in range(len(stage.n))]
        k = [f"k{i}" for i in range(len(stage.k))]
        names = [*batch, *m, *n]
        yield _loop(names, (*stage.batch, *stage.m, *stage.n))
        params = iter(stage.body.params)
        element = self._name(next(params))
        over = ", ".join(f"{name} < {size}" for name, size in zip(k, stage.k, strict=True))
        lhs = self._load(stage.lhs, [*batch, *m, *k])
        rhs = self._load(stage.rhs, [*batch, *k, *n])
        order = "" if stage.order == "any" else f" in {stage.order} order"
        kind = dtype_name(stage.dtype)
        yield f"  {element} = {kind} sum over {over or 'nothing'} of {lhs} * {rhs}{order}"
        yield from ("  " + line for line in self._body(names, params))

    def _body(self, names: Sequence[str], params: Iterator[Value]) -> Iterator[str]:
        stage = self._stage
        for load in stage.loads:
            yield f"{self._name(next(params))} = {self._load(load, names)}"
        if isinstance(stage, MapStage):
            for axis in stage.indices:
                yield f"{self._name(next(params))} = {names[axis]}"
        for node in stage.body.nodes:
            yield self._node(node)
        for store, value in zip(stage.stores, stage.body.results, strict=True):
            yield self._store(store, self._name(value), names)

    def _name(self, value: Value) -> str:
        return self._names.setdefault(value, f"%{len(self._names)}")

    def _node(self, node: Node) -> str:
        operands = [self._name(operand) for operand in node.operands]
        attrs = [f"{name}={_attribute(value)}" for name, value in sorted(node.attrs.items())]
        return f"{self._name(node.results[0])} = {node.op.name}({', '.join(operands + attrs)})"

    def _load(self, load: Load, names: Sequence[str]) -> str:
        fill = f" or {load.fill}" if load.map.valid else ""
        return self._place(load.operand, load.map, load.gathers, names) + fill

    def _store(self, store: Store, value: str, names: Sequence[str]) -> str:
        place = self._place(store.operand, store.map, store.gathers, names)
        if store.reducer is not None:
            outer = len(names) - self._inner()
            axes = ", ".join(names[outer + axis] for axis in store.reduced)
            value = f"{store.reducer.name} over {axes or 'nothing'} of {value}"
        return f"{place} {store.combine or ''}= {value}"

    def _inner(self) -> int:
        return len(self._stage.inner) if isinstance(self._stage, MapStage) else 0

    def _place(
        self, operand: int, map: IndexMap, gathers: Sequence[Gather], names: Sequence[str]
    ) -> str:
        indices = [_affine(index, names) for index in map.indices]
        for gather in gathers:
            where = self._place(gather.operand, gather.map, (), names)
            indices[gather.axis] = f"{gather.mode} {where}"
        return f"{self._operands[operand]}[{', '.join(indices)}]"


def _affine(index: Affine, names: Sequence[str]) -> str:
    parts = []
    for factor, name in zip(index.factors, names, strict=True):
        if factor == 1:
            parts.append(name)
        elif factor != 0:
            parts.append(f"{factor}*{name}" if isinstance(factor, int) else f"({factor})*{name}")
    if index.offset != 0 or not parts:
        parts.append(str(index.offset))
    return " + ".join(parts)


def _attribute(value: Attr) -> str:
    if isinstance(value, Literal):
        return str(value.array.tolist())
    return str(value)
