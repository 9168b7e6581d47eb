"""Checks the invariants of tensor functions; run after every pass in tests and under `check=`.

before: any function.  after: nothing, or OpContractError with the broken rule, the node, and the
lines of the text form around it.

Rules: values are defined before their uses and in one place; every node's types are what its op
infers; params and dims are known; regions see only their params.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

from symc.ir.binding import bound_by, has_computed
from symc.ir.build import check_type, infer
from symc.ir.core import Attr, Function, Node, Value
from symc.ir.dims import Dim, Size, Symbol, symbols
from symc.ir.errors import OpContractError, SymcError, message
from symc.ir.ops import OPS
from symc.ir.text import Printer

WINDOW = 3  # lines before and after the node


def verify(function: Function) -> None:
    """Raise OpContractError unless `function` and its regions keep all rules."""
    check = _Check(function)
    todo: list[tuple[Function, frozenset[Symbol]]] = [(function, frozenset())]
    while todo:
        current, outer = todo.pop()
        known = outer | check.params(current)
        known = check.nodes(current, known)
        todo += [(region, known) for node in current.nodes for region in node.regions]


class _Check:
    """The rules, with the function to quote from."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.owner: dict[Value, Function] = {}

    def refuse(self, rule: str, node: Node | None = None, got: object = None) -> NoReturn:
        where = node.locations[0] if node is not None and node.locations else None
        subject = f"{self.function.name}: {rule}" + (f" ({node.op.name})" if node else "")
        raise OpContractError(message(subject, got=got, where=where) + _window(self.function, node))

    def define(self, value: Value, function: Function, node: Node | None) -> None:
        """Each value belongs to one place of one function."""
        before = self.owner.setdefault(value, function)
        if before is not function:
            self.refuse("a value is shared between functions", node, value)

    def params(self, function: Function) -> frozenset[Symbol]:
        """The dims that the params bind."""
        if len(set(function.params)) != len(function.params):
            self.refuse("a parameter occurs twice")
        for param in function.params:
            if param.node is not None:
                self.refuse("a parameter is the result of a node", param.node)
            self.define(param, function, None)
            self._type(param, None)
        return frozenset().union(*(param.type.symbols() for param in function.params))

    def _type(self, value: Value, node: Node | None) -> None:
        try:
            check_type("type", value.type)
        except SymcError as error:
            self.refuse("impossible type", node, error)

    def nodes(self, function: Function, known: frozenset[Symbol]) -> frozenset[Symbol]:
        """All nodes of one function, its results and its constraints; the dims known at its end."""
        defined = set(function.params)
        seen: set[Node] = set()
        for node in function.nodes:
            if node in seen:
                self.refuse("a node occurs twice", node)
            seen.add(node)
            for operand in node.operands:
                if operand not in defined:
                    self.refuse("an operand is not defined before its use", node, operand)
            own = bound_by(node)
            if own is not None:
                known |= {own}
            self._node(node, known)
            for result in node.results:
                self.define(result, function, node)
                defined.add(result)
        for result in function.results:
            if result not in defined:
                self.refuse("a result of the function is not defined", result.node, result)
        for constraint in function.constraints:
            self._sizes((constraint.left, constraint.right), known, None)
        return known

    def _node(self, node: Node, known: frozenset[Symbol]) -> None:
        if OPS.get(node.op.name) is not node.op:
            self.refuse("the operation is not in the table", node)
        if not node.locations:
            self.refuse("the node has no location", node)
        for number, result in enumerate(node.results):
            if result.node is not node or result.index != number:
                self.refuse("a result belongs to another node", node, result)
        types = tuple(operand.type for operand in node.operands)
        try:
            expected = infer(node.op, types, node.attrs, node.regions)
        except SymcError as error:
            self.refuse(f"the operands do not fit: {error}".split("\n", maxsplit=1)[0], node)
        got = tuple(result.type for result in node.results)
        if got != expected:
            self.refuse(f"the results should be {list(expected)}", node, list(got))
        self._sizes(_sizes_of(node.attrs.values()), known, node)
        computed = (s for result in node.results for s in result.type.shape if has_computed(s))
        self._sizes(computed, known, node)

    def _sizes(self, sizes: Iterable[Size], known: frozenset[Symbol], node: Node | None) -> None:
        for size in sizes:
            unknown = [s for s in symbols(size) if s not in known]
            if unknown:
                names = ", ".join(sorted(str(symbol) for symbol in unknown))
                if any(symbol.computed for symbol in unknown):
                    self.refuse(f"nothing binds dim {names} before", node, size)
                self.refuse(f"no parameter has dim {names}", node, size)


def _sizes_of(values: Iterable[Attr]) -> Iterator[Size]:
    todo = list(values)
    while todo:
        value = todo.pop()
        if isinstance(value, Dim):
            yield value
        elif isinstance(value, tuple):
            todo += value


def _window(function: Function, node: Node | None) -> str:
    """The lines around a node, the node's own marked."""
    printer = Printer()
    lines = printer.function(function)
    if node is None or node not in printer.lines:
        return ""
    text = "\n".join(lines).split("\n")
    centre = printer.lines[node]
    first, last = max(0, centre - WINDOW), min(len(text), centre + WINDOW + 1)
    shown = [f"{'>' if i == centre else ' '} {text[i]}" for i in range(first, last)]
    return "\n" + "\n".join(shown)
