"""Loops for the report: how long they run, what a step still does, and what keeps it there.

before: a traced and an optimised function.  after: one `LoopReport` per loop of the second, loops
inside loops after those that hold them.

Work of a step stays when it depends on what the step before left (a carry), or when an array of all
its values would cost more than doing it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from symc.ir import ops
from symc.ir.core import Function, Node, Value
from symc.ir.formula import formula
from symc.ir.locations import Location
from symc.ir.ops.loop_groups import groups
from symc.ir.ops.record import Kind
from symc.ir.ops.while_loop import carries_of
from symc.ir.report import LoopReport, Stayed
from symc.passes.fuse_cost import CHEAP, cost

_SHOWN: Final = 48
_IN_STEP: Final = frozenset({Kind.CONTRACT, Kind.REDUCE, Kind.SCATTER, Kind.GATHER, Kind.CONTROL})
_LOOPS: Final = frozenset({ops.SCAN, ops.WHILE})


def loop_reports(traced: Function, optimized: Function) -> list[LoopReport]:
    """The loops of the optimised function, with what a step did when they were traced."""
    before: Counter[Location] = Counter()
    for node in _loops(traced):
        before[node.locations[0]] += _operations(node)
    return [_report(node, before[node.locations[0]]) for node in _loops(optimized)]


def _loops(function: Function) -> Iterator[Node]:
    """All loops, outer ones first."""
    todo = [function]
    while todo:
        inner: list[Function] = []
        for node in todo.pop().nodes:
            if node.op in _LOOPS:
                yield node
            inner += node.regions
        todo += reversed(inner)


def _operations(node: Node) -> int:
    """Operations of one step; views and constants do nothing."""
    idle = (Kind.VIEW, Kind.SOURCE)
    return sum(n.op.kind not in idle for region in node.regions for n in region.nodes)


def _report(node: Node, before: int) -> LoopReport:
    body = node.regions[-1]
    names = _names(node, body)
    return LoopReport(
        kind=node.op.name,
        location=node.locations[0],
        length=str(groups(node).length) if node.op is ops.SCAN else "until its condition fails",
        carries=sum(name.startswith("carry") for name in names.values()),
        before=before,
        after=_operations(node),
        stayed=tuple(_stayed(body, names)),
    )


def _names(node: Node, body: Function) -> dict[Value, str]:
    """What the params of a body are called: by the user, or by their group and number."""
    if node.op is ops.SCAN:
        consts, carries, xs = groups(node).split(body.params)
    else:
        first = len(body.params) - carries_of(node)
        consts, carries, xs = list(body.params[:first]), list(body.params[first:]), []
    named = {param: param.name or f"const {i}" for i, param in enumerate(consts)}
    named |= {param: f"carry {i}" for i, param in enumerate(carries)}
    named |= {param: f"xs {i}" for i, param in enumerate(xs)}
    return named | dict.fromkeys(body.params[len(named) :], "step")


def _stayed(body: Function, names: dict[Value, str]) -> Iterator[Stayed]:
    """Work that is more than a few instructions, and the carries that it depends on."""
    behind: dict[Value, frozenset[str]] = {
        param: frozenset({name} if name.startswith("carry") else ())
        for param, name in names.items()
    }
    for node in body.nodes:
        needs = frozenset[str]().union(*(behind.get(x, frozenset()) for x in node.operands))
        behind.update((result, needs) for result in node.results)
        if node.op.kind in _IN_STEP or cost(node) > CHEAP:
            text = formula(node.results[0], _SHOWN, names) if node.results else node.op.name
            yield Stayed(text, node.locations[0], tuple(sorted(needs)))
