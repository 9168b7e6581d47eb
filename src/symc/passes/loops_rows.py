"""Rows of a loop that nobody reads are not kept: of a y of which only the last rows are read, each
step hands those to the next.

before: scans, and slices of slices of their ys.  after: a y whose readers take the last k rows that
a scan writes, for a small k, is no y: what they are computed from are carries, k values deep, and
the rows themselves are computed once, after the loop.  `ys[-1]` of any number of steps takes the
memory of one, and work that only it needs is done once.

Bits: those of the rows, computed after the loop from the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from symc.ir import moves, ops, term
from symc.ir.build import placed_at
from symc.ir.core import Function, Node, Value, nodes_so_far, reachable
from symc.ir.dims import Apply, Dim, Size, lower_bound, prove_le
from symc.ir.moves import Note
from symc.ir.ops import attributes
from symc.ir.ops.loop_groups import groups
from symc.ir.ops.record import Kind
from symc.ir.rewriter import remake
from symc.ir.term import Term
from symc.passes.loops_form import Carry, Loop, Row, made, pruned, taken_apart
from symc.passes.loops_move import copied, inner_nodes, read_of
from symc.passes.rebuilt import rebuilt
from symc.records import dataclass

MOST: Final = 8  # rows that are kept as carries
_TRIES: Final = 64


@dataclass(frozen=True, slots=True)
class _Rows:
    """Elements of an array: those of slices of slices of it."""

    starts: tuple[Size, ...]
    sizes: tuple[Size, ...]
    steps: tuple[int, ...]

    def then(self, node: Node) -> _Rows:
        """Those that a slice takes of them."""
        starts = attributes.sizes(node.attrs, "starts")
        steps = attributes.integers(node.attrs, "steps")
        moved = zip(self.starts, starts, self.steps, strict=True)
        return _Rows(
            tuple(own + start * step for own, start, step in moved),
            attributes.sizes(node.attrs, "sizes"),
            tuple(own * step for own, step in zip(self.steps, steps, strict=True)),
        )

    @property
    def ends(self) -> tuple[Size, Size]:
        """The first and the last row, in the order of the array."""
        last = self.starts[0] + (self.sizes[0] - 1) * self.steps[0]
        return (self.starts[0], last) if self.steps[0] > 0 else (last, self.starts[0])


_Readers = Mapping[Value, Mapping[Value, _Rows]]


def last_rows(function: Function, note: Note = lambda move: None) -> Function:
    """The function with scans that keep only those of their last rows that are read."""
    readers = _readers(function)
    if not readers:
        return function
    read = {x for node in function.nodes for x in node.operands} | set(function.results)
    values: dict[Value, Value] = {}
    for node in function.nodes:
        if node.results and all(result in values for result in node.results):
            continue
        operands = [values.get(x, x) for x in node.operands]
        if node.op is ops.SCAN and any(result in readers for result in node.results):
            loop = taken_apart(node, operands, read)
            values.update(_changed(loop, readers))
            for move in loop.moves:
                note(move)
        elif operands != list(node.operands):
            kept = remake(node, operands, node.regions)
            values.update(zip(node.results, kept.results, strict=True))
    if not values:
        return function
    return rebuilt(function, values)


def _readers(function: Function) -> _Readers:
    """y -> what is read of it by anything but a slice: the value read, and its rows of y."""
    found: dict[Value, dict[Value, _Rows]] = {}
    taken: dict[Value, tuple[Value, _Rows]] = {}
    for node in function.nodes:
        if node.op is ops.SCAN:
            for y in node.results[groups(node).carries :]:
                rank = y.type.rank
                taken[y] = y, _Rows((0,) * rank, y.type.shape, (1,) * rank)
        for x in node.operands:
            if x in taken and node.op is ops.SLICE:
                root, rows = taken[x]
                taken[node.results[0]] = root, rows.then(node)
            elif x in taken:
                root, rows = taken[x]
                found.setdefault(root, {})[x] = rows
    for x in function.results:
        if x in taken:
            root, rows = taken[x]
            found.setdefault(root, {})[x] = rows
    return found


def _changed(loop: Loop, readers: _Readers) -> dict[Value, Value]:
    """Old values -> new ones, of the loop and of what reads its rows; nothing if it stays."""
    core = _core(loop)
    chosen = []
    for row in list(loop.ys):
        picks = readers.get(row.result, {}) if row.result is not None else {}
        depth = _depth(loop, picks.values())
        if depth is not None:
            chosen.append((picks, _Window.of(loop, row, depth, picks.values(), core)))
            loop.ys.remove(row)
    if not chosen:
        if all(x is y for x, y in zip(_operands(loop), loop.node.operands, strict=True)):
            return {}
        return made(loop)
    pruned(loop)
    real = made(loop)
    found = dict(real)
    with placed_at(loop.node.locations):
        for picks, window in chosen:
            since = nodes_so_far()
            array = window.array(real)
            move = loop.moved(moves.ROWS, window.row.value, window.given)
            move.became(array, since, array.type.bytes)
            move.depth = window.depth
            found.update({x: window.rows(array, rows).value for x, rows in picks.items()})
    return found


def _operands(loop: Loop) -> list[Value]:
    starts = [carry.start for carry in loop.carries]
    return [*loop.consts.values(), *starts, *loop.xs.values()]


def _depth(loop: Loop, picks: Iterable[_Rows]) -> int | None:
    """How many of the rows written last hold all that is read; None for too many."""
    depth = 0
    for rows in picks:
        low, high = rows.ends
        reach = at_most(high + 1 if loop.reverse else loop.length - low)
        if reach is None:
            return None
        depth = max(depth, reach)
    few = depth <= MOST and (not isinstance(loop.length, int) or 2 * depth <= loop.length)
    return depth if few and depth > 0 else None


def _core(loop: Loop) -> set[Node]:
    """What carries are computed from; not what is the same at every step."""
    fixed = set(loop.consts)
    for node in loop.nodes():
        if node.op.kind is not Kind.CONTROL and all(x in fixed for x in node.operands):
            fixed.update(node.results)
    return {node for node in inner_nodes(loop) if any(x not in fixed for x in node.results)}


def _reaches(loop: Loop, rows: _Rows, depth: int) -> bool:
    """Whether a reader, whose slice is inside of the array, takes so many rows from the end."""
    low, high = rows.ends
    reach = high + 1 if loop.reverse else loop.length - low
    return reach == depth and prove_le(1, rows.sizes[0])


def _last_values(loop: Loop, value: Value, depth: int) -> list[Value]:
    """The last values of a value of the step, newest first: results of carries."""
    found: list[Value] = []
    for _ in range(depth):
        carry = next((c for c in loop.carries if c.after is value), None)
        if carry is None:
            start = term.zeros(value.type).value
            carry = Carry(Value(value.type, name=value.name), start, value, None)
            loop.carries.append(carry)
        if carry.result is None:
            carry.result = Value(value.type)
        found.append(carry.result)
        value = carry.param
    return found


def at_most(size: Size) -> int | None:
    """A number that `size` is never above, or None: sizes are >= 0, max and min what they are."""
    bounds: dict[Size, int | None] = {}
    todo = [size]
    while todo:
        one = todo[-1]
        if one in bounds:
            todo.pop()
            continue
        parts = _weakened(one) if len(bounds) < _TRIES else _Parts()
        missing = [x for x in (*parts.any, *parts.all, *parts.divided[:2]) if x not in bounds]
        if missing and len(todo) < _TRIES:
            todo += missing
            continue
        bounds[todo.pop()] = _least(one, parts, bounds)
    return bounds[size]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a size is not above: each of `any`, the largest of `all`, and where it is
    `divided[0] + factor * (divided[1] // by)`, that of their bounds.
    """

    any: tuple[Size, ...] = ()
    all: tuple[Size, ...] = ()
    divided: tuple[Size, ...] = ()
    factor: int = 1
    by: int = 1


