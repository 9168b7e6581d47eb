"""Loops for the report: how long they run, what left them, and what keeps the rest in a step.

before: a traced and an optimised function, the plan of the second, and what passes recorded as they
moved work.  after: one `LoopReport` per loop of the optimised function, loops inside loops after
those that hold them; one `Vanished` per loop that is gone; every contraction with its place.

What was done to a loop is found by its place (`ir/moves.py`) and direction.  Loops that became one
share what was done to each; the same done to both counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from symc.codegen_llvm.registers import fits
from symc.compile.loop_moves import History, Key, key_of
from symc.compile.loop_paths import Paths
from symc.compile.loop_work import (
    SHOWN,
    called,
    length,
    made_work,
    product,
    products,
    step_work,
)
from symc.ir import moves, ops
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.formula import formula
from symc.ir.moves import Move
from symc.ir.ops.counting import is_count
from symc.ir.ops.loop_groups import groups, while_groups
from symc.ir.ops.record import Kind
from symc.ir.report_loops import Kept, LoopReport, Product, Stayed, Vanished, Work
from symc.passes.fuse_cost import CHEAP, cost
from symc.passes.plan import Control, Plan
from symc.records import dataclass

_IN_STEP: Final = frozenset({Kind.CONTRACT, Kind.REDUCE, Kind.SCATTER, Kind.GATHER, Kind.CONTROL})
_LOOPS: Final = frozenset({ops.SCAN, ops.WHILE})
_IDLE: Final = frozenset({Kind.VIEW, Kind.SOURCE})


@dataclass(frozen=True, slots=True)
class Loops:
    """All that the report says of loops."""

    loops: list[LoopReport]
    vanished: list[Vanished]
    products: list[Product]


def loop_reports(
    traced: Function,
    optimized: Function,
    plan: Plan,
    behind: Sequence[Move],
    during: Sequence[Move],
) -> Loops:
    """The loops of the optimised function; `behind`: what was moved before the function was traced
    to its end, since a derivative was taken of it."""
    history = History(behind, during)
    before: dict[Key, list[Node]] = {}
    for _, node in _loops(traced):
        before.setdefault(history.root(key_of(node)), []).append(node)
    kernels = dict(_kernels(plan))
    found = list(_loops(optimized))
    number = {node: i for i, (_, node) in enumerate(found)}
    reports = []
    for outer, node in found:
        inside = None if outer is None else number[outer]
        earlier = before.get(history.root(key_of(node)), [])
        count = kernels.get(node, 0)
        reports.append(_Report(node, history, earlier).made(number[node], inside, count))
    kept = {history.root(key_of(node)) for node in number}
    inner = [one for loop in reports for one in loop.products]
    outside = list(_outside(optimized, number))
    return Loops(reports, history.vanished(kept), [*outside, *inner])


def _loops(function: Function) -> Iterator[tuple[Node | None, Node]]:
    """All loops with the loop around them, outer ones first."""
    todo: list[tuple[Node | None, Function]] = [(None, function)]
    while todo:
        outer, current = todo.pop()
        inner: list[tuple[Node | None, Function]] = []
        for node in current.nodes:
            loop = node.op in _LOOPS and not is_count(node)
            if loop:
                yield outer, node
            around = node if loop else outer
            inner += [(around, region) for region in node.regions]
        todo += reversed(inner)


def _kernels(plan: Plan) -> Iterator[tuple[Node, int]]:
    """Loops and the kernels of a step."""
    todo = [plan]
    while todo:
        for step in todo.pop().steps:
            if isinstance(step.nest, Control):
                todo += step.nest.bodies
                yield step.nest.node, len(step.nest.bodies[-1].steps)


def _outside(function: Function, number: Mapping[Node, int]) -> Iterator[Product]:
    """Contractions outside of loops, with the loops before and after them."""
    needs: dict[Value, frozenset[int]] = {}
    for node in function.nodes:
        own = frozenset({number[node]} if node in number else ())
        found = own.union(*(needs.get(x, frozenset()) for x in node.operands))
        needs.update(dict.fromkeys(node.results, found))
    needed: dict[Value, frozenset[int]] = {}
    for node in reversed(function.nodes):
        own = frozenset({number[node]} if node in number else ())
        found = own.union(*(needed.get(x, frozenset()) for x in node.results))
        for x in node.operands:
            needed[x] = needed.get(x, frozenset()) | found
    names = called(x for node in number for x in node.results)
    for node in function.nodes:
        if node.op.kind is Kind.CONTRACT:
            (made,) = node.results
            after, before = needs[made], needed.get(made, frozenset())
            yield _placed(product(node, names), None, sorted(after), sorted(before))


def _placed(
    one: Product, loop: int | None, after: Iterable[int] = (), before: Iterable[int] = ()
) -> Product:
    return Product(
        one.value, one.location, one.batch, one.m, one.n, one.k, loop, tuple(after), tuple(before)
    )


class _Report:
    """One loop of the optimised function, and those that it was made of."""

    def __init__(self, node: Node, history: History, before: Sequence[Node]) -> None:
        self.node = node
        self.body = node.regions[-1]
        self.history = history
        self.key = key_of(node)
        self.before = before
        self.scan = node.op is ops.SCAN
        self.carries = groups(node).carries if self.scan else while_groups(node).carries
        self.names = self._names()

    def _names(self) -> dict[Value, str]:
        """What the params of a body are called: by the user, or by their group and number."""
        params = self.body.params
        parts = groups(self.node) if self.scan else while_groups(self.node)
        consts, carries, xs = parts.split(params)
        named = {param: param.name or f"const {i}" for i, param in enumerate(consts)}
        named |= {param: f"carry {i}" for i, param in enumerate(carries)}
        named |= {param: f"xs {i}" for i, param in enumerate(xs)}
        return named | dict.fromkeys(params[len(named) :], "step")

    def made(self, number: int, inside: int | None, kernels: int) -> LoopReport:
        """The report; `number` of this loop, and of the one around it."""
        times = length(self.node)
        moved = self.history.moved(self.key)
        step = step_work(self.body)
        earlier = self._earlier()
        whole = step.times(times)
        memory: Size = 0
        for one in moved:
            whole = whole + one.work
            # Rows that are kept stand in place of all rows.
            memory = memory if one.kind == moves.ROWS else memory + one.memory
        stayed = list(self._stayed())
        registers = fits(self.node)
        return LoopReport(
            kind=self.node.op.name,
            name=self.body.name,
            location=self.node.locations[0],
            length=self._length(),
            reverse=self.scan and groups(self.node).reverse,
            inside=inside,
            carries=self.carries,
            before=sum(map(_operations, self.before)),
            after=_operations(self.node),
            step_before=earlier,
            step=step,
            whole_before=earlier.times(times),
            whole=whole,
            moved=moved,
            merged=self.history.merged(self.key),
            products=tuple(_placed(p, number) for p in products(self._nodes(), self.names)),
            kept=tuple(self._kept()),
            memory=memory,
            stayed=tuple(one for heavy, one in stayed if heavy),
            rest=tuple(one for heavy, one in stayed if not heavy),
            form="registers" if registers else "kernels",
            kernels=0 if registers else kernels,
        )

    def _length(self) -> str:
        """How long the loop runs, in words where no formula says it."""
        if self.scan:
            return str(groups(self.node).length)
        most = while_groups(self.node).most
        ends = "until its condition fails"
        return ends if most is None else f"at most {most}, {ends}"

    def _nodes(self) -> Iterator[Node]:
        """The nodes of a step, also in choices, not in loops inside."""
        todo = [self.body]
        while todo:
            for node in todo.pop().nodes:
                yield node
                if node.op not in _LOOPS:
                    todo += node.regions

    def _earlier(self) -> Work:
        """A step as traced, of all the loops that this one was."""
        total = self.history.before_tracing(self.key)
        for node in self.before:
            total = total + step_work(node.regions[-1])
        return total

    def _kept(self) -> Iterator[Kept]:
        """The rows of all steps that the loop stores."""
        ys = self.body.results[self.carries :]
        for value, result in zip(ys, self.node.results[self.carries :], strict=False):
            where = value.node.locations[0] if value.node else self.node.locations[0]
            rows = result.type.shape[0]
            yield Kept(formula(value, SHOWN, self.names), where, rows, result.type.bytes)

    def _stayed(self) -> Iterator[tuple[bool, Stayed]]:
        """All operations with the dependences that keep them, and whether they are more than a few
        instructions."""
        carried = [p for p, name in self.names.items() if name.startswith("carry ")]
        pairs = list(zip(carried, self.body.results[: self.carries], strict=True))
        paths = Paths(self.body, pairs, self.names, self.node.locations[0])
        behind = {param: frozenset({self.names[param]}) for param in carried}
        for node in self.body.nodes:
            needs = frozenset[str]().union(*(behind.get(x, frozenset()) for x in node.operands))
            behind.update((result, needs) for result in node.results)
            if node.op.kind in _IDLE:
                continue
            made = node.results[0] if node.results else None
            one = Stayed(
                formula(made, SHOWN, self.names) if made else node.op.name,
                node.locations[0],
                tuple(sorted(needs)),
                paths.of(node),
                _reason(node, bool(needs), paths.feeds_carry(node)),
                made_work([node], dict.fromkeys(node.operands), node.results),
            )
            yield node.op.kind in _IN_STEP or cost(node) > CHEAP, one


def _operations(node: Node) -> int:
    """Operations of one step; views and constants do nothing."""
    return sum(n.op.kind not in _IDLE for region in node.regions for n in region.nodes)


def _reason(node: Node, needs_carry: bool, feeds_carry: bool) -> str:
    """Why an operation is still in a step (see `Stayed`)."""
    if needs_carry and feeds_carry:
        return "carry"
    if node.op.kind is Kind.CONTROL:
        return "control"
    if needs_carry:
        return "rows"
    return "cheap" if node.op.kind is Kind.ELEMENTWISE and cost(node) <= CHEAP else "memory"
