"""Delta debugging of functions: the least part that still fails.

before: a function and a test that it fails.  after: a function that fails it too and from which no
single step of this module takes anything more: results, nodes at the end, nodes at the beginning,
single nodes (what they made becomes an input), nodes that only pass an operand on, large sizes.

Invariants: what comes back fails the test; the test is run at most `most` times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from symc.compile.resize import resized, smaller
from symc.ir.core import Function, Node, Value
from symc.ir.dims import symbols
from symc.ir.errors import SymcError
from symc.ir.rewriter import remake

Fails = Callable[[Function], bool]

MOST: Final = 600


def minimised(function: Function, fails: Fails, most: int = MOST) -> Function:
    """A small function that still fails; `function` itself when it does not."""
    search = _Search(fails, most)
    search.tries(function)
    steps = (_fewer_results, _prefixes, _suffixes, _without, _bypassed, _small)
    while sum(map(search.improve, steps)):
        pass
    return search.best or function


class _Search:
    """The best so far, and how many tests are left."""

    def __init__(self, fails: Fails, most: int) -> None:
        self.fails = fails
        self.left = most
        self.best: Function | None = None

    def tries(self, candidate: Function | None) -> bool:
        """Whether a candidate is less than the best and fails, which makes it the best."""
        if candidate is None or self.left <= 0:
            return False
        if self.best is not None and _size(candidate) >= _size(self.best):
            return False
        self.left -= 1
        if not self.fails(candidate):
            return False
        self.best = candidate
        return True

    def improve(self, step: Callable[[Function], Iterator[Function | None]]) -> bool:
        """Take the first candidate that fails, and go on from it, until there is none."""
        better = False
        while self.best is not None and any(map(self.tries, step(self.best))):
            better = True
        return better


def _size(f: Function) -> int:
    """What every step makes less."""
    static = sum(s for p in f.params for s in p.type.shape if isinstance(s, int))
    return 1000 * (4 * len(f.nodes) + len(f.results)) + 10 * len(f.params) + min(static, 9999)


# Candidates, the boldest first.
def _fewer_results(f: Function) -> Iterator[Function | None]:
    if len(f.results) < 2:
        return
    for chunk in _chunks(len(f.results)):
        yield _part(f, f.nodes, [f.results[i] for i in chunk])


def _prefixes(f: Function) -> Iterator[Function | None]:
    """Only the first nodes, with all that the others would have read as results."""
    for count in _lengths(len(f.nodes)):
        kept, rest = f.nodes[:count], f.nodes[count:]
        read = {operand for node in rest for operand in node.operands} | set(f.results)
        made = [value for node in kept for value in node.results if value in read]
        if made:
            yield _part(f, kept, made)


def _suffixes(f: Function) -> Iterator[Function | None]:
    """Only the last nodes; what they read of others becomes an input."""
    for count in _lengths(len(f.nodes)):
        yield _part(f, f.nodes[len(f.nodes) - count :], f.results)


def _without(f: Function) -> Iterator[Function | None]:
    """Some nodes less, in chunks of falling length."""
    for chunk in _chunks(len(f.nodes)):
        gone = set(chunk)
        kept = [node for i, node in enumerate(f.nodes) if i not in gone]
        if kept:
            yield _part(f, kept, f.results)


def _bypassed(f: Function) -> Iterator[Function | None]:
    """An operand in place of a result of its type."""
    for node in reversed(f.nodes):
        for operand in node.operands:
            if len(node.results) == 1 and operand.type == node.results[0].type:
                yield _part(f, f.nodes, f.results, {node.results[0]: operand})


def _small(f: Function) -> Iterator[Function | None]:
    """Smaller static sizes: all at once, then one by one."""
    yield _changed(f, smaller(f))
    static = {s for p in f.params for s in p.type.shape if isinstance(s, int)}
    for size in sorted(static, reverse=True):
        for less in (2, 3):
            if less < size:
                yield _changed(f, resized(f, {size: less}))


def _changed(before: Function, after: Function | None) -> Function | None:
    return None if after is before else after


def _lengths(count: int) -> Iterator[int]:
    """Lengths from one on, doubling; then `count` less a half, a quarter, ..., one."""
    length = 1
    while length < count:
        yield length
        length *= 2
    less = count // 2
    while less > 0:
        yield count - less
        less //= 2


def _chunks(count: int) -> Iterator[range]:
    """Neighbouring numbers, halves first, then smaller pieces."""
    length = count // 2
    while length > 0:
        yield from (range(i, min(i + length, count)) for i in range(0, count, length))
        length //= 2


def _part(
    f: Function,
    nodes: Sequence[Node],
    results: Sequence[Value],
    instead: dict[Value, Value] | None = None,
) -> Function | None:
    """The nodes that `results` need among `nodes`; what others would have made is an input."""
    swap = instead or {}
    available = {value for node in nodes for value in node.results}
    needed: set[Value] = set()
    todo = [swap.get(value, value) for value in results]
    while todo:
        value = todo.pop()
        if value in needed:
            continue
        needed.add(value)
        if value in available and value.node is not None:
            todo.extend(swap.get(operand, operand) for operand in value.node.operands)
    kept = [node for node in nodes if not needed.isdisjoint(node.results)]
    return _closed(f, kept, [swap.get(value, value) for value in results], swap)


def _closed(
    f: Function, nodes: Sequence[Node], results: Sequence[Value], swap: dict[Value, Value]
) -> Function | None:
    params: dict[Value, Value] = {}
    values: dict[Value, Value] = {}

    def current(value: Value) -> Value:
        value = swap.get(value, value)
        if value in values:
            return values[value]
        return params.setdefault(value, _input(value, len(params)))

    try:
        made = []
        for node in nodes:
            new = remake(node, [current(operand) for operand in node.operands], node.regions)
            made.append(new)
            values.update(zip(node.results, new.results, strict=True))
    except SymcError:
        return None
    outputs = tuple(current(value) for value in results)
    given = tuple(params.values())
    known = {symbol for param in given for symbol in param.type.symbols()}
    bound = tuple(c for c in f.constraints if known >= {*symbols(c.left), *symbols(c.right)})
    return Function(f.name, given, tuple(made), outputs, bound)


def _input(value: Value, number: int) -> Value:
    return value if value.node is None else Value(value.type, name=f"cut{number}")