def _least(size: Size, parts: _Parts, bounds: Mapping[Size, int | None]) -> int | None:
    low = lower_bound(0 - size)
    found = [] if low is None else [-low]
    found += [bound for x in parts.any if (bound := bounds.get(x)) is not None]
    largest = [bounds.get(x) for x in parts.all]
    known = [bound for bound in largest if bound is not None]
    if known and len(known) == len(largest):
        found.append(max(known))
    rest, inner = [bounds.get(x) for x in parts.divided] or (None, None)
    if rest is not None and inner is not None:
        found.append(rest + parts.factor * (inner // parts.by))
    return min(found, default=None)


def _weakened(size: Size) -> _Parts:
    """What bounds a size, with one `max` or `min` less."""
    if isinstance(size, int):
        return _Parts()
    for monomial, factor in size.terms:
        if len(monomial) != 1 or monomial[0][1] != 1:
            continue
        atom = monomial[0][0]
        if not isinstance(atom, Apply):
            continue
        rest = size - Dim(((monomial, factor),))
        if atom.kind == "floordiv" and factor > 0 and isinstance(atom.right, int):
            return _Parts(divided=(rest, atom.left), factor=factor, by=atom.right)
        if atom.kind in {"min", "max"}:
            either = (rest + atom.left * factor, rest + atom.right * factor)
            smaller = atom.kind == ("min" if factor > 0 else "max")
            return _Parts(any=either) if smaller else _Parts(all=either)
    return _Parts()


@dataclass(frozen=True, slots=True)
class _Window:
    """The last rows of one y: the values that they are computed from, newest first."""

    loop: Loop
    row: Row
    depth: int
    given: Mapping[Value, Sequence[Value]]  # value of the step -> its last values, as results
    consts: Mapping[Value, Value]
    xs: Mapping[Value, Value]

    @staticmethod
    def of(loop: Loop, row: Row, depth: int, picks: Iterable[_Rows], core: set[Node]) -> _Window:
        """The window; the loop gets the carries that it needs."""
        sure = prove_le(depth, loop.length) or any(_reaches(loop, r, depth) for r in picks)
        read = read_of(loop, [row], core)
        if not sure:
            _, free = reachable([row.value], stop=read)
            read += [x for x in free if x in loop.xs or x is loop.number]
        given = {value: _last_values(loop, value, depth) for value in read}
        return _Window(loop, row, depth, given, dict(loop.consts), dict(loop.xs))

    def array(self, real: Mapping[Value, Value]) -> Value:
        """The rows, in the order of the array."""
        behind, free = reachable([self.row.value], stop=list(self.given))
        rows = []
        for age in range(self.depth):
            instead = {x: real.get(last[age], last[age]) for x, last in self.given.items()}
            instead.update({x: self._at(x, age) for x in free if x not in instead})
            value = self.row.value
            rows.append(Term(copied(behind, instead).get(value, value)).expand(0))
        if not self.loop.reverse:
            rows.reverse()
        return rows[0].value if len(rows) == 1 else term.concat(rows, 0).value

    def _at(self, param: Value, age: int) -> Value:
        """A constant, a row of a sequence or the number, `age` steps from the end."""
        position = age if self.loop.reverse else self.loop.length - 1 - age
        if param is self.loop.number:
            return term.size(position).value
        if param in self.consts:
            return self.consts[param]
        row = Term(self.xs[param]).narrow(0, position, 1)
        return row.reshape(param.type.shape).value

    def rows(self, array: Value, rows: _Rows) -> Term:
        """What a reader takes of the rows."""
        first = 0 if self.loop.reverse else self.loop.length - self.depth
        starts = (rows.starts[0] - first, *rows.starts[1:])
        return Term(array).slice(starts, rows.sizes, rows.steps)
